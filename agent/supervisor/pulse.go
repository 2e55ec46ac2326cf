package supervisor

import (
	"os"
	"sync"
)

// The signs a worker gives, of one byte each.
const (
	signAlive = '.'
	signReady = 'r'
)

// Pulse is how a worker shows its supervisor that it lives. The methods of a nil
// Pulse do nothing. Safe for concurrent use.
type Pulse struct {
	mu   sync.Mutex
	pipe *os.File
	lost func()
}

// pulseFile is the worker's end of the pipe.
const pulseFile = 3

// NewPulse returns the pulse of a process that was started as a worker. lost is
// called once, when the supervisor is found to be gone.
func NewPulse(lost func()) *Pulse {
	return &Pulse{pipe: os.NewFile(pulseFile, "supervisor"), lost: lost}
}

// Ready says that the worker works.
func (p *Pulse) Ready() { p.give(signReady) }

// Beat says that it is alive. It is to be called about once a second, by what
// would not run if the worker were stuck.
func (p *Pulse) Beat() { p.give(signAlive) }

func (p *Pulse) give(sign byte) {
	if p == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.pipe == nil {
		return
	}
	if _, err := p.pipe.Write([]byte{sign}); err != nil {
		_ = p.pipe.Close()
		p.pipe = nil
		p.lost()
	}
}
