package wasmhost

import (
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// limitThisProcess bounds the processor time and address space of the process.
func limitThisProcess() error {
	for resource, limit := range map[int]uint64{
		unix.RLIMIT_CPU: uint64(compileCPU / time.Second), unix.RLIMIT_AS: compileAddress, unix.RLIMIT_CORE: 0,
	} {
		if err := unix.Setrlimit(resource, &unix.Rlimit{Cur: limit, Max: limit}); err != nil {
			return fmt.Errorf("cannot set limit %d: %w", resource, err)
		}
	}
	return nil
}

// lowPriority lets the compiling process end with this one, and not run before
// the services beside it.
func lowPriority(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}

// watchResident returns true when the process has grown above what compiling may
// take, false when ended was closed.
func watchResident(pid int, ended <-chan struct{}) bool {
	const interval = 50 * time.Millisecond
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	for {
		select {
		case <-ended:
			return false
		case <-ticker.C:
			if residentBytes(pid) > compileResident {
				return true
			}
		}
	}
}

// residentBytes is the resident size of a process, 0 if it is gone.
func residentBytes(pid int) int64 {
	text, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/statm")
	if err != nil {
		return 0
	}
	fields := strings.Fields(string(text))
	if len(fields) < 2 {
		return 0
	}
	pages, err := strconv.ParseInt(fields[1], 10, 64)
	if err != nil {
		return 0
	}
	return pages * int64(os.Getpagesize())
}
