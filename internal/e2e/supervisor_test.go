package e2e

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
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

// startEager starts an agent whose worker always comes back after the shortest pause: a
// test kills it more often than once a minute.
func (a *agentProcess) startEager(t *testing.T, args ...string) {
	t.Helper()
	a.process = start(t, a.env, "wasmtail", append([]string{"run", "--ran-well", "1ms", "-c", a.config}, args...)...)
	a.eventually("the agent is ready", func() bool { _, err := a.status(); return err == nil })
}

// back waits until a worker that was ended works again, and says how long that took.
func (a *agentProcess) back(before int) time.Duration {
	a.t.Helper()
	began := time.Now()
	a.eventually("another worker runs", func() bool {
		if now := a.worker(); now == 0 || now == before {
			return false
		}
		_, err := a.status()
		return err == nil
	})
	return time.Since(began)
}

// reports are the paths of the reports of crashes, of one worker or of all.
func (a *agentProcess) reports(worker string) []string {
	paths, err := filepath.Glob(filepath.Join(a.dir, "state", "crashes", "*-"+worker+".txt"))
	require.NoError(a.t, err)
	return paths
}

// TestWorkersAreKilledAtRandom: the worker, or both processes, end at any moment,
// while a log is written and rotated. Nothing is lost, nothing is there twice.
func TestWorkersAreKilledAtRandom(t *testing.T) {
	t.Parallel()
	h := startHub(t)
	w := newWriter(t)
	a := newAgent(t, h, pipelineYAML(w.path, "store"))
	a.startEager(t)
	random := rand.New(rand.NewPCG(3, 4))
	var took []time.Duration
	n := kills(t, 20)
	for i := range n {
		w.write(20 + random.IntN(100))
		if i%3 == 1 {
			rotations[i/3%2].rotate(w)
			w.write(50)
		}
		<-time.After(time.Duration(random.IntN(60)) * time.Millisecond) // any moment
		if i%7 == 6 {
			a.kill() // both
			a.startEager(t)
			continue
		}
		before := a.worker()
		require.NotZero(t, before)
		require.NoError(t, syscall.Kill(before, syscall.SIGKILL))
		took = append(took, a.back(before))
	}
	slices.Sort(took)
	t.Logf("%d kills of the worker; back within %s, half of them within %s", len(took), took[len(took)-1], took[len(took)/2])
	require.Less(t, took[len(took)/2], backWithin)
	require.Less(t, took[len(took)-1], 3*backWithin, "on a machine that does nothing else it takes a third of a second")
	a.requireAll(h, "store", w.lines)
	require.NotEmpty(t, a.reports("*"))
	require.LessOrEqual(t, len(a.reports("*")), 10)
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
	require.Contains(t, string(cmdline), a.config)
	began := time.Now()
	require.NoError(t, a.cmd.Process.Kill())
	for alive(worker) {
		require.Less(t, time.Since(began), 4*time.Second, "with a hub that answers there is little to deliver")
		runtime.Gosched()
	}
	t.Logf("the worker ended %s after its supervisor", time.Since(began))
	<-a.done
	a.start(t)
	require.NotEqual(t, worker, a.worker())
	w.write(10)
	a.requireAll(h, "store", w.lines)

	// Again, and a new one starts while the old worker delivers: it waits for it.
	w.write(5000)
	worker = a.worker()
	require.NoError(t, a.cmd.Process.Kill())
	first := a.process
	a.process = start(t, nil, "wasmtail", "run", "-c", a.config)
	a.eventually("the agent is ready", func() bool {
		_, err := a.status()
		return err == nil && a.worker() != 0 && !alive(worker)
	})
	<-first.done
	a.requireAll(h, "store", w.lines)
	second := wasmtail(t, "run", "-c", a.config)
	require.Equal(t, 75, second.code)
	require.Contains(t, second.stderr, "another agent runs on it")
	a.stop()
	require.Zero(t, a.worker())
}

func TestAWorkerThatIsStuckIsReplaced(t *testing.T) {
	t.Parallel()
	h := startHub(t)
	w := newWriter(t)
	a := newAgent(t, h, pipelineYAML(w.path, "store"))
	a.startEager(t, "--stuck-after", "5s")
	w.write(100)
	worker := a.worker()
	require.NoError(t, syscall.Kill(worker, syscall.SIGSTOP))
	w.write(100)
	t.Logf("a stopped worker was replaced after %s", a.back(worker))
	a.requireAll(h, "store", w.lines)

	// One that can still speak says where it was.
	for _, sig := range []syscall.Signal{syscall.SIGQUIT, syscall.SIGABRT} {
		worker = a.worker()
		require.NoError(t, syscall.Kill(worker, sig))
		a.back(worker)
		reports := a.reports(strconv.Itoa(worker))
		require.Len(t, reports, 1)
		text, err := os.ReadFile(reports[0])
		require.NoError(t, err)
		require.Contains(t, string(text), "goroutine ")
		require.Contains(t, string(text), "agent.(*agent).run(")
		require.Contains(t, string(text), "wasmtail dev: the worker "+strconv.Itoa(worker)+" ended")
	}
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
	got := wasmtail(t, "run", "-c", a.config)
	require.NotZero(t, got.code)
	require.Equal(t, 1, strings.Count(got.stderr, "wasmtail: cannot"), "it is said once")

	require.NoError(t, os.WriteFile(a.config, []byte("version: 1\nnonsense: 1\n"), 0o600))
	require.Equal(t, 78, wasmtail(t, "run", "-c", a.config).code)
}

// TestAConfigurationThatBrokeIsTriedAgain: the worker had to be started again just
// while somebody was changing the file.
func TestAConfigurationThatBrokeIsTriedAgain(t *testing.T) {
	t.Parallel()
	h := startHub(t)
	w := newWriter(t)
	a := newAgent(t, h, pipelineYAML(w.path, "store"))
	a.startEager(t)
	good, err := os.ReadFile(a.config)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(a.config, []byte("version: 1\nnonsense: 1\n"), 0o600))
	w.write(100)
	worker := a.worker()
	require.NoError(t, syscall.Kill(worker, syscall.SIGKILL))
	a.eventually("it was tried twice", func() bool { return strings.Count(a.log.String(), "cannot use its configuration") >= 2 })
	require.NoError(t, os.WriteFile(a.config, good, 0o600))
	require.NoError(t, a.cmd.Process.Signal(syscall.SIGHUP)) // the pause need not be waited for
	a.back(worker)
	a.requireAll(h, "store", w.lines)
	require.Len(t, a.reports("*"), 1, "a faulty configuration is no crash")
	a.stop()
}

// TestBothAreToldToEnd, as a service manager does that signals a whole group: what
// was read is delivered all the same, and nobody calls it a crash.
func TestBothAreToldToEnd(t *testing.T) {
	t.Parallel()
	h := startHub(t)
	w := newWriter(t)
	a := newAgent(t, h, pipelineYAML(w.path, "store"))
	for range 5 {
		a.start(t)
		w.write(500)
		for range 2 {
			require.NoError(t, syscall.Kill(a.worker(), syscall.SIGTERM))
		}
		a.stop()
		require.Zero(t, a.worker())
	}
	require.Empty(t, a.reports("*"))
	a.start(t)
	a.requireAll(h, "store", w.lines)
	a.stop()
}

// TestStandardOutputIsTheWorkers: it may be data, and the log is none of it.
func TestStandardOutputIsTheWorkers(t *testing.T) {
	t.Parallel()
	w := newWriter(t)
	a := newAgentIn(t, t.TempDir(), "127.0.0.1:1", fmt.Sprintf("  web:\n    logstore: store\n    input: {type: files, include: [%s], start_at: beginning}\n    outputs: [screen]\n", w.path))
	text, err := os.ReadFile(a.config)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(a.config, []byte(strings.Replace(string(text), "outputs:\n", "outputs:\n  screen: {type: stdout}\n", 1)), 0o600))
	out, err := os.Create(filepath.Join(a.dir, "stdout"))
	require.NoError(t, err)
	defer func() { _ = out.Close() }()
	cmd := program(nil, "wasmtail", "run", "-c", a.config)
	cmd.Stdout = out
	stderr := &logBuffer{}
	cmd.Stderr = stderr
	require.NoError(t, cmd.Start())
	w.write(100)
	var data []byte
	require.Eventually(t, func() bool {
		data, err = os.ReadFile(out.Name())
		return err == nil && strings.Count(string(data), "\n") == w.lines
	}, patience, 20*time.Millisecond)
	require.NoError(t, cmd.Process.Signal(syscall.SIGTERM))
	require.NoError(t, cmd.Wait())
	for line := range strings.Lines(string(data)) {
		require.Contains(t, line, "payload")
	}
	require.NotContains(t, stderr.String(), "payload")
	require.Contains(t, stderr.String(), "running")
}

// TestALogThatNobodyReadsStopsNoDelivery, and not the end either.
func TestALogThatNobodyReadsStopsNoDelivery(t *testing.T) {
	t.Parallel()
	h := startHub(t)
	w := newWriter(t)
	a := newAgent(t, h, pipelineYAML(w.path, "store"))
	read, write, err := os.Pipe()
	require.NoError(t, err)
	defer func() { _ = read.Close() }()
	_, err = unix.FcntlInt(write.Fd(), unix.F_SETPIPE_SZ, 4096)
	require.NoError(t, err)
	cmd := program(nil, "wasmtail", "run", "--stuck-after", "10s", "-c", a.config)
	cmd.Stderr = write
	require.NoError(t, cmd.Start())
	require.NoError(t, write.Close())
	a.process = &process{t: t, cmd: cmd, log: &logBuffer{}, done: make(chan struct{})}
	go func() {
		defer close(a.done)
		a.err = cmd.Wait()
	}()
	t.Cleanup(a.kill)
	a.eventually("the agent is ready", func() bool { _, err := a.status(); return err == nil })
	worker := a.worker()
	// Some 9 KB a time are more than the pipe and the relay have room for.
	config, err := os.ReadFile(a.config)
	require.NoError(t, err)
	for i := range 40 {
		faults := strings.Repeat("x", 9000) + strconv.Itoa(i)
		require.NoError(t, os.WriteFile(a.config, []byte(string(config)+faults+": 1\n"), 0o600))
		before, err := a.status()
		require.NoError(t, err)
		require.NoError(t, cmd.Process.Signal(syscall.SIGHUP))
		a.eventually("it was refused", func() bool {
			s, err := a.status()
			return err == nil && !s.Config.RefusedAt.Equal(before.Config.RefusedAt)
		})
	}
	w.write(1000)
	a.requireAll(h, "store", w.lines)
	require.Equal(t, worker, a.worker(), "it was never stuck")
	a.stop()
}
