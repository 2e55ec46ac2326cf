package queue

import (
	"context"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// put is Put without its spare buffer, of a lane that is one stream.
func put(ctx context.Context, q *Queue, payload []byte, lane int, done func(error)) error {
	_, err := q.Put(ctx, lane, Entry{Payload: payload, Label: Label{Stream: uint64(lane)}}, done)
	return err
}

// inMemory returns an open queue without a disk.
func inMemory(t testing.TB, bytesMax int64) *Queue {
	q := New(Options{BytesMax: bytesMax, Senders: 64})
	require.NoError(t, q.Open())
	return q
}

func TestLanesAreDeliveredInOrderThroughFailingSenders(t *testing.T) {
	const lanes, each, senders = 5, 400, 4
	q := inMemory(t, 4<<10)
	var mu sync.Mutex
	got := make([][]uint32, lanes)
	var producers, workers sync.WaitGroup
	var acked sync.WaitGroup
	acked.Add(lanes * each)
	for range senders {
		workers.Go(func() {
			for {
				l, err := q.Take(context.Background())
				if err != nil {
					return
				}
				for rand.IntN(3) == 0 { // a failed attempt: the payload stays
				}
				lane, n := binary.BigEndian.Uint32(l.Payload), binary.BigEndian.Uint32(l.Payload[4:])
				mu.Lock()
				got[lane] = append(got[lane], n)
				mu.Unlock()
				l.Release(nil)
			}
		})
	}
	for range lanes {
		n := q.Lane()
		producers.Go(func() {
			payload := make([]byte, 100)
			for i := range each {
				binary.BigEndian.PutUint32(payload, uint32(n))
				binary.BigEndian.PutUint32(payload[4:], uint32(i))
				var err error
				payload, err = q.Put(context.Background(), n, Entry{Payload: payload, Label: Label{Stream: uint64(n)}}, func(error) { acked.Done() })
				payload = append(payload[:0], make([]byte, 100)...)
				if err != nil {
					t.Errorf("cannot put payload %d: %v", i, err)
				}
			}
		})
	}
	producers.Wait()
	q.Close()
	workers.Wait()
	acked.Wait()
	for lane, seq := range got {
		require.Len(t, seq, each)
		for i, n := range seq {
			require.EqualValues(t, i, n, "lane %d out of order", lane)
		}
	}
	require.Zero(t, q.Bytes())
}

func TestPutBlocksAtTheBoundAndGoesOnAfterRelease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := inMemory(t, 150)
		n := q.Lane()
		done := func(error) {}
		require.NoError(t, put(t.Context(), q, make([]byte, 100), n, done))
		entered := false
		go func() {
			_ = put(t.Context(), q, make([]byte, 100), n, done)
			entered = true
		}()
		synctest.Wait()
		require.False(t, entered, "a full queue took a second payload")
		l, err := q.Take(t.Context())
		require.NoError(t, err)
		l.Release(nil)
		synctest.Wait()
		require.True(t, entered, "a released payload made no room")
	})
}

func TestPutEndsWithItsContext(t *testing.T) {
	q := inMemory(t, 10)
	n := q.Lane()
	require.NoError(t, put(t.Context(), q, make([]byte, 10), n, func(error) {}))
	stop := errors.New("stop")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(stop)
	require.ErrorIs(t, put(ctx, q, make([]byte, 10), n, func(error) { t.Error("done called for a payload not taken") }), stop)
}

func TestEveryLaneMayHoldOnePayloadWhateverTheBound(t *testing.T) {
	q := inMemory(t, 1)
	for range 3 {
		require.NoError(t, put(t.Context(), q, make([]byte, 50), q.Lane(), func(error) {}))
	}
}

func TestShutCallsEveryDoneOnce(t *testing.T) {
	q := inMemory(t, 1<<20)
	stop := errors.New("stopped")
	n := q.Lane()
	calls := 0
	for range 10 {
		require.NoError(t, put(t.Context(), q, []byte("x"), n, func(err error) {
			require.ErrorIs(t, err, stop)
			calls++
		}))
	}
	l, err := q.Take(t.Context())
	require.NoError(t, err)
	q.Close()
	l.Return()
	q.Shut(stop)
	require.Equal(t, 10, calls)
	_, err = q.Take(t.Context())
	require.ErrorIs(t, err, ErrClosed)
}

// TestQueueAgainstAnOracle runs random operations against the queue and a
// plain model of it.
func TestQueueAgainstAnOracle(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		q := New(Options{BytesMax: 1 << 30, Senders: 64})
		require.NoError(t, q.Open())
		var model [][]byte // waiting, by lane
		type out struct {
			lease *Lease
			lane  int
		}
		var lent []out
		lanesOut := map[int]bool{}
		next := byte(0)
		t.Repeat(map[string]func(*rapid.T){
			"lane": func(t *rapid.T) {
				if len(model) == 256 { // a byte of the payload tells it
					t.Skip()
				}
				q.Lane()
				model = append(model, nil)
			},
			"put": func(t *rapid.T) {
				if len(model) == 0 {
					t.Skip()
				}
				lane := rapid.IntRange(0, len(model)-1).Draw(t, "lane")
				next++
				require.NoError(t, put(context.Background(), q, []byte{byte(lane), next}, lane, func(error) {}))
				model[lane] = append(model[lane], next)
			},
			"take": func(t *rapid.T) {
				possible := false
				for lane := range model {
					possible = possible || len(model[lane]) > 0 && !lanesOut[lane]
				}
				if !possible {
					t.Skip()
				}
				l, err := q.Take(context.Background())
				require.NoError(t, err)
				lane := int(l.Payload[0])
				require.False(t, lanesOut[lane], "two payloads of lane %d are out", lane)
				require.Equal(t, model[lane][0], l.Payload[1], "lane %d out of order", lane)
				model[lane] = model[lane][1:]
				lanesOut[lane] = true
				lent = append(lent, out{l, lane})
			},
			"release": func(t *rapid.T) {
				if len(lent) == 0 {
					t.Skip()
				}
				i := rapid.IntRange(0, len(lent)-1).Draw(t, "i")
				lent[i].lease.Release(nil)
				delete(lanesOut, lent[i].lane)
				lent = append(lent[:i], lent[i+1:]...)
			},
			"": func(t *rapid.T) {
				want := 2 * len(lent)
				for _, w := range model {
					want += 2 * len(w)
				}
				require.EqualValues(t, want, q.Bytes())
			},
		})
	})
}

func BenchmarkPutTakeRelease(b *testing.B) {
	q := inMemory(b, 1<<30)
	n := q.Lane()
	payload := make([]byte, 128<<10)
	done := func(error) {}
	b.SetBytes(int64(len(payload)))
	b.ReportAllocs()
	for b.Loop() {
		payload, _ = q.Put(context.Background(), n, Entry{Payload: payload}, done)
		payload = payload[:128<<10]
		l, _ := q.Take(context.Background())
		l.Release(nil)
	}
}

func TestWithdrawGivesBackWhatNoSenderHas(t *testing.T) {
	q := inMemory(t, 1<<10)
	kept, gone := q.Lane(), q.Lane()
	ended := map[string][]error{}
	for _, p := range []struct {
		lane int
		text string
	}{{gone, "lent"}, {gone, "waits"}, {kept, "other"}} {
		require.NoError(t, put(context.Background(), q, []byte(p.text), p.lane, func(err error) { ended[p.text] = append(ended[p.text], err) }))
	}
	lent, err := q.Take(context.Background())
	require.NoError(t, err)
	require.Equal(t, "lent", string(lent.Payload))

	reason := errors.New("stopped")
	q.Withdraw([]int{gone}, reason)
	q.Withdraw([]int{gone}, reason)
	require.Equal(t, map[string][]error{"waits": {reason}}, ended)
	require.ErrorIs(t, put(context.Background(), q, []byte("late"), gone, func(error) {}), ErrClosed)
	require.NotEqual(t, gone, q.Lane(), "its number is in use as long as a payload is lent")
	lent.Release(nil)
	require.Equal(t, []error{nil}, ended["lent"])
	require.Equal(t, gone, q.Lane(), "then it is given to another")
	require.NoError(t, put(context.Background(), q, []byte("new"), gone, func(error) {}))

	for _, want := range []string{"other", "new"} {
		l, err := q.Take(context.Background())
		require.NoError(t, err)
		require.Equal(t, want, string(l.Payload))
		l.Release(nil)
	}
	require.Zero(t, q.Bytes())
}
