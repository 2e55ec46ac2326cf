package pipeline

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/sirupsen/logrus"
	"go.opentelemetry.io/otel/trace"

	"github.com/wasmtail/wasmtail/agent/queue"
	"github.com/wasmtail/wasmtail/internal/record"
)

// heldMax is how long processors may hold records of a source back without a new
// batch of it: then they must do with what they have.
const heldMax = 5 * time.Second

// lane is one goroutine with processors, encoders and buffers of its own.
type lane struct {
	in       chan parcel // holds 1: one batch waits while one is processed
	stages   []Stage
	encoders [][]Encoder // for each outlet: the pipeline's log store, then the routes
	places   []int       // the lane's number in each outlet's queue
	buf      []byte
	faults   map[string]bool
	held     map[*record.Origin]*heldSource
	parts    []record.Batch // of the batch at hand
}

// heldSource says that processors hold records of a source back, and whose
// deliveries wait for them.
type heldSource struct {
	start, end int64 // the bytes that are held back
	since      time.Time
	waiting    []waitingDelivery
}

// waitingDelivery is acknowledged when all bytes before end are.
type waitingDelivery struct {
	end int64
	ack *joint
}

// runLane processes what comes in until the lane is closed, and makes
// processors give up what they hold when nothing comes for long.
func (p *Pipeline) runLane(soft, hard context.Context, l *lane) {
	defer l.close()
	timer := time.NewTimer(heldMax)
	defer timer.Stop()
	for {
		var due <-chan time.Time
		if len(l.held) > 0 {
			due = timer.C
		}
		select {
		case d, ok := <-l.in:
			if !ok {
				p.flush(soft, hard, l, time.Time{})
				return
			}
			d.ctx = alive{Context: soft, values: d.ctx}
			p.handle(hard, l, d)
		case now := <-due:
			p.flush(soft, hard, l, now.Add(-heldMax))
		}
		if next, ok := l.nextFlush(); ok {
			timer.Reset(time.Until(next))
		}
	}
}

// close frees what processors hold outside of Go's memory.
func (l *lane) close() {
	for i := range l.stages {
		if c, ok := l.stages[i].Processor.(io.Closer); ok {
			_ = c.Close() // the lane ends anyway
		}
	}
}

func (l *lane) nextFlush() (next time.Time, ok bool) {
	for _, h := range l.held {
		if at := h.since.Add(heldMax); !ok || at.Before(next) {
			next, ok = at, true
		}
	}
	return next, ok
}

// flush processes what is held back since before a time, all of it for the zero
// time: an empty batch tells the processors that nothing will follow.
func (p *Pipeline) flush(soft, hard context.Context, l *lane, before time.Time) {
	for origin, h := range l.held {
		if !before.IsZero() && h.since.After(before) {
			continue
		}
		b := record.Get(origin)
		b.Start, b.End, b.ReadTime, b.Final = h.end, h.end, time.Now().UnixNano(), true
		p.handle(hard, l, parcel{Delivery{Batch: b}, soft})
	}
}

// alive is a context that ends with one context and has the values of another.
type alive struct {
	context.Context
	values context.Context
}

// Value implements context.Context.
func (a alive) Value(key any) any { return a.values.Value(key) }

// handle owns d from here on.
func (p *Pipeline) handle(hard context.Context, l *lane, d parcel) {
	b := d.Batch
	end := b.End
	for i := range l.stages {
		if err := p.runStage(d.ctx, l, &l.stages[i], b); err != nil {
			l.giveUp(b.Origin, d.Done, err)
			b.Release()
			return
		}
	}
	acks := l.settle(b, end, d.Done)
	p.applyAge(b)
	records, routed := p.count(b)
	parts := l.split(b, routed)
	if b.Start == b.End { // all of it is held back
		parts = nil
	}
	report := &joint{left: len(p.c.Outlets)*len(parts) + 1}
	origin, root, bytes := b.Origin, trace.SpanFromContext(d.ctx), b.End-b.Start
	p.flying.Add(1)
	report.done = func(err error) {
		defer p.flying.Done()
		if err == nil || errors.Is(err, ErrRejected) {
			origin.Ledger.Acked.Add(records, bytes)
		}
		root.End()
		for _, a := range acks {
			a(err)
		}
	}
	sent := true
	for i := range p.c.Outlets {
		for j := range parts {
			sent = p.deliver(hard, l, delivery{ctx: d.ctx, outlet: i, part: &parts[j], report: report}) && sent
		}
	}
	if sent {
		origin.Ledger.Sent.Add(records, bytes)
	}
	b.Release()
	report.one(nil)
}

// delivery is a part of a batch on its way to one outlet.
type delivery struct {
	ctx    context.Context
	outlet int
	part   *part
	report *joint
}

// part is what of a batch goes to one log store.
type part struct {
	batch *record.Batch
	route uint8
}

// deliver encodes a part and gives it to the outlet's queue, and reports whether
// that has it.
func (p *Pipeline) deliver(hard context.Context, l *lane, d delivery) bool {
	payload, err := p.encode(l, d)
	if err == nil && len(payload) > 0 {
		e := queue.Entry{Payload: payload, Label: p.label(d.part)}
		l.buf, err = p.c.Outlets[d.outlet].queue.Put(hard, l.places[d.outlet], e, d.report.one)
	}
	if err != nil || len(payload) == 0 { // nothing was queued: this is the outlet's word
		d.report.one(err)
	}
	return err == nil
}

// label says what the payload of a part is.
func (p *Pipeline) label(part *part) queue.Label {
	b := part.batch
	return queue.Label{
		Stream: p.streams[part.route] ^ b.Origin.Source*streamFactor, Destination: p.stores[part.route], Pipeline: p.c.Name,
		Generation: b.Origin.Generation, Path: b.Origin.Path, Start: b.Start, End: b.End, Records: len(b.Records),
	}
}

// streamFactor spreads sources over all bits: any large odd number does.
const streamFactor = 0x9e3779b97f4a7c15

// split returns the parts of b by log store. The pipeline's own has one always:
// it accounts for the range.
func (l *lane) split(b *record.Batch, routed bool) []part {
	if !routed {
		return []part{{batch: b}}
	}
	var sizes [256]int
	for i := range b.Records {
		sizes[b.Records[i].Route]++
	}
	l.parts = l.parts[:0]
	for route, n := range sizes {
		if n > 0 || route == 0 {
			l.parts = append(l.parts, b.Part(uint8(route), n))
		}
	}
	parts := make([]part, len(l.parts))
	for i := range l.parts {
		parts[i].batch = &l.parts[i]
		if i > 0 {
			parts[i].route = l.parts[i].Records[0].Route
		}
	}
	return parts
}

// settle notes what of the source is held back after the stages, and returns
// whom to tell when the batch is delivered: the deliveries whose bytes then all
// are. end is where b ended before.
func (l *lane) settle(b *record.Batch, end int64, done func(error)) (acks []func(error)) {
	h := l.held[b.Origin]
	if h == nil && b.End == end {
		return []func(error){done}
	}
	if h == nil {
		h = &heldSource{start: -1}
		l.held[b.Origin] = h
	}
	if done != nil {
		h.waiting = append(h.waiting, waitingDelivery{end: end, ack: &joint{left: 1, done: done}})
	}
	left := h.waiting[:0]
	for _, w := range h.waiting {
		if w.end > b.End { // this batch has a part of it, and a later one the rest
			w.ack.add()
			left = append(left, w)
		}
		acks = append(acks, w.ack.one)
	}
	h.waiting = left
	if b.End == end {
		delete(l.held, b.Origin)
		return acks
	}
	if h.start != b.End {
		h.start, h.since = b.End, time.Now()
	}
	h.end = end
	return acks
}

// giveUp says that the bytes of a delivery, and of those before it that wait for
// it, must be read again.
func (l *lane) giveUp(origin *record.Origin, done func(error), err error) {
	if h := l.held[origin]; h != nil {
		for _, w := range h.waiting {
			w.ack.one(err)
		}
		delete(l.held, origin)
	}
	if done != nil {
		done(err)
	}
}

// runStage lets a processor work on b. The error is ErrHeld.
func (p *Pipeline) runStage(ctx context.Context, l *lane, s *Stage, b *record.Batch) error {
	ctx, span := p.tracer.Start(ctx, "process "+s.Name)
	defer span.End()
	err := s.Processor.Process(ctx, b)
	if err == nil || errors.Is(err, ErrHeld) {
		return err
	}
	p.metrics.stageErrors(ctx, s.Name, 1)
	if !l.faults[s.Name] { // the counter tells how often; the log tells it once a lane
		l.faults[s.Name] = true
		p.c.Log.WithError(err).WithFields(logrus.Fields{"pipeline": p.c.Name, "processor": s.Name}).
			Error("a processor fails; batches go on without it")
	}
	return nil
}

func (p *Pipeline) applyAge(b *record.Batch) {
	if p.c.Age.After <= 0 {
		return
	}
	oldest := b.ReadTime - int64(p.c.Age.After)
	if p.c.Age.Drop {
		b.Keep(func(r *record.Record) bool { return r.Time == 0 || r.Time >= oldest })
		return
	}
	for i := range b.Records {
		if r := &b.Records[i]; r.Time != 0 && r.Time < oldest {
			r.Marks |= record.Late
		}
	}
}

// count books the batch's outcome in the generation's ledger and the metrics. It
// returns how many records were framed to make it, and whether one goes to
// another log store.
func (p *Pipeline) count(b *record.Batch) (framed int, routed bool) {
	failed, failedBytes := 0, int64(0)
	for i := range b.Records {
		r := &b.Records[i]
		if r.Marks&record.Failed != 0 {
			failed++
			failedBytes += r.Size
		}
		routed = routed || r.Route != 0
	}
	parsed, bytes := len(b.Records)-failed, b.End-b.Start
	ledger := b.Origin.Ledger
	ledger.Parsed.Add(parsed, bytes-failedBytes-b.FilteredBytes)
	ledger.Failed.Add(failed, failedBytes)
	ledger.Filtered.Add(b.Filtered, b.FilteredBytes)
	ledger.Reshaped.Add(int64(b.Reshaped))
	p.metrics.batch(parsed, failed, b.Filtered, bytes)
	return len(b.Records) + b.Filtered - b.Reshaped, routed
}

// encode makes the payload of a part, in the lane's buffer; it is empty if the
// output has nothing to say about it.
func (p *Pipeline) encode(l *lane, d delivery) ([]byte, error) {
	name := p.c.Outlets[d.outlet].name
	ctx, span := p.tracer.Start(d.ctx, "encode "+name)
	defer span.End()
	payload, err := l.encoders[d.outlet][d.part.route].Encode(ctx, l.buf[:0], d.part.batch)
	if err != nil {
		return nil, fmt.Errorf("cannot encode a batch for output %s: %w", name, err)
	}
	l.buf = payload
	return payload, nil
}

// joint waits for several words about one thing and passes the worst of them on.
type joint struct {
	mu   sync.Mutex
	left int
	err  error
	done func(error)
}

// add waits for one word more.
func (j *joint) add() {
	j.mu.Lock()
	j.left++
	j.mu.Unlock()
}

func (j *joint) one(err error) {
	j.mu.Lock()
	// A refusal for good is final news, any other error means "read again",
	// which must win whichever comes first.
	if j.err == nil || errors.Is(j.err, ErrRejected) && err != nil {
		j.err = err
	}
	j.left--
	last := j.left == 0
	j.mu.Unlock()
	if last {
		j.done(j.err)
	}
}
