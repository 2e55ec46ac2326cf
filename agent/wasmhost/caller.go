package wasmhost

import (
	"errors"
	"runtime"
)

// caller calls into a module on a goroutine of its own, so that a host function
// can end the call by ending the goroutine. Ending it by a panic would have the
// runtime walk the module's stack, which a recursion can make so deep that this
// takes longer than any deadline.
type caller struct {
	work   chan func() error // holds 0: the caller waits for what it hands over
	result chan error        // holds 1: the goroutine does not wait for the caller
	reason error             // why a host function has ended the goroutine
}

// errCallerGone is the result of a call into an instance that was closed.
var errCallerGone = errors.New("the instance is closed")

// run calls f and returns its error, or the reason given to end. After an end the
// module must not be called again.
func (c *caller) run(f func() error) error {
	if c.work == nil {
		c.work, c.result = make(chan func() error), make(chan error, 1)
		go c.loop(c.work, c.result)
	}
	if c.reason != nil {
		return errCallerGone
	}
	c.work <- f
	return <-c.result
}

func (c *caller) loop(work <-chan func() error, result chan<- error) {
	ended := true
	defer func() {
		if ended {
			result <- c.reason
		}
		close(result)
	}()
	for f := range work {
		result <- f()
	}
	ended = false
}

// end ends the call that is under way, from within a host function. It does not
// return.
func (c *caller) end(reason error) {
	c.reason = reason
	runtime.Goexit()
}

// close waits for the goroutine.
func (c *caller) close() {
	if c.work == nil {
		return
	}
	close(c.work)
	for range c.result { // until it is closed
		continue
	}
	c.work = nil
}
