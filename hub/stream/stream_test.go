package stream

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wasmtail/wasmtail/hub/store"
	"github.com/wasmtail/wasmtail/internal/loggroup"
	"github.com/wasmtail/wasmtail/internal/specimen"
)

func TestStream_ABatchIsStoredOnceHoweverOftenItComes(t *testing.T) {
	t.Parallel()
	r := openRig(t, t.TempDir(), nil)
	require.False(t, r.publish(batch(t, 0, 10)))
	require.True(t, r.publish(batch(t, 0, 10)), "known to the stream")
	r.waitFor(10)
	require.True(t, r.publish(batch(t, 0, 10)), "known to the ledger")
	require.True(t, r.publish(batch(t, 2, 5)), "a part of what is known")
	require.False(t, r.publish(batch(t, 10, 12)))
	r.waitFor(12)
	r.once(12)
	e := r.entry()
	require.Equal(t, Ranges{{0, 120}}, e.Ranges)
	require.EqualValues(t, 12, e.Stored)
	require.EqualValues(t, 12, e.Parsed)
	require.Equal(t, "host1", e.Hostname)
}

func TestStream_APartlyRepeatedBatchIsCut(t *testing.T) {
	t.Parallel()
	r := openRig(t, t.TempDir(), nil)
	r.publish(batch(t, 0, 10))
	r.publish(batch(t, 20, 30))
	r.publish(batch(t, 5, 25))
	r.waitFor(30)
	r.once(30)
	e := r.entry()
	require.Equal(t, Ranges{{0, 300}}, e.Ranges)
	require.EqualValues(t, 30, e.Parsed)
	require.EqualValues(t, 1, e.Repeated)
}

func TestStream_TheEndOfARecordThatCameCutIsStored(t *testing.T) {
	t.Parallel()
	r := openRig(t, t.TempDir(), nil)
	r.publish(pieces(t, 0, 60, specimen.Piece{Offset: 0, Size: 60})) // the time-out ended it
	r.publish(pieces(t, 0, 200, specimen.Piece{Offset: 0, Size: 100}, specimen.Piece{Offset: 100, Size: 100}))
	r.waitFor(3)
	require.Equal(t, map[int]int{0: 2, 100: 1}, r.stored())
	require.True(t, r.publish(pieces(t, 0, 200, specimen.Piece{Offset: 0, Size: 200})))
	e := r.entry()
	require.Equal(t, Ranges{{0, 200}}, e.Ranges)
	require.EqualValues(t, 3, e.Stored)
}

func TestStream_ARecordBeforeFilteredLinesIsStoredOnce(t *testing.T) {
	t.Parallel()
	r := openRig(t, t.TempDir(), nil)
	r.publish(pieces(t, 0, 60, specimen.Piece{Offset: 0, Size: 60}))
	r.publish(pieces(t, 0, 200, specimen.Piece{Offset: 0, Size: 60}, specimen.Piece{Offset: 100, Size: 50}))
	r.publish(pieces(t, 100, 300, specimen.Piece{Offset: 100, Size: 50}, specimen.Piece{Offset: 250, Size: 50}))
	r.waitFor(3)
	require.Equal(t, map[int]int{0: 1, 100: 1, 250: 1}, r.stored())
	require.EqualValues(t, 2, r.stream.Stats(context.Background()).Cut)
}

func TestStream_AGapShows(t *testing.T) {
	t.Parallel()
	r := openRig(t, t.TempDir(), nil)
	r.publish(batch(t, 0, 10))
	r.publish(batch(t, 15, 20))
	r.waitFor(15)
	e := r.entry()
	require.Equal(t, Ranges{{100, 150}}, e.Ranges.Gaps())
	require.EqualValues(t, 50, r.stream.Page(everything).Totals.MissingBytes)
}

func TestStream_ARestartKeepsRecordsAndLedger(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	r := openRig(t, dir, nil)
	r.publish(batch(t, 0, 10))
	r.waitFor(10)
	want := r.entry()
	r.stop()
	r = openRig(t, dir, nil)
	r.once(10)
	got := r.entry()
	require.Equal(t, want.Ranges, got.Ranges)
	require.Equal(t, want.Stored, got.Stored)
	require.True(t, r.publish(batch(t, 0, 10)))
	r.publish(batch(t, 10, 20))
	r.waitFor(20)
	r.once(20)
	require.Zero(t, r.stream.Stats(context.Background()).Recovered, "a clean stop leaves nothing to compare")
}

func TestStream_GroupsWithoutARangeAreStored(t *testing.T) {
	t.Parallel()
	r := openRig(t, t.TempDir(), nil)
	b := batch(t, 0, 3)
	var g loggroup.Group
	require.NoError(t, g.Decode(b.Body))
	b.Identity.HasRange = false
	b.Identity.Offsets = nil
	// The consumer reads the tags again, so the body must not have them either.
	b.Body = withoutTags(b.Body)
	b.RawSize = len(b.Body)
	require.False(t, r.publish(b))
	require.False(t, r.publish(b), "nothing says that it is the same")
	r.waitFor(6)
	require.Equal(t, map[int]int{0: 2, 1: 2, 2: 2}, r.stored())
	stores := r.stream.Logstores("p")
	require.Len(t, stores, 1)
	require.Eventually(t, func() bool { return r.stream.Logstores("p")[0].Records == 6 }, 5*time.Second, 10*time.Millisecond)
}

// withoutTags leaves field 6, the tags, out of a group.
func withoutTags(raw []byte) []byte {
	var out []byte
	for len(raw) > 0 {
		tag, n := raw[0], 1
		size, shift := 0, 0
		for {
			c := raw[n]
			n++
			size |= int(c&0x7f) << shift
			shift += 7
			if c < 0x80 {
				break
			}
		}
		if tag>>3 != 6 {
			out = append(out, raw[:n+size]...)
		}
		raw = raw[n+size:]
	}
	return out
}

// faulty fails some calls of a store, before or after they had their effect.
type faulty struct {
	store.Writer
	writes, seals atomic.Int64
}

func (f *faulty) Write(ctx context.Context, rows *store.Rows) error {
	n := f.writes.Add(1)
	if n%5 == 2 {
		return store.ErrFull
	}
	err := f.Writer.Write(ctx, rows)
	if n%5 == 4 {
		return context.DeadlineExceeded // it was written, but nobody knows
	}
	return err
}

func (f *faulty) Seal(ctx context.Context) (func(context.Context) error, error) {
	settled, err := f.Writer.Seal(ctx)
	if f.seals.Add(1)%3 == 1 && err == nil {
		return func(context.Context) error { return store.ErrIncomplete }, nil
	}
	return settled, err
}

func TestStream_FaultsOfTheStoreLoseAndRepeatNothing(t *testing.T) {
	t.Parallel()
	r := openRig(t, t.TempDir(), func(o *Options) { o.Writer = &faulty{Writer: o.Writer} })
	const batches = 40
	for i := range batches {
		r.publish(batch(t, i*10, i*10+10))
		if i%10 == 9 {
			r.waitFor(i*10 + 1)
		}
	}
	r.waitFor(batches * 10)
	require.Eventually(t, func() bool { return r.stream.applied.Load() >= r.stream.stats.lastSeq.Load() }, 30*time.Second, 50*time.Millisecond)
	r.once(batches * 10)
	e := r.entry()
	require.Equal(t, Ranges{{0, batches * 10 * lineBytes}}, e.Ranges)
	require.EqualValues(t, batches*10, e.Stored)
	require.NotZero(t, r.stream.Stats(context.Background()).Recovered)
}

func TestStream_ListenersHearOfVisibleRows(t *testing.T) {
	t.Parallel()
	r := openRig(t, t.TempDir(), nil)
	l := r.stream.Listen()
	defer l.Close()
	start := time.Now()
	r.publish(batch(t, 0, 10))
	select {
	case <-l.Ready():
	case <-time.After(5 * time.Second):
		t.Fatal("nothing heard")
	}
	v := l.Take()
	require.Equal(t, 10, v.Rows)
	require.NotZero(t, v.SeqMin)
	require.LessOrEqual(t, v.TimeMin, v.TimeMax)
	require.Less(t, time.Since(start), 2*time.Second)
	r.once(10)
}

func TestStream_UnknownLogstore(t *testing.T) {
	t.Parallel()
	r := openRig(t, t.TempDir(), nil)
	b := batch(t, 0, 1)
	b.Identity.Logstore = "nowhere"
	_, err := r.stream.Publish(context.Background(), b)
	require.ErrorIs(t, err, ErrNoLogstore)
}
