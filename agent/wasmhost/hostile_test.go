package wasmhost

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/wasmtail/wasmtail/internal/record"
)

// poison are lines that end the instance, with the kind of its end.
var poison = map[string]faultKind{
	"!trap": faultTrap, "!wild": faultTrap, "!grow": faultTrap, "!loop": faultDeadline, "!tree": faultDeadline, "!fill": faultDeadline,
	"!deep": faultStack,
}

// overrun is what a call may take beyond its deadline, and the collector with a
// module that runs. Attempts are how often it may fail to: a machine that is busy
// with other things does not matter once in so many, a fault of ours always does.
const (
	overrun  = 50 * time.Millisecond
	attempts = 12
)

// hourly is a clock that moves an hour with each look at it: the breaker, which
// counts the losses of a minute, stays closed.
func hourly(o *Options) {
	var hours atomic.Int64
	o.Now = func() time.Time { return time.Unix(1_800_000_000, 0).Add(time.Duration(hours.Add(1)) * time.Hour) }
}

// least is the shortest time that f takes, and enough if one attempt is within it.
func least(enough time.Duration, f func() time.Duration) time.Duration {
	best := f()
	for n := 1; n < attempts && best > enough; n++ {
		best = min(best, f())
	}
	return best
}

func TestPoison_CostsOneLine(t *testing.T) {
	for line, kind := range poison {
		t.Run(line[1:], func(t *testing.T) {
			const deadline = 250 * time.Millisecond
			l := newLane(t, Spec{Path: guest(t), Limits: Limits{Time: deadline}}, hourly)
			l.parse("warm")
			var out []string
			runs := int64(0)
			took := least(deadline+overrun, func() time.Duration {
				began := time.Now()
				out = l.parse("a", "b", line, "c", "d")
				runs++
				return time.Since(began)
			})
			require.Len(t, out, 5)
			require.Equal(t, []string{"text=a", "text=b"}, out[:2])
			require.Equal(t, []string{"text=c", "text=d"}, out[3:])
			require.Contains(t, out[2], raw(line, "wasm guest: "+kind.String()+": "))
			require.Equal(t, map[string]int64{kind.String(): runs}, l.m.status().Lost)
			require.Less(t, took, deadline+overrun)
			t.Logf("it took %s", took)
			require.Equal(t, []string{"text=e"}, l.parse("e"), "it goes on serving")
		})
	}
}

// TestPoison_AnyLines: whatever lines are poison, each line comes out once and in
// order; those that are not are parsed, unless more were lost than a batch may
// cost.
func TestPoison_AnyLines(t *testing.T) {
	h, _ := open(t)
	now := time.Unix(1_800_000_000, 0)
	h.o.Now = func() time.Time { now = now.Add(time.Hour); return now } // the breaker stays closed
	const limit = 20 * time.Millisecond
	l := laneOf(t, h, Spec{Path: guest(t), Limits: Limits{Time: limit}})
	kinds := []string{"!trap", "!wild", "!deep", "!loop"}
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 60).Draw(t, "lines")
		lines := make([]string, n)
		bad, slow := 0, 0
		for i := range lines {
			lines[i] = fmt.Sprintf("line %d", i)
			if rapid.IntRange(0, 12).Draw(t, "poison") == 0 {
				lines[i] = rapid.SampledFrom(kinds).Draw(t, "kind")
				bad++
				if lines[i] == "!deep" || lines[i] == "!loop" {
					slow++
				}
			}
		}
		b := l.batch(lines...)
		defer b.Release()
		began := time.Now()
		if err := l.p.Process(context.Background(), b); err != nil {
			t.Fatal(err)
		}
		if time.Since(began) > limit { // so it can be for a busy machine, too
			slow++
		}
		if len(b.Records) != n {
			t.Fatalf("%d records of %d lines", len(b.Records), n)
		}
		raws := 0
		for i := range b.Records {
			r := &b.Records[i]
			got, _ := r.Field("text")
			if r.Marks&record.Failed != 0 {
				got, _ = r.Field(record.RawLog)
				raws++
			} else if lines[i][0] == '!' {
				t.Fatalf("line %d is poison and was parsed: %s", i, text(r))
			}
			if string(got) != lines[i] {
				t.Fatalf("record %d is %q, want %q", i, got, lines[i])
			}
		}
		if bad <= replacementsMax && slow == 0 && raws != bad { // with slow ones the batch may run out of time
			t.Fatalf("%d lines are raw, %d were poison: %q", raws, bad, texts(b))
		}
	})
}

// TestLiar_EveryLineComesOutOnceAndInOrder runs a module that lies in every way
// it can.
func TestLiar_EveryLineComesOutOnceAndInOrder(t *testing.T) {
	for _, config := range []string{`{"seed":1}`, `{"seed":2,"join":true}`} {
		h, _ := open(t)
		now := time.Now()
		h.o.Now = func() time.Time { now = now.Add(13 * time.Minute); return now }
		h.o.Log = quiet()
		l := laneOf(t, h, Spec{Path: module(t, "testdata/liar"), Config: []byte(config), Limits: Limits{Time: 10 * time.Millisecond}})
		require.Equal(t, Serving, l.m.status().State, l.m.status().Reason)
		rnd := rand.New(rand.NewPCG(1, 2))
		next, batches := 0, 700/slowly
		for range batches {
			lines := make([]string, 1+rnd.IntN(200))
			for i := range lines {
				lines[i] = fmt.Sprintf("%d %s", next+i, strings.Repeat("x", rnd.IntN(100)))
			}
			b := l.batch(lines...)
			b.Final = true
			kept := strings.Join(lines, "\n")
			require.NoError(t, l.p.Process(context.Background(), b))
			checkLines(t, b, lines)
			require.Equal(t, kept, strings.Join(lines, "\n"))
			b.Release()
			next += len(lines)
		}
		s := l.m.status()
		require.NotEmpty(t, s.Lost["contract"])
		if slowly == 1 {
			require.NotEmpty(t, s.Lost["trap"])
			require.NotEmpty(t, s.Lost["deadline"])
		}
		t.Logf("%d lines, lost %v, failed %d, parsed %d", s.Lines, s.Lost, s.Failed, s.Parsed)
	}
}

// checkLines requires that the records are the lines, each once and in order; a
// lie may have dropped or divided some, which is within the contract.
func checkLines(t *testing.T, b *record.Batch, lines []string) {
	t.Helper()
	at, sum := int64(-1), int64(0)
	for i := range b.Records {
		r := &b.Records[i]
		require.GreaterOrEqual(t, r.Offset, at)
		at = r.Offset
		sum += r.Size
	}
	require.Equal(t, b.End-b.Start, sum+b.FilteredBytes, "every byte is accounted for")
	require.Equal(t, len(lines), len(b.Records)+b.Filtered-b.Reshaped)
	for i := range b.Records {
		require.Contains(t, string(b.Records[i].Raw), strings.SplitN(string(b.Records[i].Raw), " ", 2)[0])
	}
}

// TestGarbageCollector_IsNotStalled: while a module runs without end, the
// collector must not wait for it.
func TestGarbageCollector_IsNotStalled(t *testing.T) {
	l := newLane(t, Spec{Path: guest(t), Limits: Limits{Time: 300 * time.Millisecond}}, hourly)
	l.parse("warm")
	worst := least(overrun, func() time.Duration { return slowestCollection(func() { l.parse("!loop") }) })
	t.Logf("the slowest collection took %s", worst)
	require.Less(t, worst, overrun)
}

// slowestCollection runs the garbage collector without a pause beside f.
func slowestCollection(f func()) time.Duration {
	var worst atomic.Int64
	stop := make(chan struct{})
	var collector sync.WaitGroup
	collector.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
			}
			began := time.Now()
			runtime.GC()
			worst.Store(max(worst.Load(), int64(time.Since(began))))
		}
	})
	f()
	close(stop)
	collector.Wait()
	return time.Duration(worst.Load())
}

func TestBreaker_OpensProbesAndCloses(t *testing.T) {
	var mu sync.Mutex
	now := time.Unix(1_800_000_000, 0)
	clock := func() time.Time { mu.Lock(); defer mu.Unlock(); return now }
	pass := func(d time.Duration) { mu.Lock(); now = now.Add(d); mu.Unlock() }
	l := newLane(t, Spec{Path: guest(t)}, func(o *Options) { o.Now = clock })
	for range breakerLosses {
		require.Equal(t, Serving, l.m.status().State)
		l.parse("!trap")
	}
	s := l.m.status()
	require.Equal(t, Broken, s.State)
	require.Contains(t, s.Reason, "it failed 5 times within 1m0s")
	require.Equal(t, now.Add(breakerMin), s.RetryAt)
	require.Contains(t, l.parse("a")[0], "bypassed: it failed 5 times")
	require.EqualValues(t, 1, l.m.status().Bypassed)

	pass(breakerMin) // one batch may pass, and fails
	require.Contains(t, l.parse("!trap")[0], "trap: ")
	require.Equal(t, now.Add(2*breakerMin), l.m.status().RetryAt, "it waits longer")
	pass(2 * breakerMin)
	require.Equal(t, []string{"text=a"}, l.parse("a"), "the probe is served")
	require.Equal(t, Serving, l.m.status().State)
	require.Equal(t, []string{"text=b"}, l.parse("b"))
}

func TestBreaker_StaysOpenWhenTheProbeCannotStart(t *testing.T) {
	var mu sync.Mutex
	now := time.Unix(1_800_000_000, 0)
	l := newLane(t, Spec{Path: guest(t)}, func(o *Options) { o.Now = func() time.Time { mu.Lock(); defer mu.Unlock(); return now } })
	for range breakerLosses {
		l.parse("!trap")
	}
	require.Equal(t, Broken, l.m.status().State)
	l.p.in.close()
	l.p.in = nil
	l.m.spec.Limits.Line = 1 << 30 // no instance has room for it
	now = now.Add(breakerMin)
	require.Contains(t, l.parse("a")[0], "gave no room")
	require.Equal(t, Broken, l.m.status().State)
	require.Equal(t, now.Add(2*breakerMin), l.m.status().RetryAt)
}

func TestFatal_IsNotCalledAgain(t *testing.T) {
	l := newLane(t, Spec{Path: guest(t), Limits: Limits{Batch: 4 << 10}})
	lines := []string{"!fatal"}
	for i := range 1000 {
		lines = append(lines, fmt.Sprintf("line %d of many", i))
	}
	out := l.parse(lines...)
	require.Len(t, out, len(lines))
	for i := range out {
		require.Contains(t, out[i], "__raw_log__="+lines[i]+" __error__=wasm guest: fatal")
	}
	require.EqualValues(t, 1, l.m.spec.counters.calls.Load())
	require.Equal(t, Refused, l.m.status().State)
	require.Contains(t, l.parse("later")[0], "bypassed")
	require.EqualValues(t, 1, l.m.spec.counters.calls.Load())
	require.Contains(t, newLane(t, Spec{Path: guest(t), Samples: []Sample{{Line: "!fatal"}}}).m.status().Reason, "must not be called again")
}

func TestBreaker_OpensWhenManyLinesFail(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	l := newLane(t, Spec{Path: guest(t)}, func(o *Options) { o.Now = func() time.Time { now = now.Add(time.Hour); return now } })
	lines := make([]string, 300)
	for i := range lines {
		lines[i] = "!severity 99" // breaks the contract
	}
	for range 4 {
		l.parse(lines...)
	}
	require.Equal(t, Broken, l.m.status().State)
	require.Contains(t, l.m.status().Reason, "it failed 1200 of 1200 lines")
}

func TestHold_WaitsForTheModule(t *testing.T) {
	path := filepath.Join(t.TempDir(), "m.wasm")
	h, _ := open(t)
	l := laneOf(t, h, Spec{Path: path, Hold: true})
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	b := l.batch("a")
	require.ErrorIs(t, l.p.Process(ctx, b), ErrHeld)
	b.Release()

	served := make(chan []string)
	go func() {
		b := l.batch("b")
		defer b.Release()
		_ = l.p.Process(context.Background(), b)
		served <- texts(b)
	}()
	bin, err := os.ReadFile(guest(t))
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(path, bin, 0o600))
	h.look(context.Background())
	require.Equal(t, []string{"text=b"}, <-served)
}

// TestLeakingModule_IsRecycled runs as many batches as a source has in an hour
// when one is closed each second.
func TestLeakingModule_IsRecycled(t *testing.T) {
	l := newLane(t, Spec{Path: guest(t), Limits: Limits{Memory: 8 << 20}})
	for i := range 3600 / slowly {
		require.Equal(t, []string{"text=!leak", fmt.Sprintf("text=line %d", i)}, l.parse("!leak", fmt.Sprintf("line %d", i)))
	}
	require.Empty(t, l.m.status().Lost)
	require.Greater(t, l.m.spec.counters.recycled.Load(), int64(72/slowly))
}

func TestReplacedInstances_LeaveNoMemory(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	l := newLane(t, Spec{Path: guest(t)}, func(o *Options) { o.Now = func() time.Time { now = now.Add(time.Hour); return now } })
	resident := func() int64 {
		runtime.GC()
		return residentBytes(os.Getpid())
	}
	for range 100 {
		l.parse("!trap")
	}
	before := resident()
	for range 1000 / slowly {
		l.parse("!trap")
	}
	after := resident()
	t.Logf("resident before %d KiB, after %d KiB", before>>10, after>>10)
	require.Less(t, after-before, int64(8<<20))
	require.EqualValues(t, 100+1000/slowly, l.m.status().Lost["trap"])
}

func TestLog_IsLimited(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	h, said := open(t, func(o *Options) { o.Now = func() time.Time { return now } })
	l := laneOf(t, h, Spec{Path: guest(t)})
	for range 200 {
		l.parse("!log line\x1b[31m")
	}
	require.Equal(t, logBurst, strings.Count(said.String(), "line [31m"))
	now = now.Add(time.Second)
	l.parse("!log more")
	require.Contains(t, said.String(), "messages_left_out=150")
}

// TestOtherPipelines_AreNotDisturbed: one module loops in every batch while
// another parses beside it.
func TestOtherPipelines_AreNotDisturbed(t *testing.T) {
	h, _ := open(t, hourly)
	bad := laneOf(t, h, Spec{Pipeline: "bad", Path: guest(t), Limits: Limits{Time: 20 * time.Millisecond}})
	good := laneOf(t, h, Spec{Pipeline: "good", Path: guest(t)})
	stop := make(chan struct{})
	var harm sync.WaitGroup
	harm.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
				bad.parse("!loop", "!deep", "!trap")
			}
		}
	})
	var slowest time.Duration
	for i := range 300 {
		began := time.Now()
		require.Equal(t, []string{fmt.Sprintf("text=%d", i)}, good.parse(fmt.Sprint(i)))
		slowest = max(slowest, time.Since(began))
	}
	close(stop)
	harm.Wait()
	require.Empty(t, good.m.status().Lost)
	t.Logf("the slowest batch took %s", slowest)
}
