package guard

import (
	"context"
	"errors"
	"io"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sirupsen/logrus"
	"github.com/stretchr/testify/require"
)

// fake is a process that tests say the use of.
type fake struct{ used, memory, files atomic.Int64 }

func (f *fake) cpu() time.Duration { return time.Duration(f.used.Load()) }
func (f *fake) resident() int64    { return f.memory.Load() }
func (f *fake) openFiles() int     { return int(f.files.Load()) }

func quiet() *logrus.Logger {
	l := logrus.New()
	l.SetOutput(io.Discard)
	return l
}

// TestGuard_SlowsAndFollowsChanges: the processor time of those who wait, under a
// limit, another one, and none.
func TestGuard_SlowsAndFollowsChanges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := context.WithCancel(t.Context())
		defer stop()
		f := &fake{}
		g := New(Options{Limits: Limits{CPU: 0.5}, Log: quiet(), source: f})
		var all sync.WaitGroup
		all.Go(func() { g.Run(ctx) })
		for range 3 {
			all.Go(func() {
				for ctx.Err() == nil {
					allowed, err := g.Wait(ctx, 512<<10)
					if err != nil {
						return
					}
					cost := time.Duration(allowed) * 20 * time.Nanosecond
					time.Sleep(cost)
					f.used.Add(int64(cost))
				}
			})
		}
		over := func(d time.Duration) float64 {
			before := f.cpu()
			time.Sleep(d)
			return (f.cpu() - before).Seconds() / d.Seconds()
		}
		over(2 * time.Second)
		require.InDelta(t, 0.5, over(10*time.Second), 0.05)
		require.Equal(t, Slowed, g.Usage().CPU.State)
		g.SetLimits(Limits{CPU: 0.2})
		over(time.Second) // what was allowed before is in this second
		for range 10 {
			require.LessOrEqual(t, over(time.Second), 0.22)
		}
		require.InDelta(t, 0.2, g.Usage().CPU.Used, 0.03)
		g.SetLimits(Limits{})
		require.Greater(t, over(time.Second), 2.9)
		require.Equal(t, Free, g.Usage().CPU.State)
		stop()
		all.Wait()
	})
}

// TestGuard_AlwaysLetsSomethingPass even if others use more than there is.
func TestGuard_AlwaysLetsSomethingPass(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{}
		g := New(Options{Limits: Limits{CPU: 0.5}, Log: quiet(), source: f})
		busy, stop := context.WithCancel(t.Context())
		defer stop()
		var all sync.WaitGroup
		all.Go(func() {
			for busy.Err() == nil {
				time.Sleep(time.Millisecond)
				f.used.Add(int64(time.Millisecond))
			}
		})
		time.Sleep(time.Second)
		for range 3 {
			began := time.Now()
			allowed, err := g.Wait(t.Context(), 1<<20)
			require.NoError(t, err)
			require.LessOrEqual(t, allowed, pieceMin)
			require.Less(t, time.Since(began), starving+time.Second)
		}
		require.Equal(t, Exceeded, g.Usage().CPU.State)
		stop()
		all.Wait()
	})
}

func TestGuard_WaitsForMemoryUntilToldToStop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{}
		f.memory.Store(99 * mib)
		f.files.Store(95)
		var reasons []error
		ctx, stop := context.WithCancel(t.Context())
		defer stop()
		g := New(Options{
			Limits: Limits{Memory: 100 * mib, OpenFiles: 100}, Log: quiet(), source: f,
			Restart: func(reason error) { reasons = append(reasons, reason) },
		})
		var all sync.WaitGroup
		all.Go(func() { g.Run(ctx) })
		time.Sleep(2 * restartAfter)
		u := g.Usage()
		require.Equal(t, Stopped, u.Memory.State)
		require.Equal(t, Near, u.OpenFiles.State)
		why := errors.New("enough")
		waiting, end := context.WithCancelCause(ctx)
		all.Go(func() {
			_, err := g.Wait(waiting, 10)
			require.ErrorIs(t, err, why)
		})
		time.Sleep(time.Second)
		end(why)
		synctest.Wait()
		f.memory.Store(50 * mib)
		time.Sleep(2 * time.Second)
		allowed, err := g.Wait(ctx, 10)
		require.NoError(t, err)
		require.Equal(t, 10, allowed)
		require.Equal(t, Free, g.Usage().Memory.State)
		stop()
		all.Wait()
		require.Len(t, reasons, 1)
	})
}

func TestSystem_KnowsThisProcess(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("only Linux tells all of it")
	}
	before := system{}.cpu()
	for (system{}).cpu()-before < 10*time.Millisecond {
		continue
	}
	touched := make([]byte, 64*mib)
	resident := system{}.resident()
	for i := range touched {
		touched[i] = 1
	}
	require.Greater(t, system{}.resident(), resident+32*mib)
	runtime.KeepAlive(touched)
	files := system{}.openFiles()
	r, w, err := os.Pipe()
	require.NoError(t, err)
	require.Equal(t, files+2, system{}.openFiles())
	require.NoError(t, errors.Join(r.Close(), w.Close()))
}

// BenchmarkWait is what a batch costs without a limit of the processor, and with
// one that is not reached.
func BenchmarkWait(b *testing.B) {
	for name, cpu := range map[string]float64{"none": 0, "high": 1000} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			g := New(Options{Limits: Limits{CPU: cpu}, Log: quiet()})
			for b.Loop() {
				if _, err := g.Wait(b.Context(), 1000); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
