package queue

import (
	"context"
	"slices"
	"time"
)

// Lease is a payload lent to a sender. One of its methods is called, once.
type Lease struct {
	// Payload is valid until the loan ends.
	Payload []byte
	// Label is what it is.
	Label  Label
	q      *Queue
	stream *stream
	item   *item
	began  time.Time
}

// Take lends the next payload of a stream that has none out, and whose
// destination may be tried. It blocks while there is none. The error is that of
// ctx, or ErrClosed once the queue is closed and nothing is left in memory.
func (q *Queue) Take(ctx context.Context) (*Lease, error) {
	for {
		now := time.Now()
		q.mu.Lock()
		l, from := q.nextLocked(now)
		work := q.work
		ended := l == nil && q.closed && q.safeLocked(now)
		load, spill := false, false
		if l == nil && !ended {
			var at time.Time
			load, at = q.loadsLocked(now)
			from = sooner(from, at)
		}
		q.loading = q.loading || load
		if l == nil && !load {
			var at time.Time
			spill, at = q.lagsLocked(now)
			q.moving = q.moving || spill
			from = sooner(from, at)
		}
		if l != nil && l.item.payload == nil {
			l.Payload = q.spareLocked(l.item.at.size)
		}
		q.mu.Unlock()
		switch {
		case ended:
			return nil, ErrClosed
		case load:
			q.load()
		case spill:
			q.spill()
		case l == nil:
			if err := sleep(ctx, work, from); err != nil {
				return nil, err
			}
		case l.item.payload != nil || q.fetch(l):
			return l, nil
		}
	}
}

// sooner is the earlier of two times, of which a zero one is none.
func sooner(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// sleep waits until there is work, or from a time on.
func sleep(ctx context.Context, work chan struct{}, from time.Time) error {
	var due <-chan time.Time
	if !from.IsZero() {
		timer := time.NewTimer(time.Until(from))
		defer timer.Stop()
		due = timer.C
	}
	select {
	case <-work:
	case <-due:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	return nil
}

// nextLocked takes out the first item that may be tried, or says when one may.
func (q *Queue) nextLocked(now time.Time) (l *Lease, from time.Time) {
	if ok, at := q.all.open(now); !ok {
		return nil, at
	}
	for i, s := range q.ready {
		if now.Before(s.until) {
			from = sooner(from, s.until)
			continue
		}
		it := s.items[s.head]
		g := q.gateLocked(it.label.Destination)
		if ok, at := g.open(now); !ok {
			from = sooner(from, at)
			continue
		}
		s.items[s.head] = nil
		if s.head++; s.head == len(s.items) {
			s.items, s.head = s.items[:0], 0
		}
		s.out, s.listed = it, false
		q.ready = slices.Delete(q.ready, i, i+1)
		g.begin(now)
		q.all.begin(now)
		return &Lease{Payload: it.payload, Label: it.label, q: q, stream: s, item: it, began: now}, from
	}
	return nil, from
}

func (q *Queue) gateLocked(destination string) *gate {
	g := q.gates[destination]
	if g == nil {
		g = &gate{limit: float64(q.o.Senders)}
		q.gates[destination] = g
	}
	return g
}

// Release ends the loan of a payload that needs no further attempt: it is
// delivered, or err says why it never will be.
func (l *Lease) Release(err error) {
	q := l.end()
	q.mu.Lock()
	q.all.well(float64(q.o.Senders))
	q.gateLocked(l.item.label.Destination).well(float64(q.o.Senders))
	l.stream.failures, l.stream.until = 0, time.Time{}
	q.landLocked(l)
	done := l.item.done
	l.item.done = nil
	q.dropLocked(l.item)
	l.stream.out = nil
	q.readyLocked(l.stream)
	q.mu.Unlock()
	q.finish(l.item)
	if done != nil {
		done(err)
	}
}

// Retry ends the loan of a payload that was not taken: it is lent again, before
// what follows it, when the setback allows it.
func (l *Lease) Retry(s Setback) {
	q := l.end()
	now := time.Now()
	q.mu.Lock()
	defer q.mu.Unlock()
	q.landLocked(l)
	switch s.Scope {
	case Output:
		q.all.back(now, l.began, s)
	case Destination:
		q.gateLocked(l.item.label.Destination).back(now, l.began, s)
	case Stream:
		l.stream.failures++
		l.stream.until = now.Add(max(s.After, jitter(l.stream.failures)))
	}
	q.undoLocked(l)
	q.wakeLocked()
}

// Return ends the loan of a payload that this sender will not try again, because
// it stops. It waits in its place, for Shut.
func (l *Lease) Return() {
	q := l.end()
	q.mu.Lock()
	defer q.mu.Unlock()
	q.landLocked(l)
	q.undoLocked(l)
	q.wakeLocked()
}

// end makes a second end of the loan fail.
func (l *Lease) end() *Queue {
	q := l.q
	if q == nil {
		panic("BUG: the loan of a queue.Lease ended twice")
	}
	l.q = nil
	return q
}

// landLocked ends the attempt, so that another may begin, and takes back a buffer that
// was lent for a payload of the disk.
func (q *Queue) landLocked(l *Lease) {
	q.all.flying--
	q.gateLocked(l.item.label.Destination).flying--
	q.workLocked()
	if l.item.payload == nil {
		poison(l.Payload)
		q.freeLocked(l.Payload)
	}
	l.Payload = nil
}

func (q *Queue) freeLocked(b []byte) {
	if len(q.free) < freeMax {
		q.free = append(q.free, b[:0])
	}
}

// undoLocked puts an item back in front of its stream.
func (q *Queue) undoLocked(l *Lease) {
	s := l.stream
	s.out = nil
	if s.head > 0 {
		s.head--
		s.items[s.head] = l.item
	} else {
		s.items = slices.Insert(s.items, 0, l.item)
	}
	q.readyLocked(s)
}

// dropLocked gives the memory of an item back.
func (q *Queue) dropLocked(it *item) {
	if it.payload == nil {
		return
	}
	poison(it.payload)
	q.bytes -= int64(len(it.payload))
	q.freeLocked(it.payload)
	it.payload = nil
	l := q.lanes[it.lane]
	if l.held--; l.gone && l.held == 0 {
		q.spare = append(q.spare, it.lane)
	}
	q.roomLocked()
}
