package wasmhost

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"

	"github.com/wasmtail/wasmtail/internal/record"
	"github.com/wasmtail/wasmtail/internal/wasmbin"
	"github.com/wasmtail/wasmtail/sdk/abi"
)

// Trial tries a module outside of a pipeline: for those who write modules. It
// belongs to one goroutine.
type Trial struct {
	// Schema and Capabilities are what the module says of itself.
	Schema       Schema
	Capabilities []string

	program *Program
	parser  *Parser
	notes   trialNotes
	origin  *record.Origin
	offset  int64
	flags   uint32 // of every batch, beside those it has by itself
	used    uint32 // capabilities that rows have used so far
}

// trialNotes is what a record does not keep, and a trial shows.
type trialNotes struct {
	kinds  []uint8
	routes []string
}

// note keeps the kind of a field. There is nothing to note in a pipeline.
func (n *trialNotes) note(entry []byte) {
	if n != nil {
		n.kinds = append(n.kinds, entry[abi.FieldOffKind])
	}
}

// route takes any log store.
func (n *trialNotes) route(name []byte) (uint8, bool) {
	for i, known := range n.routes {
		if known == string(name) {
			return uint8(i + 1), true
		}
	}
	n.routes = append(n.routes, string(name))
	return uint8(len(n.routes)), len(n.routes) <= 255
}

// Try loads the module of s, whose Routes do not matter. The error says why it is
// refused.
func (h *Host) Try(ctx context.Context, s Spec) (*Trial, error) {
	s.Limits = s.Limits.orDefault()
	s.Field = record.Content
	s.log, s.counters = h.o.Log, &counters{}
	s.logger = newGuestLog(s.log, h.o.Now)
	p, err := h.load(ctx, &s)
	if err != nil {
		return nil, err
	}
	t := &Trial{
		Schema: p.Schema, program: p,
		origin: &record.Origin{Path: "trial", Source: 1, Ledger: &record.Ledger{}},
	}
	t.Capabilities = capabilityNames(p.Caps)
	t.parser = &Parser{m: h.trial(p, &s), program: p}
	t.parser.d.trial = &t.notes
	return t, nil
}

// capabilityNames are the names of the capabilities whose bits are set.
func capabilityNames(caps uint32) (names []string) {
	for i, name := range []string{"join", "drop", "split", "route", "time", "dynamic_keys"} {
		if caps&(1<<i) != 0 {
			names = append(names, name)
		}
	}
	return names
}

// Close frees the module.
func (t *Trial) Close() {
	t.restart()
	t.program.close()
}

// Rows gives the lines to the module in batches of at most some lines, and
// returns one JSON object for each row, in their order. With a joiner, lines are
// left from one batch for the next. The error is a fault of the module: what it
// does, and at which line.
func (t *Trial) Rows(lines [][]byte, sizes func(left int) int) ([][]byte, error) {
	var out [][]byte
	var left [][]byte
	for at := 0; at < len(lines) || len(left) > 0; {
		n := 0
		if at < len(lines) {
			n = max(1, min(sizes(len(lines)-at), len(lines)-at))
		}
		batch := append(left[:len(left):len(left)], lines[at:at+n]...)
		at += n
		rows, taken, err := t.batch(batch, at == len(lines))
		if err != nil {
			return out, err
		}
		out, left = append(out, rows...), batch[taken:]
	}
	return out, nil
}

// batch makes one batch of lines, and returns how many were taken.
func (t *Trial) batch(lines [][]byte, final bool) (rows [][]byte, taken int, err error) {
	b := record.Get(t.origin)
	defer b.Release()
	raw, at := b.Copy(append(bytes.Join(lines, []byte("\n")), '\n')), 0
	for _, line := range lines {
		r := b.AddOwn(raw[at : at+len(line) : at+len(line)])
		r.Offset, r.Size = t.offset+int64(at), int64(len(line))+1
		at += len(line) + 1
	}
	t.notes.kinds = t.notes.kinds[:0]
	if lost := t.parser.show(b, final, t.flags); lost != nil {
		return nil, 0, lost
	}
	t.noteUse(len(lines))
	note := 0
	for i := range t.parser.d.rows {
		row, err := t.json(&t.parser.d.rows[i], &note, lines)
		if err != nil {
			return nil, 0, err
		}
		rows = append(rows, row)
	}
	for _, line := range lines[:t.parser.left] {
		t.offset += int64(len(line)) + 1
	}
	return rows, t.parser.left, nil
}

// noteUse notes the capabilities that the rows of a batch of n lines have used.
func (t *Trial) noteUse(n int) {
	use := func(is bool, capability uint32) {
		if is {
			t.used |= capability
		}
	}
	use(t.parser.left < n, abi.CapJoin)
	use(t.parser.d.badTimes > 0, abi.CapTime)
	use(len(t.parser.keys.seen) > 0 || t.parser.keys.over > 0, abi.CapDynamicKeys)
	for i := range t.parser.d.rows {
		w := &t.parser.d.rows[i]
		use(w.last-w.first > 1, abi.CapJoin)
		use(w.drop, abi.CapDrop)
		use(w.repeats, abi.CapSplit)
		use(w.route != 0, abi.CapRoute)
		use(w.time != 0, abi.CapTime)
	}
}

// stopClock gives the module one time from now on, so that rows can be compared.
func (t *Trial) stopClock() {
	now := t.program.now()
	t.program.now = func() int64 { return now }
}

// twin is another trial of the same program. It is not closed, but restarted when
// it is no longer needed, before t is closed.
func (t *Trial) twin() *Trial {
	other := *t
	other.notes = trialNotes{}
	other.parser = &Parser{m: t.parser.m, program: t.program}
	other.parser.d.trial = &other.notes
	return &other
}

// restart lets the next batch have a new instance.
func (t *Trial) restart() {
	if t.parser.in != nil {
		t.parser.in.retire()
		t.parser.in = nil
	}
}

// show hands a batch to the module and leaves the rows where they are. A fault is
// returned, not mended.
func (p *Parser) show(b *record.Batch, final bool, flags uint32) error {
	if err := p.start(); err != nil {
		return err
	}
	p.b, p.final = b, final
	p.collect()
	p.d.reset(p)
	for s := (part{0, len(p.events), flags, final}); s.lo < s.hi; {
		c := p.cut(s)
		if c.tooLong {
			return fmt.Errorf("line %d is longer than a module is given", s.lo+1)
		}
		n, f := p.call(c)
		if f == nil && n == 0 && c.hi < s.hi { // a joiner that wants more than a call can have
			c.flags |= abi.FlagFinal
			n, f = p.call(c)
		}
		switch {
		case f != nil:
			p.in.close()
			p.in = nil
			line := c.lo
			if f.progress > 0 && f.oneLine() {
				line += f.progress
			}
			return fmt.Errorf("the module failed at or after line %d of a batch: %s: %w: %.200q", line+1, f.kind, f, p.events[line].value)
		case n < c.hi-c.lo && c.hi == s.hi && !final:
			p.left = s.lo + n
			return nil
		case n == 0:
			return errors.New("the module took no line of a batch that it was given whole")
		}
		s.lo += n
	}
	return nil
}

// rowJSON is the form of a row in the golden files of examples.
type rowJSON struct {
	Fields   json.RawMessage `json:"fields,omitempty"`
	Action   string          `json:"action,omitempty"`
	Status   string          `json:"status,omitempty"`
	Code     uint16          `json:"code,omitempty"`
	Error    string          `json:"error,omitempty"`
	Time     int64           `json:"time_ns,omitempty"`
	Severity uint8           `json:"severity,omitempty"`
	Route    string          `json:"route,omitempty"`
	Events   int             `json:"events"`
	Raw      *string         `json:"raw,omitempty"`
}

func (t *Trial) json(w *row, note *int, lines [][]byte) ([]byte, error) {
	out := rowJSON{Events: w.last - w.first}
	fields := t.fields(w, note)
	if w.drop {
		out.Action = "drop"
		return encode(out)
	}
	out.Status = [...]string{"ok", "no_match", "error"}[w.status]
	out.Code, out.Error = w.code, string(w.reason)
	if w.status == abi.RowOK {
		out.Fields, out.Time, out.Severity = fields, w.time, w.severity
		if w.route != 0 {
			out.Route = t.notes.routes[w.route-1]
		}
	}
	if w.status != abi.RowOK || w.keepRaw {
		raw := string(bytes.Join(lines[w.first:w.last], []byte("\n")))
		out.Raw = &raw
	}
	return encode(out)
}

// fields writes the fields of a row in their order, numbers as numbers.
func (t *Trial) fields(w *row, note *int) json.RawMessage {
	var b bytes.Buffer
	b.WriteByte('{')
	for i, f := range w.fields {
		if i > 0 {
			b.WriteByte(',')
		}
		name, _ := encode(string(f.Name))
		b.Write(name)
		b.WriteByte(':')
		kind := uint8(abi.KindString)
		if *note < len(t.notes.kinds) && string(f.Name) != OverflowField {
			kind = t.notes.kinds[*note]
			*note++
		}
		switch kind {
		case abi.KindInt, abi.KindFloat, abi.KindBool, abi.KindJSON:
			b.Write(f.Value)
		default:
			text, _ := encode(string(f.Value))
			b.Write(text)
		}
	}
	b.WriteByte('}')
	return b.Bytes()
}

// encode is json.Marshal without the escapes for pages.
func encode(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return nil, fmt.Errorf("cannot write a row: %w", err)
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

// Inspection is what can be said of a module file without running it.
type Inspection struct {
	SHA256    string            `json:"sha256"`
	Bytes     int               `json:"bytes"`
	Toolchain string            `json:"toolchain,omitempty"`
	Imports   []string          `json:"imports"`
	Exports   []string          `json:"exports"`
	Measures  []wasmbin.Measure `json:"measures"`
}

// Inspect looks at a module file. The error says why it would be refused.
func (h *Host) Inspect(path string) (Inspection, error) {
	s := &Spec{Path: path, Limits: Limits{}.orDefault()}
	bin, sum, err := h.readModule(s)
	if err != nil {
		return Inspection{}, err
	}
	m, err := wasmbin.Scan(bin, scanLimits(s.Limits))
	if err != nil {
		return Inspection{}, fmt.Errorf("cannot use module %s: %w", path, err)
	}
	out := Inspection{SHA256: sum, Bytes: len(bin), Toolchain: m.Toolchain(), Measures: m.Measures(), Imports: []string{}, Exports: []string{}}
	for _, i := range m.Imports {
		out.Imports = append(out.Imports, i.Module+"."+i.Name+" "+i.Signature.String())
	}
	for _, e := range m.Exports {
		out.Exports = append(out.Exports, e.Name+" "+strconv.Itoa(int(e.Index)))
	}
	if err := checkInterface(m); err != nil {
		return out, fmt.Errorf("cannot use module %s: %w", path, err)
	}
	return out, nil
}

// Cost is what a module has used for the lines of a place.
type Cost struct {
	Units  int64 // of the meter: turns of loops and calls
	Copied int64 // bytes of values that were not part of the lines
	Memory int64 // of the instance, as it is now
}

// Cost tells what the parser's module has used since it serves its place. It is
// called by the goroutine of the parser.
func (p *Parser) Cost() Cost {
	c := Cost{Units: p.m.spec.counters.units.Load(), Copied: p.m.spec.counters.copied.Load()}
	if p.in != nil {
		c.Memory = int64(p.in.mem.Size())
	}
	return c
}
