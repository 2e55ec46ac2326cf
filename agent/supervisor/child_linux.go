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
