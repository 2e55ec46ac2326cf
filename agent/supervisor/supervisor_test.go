package supervisor

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
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
	pulse, err := NewPulse()
	if err != nil {
		panic(err)
	}
	switch how {
	case "fails at once":
		fmt.Fprintln(os.Stderr, "bad configuration")
		return faultyCode
	case "panics before it is ready":
		say("worker", os.Getpid())
		panic("something is wrong")
	case "is killed before it is ready":
		say("worker", os.Getpid())
		select {}
	case "is slow": // it does not know SIGHUP until the file is there
		say("worker", os.Getpid())
		for !exists(os.Getenv("SUPERVISOR_TEST_GO")) {
			runtime.Gosched()
		}
	}
	term := make(chan os.Signal, 8) // more than a test sends at once: what finds no room is dropped
	signal.Notify(term, syscall.SIGTERM, syscall.SIGHUP)
	if how == "breaks later" && exists(os.Getenv("SUPERVISOR_TEST_GO")) {
		say("bad", "configuration")
		return faultyCode
	}
	if how == "knows no signals" {
		signal.Reset()
	}
	pulse.Ready()
	say("worker", os.Getpid())
	return live(how, pulse, term)
}

// live is what a worker does that is ready.
func live(how string, pulse *Pulse, term <-chan os.Signal) int {
	switch how {
	case "ends once it is ready":
		return 5
	case "knows no signals":
		select {}
	case "panics":
		panic("something is wrong")
	case "is talkative":
		for i := range 100_000 {
			fmt.Fprintf(os.Stderr, "line %d\n", i)
			if i%100 == 0 {
				pulse.Beat()
			}
		}
		say("said", "everything")
	}
	gone := make(chan struct{})
	go func() {
		if pulse.Wait() {
			close(gone)
		}
	}()
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
				fmt.Fprintln(os.Stderr, "got", sig)
				continue
			}
			fmt.Fprint(os.Stderr, "ends") // without an end of the line
			return 0
		}
	}
}

// say writes a line to standard output, which is a file of the test.
func say(words ...any) { fmt.Println(words...) }

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

const faultyCode = 78

// run is a supervisor of test workers.
type run struct {
	t       *testing.T
	dir     string
	stdout  string // a file
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
	r := &run{t: t, dir: t.TempDir(), out: &output{}}
	r.start(how, r.out)
	return r
}

// start runs the supervisor; what it logs goes to out.
func (r *run) start(how string, out io.Writer) {
	r.t.Setenv("SUPERVISOR_TEST_WORKER", how)
	r.t.Setenv("SUPERVISOR_TEST_GO", r.gate())
	r.signals, r.ended = make(chan os.Signal), make(chan struct{})
	r.stdout = filepath.Join(r.dir, "stdout")
	stdout, err := os.OpenFile(r.stdout, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	require.NoError(r.t, err)
	log := logrus.New()
	log.SetOutput(out)
	go func() {
		defer close(r.ended)
		defer func() { _ = stdout.Close() }()
		r.code, r.err = Run(context.Background(), Options{
			Command: []string{os.Args[0]}, Name: "test-worker", Dir: r.dir, Version: "1.2.3", Log: log, Stdout: stdout,
			StopTimeout: 2 * time.Second, StuckAfter: 2 * time.Second, RanWell: time.Minute, FaultyCode: faultyCode, Signals: r.signals,
		})
	}()
}

// gate is the file that some workers look for.
func (r *run) gate() string { return filepath.Join(r.dir, "go") }

func (r *run) openGate() {
	require.NoError(r.t, os.WriteFile(r.gate(), nil, 0o600))
}

// said is what the workers have written to standard output.
func (r *run) said() string {
	text, err := os.ReadFile(r.stdout)
	require.NoError(r.t, err)
	return string(text)
}

// workers are the processes that were started so far.
func (r *run) workers() (pids []int) {
	for line := range strings.Lines(r.said()) {
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
	text := r.report(0)
	require.Contains(t, text, "signal: killed")
	require.Contains(t, text, "wasmtail 1.2.3")
	require.Contains(t, text, fmt.Sprintf("the worker %d ended", r.workers()[0]))
	require.NotContains(t, text, fmt.Sprint("worker ", r.workers()[0], "\n"), "standard output may be data")
	for path, mode := range map[string]os.FileMode{filepath.Dir(r.reports()[0]): 0o700, r.reports()[0]: 0o600} {
		info, err := os.Stat(path)
		require.NoError(t, err)
		require.Equal(t, mode, info.Mode().Perm())
	}
}

// report is the text of one report.
func (r *run) report(i int) string {
	text, err := os.ReadFile(r.reports()[i])
	require.NoError(r.t, err)
	return string(text)
}

func TestAPanicIsInTheReport(t *testing.T) {
	r := start(t, "panics")
	r.eventually("it crashed twice", func() bool { return len(r.reports()) == 2 })
	r.stop()
	require.Contains(t, r.report(0), "panic: something is wrong")
	require.Contains(t, r.report(0), "supervisor.live(")
}

func TestAWorkerThatIsStuckIsReplaced(t *testing.T) {
	r := start(t, "is stuck")
	r.eventually("it is replaced", func() bool { return len(r.workers()) == 2 })
	r.stop()
	require.Contains(t, r.report(0), "no sign of life")
	require.Contains(t, r.report(0), "supervisor.live(", "it says where it is stuck")
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
	require.Equal(t, faultyCode, r.code)
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
	require.Len(t, r.reports(), 1)
	require.Contains(t, r.report(0), "did not end within")
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
}

func TestAReportHasTheEndAndTheCause(t *testing.T) {
	lines := func(n int) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, "line %d\n", i)
		}
		return b.String()
	}
	out := &output{}
	w := &tail{out: out}
	text := lines(100_000)
	for s := text; s != ""; {
		n, err := w.Write([]byte(s[:min(len(s), 1001)]))
		require.NoError(t, err)
		require.Zero(t, len(out.String())-strings.LastIndex(out.String(), "\n")-1, "what is passed on is whole lines")
		s = s[n:]
	}
	require.Equal(t, text, out.String())
	report := string(w.text())
	require.LessOrEqual(t, len(report), tailBytes+100)
	require.True(t, strings.HasPrefix(report, "What it wrote last:\n\nline "))
	require.True(t, strings.HasSuffix(report, "line 99999\n"))
	require.False(t, w.hasDump())

	_, _ = w.Write([]byte("panic: so far\n\ngoroutine 1\n" + lines(100)))
	require.True(t, w.hasDump())
	require.Equal(t, 1, strings.Count(string(w.text()), "panic: so far"), "a short dump is there once")
	_, _ = w.Write([]byte(lines(100_000)))
	report = string(w.text())
	require.True(t, strings.HasPrefix(report, "How its dump begins:\n\npanic: so far\n\ngoroutine 1\n"))
	require.True(t, strings.HasSuffix(report, "line 99999\n"))
	require.LessOrEqual(t, len(report), tailBytes+causeBytes+100)
}

// TestAWorkerWhoseSupervisorIsGoneIsTold, by its pipe, whatever it is doing, and
// its signs do no harm.
func TestAWorkerWhoseSupervisorIsGoneIsTold(t *testing.T) {
	signs, pulse, err := os.Pipe()
	require.NoError(t, err)
	leash, held, err := os.Pipe()
	require.NoError(t, err)
	p := &Pulse{pulse: pulse, leash: leash}
	p.Ready()
	gone := make(chan bool)
	go func() { gone <- p.Wait() }()
	require.NoError(t, signs.Close())
	p.Beat()
	require.NoError(t, held.Close())
	require.True(t, <-gone)
	p.Beat()
	require.NoError(t, p.Close())
}

func TestAPulseThatNobodyReadsBlocksNobody(t *testing.T) {
	signs, pulse, err := os.Pipe()
	require.NoError(t, err)
	defer func() { _ = signs.Close() }()
	leash, held, err := os.Pipe()
	require.NoError(t, err)
	defer func() { _ = held.Close() }()
	p := &Pulse{pulse: pulse, leash: leash}
	for range 64<<10 + 3 { // a pipe has 64 KiB
		p.Beat()
	}
	gone := make(chan bool)
	go func() { gone <- p.Wait() }()
	require.NoError(t, p.Close())
	require.False(t, <-gone)
}

func TestAProcessWithoutASupervisorHasNoPulse(t *testing.T) {
	_, err := inherited(1<<20, "none")
	require.ErrorIs(t, err, errNoSupervisor)
	f, err := os.Open(os.Args[0])
	require.NoError(t, err)
	_, err = inherited(int(f.Fd()), "a file")
	require.ErrorIs(t, err, errNoSupervisor)
	require.NoError(t, f.Close())
}

// TestAWorkerThatDiesBeforeItIsReadyComesBack: that was no decision of its own.
func TestAWorkerThatDiesBeforeItIsReadyComesBack(t *testing.T) {
	r := start(t, "is killed before it is ready")
	for i := range 2 {
		r.eventually("a worker runs", func() bool { return len(r.workers()) == i+1 })
		require.NoError(t, syscall.Kill(r.workers()[i], syscall.SIGKILL))
		r.eventually("there is a report", func() bool { return len(r.reports()) == i+1 })
	}
	r.stop()

	r = start(t, "panics before it is ready")
	r.eventually("it crashed twice", func() bool { return len(r.reports()) == 2 })
	r.stop()
	require.Zero(t, r.code)
	require.Contains(t, r.report(1), "supervisor.work(")
}

// TestAConfigurationThatBecomesFaultyIsTriedAgain, and does not push out the
// reports of crashes.
func TestAConfigurationThatBecomesFaultyIsTriedAgain(t *testing.T) {
	r := start(t, "breaks later")
	r.eventually("a worker runs", func() bool { return len(r.workers()) == 1 })
	r.openGate()
	require.NoError(t, syscall.Kill(r.workers()[0], syscall.SIGKILL))
	r.eventually("two have failed", func() bool { return strings.Count(r.said(), "bad configuration") == 2 })
	require.NoError(t, os.Remove(r.gate()))
	r.eventually("another one works", func() bool {
		select {
		case r.signals <- syscall.SIGHUP: // the pause need not be waited for
		default:
		}
		return len(r.workers()) == 2
	})
	r.stop()
	require.Zero(t, r.code)
	require.Len(t, r.reports(), 1)
	require.Contains(t, r.out.String(), "cannot use its configuration")
}

// TestAWorkerThatIsNotReadyIsNotEndedBySIGHUP: it would die of it.
func TestAWorkerThatIsNotReadyIsNotEndedBySIGHUP(t *testing.T) {
	r := start(t, "is slow")
	r.eventually("a worker runs", func() bool { return len(r.workers()) == 1 })
	r.signals <- syscall.SIGHUP
	r.signals <- syscall.SIGHUP
	r.openGate()
	r.eventually("it got the signal once it knew it", func() bool { return strings.Contains(r.out.String(), "got hangup") })
	r.stop()
	require.Equal(t, 1, strings.Count(r.out.String(), "got hangup"))
	require.Empty(t, r.reports())
}

// TestAWorkerThatEndsOnceItIsReadyWasReady, even if a busy supervisor hears of both
// at the same time.
func TestAWorkerThatEndsOnceItIsReadyWasReady(t *testing.T) {
	t.Setenv("SUPERVISOR_TEST_WORKER", "ends once it is ready")
	log := logrus.New()
	log.SetOutput(io.Discard)
	for range 10 {
		s := &supervisor{Options: Options{Command: []string{os.Args[0]}, Name: "test-worker", Log: log, StuckAfter: time.Minute}}
		w, err := s.start()
		require.NoError(t, err)
		<-w.ended
		s.watch(context.Background(), w)
		require.True(t, s.readyOnce)
	}
}

func TestAWorkerThatSomebodyElseEndsIsNoCrash(t *testing.T) {
	r := start(t, "works")
	r.eventually("a worker runs", func() bool { return len(r.workers()) == 1 })
	require.NoError(t, syscall.Kill(r.workers()[0], syscall.SIGTERM))
	r.eventually("another runs", func() bool { return len(r.workers()) == 2 })
	r.stop()
	require.Empty(t, r.reports())
}

// stuckWriter takes nothing until it is let go.
type stuckWriter struct {
	output
	free chan struct{}
}

func (w *stuckWriter) Write(p []byte) (int, error) {
	<-w.free
	return w.output.Write(p)
}

// TestALogThatNobodyReadsStopsNobody: a worker that writes more than there is room
// for goes on, and what is missing is said.
func TestALogThatNobodyReadsStopsNobody(t *testing.T) {
	w := &stuckWriter{free: make(chan struct{})}
	relay := NewRelay(w)
	go relay.Run()
	r := &run{t: t, dir: t.TempDir(), out: &w.output}
	r.start("is talkative", relay)
	r.eventually("the worker has said everything", func() bool { return strings.Contains(r.said(), "said everything") })
	require.Empty(t, w.String())
	require.NoError(t, syscall.Kill(r.workers()[0], syscall.SIGKILL))
	r.eventually("there is a report", func() bool { return len(r.reports()) == 1 })
	require.Contains(t, r.report(0), "line 99999\n", "a report is complete all the same")
	close(w.free)
	r.eventually("another has said everything", func() bool { return strings.Count(r.said(), "said everything") == 2 })
	r.stop()
	relay.Close()
	require.Regexp(t, `\nwasmtail: \d+ lines of the log are missing here: nobody read it\n`, w.String())
	for line := range strings.Lines(w.String()) {
		require.Regexp(t, `^(line \d+|wasmtail: .*|time=.*|ends)\n$`, line, "no line is torn")
	}
}

func TestARelayLosesNothingToAReaderThatIsSlow(t *testing.T) {
	read, write, err := os.Pipe()
	require.NoError(t, err)
	relay := NewRelay(write)
	go relay.Run()
	got := make(chan int)
	go func() {
		lines := 0
		for s := bufio.NewScanner(read); s.Scan(); lines++ {
			runtime.Gosched()
		}
		got <- lines
	}()
	var writers sync.WaitGroup
	for range 4 {
		writers.Go(func() {
			for i := range 20_000 {
				fmt.Fprintf(relay, "a line of some length %d\n", i)
			}
		})
	}
	writers.Wait()
	relay.Close()
	<-relay.ended
	require.NoError(t, write.Close())
	require.Equal(t, 80_000, <-got)
}
