// Package intake makes batches of records that come one by one, from connections,
// requests, queries and journals, for inputs that read no files.
//
// A Stream is one life of one such source, with a generation of its own: its
// records have places in it, counted in bytes, that the ledger and the hub know
// as they know those of a file. A Batcher collects the records of one producer.
//
// A stream whose source can be read again (a journal, a table, a binlog) keeps a
// cursor in the checkpoint. It promises that the cursor moves only over what was
// acknowledged, that it is durable a second later, and that records which are read
// again after it have the same places, if the source gives them in the same order:
// then the hub knows them again, and stores none twice. A stream whose source
// cannot be read again (a datagram, a connection) begins a new generation at each
// start; what was in memory at a crash is gone.
//
// The package starts no goroutines. A Stream is safe for concurrent use; a Batcher
// belongs to one goroutine. Bytes given to a Batcher are copied.
package intake

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/fnv"
	"sync/atomic"
	"time"

	"github.com/wasmtail/wasmtail/agent/checkpoint"
	"github.com/wasmtail/wasmtail/agent/pipeline"
	"github.com/wasmtail/wasmtail/internal/record"
)

// Config of a stream.
type Config struct {
	Pipeline string
	// Name says what the source is, such as "syslog tcp 0.0.0.0:514"; it stands
	// where a file has its path, and is the same at each start.
	Name string
	// Checkpoints keeps the cursor; nil if the source cannot be read again.
	Checkpoints *checkpoint.Store
	// Start is the cursor of a source that was never read before.
	Start []byte
	// BatchBytes is from which size on a batch is complete, Linger how long its
	// first record waits for others.
	BatchBytes int
	Linger     time.Duration
	Emit       pipeline.Emit
}

// Stream is one life of a source.
type Stream struct {
	c    Config
	life atomic.Pointer[life]
	next atomic.Int64 // the place of the next record

	given    atomic.Int64  // batches of which nothing was heard yet
	returned atomic.Int64  // batches that came back unacknowledged
	back     chan struct{} // holds 1: a batch came back, whatever became of it
}

// life is a generation of a stream.
type life struct {
	origin *record.Origin
	source *checkpoint.Source // nil without a cursor
}

// Open begins a stream, or goes on with the one of that name that the checkpoint
// has. A new one is durable when Open returns.
func Open(c Config) (*Stream, error) {
	h := fnv.New64a()
	_, _ = h.Write([]byte(c.Name))
	s := &Stream{c: c, back: make(chan struct{}, 1)}
	origin := record.Origin{Path: c.Name, Source: h.Sum64(), Ledger: &record.Ledger{}}
	if c.Checkpoints == nil {
		origin.Generation = newGeneration()
		s.life.Store(&life{origin: &origin})
		return s, nil
	}
	for _, src := range c.Checkpoints.Sources(c.Pipeline) {
		e := src.Entry()
		if e.Path != c.Name || e.Ino != 0 {
			continue
		}
		if e.Cursor == nil { // a crash has cut it off when it was made
			src.Forget()
			continue
		}
		origin.Generation = e.Generation
		s.life.Store(&life{&origin, src})
		s.next.Store(e.Acked)
		return s, nil
	}
	if err := s.begin(origin, c.Start); err != nil {
		return nil, err
	}
	return s, nil
}

// begin begins a generation.
func (s *Stream) begin(origin record.Origin, cursor []byte) error {
	origin.Generation = newGeneration()
	e := checkpoint.Entry{
		Pipeline: s.c.Pipeline, Path: s.c.Name, Generation: origin.Generation,
		Created: time.Now().UnixNano(), Cursor: append([]byte{}, cursor...),
	}
	sources, err := s.c.Checkpoints.Add([]checkpoint.Entry{e}, s.c.Pipeline)
	if err != nil {
		return fmt.Errorf("cannot begin to read %s before its position can be saved: %w", s.c.Name, err)
	}
	s.life.Store(&life{&origin, sources[0]})
	s.next.Store(0)
	return nil
}

func newGeneration() string {
	var random [8]byte
	_, _ = rand.Read(random[:]) // never fails
	return hex.EncodeToString(random[:])
}

// Cursor is where to go on reading: behind all that was acknowledged. Nil for a
// stream without one.
func (s *Stream) Cursor() []byte {
	source := s.life.Load().source
	if source == nil {
		return nil
	}
	return source.Entry().Cursor
}

// Rewind makes the next record follow what was acknowledged, and returns the
// cursor of that. It is for a source that is read again; nothing of the stream may
// be under way (Waiting is 0), and no Batcher may hold records.
func (s *Stream) Rewind() []byte {
	e := s.life.Load().source.Entry()
	s.next.Store(e.Acked)
	s.returned.Store(0)
	return e.Cursor
}

// Skip moves the cursor over a part of the source that gave no records. It is
// false, and nothing is changed, while something of the stream is under way or was
// returned. No Batcher may hold records, and no other goroutine may give any.
func (s *Stream) Skip(cursor []byte) bool {
	if s.Waiting() > 0 || s.Returned() {
		return false
	}
	return s.life.Load().source.MoveCursor(s.next.Load(), cursor)
}

// Restart gives the stream up for a new generation with another cursor, where its
// source cannot be read from the old one on any more. It may be called when Rewind
// may; Batchers from before are not used again.
func (s *Stream) Restart(cursor []byte) error {
	old := s.life.Load()
	if err := s.begin(*old.origin, cursor); err != nil {
		return err
	}
	old.source.Forget()
	s.returned.Store(0)
	return nil
}

// Waiting is how many batches are under way.
func (s *Stream) Waiting() int64 { return s.given.Load() }

// Returned reports whether a batch came back unacknowledged since the last Rewind:
// the source must be read again from the cursor.
func (s *Stream) Returned() bool { return s.returned.Load() > 0 }

// Settle waits until nothing is under way; the error is that of ctx. One goroutine at
// a time may be in Settle or Pause.
func (s *Stream) Settle(ctx context.Context) error {
	for s.Waiting() > 0 {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-s.back:
		}
	}
	return nil
}

// Pause waits for d, or until a batch was returned; the error is that of ctx.
func (s *Stream) Pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	for !s.Returned() && ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case <-t.C:
			return nil
		case <-s.back:
		}
	}
	return context.Cause(ctx)
}

// Status is what a stream says of itself.
type Status struct {
	Name       string `json:"name"`
	Generation string `json:"generation"`
	// Read are the bytes that were taken in, and Acked those that were
	// acknowledged, of the generation.
	Read  int64 `json:"read"`
	Acked int64 `json:"acked"`
	// Records since the start of this process.
	Records      int64 `json:"records"`
	Acknowledged int64 `json:"acknowledged"`
	// Cursor is the acknowledged position.
	Cursor string `json:"cursor,omitempty"`

	// What follows is the input's to fill in. Peers are connected senders; Dropped
	// counts messages and requests that could not be taken; Error is why the source
	// cannot be read now, "" while it can.
	Peers   int    `json:"peers,omitempty"`
	Dropped int64  `json:"dropped,omitempty"`
	Error   string `json:"error,omitempty"`
}

// Status returns the state of the stream.
func (s *Stream) Status() Status {
	now := s.life.Load()
	l := now.origin.Ledger
	st := Status{
		Name: s.c.Name, Generation: now.origin.Generation, Read: s.next.Load(), Acked: l.Acked.Bytes.Load(),
		Records: l.Framed.Records.Load(), Acknowledged: l.Acked.Records.Load(),
	}
	if now.source != nil {
		e := now.source.Entry()
		st.Acked, st.Cursor = e.Acked, string(e.Cursor)
	}
	return st
}

// Batcher collects the records of one producer. Its batches are acknowledged each
// on its own, in any order.
type Batcher struct {
	s     *Stream
	life  life
	batch *record.Batch
	size  int64 // of the records of batch, in the stream
	since time.Time
}

// Batcher returns an empty one. Batches of producers with different lanes are
// processed beside each other, those of one lane in order: a stream with a cursor
// has one lane, 0.
func (s *Stream) Batcher(lane uint64) *Batcher {
	now := *s.life.Load()
	if lane != 0 {
		o := *now.origin
		o.Source += lane
		now.origin = &o
	}
	return &Batcher{s: s, life: now}
}

// Add appends a record that has raw as its line and its only field, for the caller
// to change; raw is copied. The pointer is valid until the next call.
func (b *Batcher) Add(raw []byte) *record.Record { return b.AddSized(raw, int64(len(raw))+1) }

// AddSized is Add for a record that takes size bytes of the stream, at least 1,
// however long its line is: for a source whose lines are written with what is not
// in it, such as names of columns, and so may differ when it is read again.
func (b *Batcher) AddSized(raw []byte, size int64) *record.Record {
	return b.place(b.open().Add(raw), size)
}

// AddOwn is Add for bytes that lie in the memory of Batch already: they are not copied.
// They must not have been put there before the last Flush or Drop.
func (b *Batcher) AddOwn(raw []byte) *record.Record {
	return b.place(b.open().AddOwn(raw), int64(len(raw))+1)
}

// place gives r the next size bytes of the stream.
func (b *Batcher) place(r *record.Record, size int64) *record.Record {
	r.Offset, r.Size = b.size, size
	b.size += size
	return r
}

// Batch is the memory of the record that Add returned last, or the next one will be in.
func (b *Batcher) Batch() *record.Batch { return b.open() }

func (b *Batcher) open() *record.Batch {
	if b.batch == nil {
		b.since = time.Now()
		b.batch = record.Get(b.life.origin)
		b.batch.ReadTime = b.since.UnixNano()
	}
	return b.batch
}

// Full reports whether the batch is complete.
func (b *Batcher) Full() bool { return b.size >= int64(b.s.c.BatchBytes) }

// Records is how many records wait.
func (b *Batcher) Records() int {
	if b.batch == nil {
		return 0
	}
	return len(b.batch.Records)
}

// Deadline is when what waits is to be given on; zero if nothing waits.
func (b *Batcher) Deadline() time.Time {
	if b.Records() == 0 {
		return time.Time{}
	}
	return b.since.Add(b.s.c.Linger)
}

// Flush gives what waits to the pipeline, and blocks while that has no room. cursor
// is the position behind it, kept; nil for a stream without one. done, if not nil,
// is called once, from any goroutine, with what became of it: nil, an error that
// wraps pipeline.ErrRejected, or another if it must be given again. It must not
// block. If Flush returns an error (that of ctx), nothing was given, and the
// records still wait.
func (b *Batcher) Flush(ctx context.Context, cursor []byte, done func(error)) error {
	if b.Records() == 0 {
		if done != nil {
			done(nil)
		}
		return nil
	}
	s, batch := b.s, b.batch
	start := s.next.Add(b.size) - b.size
	batch.Start, batch.End = start, start+b.size
	for i := range batch.Records {
		batch.Records[i].Offset += start
	}
	ack := func(bool) {}
	ledger := &b.life.origin.Ledger.Framed
	if b.life.source != nil {
		ack = b.life.source.BeginCursor(batch.Start, batch.End, cursor)
	}
	records, size := len(batch.Records), b.size
	ledger.Add(records, size)
	s.given.Add(1)
	err := s.c.Emit(ctx, pipeline.Delivery{Batch: batch, Done: func(err error) {
		fine := err == nil || errors.Is(err, pipeline.ErrRejected)
		if !fine {
			s.returned.Add(1)
		}
		ack(fine)
		s.given.Add(-1)
		select {
		case s.back <- struct{}{}:
		default: // it is told already
		}
		if done != nil {
			done(err)
		}
	}})
	if err == nil {
		b.batch, b.size = nil, 0
		return nil
	}
	s.given.Add(-1)
	ack(false)
	ledger.Add(-records, -size)
	for i := range batch.Records {
		batch.Records[i].Offset -= start
	}
	if b.life.source != nil { // the only producer: the place is free again
		s.next.Add(-size)
	}
	return fmt.Errorf("cannot emit a batch: %w", err)
}

// Drop forgets what waits, and returns how many records these were.
func (b *Batcher) Drop() int {
	n := b.Records()
	if b.batch != nil {
		b.batch.Release()
		b.batch, b.size = nil, 0
	}
	return n
}
