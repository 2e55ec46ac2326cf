//go:build unix && !linux

package guard

import (
	"time"

	"golang.org/x/sys/unix"
)

// system is the source of this process.
type system struct{}

func (system) cpu() time.Duration {
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		return -1
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func (system) resident() int64 { return -1 }

func (system) openFiles() int { return -1 }
