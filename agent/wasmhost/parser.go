package wasmhost

import (
	"context"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"

	"github.com/wasmtail/wasmtail/internal/record"
)

// Parser is one lane's end of a module: it hands the lane's batches to an
// instance of its own. It belongs to one goroutine.
//
// In steady state it allocates nothing for a line: fields are made in the
// batch's arena, and all lists are kept from one batch to the next.
type Parser struct {
	m *Module

	program *Program
	in      *instance
	keys    dynamicKeys
	held    map[*record.Origin]*heldRecords

	// What belongs to the batch at hand.
	b      *record.Batch
	final  bool // nothing of the batch may be left for the next one
	events []event
	left   int // events from here on are left for the next batch
	lost   int // instances this batch has cost
	until  time.Time
	d      decoder
	out    []record.Record
}

// event is a record whose field goes to the module.
type event struct {
	record, field int // in the batch; in the record
	value         []byte
}

// Process lets the module take the batch's records apart, in place. Records that
// have failed before, or lack the field, pass it by in their order. With a
// joiner, records at the end of the batch may be left for the next one of the
// same origin: they are then no longer in the batch, whose range ends before
// them. Set b.Final to keep none back. The error is ErrHeld, or nil: a module
// that fails costs its lines their fields, and nothing else.
func (p *Parser) Process(ctx context.Context, b *record.Batch) error {
	p.b, p.final = b, b.Final
	p.takeBack()
	p.collect()
	if len(p.events) == 0 {
		p.b = nil
		return nil
	}
	verdict, err := p.m.admit(ctx)
	if err != nil { // what was left by earlier batches is read again with this one
		return err
	}
	if verdict.bypass != nil {
		p.d.reset(p)
		p.failRows(0, len(p.events), b.Copy([]byte("wasm "+p.m.name()+": bypassed: "+verdict.bypass.Error())))
		p.m.spec.counters.bypassed.Add(int64(len(p.events)))
	} else {
		p.serve(ctx, verdict)
	}
	p.apply()
	p.b = nil
	return nil
}

// Close frees the parser's instance, and its module if no other parser has it. It
// is called once.
func (p *Parser) Close() {
	if p.in != nil {
		p.in.retire()
		p.in = nil
	}
	p.release()
	if p.m.parsers.Add(-1) == 0 && !p.m.trial {
		p.m.h.drop(p.m)
	}
}

// release gives up the program.
func (p *Parser) release() {
	if p.program != nil {
		p.m.release(p.program)
		p.program = nil
	}
}

// collect finds the records that the module is to see.
func (p *Parser) collect() {
	p.events = p.events[:0]
	for i := range p.b.Records {
		r := &p.b.Records[i]
		if r.Marks&record.Failed != 0 {
			continue
		}
		if value, field := r.Field(p.m.spec.Field); field >= 0 {
			p.events = append(p.events, event{record: i, field: field, value: value})
		}
	}
	p.left = len(p.events)
}

// serve hands all events to the module.
func (p *Parser) serve(ctx context.Context, v verdict) {
	p.d.reset(p)
	p.lost = 0
	p.until = time.Now().Add(wallFactor * p.m.spec.Limits.Time)
	c := p.m.spec.counters
	c.events.Add(int64(len(p.events)))
	span := trace.SpanFromContext(ctx)
	began := time.Now()
	err := p.ready(v.program)
	if err != nil {
		p.failRows(0, len(p.events), p.blame(faultStart, err))
		c.failed.Add(int64(len(p.events)))
	} else {
		p.in.span = span
		p.run(part{0, len(p.events), 0, p.final})
	}
	c.nanos.Add(int64(time.Since(began)))
	c.copied.Add(int64(p.d.copied))
	c.badTimes.Add(int64(p.d.badTimes))
	if span.IsRecording() {
		span.SetAttributes(attribute.String("wasm.module", p.m.spec.Path), attribute.String("wasm.sha256", v.program.SHA256),
			attribute.Int("wasm.events", len(p.events)), attribute.Int("wasm.rows", len(p.d.rows)),
			attribute.Int("wasm.instances_lost", p.lost), attribute.Int("wasm.copied_bytes", p.d.copied))
	}
	p.m.settle(len(p.events), err == nil && p.lost == 0)
}

// ready has an instance of the program that is current. A new version takes over
// here, between two batches; so does a new instance when the old one's memory is
// nearly used up.
func (p *Parser) ready(current *Program) error {
	if p.program != current {
		if p.in != nil {
			p.in.retire()
			p.in = nil
		}
		p.release()
		p.program = p.m.retain(current)
	}
	if p.in != nil && p.in.nearFull() {
		p.in.retire()
		p.in = nil
		p.m.spec.counters.recycled.Add(1)
	}
	return p.start()
}

// start has an instance.
func (p *Parser) start() (err error) {
	if p.in == nil {
		p.in, err = p.program.instance()
		if err != nil {
			p.in = nil
			p.m.lose(faultStart, err)
		}
	}
	return err
}

// discard frees an instance that has failed, and counts it.
func (p *Parser) discard(f *fault) {
	p.lost++
	p.m.lose(f.kind, f)
	p.in.close()
	p.in = nil
}

// replace puts a new instance in the place of one that has failed.
func (p *Parser) replace(f *fault) error {
	span := p.in.span
	p.discard(f)
	if err := p.start(); err != nil {
		return err
	}
	p.in.span = span
	return nil
}

// try is Process for a batch that goes nowhere.
func (p *Parser) try(b *record.Batch) {
	p.b, p.final, p.lost, p.until = b, true, 0, time.Now().Add(time.Minute)
	p.collect()
	p.d.reset(p)
	p.run(part{0, len(p.events), 0, true})
	p.apply()
	p.b = nil
}

func (d *decoder) reset(p *Parser) {
	clear(d.rows)
	*d = decoder{batch: p.b, keys: &p.keys, rows: d.rows[:0], text: d.text[:0], trial: d.trial}
}
