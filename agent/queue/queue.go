// Package queue holds encoded payloads between the lanes that make them and
// the senders that deliver them: in memory while the output keeps up, on the
// disk while it does not; bounded in bytes; in order within a stream.
//
// A payload is given away, and lent to one sender at a time. At no time are two
// payloads of one stream out, so that they are delivered in the order in which
// they were put, whatever has to be tried again. Memory is bounded; a lane that
// holds nothing may always put one payload, so a payload larger than the bound
// passes, and no lane can starve another. When a lane has waited a second for
// room, or a payload five seconds while attempts fail, everything that is held
// goes to the disk, is acknowledged, and what is put from then on follows it,
// until the disk is empty again. When the disk is
// full or fails, putting blocks: that is the back-pressure of the whole agent.
//
// What is on the disk survives the process, and a loss of power: a payload is
// acknowledged when it is synced. After a crash it is sent again unless its
// delivery had been noted. Records that the disk has damaged are counted and
// named, segments that cannot be read are put out of the way: nothing on the
// disk keeps a queue from starting.
//
// The package starts no goroutines, and everything in it is safe for concurrent
// use.
package queue

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/wasmtail/wasmtail/internal/durable"
)

// ErrClosed is what Put returns after Close, and Take when nothing is left.
var ErrClosed = errors.New("queue closed")

// Options are what a queue is made of.
type Options struct {
	// BytesMax bounds the payload bytes in memory; each lane may hold one payload
	// whatever the bound.
	BytesMax int64
	// Senders is how many payloads may be out at once.
	Senders int
	// Disk is where payloads go that wait for long; nil keeps them in memory.
	Disk *Disk
	// Lost is told of payloads that the disk has lost, or that were too old;
	// DiskFails why the disk cannot be used, and what was found on it that cannot
	// be. They must not block, and are called from any goroutine.
	Lost      func(Loss)
	DiskFails func(error)
}

// Disk is where a queue keeps what waits for long.
type Disk struct {
	FS durable.FS
	// Dir is this queue's own folder.
	Dir string
	// Format names who understands the payloads: those of another are left alone.
	Format string
	Budget *Budget
	// NewestFirst sends the newest segments first, whole ones: then the order
	// within a stream is not kept across them.
	NewestFirst bool
	// AgeMax is after what time on the disk a payload is given up; 0 for never.
	AgeMax time.Duration
}

// Loss is something that will not be delivered.
type Loss struct {
	// Label is what is lost; zero if that cannot be told any more.
	Label
	// Records that are lost, at least.
	Records int
	Reason  LossReason
	Err     error
}

// LossReason is why something was lost.
type LossReason string

// The reasons.
const (
	// Expired: it was older than what the configuration wants to keep.
	Expired LossReason = "expired"
	// Damaged: the disk did not keep it.
	Damaged LossReason = "damaged"
	// SetAside: it is kept in a file that this version or output cannot send.
	SetAside LossReason = "set_aside"
)

// Entry is a payload and what it is.
type Entry struct {
	Payload []byte
	Label   Label
}

// Queue is the queue of one output.
type Queue struct {
	o    Options
	disk *spool // nil until Open, and without a disk

	mu      sync.Mutex
	opened  bool
	closed  bool
	moving  bool      // memory is being written to the disk
	movable time.Time // not tried before, after the last time
	loading bool      // the disk is being read
	spilled bool      // what is put goes to the disk
	putting int       // payloads on their way to the disk
	bytes   int64
	seq     uint64
	lanes   []*lane // by number
	streams map[uint64]*stream
	ready   []*stream // with an item and none out, oldest first
	loaded  int       // records of the disk in streams
	gates   map[string]*gate
	all     gate
	moved   map[place]bool // out, tried again from memory, or over, and on the disk too
	room    chan struct{}  // closed and replaced when Put may go on
	work    chan struct{}  // closed and replaced when Take may go on
	free    [][]byte       // payload buffers for reuse
	spare   []int          // numbers of lanes that were withdrawn
}

type lane struct {
	held int // waiting and lent, in memory
	gone bool
}

// stream is what must be delivered in order.
type stream struct {
	number   uint64
	items    []*item // items[head:] wait
	head     int
	listed   bool // in ready
	out      *item
	failures int
	until    time.Time // not tried before
}

// item is a payload that waits or is out.
type item struct {
	payload []byte      // nil while it is on the disk only
	label   Label       // of what is on the disk only: stream and destination
	done    func(error) // nil once it was called
	lane    int         // -1 if it came from the disk
	seq     uint64
	since   time.Time // when it was put
	at      place     // seg is nil while it is in memory only
	tries   int       // to read it from the disk, that failed
}

const (
	// freeMax bounds the buffers kept for reuse.
	freeMax = 16
	// patience is how long a lane waits for room in memory before the disk is
	// used. An output that takes one payload a second is slow, not away: then the
	// files are the buffer.
	patience = time.Second
	// lagMax is how long a payload stays in memory only while attempts fail.
	lagMax = 5 * time.Second
	// loadedMax bounds the records of the disk that are known in memory. When as
	// many wait for destinations that take nothing, those behind them wait too.
	loadedMax = 1 << 16
)

// New returns a queue that takes payloads once it is open.
func New(o Options) *Queue {
	if o.Lost == nil {
		o.Lost = func(Loss) {}
	}
	if o.DiskFails == nil {
		o.DiskFails = func(error) {}
	}
	o.Senders = max(1, o.Senders)
	return &Queue{
		o: o, streams: map[uint64]*stream{}, gates: map[string]*gate{}, moved: map[place]bool{},
		all: gate{limit: float64(o.Senders)}, room: make(chan struct{}), work: make(chan struct{}),
	}
}

// Open finds what an earlier run has left on the disk, and lets Put go on. On an
// error the queue works in memory only.
func (q *Queue) Open() error {
	var err error
	var disk *spool
	if q.o.Disk != nil {
		disk, err = openSpool(q.o.Disk)
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	q.disk, q.opened = disk, true
	q.spilled = disk != nil && !disk.empty()
	q.wakeLocked()
	return err
}

// wakeLocked lets everybody look again.
func (q *Queue) wakeLocked() {
	q.roomLocked()
	q.workLocked()
}

func (q *Queue) roomLocked() {
	close(q.room)
	q.room = make(chan struct{})
}

func (q *Queue) workLocked() {
	close(q.work)
	q.work = make(chan struct{})
}

// Lane returns a new lane number for Put.
func (q *Queue) Lane() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	if last := len(q.spare) - 1; last >= 0 {
		n := q.spare[last]
		q.spare = q.spare[:last]
		q.lanes[n] = &lane{}
		return n
	}
	q.lanes = append(q.lanes, &lane{})
	return len(q.lanes) - 1
}

// verdict is what becomes of a payload that is put.
type verdict int

const (
	refuse verdict = iota
	keep           // in memory
	store          // on the disk
	move           // all of memory goes to the disk first
	pause
)

// Put gives a payload to the queue, and returns an empty buffer to use in its
// place. It blocks while the queue is full. done is called exactly once if Put
// returns no error, and never otherwise; then the payload itself is returned.
// It is called with nil when the payload is delivered, or durable on the disk.
// The error is that of ctx, or ErrClosed.
func (q *Queue) Put(ctx context.Context, laneNumber int, e Entry, done func(error)) (spare []byte, err error) {
	var since time.Time // when it began to wait
	for {
		now := time.Now()
		late := !since.IsZero() && now.Sub(since) >= patience
		q.mu.Lock()
		v, from := q.placeLocked(laneNumber, len(e.Payload), late)
		room := q.room
		switch v {
		case refuse:
			q.mu.Unlock()
			return e.Payload, ErrClosed
		case keep:
			q.pushLocked(&item{payload: e.Payload, label: e.Label, done: done, lane: laneNumber})
			spare = q.spareLocked(len(e.Payload))
			q.mu.Unlock()
			return spare, nil
		case store:
			q.putting++
			q.mu.Unlock()
			if q.store(e) {
				done(nil)
				return e.Payload[:0], nil
			}
		case move:
			q.moving = true
			q.mu.Unlock()
			q.spill()
		case pause:
			q.mu.Unlock()
		}
		if since.IsZero() {
			since = now
		}
		if from = later(from, since.Add(patience)); !from.After(now) {
			from = now.Add(patience)
		}
		if err := sleep(ctx, room, from); err != nil {
			return e.Payload, err
		}
	}
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// placeLocked decides where n bytes of a lane go, and when to ask again.
func (q *Queue) placeLocked(laneNumber, n int, late bool) (v verdict, from time.Time) {
	l := q.lanes[laneNumber]
	if q.closed || l.gone {
		return refuse, from
	}
	if !q.opened || q.moving {
		return pause, from
	}
	if !q.spilled && (q.bytes+int64(n) <= q.o.BytesMax || l.held == 0) {
		return keep, from
	}
	if q.disk == nil || !q.spilled && !late {
		return pause, from
	}
	ok, from := q.disk.ready(time.Now())
	if !q.spilled {
		n += int(q.bytes)
	}
	switch {
	case !ok || q.disk.full(n):
		return pause, from
	case q.spilled:
		return store, from
	case time.Now().Before(q.movable):
		return pause, q.movable
	}
	return move, from
}

func (q *Queue) pushLocked(it *item) {
	q.seq++
	it.seq, it.since = q.seq, time.Now()
	q.lanes[it.lane].held++
	q.bytes += int64(len(it.payload))
	s := q.streamLocked(it.label.Stream)
	s.push(it)
	q.readyLocked(s)
}

// push adds an item at the end, and uses the room of those that were taken out:
// a stream may never be empty.
func (s *stream) push(it *item) {
	if len(s.items) == cap(s.items) && s.head > len(s.items)/2 {
		n := copy(s.items, s.items[s.head:])
		clear(s.items[n:])
		s.items, s.head = s.items[:n], 0
	}
	s.items = append(s.items, it)
}

func (q *Queue) streamLocked(number uint64) *stream {
	s := q.streams[number]
	if s == nil {
		s = &stream{number: number}
		q.streams[number] = s
	}
	return s
}

// readyLocked lists a stream where it belongs after a change: among those that
// may send, or nowhere.
func (q *Queue) readyLocked(s *stream) {
	waits := s.head < len(s.items)
	switch {
	case waits && s.out == nil && !s.listed:
		s.listed = true
		q.ready = append(q.ready, s)
		q.workLocked()
	case s.listed && (!waits || s.out != nil):
		s.listed = false
		q.ready = slices.DeleteFunc(q.ready, func(o *stream) bool { return o == s })
	}
	if !waits && s.out == nil && s.failures == 0 {
		delete(q.streams, s.number)
	}
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

// Close refuses further payloads. What is in memory can still be taken; what is
// on the disk is sent by the next start.
func (q *Queue) Close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	if !q.closed {
		q.closed = true
		q.wakeLocked()
	}
}

// Withdraw ends the use of some lanes: done is called with err for the payloads
// that are in memory and that no sender has. One that is lent ends as it would
// have. The numbers may be given to others afterwards.
func (q *Queue) Withdraw(lanes []int, err error) {
	q.mu.Lock()
	dones := q.emptyLocked(func(it *item) bool { return slices.Contains(lanes, it.lane) })
	for _, n := range lanes {
		if l := q.lanes[n]; !l.gone {
			l.gone = true
			if l.held == 0 {
				q.spare = append(q.spare, n)
			}
		}
	}
	q.wakeLocked()
	q.mu.Unlock()
	for _, done := range dones {
		done(err)
	}
}

// Shut ends the queue, after Close and the end of all loans: what waits in memory
// goes to the disk, or, where that cannot be, done is called with err, so that its
// bytes are read again after a restart. It waits for what Put is writing.
func (q *Queue) Shut(err error) {
	q.mu.Lock()
	for q.putting > 0 || q.moving {
		written := q.work
		q.mu.Unlock()
		<-written
		q.mu.Lock()
	}
	movable := q.disk != nil && !q.spilled && q.bytes > 0
	q.moving = true
	q.mu.Unlock()
	if movable {
		q.spill()
	}
	q.mu.Lock()
	dones := q.emptyLocked(func(*item) bool { return true })
	disk := q.disk
	q.disk = nil
	q.wakeLocked()
	q.mu.Unlock()
	for _, done := range dones {
		done(err)
	}
	if disk != nil {
		disk.close()
	}
}

// emptyLocked takes out of memory what waits and belongs.
func (q *Queue) emptyLocked(belongs func(*item) bool) (dones []func(error)) {
	for _, s := range q.streams {
		left := s.items[:0]
		for _, it := range s.items[s.head:] {
			if it.done == nil || !belongs(it) {
				left = append(left, it)
				continue
			}
			dones = append(dones, it.done)
			it.done = nil
			q.dropLocked(it)
		}
		clear(s.items[len(left):])
		s.items, s.head = left, 0
		q.readyLocked(s)
	}
	return dones
}

// Bytes is the number of payload bytes in memory, lent ones included.
func (q *Queue) Bytes() int64 {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.bytes
}

// DiskBytes is what the queue has on the disk.
func (q *Queue) DiskBytes() int64 {
	q.mu.Lock()
	disk := q.disk
	q.mu.Unlock()
	if disk == nil {
		return 0
	}
	return disk.bytes()
}
