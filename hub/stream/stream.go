// Package stream takes batches in durably, and brings each record to the store
// once.
//
// # What it promises
//
// When Publish returns nil, the batch is on disk: in the stream, or, for a
// repeated batch, there already. A record of an agent's batch is in the store
// once, whatever is sent again and whenever the hub is killed. A batch from a
// client that names no byte range is in the store once for each Publish.
//
// # How
//
// The consumer reads the stream in order and compares each batch with the
// ledger: the byte ranges that have arrived, for each file generation. It
// writes only records from bytes that have not. After some seconds it seals the
// store; when the store has reached the disk, the ledger as it was at the seal
// is saved, then the number of the last message, then the messages are removed.
//
// A crash can come between any two of these. What is in the stream is read
// again; a ledger entry knows the last message it counts, so nothing is counted
// twice; and records that had reached the disk unsaved are recognised because
// every record carries the number of its message: below the high-water mark,
// which is saved before the first record above it is written, the consumer asks
// the store which records of a message are there. A fault of the store while
// the hub runs is treated in the same way as a crash.
//
// # Goroutines and memory
//
// Open starts the server inside the process, Run is the consumer, Close ends
// the server. All other methods are safe for concurrent use. Publish keeps
// nothing of the batch.
package stream

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/golang/snappy"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/sirupsen/logrus"

	"github.com/wasmtail/wasmtail/hub/store"
	"github.com/wasmtail/wasmtail/internal/loggroup"
)

// Options of a stream.
type Options struct {
	// Dir is the directory of the server inside the process.
	Dir string
	// URL is the address of NATS servers; empty for the one inside.
	URL string
	// Replicas is how many servers of a NATS cluster hold each message.
	Replicas int
	// DiskBytesMax bounds what waits in the stream. Publish fails with ErrFull
	// when it is reached.
	DiskBytesMax int64
	// Writer and Querier are the store.
	Writer  store.Writer
	Querier store.Querier
	// Retention is that of the store.
	Retention time.Duration
	// VisibleAfter is how long the store takes to show rows after Flush.
	VisibleAfter time.Duration
	Log          logrus.FieldLogger

	// step is told of each step towards the disk before it is taken, and after
	// the last: tests end the process there.
	step func(name string)
}

// The steps of a batch to the disk, in order.
const (
	stepPublish = "publish"
	stepMark    = "mark"
	stepWrite   = "write"
	stepFlush   = "flush"
	stepSeal    = "seal"
	stepSettle  = "settle"
	stepLedger  = "ledger"
	stepApplied = "applied"
	stepPurge   = "purge"
	stepDone    = "done"
)

var (
	// ErrFull says that the stream has no room: the store is slower than the
	// clients. Publishing may succeed later.
	ErrFull = errors.New("the ingest stream is full")
	// ErrNoLogstore says that a log store does not exist.
	ErrNoLogstore = errors.New("the log store does not exist")
)

// Stream is the way of a batch from the receiver to the store.
type Stream struct {
	o      Options
	bus    *bus
	ledger *ledger

	// applied is the last message that needs no reading again.
	applied atomic.Uint64
	// mark is the high-water mark: no record of a later message has been written.
	mark  uint64
	door  *door
	stats stats

	tails     sync.Mutex
	listeners map[*Listener]struct{}
}

// stats are counters for Stats.
type stats struct {
	published, publishedBytes, repeated, full atomic.Uint64
	messages, rows, rowBytes, recovered, cut  atomic.Uint64
	restarts, undecodable                     atomic.Uint64
	lastSeq                                   atomic.Uint64
	lagNanos                                  atomic.Int64
}

// Open opens the stream and loads the ledger.
func Open(ctx context.Context, o Options) (*Stream, error) {
	if o.Log == nil {
		o.Log = logrus.StandardLogger()
	}
	if o.DiskBytesMax <= 0 {
		o.DiskBytesMax = 8 << 30
	}
	o.Replicas = max(o.Replicas, 1)
	if o.step == nil {
		o.step = func(string) {}
	}
	b, err := openBus(ctx, &o)
	if err != nil {
		return nil, err
	}
	s := &Stream{o: o, bus: b, door: newDoor(), listeners: make(map[*Listener]struct{})}
	if err := s.load(ctx); err != nil {
		b.close()
		return nil, err
	}
	return s, nil
}

// Close disconnects and ends the server inside the process. Run has returned.
func (s *Stream) Close() { s.bus.close() }

// load reads the saved state.
func (s *Stream) load(ctx context.Context) error {
	l := newLedger()
	watch, err := s.bus.ledger.WatchAll(ctx, jetstream.IgnoreDeletes())
	if err != nil {
		return fmt.Errorf("cannot read the ledger: %w", err)
	}
	defer func() { _ = watch.Stop() }()
	for {
		var kv jetstream.KeyValueEntry
		select {
		case <-ctx.Done():
			return fmt.Errorf("cannot read the ledger: %w", context.Cause(ctx))
		case kv = <-watch.Updates():
		}
		if kv == nil { // the end of what is there now
			break
		}
		if err := l.load(kv.Key(), kv.Value()); err != nil {
			return err
		}
	}
	applied, err := s.number(ctx, "applied")
	if err != nil {
		return err
	}
	if s.mark, err = s.number(ctx, "mark"); err != nil {
		return err
	}
	s.applied.Store(applied)
	if s.ledger == nil {
		s.ledger = l
		return nil
	}
	s.ledger.replace(l)
	return nil
}

// number reads a saved number, 0 if there is none.
func (s *Stream) number(ctx context.Context, key string) (uint64, error) {
	kv, err := s.bus.state.Get(ctx, key)
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("cannot read the state of the ingest stream: %w", err)
	}
	n, err := strconv.ParseUint(string(kv.Value()), 10, 64)
	if err != nil {
		return 0, fmt.Errorf("cannot read the state of the ingest stream: %w", err)
	}
	return n, nil
}

func (s *Stream) saveNumber(ctx context.Context, key string, n uint64) error {
	if _, err := s.bus.state.Put(ctx, key, strconv.AppendUint(nil, n, 10)); err != nil {
		return fmt.Errorf("cannot save the state of the ingest stream: %w", err)
	}
	return nil
}

// Batch is a group as it was received. It has been decoded once: it is valid.
type Batch struct {
	Identity *Identity
	// Body is the group, compressed with Codec; RawSize is its inflated size.
	Body    []byte
	Codec   loggroup.Codec
	RawSize int
	// TraceParent joins the store's span to the request's.
	TraceParent string
}

// Headers of a message.
const (
	headerProject  = "Wt-Project"
	headerLogstore = "Wt-Logstore"
	headerCodec    = "Wt-Codec"
	headerRaw      = "Wt-Raw"
	headerReceived = "Wt-Received"
	headerTrace    = "Wt-Trace"
)

// Publish makes a batch durable. repeat is true if it was already. On error,
// it may or may not be durable: send it again. ErrFull and ErrNoLogstore.
func (s *Stream) Publish(ctx context.Context, b *Batch) (repeat bool, err error) {
	id := b.Identity
	if !s.ledger.has(id.Project, id.Logstore) {
		return false, ErrNoLogstore
	}
	if s.ledger.covers(id) {
		s.ledger.repeat(id)
		s.stats.repeated.Add(1)
		return true, nil
	}
	body, codec := b.Body, b.Codec
	if codec == loggroup.None {
		body, codec = snappy.Encode(nil, body), loggroup.Snappy
	}
	m := nats.NewMsg(subject)
	m.Data = body
	m.Header.Set(headerProject, id.Project)
	m.Header.Set(headerLogstore, id.Logstore)
	m.Header.Set(headerCodec, codec.String())
	m.Header.Set(headerRaw, strconv.Itoa(b.RawSize))
	m.Header.Set(headerReceived, strconv.FormatInt(time.Now().UnixNano(), 10))
	if b.TraceParent != "" {
		m.Header.Set(headerTrace, b.TraceParent)
	}
	opts := []jetstream.PublishOpt{jetstream.WithExpectStream(streamName)}
	if mid := id.messageID(); mid != "" {
		opts = append(opts, jetstream.WithMsgID(mid))
	}
	kind := id.kind()
	s.door.enter(ctx, kind)
	s.o.step(stepPublish)
	ack, err := s.bus.js.PublishMsg(ctx, m, opts...)
	if err != nil {
		if isFull(err) {
			s.stats.full.Add(1)
			return false, ErrFull
		}
		return false, fmt.Errorf("cannot write to the ingest stream: %w", err)
	}
	if ack.Duplicate {
		s.ledger.repeat(id)
		s.stats.repeated.Add(1)
		return true, nil
	}
	s.door.published(visitor{seq: ack.Sequence, kind: kind, bytes: b.RawSize, since: time.Now()})
	s.stats.published.Add(1)
	s.stats.publishedBytes.Add(uint64(len(body)))
	return false, nil
}

// Codes of the server's errors that mean that there is no room.
const (
	codeStreamFull    = 10077
	codeStorageFull   = 10047
	codeMemoryLimit   = 10028
	codeStreamPending = 10167
)

func isFull(err error) bool {
	var api *jetstream.APIError
	if !errors.As(err, &api) {
		return false
	}
	switch api.ErrorCode {
	case codeStreamFull, codeStorageFull, codeMemoryLimit, codeStreamPending:
		return true
	}
	return false
}

// HasLogstore reports whether a log store exists.
func (s *Stream) HasLogstore(project, logstore string) bool { return s.ledger.has(project, logstore) }

// CreateLogstore makes a log store, durably, if it does not exist.
func (s *Stream) CreateLogstore(ctx context.Context, project, logstore string) error {
	text, fresh, err := s.ledger.create(project, logstore)
	if err != nil || !fresh {
		return err
	}
	_, err = s.bus.ledger.Create(ctx, logstoreKey(project, logstore), text)
	if err != nil && !errors.Is(err, jetstream.ErrKeyExists) {
		return fmt.Errorf("cannot create the log store: %w", err)
	}
	return nil
}

// Logstores returns the log stores of a project, of all if it is empty.
func (s *Stream) Logstores(project string) []Logstore { return s.ledger.stores(project) }

// Stats are numbers for monitoring.
type Stats struct {
	Published, PublishedBytes, Repeated, Full uint64
	Messages, Rows, RowBytes, Recovered, Cut  uint64
	Restarts, Undecodable                     uint64
	// Waiting is how many messages have not been read, WaitingBytes what the
	// stream holds; Lag is the age of the message that was last written.
	Waiting, WaitingBytes uint64
	Lag                   time.Duration
}

// Stats returns numbers for monitoring.
func (s *Stream) Stats(ctx context.Context) Stats {
	c := &s.stats
	st := Stats{
		Published: c.published.Load(), PublishedBytes: c.publishedBytes.Load(), Repeated: c.repeated.Load(), Full: c.full.Load(),
		Messages: c.messages.Load(), Rows: c.rows.Load(), RowBytes: c.rowBytes.Load(), Recovered: c.recovered.Load(), Cut: c.cut.Load(),
		Restarts: c.restarts.Load(), Undecodable: c.undecodable.Load(),
		Lag: time.Duration(c.lagNanos.Load()),
	}
	if info, err := s.bus.stream.Info(ctx); err == nil {
		st.WaitingBytes = info.State.Bytes
		if last := max(c.lastSeq.Load(), s.applied.Load()); info.State.LastSeq > last && info.State.Msgs > 0 {
			st.Waiting = info.State.LastSeq - max(last, info.State.FirstSeq-1)
		}
	}
	return st
}
