//go:build !unix

package guard

import "time"

// system is the source of a process of which nothing is known.
type system struct{}

func (system) cpu() time.Duration { return -1 }

func (system) resident() int64 { return -1 }

func (system) openFiles() int { return -1 }
