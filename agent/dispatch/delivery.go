package dispatch

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/wasmtail/wasmtail/agent/pipeline"
	"github.com/wasmtail/wasmtail/agent/queue"
	"github.com/wasmtail/wasmtail/agent/transport"
)

// partsMax bounds the requests that one attempt is taken apart into. One bad record
// among 4,096 takes 24; a batch of nothing but bad ones is not worth a request for
// each.
const partsMax = 256

// Pauses for failures that do not heal within seconds, when the receiver names none
// itself.
const (
	pauseQuota  = time.Second
	pausePerson = 30 * time.Second // someone must change a key or a setting
)

// progress is what has become of the records of a payload.
type progress struct {
	settled []bool // delivered or refused
	refused int
	reason  error  // why the last refused record was
	lines   []byte // all that were, for people
}

// delivery is one attempt to send a payload, or what is left of it.
type delivery struct {
	sender   *Sender
	payload  *Payload
	progress *progress // nil while the payload is whole

	items      []Item
	todo       []int // indexes of the records of this attempt; nil for all
	posts      int
	again      *transport.Failure
	compressor *compressor
	raw, body  []byte
}

var errParts = errors.New("too many of its records are refused to try each")

// run makes the attempt.
func (d *delivery) run(ctx context.Context) error {
	p := d.payload
	n := p.Records
	if d.progress != nil {
		if err := d.split(); err != nil {
			return err
		}
		for i, settled := range d.progress.settled {
			if !settled {
				d.todo = append(d.todo, i)
			}
		}
		n = len(d.todo)
	}
	if err := d.part(ctx, 0, n); err != nil {
		return err
	}
	switch {
	case d.again != nil:
		return d.explain(d.again)
	case d.progress != nil && d.progress.refused > 0:
		return rejected(p, d.progress)
	}
	return nil
}

// split reads the records of the payload, and begins to keep account of them. If it
// cannot, no record can be saved.
func (d *delivery) split() error {
	if d.items != nil {
		return nil
	}
	raw, err := d.payload.Raw()
	if err == nil {
		d.items, err = d.sender.o.Format.Split(raw)
	}
	if err == nil && len(d.items) != d.payload.Records {
		err = fmt.Errorf("cannot read the payload: it has %d records, and should have %d", len(d.items), d.payload.Records)
	}
	if err != nil {
		d.items = nil
		return &pipeline.RejectedError{Err: fmt.Errorf("cannot send batch %s: %w", d.payload.Batch, err)}
	}
	if d.progress == nil || len(d.progress.settled) != len(d.items) {
		d.progress = &progress{settled: make([]bool, len(d.items))}
	}
	return nil
}

// index is the place in the payload of the i-th record of this attempt.
func (d *delivery) index(i int) int {
	if d.todo == nil {
		return i
	}
	return d.todo[i]
}

// fits is true if the records [from, to) of this attempt can be one request.
func (d *delivery) fits(n, rawBytes int) bool {
	o := &d.sender.o
	return n <= 1 || (o.RawBytesMax <= 0 || rawBytes <= o.RawBytesMax) && (o.RecordsMax <= 0 || n <= o.RecordsMax)
}

// halves sends the records [from, to) of this attempt in two parts.
func (d *delivery) halves(ctx context.Context, from, to int) error {
	if err := d.split(); err != nil {
		return err
	}
	middle := from + (to-from)/2
	if err := d.part(ctx, from, middle); err != nil {
		return err
	}
	return d.part(ctx, middle, to)
}

// part sends the records [from, to) of this attempt, in smaller parts if it must. It
// returns failures that end the attempt.
func (d *delivery) part(ctx context.Context, from, to int) error {
	n := to - from
	if n == 0 {
		return nil
	}
	p := d.payload
	if d.items != nil {
		p = d.encode(from, to)
	}
	if !d.fits(n, p.RawBytes) {
		return d.halves(ctx, from, to)
	}
	if d.posts++; d.posts > partsMax {
		return d.refuse(from, to, errParts)
	}
	v, err := d.sender.o.Post(ctx, p)
	if err == nil {
		return d.settle(from, to, &v)
	}
	var f *transport.Failure
	if !errors.As(err, &f) {
		f = &transport.Failure{Err: err}
	}
	switch f.Class {
	case transport.BadData, transport.TooLarge:
		if n > 1 {
			return d.halves(ctx, from, to)
		}
		return d.refuse(from, to, f)
	case transport.Rejected:
		return d.refuse(from, to, f)
	}
	return d.explain(f)
}

// encode makes the payload of the records [from, to) of this attempt, valid until
// the next call.
func (d *delivery) encode(from, to int) *Payload {
	items := d.items
	if d.todo != nil || from != 0 || to != len(items) {
		items = make([]Item, 0, to-from)
		for i := from; i < to; i++ {
			items = append(items, d.items[d.index(i)])
		}
	}
	if d.compressor == nil {
		d.compressor = newCompressor(d.payload.Codec)
	}
	d.raw = d.sender.o.Format.Join(d.raw[:0], items)
	d.body = d.compressor.append(d.body[:0], d.raw)
	part := *d.payload
	part.RawBytes, part.Records, part.Body = len(d.raw), to-from, d.body
	return &part
}

// settle takes in what the receiver says of the records [from, to) of this attempt.
func (d *delivery) settle(from, to int, v *Verdict) error {
	if d.items == nil && len(v.Again) == 0 && len(v.Refused) == 0 && v.Unnamed == 0 {
		return nil // all of it, at once
	}
	if err := d.split(); err != nil {
		return err
	}
	for i := from; i < to; i++ {
		d.progress.settled[d.index(i)] = true
	}
	for _, i := range v.Again {
		if i >= 0 && i < to-from {
			d.progress.settled[d.index(from+i)] = false
		}
	}
	if len(v.Again) > 0 {
		if d.again = v.Why; d.again == nil {
			d.again = &transport.Failure{Message: "some records were not taken"}
		}
	}
	for _, r := range v.Refused {
		if r.Index >= 0 && r.Index < to-from {
			d.note(d.index(from+r.Index), errors.New(r.Reason))
			d.progress.refused++
		}
	}
	if v.Unnamed > 0 {
		why := fmt.Errorf("the receiver refused %d of these %d records, and does not say which: %s", v.Unnamed, to-from, v.UnnamedReason)
		for i := from; i < to; i++ {
			d.note(d.index(i), why)
		}
		d.progress.refused += min(v.Unnamed, to-from)
	}
	return nil
}

// refuse notes that the records [from, to) of this attempt will not be sent.
func (d *delivery) refuse(from, to int, why error) error {
	if err := d.split(); err != nil {
		var r *pipeline.RejectedError
		if errors.As(err, &r) { // what the receiver said is the better reason
			r.Err = fmt.Errorf("cannot send batch %s: %w", d.payload.Batch, why)
		}
		return err
	}
	for i := from; i < to; i++ {
		d.progress.settled[d.index(i)] = true
		d.note(d.index(i), why)
		d.progress.refused++
	}
	return nil
}

// note writes down a record that is refused.
func (d *delivery) note(index int, why error) {
	g := d.progress
	g.reason = why
	g.lines = append(g.lines, `{"batch":`...)
	g.lines = appendText(g.lines, d.payload.Batch)
	if d.payload.Target != "" {
		g.lines = append(g.lines, `,"target":`...)
		g.lines = appendText(g.lines, d.payload.Target)
	}
	g.lines = append(g.lines, `,"reason":`...)
	g.lines = appendText(g.lines, why.Error())
	g.lines = append(g.lines, `,"record":`...)
	g.lines = d.sender.o.Format.Show(g.lines, d.items[index])
	g.lines = append(g.lines, "}\n"...)
}

func appendText(dst []byte, s string) []byte {
	text, err := json.Marshal(s)
	if err != nil {
		panic("BUG: a text cannot be JSON: " + err.Error())
	}
	return append(dst, text...)
}

// explain turns a failure into what the pipeline acts on.
func (d *delivery) explain(f *transport.Failure) error {
	s := queue.Setback{After: f.RetryAfter}
	switch f.Class {
	case transport.Quota:
		s.Scope, s.Slower = queue.Destination, true
		if s.After == 0 {
			s.After = pauseQuota
		}
	case transport.Auth, transport.Misconfigured:
		s.Scope = queue.Destination
		if s.After == 0 {
			s.After = pausePerson
			if f.Status == http.StatusUnauthorized && f.Class == transport.Auth {
				s.After = pauseQuota * 5 // a file with a new key may be on its way
			}
		}
	}
	return &pipeline.RetryError{Setback: s, Err: fmt.Errorf("cannot send batch %s: %w", d.payload.Batch, f)}
}
