package pipeline_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sirupsen/logrus"
	"github.com/stretchr/testify/require"

	"github.com/wasmtail/wasmtail/agent/pipeline"
	"github.com/wasmtail/wasmtail/agent/queue"
	"github.com/wasmtail/wasmtail/internal/durable"
	"github.com/wasmtail/wasmtail/internal/record"
)

// lines is an output plug-in that keeps what it is sent, one string a record,
// and fails as fail says.
type lines struct {
	mu   sync.Mutex
	got  []string
	fail func() error
}

func (o *lines) NewEncoder(_, _ string) pipeline.Encoder { return o }

func (o *lines) Encode(_ context.Context, dst []byte, b *record.Batch) ([]byte, error) {
	for i := range b.Records {
		dst = append(append(dst, b.Records[i].Raw...), '\n')
	}
	return dst, nil
}

func (o *lines) Send(_ context.Context, payload []byte) error {
	if o.fail != nil {
		if err := o.fail(); err != nil {
			return err
		}
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.got = append(o.got, strings.Split(strings.TrimSuffix(string(payload), "\n"), "\n")...)
	return nil
}

// numbered is an input plug-in: sources × batches × records, each line
// "source:number".
type numbered struct {
	sources, batches, records int
	age                       time.Duration
	acked, refused, lost      atomic.Int64
	origins                   []*record.Origin
}

func (in *numbered) Run(ctx context.Context, emit pipeline.Emit) error {
	for s := range in.sources {
		in.origins = append(in.origins, &record.Origin{Generation: fmt.Sprintf("%016x", s), Source: uint64(s), Ledger: &record.Ledger{}})
	}
	var emitters sync.WaitGroup
	defer emitters.Wait()
	for s := range in.sources {
		emitters.Go(func() {
			n := 0
			for range in.batches {
				b := record.Get(in.origins[s])
				b.ReadTime = time.Now().UnixNano()
				b.Start = int64(n)
				for range in.records {
					r := b.Add(fmt.Appendf(nil, "%d:%d", s, n))
					r.Offset, r.Size = int64(n), 1
					r.Time = b.ReadTime - int64(in.age)
					n++
				}
				b.End = int64(n)
				err := emit(ctx, pipeline.Delivery{Batch: b, Done: func(err error) {
					switch {
					case err == nil:
						in.acked.Add(1)
					case errors.Is(err, pipeline.ErrRejected):
						in.refused.Add(1)
					default:
						in.lost.Add(1)
					}
				}})
				if err != nil {
					return
				}
			}
		})
	}
	return nil
}

func discard() logrus.FieldLogger {
	l := logrus.New()
	l.SetOutput(io.Discard)
	return l
}

func outlet(t *testing.T, name string, o pipeline.Output, kept func(string, []byte, error) error) *pipeline.Outlet {
	t.Helper()
	out, err := pipeline.NewOutlet(pipeline.OutletConfig{Name: name, Output: o, QueueBytes: 1 << 14, Senders: 3, Rejected: kept, Log: discard()})
	require.NoError(t, err)
	return out
}

// run drives a pipeline to its end and all outlets until they are empty.
func run(t *testing.T, c pipeline.Config) {
	t.Helper()
	c.Log = discard()
	if c.NewStages == nil {
		c.NewStages = func() ([]pipeline.Stage, error) { return nil, nil }
	}
	p, err := pipeline.New(c)
	require.NoError(t, err)
	var outlets sync.WaitGroup
	for _, o := range c.Outlets {
		outlets.Go(func() { o.Run(context.Background()) })
	}
	require.NoError(t, p.Run(context.Background(), context.Background()))
	for _, o := range c.Outlets {
		o.Close()
	}
	outlets.Wait()
}

func requireInOrder(t *testing.T, got []string, sources, each int) {
	t.Helper()
	next := make([]int, sources)
	for _, line := range got {
		var s, n int
		_, err := fmt.Sscanf(line, "%d:%d", &s, &n)
		require.NoError(t, err)
		require.Equal(t, next[s], n, "source %d is out of order", s)
		next[s]++
	}
	for s, n := range next {
		require.Equal(t, each, n, "source %d is incomplete", s)
	}
}

func TestEveryOutputGetsEverySourceInOrderWhateverTheOthersDo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		good, flaky := &lines{}, &lines{fail: func() error {
			if rand.IntN(2) == 0 {
				return errors.New("connection reset")
			}
			return nil
		}}
		in := &numbered{sources: 7, batches: 40, records: 25}
		run(t, pipeline.Config{
			Name: "p", Input: in, Lanes: 3,
			Outlets: []*pipeline.Outlet{outlet(t, "flaky", flaky, nil), outlet(t, "good", good, nil)},
		})
		requireInOrder(t, good.got, 7, 1000)
		requireInOrder(t, flaky.got, 7, 1000)
		require.EqualValues(t, 7*40, in.acked.Load(), "every batch is acknowledged once")
		for _, o := range in.origins {
			require.EqualValues(t, 1000, o.Ledger.Parsed.Records.Load())
			require.EqualValues(t, 1000, o.Ledger.Acked.Bytes.Load())
		}
	})
}

func TestARefusedBatchIsPutAsideAndAcknowledged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		refuse := &lines{fail: func() error { return fmt.Errorf("PostBodyInvalid: %w", pipeline.ErrRejected) }}
		var kept [][]byte
		full := 2 // the first attempts to put it aside fail: it must stay
		keep := func(_ string, payload []byte, _ error) error {
			if full > 0 {
				full--
				return errors.New("no space left on device")
			}
			kept = append(kept, bytes.Clone(payload))
			return nil
		}
		in := &numbered{sources: 1, batches: 1, records: 3}
		run(t, pipeline.Config{Name: "p", Input: in, Outlets: []*pipeline.Outlet{outlet(t, "o", refuse, keep)}})
		require.EqualValues(t, 1, in.refused.Load())
		require.Equal(t, [][]byte{[]byte("0:0\n0:1\n0:2\n")}, kept)
	})
}

func TestWhatWasNotSentIsGivenBackAtAHardStop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dead := &lines{fail: func() error { return errors.New("connection refused") }}
		in := &numbered{sources: 2, batches: 50, records: 100}
		o := outlet(t, "dead", dead, nil)
		p, err := pipeline.New(pipeline.Config{
			Name: "p", Input: in, Log: discard(), Outlets: []*pipeline.Outlet{o},
			NewStages: func() ([]pipeline.Stage, error) { return nil, nil },
		})
		require.NoError(t, err)
		soft, stopInput := context.WithCancel(t.Context())
		hard, stopNow := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() { o.Run(hard) })
		running.Go(func() { require.NoError(t, p.Run(soft, hard)) })
		synctest.Wait() // the queue is full: everything blocks
		require.Zero(t, in.acked.Load())
		healthErr, _ := o.Health()
		require.ErrorContains(t, healthErr, "connection refused")
		stopInput()
		stopNow()
		running.Wait()
		require.Zero(t, in.acked.Load(), "nothing was sent, so nothing may be acknowledged")
		require.Positive(t, in.lost.Load())
		queued, _ := o.Queued()
		require.Zero(t, queued)
	})
}

// hanging is an output that never answers.
type hanging struct{ *lines }

func (hanging) Send(ctx context.Context, _ []byte) error {
	<-ctx.Done()
	return ctx.Err()
}

// TestAnOutputThatHangsDoesNotKeepAnOutletFromStopping: what its senders give back
// is not taken again.
func TestAnOutputThatHangsDoesNotKeepAnOutletFromStopping(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		in := &numbered{sources: 2, batches: 1, records: 10}
		o := outlet(t, "hangs", hanging{&lines{}}, nil)
		p, err := pipeline.New(pipeline.Config{
			Name: "p", Input: in, Log: discard(), Outlets: []*pipeline.Outlet{o},
			NewStages: func() ([]pipeline.Stage, error) { return nil, nil },
		})
		require.NoError(t, err)
		hard, stopNow := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() { o.Run(hard) })
		require.NoError(t, p.Run(t.Context(), hard))
		synctest.Wait()
		stopNow()
		running.Wait()
		require.EqualValues(t, 2, in.lost.Load(), "given back, to be read again")
		require.Zero(t, in.acked.Load())
	})
}

// TestAnOutletThatNeverRunsLeavesTheDiskAlone: a configuration that is refused may
// have built one beside the outlet that is using the folder.
func TestAnOutletThatNeverRunsLeavesTheDiskAlone(t *testing.T) {
	fs := durable.NewMem()
	const other = "/cache/o/00000000000000000001.seg" + durable.TempSuffix
	f, err := fs.Create(other)
	require.NoError(t, err)
	require.NoError(t, f.Close())
	o, err := pipeline.NewOutlet(pipeline.OutletConfig{
		Name: "o", Output: &lines{}, Log: discard(),
		Disk: &queue.Disk{FS: fs, Dir: "/cache/o", Format: "lines", Budget: queue.NewBudget(1 << 20)},
	})
	require.NoError(t, err)
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	o.Close()
	o.Run(ended)
	_, err = fs.Open(other)
	require.NoError(t, err, "it is being written")
}

// TestAPipelineThatEndsLeavesTheOutletToOthers stops one of two pipelines of an
// output that is away: what it had waiting is given back, the other's is not.
func TestAPipelineThatEndsLeavesTheOutletToOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var healed atomic.Bool
		to := &lines{fail: func() error {
			if healed.Load() {
				return nil
			}
			return errors.New("connection refused")
		}}
		o := outlet(t, "away", to, nil)
		start := func(in *numbered) (p *pipeline.Pipeline, stop, stopNow context.CancelFunc, ended chan struct{}) {
			p, err := pipeline.New(pipeline.Config{
				Name: "p", Input: in, Log: discard(), Outlets: []*pipeline.Outlet{o},
				NewStages: func() ([]pipeline.Stage, error) { return nil, nil },
			})
			require.NoError(t, err)
			soft, stop := context.WithCancel(t.Context())
			hard, stopNow := context.WithCancel(t.Context())
			ended = make(chan struct{})
			go func() {
				defer close(ended)
				require.NoError(t, p.Run(soft, hard))
			}()
			return p, stop, stopNow, ended
		}
		sending, stopSending := context.WithCancel(t.Context())
		var outlets sync.WaitGroup
		outlets.Go(func() { o.Run(sending) })
		leaves, stays := &numbered{sources: 1, batches: 50, records: 100}, &numbered{sources: 1, batches: 5, records: 100}
		p, stop, stopNow, ended := start(leaves)
		other, stopOther, _, otherEnded := start(stays)
		synctest.Wait() // the queue is full

		stop()
		stopNow()
		<-ended
		over, cancel := context.WithCancel(t.Context())
		cancel()
		p.Settle(over)
		require.Zero(t, leaves.acked.Load())
		require.Positive(t, leaves.lost.Load())
		lost := leaves.lost.Load()

		healed.Store(true)
		<-otherEnded
		other.Settle(t.Context())
		stopOther()
		require.EqualValues(t, 5, stays.acked.Load(), "the other's are all delivered")
		require.Equal(t, lost, leaves.lost.Load())
		require.LessOrEqual(t, leaves.acked.Load(), int64(1), "but for the payload that was being sent")
		o.Close()
		outlets.Wait()
		stopSending()
		queued, _ := o.Queued()
		require.Zero(t, queued)
	})
}

// dropOdd is a processor plug-in that removes records with an odd number and
// fails those that end in 8.
type dropOdd struct{}

func (dropOdd) Process(_ context.Context, b *record.Batch) error {
	b.Keep(func(r *record.Record) bool { return (r.Raw[len(r.Raw)-1]-'0')%2 == 0 })
	for i := range b.Records {
		if r := &b.Records[i]; r.Raw[len(r.Raw)-1] == '8' {
			b.Fail(r, 0, []byte("test: eight"))
		}
	}
	return nil
}

func TestTheLedgerAddsUp(t *testing.T) {
	out := &lines{}
	in := &numbered{sources: 1, batches: 10, records: 10}
	run(t, pipeline.Config{
		Name: "p", Input: in, Outlets: []*pipeline.Outlet{outlet(t, "o", out, nil)},
		NewStages: func() ([]pipeline.Stage, error) { return []pipeline.Stage{{Name: "drop", Processor: dropOdd{}}}, nil },
	})
	l := in.origins[0].Ledger
	require.EqualValues(t, 40, l.Parsed.Records.Load())
	require.EqualValues(t, 10, l.Failed.Records.Load())
	require.EqualValues(t, 50, l.Filtered.Records.Load())
	require.EqualValues(t, 100, l.Acked.Records.Load())
	require.EqualValues(t, 100, l.Parsed.Bytes.Load()+l.Failed.Bytes.Load()+l.Filtered.Bytes.Load())
	require.Len(t, out.got, 50)
}

func TestOldRecordsAreFlaggedOrDroppedAsThePolicySays(t *testing.T) {
	for _, c := range []struct {
		name     string
		age      time.Duration
		policy   pipeline.AgePolicy
		sent     int
		filtered int64
	}{
		{"young", 4 * time.Minute, pipeline.AgePolicy{After: 5 * time.Minute, Drop: true}, 10, 0},
		{"old, dropped", 6 * time.Minute, pipeline.AgePolicy{After: 5 * time.Minute, Drop: true}, 0, 10},
		{"old, flagged", 6 * time.Minute, pipeline.AgePolicy{After: 5 * time.Minute}, 10, 0},
		{"no policy", 9000 * time.Hour, pipeline.AgePolicy{}, 10, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			var late atomic.Int64
			out := &lines{}
			seen := encodeSpy{lines: out, late: &late}
			in := &numbered{sources: 1, batches: 1, records: 10, age: c.age}
			run(t, pipeline.Config{Name: "p", Input: in, Age: c.policy, Outlets: []*pipeline.Outlet{outlet(t, "o", seen, nil)}})
			require.EqualValues(t, c.sent, len(out.got))
			require.EqualValues(t, c.filtered, in.origins[0].Ledger.Filtered.Records.Load())
			wantLate := int64(0)
			if c.name == "old, flagged" {
				wantLate = 10
			}
			require.Equal(t, wantLate, late.Load())
		})
	}
}

// encodeSpy counts the records marked late that reach the encoder.
type encodeSpy struct {
	*lines
	late *atomic.Int64
}

func (s encodeSpy) NewEncoder(_, _ string) pipeline.Encoder { return s }

func (s encodeSpy) Encode(ctx context.Context, dst []byte, b *record.Batch) ([]byte, error) {
	for i := range b.Records {
		if b.Records[i].Marks&record.Late != 0 {
			s.late.Add(1)
		}
	}
	return s.lines.Encode(ctx, dst, b)
}
