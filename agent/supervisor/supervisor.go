// Package supervisor runs a worker as a child process, and starts it again when
// it dies or is stuck.
//
// It promises that a worker which has once been ready comes back, after 0.2 s at
// first and never more than 30 s, that one which fails before that ends the
// supervisor with its exit code, that of every unexpected end a report is kept
// with the last lines the worker wrote, and that no worker outlives it unasked:
// one whose supervisor is gone is told by SIGTERM and by its pipe. It does not
// know what the worker does.
//
// Run uses the calling goroutine, which it binds to its thread, and one more for
// each worker's output, pulse and end; all have ended when it returns.
package supervisor

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
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
	Log     logrus.FieldLogger
	// Out takes what the worker writes to its standard error and output.
	Out io.Writer
	// StopTimeout is how long a worker may take to end once it was asked to.
	StopTimeout time.Duration
	// StuckAfter is how long a worker may be silent before it counts as stuck.
	StuckAfter time.Duration
	// Signals are passed on to the worker, but for SIGTERM and SIGINT, which end
	// it and Run. A second one of these ends it at once.
	Signals <-chan os.Signal
}

const (
	pauseMin = 200 * time.Millisecond
	pauseMax = 30 * time.Second
	// ranWell is after what time the pause is short again.
	ranWell = time.Minute
	// dumpTime is how long a stuck worker may take to say where it is stuck.
	dumpTime = 5 * time.Second
)

// ErrStart wraps why a worker could not be started at all.
var ErrStart = errors.New("cannot start the worker")

// supervisor is the state of one Run.
type supervisor struct {
	Options
	readyOnce bool // a worker has been ready
	restarts  int
	stopping  bool
}

// Run keeps a worker running until a signal ends it, or ctx, or a worker ends
// before any has been ready. It returns the exit code of the last worker.
func Run(ctx context.Context, o Options) (exitCode int, err error) {
	// The system tells a child of the end of the thread that started it.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	s := &supervisor{Options: o}
	for pause := pauseMin; ; {
		w, err := s.start()
		if err != nil {
			if !s.readyOnce {
				return 0, err
			}
			s.Log.WithError(err).Error("the worker does not start; trying again")
		} else {
			s.watch(ctx, w)
			if s.stopping && w.endedBy(syscall.SIGTERM) {
				return 0, nil // it had only just begun, and knew no better way to end
			}
			if s.stopping || !s.readyOnce {
				return w.exitCode(), nil
			}
			if time.Since(w.started) >= ranWell {
				pause = pauseMin
			}
			s.report(w, pause)
		}
		if !s.sleep(ctx, pause) {
			return 0, nil
		}
		s.restarts++
		pause = min(pauseMax, 2*pause)
	}
}

// sleep waits before a restart, and reports whether there is to be one.
func (s *supervisor) sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	for {
		select {
		case <-timer.C:
			return true
		case <-ctx.Done():
			return false
		case sig := <-s.Signals:
			if ends(sig) {
				return false
			}
		}
	}
}

func ends(sig os.Signal) bool { return sig == syscall.SIGTERM || sig == os.Interrupt }

// worker is a running child.
type worker struct {
	cmd     *exec.Cmd
	started time.Time
	tail    *tail
	pulse   chan struct{} // a value for each sign of life
	ready   chan struct{} // closed when it is ready
	ended   chan struct{} // closed when it has ended and all it wrote is passed on
	why     string        // what was done to it, for the report
}

// start starts a worker, with the writing end of a pipe as its file 3.
func (s *supervisor) start() (*worker, error) {
	read, write, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrStart, err)
	}
	w := &worker{
		started: time.Now(), tail: &tail{out: s.Out},
		pulse: make(chan struct{}, 1), ready: make(chan struct{}), ended: make(chan struct{}),
	}
	w.cmd = exec.Command(s.Command[0], s.Command[1:]...) //nolint:gosec // this program itself
	w.cmd.Args[0] = s.Name
	w.cmd.Stdout, w.cmd.Stderr = w.tail, w.tail
	w.cmd.ExtraFiles = []*os.File{write}
	w.cmd.SysProcAttr = childAttributes()
	// What a worker's own children still hold of its output is not waited for.
	w.cmd.WaitDelay = time.Second
	if err := w.cmd.Start(); err != nil {
		return nil, errors.Join(fmt.Errorf("%w: %w", ErrStart, err), read.Close(), write.Close())
	}
	_ = write.Close() // the worker has its own
	go w.listen(read)
	go func() {
		_ = w.cmd.Wait() // the state tells
		close(w.ended)
	}()
	return w, nil
}

// listen passes signs of life on until the worker has ended.
func (w *worker) listen(pipe *os.File) {
	defer func() { _ = pipe.Close() }()
	b := make([]byte, 16)
	isReady := false
	for {
		n, err := pipe.Read(b)
		for _, sign := range b[:n] {
			if sign == signReady && !isReady {
				isReady = true
				close(w.ready)
			}
		}
		if err != nil {
			return
		}
		select {
		case w.pulse <- struct{}{}:
		default: // one waits to be seen
		}
	}
}

func (w *worker) exitCode() int {
	if s := w.cmd.ProcessState; s.Exited() {
		return s.ExitCode()
	}
	if s, ok := w.cmd.ProcessState.Sys().(syscall.WaitStatus); ok && s.Signaled() {
		return 128 + int(s.Signal()) // as a shell has it
	}
	return 1
}

func (w *worker) endedBy(sig syscall.Signal) bool {
	s, ok := w.cmd.ProcessState.Sys().(syscall.WaitStatus)
	return ok && s.Signaled() && s.Signal() == sig
}

// watch waits until the worker has ended, and ends it if it must.
func (s *supervisor) watch(ctx context.Context, w *worker) {
	silence := time.NewTimer(s.StuckAfter)
	defer silence.Stop()
	var deadline <-chan time.Time
	stop, ready, stuck := ctx.Done(), w.ready, false
	end := func() {
		s.stopping, stop = true, nil
		_ = w.cmd.Process.Signal(syscall.SIGTERM)
		deadline = time.After(s.StopTimeout)
	}
	for {
		select {
		case <-w.ended:
			return
		case <-ready:
			s.readyOnce, ready = true, nil
		case <-w.pulse:
			silence.Reset(s.StuckAfter)
		case <-silence.C:
			stuck = true
			w.why = fmt.Sprintf("it gave no sign of life for %s and was ended", s.StuckAfter)
			s.Log.WithField("pid", w.cmd.Process.Pid).Error("the worker is stuck: " + w.why)
			_ = w.cmd.Process.Signal(syscall.SIGQUIT) // a program in Go says where it is
			deadline = time.After(dumpTime)
		case <-deadline:
			if !stuck {
				s.Log.WithField("pid", w.cmd.Process.Pid).Error("the worker did not end in time and is killed; what it had not delivered is read again")
			}
			_ = w.cmd.Process.Kill()
		case <-stop:
			end()
		case sig := <-s.Signals:
			switch {
			case !ends(sig):
				_ = w.cmd.Process.Signal(sig)
			case s.stopping:
				_ = w.cmd.Process.Kill()
			default:
				end()
			}
		}
	}
}
