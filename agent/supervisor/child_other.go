//go:build !linux

package supervisor

import "syscall"

// childAttributes are those every system has. A worker learns by its pipe that
// its supervisor is gone.
func childAttributes() *syscall.SysProcAttr { return nil }

// NameProcess does nothing here.
func NameProcess(string) {}
