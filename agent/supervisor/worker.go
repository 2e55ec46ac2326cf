package supervisor

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"time"
)

// dumpCode is the exit code of a program in Go that has written a dump, after a
// panic, or after SIGQUIT or SIGABRT; and, without a dump, that of wrong usage.
const dumpCode = 2

// worker is a running child.
type worker struct {
	cmd     *exec.Cmd
	started time.Time
	ran     time.Duration // set when it has ended
	tail    *tail
	pulse   chan struct{} // holds 1: a sign of life that was not looked at
	ready   chan struct{} // closed when it is ready
	ended   chan struct{} // closed when it has ended and all it wrote is passed on
	why     string        // what was done to it, for the report
	report  string        // the path of the report, "" if there is none
}

// start starts a worker, with the ends of two pipes as files: see Pulse.
func (s *supervisor) start() (*worker, error) {
	signs, pulse, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("cannot start the worker: %w", err)
	}
	leash, held, err := os.Pipe()
	if err != nil {
		return nil, errors.Join(fmt.Errorf("cannot start the worker: %w", err), signs.Close(), pulse.Close())
	}
	w := &worker{
		started: time.Now(), tail: &tail{out: s.Log.Out},
		pulse: make(chan struct{}, 1), ready: make(chan struct{}), ended: make(chan struct{}),
	}
	w.cmd = exec.Command(s.Command[0], s.Command[1:]...) //nolint:gosec,noctx // this program itself, and watch ends it
	w.cmd.Args[0] = s.Name
	w.cmd.Stderr = w.tail
	if s.Stdout != nil {
		w.cmd.Stdout = s.Stdout // the worker has it to itself, and waits for its reader by itself
	}
	if s.Stdin != nil {
		w.cmd.Stdin = s.Stdin
	}
	w.cmd.ExtraFiles = []*os.File{pulse, leash}
	w.cmd.SysProcAttr = childAttributes()
	// What a worker's own children still hold of its output is not waited for.
	w.cmd.WaitDelay = time.Second
	err = w.cmd.Start()
	_, _ = pulse.Close(), leash.Close() // the worker has its own
	if err != nil {
		return nil, errors.Join(fmt.Errorf("cannot start the worker: %w", err), signs.Close(), held.Close())
	}
	go w.wait(signs, held)
	return w, nil
}

// wait closes ended when the worker has ended.
func (w *worker) wait(signs, held *os.File) {
	var listener sync.WaitGroup
	listener.Go(func() { w.listen(signs) })
	_ = w.cmd.Wait() // the state tells
	_ = signs.Close()
	_ = held.Close()
	listener.Wait()
	w.tail.end()
	w.ran = time.Since(w.started)
	close(w.ended)
}

// listen passes signs of life on until the worker has ended.
func (w *worker) listen(signs io.Reader) {
	b := make([]byte, 16)
	isReady := false
	for {
		n, err := signs.Read(b)
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

func (w *worker) pid() int { return w.cmd.Process.Pid }

func (w *worker) exitCode() int {
	if s := w.cmd.ProcessState; s.Exited() {
		return s.ExitCode()
	}
	if s, ok := w.cmd.ProcessState.Sys().(syscall.WaitStatus); ok && s.Signaled() {
		return 128 + int(s.Signal()) // as a shell has it
	}
	return 1
}

// crashed reports whether it did not end by its own decision.
func (w *worker) crashed() bool {
	return !w.cmd.ProcessState.Exited() || w.cmd.ProcessState.ExitCode() == dumpCode && w.tail.hasDump()
}

func (w *worker) endedBy(sig syscall.Signal) bool {
	s, ok := w.cmd.ProcessState.Sys().(syscall.WaitStatus)
	return ok && s.Signaled() && s.Signal() == sig
}
