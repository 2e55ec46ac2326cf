package supervisor

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/sirupsen/logrus"
	"github.com/stretchr/testify/require"
)

// TestMain is the worker, too: the test binary runs itself.
func TestMain(m *testing.M) {
	if how := os.Getenv("SUPERVISOR_TEST_WORKER"); how != "" {
		os.Exit(work(how))
	}
	os.Exit(m.Run())
}

// work does what a test wants of its worker. It says its number on a line.
func work(how string) int {
	NameProcess("test-worker")
	term := make(chan os.Signal, 1)
	signal.Notify(term, syscall.SIGTERM, syscall.SIGHUP)
	gone := make(chan struct{})
	pulse := NewPulse(func() { close(gone) })
	if how == "fails at once" {
		fmt.Println("bad configuration")
		return 78
	}
	if how == "knows no signals" {
		signal.Reset()
	}
	pulse.Ready()
	fmt.Println("worker", os.Getpid())
	if how == "knows no signals" {
		<-time.After(time.Hour)
	}
	if how == "panics" {
		panic("something is wrong")
	}
	tick := time.NewTicker(20 * time.Millisecond)
	for {
		select {
		case <-tick.C:
			if how != "is stuck" {
				pulse.Beat()
			}
		case <-gone:
			return 3
		case sig := <-term:
			if how == "does not end" || sig == syscall.SIGHUP {
				fmt.Println("got", sig)
				continue
			}
			fmt.Println("ends")
			return 0
		}
	}
}

// run is a supervisor of test workers.
type run struct {
	t       *testing.T
	dir     string
	out     *output
	signals chan os.Signal
	ended   chan struct{}
	code    int
	err     error
}

type output struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.String()
}

func start(t *testing.T, how string) *run {
	t.Setenv("SUPERVISOR_TEST_WORKER", how)
	r := &run{t: t, dir: t.TempDir(), out: &output{}, signals: make(chan os.Signal), ended: make(chan struct{})}
	log := logrus.New()
	log.SetOutput(r.out)
	go func() {
		defer close(r.ended)
		r.code, r.err = Run(context.Background(), Options{
			Command: []string{os.Args[0]}, Name: "test-worker", Dir: r.dir, Version: "1.2.3", Log: log, Out: r.out,
			StopTimeout: 2 * time.Second, StuckAfter: 2 * time.Second, Signals: r.signals,
		})
	}()
	return r
}

// workers are the processes that were started so far.
func (r *run) workers() (pids []int) {
	for line := range strings.Lines(r.out.String()) {
		if rest, ok := strings.CutPrefix(line, "worker "); ok {
			pid, err := strconv.Atoi(strings.TrimSpace(rest))
			require.NoError(r.t, err)
			pids = append(pids, pid)
		}
	}
	return pids
}

func (r *run) eventually(what string, condition func() bool) {
	r.t.Helper()
	require.Eventually(r.t, condition, 30*time.Second, time.Millisecond, "in vain waited until %s: %s", what, r.out)
}

func (r *run) stop() {
	r.signals <- syscall.SIGTERM
	<-r.ended
}

func (r *run) reports() []string {
	names, err := filepath.Glob(filepath.Join(r.dir, "crashes", "*.txt"))
	require.NoError(r.t, err)
	return names
}

func TestAWorkerThatIsKilledComesBack(t *testing.T) {
	r := start(t, "works")
	for i := range 3 {
		r.eventually("a worker runs", func() bool { return len(r.workers()) == i+1 })
		began := time.Now()
		require.NoError(t, syscall.Kill(r.workers()[i], syscall.SIGKILL))
		r.eventually("it is back", func() bool { return len(r.workers()) == i+2 })
		pause := pauseMin << i
		require.GreaterOrEqual(t, time.Since(began), pause)
		require.Less(t, time.Since(began), pause+5*time.Second)
	}
	r.stop()
	require.NoError(t, r.err)
	require.Zero(t, r.code)
	require.Contains(t, r.out.String(), "ends\n")
	require.Len(t, r.reports(), 3)
	text, err := os.ReadFile(r.reports()[0])
	require.NoError(t, err)
	require.Contains(t, string(text), "signal: killed")
	require.Contains(t, string(text), "wasmtail 1.2.3")
	require.Contains(t, string(text), fmt.Sprint("worker ", r.workers()[0]))
}

func TestAPanicIsInTheReport(t *testing.T) {
	r := start(t, "panics")
	r.eventually("it crashed twice", func() bool { return len(r.reports()) == 2 })
	r.stop()
	text, err := os.ReadFile(r.reports()[0])
	require.NoError(t, err)
	require.Contains(t, string(text), "panic: something is wrong")
	require.Contains(t, string(text), "supervisor.work(")
}

func TestAWorkerThatIsStuckIsReplaced(t *testing.T) {
	r := start(t, "is stuck")
	r.eventually("it is replaced", func() bool { return len(r.workers()) == 2 })
	r.stop()
	text, err := os.ReadFile(r.reports()[0])
	require.NoError(t, err)
	require.Contains(t, string(text), "no sign of life")
	require.Contains(t, string(text), "supervisor.work(", "it says where it is stuck")
}

func TestAWorkerThatIsStoppedByASignalIsReplaced(t *testing.T) {
	r := start(t, "works")
	r.eventually("a worker runs", func() bool { return len(r.workers()) == 1 })
	require.NoError(t, syscall.Kill(r.workers()[0], syscall.SIGSTOP))
	r.eventually("it is replaced", func() bool { return len(r.workers()) == 2 })
	r.stop()
}

func TestAWorkerThatFailsAtItsFirstStartEndsAll(t *testing.T) {
	r := start(t, "fails at once")
	<-r.ended
	require.NoError(t, r.err)
	require.Equal(t, 78, r.code)
	require.Empty(t, r.reports())
	require.Contains(t, r.out.String(), "bad configuration")
}

func TestSignalsArePassedOn(t *testing.T) {
	r := start(t, "does not end")
	r.eventually("a worker runs", func() bool { return len(r.workers()) == 1 })
	r.signals <- syscall.SIGHUP
	r.eventually("it got the signal", func() bool { return strings.Contains(r.out.String(), "got hangup") })
	r.stop() // it does not end by itself, and is killed
	require.Contains(t, r.out.String(), "got terminated")
	require.Equal(t, 128+int(syscall.SIGKILL), r.code)
}

// TestAWorkerThatHasOnlyJustBegun does not know SIGTERM yet: it ends all the same,
// and that is no failure.
func TestAWorkerThatHasOnlyJustBegun(t *testing.T) {
	r := start(t, "knows no signals")
	r.eventually("a worker runs", func() bool { return len(r.workers()) == 1 })
	r.stop()
	require.Zero(t, r.code)
}

func TestASecondSignalEndsAtOnce(t *testing.T) {
	r := start(t, "does not end")
	r.eventually("a worker runs", func() bool { return len(r.workers()) == 1 })
	r.signals <- syscall.SIGTERM
	r.signals <- os.Interrupt
	<-r.ended
	require.Equal(t, 128+int(syscall.SIGKILL), r.code)
}

func TestReportsAreBounded(t *testing.T) {
	dir := t.TempDir()
	for i := range 25 {
		require.NoError(t, keepReport(filepath.Join(dir, "crashes", fmt.Sprintf("%03d.txt", i)), []byte("x")))
	}
	names, err := filepath.Glob(filepath.Join(dir, "crashes", "*"))
	require.NoError(t, err)
	require.Len(t, names, reportsMax)
	require.Equal(t, "024.txt", filepath.Base(names[reportsMax-1]))

	w := &tail{out: &output{}}
	for i := range 100_000 {
		fmt.Fprintf(w, "line %d\n", i)
	}
	require.LessOrEqual(t, len(w.lines()), tailBytes)
	require.True(t, bytes.HasPrefix(w.lines(), []byte("line ")))
	require.True(t, bytes.HasSuffix(w.lines(), []byte("line 99999\n")))
}

// TestAWorkerWhoseSupervisorIsGoneIsTold, by its pipe.
func TestAWorkerWhoseSupervisorIsGoneIsTold(t *testing.T) {
	read, write, err := os.Pipe()
	require.NoError(t, err)
	lost := 0
	p := &Pulse{pipe: write, lost: func() { lost++ }}
	p.Ready()
	require.NoError(t, read.Close())
	p.Beat()
	p.Beat()
	require.Equal(t, 1, lost)
	(*Pulse)(nil).Beat()
}
