package pipeline

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/sirupsen/logrus"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"

	"github.com/wasmtail/wasmtail/internal/record"
)

// Stage is one configured processor of a pipeline.
type Stage struct {
	// Name is the processor's type and place, such as "regex#1".
	Name      string
	Processor Processor
}

// AgePolicy says what happens to records whose event time lies further than
// After before the time they were read (promise P33: Logtail discards after
// five minutes; nothing is discarded here unless Drop is asked for).
type AgePolicy struct {
	After time.Duration // 0: no policy
	Drop  bool          // remove and count as filtered; else mark record.Late
}

// Config is what a pipeline is made of.
type Config struct {
	Name     string
	Logstore string
	Input    Input
	// NewStages builds the processors of one lane.
	NewStages func() ([]Stage, error)
	// Outlets each get every batch.
	Outlets []*Outlet
	// Lanes is how many batches are processed at the same time, at least 1.
	Lanes int
	Age   AgePolicy
	Log   logrus.FieldLogger
}

// Pipeline runs one input, its lanes of processors, and feeds its outlets.
type Pipeline struct {
	c       Config
	lanes   []*lane
	metrics *pipelineMetrics
	tracer  trace.Tracer
}

// lane is one goroutine with processors, encoders and buffers of its own.
type lane struct {
	in       chan parcel // holds 1: one batch waits while one is processed
	stages   []Stage
	encoders []Encoder
	places   []int // the lane's number in each outlet's queue
	buf      []byte
	faults   map[string]bool
}

// parcel is a delivery on its way, under the trace that began with it.
type parcel struct {
	Delivery
	ctx context.Context
}

// New builds the lanes of a pipeline; nothing runs yet.
func New(c Config) (*Pipeline, error) {
	metrics, err := newPipelineMetrics(c.Name)
	if err != nil {
		return nil, fmt.Errorf("cannot make metrics of pipeline %s: %w", c.Name, err)
	}
	p := &Pipeline{c: c, metrics: metrics, tracer: otel.Tracer("wasmtail/pipeline")}
	for range max(1, c.Lanes) {
		l := &lane{in: make(chan parcel, 1), faults: map[string]bool{}}
		if l.stages, err = c.NewStages(); err != nil {
			return nil, fmt.Errorf("cannot build pipeline %s: %w", c.Name, err)
		}
		for i := range l.stages {
			metrics.stageErrors(context.Background(), l.stages[i].Name, 0)
		}
		for _, o := range c.Outlets {
			l.encoders = append(l.encoders, o.output.NewEncoder(c.Name, c.Logstore))
			l.places = append(l.places, o.queue.Lane())
		}
		p.lanes = append(p.lanes, l)
	}
	return p, nil
}

// Run moves batches until ctx ends, then finishes what the input had emitted,
// and returns. When hard ends, batches that wait for a full queue are given
// back unacknowledged: their bytes are read again by the next start.
func (p *Pipeline) Run(ctx, hard context.Context) error {
	var lanes sync.WaitGroup
	for _, l := range p.lanes {
		lanes.Go(func() {
			for d := range l.in {
				p.handle(hard, l, d)
			}
		})
	}
	err := p.c.Input.Run(ctx, p.emit)
	for _, l := range p.lanes {
		close(l.in)
	}
	lanes.Wait()
	if err != nil && !errors.Is(err, context.Cause(ctx)) {
		return fmt.Errorf("cannot go on with the input of pipeline %s: %w", p.c.Name, err)
	}
	return nil
}

func (p *Pipeline) emit(ctx context.Context, d Delivery) error {
	b := d.Batch
	readAt := time.Unix(0, b.ReadTime)
	// The trace of a batch is its own: it outlives the input's context.
	tctx, root := p.tracer.Start(context.WithoutCancel(ctx), "batch", trace.WithTimestamp(readAt), trace.WithNewRoot())
	if root.IsRecording() {
		root.SetAttributes(attribute.String("pipeline", p.c.Name), attribute.String("generation", b.Origin.Generation),
			attribute.Int64("offset.start", b.Start), attribute.Int64("offset.end", b.End))
		_, read := p.tracer.Start(tctx, "read", trace.WithTimestamp(readAt))
		read.SetAttributes(attribute.Int("records", len(b.Records)), attribute.String("path", b.Origin.Path))
		read.End()
	}
	l := p.lanes[b.Origin.Source%uint64(len(p.lanes))]
	select {
	case l.in <- parcel{d, tctx}:
		return nil
	case <-ctx.Done():
		root.End()
		return context.Cause(ctx)
	}
}

// handle owns d from here on.
func (p *Pipeline) handle(hard context.Context, l *lane, d parcel) {
	b := d.Batch
	framed, bytes := len(b.Records)+b.Filtered, b.End-b.Start
	for i := range l.stages {
		p.runStage(d.ctx, l, &l.stages[i], b)
	}
	p.applyAge(b)
	p.count(b, framed, bytes)
	report := &report{left: len(p.c.Outlets) + 1, done: d.Done, origin: b.Origin, records: framed, bytes: bytes,
		root: trace.SpanFromContext(d.ctx)}
	for i, o := range p.c.Outlets {
		payload, err := p.encode(d.ctx, l, i, b)
		if err == nil && len(payload) > 0 {
			l.buf, err = o.queue.Put(hard, payload, l.places[i], report.one)
		}
		if err != nil || len(payload) == 0 { // nothing was queued: this is the outlet's word
			report.one(err)
		}
	}
	b.Release()
	report.one(nil)
}

func (p *Pipeline) runStage(ctx context.Context, l *lane, s *Stage, b *record.Batch) {
	ctx, span := p.tracer.Start(ctx, "process "+s.Name)
	defer span.End()
	if err := s.Processor.Process(ctx, b); err != nil {
		p.metrics.stageErrors(ctx, s.Name, 1)
		if !l.faults[s.Name] { // the counter tells how often; the log tells it once a lane
			l.faults[s.Name] = true
			p.c.Log.WithError(err).WithFields(logrus.Fields{"pipeline": p.c.Name, "processor": s.Name}).
				Error("a processor fails; batches go on without it")
		}
	}
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

// count books the batch's outcome in the generation's ledger and the metrics.
func (p *Pipeline) count(b *record.Batch, framed int, bytes int64) {
	failed, failedBytes := 0, int64(0)
	for i := range b.Records {
		if r := &b.Records[i]; r.Marks&record.Failed != 0 {
			failed++
			failedBytes += r.Size
		}
	}
	parsed := framed - failed - b.Filtered
	ledger := b.Origin.Ledger
	ledger.Parsed.Add(parsed, bytes-failedBytes-b.FilteredBytes)
	ledger.Failed.Add(failed, failedBytes)
	ledger.Filtered.Add(b.Filtered, b.FilteredBytes)
	p.metrics.batch(parsed, failed, b.Filtered, bytes)
}

// encode makes the payload of b for outlet number i, in the lane's buffer; it is
// empty if the output has nothing to say about this batch.
func (p *Pipeline) encode(ctx context.Context, l *lane, i int, b *record.Batch) ([]byte, error) {
	name := p.c.Outlets[i].name
	ctx, span := p.tracer.Start(ctx, "encode "+name)
	defer span.End()
	payload, err := l.encoders[i].Encode(ctx, l.buf[:0], b)
	if err != nil {
		return nil, fmt.Errorf("cannot encode a batch for output %s: %w", name, err)
	}
	l.buf = payload
	return payload, nil
}

// report joins what all outlets say about one batch.
type report struct {
	mu      sync.Mutex
	left    int
	err     error
	done    func(error)
	origin  *record.Origin
	records int
	bytes   int64
	root    trace.Span
}

func (r *report) one(err error) {
	r.mu.Lock()
	// A refusal for good is final news, any other error means "read again",
	// which must win whichever comes first.
	if r.err == nil || errors.Is(r.err, ErrRejected) && err != nil {
		r.err = err
	}
	r.left--
	last := r.left == 0
	r.mu.Unlock()
	if !last {
		return
	}
	if r.err == nil || errors.Is(r.err, ErrRejected) {
		r.origin.Ledger.Acked.Add(r.records, r.bytes)
	}
	r.root.End()
	r.done(r.err)
}
