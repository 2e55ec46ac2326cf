package agent

import (
	"golang.org/x/sys/unix"

	"github.com/wasmtail/wasmtail/internal/config"
)

// openFilesMax is how many files the inputs may hold open: what the
// configuration says, or all the system allows but a reserve for connections
// and the agent's own files.
func openFilesMax(l config.Limits) int {
	const reserve = 64
	var r unix.Rlimit
	allowed := 1024 - reserve
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &r); err == nil {
		allowed = int(min(r.Cur, 1<<20)) - reserve
	}
	if l.OpenFiles > 0 {
		return min(l.OpenFiles, allowed)
	}
	return allowed
}
