package stream

import (
	"context"
	"sync"
	"time"
)

const (
	// backlogMax is how long a message may have waited for the consumer before others
	// are let in: what waits comes before any new line, that of another sender too, and
	// the promise is to find a line within a second.
	backlogMax = 150 * time.Millisecond
	// doorPatience is how long a batch waits to be let in. A consumer that takes
	// nothing for so long is away, and the stream is what bridges that.
	doorPatience = time.Second
)

// door lets batches into the stream as fast as the consumer takes them out of it, so
// that senders that have more than that, such as an import, wait for their answers, and
// the others' lines do not wait behind theirs. It refuses nothing. Safe for concurrent
// use.
type door struct {
	mu     sync.Mutex
	inside []visitor // messages that the consumer has not taken, in the order of answers
	taken  uint64    // the last that it has
	away   bool      // somebody has waited in vain since
	moved  chan struct{}
}

// visitor is a message of the stream.
type visitor struct {
	seq   uint64
	since time.Time
}

func newDoor() *door { return &door{moved: make(chan struct{})} }

// enter waits until the consumer keeps up, and no longer than doorPatience or ctx.
func (d *door) enter(ctx context.Context) {
	var patience <-chan time.Time
	for {
		moved := d.shut(time.Now())
		if moved == nil {
			return
		}
		if patience == nil {
			timer := time.NewTimer(doorPatience)
			defer timer.Stop()
			patience = timer.C
		}
		select {
		case <-moved:
		case <-ctx.Done():
			return
		case <-patience:
			d.mu.Lock()
			d.away = moved == d.moved // nothing was taken since
			d.mu.Unlock()
			return
		}
	}
}

// shut returns what is closed when the consumer takes something, nil if there is no
// need to wait for that.
func (d *door) shut(now time.Time) chan struct{} {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.away || len(d.inside) == 0 || now.Sub(d.inside[0].since) < backlogMax {
		return nil
	}
	return d.moved
}

// published notes a message that has been in the stream since then.
func (d *door) published(seq uint64, since time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if seq > d.taken {
		d.inside = append(d.inside, visitor{seq, since})
	}
}

// take notes that the consumer has taken messages up to one.
func (d *door) take(seq uint64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.taken, d.away = max(d.taken, seq), false
	n := 0
	for n < len(d.inside) && d.inside[n].seq <= d.taken {
		n++
	}
	d.inside = d.inside[:copy(d.inside, d.inside[n:])]
	close(d.moved)
	d.moved = make(chan struct{})
}
