package stream

import (
	"sync"
)

// Visible tells of rows that queries can find now.
type Visible struct {
	// SeqMin and SeqMax are the first and the last message of the rows.
	SeqMin, SeqMax uint64
	// TimeMin and TimeMax bound the rows' times, both in.
	TimeMin, TimeMax int64
	Rows             int
}

// join makes v cover o too.
func (v Visible) join(o Visible) Visible {
	if v.Rows == 0 {
		return o
	}
	return Visible{
		SeqMin: min(v.SeqMin, o.SeqMin), SeqMax: max(v.SeqMax, o.SeqMax),
		TimeMin: min(v.TimeMin, o.TimeMin), TimeMax: max(v.TimeMax, o.TimeMax),
		Rows: v.Rows + o.Rows,
	}
}

// Listener is told of rows that have become visible. What it does not take in
// time is joined, not queued.
type Listener struct {
	stream  *Stream
	ready   chan struct{} // holds 1: something is pending
	mu      sync.Mutex
	pending Visible
}

// Listen begins to listen. Close ends it.
func (s *Stream) Listen() *Listener {
	l := &Listener{stream: s, ready: make(chan struct{}, 1)}
	s.tails.Lock()
	defer s.tails.Unlock()
	s.listeners[l] = struct{}{}
	return l
}

// Ready is sent to when Take has something to give.
func (l *Listener) Ready() <-chan struct{} { return l.ready }

// Take returns what has become visible since the last call.
func (l *Listener) Take() Visible {
	l.mu.Lock()
	defer l.mu.Unlock()
	v := l.pending
	l.pending = Visible{}
	return v
}

// Close ends the listening.
func (l *Listener) Close() {
	l.stream.tails.Lock()
	defer l.stream.tails.Unlock()
	delete(l.stream.listeners, l)
}

// announce tells every listener.
func (s *Stream) announce(v Visible) {
	s.tails.Lock()
	defer s.tails.Unlock()
	for l := range s.listeners {
		l.mu.Lock()
		l.pending = l.pending.join(v)
		l.mu.Unlock()
		select {
		case l.ready <- struct{}{}:
		default:
		}
	}
}
