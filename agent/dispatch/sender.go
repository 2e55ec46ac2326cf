// Package dispatch delivers payloads of records for outputs: whole if the receiver
// takes them so, in parts if it must be, and each record once while the process
// lives.
//
// It promises that Sender.Send returns nil only after the receiver has taken every
// record, that records it refuses for good are in the *pipeline.RejectedError, and
// that a payload of which some records have been taken is not sent as a whole
// again: the next Send has the others alone, unless the process has ended in
// between. What the output knows of its protocol is in a Format, which cuts a body
// into records, and in a function that makes one request.
//
// HTTP makes those requests for outputs whose protocol is HTTP. Encoder writes the
// payloads.
//
// It starts no goroutines. A Sender is safe for concurrent use.
package dispatch

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"sync"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"github.com/wasmtail/wasmtail/agent/pipeline"
	"github.com/wasmtail/wasmtail/agent/transport"
)

// Item is a record of a body, as slices of it. Items with the same Group stand
// together in a body.
type Item struct{ Group, Record []byte }

// Format says how a body is made of records. Safe for concurrent use.
type Format interface {
	// Split returns the records of a body, in its order. Bodies of hostile content
	// are errors, never panics.
	Split(raw []byte) ([]Item, error)
	// Join appends a body of some records of one.
	Join(dst []byte, items []Item) []byte
	// Show appends a record as one JSON value without line breaks, for people.
	Show(dst []byte, it Item) []byte
}

// Refusal is a record, counted from the first of a request, that the receiver will
// never take.
type Refusal struct {
	Index  int
	Reason string
}

// Verdict is what a receiver says of the records of a request that it took as a
// request. Those it does not name are delivered.
type Verdict struct {
	Refused []Refusal
	// Again are indexes of records that it may take later, and Why what stands
	// against it now.
	Again []int
	Why   *transport.Failure
	// Unnamed is how many were refused without a word on which, for UnnamedReason.
	// All of the request are then put aside, so that none is lost.
	Unnamed       int
	UnnamedReason string
}

// Options of a sender.
type Options struct {
	// Name is that of the output's type, for traces.
	Name   string
	Format Format
	// Post makes one request of p's records. Its error, if any, wraps a
	// *transport.Failure.
	Post func(ctx context.Context, p *Payload) (Verdict, error)
	// RawBytesMax is how large a body may be before compression, RecordsMax how
	// many records it may have; 0 is without limit. Larger ones go in parts.
	RawBytesMax, RecordsMax int
}

// Sender sends payloads.
type Sender struct {
	o      Options
	tracer trace.Tracer
	seed   maphash.Seed

	mu      sync.Mutex
	started map[uint64]*progress // of payloads that are delivered in part
}

// startedMax bounds the payloads whose progress is kept. Of those that are beyond
// it, what is delivered is sent again.
const startedMax = 64

// NewSender returns a sender.
func NewSender(o Options) *Sender {
	return &Sender{
		o: o, seed: maphash.MakeSeed(), started: map[uint64]*progress{},
		tracer: otel.Tracer("github.com/wasmtail/wasmtail/plugins/output/" + o.Name),
	}
}

// Send delivers one payload, which is lent for the call. The error wraps
// pipeline.ErrRejected when no retry can save it, or the records it names, and else
// is a *pipeline.RetryError around a *transport.Failure.
func (s *Sender) Send(ctx context.Context, data []byte) error {
	p, err := Parse(data)
	if err != nil {
		return &pipeline.RejectedError{Err: err}
	}
	if p.Records == 0 {
		return nil
	}
	if p.Traceparent != "" {
		ctx = propagation.TraceContext{}.Extract(ctx, propagation.MapCarrier{traceparentName: p.Traceparent})
	}
	ctx, span := s.tracer.Start(ctx, s.o.Name+".send", trace.WithSpanKind(trace.SpanKindClient))
	defer span.End()
	if span.IsRecording() {
		span.SetAttributes(
			attribute.String("target", p.Target), attribute.String("batch", p.Batch), attribute.String("codec", p.Codec.String()),
			attribute.Int("records", p.Records), attribute.Int("bytes", len(p.Body)), attribute.Int("raw_bytes", p.RawBytes),
		)
	}
	key := maphash.Bytes(s.seed, data)
	d := delivery{sender: s, payload: &p, progress: s.resume(key)}
	err = d.run(ctx)
	if err != nil && !errors.Is(err, pipeline.ErrRejected) && d.progress != nil {
		s.keep(key, d.progress)
	}
	if err != nil {
		span.SetStatus(codes.Error, err.Error())
	}
	return err
}

// resume takes the progress of a payload, nil if it has none.
func (s *Sender) resume(key uint64) *progress {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.started[key]
	delete(s.started, key)
	return p
}

// keep keeps it for the next attempt.
func (s *Sender) keep(key uint64, p *progress) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for other := range s.started {
		if len(s.started) < startedMax {
			break
		}
		delete(s.started, other)
	}
	s.started[key] = p
}

// rejected is the error for records that are refused, with what is to be said of
// them.
func rejected(p *Payload, g *progress) error {
	return &pipeline.RejectedError{Records: g.lines, Err: fmt.Errorf("cannot send %d of the %d records of batch %s: %w", g.refused, p.Records, p.Batch, g.reason)}
}
