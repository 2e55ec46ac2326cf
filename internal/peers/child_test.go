//go:build linux

package peers

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// tick is the unit of CPU time in /proc; it is a hundredth of a second on every
// Linux that Go runs on.
const tick = 10 * time.Millisecond

// The cores: one for whoever is measured, another for the test's process.
const childCore, sinkCore = 1, 0

// pinSelf moves all threads of this process to the sink's core, so that the
// child has the other one for itself.
func pinSelf(t *testing.T) {
	t.Helper()
	if runtime.NumCPU() < 2 {
		t.Log("this machine has one core: the sink shares it with the contenders, and times go up")
		return
	}
	var before, set unix.CPUSet
	require.NoError(t, unix.SchedGetaffinity(0, &before))
	set.Set(sinkCore)
	pinThreads(t, &set)
	t.Cleanup(func() { pinThreads(t, &before) })
}

func pinThreads(t *testing.T, set *unix.CPUSet) {
	t.Helper()
	// New threads inherit from those that start them; a second pass finds those
	// that were being started during the first.
	for range 2 {
		tasks, err := os.ReadDir("/proc/self/task")
		require.NoError(t, err)
		for _, task := range tasks {
			tid, err := strconv.Atoi(task.Name())
			require.NoError(t, err)
			if err := unix.SchedSetaffinity(tid, set); err != nil && !errors.Is(err, unix.ESRCH) {
				require.NoError(t, err)
			}
		}
	}
}

// child is a contender's process.
type child struct {
	cmd    *exec.Cmd
	output *os.File
	exited chan struct{}
}

// command is how a contender is started.
type command struct {
	argv  []string
	env   []string
	stdin *os.File
	// trigger, if set, is told the path of the file when it is there.
	trigger *os.File
}

// start starts a contender on its core, in dir. It ends with the test.
func start(t *testing.T, dir string, c command) *child {
	t.Helper()
	argv := c.argv
	if runtime.NumCPU() >= 2 {
		argv = append([]string{"taskset", "-c", strconv.Itoa(childCore)}, argv...)
	}
	output, err := os.Create(filepath.Join(dir, "output"))
	require.NoError(t, err)
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, output, output
	cmd.Env = append(os.Environ(), c.env...)
	if c.stdin != nil {
		cmd.Stdin = c.stdin
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	require.NoError(t, cmd.Start())
	p := &child{cmd: cmd, output: output, exited: make(chan struct{})}
	go func() {
		defer close(p.exited)
		_ = cmd.Wait() // how it ended shows in what arrived
	}()
	t.Cleanup(func() { p.stop() })
	return p
}

// stop ends the process, in good order if it will.
func (p *child) stop() {
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.exited:
	case <-time.After(15 * time.Second):
		_ = p.cmd.Process.Kill()
		<-p.exited
	}
	_ = p.output.Close()
}

// tail is the end of what the process has printed, to explain a failure.
func (p *child) tail() string {
	text, _ := os.ReadFile(p.output.Name())
	return string(text[max(0, len(text)-4000):])
}

// cpu is what all threads have used, the ended ones too.
func (p *child) cpu() (time.Duration, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.cmd.Process.Pid))
	if err != nil {
		return 0, err
	}
	// The name, which is in parentheses, may hold anything.
	fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
	const utime, stime = 14 - 3, 15 - 3 // counted from the state, which is field 3
	if len(fields) <= stime {
		return 0, errors.New("cannot read the CPU time in /proc")
	}
	var sum time.Duration
	for _, at := range []int{utime, stime} {
		n, err := strconv.ParseInt(fields[at], 10, 64)
		if err != nil {
			return 0, err
		}
		sum += time.Duration(n) * tick
	}
	return sum, nil
}

// memory is a value of /proc/PID/status in bytes: VmHWM for the most resident
// memory so far, VmRSS for what it is now.
func (p *child) memory(key string) (int64, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(text)) {
		if name, value, _ := strings.Cut(line, ":"); name == key {
			n, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(value), " kB"), 10, 64)
			return n << 10, err
		}
	}
	return 0, fmt.Errorf("%s is not in /proc", key)
}

// wait lets d pass, or less when the process or the test ends.
func (p *child) wait(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-p.exited:
		return fmt.Errorf("the process has ended: %s", p.tail())
	case <-ctx.Done():
		return ctx.Err()
	}
}

// idle waits until the process has started and has nothing more to do: until it
// uses no more than two ticks in a second and a half.
func (p *child) idle(ctx context.Context) error {
	const window, deadline = 1500 * time.Millisecond, 2 * time.Minute
	for began := time.Now(); time.Since(began) < deadline; {
		before, err := p.cpu()
		if err != nil {
			return err
		}
		if err := p.wait(ctx, window); err != nil {
			return err
		}
		after, err := p.cpu()
		if err != nil {
			return err
		}
		if after-before <= 2*tick {
			return nil
		}
	}
	return fmt.Errorf("the process does not come to rest: %s", p.tail())
}
