package wasmhost

import (
	"encoding/json"
	"fmt"
	"strconv"

	"github.com/wasmtail/wasmtail/internal/record"
	"github.com/wasmtail/wasmtail/sdk/abi"
)

// heldRecords are records that a joiner left for the next batch of their origin,
// in memory of their own: the batch they came in is gone by then.
type heldRecords struct {
	records []record.Record
	start   int64 // where the first begins
}

// failRows makes raw rows of the events [lo, hi).
func (p *Parser) failRows(lo, hi int, reason []byte) {
	for i := lo; i < hi; i++ {
		p.d.rows = append(p.d.rows, row{first: i, last: i + 1, status: abi.RowError, reason: reason, hosts: true})
	}
}

// blame words the reason why lines are kept raw, in the batch's arena.
func (p *Parser) blame(kind faultKind, err error) []byte {
	return p.b.Copy([]byte(fmt.Sprintf("wasm %s: %s: %s", p.m.name(), kind, err)))
}

// apply makes records of the rows.
func (p *Parser) apply() {
	p.hold()
	if p.inPlace() {
		for i := range p.d.rows {
			w := &p.d.rows[i]
			r := &p.b.Records[p.events[w.first].record]
			p.fill(r, w, p.events[w.first].field)
		}
		return
	}
	p.rebuild()
}

// inPlace reports whether each event has become one record, kept.
func (p *Parser) inPlace() bool {
	if p.m.spec.DeadLetter != 0 {
		return false
	}
	for i := range p.d.rows {
		if w := &p.d.rows[i]; w.last-w.first != 1 || w.drop || w.repeats {
			return false
		}
	}
	return true
}

// rebuild writes the batch's records anew: some were joined, split, dropped or
// copied to the dead letters. Records that the module was not shown keep their
// place.
func (p *Parser) rebuild() {
	out, next := p.out[:0], 0
	records := p.b.Records
	for i := 0; i < len(p.d.rows); {
		group := i + 1
		for group < len(p.d.rows) && p.d.rows[group].repeats {
			group++
		}
		first := p.events[p.d.rows[i].first].record
		out = append(out, records[next:first]...)
		last := p.events[p.d.rows[i].last-1].record
		// What lies between joined events was not for the module: it goes before.
		for j, e := first+1, p.d.rows[i].first+1; j < last; j++ {
			if e < p.d.rows[i].last && p.events[e].record == j {
				e++
				continue
			}
			out = append(out, records[j])
		}
		out = p.group(out, p.d.rows[i:group])
		next, i = last+1, group
	}
	out = append(out, records[next:]...)
	p.b.Records = append(records[:0], out...)
	if len(records) > len(out) {
		clear(records[len(out):])
	}
	clear(out)
	p.out = out[:0]
}

// group appends what the rows of one range of events make, and counts what was
// dropped.
func (p *Parser) group(out []record.Record, rows []row) []record.Record {
	events := p.events[rows[0].first:rows[0].last]
	whole := p.joined(events)
	size, kept := whole.Size, 0
	for i := range rows {
		w := &rows[i]
		if w.drop {
			continue
		}
		r := whole
		if kept > 0 {
			r.Size = 0 // the bytes are the first record's
		}
		kept++
		p.fill(&r, w, events[0].field)
		if dead := p.m.spec.DeadLetter; dead != 0 && r.Marks&record.Failed != 0 {
			if p.m.spec.KeepFailed {
				out = append(out, r)
				r.Size = 0
				kept++
			}
			r.Route = dead
		}
		out = append(out, r)
	}
	if kept == 0 {
		p.b.Filtered += len(events)
		p.b.FilteredBytes += size
		return out
	}
	p.b.Reshaped += kept - len(events)
	return out
}

// joined is the record that stands for several events: it begins where the first
// does, and has its other fields.
func (p *Parser) joined(events []event) record.Record {
	r := p.b.Records[events[0].record]
	if len(events) == 1 {
		return r
	}
	var raw []byte
	for i := range events {
		part := &p.b.Records[events[i].record]
		if i > 0 {
			raw = append(raw, '\n')
			r.Size += part.Size
			r.Marks |= part.Marks
		}
		raw = append(raw, part.Raw...)
	}
	r.Raw = p.b.Copy(raw)
	return r
}

var rawLogName = []byte(record.RawLog)

// fill gives a record what its row says. source is the field that the module was
// shown.
func (p *Parser) fill(r *record.Record, w *row, source int) {
	if w.invalid {
		r.Marks |= record.InvalidUTF8
	}
	if w.time != 0 {
		r.Time = w.time
	}
	if w.route != 0 {
		r.Route = w.route
	}
	if w.severity != 0 {
		w.fields = append(w.fields, record.Field{Name: severityName, Value: severities[(w.severity-1)/4]})
	}
	drop := source
	if p.m.spec.KeepSource {
		drop = -1
	}
	if len(r.Fields) == 1 && drop == 0 {
		r.Fields = w.fields // all it had goes
	} else {
		p.merge(r, w, drop)
	}
	switch {
	case w.status != abi.RowOK:
		p.b.Fail(r, -1, p.reason(w))
	case w.keepRaw:
		r.Fields = append(r.Fields, record.Field{Name: rawLogName, Value: r.Raw})
	}
}

// merge puts the row's fields behind those that the record keeps. A new value
// stands for an old one of its name.
func (p *Parser) merge(r *record.Record, w *row, drop int) {
	fields := p.b.AllocFields(len(r.Fields) + len(w.fields) + 1)
	for i := range r.Fields {
		if i != drop && !names(w.fields, r.Fields[i].Name) {
			fields = append(fields, r.Fields[i])
		}
	}
	r.Fields = append(fields, w.fields...)
}

func names(fields []record.Field, name []byte) bool {
	for i := range fields {
		if string(fields[i].Name) == string(name) {
			return true
		}
	}
	return false
}

// reason words why a row is not parsed. What the host itself says is worded
// already.
func (p *Parser) reason(w *row) []byte {
	if w.hosts {
		return w.reason
	}
	text := append(p.d.text[:0], "wasm "...)
	text = append(text, p.m.name()...)
	if w.status == abi.RowNoMatch {
		text = append(text, ": no match"...)
	} else {
		text = append(text, ": error"...)
	}
	if w.code != 0 {
		text = append(text, ' ')
		text = strconv.AppendUint(text, uint64(w.code), 10)
	}
	if len(w.reason) > 0 {
		text = append(text, ": "...)
		text = append(text, printable(w.reason)...)
	}
	p.d.text = text
	return p.b.Copy(text)
}

// hold takes the records that were left for the next batch out of this one.
func (p *Parser) hold() {
	if p.left == len(p.events) {
		return
	}
	from := p.events[p.left].record
	kept := &heldRecords{start: p.b.Records[from].Offset}
	for i := from; i < len(p.b.Records); i++ {
		kept.records = append(kept.records, p.b.Records[i].Clone())
	}
	if p.held == nil {
		p.held = map[*record.Origin]*heldRecords{}
	}
	p.held[p.b.Origin] = kept
	clear(p.b.Records[from:])
	p.b.Records = p.b.Records[:from]
	p.b.End = kept.start
}

// takeBack puts the records that were left of the origin in front of the batch.
func (p *Parser) takeBack() {
	kept := p.held[p.b.Origin]
	if kept == nil {
		return
	}
	delete(p.held, p.b.Origin)
	n := len(kept.records)
	p.b.Records = append(p.b.Records, make([]record.Record, n)...)
	copy(p.b.Records[n:], p.b.Records)
	for i := range kept.records {
		p.b.Records[i] = p.b.Adopt(&kept.records[i])
	}
	p.b.Start = kept.start
}

// describe is the JSON object that tells a module where lines come from.
func (p *Parser) describe() []byte {
	text, err := json.Marshal(map[string]string{"path": p.b.Origin.Path, "pipeline": p.m.spec.Pipeline})
	if err != nil || len(text) > metaBytesMax {
		return []byte("{}")
	}
	return text
}
