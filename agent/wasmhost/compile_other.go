//go:build !linux

package wasmhost

import "os/exec"

// limitThisProcess has no limits to set here: the parent's time limit holds.
func limitThisProcess() error { return nil }

func lowPriority(*exec.Cmd) {}

// watchResident waits for the end of the process.
func watchResident(_ int, ended <-chan struct{}) bool {
	<-ended
	return false
}
