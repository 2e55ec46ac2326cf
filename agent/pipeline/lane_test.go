package pipeline_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wasmtail/wasmtail/agent/pipeline"
	"github.com/wasmtail/wasmtail/internal/record"
)

// joiner is a processor plug-in that joins records to groups: a record whose
// text begins with a blank belongs to the one before it. The last group of a
// batch waits for the next batch.
type joiner struct {
	held   map[*record.Origin][]record.Record
	closed *bool
}

func (j *joiner) Process(_ context.Context, b *record.Batch) error {
	if kept := j.held[b.Origin]; len(kept) > 0 {
		delete(j.held, b.Origin)
		all := []record.Record{}
		for i := range kept {
			all = append(all, b.Adopt(&kept[i]))
		}
		b.Records = append(all, b.Records...)
		b.Start = kept[0].Offset
	}
	last := 0
	for i := range b.Records {
		if !bytes.HasPrefix(b.Records[i].Raw, []byte(" ")) {
			last = i
		}
	}
	if !b.Final && len(b.Records) > 0 {
		for i := last; i < len(b.Records); i++ {
			j.held[b.Origin] = append(j.held[b.Origin], b.Records[i].Clone())
		}
		b.End = b.Records[last].Offset
		b.Records = b.Records[:last]
	}
	joined := b.Records[:0]
	for _, r := range b.Records {
		if n := len(joined); n > 0 && bytes.HasPrefix(r.Raw, []byte(" ")) {
			joined[n-1].Raw = append(append([]byte{}, joined[n-1].Raw...), r.Raw...)
			joined[n-1].Size += r.Size
			b.Reshaped--
			continue
		}
		joined = append(joined, r)
	}
	b.Records = joined
	return nil
}

func (j *joiner) Close() error {
	*j.closed = true
	return nil
}

// scripted is an input plug-in that emits batches of lines, one second after
// another, and waits for its end.
type scripted struct {
	batches [][]string
	origin  *record.Origin
	mu      sync.Mutex
	done    []string // "end:error" in the order of the acknowledgements
	pause   time.Duration
}

func (in *scripted) Run(ctx context.Context, emit pipeline.Emit) error {
	in.origin = &record.Origin{Generation: "00000000000000aa", Ledger: &record.Ledger{}}
	at := int64(0)
	for _, lines := range in.batches {
		b := record.Get(in.origin)
		b.Start = at
		for _, line := range lines {
			r := b.Add([]byte(line))
			r.Offset, r.Size = at, int64(len(line))
			at += r.Size
		}
		b.End = at
		end := at
		if err := emit(ctx, pipeline.Delivery{Batch: b, Done: func(err error) {
			in.mu.Lock()
			defer in.mu.Unlock()
			in.done = append(in.done, fmt.Sprintf("%d:%v", end, err))
		}}); err != nil {
			return err
		}
		select {
		case <-time.After(in.pause):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return nil
}

func (in *scripted) acks() []string {
	in.mu.Lock()
	defer in.mu.Unlock()
	return append([]string{}, in.done...)
}

func withJoiner(closed *bool) func() ([]pipeline.Stage, error) {
	return func() ([]pipeline.Stage, error) {
		return []pipeline.Stage{{Name: "join#1", Processor: &joiner{held: map[*record.Origin][]record.Record{}, closed: closed}}}, nil
	}
}

func TestHeldRecords_AreAcknowledgedWithTheBatchThatHasTheirEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		in := &scripted{batches: [][]string{{"a", " b", "c"}, {" d", " e"}, {" f"}, {"g"}}, pause: time.Second}
		out, closed := &lines{}, false
		o := outlet(t, "out", out, nil)
		go o.Run(t.Context())
		p, err := pipeline.New(pipeline.Config{Name: "p", Logstore: "p", Input: in, Outlets: []*pipeline.Outlet{o}, Log: discard(), NewStages: withJoiner(&closed)})
		require.NoError(t, err)
		ended := make(chan error)
		go func() { ended <- p.Run(t.Context(), t.Context()) }()

		time.Sleep(500 * time.Millisecond)
		synctest.Wait()
		require.Empty(t, in.acks(), "its end is held back")
		time.Sleep(2 * time.Second)
		synctest.Wait()
		require.Empty(t, in.acks(), "three batches belong together")
		time.Sleep(time.Second)
		synctest.Wait()
		require.Equal(t, []string{"4:<nil>", "8:<nil>", "10:<nil>"}, in.acks())
		require.NoError(t, <-ended)
		o.Close()
		synctest.Wait()
		require.Equal(t, []string{"a b", "c d e f", "g"}, out.got)
		require.Equal(t, []string{"4:<nil>", "8:<nil>", "10:<nil>", "11:<nil>"}, in.acks())
		require.True(t, closed)
		l := in.origin.Ledger
		require.EqualValues(t, 11, l.Parsed.Bytes.Load())
		require.EqualValues(t, 11, l.Acked.Bytes.Load())
		require.EqualValues(t, 7, l.Acked.Records.Load(), "lines")
		require.EqualValues(t, 3, l.Parsed.Records.Load(), "records")
		require.EqualValues(t, -4, l.Reshaped.Load())
	})
}

func TestHeldRecords_GoOnWhenNothingFollows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		in := &scripted{batches: [][]string{{"a", " b"}}, pause: time.Minute}
		out, closed := &lines{}, false
		o := outlet(t, "out", out, nil)
		go o.Run(t.Context())
		p, err := pipeline.New(pipeline.Config{Name: "p", Logstore: "p", Input: in, Outlets: []*pipeline.Outlet{o}, Log: discard(), NewStages: withJoiner(&closed)})
		require.NoError(t, err)
		ended := make(chan error)
		go func() { ended <- p.Run(t.Context(), t.Context()) }()
		time.Sleep(4900 * time.Millisecond)
		synctest.Wait()
		require.Empty(t, in.acks())
		time.Sleep(200 * time.Millisecond)
		synctest.Wait()
		require.Equal(t, []string{"3:<nil>"}, in.acks())
		require.NoError(t, <-ended)
		o.Close()
		synctest.Wait()
		require.Equal(t, []string{"a b"}, out.got)
	})
}

// holder is a processor plug-in that cannot work before the agent stops.
type holder struct{}

func (holder) Process(ctx context.Context, _ *record.Batch) error {
	<-ctx.Done()
	return fmt.Errorf("%w: it waits", pipeline.ErrHeld)
}

func TestAHeldBatchIsReadAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		in := &scripted{batches: [][]string{{"a"}, {"b"}}, pause: time.Minute}
		out := &lines{}
		o := outlet(t, "out", out, nil)
		go o.Run(t.Context())
		p, err := pipeline.New(pipeline.Config{
			Name: "p", Logstore: "p", Input: in, Outlets: []*pipeline.Outlet{o}, Log: discard(),
			NewStages: func() ([]pipeline.Stage, error) { return []pipeline.Stage{{Name: "h", Processor: holder{}}}, nil },
		})
		require.NoError(t, err)
		ended := make(chan error)
		go func() { ended <- p.Run(ctx, t.Context()) }()
		time.Sleep(time.Second)
		require.Empty(t, in.acks())
		cancel()
		require.NoError(t, <-ended)
		o.Close()
		synctest.Wait()
		require.Equal(t, []string{"1:held back by a processor: it waits"}, in.acks())
		require.Empty(t, out.got)
	})
}

// stores is an output plug-in that keeps records by log store.
type stores struct {
	mu  sync.Mutex
	got map[string][]string
}

type storeEncoder struct{ logstore string }

func (s *stores) NewEncoder(_, logstore string) pipeline.Encoder { return storeEncoder{logstore} }

func (e storeEncoder) Encode(_ context.Context, dst []byte, b *record.Batch) ([]byte, error) {
	dst = fmt.Appendf(dst, "%s %d-%d routed=%t filtered=%d", e.logstore, b.Start, b.End, b.Routed, b.Filtered)
	for i := range b.Records {
		dst = fmt.Appendf(dst, " %s", b.Records[i].Raw)
	}
	return dst, nil
}

func (s *stores) Send(_ context.Context, payload []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	name, _, _ := bytes.Cut(payload, []byte(" "))
	s.got[string(name)] = append(s.got[string(name)], string(payload))
	return nil
}

// router is a processor plug-in that sends each record where its first letter
// says, and drops those with an x.
type router struct{}

func (router) Process(_ context.Context, b *record.Batch) error {
	b.Keep(func(r *record.Record) bool { return r.Raw[0] != 'x' })
	for i := range b.Records {
		switch b.Records[i].Raw[0] {
		case 'e':
			b.Records[i].Route = 1
		case 'a':
			b.Records[i].Route = 2
		}
	}
	return nil
}

func TestRoutes_DivideABatchByLogStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		in := &scripted{batches: [][]string{{"m1", "e2", "x3", "e4"}, {"e5"}, {"m6", "a7"}}}
		out := &stores{got: map[string][]string{}}
		o := outlet(t, "out", out, nil)
		go o.Run(t.Context())
		p, err := pipeline.New(pipeline.Config{
			Name: "p", Logstore: "main", Routes: []string{"errors", "audit"}, Input: in, Outlets: []*pipeline.Outlet{o}, Log: discard(),
			NewStages: func() ([]pipeline.Stage, error) { return []pipeline.Stage{{Name: "r", Processor: router{}}}, nil },
		})
		require.NoError(t, err)
		require.NoError(t, p.Run(t.Context(), t.Context()))
		o.Close()
		synctest.Wait()
		require.Equal(t, []string{"main 0-8 routed=false filtered=1 m1", "main 8-10 routed=false filtered=0", "main 10-14 routed=false filtered=0 m6"}, out.got["main"])
		require.Equal(t, []string{"errors 0-8 routed=true filtered=0 e2 e4", "errors 8-10 routed=true filtered=0 e5"}, out.got["errors"])
		require.Equal(t, []string{"audit 10-14 routed=true filtered=0 a7"}, out.got["audit"])
		require.Equal(t, []string{"8:<nil>", "10:<nil>", "14:<nil>"}, in.acks())
	})
}

var errAway = errors.New("away")

func TestRoutes_AreAcknowledgedTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		in := &scripted{batches: [][]string{{"m1", "e2"}}}
		failing := &lines{fail: func() error { return errAway }}
		o := outlet(t, "out", failing, nil)
		stopped := make(chan struct{})
		go func() { o.Run(ctx); close(stopped) }()
		p, err := pipeline.New(pipeline.Config{
			Name: "p", Logstore: "main", Routes: []string{"errors"}, Input: in, Outlets: []*pipeline.Outlet{o}, Log: discard(),
			NewStages: func() ([]pipeline.Stage, error) { return []pipeline.Stage{{Name: "r", Processor: router{}}}, nil },
		})
		require.NoError(t, err)
		require.NoError(t, p.Run(t.Context(), t.Context()))
		time.Sleep(time.Minute)
		require.Empty(t, in.acks())
		cancel()
		<-stopped
		synctest.Wait()
		require.Len(t, in.acks(), 1)
		require.NotContains(t, in.acks()[0], "<nil>")
	})
}
