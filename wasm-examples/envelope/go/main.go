// Envelopes of log events, as subscriptions to CloudWatch Logs send them, split
// into rows. The rules are in ../README.md.
package main

import "github.com/wasmtail/wasmtail/sdk/wt"

const (
	group = iota
	stream
	owner
	account
	id
	message
)

// Codes of errors.
const (
	codeJSON = 1 + iota
	codeDeep
	codeType
	codeSource
	codeList
	codeEvent
	codeTime
)

// event is one of logEvents. Texts are as they stand; nil is none.
type event struct {
	id, message []byte
	ms          int64
	timed       bool
}

// line is what one envelope says.
type line struct {
	kind, owner, group, stream []byte
	listed                     bool // it has logEvents
	known                      bool // it has any key of an envelope
	code                       uint32
	why                        string
	events                     []event
}

type envelope struct {
	lines, controls uint32
	accounts        bool
	l               line // reused, so that events need no memory for a line
}

func (e *envelope) Setup(s *wt.Setup) error {
	s.Name("envelope", "1.0.0")
	s.Caps(wt.CapSplit | wt.CapDrop | wt.CapTime)
	s.Field("log_group", wt.String, "group that the event is of")
	s.Field("log_stream", wt.String, "stream of the group")
	s.Field("owner", wt.String, "account that owns the group, as the envelope names it")
	s.Field("account", wt.String, "name of the owner in table 0, left out when it has none")
	s.Field("id", wt.String, "id of the event")
	s.Field("message", wt.String, "what was logged")
	e.lines = s.Metric("events")
	e.controls = s.Metric("control_messages")
	e.accounts = s.ConfigBool("accounts", false)
	return nil
}

// Process makes the rows of each line.
func (e *envelope) Process(b *wt.Batch) {
	for i := range b.Count() {
		if !e.split(b, i) {
			return
		}
	}
}

// split reads all of line i before it makes the first row, so that a line that is
// wrong somewhere gives one row that says so. False when the rows do not fit.
func (e *envelope) split(b *wt.Batch, i int) bool {
	r := b.Begin(i, 1)
	l := &e.l
	switch {
	case !l.read(b.Line(i)):
		return b.End(wt.NoMatch)
	case l.code != 0:
		return b.End(r.Error(l.code, l.why))
	case string(l.kind) == "CONTROL_MESSAGE":
		if !b.End(r.Drop()) {
			return false
		}
		if wt.LogLevel() <= wt.LogDebug {
			wt.Log(wt.LogDebug, wt.Text("a control message was dropped"))
		}
		wt.CounterAdd(e.controls, 1)
		return true
	case len(l.events) == 0:
		return b.End(r.Drop())
	}
	l.group, l.stream, l.owner = wt.Unescape(l.group), wt.Unescape(l.stream), wt.Unescape(l.owner)
	name := e.accountName()
	if i == 0 {
		wt.SpanAttr(wt.Text("log_group"), l.group)
	}
	for k := range l.events {
		if k > 0 {
			r = b.Begin(i, 1)
		}
		l.put(r, &l.events[k], name)
		if !b.End(wt.OK) {
			return false
		}
	}
	wt.CounterAdd(e.lines, int64(len(l.events)))
	return true
}

func (e *envelope) accountName() []byte {
	if !e.accounts || e.l.owner == nil {
		return nil
	}
	name, _ := wt.Lookup(0, e.l.owner)
	return name
}

func (l *line) put(r *wt.Row, v *event, name []byte) {
	const msNano = 1_000_000
	r.Str(group, l.group)
	r.Str(stream, l.stream)
	if l.owner != nil {
		r.Str(owner, l.owner)
	}
	if name != nil {
		r.Str(account, name)
	}
	r.Str(id, wt.Unescape(v.id))
	r.Str(message, wt.Unescape(v.message))
	r.Time(v.ms * msNano)
}

// read takes a line apart, and is false when it is no envelope. What is wrong with
// one that is, is in l.code.
func (l *line) read(s []byte) bool {
	*l = line{events: l.events[:0]}
	j := scan{s: s}
	if !j.take('{') {
		return false
	}
	for n := 0; j.next(n, '}'); n++ {
		l.member(&j)
	}
	if !j.bad && j.peek() != 0 {
		j.fail()
	}
	switch {
	case !l.known:
		return false
	case j.deep:
		l.wrong(codeDeep, "nested too deep")
	case j.bad:
		l.wrong(codeJSON, "broken JSON")
	default:
		l.check()
	}
	return true
}

// wrong keeps what is wrong, in place of what was found before.
func (l *line) wrong(code uint32, why string) { l.code, l.why = code, why }

// member reads one member of the envelope. The last of a name counts.
func (l *line) member(j *scan) {
	const inside = 1
	switch string(j.key()) {
	case "messageType":
		l.kind = j.value(inside)
	case "owner":
		l.owner = j.value(inside)
		return // others have owners, too
	case "logGroup":
		l.group = j.value(inside)
	case "logStream":
		l.stream = j.value(inside)
	case "logEvents":
		l.list(j)
	default:
		j.value(inside)
		return
	}
	l.known = true
}

// list reads logEvents.
func (l *line) list(j *scan) {
	const inside = 2
	l.known, l.events, l.code = true, l.events[:0], 0
	if l.listed = j.peek() == '['; !l.listed {
		j.value(inside - 1)
		return
	}
	j.take('[')
	for n := 0; j.next(n, ']'); n++ {
		if j.peek() != '{' {
			j.value(inside)
			l.wrong(codeEvent, "log event")
			continue
		}
		v := readEvent(j)
		switch {
		case v.id == nil || v.message == nil || !v.timed:
			l.wrong(codeEvent, "log event")
		case v.ms < 0 || v.ms > msMax:
			l.wrong(codeTime, "timestamp")
		}
		l.events = append(l.events, v)
	}
}

// msMax is the last millisecond that is a time of a row.
const msMax = (1<<63 - 1) / 1_000_000

func readEvent(j *scan) (v event) {
	const inside = 3
	j.take('{')
	for n := 0; j.next(n, '}'); n++ {
		switch string(j.key()) {
		case "id":
			v.id = j.value(inside)
		case "message":
			v.message = j.value(inside)
		case "timestamp":
			v.ms, v.timed = readTime(j)
		default:
			j.value(inside)
		}
	}
	return v
}

// readTime reads an integer. One that is too large for 64 bits is one that is no
// time.
func readTime(j *scan) (ms int64, ok bool) {
	if c := j.peek(); c != '-' && c-'0' > 9 {
		const inside = 3
		j.value(inside)
		return 0, false
	}
	s := j.number()
	if wt.Find(s, '.') < len(s) || wt.Find2(s, 'e', 'E') < len(s) {
		return 0, false
	}
	if ms, ok = wt.ParseInt(s); !ok {
		return -1, true
	}
	return ms, true
}

// check looks at an envelope that is valid JSON.
func (l *line) check() {
	if string(l.kind) == "CONTROL_MESSAGE" {
		l.code = 0
		return
	}
	switch {
	case string(l.kind) != "DATA_MESSAGE":
		l.wrong(codeType, "messageType")
	case l.group == nil || l.stream == nil:
		l.wrong(codeSource, "logGroup or logStream")
	case !l.listed:
		l.wrong(codeList, "logEvents")
	}
}

var _ = wt.RegisterBatch(&envelope{})

func main() {}
