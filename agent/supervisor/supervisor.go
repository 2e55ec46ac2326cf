// Package supervisor runs a worker as a child process, and starts it again when
// it dies or is stuck.
//
// It promises that a worker which dies comes back, after 0.2 s at first and never
// more than 30 s; that one which gives up before any was ready ends the supervisor
// with its exit code; that of every unexpected end a report is kept with the last
// lines the worker wrote; and that no worker outlives it unasked: one whose
// supervisor is gone is told by SIGTERM and by a pipe. It does not know what the
// worker does.
//
// Run uses the calling goroutine, which it binds to its thread, and two more for
// each worker's signs and end, which have ended when it returns.
package supervisor

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"slices"
	"syscall"
	"time"

	"github.com/sirupsen/logrus"
)

// Options are what Run needs.
type Options struct {
	// Command is the command line of the worker, Name what it is called in the
	// list of processes.
	Command []string
	Name    string
	// Dir is where reports of crashes are kept, in a folder of their own.
	Dir string
	// Version is named in reports.
	Version string
	// Log takes what the supervisor has to say. What the worker writes to its
	// standard error goes where the log goes, which must not block for long: see
	// Relay.
	Log *logrus.Logger
	// Stdout is given to the worker; nil is none.
	Stdout *os.File
	// Stdin is given to each worker, which reads on where the one before was; nil is
	// none.
	Stdin *os.File
	// DoneCode is the exit code of a worker that has nothing more to do: Run ends with
	// 0. 0 is none.
	DoneCode int
	// StopTimeout is how long a worker may take to end once it was asked to.
	StopTimeout time.Duration
	// StuckAfter is how long a worker may be silent before it counts as stuck. It
	// must be positive.
	StuckAfter time.Duration
	// RanWell is after what time of running the pause is short again.
	RanWell time.Duration
	// FaultyCode is the exit code of a worker that cannot use its configuration:
	// that is no crash, and no report is kept of it.
	FaultyCode int
	// Signals are passed on to a worker that is ready, but for SIGTERM and SIGINT,
	// which end it and Run. A second one of these ends it at once. Between two
	// workers any other signal ends the pause.
	Signals <-chan os.Signal
}

const (
	pauseMin = 200 * time.Millisecond
	pauseMax = 30 * time.Second
	// dumpTime is how long a stuck worker may take to say where it is stuck.
	dumpTime = 5 * time.Second
	// looksMax without a sign of life between them, and the worker is stuck. It is
	// looks that are counted, and not time: while the supervisor is stopped, with
	// the worker or without, it cannot know what the worker does.
	looksMax = 10
)

// supervisor is the state of one Run.
type supervisor struct {
	Options
	readyOnce bool // a worker has been ready
	restarts  int
	stopping  bool
	atOnce    bool // a second signal has ended the worker
}

// Run keeps a worker running until a signal ends it, or ctx, or a worker gives up
// before any has been ready. It returns the exit code of the last worker; an error
// if the first one could not be started at all.
func Run(ctx context.Context, o Options) (exitCode int, err error) {
	// The system tells a child of the end of the thread that started it.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	s := &supervisor{Options: o}
	for pause := pauseMin; ; pause = min(pauseMax, 2*pause) {
		w, err := s.start()
		ended := time.Now()
		if err != nil {
			if !s.readyOnce {
				return 0, err
			}
			s.Log.WithError(err).Errorf("the worker does not start; trying again in %s", pause)
		} else {
			s.watch(ctx, w)
			ended = time.Now()
			if s.DoneCode != 0 && w.exitCode() == s.DoneCode {
				return 0, nil
			}
			if s.stopping || !s.readyOnce && !w.crashed() {
				return s.lastCode(w), nil
			}
			if w.ran >= s.RanWell {
				pause = pauseMin
			}
			s.explain(w, pause)
		}
		if !s.sleep(ctx, pause-time.Since(ended)) { // a report may have taken long, on a busy disk
			return 0, nil
		}
		s.restarts++
	}
}

// lastCode is the exit code of a worker that is not started again.
func (s *supervisor) lastCode(w *worker) int {
	if s.stopping && w.endedBy(syscall.SIGTERM) {
		return 0 // it had only just begun, and knew no better way to end
	}
	if s.stopping && w.crashed() && !s.atOnce {
		s.report(w)
		s.Log.WithField("pid", w.pid()).WithField("report", w.report).Errorf("the worker did not end as it should: %s", w.cmd.ProcessState)
	}
	return w.exitCode()
}

// explain says why there is another worker, and keeps a report if it was a crash.
func (s *supervisor) explain(w *worker, pause time.Duration) {
	log := s.Log.WithField("pid", w.pid())
	code := w.exitCode()
	switch code {
	case 0:
		log.Warnf("the worker was ended by somebody else than its supervisor; it is started again in %s", pause)
		return
	case s.FaultyCode:
		log.Errorf("the worker cannot use its configuration; it is started again in %s: mend it, SIGHUP tries at once", pause)
		return
	}
	s.report(w)
	if w.report != "" {
		log = log.WithField("report", w.report)
	}
	log.WithField("state", w.cmd.ProcessState.String()).Errorf("the worker ended; it is started again in %s", pause)
}

// sleep waits before a restart, and reports whether there is to be one.
func (s *supervisor) sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	case sig := <-s.Signals:
		return !ends(sig) // a new worker reads its configuration anyway
	}
}

func ends(sig os.Signal) bool { return sig == syscall.SIGTERM || sig == os.Interrupt }

// watch waits until the worker has ended, and ends it if it must.
func (s *supervisor) watch(ctx context.Context, w *worker) {
	look := time.NewTicker(max(s.StuckAfter/looksMax, time.Millisecond))
	defer look.Stop()
	var deadline <-chan time.Time
	var held []os.Signal // until it is ready: they would end one that does not know them yet
	stop, ready, quiet := ctx.Done(), w.ready, 0
	end := func() {
		s.stopping, stop = true, nil
		_ = w.cmd.Process.Signal(syscall.SIGTERM)
		deadline = time.After(s.StopTimeout)
	}
	for {
		select {
		case <-w.ended:
			select {
			case <-w.ready:
				s.readyOnce = true
			default:
			}
			return
		case <-ready:
			s.readyOnce, ready = true, nil
			for _, sig := range held {
				_ = w.cmd.Process.Signal(sig)
			}
		case <-w.pulse:
			quiet = 0
		case <-look.C:
			if quiet++; quiet == looksMax && w.why == "" && !s.stopping {
				s.dump(w)
				deadline = time.After(dumpTime)
			}
		case <-deadline:
			s.kill(w)
		case <-stop:
			end()
		case sig := <-s.Signals:
			switch {
			case ends(sig) && s.stopping:
				s.atOnce = true
				_ = w.cmd.Process.Kill()
			case ends(sig):
				end()
			case ready == nil:
				_ = w.cmd.Process.Signal(sig)
			case !slices.Contains(held, sig):
				held = append(held, sig)
			}
		}
	}
}

// dump makes a stuck worker say where it is, and end.
func (s *supervisor) dump(w *worker) {
	w.why = fmt.Sprintf("it gave no sign of life for %s and was ended", s.StuckAfter)
	s.Log.WithField("pid", w.pid()).Error("the worker is stuck: " + w.why)
	_ = w.cmd.Process.Signal(syscall.SIGQUIT)
}

// kill ends a worker whose time is up.
func (s *supervisor) kill(w *worker) {
	if w.why == "" {
		w.why = fmt.Sprintf("it did not end within %s and was killed; what it had not delivered is read again", s.StopTimeout)
		s.Log.WithField("pid", w.pid()).Error("the worker is stuck: " + w.why)
	}
	_ = w.cmd.Process.Kill()
}
