// Package queue holds encoded payloads between the lanes that make them and
// the senders that deliver them: bounded in bytes, in order within a lane.
//
// A payload is given away, and lent to one sender at a time. At no time are two
// payloads of one lane out, so that a lane's payloads are delivered in the
// order in which they were put, whatever has to be tried again. Putting blocks
// while the bound is reached: that is the back-pressure of the whole agent. A
// lane that holds nothing may always put one payload, so a payload larger than
// the bound passes, and no lane can starve another. The package starts no
// goroutines, and everything in it is safe for concurrent use.
package queue

import (
	"context"
	"errors"
	"slices"
	"sync"
)

// ErrClosed is what Put returns after Close, and Take when nothing is left.
var ErrClosed = errors.New("queue closed")

// Queue is the queue of one output.
type Queue struct {
	bytesMax int64

	mu     sync.Mutex
	closed bool
	bytes  int64         // payload bytes held, lent ones included
	lanes  []*lane       // by number
	ready  []*lane       // lanes with a payload and none out, oldest first
	taken  chan struct{} // closed and replaced when a payload leaves
	put    chan struct{} // closed and replaced when a lane becomes ready
	free   [][]byte      // payload buffers for reuse
	spare  []int         // numbers of lanes that were withdrawn
}

type lane struct {
	number int
	items  []item // FIFO; items[head:] are waiting
	head   int
	held   int // waiting and lent
	lent   bool
	gone   bool // withdrawn
}

type item struct {
	payload []byte
	done    func(error)
}

// freeMax bounds the buffers kept for reuse; more lie about only when an
// outage has filled the queue.
const freeMax = 16

// New returns a queue that holds at most bytesMax payload bytes, but at least
// one payload of each lane.
func New(bytesMax int64) *Queue {
	return &Queue{bytesMax: bytesMax, taken: make(chan struct{}), put: make(chan struct{})}
}

// Lane returns a new lane number for Put.
func (q *Queue) Lane() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	if last := len(q.spare) - 1; last >= 0 {
		n := q.spare[last]
		q.spare = q.spare[:last]
		q.lanes[n] = &lane{number: n}
		return n
	}
	q.lanes = append(q.lanes, &lane{number: len(q.lanes)})
	return len(q.lanes) - 1
}

// Put gives payload to the queue, and returns an empty buffer to use in its
// place. It blocks while the queue is full. done is called exactly once if Put
// returns no error, and never otherwise; then payload itself is returned. The
// error is that of ctx, or ErrClosed.
func (q *Queue) Put(ctx context.Context, payload []byte, laneNumber int, done func(error)) (spare []byte, err error) {
	for {
		q.mu.Lock()
		if q.closed {
			q.mu.Unlock()
			return payload, ErrClosed
		}
		l := q.lanes[laneNumber]
		if l.gone {
			q.mu.Unlock()
			return payload, ErrClosed
		}
		if q.bytes+int64(len(payload)) <= q.bytesMax || l.held == 0 {
			q.putLocked(l, payload, done)
			spare = q.spareLocked(len(payload))
			q.mu.Unlock()
			return spare, nil
		}
		taken := q.taken
		q.mu.Unlock()
		select {
		case <-taken:
		case <-ctx.Done():
			return payload, context.Cause(ctx)
		}
	}
}

func (q *Queue) putLocked(l *lane, payload []byte, done func(error)) {
	l.items = append(l.items, item{payload: payload, done: done})
	l.held++
	q.bytes += int64(len(payload))
	if !l.lent && len(l.items)-l.head == 1 {
		q.readyLocked(l)
	}
}

func (q *Queue) readyLocked(l *lane) {
	q.ready = append(q.ready, l)
	close(q.put)
	q.put = make(chan struct{})
}

// spareLocked returns an empty buffer, one that fits n if there is one: the next
// payload of a lane is much like its last.
func (q *Queue) spareLocked(n int) []byte {
	last := len(q.free) - 1
	for i := last; i >= 0; i-- {
		if cap(q.free[i]) >= n {
			b := q.free[i]
			q.free[i] = q.free[last]
			q.free = q.free[:last]
			return b[:0]
		}
	}
	return make([]byte, 0, n+n/4)
}

// Lease is a payload lent to a sender.
type Lease struct {
	// Payload is valid until Release.
	Payload []byte
	q       *Queue
	lane    *lane
	done    func(error)
}

// Take lends the next payload of a lane that has none out. It blocks while
// there is none. The error is that of ctx, or ErrClosed once the queue is
// closed and empty.
func (q *Queue) Take(ctx context.Context) (*Lease, error) {
	for {
		q.mu.Lock()
		if len(q.ready) > 0 {
			l := q.ready[0]
			q.ready = append(q.ready[:0], q.ready[1:]...)
			it := l.items[l.head]
			l.items[l.head] = item{}
			if l.head++; l.head == len(l.items) {
				l.items, l.head = l.items[:0], 0
			}
			l.lent = true
			q.mu.Unlock()
			return &Lease{Payload: it.payload, q: q, lane: l, done: it.done}, nil
		}
		if q.closed && q.bytes == 0 {
			q.mu.Unlock()
			return nil, ErrClosed
		}
		put, taken := q.put, q.taken
		q.mu.Unlock()
		select {
		case <-put:
		case <-taken: // the last payload may have left a closed queue
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// Release ends the loan and reports what became of the payload: nil when it is
// delivered. It is called exactly once, and must not be called under a lock
// that the payload's done function takes.
func (l *Lease) Release(err error) {
	q := l.q
	if q == nil {
		panic("BUG: queue.Lease released twice")
	}
	l.q = nil
	poison(l.Payload)
	q.mu.Lock()
	q.bytes -= int64(len(l.Payload))
	l.lane.held--
	l.lane.lent = false
	if l.lane.gone {
		q.spare = append(q.spare, l.lane.number)
	}
	if l.lane.head < len(l.lane.items) {
		q.readyLocked(l.lane)
	}
	if len(q.free) < freeMax {
		q.free = append(q.free, l.Payload[:0])
	}
	close(q.taken)
	q.taken = make(chan struct{})
	q.mu.Unlock()
	l.Payload = nil
	l.done(err)
}

// Close refuses further payloads. What is held can still be taken.
func (q *Queue) Close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return
	}
	q.closed = true
	close(q.taken)
	q.taken = make(chan struct{})
}

// Withdraw ends the use of some lanes: done is called with err for the payloads
// that no sender has. One that is lent ends as it would have. The numbers may be
// given to others afterwards.
func (q *Queue) Withdraw(lanes []int, err error) {
	q.mu.Lock()
	var dones []func(error)
	for _, n := range lanes {
		l := q.lanes[n]
		if l.gone {
			continue
		}
		dones = append(dones, q.emptyLocked(l)...)
		l.gone = true
		q.ready = slices.DeleteFunc(q.ready, func(other *lane) bool { return other == l })
		if !l.lent {
			q.spare = append(q.spare, n)
		}
	}
	close(q.taken)
	q.taken = make(chan struct{})
	q.mu.Unlock()
	for _, done := range dones {
		done(err)
	}
}

// emptyLocked takes what waits out of a lane.
func (q *Queue) emptyLocked(l *lane) (dones []func(error)) {
	for _, it := range l.items[l.head:] {
		q.bytes -= int64(len(it.payload))
		l.held--
		dones = append(dones, it.done)
	}
	l.items, l.head = nil, 0
	return dones
}

// Discard ends the wait for everything that is neither sent nor lent: done is
// called with err, so that its bytes are read again after a restart.
func (q *Queue) Discard(err error) {
	q.mu.Lock()
	var dones []func(error)
	for _, l := range q.lanes {
		dones = append(dones, q.emptyLocked(l)...)
	}
	q.ready = q.ready[:0]
	close(q.taken)
	q.taken = make(chan struct{})
	q.mu.Unlock()
	for _, done := range dones {
		done(err)
	}
}

// Bytes is the number of payload bytes held, lent ones included.
func (q *Queue) Bytes() int64 {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.bytes
}
