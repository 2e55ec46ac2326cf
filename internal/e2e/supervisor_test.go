package e2e

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// backWithin is the promise: how soon a worker that was killed works again.
const backWithin = time.Second

// kills is how often the worker is killed; WASMTAIL_KILLS asks for more.
func kills(t *testing.T, few int) int {
	if text := os.Getenv("WASMTAIL_KILLS"); text != "" {
		_, err := fmt.Sscan(text, &few)
		require.NoError(t, err)
	}
	return few
}

// TestWorkersAreKilledAtRandom: worker or supervisor end at any moment, while a
// log is written and rotated. Nothing is lost, nothing is there twice.
func TestWorkersAreKilledAtRandom(t *testing.T) {
	t.Parallel()
	h := startHub(t)
	w := newWriter(t)
	a := newAgent(t, h, pipelineYAML(w.path, "store"))
	a.start(t)
	random := rand.New(rand.NewPCG(3, 4))
	var slowest time.Duration
	n := kills(t, 20)
	for i := range n {
		w.write(20 + random.IntN(100))
		if i%3 == 1 {
			rotations[i/3%2].rotate(w)
			w.write(50)
		}
		<-time.After(time.Duration(random.IntN(60)) * time.Millisecond) // any moment
		if i%5 == 4 {
			a.kill() // both
			a.start(t)
			continue
		}
		before := a.worker()
		require.NoError(t, syscall.Kill(before, syscall.SIGKILL))
		began := time.Now()
		a.eventually("another worker runs", func() bool {
			if now := a.worker(); now == 0 || now == before {
				return false
			}
			_, err := a.status()
			return err == nil
		})
		if i%5 == 0 { // the pause is short again after a while, or after a fresh start
			slowest = max(slowest, time.Since(began))
		}
	}
	t.Logf("%d kills, back within %s", n, slowest)
	require.Less(t, slowest, 3*backWithin, "on a machine that does nothing else it takes a third of a second")
	a.requireAll(h, "store", w.lines)
	reports, err := filepath.Glob(filepath.Join(a.dir, "state", "crashes", "*.txt"))
	require.NoError(t, err)
	require.NotEmpty(t, reports)
	require.LessOrEqual(t, len(reports), 10)
	a.stop()
}

func TestAWorkerWhoseSupervisorIsKilledEnds(t *testing.T) {
	t.Parallel()
	h := startHub(t)
	w := newWriter(t)
	a := newAgent(t, h, pipelineYAML(w.path, "store"))
	a.start(t)
	w.write(5000)
	worker := a.worker()
	require.NotZero(t, worker)
	cmdline, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", worker))
	require.NoError(t, err)
	require.True(t, strings.HasPrefix(string(cmdline), workerName+"\x00run\x00"), "ps tells it from its supervisor")
	require.NoError(t, a.cmd.Process.Kill())
	<-a.done
	began := time.Now()
	a.start(t) // a new one waits until the old worker has ended
	for alive(worker) {
		require.Less(t, time.Since(began), patience)
	}
	require.NotEqual(t, worker, a.worker())
	w.write(10)
	a.requireAll(h, "store", w.lines)

	second := start(t, nil, "wasmtail", "run", "-c", a.config)
	<-second.done
	require.Error(t, second.err)
	require.Contains(t, second.log.String(), "another agent runs on it")
	a.stop()
	require.Zero(t, a.worker())
}

func TestAWorkerThatIsStuckIsReplaced(t *testing.T) {
	t.Parallel()
	h := startHub(t)
	w := newWriter(t)
	a := newAgent(t, h, pipelineYAML(w.path, "store"))
	a.process = start(t, nil, "wasmtail", "run", "--stuck-after", "3s", "-c", a.config)
	a.eventually("the agent is ready", func() bool { _, err := a.status(); return err == nil })
	w.write(100)
	worker := a.worker()
	require.NoError(t, syscall.Kill(worker, syscall.SIGSTOP))
	w.write(100)
	a.eventually("it is replaced", func() bool { now := a.worker(); return now != 0 && now != worker })
	a.requireAll(h, "store", w.lines)

	// One that can still speak says where it was.
	worker = a.worker()
	require.NoError(t, syscall.Kill(worker, syscall.SIGQUIT))
	a.eventually("a report tells where it was", func() bool {
		reports, _ := filepath.Glob(filepath.Join(a.dir, "state", "crashes", fmt.Sprintf("*-%d.txt", worker)))
		if len(reports) != 1 {
			return false
		}
		text, _ := os.ReadFile(reports[0])
		return strings.Contains(string(text), "goroutine ") && strings.Contains(string(text), "agent.(*agent).run(")
	})
	w.write(100)
	a.requireAll(h, "store", w.lines)
	a.stop()
}

func TestAWorkerThatCannotStartEndsTheAgent(t *testing.T) {
	t.Parallel()
	h := newHub(t)
	w := newWriter(t)
	a := newAgent(t, h, pipelineYAML(w.path, "store"))
	require.NoError(t, os.MkdirAll(filepath.Join(a.dir, "agent.sock", "x"), 0o700)) // where it would listen
	a.process = start(t, nil, "wasmtail", "run", "-c", a.config)
	<-a.done
	require.Error(t, a.err)
	require.Equal(t, 1, strings.Count(a.log.String(), "wasmtail: cannot"), "it is said once")
}
