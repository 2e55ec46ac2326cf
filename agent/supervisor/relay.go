package supervisor

import (
	"bytes"
	"fmt"
	"io"
	"sync"
	"time"
)

const (
	// relayBytesMax waits for a slow reader of the log: some thousand lines.
	relayBytesMax = 256 << 10
	// relayPieceBytes are written at once: less than the 64 KiB of a pipe, so that
	// a slow reader makes room often.
	relayPieceBytes = 16 << 10
	// relayPatience is how long a writer waits for a reader that takes nothing.
	// Two of them are well below any time after which a worker counts as stuck.
	relayPatience = time.Second
)

// Relay passes lines on to a writer that may stand still, as a terminal or a
// pipe that nobody reads does. Who writes waits a second for room and no longer:
// then lines are dropped and counted until the reader goes on, and their number
// is said. Each Write must be whole lines. Safe for concurrent use.
type Relay struct {
	out   io.Writer
	ended chan struct{} // closed when Run has ended

	mu      sync.Mutex
	changed *sync.Cond
	waiting []byte
	lost    int // lines, since the reader stands still
	stalled bool
	closed  bool
}

// NewRelay returns a relay to out, of which it is the only writer. Run must run.
func NewRelay(out io.Writer) *Relay {
	r := &Relay{out: out, ended: make(chan struct{})}
	r.changed = sync.NewCond(&r.mu)
	return r
}

// Write implements io.Writer. It never fails: there is nobody to tell.
func (r *Relay) Write(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.full(len(p)) && !r.stalled {
		patience := time.AfterFunc(relayPatience, func() {
			r.mu.Lock()
			r.stalled = true
			r.mu.Unlock()
			r.changed.Broadcast()
		})
		defer patience.Stop()
		for r.full(len(p)) && !r.stalled {
			r.changed.Wait()
		}
	}
	if r.full(len(p)) {
		r.lost += bytes.Count(p, []byte{'\n'})
		return len(p), nil
	}
	if r.lost > 0 {
		r.waiting = fmt.Appendf(r.waiting, "wasmtail: %d lines of the log are missing here: nobody read it\n", r.lost)
		r.lost = 0
	}
	r.waiting = append(r.waiting, p...)
	r.changed.Broadcast()
	return len(p), nil
}

// full needs the mutex.
func (r *Relay) full(more int) bool {
	return len(r.waiting) > 0 && len(r.waiting)+more > relayBytesMax
}

// Run writes until Close, and what was written before that. It may hang as long
// as the writer does.
func (r *Relay) Run() {
	defer close(r.ended)
	piece := make([]byte, 0, relayPieceBytes)
	r.mu.Lock()
	defer r.mu.Unlock()
	for {
		for len(r.waiting) == 0 && !r.closed {
			r.changed.Wait()
		}
		if len(r.waiting) == 0 {
			return
		}
		piece = append(piece[:0], r.waiting[:min(relayPieceBytes, len(r.waiting))]...)
		r.mu.Unlock()
		_, _ = r.out.Write(piece) // a log that cannot be written ends nothing
		r.mu.Lock()
		r.waiting = append(r.waiting[:0], r.waiting[len(piece):]...)
		r.stalled = false
		r.changed.Broadcast()
	}
}

// Close ends Run, and waits for that a second at most.
func (r *Relay) Close() {
	r.mu.Lock()
	r.closed = true
	r.mu.Unlock()
	r.changed.Broadcast()
	select {
	case <-r.ended:
	case <-time.After(relayPatience):
	}
}
