package stream

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strconv"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/wasmtail/wasmtail/hub/store"
	"github.com/wasmtail/wasmtail/internal/loggroup"
)

const (
	// flushSoon is how long the first row after a pause waits for others before
	// queries see it: about as long as it takes a sender to have its answer and
	// send the next batch.
	flushSoon = 5 * time.Millisecond
	// flushEvery is the least time between two flushes, and so about the longest
	// wait. Measured: at full load the store is flushed by size anyway, so it
	// costs nothing there.
	flushEvery = 50 * time.Millisecond
	// flushRemote is how long rows for a remote store wait for others. It shows
	// them a second later: making haste would only make more requests.
	flushRemote = 100 * time.Millisecond
	// sealEvery is how often the store is sealed, if it has settled by then: the
	// most that a restart has to compare with the store.
	sealEvery = time.Second
	// pollWait bounds how late the end of ctx or a settled store is noticed.
	pollWait = 50 * time.Millisecond
	// markStep is how far the high-water mark runs ahead of the messages.
	markStep = 2000
	// pullBytes is how much is read ahead of the consumer.
	pullBytes = 2 * messageBytesMax
	// retryWait is how long a fault of the store lasts at least.
	retryWait = time.Second
	// stopTimeout bounds the last seal at shutdown. What it does not save is read
	// again by the next start.
	stopTimeout = 10 * time.Second
)

// Run brings messages to the store until ctx ends. A fault of the store is
// logged, and met by starting over from what was saved last.
func (s *Stream) Run(ctx context.Context) error {
	for {
		err := s.consume(ctx)
		if ctx.Err() != nil {
			return err
		}
		s.stats.restarts.Add(1)
		s.o.Log.WithError(err).Warn("the store failed; reading the stream again from the last saved message")
		if !s.reload(ctx) {
			return nil
		}
	}
}

// reload goes back to the ledger that was saved last. The one in memory counts
// rows that the fault may have lost: with it they would be passed over, so
// nothing goes on before the other has been read. It is false when ctx ends
// first.
func (s *Stream) reload(ctx context.Context) bool {
	for sleep(ctx, retryWait) {
		err := s.load(ctx)
		if err == nil {
			return true
		}
		s.o.Log.WithError(err).Warn("cannot load the ledger; trying again")
	}
	return false
}

// sleep waits, and returns false when ctx ends first.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}

// pass is one run of the consumer from what was saved last.
type pass struct {
	s     *Stream
	build rowBuilder
	group loggroup.Group
	id    Identity
	raw   []byte

	until   uint64 // messages up to here may be in the store unsaved
	last    uint64 // the last message taken
	sealed  uint64 // last, at the last seal
	visible Visible
	flushAt time.Time // zero: nothing to flush
	flushed time.Time // the last flush
	sealAt  time.Time
	hidden  []due // rows that a remote store does not show yet
	known   known // what the store has of the messages up to until

	settling bool
	settled  chan error // holds 1: one seal is under way at a time
	wait     sync.WaitGroup
}

// due is an announcement for later.
type due struct {
	at time.Time
	v  Visible
}

// consume reads messages from the last saved one, until ctx ends or something
// fails.
func (s *Stream) consume(ctx context.Context) error {
	rows := store.NewRows()
	defer rows.Release()
	applied := s.applied.Load()
	p := &pass{
		s: s, until: s.mark, last: applied, sealed: applied,
		settled: make(chan error, 1),
		build:   rowBuilder{rows: rows, retention: s.o.Retention, minTime: math.MaxInt64, maxTime: math.MinInt64},
	}
	// What an earlier pass, or the hub before a crash, has written must be visible
	// before it is asked for.
	if err := s.o.Writer.Flush(ctx); err != nil {
		return err
	}
	if p.until > applied && !sleep(ctx, s.o.VisibleAfter) {
		return nil
	}
	// A crash may have come between the saving of messages and their removal.
	if err := s.purge(ctx); err != nil {
		return err
	}
	cons, err := s.bus.js.OrderedConsumer(ctx, streamName, jetstream.OrderedConsumerConfig{
		DeliverPolicy: jetstream.DeliverByStartSequencePolicy, OptStartSeq: applied + 1,
	})
	if err != nil {
		return fmt.Errorf("cannot read the ingest stream: %w", err)
	}
	it, err := cons.Messages(jetstream.PullMaxBytes(pullBytes))
	if err != nil {
		return fmt.Errorf("cannot read the ingest stream: %w", err)
	}
	defer it.Stop()
	settleCtx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer p.wait.Wait()
	defer cancel()
	for ctx.Err() == nil {
		m, err := it.Next(jetstream.NextMaxWait(p.patience()))
		switch {
		case err == nil:
			err = p.take(ctx, m)
		case errors.Is(err, nats.ErrTimeout):
			err = nil
		}
		if err == nil {
			err = p.keep(settleCtx)
		}
		if err != nil {
			return err
		}
	}
	return p.finish(settleCtx)
}

// patience is how long to wait for a message.
func (p *pass) patience() time.Duration {
	if p.flushAt.IsZero() {
		return pollWait
	}
	return min(pollWait, max(time.Until(p.flushAt), time.Millisecond))
}

// keep does what is due between two messages.
func (p *pass) keep(ctx context.Context) error {
	now := time.Now()
	if !p.flushAt.IsZero() && !now.Before(p.flushAt) {
		if err := p.flush(ctx); err != nil {
			return err
		}
	}
	for len(p.hidden) > 0 && !now.Before(p.hidden[0].at) {
		p.s.announce(p.hidden[0].v)
		p.hidden = p.hidden[1:]
	}
	if p.settling {
		select {
		case err := <-p.settled:
			p.settling = false
			if err != nil {
				return err
			}
		default:
			return nil
		}
	}
	if p.unsealed() && !now.Before(p.sealAt) {
		p.sealAt = now.Add(sealEvery)
		return p.seal(ctx)
	}
	return nil
}

// unsealed reports whether there is something to save: messages, or batches that
// came again, which make none.
func (p *pass) unsealed() bool { return p.last > p.sealed || p.s.ledger.unsaved() }

// write gives the rows built so far to the store.
func (p *pass) write(ctx context.Context) error {
	n := p.build.rows.Len()
	if n == 0 {
		return nil
	}
	p.s.o.step(stepWrite)
	if err := p.s.o.Writer.Write(ctx, p.build.rows); err != nil {
		return err
	}
	p.build.rows.Reset()
	p.s.stats.rows.Add(uint64(n))
	p.s.stats.rowBytes.Add(uint64(p.build.bytes))
	p.visible.TimeMin, p.visible.TimeMax = p.build.minTime, p.build.maxTime
	p.visible.Rows += n
	p.build.bytes = 0
	return nil
}

// flush makes the rows written so far visible, and says so.
func (p *pass) flush(ctx context.Context) error {
	if err := p.write(ctx); err != nil {
		return err
	}
	p.flushAt = time.Time{}
	p.s.o.step(stepFlush)
	if err := p.s.o.Writer.Flush(ctx); err != nil {
		return err
	}
	p.flushed = time.Now()
	v := p.visible
	p.visible = Visible{}
	p.build.minTime, p.build.maxTime = math.MaxInt64, math.MinInt64
	if v.Rows == 0 {
		return nil
	}
	if p.s.o.VisibleAfter > 0 {
		p.hidden = append(p.hidden, due{time.Now().Add(p.s.o.VisibleAfter), v})
		return nil
	}
	p.s.announce(v)
	return nil
}

// seal ends a span of messages, and starts to wait until the store has it on
// disk, to save it then and to remove its messages. That happens beside the
// consumer: removing alone takes up to 100 ms on a busy machine.
func (p *pass) seal(ctx context.Context) error {
	if err := p.flush(ctx); err != nil {
		return err
	}
	changed, err := p.s.ledger.snapshot()
	if err != nil {
		return err
	}
	p.s.o.step(stepSeal)
	settle, err := p.s.o.Writer.Seal(ctx)
	if err != nil {
		return err
	}
	last := p.last
	p.sealed, p.settling = last, true
	p.wait.Go(func() {
		p.s.o.step(stepSettle)
		err := settle(ctx)
		if err == nil {
			err = p.s.save(ctx, changed, last)
		}
		if err == nil {
			p.s.o.step(stepPurge)
			err = p.s.purge(ctx)
		}
		p.s.o.step(stepDone)
		p.settled <- err
	})
	return nil
}

// finish seals and saves what is there, within a time.
func (p *pass) finish(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, stopTimeout)
	defer cancel()
	for p.settling || p.unsealed() {
		if !p.settling {
			if err := p.seal(ctx); err != nil {
				return err
			}
		}
		select {
		case err := <-p.settled:
			p.settling = false
			if err != nil {
				return err
			}
		case <-ctx.Done():
			return fmt.Errorf("cannot save the last messages: %w", ctx.Err())
		}
	}
	// Nothing is in the store unsaved: the next start need not ask it.
	p.s.mark = p.last
	if err := p.s.saveNumber(ctx, "mark", p.last); err != nil {
		return err
	}
	return p.s.purge(ctx)
}

// save makes the ledger durable, then the number of the last message.
func (s *Stream) save(ctx context.Context, changed map[string][]byte, last uint64) error {
	const together = 500 // far below what the client lets be under way
	futures := make([]jetstream.PubAckFuture, 0, min(len(changed), together))
	settle := func() error {
		for _, f := range futures {
			select {
			case <-f.Ok():
			case err := <-f.Err():
				return fmt.Errorf("cannot save the ledger: %w", err)
			case <-ctx.Done():
				return fmt.Errorf("cannot save the ledger: %w", context.Cause(ctx))
			}
		}
		futures = futures[:0]
		return nil
	}
	s.o.step(stepLedger)
	for key, value := range changed {
		f, err := s.bus.js.PublishAsync("$KV."+ledgerBucket+"."+key, value)
		if err != nil {
			return fmt.Errorf("cannot save the ledger: %w", err)
		}
		if futures = append(futures, f); len(futures) == together {
			if err := settle(); err != nil {
				return err
			}
		}
	}
	if err := settle(); err != nil {
		return err
	}
	s.o.step(stepApplied)
	if err := s.saveNumber(ctx, "applied", last); err != nil {
		return err
	}
	s.applied.Store(last)
	return nil
}

// purge removes the messages that are done with.
func (s *Stream) purge(ctx context.Context) error {
	applied := s.applied.Load()
	info, err := s.bus.stream.Info(ctx)
	if err != nil {
		return fmt.Errorf("cannot ask the ingest stream: %w", err)
	}
	if info.State.Msgs == 0 || info.State.FirstSeq > applied {
		return nil
	}
	if err := s.bus.stream.Purge(ctx, jetstream.WithPurgeSequence(applied+1)); err != nil {
		return fmt.Errorf("cannot remove old messages from the ingest stream: %w", err)
	}
	return nil
}

// take brings one message to the rows.
func (p *pass) take(ctx context.Context, m jetstream.Msg) error {
	meta, err := m.Metadata()
	if err != nil {
		return fmt.Errorf("cannot read a message of the ingest stream: %w", err)
	}
	seq := meta.Sequence.Stream
	if seq <= p.last {
		return nil
	}
	at, err := p.decode(m)
	if err != nil {
		// It was valid when it came in: the disk or a bug. It is kept out of the
		// way, counted and said.
		p.s.stats.undecodable.Add(1)
		p.s.o.Log.WithError(err).WithField("message", seq).Error("cannot decode a message of the ingest stream; it is skipped")
		p.last = seq
		p.s.door.take(seq)
		return nil
	}
	if seq > p.s.mark {
		p.s.mark = seq + markStep
		p.s.o.step(stepMark)
		if err := p.s.saveNumber(ctx, "mark", p.s.mark); err != nil {
			return err
		}
	}
	end := traceStore(ctx, m.Headers().Get(headerTrace), &p.id, len(p.group.Logs))
	err = p.apply(ctx, seq, at)
	end(err)
	if err != nil {
		return err
	}
	p.last = seq
	p.s.door.take(seq)
	p.s.stats.messages.Add(1)
	p.s.stats.lastSeq.Store(seq)
	p.s.stats.lagNanos.Store(int64(time.Since(at)))
	if p.flushAt.IsZero() {
		p.flushAt = p.nextFlush(time.Now())
	}
	return nil
}

// nextFlush is when to flush rows of which the first has come now.
func (p *pass) nextFlush(now time.Time) time.Time {
	if p.s.o.VisibleAfter > 0 {
		return now.Add(flushRemote)
	}
	at := now.Add(flushSoon)
	if next := p.flushed.Add(flushEvery); next.After(at) {
		return next
	}
	return at
}

// decode fills p.group and p.id, and returns when the message was received.
func (p *pass) decode(m jetstream.Msg) (time.Time, error) {
	h := m.Headers()
	p.id.Project, p.id.Logstore = h.Get(headerProject), h.Get(headerLogstore)
	codec, err := loggroup.ParseCodec(h.Get(headerCodec))
	if err != nil {
		return time.Time{}, err
	}
	size, err := strconv.Atoi(h.Get(headerRaw))
	if err != nil {
		return time.Time{}, fmt.Errorf("cannot read its size: %w", err)
	}
	at, err := strconv.ParseInt(h.Get(headerReceived), 10, 64)
	if err != nil {
		return time.Time{}, fmt.Errorf("cannot read its time: %w", err)
	}
	if p.raw, err = loggroup.Decompress(p.raw[:0], m.Data(), codec, size); err != nil {
		return time.Time{}, err
	}
	if err := p.group.Decode(p.raw); err != nil {
		return time.Time{}, err
	}
	return time.Unix(0, at), Identify(&p.id, &p.group)
}

// apply writes the records of p.group that have not arrived before, and counts
// the batch.
func (p *pass) apply(ctx context.Context, seq uint64, at time.Time) error {
	var missing Ranges
	var fresh bool
	if p.id.HasRange {
		missing, fresh = p.s.ledger.open(&p.id, seq)
	} else {
		fresh = seq > p.s.ledger.logstoreSeq(p.id.Project, p.id.Logstore)
	}
	if !fresh {
		return nil
	}
	present, err := p.present(ctx, seq, at)
	if err != nil {
		return err
	}
	whole := !p.id.HasRange || (len(missing) == 1 && missing[0] == Range{p.id.Start, p.id.End})
	o := outcome{repeated: !whole, double: p.id.End - p.id.Start - missing.Bytes()}
	p.build.begin(&p.id, &p.group, seq)
	before := p.build.bytes
	extents := extents{id: &p.id}
	for i := range p.group.Logs {
		offset := int64(i)
		if p.id.HasRange {
			offset = p.id.Offsets[i]
			// A record of which only the end is missing was cut by time-out the first
			// time: it is stored whole beside its beginning.
			if !whole && !missing.Meets(extents.of(i)) {
				p.s.stats.cut.Add(1)
				continue
			}
		}
		l := &p.group.Logs[i]
		o.stored++
		o.count(l)
		if present[offset] > 0 {
			present[offset]--
			p.s.stats.recovered.Add(1)
			continue
		}
		p.build.log(&p.id, l, offset, at)
		if p.build.rows.Full() {
			o.bytes += p.build.bytes - before
			before = 0
			p.visible.see(seq)
			if err := p.write(ctx); err != nil {
				return err
			}
		}
	}
	o.bytes += p.build.bytes - before
	p.visible.see(seq)
	o.settle(&p.id, missing, whole)
	p.s.ledger.record(&p.id, seq, at, o)
	return nil
}

// see widens v to a message.
func (v *Visible) see(seq uint64) {
	if v.SeqMin == 0 || seq < v.SeqMin {
		v.SeqMin = seq
	}
	v.SeqMax = max(v.SeqMax, seq)
}

// count notes the outcome of one record.
func (o *outcome) count(l *loggroup.Log) {
	for i := range l.Contents {
		if string(l.Contents[i].Key) == fieldError {
			o.failed++
			return
		}
	}
	o.parsed++
}

// settle takes the agent's own counts for a whole batch. For a part, records
// were counted one by one, and the filtered ones are shared out by bytes.
func (o *outcome) settle(id *Identity, missing Ranges, whole bool) {
	if whole {
		o.parsed, o.failed, o.filtered = id.Parsed, id.Failed, id.Filtered
		return
	}
	if size := id.End - id.Start; size > 0 {
		o.filtered = int64(math.Round(float64(id.Filtered) * float64(missing.Bytes()) / float64(size)))
	}
}
