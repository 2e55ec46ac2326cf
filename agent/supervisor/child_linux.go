package supervisor

import (
	"os"
	"syscall"
)

// childAttributes keep a terminal's signals away from the worker, which gets its
// supervisor's, and tell it when that has died.
func childAttributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
}

// NameProcess sets the name that top and ps show for this process, of at most 15
// bytes.
func NameProcess(name string) {
	f, err := os.OpenFile("/proc/self/comm", os.O_WRONLY, 0) // that of the first thread, whichever runs this
	if err != nil {
		return // a name is a courtesy
	}
	_, _ = f.WriteString(name)
	_ = f.Close()
}

// inherited is the pipe that the supervisor has left at a number. The programs
// that the worker starts do not get it: they may outlive it.
func inherited(fd int, name string) (*os.File, error) {
	var stat syscall.Stat_t
	if err := syscall.Fstat(fd, &stat); err != nil || stat.Mode&syscall.S_IFMT != syscall.S_IFIFO {
		return nil, errNoSupervisor // the number may be anything of this process: it is left alone
	}
	syscall.CloseOnExec(fd)
	if err := syscall.SetNonblock(fd, true); err != nil { // for deadlines, and for Close to end a Read
		return nil, os.NewSyscallError("cannot use the pipe "+name, err)
	}
	return os.NewFile(uintptr(fd), name), nil
}
