//go:build !linux

package tail

import "context"

// hints are not given on this system: directories are compared periodically.
type hints struct{}

func newHints(chan<- struct{}) *hints { return &hints{} }

func (*hints) watch(string) (int32, error) { return -1, nil }

func (*hints) unwatch(int32) {}

func (*hints) take(func(dir string)) bool { return false }

func (*hints) run(context.Context) {}

func (*hints) close() {}
