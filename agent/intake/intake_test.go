package intake

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wasmtail/wasmtail/agent/checkpoint"
	"github.com/wasmtail/wasmtail/agent/pipeline"
	"github.com/wasmtail/wasmtail/internal/durable"
)

// receiver takes deliveries and answers them when it is told to.
type receiver struct {
	mu    sync.Mutex
	full  bool
	seen  []string // text@offset of every record that was given
	open  []func(error)
	spans [][2]int64
}

func (r *receiver) emit(ctx context.Context, d pipeline.Delivery) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.full {
		return context.DeadlineExceeded
	}
	for i := range d.Batch.Records {
		rec := &d.Batch.Records[i]
		r.seen = append(r.seen, fmt.Sprintf("%s@%d", rec.Raw, rec.Offset))
	}
	r.spans = append(r.spans, [2]int64{d.Batch.Start, d.Batch.End})
	r.open = append(r.open, d.Done)
	d.Batch.Release()
	return nil
}

func (r *receiver) answer(i int, err error) {
	done := r.open[i]
	r.open[i] = nil
	done(err)
}

func openStore(t testing.TB, fs durable.FS) *checkpoint.Store {
	t.Helper()
	s, err := checkpoint.Open(fs, "/s")
	require.NoError(t, err)
	return s
}

func openStream(t testing.TB, store *checkpoint.Store, r *receiver) *Stream {
	t.Helper()
	s, err := Open(Config{Pipeline: "p", Name: "table t", Checkpoints: store, Start: []byte("0"), BatchBytes: 10, Linger: time.Second, Emit: r.emit})
	require.NoError(t, err)
	return s
}

// rows gives rows [from, to) in one batch, as a source would.
func rows(t testing.TB, b *Batcher, from, to int) {
	t.Helper()
	for i := from; i < to; i++ {
		b.Add([]byte("row" + strconv.Itoa(i)))
	}
	require.NoError(t, b.Flush(context.Background(), []byte(strconv.Itoa(to)), nil))
}

func TestStream_PlacesAreTheSameAfterACrash(t *testing.T) {
	fs, r := durable.NewMem(), &receiver{}
	store := openStore(t, fs)
	s := openStream(t, store, r)
	b := s.Batcher(0)
	rows(t, b, 0, 2)
	rows(t, b, 2, 3)
	rows(t, b, 3, 5)
	r.answer(0, nil)
	r.answer(2, nil) // overtakes
	require.NoError(t, store.Save())
	generation := s.Status().Generation
	fs.Restart(func(int) int { return 0 })

	s = openStream(t, openStore(t, fs), r)
	require.Equal(t, generation, s.Status().Generation)
	require.Equal(t, "2", string(s.Cursor()))
	before := r.seen[2:]
	r.seen = nil
	b = s.Batcher(0)
	rows(t, b, 2, 4) // in other portions
	rows(t, b, 4, 5)
	require.Equal(t, before, r.seen)
}

func TestStream_IsReadAgainFromWhatWasAcknowledged(t *testing.T) {
	r := &receiver{}
	s := openStream(t, openStore(t, durable.NewMem()), r)
	b := s.Batcher(0)
	rows(t, b, 0, 1)
	rows(t, b, 1, 2)
	rows(t, b, 2, 3)
	require.EqualValues(t, 3, s.Waiting())
	r.answer(0, fmt.Errorf("%w: test", pipeline.ErrRejected)) // put aside: that is an end, too
	r.answer(1, errors.New("stopped"))
	r.answer(2, nil)
	require.Zero(t, s.Waiting())
	require.True(t, s.Returned())
	require.Equal(t, "1", string(s.Rewind()))
	require.False(t, s.Returned())
	rows(t, b, 1, 2)
	require.Equal(t, r.spans[1], r.spans[3])
	r.answer(3, nil)
	require.Equal(t, "3", string(s.Cursor()), "what was acknowledged beyond the gap")
}

func TestStream_RestartIsANewGeneration(t *testing.T) {
	fs, r := durable.NewMem(), &receiver{}
	store := openStore(t, fs)
	s := openStream(t, store, r)
	rows(t, s.Batcher(0), 0, 4)
	r.answer(0, nil)
	before := s.Status().Generation
	require.NoError(t, s.Restart([]byte("100")))
	require.NotEqual(t, before, s.Status().Generation)
	rows(t, s.Batcher(0), 100, 101)
	require.EqualValues(t, 0, r.spans[1][0])
	require.NoError(t, store.Save())
	fs.Restart(func(int) int { return 0 })
	s = openStream(t, openStore(t, fs), r)
	require.Equal(t, "100", string(s.Cursor()))
}

func TestStream_SkipsWhatGaveNoRecords(t *testing.T) {
	fs, r := durable.NewMem(), &receiver{}
	store := openStore(t, fs)
	s := openStream(t, store, r)
	require.True(t, s.Skip([]byte("7")))
	b := s.Batcher(0)
	b.AddSized([]byte("{a long line}"), 3)
	require.NoError(t, b.Flush(context.Background(), []byte("8"), nil))
	require.False(t, s.Skip([]byte("9")), "a batch is under way")
	r.answer(0, nil)
	require.Equal(t, "8", string(s.Cursor()))
	require.NoError(t, store.Save())
	require.True(t, s.Skip([]byte("10")))
	require.NoError(t, store.Save())
	fs.Restart(func(int) int { return 0 })
	s = openStream(t, openStore(t, fs), r)
	require.Equal(t, "10", string(s.Cursor()))
	rows(t, s.Batcher(0), 10, 11)
	require.Equal(t, [][2]int64{{0, 3}, {3, 9}}, r.spans)
	r.answer(1, errors.New("stopped"))
	require.False(t, s.Skip([]byte("11")), "it must be read again")
}

func TestBatcher_KeepsWhatThePipelineDidNotTake(t *testing.T) {
	r := &receiver{full: true}
	s := openStream(t, openStore(t, durable.NewMem()), r)
	b := s.Batcher(0)
	require.True(t, b.Deadline().IsZero())
	b.Add([]byte("a"))
	require.WithinDuration(t, time.Now().Add(time.Second), b.Deadline(), time.Minute)
	require.ErrorIs(t, b.Flush(context.Background(), []byte("1"), nil), context.DeadlineExceeded)
	require.Equal(t, 1, b.Records())
	require.Zero(t, s.Waiting())
	r.full = false
	b.Add([]byte(strings.Repeat("b", 10)))
	require.True(t, b.Full())
	require.NoError(t, b.Flush(context.Background(), []byte("2"), nil))
	require.Equal(t, []string{"a@0", "bbbbbbbbbb@2"}, r.seen)
	require.Equal(t, [2]int64{0, 13}, r.spans[0])
	b.Add([]byte("c"))
	require.Equal(t, 1, b.Drop())
	called := false
	require.NoError(t, b.Flush(context.Background(), nil, func(err error) { called = err == nil }))
	require.True(t, called, "nothing waits: that is done")
}

func TestStream_ProducersShareThePlaces(t *testing.T) {
	r := &receiver{}
	s, err := Open(Config{Pipeline: "p", Name: "syslog", BatchBytes: 10, Linger: time.Second, Emit: r.emit})
	require.NoError(t, err)
	var all sync.WaitGroup
	for lane := range uint64(8) {
		all.Go(func() {
			b := s.Batcher(lane)
			for range 100 {
				b.Add([]byte("xyz"))
				if err := b.Flush(context.Background(), nil, nil); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	seen := map[int64]bool{}
	for _, span := range r.spans {
		require.False(t, seen[span[0]], "two batches at %d", span[0])
		seen[span[0]] = true
	}
	require.Len(t, seen, 800)
	require.EqualValues(t, 3200, s.Status().Read)
	require.Nil(t, s.Cursor())
}

func BenchmarkBatcher(b *testing.B) {
	discard := func(_ context.Context, d pipeline.Delivery) error {
		d.Batch.Release()
		d.Done(nil)
		return nil
	}
	s, err := Open(Config{Pipeline: "p", Name: "syslog", BatchBytes: 512 << 10, Linger: time.Second, Emit: discard})
	require.NoError(b, err)
	line := []byte(strings.Repeat("x", 200))
	batcher := s.Batcher(0)
	b.SetBytes(int64(len(line)))
	b.ReportAllocs()
	for b.Loop() {
		batcher.Add(line).Time = 1
		if batcher.Full() {
			if err := batcher.Flush(context.Background(), nil, nil); err != nil {
				b.Fatal(err)
			}
		}
	}
}
