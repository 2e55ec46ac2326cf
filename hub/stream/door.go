package stream

import (
	"context"
	"sync"
	"time"
)

const (
	// backlogMax is how long a message may have waited for the consumer before more of
	// its kind is let in, where others send too: what waits comes before their lines,
	// and the promise is to find a line within a second.
	backlogMax = 50 * time.Millisecond
	// backlogMin is how many bytes of a kind may wait all the same, inflated: two
	// batches of an agent, so that the consumer has the next one while its sender has
	// its answer.
	backlogMin = 1 << 20
	// othersFor is how long others are thought to go on sending.
	othersFor = 10 * time.Second
	// doorPatience is how long a batch waits to be let in. A consumer that takes
	// nothing for so long is away, and the stream is what bridges that.
	doorPatience = time.Second
)

// door keeps senders that have more than the consumer takes, such as an import, from
// filling the stream before the lines of others: they wait for their answers. Kinds are
// told apart by what is sent, such as the generation of a file. Who sends alone, and who
// has nothing in the stream, is always let in, and nobody is refused. Safe for
// concurrent use.
type door struct {
	mu     sync.Mutex
	inside []visitor // messages that the consumer has not taken, in the order of answers
	bytes  map[string]int
	taken  uint64 // the last that it has
	away   bool   // somebody has waited in vain since
	moved  chan struct{}

	last   string    // the kind that was let in last, and
	others time.Time // when it was another one than before
}

// visitor is a message of the stream.
type visitor struct {
	seq   uint64
	kind  string
	bytes int // inflated
	since time.Time
}

func newDoor() *door { return &door{moved: make(chan struct{}), bytes: map[string]int{}} }

// enter waits until the consumer keeps up, and no longer than doorPatience or ctx.
func (d *door) enter(ctx context.Context, kind string) {
	var patience <-chan time.Time
	for {
		moved := d.shut(kind, time.Now())
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
func (d *door) shut(kind string, now time.Time) chan struct{} {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.away || d.bytes[kind] <= backlogMin || now.Sub(d.others) > othersFor {
		return nil
	}
	for i := range d.inside {
		if v := &d.inside[i]; v.kind == kind {
			if now.Sub(v.since) < backlogMax {
				return nil
			}
			break
		}
	}
	return d.moved
}

// published notes a message that is in the stream.
func (d *door) published(v visitor) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.last != v.kind {
		if d.last != "" {
			d.others = v.since
		}
		d.last = v.kind
	}
	if v.seq > d.taken {
		d.inside = append(d.inside, v)
		d.bytes[v.kind] += v.bytes
	}
}

// take notes that the consumer has taken messages up to one.
func (d *door) take(seq uint64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.taken, d.away = max(d.taken, seq), false
	n := 0
	for ; n < len(d.inside) && d.inside[n].seq <= d.taken; n++ {
		v := &d.inside[n]
		if d.bytes[v.kind] -= v.bytes; d.bytes[v.kind] <= 0 {
			delete(d.bytes, v.kind)
		}
	}
	clear(d.inside[:n]) // for their kinds
	d.inside = d.inside[n:]
	close(d.moved)
	d.moved = make(chan struct{})
}
