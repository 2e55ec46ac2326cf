package queue

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/wasmtail/wasmtail/internal/durable"
)

const diskDir = "/state/queue/out"

// rig is a queue on a disk in memory, the sources that feed it, and what came
// out of it.
type rig struct {
	t        require.TestingT
	fs       *durable.Mem
	budget   *Budget
	change   func(*Disk)
	q        *Queue
	lane     int
	put      map[uint64]int   // payloads that each stream has put so far
	acked    map[uint64]int   // of these, the first so many are acknowledged
	got      map[uint64][]int // delivered, in order
	lost     []Loss
	failures []error
	patience time.Duration // of send, 0 for none
	refused  bool          // send may end without success
	unnoted  int           // deliveries while the disk failed: they may come again
}

func newRig(t require.TestingT) *rig {
	r := &rig{
		t: t, fs: durable.NewMem(), budget: NewBudget(1 << 20),
		put: map[uint64]int{}, acked: map[uint64]int{}, got: map[uint64][]int{},
	}
	r.start()
	return r
}

// start opens the queue. Sources go on where they were acknowledged.
func (r *rig) start() {
	d := &Disk{FS: r.fs, Dir: diskDir, Format: "test", Budget: r.budget}
	if r.change != nil {
		r.change(d)
	}
	r.q = New(Options{
		BytesMax: 1 << 20, Senders: 3, Disk: d,
		Lost:      func(l Loss) { r.lost = append(r.lost, l) },
		DiskFails: func(err error) { r.failures = append(r.failures, err) },
	})
	require.NoError(r.t, r.q.Open())
	r.lane = r.q.Lane()
	for stream := range r.put {
		r.put[stream] = r.acked[stream]
	}
}

// crash loses what the disk had not kept, and starts again.
func (r *rig) crash(pick func(n int) int) {
	r.fs.Fault = nil
	r.fs.Restart(pick)
	r.patience, r.refused = 0, false
	r.lost = nil // the process that said so is gone
	r.budget = NewBudget(1 << 20)
	r.start()
}

func all(n int) int { return n }

func (r *rig) label(stream uint64, n int) Label {
	return Label{
		Stream: stream, Destination: fmt.Sprintf("store-%d", stream%2), Generation: "abc", Path: fmt.Sprintf("/var/log/%d.log", stream),
		Start: int64(n) * 10, End: int64(n)*10 + 10, Records: 1,
	}
}

// send puts the next payload of a stream.
func (r *rig) send(stream uint64) {
	n := r.put[stream]
	r.put[stream]++
	text := fmt.Sprintf("%d/%d %s", stream, n, strings.Repeat("x", n%7*30))
	ctx := context.Background()
	if r.patience > 0 {
		c, cancel := context.WithTimeout(ctx, r.patience)
		defer cancel()
		ctx = c
	}
	_, err := r.q.Put(ctx, r.lane, Entry{Payload: []byte(text), Label: r.label(stream, n)}, func(err error) {
		if err == nil {
			require.Equal(r.t, r.acked[stream], n, "acknowledged out of order")
			r.acked[stream]++
		}
	})
	if err != nil && r.patience > 0 {
		r.put[stream]-- // it is tried again later
	}
	if !r.refused {
		require.NoError(r.t, err)
	}
}

// spill moves the memory to the disk, as when a lane has waited too long.
func (r *rig) spill() {
	r.q.mu.Lock()
	may := !r.q.spilled
	r.q.moving = r.q.moving || may
	r.q.mu.Unlock()
	if may {
		r.q.spill()
	}
}

// take lends the next payload, nil if there is none.
func (r *rig) take() *Lease {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	l, err := r.q.Take(ctx)
	if err != nil {
		return nil
	}
	return l
}

func (r *rig) deliver(l *Lease) {
	var stream uint64
	var n int
	_, err := fmt.Sscanf(string(l.Payload), "%d/%d", &stream, &n)
	require.NoError(r.t, err)
	require.Equal(r.t, r.label(stream, n), l.Label)
	seen := r.got[stream]
	require.True(r.t, slices.Contains(seen, n) || n == len(slices.Compact(slices.Sorted(slices.Values(seen)))), "stream %d: %d came after %v", stream, n, seen)
	r.got[stream] = append(seen, n)
	if r.fs.Fault != nil {
		r.unnoted++
	}
	l.Release(nil)
}

func (r *rig) drain() {
	for l := r.take(); l != nil; l = r.take() {
		r.deliver(l)
	}
}

// complete requires that everything that was acknowledged came, and how much of
// it came again.
func (r *rig) complete() (repeated int) {
	for stream, n := range r.acked {
		distinct := slices.Compact(slices.Sorted(slices.Values(r.got[stream])))
		require.GreaterOrEqual(r.t, len(distinct), n, "stream %d: acknowledged and never delivered", stream)
		repeated += len(r.got[stream]) - len(distinct)
	}
	return repeated
}

func TestDisk_KeepsOrderThroughMemoryAndBack(t *testing.T) {
	r := newRig(t)
	for round := range 20 {
		for i := range 30 {
			r.send(uint64(i % 5))
			if i == 10+round%7 {
				l := r.take()
				r.spill()
				r.deliver(l)
			}
		}
		require.Positive(t, r.q.DiskBytes())
		require.Zero(t, r.q.Bytes(), "memory is given back")
		r.drain()
		require.Zero(t, r.q.DiskBytes(), "an empty disk cache has no files")
		require.Zero(t, r.budget.Used())
	}
	require.Zero(t, r.complete())
	require.Empty(t, r.lost)
	names, err := r.fs.List(diskDir)
	require.NoError(t, err)
	require.Empty(t, names)
}

// TestDisk_AgainstAnOracle: whatever happens, what was acknowledged is delivered,
// in order; and what is delivered twice was out when the process ended.
func TestDisk_AgainstAnOracle(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := newRig(t)
		var out []*Lease
		allowed := 0
		t.Repeat(map[string]func(*rapid.T){
			"put":   func(t *rapid.T) { r.send(rapid.Uint64Range(0, 3).Draw(t, "stream")) },
			"spill": func(*rapid.T) { r.spill() },
			"disk fails": func(t *rapid.T) {
				r.patience, r.refused = time.Nanosecond, true // putting may wait
				at := rapid.IntRange(0, 5).Draw(t, "at")
				start := r.fs.Calls()
				r.fs.Fault = func(call int, _, _ string) error {
					if call >= start+at {
						return errors.New("input/output error")
					}
					return nil
				}
			},
			"disk fails once": func(t *rapid.T) {
				r.patience, r.refused = time.Nanosecond, true
				at := r.fs.Calls() + rapid.IntRange(0, 8).Draw(t, "at")
				r.fs.Fault = func(call int, _, _ string) error {
					if call == at {
						return errors.New("input/output error")
					}
					return nil
				}
			},
			"the machine dies at a step": func(t *rapid.T) {
				r.patience, r.refused = time.Nanosecond, true
				at := r.fs.Calls() + rapid.IntRange(0, 8).Draw(t, "at")
				r.fs.Fault = func(call int, _, _ string) error {
					if call >= at {
						return durable.ErrCrashed
					}
					return nil
				}
				for range rapid.IntRange(1, 4).Draw(t, "payloads") {
					r.send(rapid.Uint64Range(0, 3).Draw(t, "stream"))
					r.spill()
					if l := r.take(); l != nil {
						r.deliver(l)
					}
				}
				allowed, out = 1<<20, nil
				survive := rapid.IntRange(0, 3).Draw(t, "survive")
				r.crash(func(n int) int { return n * survive / 3 })
			},
			"disk is full": func(t *rapid.T) {
				r.patience, r.refused = time.Nanosecond, true
				r.budget.SetMax(r.budget.Used() + rapid.Int64Range(0, 500).Draw(t, "room"))
			},
			"disk has room": func(*rapid.T) { r.budget.SetMax(1 << 20) },
			"disk heals": func(*rapid.T) {
				r.fs.Fault = nil
				r.q.disk.mu.Lock()
				r.q.disk.usable = time.Time{} // the pause is over
				r.q.disk.mu.Unlock()
			},
			"retry": func(t *rapid.T) {
				if len(out) > 0 {
					out[0].Retry(Setback{Scope: Stream})
					out = out[1:]
					for _, s := range r.q.streams {
						s.until = time.Time{}
					}
				}
			},
			"take": func(*rapid.T) {
				if l := r.take(); l != nil {
					out = append(out, l)
				}
			},
			"release": func(t *rapid.T) {
				if len(out) > 0 {
					i := rapid.IntRange(0, len(out)-1).Draw(t, "i")
					r.deliver(out[i])
					out = slices.Delete(out, i, i+1)
				}
			},
			"return": func(t *rapid.T) { // as a stopping sender does, and a stopping agent then
				for _, l := range out {
					l.Return()
				}
				out = nil
				r.q.Close()
				r.q.Shut(errors.New("stopped"))
				r.crash(all)
			},
			"kill": func(t *rapid.T) {
				allowed += len(out)
				out = nil
				r.crash(all)
			},
			"power loss": func(t *rapid.T) {
				allowed = 1 << 20 // what was noted, not synced, comes again
				out = nil
				survive := rapid.IntRange(0, 3).Draw(t, "survive")
				r.crash(func(n int) int { return n * survive / 3 })
			},
		})
		r.fs.Fault = nil
		r.budget.SetMax(1 << 20)
		for _, l := range out {
			r.deliver(l)
		}
		r.drain()
		r.q.disk.usable = time.Time{}
		r.send(0) // what could not be deleted is now
		r.spill()
		r.drain()
		require.LessOrEqual(t, r.complete(), allowed+r.unnoted)
		require.Empty(t, r.lost)
		require.Zero(t, r.q.DiskBytes())
		require.Zero(t, r.budget.Used())
		require.Zero(t, r.bytesOf(segmentSuffix, badSuffix, durable.TempSuffix))
	})
}

// TestDisk_CrashAtEveryStep: the disk ends at each of its steps, by turns, with
// none, some or all of what was not synced.
func TestDisk_CrashAtEveryStep(t *testing.T) {
	for step := 0; ; step++ {
		reached := false
		for survive := range 4 {
			r := newRig(t)
			r.send(1)
			start := r.fs.Calls()
			r.fs.Fault = func(call int, _, _ string) error {
				if call >= start+step {
					reached = true
					return durable.ErrCrashed
				}
				return nil
			}
			for i := range 6 {
				r.send(uint64(i % 2))
			}
			r.spill()
			for range 3 {
				if l := r.take(); l != nil {
					r.deliver(l)
				}
			}
			r.patience, r.refused = time.Nanosecond, true
			r.send(2)
			r.drain()
			r.crash(func(n int) int { return n * survive / 3 })
			for stream := range uint64(3) {
				for r.put[stream] < 4 { // the sources read on
					r.send(stream)
				}
			}
			r.drain()
			r.complete()
			require.Empty(t, r.lost)
			for stream := range uint64(3) {
				require.Equal(t, 4, r.acked[stream])
			}
		}
		if !reached {
			require.Greater(t, step, 8)
			return
		}
	}
}

// TestDisk_FailsAndHeals: while the disk fails or is full, nothing is
// acknowledged that is not safe, and putting waits; then it goes on.
func TestDisk_FailsAndHeals(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.send(0)
		r.spill()
		ill := errors.New("no space left on device")
		var fails atomic.Bool
		r.fs.Fault = func(_ int, op, _ string) error {
			if fails.Load() && (op == "write" || op == "sync") {
				return ill
			}
			return nil
		}
		for range 10 {
			fails.Store(true)
			go r.send(0)
			time.Sleep(time.Minute)
			synctest.Wait()
			require.Equal(t, r.put[0]-1, r.acked[0])
			fails.Store(false)
			time.Sleep(2 * brokenPause)
			synctest.Wait()
			require.Equal(t, r.put[0], r.acked[0])
		}
		require.NotEmpty(t, r.failures)
		require.ErrorIs(t, r.failures[0], ill)

		r.budget.SetMax(0)
		began := time.Now()
		go r.send(0)
		time.Sleep(time.Minute)
		synctest.Wait()
		require.Equal(t, r.put[0]-1, r.acked[0], "a full disk takes nothing")
		r.deliver(r.take())
		r.budget.SetMax(1 << 20)
		time.Sleep(2 * patience)
		synctest.Wait()
		require.Equal(t, r.put[0], r.acked[0])
		require.Less(t, time.Since(began), 2*time.Minute)
		r.drain()
		require.Zero(t, r.complete())
	})
}

// TestDisk_IsUsedAfterASecond: a slow output is none that is away.
func TestDisk_IsUsedAfterASecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.q.o.BytesMax = 10
		r.send(0)
		go r.send(0)
		for range 3 {
			time.Sleep(patience - time.Millisecond)
			synctest.Wait()
			require.Zero(t, r.q.DiskBytes())
			r.deliver(r.take())
			synctest.Wait()
			go r.send(0)
		}
		time.Sleep(patience)
		synctest.Wait()
		require.Positive(t, r.q.DiskBytes())
		require.Equal(t, r.put[0], r.acked[0])
		r.drain()
		require.Zero(t, r.complete())
	})
}

// TestDisk_IsUsedWhileAttemptsFail, however little there is.
func TestDisk_IsUsedWhileAttemptsFail(t *testing.T) {
	for _, scope := range []Scope{Output, Destination, Stream} {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t)
			r.send(0)
			ctx, stop := context.WithCancel(t.Context())
			ended := make(chan struct{})
			go func() {
				defer close(ended)
				for {
					l, err := r.q.Take(ctx)
					if err != nil {
						return
					}
					l.Retry(Setback{Scope: scope})
				}
			}()
			time.Sleep(lagMax - time.Millisecond)
			synctest.Wait()
			require.Zero(t, r.acked[0])
			time.Sleep(time.Millisecond)
			synctest.Wait()
			require.Equal(t, 1, r.acked[0])
			r.send(0)
			require.Equal(t, 2, r.acked[0])
			stop()
			<-ended
			time.Sleep(2 * pauseMax)
			r.drain()
			time.Sleep(2 * pauseMax)
			r.drain()
			require.Zero(t, r.complete())
		})
	}
}

// TestDisk_DamageIsNamed changes each byte of a segment by turns: all records
// but the one that was hit are delivered, and that one is named.
func TestDisk_DamageIsNamed(t *testing.T) {
	filled := func() (*rig, string, int) {
		r := newRig(t)
		for i := range 3 {
			r.send(uint64(i))
		}
		r.spill()
		r.q.disk.seal()
		names, err := r.fs.List(diskDir)
		require.NoError(t, err)
		require.Len(t, names, 1)
		data, err := r.fs.ReadFile(diskDir + "/" + names[0])
		require.NoError(t, err)
		return r, diskDir + "/" + names[0], len(data)
	}
	_, _, size := filled()
	header := frameBytes + len(segmentMagic) + len("test")
	for at := range size {
		r, name, _ := filled()
		r.fs.Edit(name, func(data []byte) []byte { data[at] ^= 0x10; return data })
		r.crash(all)
		r.drain()
		came := len(r.got[0]) + len(r.got[1]) + len(r.got[2])
		switch {
		case at < header:
			require.Zero(t, came)
			require.Len(t, r.lost, 1)
			require.Equal(t, SetAside, r.lost[0].Reason)
		case len(r.lost) == 1:
			require.Equal(t, 2, came, "byte %d: %v", at, r.lost)
			require.Equal(t, Damaged, r.lost[0].Reason)
			require.Equal(t, 1, r.lost[0].Records)
		default:
			require.Empty(t, r.lost)
			require.Equal(t, 3, came, "byte %d", at) // of the foot
		}
		require.False(t, r.q.spilled, "byte %d: what is damaged does not stay in the way", at)
	}
}

// TestDisk_StrangeFilesDoNotStopIt: truncated, filled with zeros, of another
// version or output, swapped.
func TestDisk_StrangeFilesDoNotStopIt(t *testing.T) {
	name := diskDir + "/00000000000000000001.seg"
	for what, c := range map[string]struct {
		edit       func([]byte) []byte
		came, lost int
		stays      string
	}{
		"untouched":       {func(b []byte) []byte { return b }, 5, 0, ""},
		"empty":           {func([]byte) []byte { return nil }, 0, 0, ""},
		"half a header":   {func(b []byte) []byte { return b[:9] }, 0, 0, ""},
		"torn":            {func(b []byte) []byte { return b[:len(b)-30] }, 4, 0, ""},
		"zeros":           {func(b []byte) []byte { return make([]byte, len(b)) }, 0, 1, ".bad"},
		"zeros at end":    {func(b []byte) []byte { return append(b[:len(b)-30], make([]byte, 30)...) }, 4, 0, ""},
		"another version": {func(b []byte) []byte { return replaceHeader(b, "wasmtail queue 9 test") }, 0, 1, ".seg"},
		"another output":  {func(b []byte) []byte { return replaceHeader(b, segmentMagic+"kafka") }, 0, 1, ".seg"},
		"no queue at all": {func([]byte) []byte { return []byte(strings.Repeat("GIF89a", 50)) }, 0, 1, ".bad"},
	} {
		t.Run(what, func(t *testing.T) {
			r := newRig(t)
			for i := range 5 {
				r.send(uint64(i))
			}
			r.spill()
			r.fs.Edit(name, c.edit)
			r.crash(all)
			r.drain()
			came := 0
			for _, got := range r.got {
				came += len(got)
			}
			require.Equal(t, c.came, came)
			require.Len(t, r.lost, c.lost)
			for _, l := range r.lost {
				require.Equal(t, SetAside, l.Reason)
				require.ErrorContains(t, l.Err, "00000000000000000001")
			}
			names, err := r.fs.List(diskDir)
			require.NoError(t, err)
			if c.stays == "" {
				require.Empty(t, names)
			} else {
				require.Equal(t, []string{"00000000000000000001" + c.stays}, names, "nothing is thrown away")
			}
			r.send(9)
			r.drain()
			require.Len(t, r.got[9], 1)
		})
	}
}

func replaceHeader(segment []byte, header string) []byte {
	old := frameBytes + len(segmentMagic) + len("test")
	return append(durable.AppendFrame(nil, []byte(header)), segment[old:]...)
}

// TestDisk_GivesUpWhatIsTooOld, counted and named, and only if asked to.
func TestDisk_GivesUpWhatIsTooOld(t *testing.T) {
	for _, ageMax := range []time.Duration{0, 24 * time.Hour} {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t)
			r.change = func(d *Disk) { d.AgeMax = ageMax }
			r.crash(all)
			for range 4 {
				r.send(7)
			}
			r.spill()
			time.Sleep(25 * time.Hour)
			r.send(7)
			var came []Label
			for l := r.take(); l != nil; l = r.take() {
				came = append(came, l.Label)
				l.Release(nil)
			}
			if ageMax == 0 {
				require.Len(t, came, 5)
				require.Empty(t, r.lost)
				return
			}
			require.Equal(t, []Label{r.label(7, 4)}, came)
			require.Len(t, r.lost, 4)
			for i, l := range r.lost {
				require.Equal(t, Expired, l.Reason)
				require.Equal(t, r.label(7, i), l.Label)
			}
		})
	}
}

// TestDisk_NewestFirst sends whole segments, the newest first.
func TestDisk_NewestFirst(t *testing.T) {
	r := newRig(t)
	r.change = func(d *Disk) { d.NewestFirst = true }
	r.crash(all)
	for i := range 4 {
		r.send(uint64(i))
		r.spill()
		r.q.disk.seal()
	}
	var order []uint64
	for l := r.take(); l != nil; l = r.take() {
		order = append(order, l.Label.Stream)
		l.Release(nil)
	}
	require.Equal(t, []uint64{3, 2, 1, 0}, order)
}

// TestDisk_SegmentsComeAndGo: a backlog of many segments is read as it is sent,
// and deleted as it is delivered.
func TestDisk_SegmentsComeAndGo(t *testing.T) {
	budget := NewBudget(1 << 30)
	dir := filepath.Join(t.TempDir(), "out")
	q := New(Options{BytesMax: 1 << 20, Senders: 4, Disk: &Disk{FS: durable.OS{}, Dir: dir, Format: "test", Budget: budget}})
	require.NoError(t, q.Open())
	lane, random := q.Lane(), make([]byte, 1<<20)
	for i := range random {
		random[i] = byte(i * i >> 7 * (i % 251))
	}
	q.spilled = true
	const n = 30
	acked := 0
	for i := range n {
		_, err := q.Put(context.Background(), lane, Entry{Payload: append([]byte{byte(i)}, random...), Label: Label{Stream: 1}}, func(err error) {
			require.NoError(t, err)
			acked++
		})
		require.NoError(t, err)
	}
	require.Equal(t, n, acked)
	most := segments(t, dir)
	require.Positive(t, most)
	for i := range n {
		l, err := q.Take(context.Background())
		require.NoError(t, err)
		require.EqualValues(t, i, l.Payload[0])
		require.Equal(t, random, l.Payload[1:])
		l.Release(nil)
	}
	require.Zero(t, segments(t, dir))
	require.Zero(t, budget.Used())
	q.Close()
	_, err := q.Take(context.Background())
	require.ErrorIs(t, err, ErrClosed)
	q.Shut(ErrClosed)
}

func segments(t *testing.T, dir string) int {
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	return len(entries)
}

// TestRetry_IsPacedByWhatFailed: a destination that takes nothing, or a stream,
// holds up no other; an output that is away is asked by one at a time.
func TestRetry_IsPacedByWhatFailed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		for i := range 4 {
			r.send(uint64(i)) // stores 0, 1, 0, 1
		}
		r.take().Retry(Setback{Scope: Destination, After: time.Minute, Slower: true})
		r.deliver(r.take())
		r.deliver(r.take())
		require.Nil(t, r.take(), "store-0 is to be left alone for a minute")
		require.Equal(t, map[uint64][]int{1: {0}, 3: {0}}, r.got)
		time.Sleep(time.Minute)
		l := r.take()
		require.NotNil(t, l)
		require.Nil(t, r.take(), "half as many at once, and a gap")
		r.deliver(l)
		time.Sleep(time.Second)
		r.deliver(r.take())

		for i := range 4 {
			r.send(uint64(i))
		}
		time.Sleep(time.Second)
		a, b, c := r.take(), r.take(), r.take()
		require.Nil(t, r.take(), "three senders")
		a.Retry(Setback{})
		b.Retry(Setback{})
		c.Retry(Setback{})
		require.Nil(t, r.take())
		require.Equal(t, 1, r.q.all.failures, "what fails together counts once")
		for attempt := range 20 {
			time.Sleep(pauseMax + time.Second)
			l := r.take()
			require.NotNil(t, l, "attempt %d", attempt)
			require.Nil(t, r.take(), "one asks whether it is back")
			l.Retry(Setback{})
		}
		for range 10 { // store-0 still has a gap
			time.Sleep(pauseMax + time.Second)
			r.drain()
		}
		require.Zero(t, r.complete())
		require.Len(t, r.got, 4)
	})
}

func FuzzScanSegment(f *testing.F) {
	fs := durable.NewMem()
	header := durable.AppendFrame(nil, []byte(segmentMagic+"test"))
	l := Label{Stream: 3, Destination: "a", Path: "/b", Start: 5, End: 9, Records: 2}
	record := appendRecord(nil, &l, []byte("some payload"), time.Unix(9, 9))
	f.Add(append(append([]byte{}, header...), record...))
	f.Add(appendFoot(append(append(append([]byte{}, header...), record...), record...), 3))
	f.Fuzz(func(t *testing.T, data []byte) {
		require.NoError(t, durable.WriteFile(fs, "/s", data))
		r, err := fs.Open("/s")
		require.NoError(t, err)
		end := int64(0)
		_, err = scanSegment(r, func(rec foundRecord) {
			require.GreaterOrEqual(t, rec.at, end)
			end = rec.at + int64(rec.size)
			require.LessOrEqual(t, end, int64(len(data)))
			h, _, err := (&spool{}).read(nil, place{&segment{reader: r}, rec.at, rec.size})
			require.Equal(t, rec.Label, h.Label, err)
		})
		_ = err
	})
}
