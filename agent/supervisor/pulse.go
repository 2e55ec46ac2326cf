package supervisor

import (
	"errors"
	"fmt"
	"os"
	"time"
)

// The signs a worker gives, of one byte each.
const (
	signAlive = '.'
	signReady = 'r'
)

// The worker's ends of its two pipes: it writes its signs into one, and nobody
// ever writes into the other, which ends with the supervisor.
const (
	pulseFile = 3
	leashFile = 4
)

// signTime is how long a sign may wait for room in the pipe. A supervisor that
// was stopped reads nothing, and the worker works all the same.
const signTime = 10 * time.Millisecond

// Pulse is how a worker shows its supervisor that it lives, and learns that it
// has none any more. Safe for concurrent use.
type Pulse struct {
	pulse, leash *os.File
}

// NewPulse returns the pulse of a process that a supervisor has started. Any other
// process has none, and gets an error.
func NewPulse() (*Pulse, error) {
	pulse, err := inherited(pulseFile, "pulse")
	if err != nil {
		return nil, err
	}
	leash, err := inherited(leashFile, "leash")
	if err != nil {
		return nil, errors.Join(err, pulse.Close())
	}
	return &Pulse{pulse: pulse, leash: leash}, nil
}

var errNoSupervisor = errors.New("cannot run as a worker: no supervisor has started this process; leave --worker out")

// Ready says that the worker works.
func (p *Pulse) Ready() { p.give(signReady) }

// Beat says that it is alive. It is to be called about once a second, by what
// would not run if the worker were stuck. It does not block.
func (p *Pulse) Beat() { p.give(signAlive) }

func (p *Pulse) give(sign byte) {
	_ = p.pulse.SetWriteDeadline(time.Now().Add(signTime))
	_, _ = p.pulse.Write([]byte{sign}) // Wait tells when nobody reads it
}

// Wait waits until the supervisor is gone, or until Close, and says which.
func (p *Pulse) Wait() (gone bool) {
	_, err := p.leash.Read(make([]byte, 1))
	return !errors.Is(err, os.ErrClosed)
}

// Close ends the pulse and Wait.
func (p *Pulse) Close() error {
	if err := errors.Join(p.pulse.Close(), p.leash.Close()); err != nil {
		return fmt.Errorf("cannot close the pipes to the supervisor: %w", err)
	}
	return nil
}
