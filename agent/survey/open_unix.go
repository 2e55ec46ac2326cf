//go:build unix

package survey

import "syscall"

// openFlags let no open wait for a writer, or make a terminal this process's own.
const openFlags = syscall.O_NONBLOCK | syscall.O_NOCTTY
