package pipeline

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
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
	// Routes are further log stores that processors may send records to: see
	// record.Record.Route.
	Routes []string
	Input  Input
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
	stores  []string // the pipeline's log store, then the routes
	streams []uint64 // of each, what the order of its sources is numbered from
	metrics *pipelineMetrics
	tracer  trace.Tracer
	flying  sync.WaitGroup // parts of batches of which an outlet has not had its word
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
	p.stores = append([]string{c.Logstore}, c.Routes...)
	for _, store := range p.stores {
		h := fnv.New64a()
		_, _ = io.WriteString(h, c.Name+"\x00"+store)
		p.streams = append(p.streams, h.Sum64())
	}
	for range max(1, c.Lanes) {
		l := &lane{in: make(chan parcel, 1), faults: map[string]bool{}, held: map[*record.Origin]*heldSource{}}
		if l.stages, err = c.NewStages(); err != nil {
			return nil, fmt.Errorf("cannot build pipeline %s: %w", c.Name, err)
		}
		for i := range l.stages {
			metrics.stageErrors(context.Background(), l.stages[i].Name, 0)
		}
		for _, o := range c.Outlets {
			encoders := make([]Encoder, 0, len(p.stores))
			for _, store := range p.stores {
				encoders = append(encoders, o.output.NewEncoder(c.Name, store))
			}
			l.encoders = append(l.encoders, encoders)
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
		lanes.Go(func() { p.runLane(ctx, hard, l) })
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

// Settle waits, once Run has returned, until every outlet has said what became of
// every batch. When ctx ends before, what no sender has is given back, to be read
// again; a payload that is being sent ends as it would have.
func (p *Pipeline) Settle(ctx context.Context) {
	settled := make(chan struct{})
	go func() { // it ends with the last payload that is being sent
		p.flying.Wait()
		close(settled)
	}()
	select {
	case <-settled:
	case <-ctx.Done():
	}
	for i, o := range p.c.Outlets {
		var places []int
		for _, l := range p.lanes {
			places = append(places, l.places[i])
		}
		o.queue.Withdraw(places, fmt.Errorf("pipeline %s was stopped before the batch was sent", p.c.Name))
	}
}

// Close frees a pipeline that was never run.
func (p *Pipeline) Close() {
	for _, l := range p.lanes {
		l.close()
	}
	settled, cancel := context.WithCancel(context.Background())
	cancel()
	p.Settle(settled)
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
