//go:build !linux

package supervisor

import (
	"os"
	"syscall"
)

// childAttributes are those every system has. A worker learns by its pipe that
// its supervisor is gone.
func childAttributes() *syscall.SysProcAttr { return nil }

// NameProcess does nothing here.
func NameProcess(string) {}

// inherited is the pipe that the supervisor has left at a number.
func inherited(fd int, name string) (*os.File, error) {
	f := os.NewFile(uintptr(fd), name)
	if info, err := f.Stat(); err != nil || info.Mode()&os.ModeNamedPipe == 0 {
		return nil, errNoSupervisor
	}
	return f, nil
}
