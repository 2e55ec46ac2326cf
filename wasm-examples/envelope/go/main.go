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

// event is one of logEvents.
type event struct {
	id, message text
	ns          int64 // negative for a number that is no time
	timed       bool  // it has an integer as its time
}

// line is what one envelope says.
type line struct {
	kind, owner, group, stream text
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
	case l.is("CONTROL_MESSAGE"):
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
	f := from{group: l.group.decoded(), stream: l.stream.decoded(), owner: l.owner.decoded()}
	if e.accounts && f.owner != nil {
		f.account, _ = wt.Lookup(0, f.owner)
	}
	if i == 0 {
		wt.SpanAttr(wt.Text("log_group"), f.group)
	}
	for k := range l.events {
		if k > 0 {
			r = b.Begin(i, 1)
		}
		l.events[k].put(r, &f)
		if !b.End(wt.OK) {
			return false
		}
	}
	wt.CounterAdd(e.lines, int64(len(l.events)))
	return true
}

// from is what the rows of a line share, decoded; nil is none.
type from struct{ group, stream, owner, account []byte }

func (v *event) put(r *wt.Row, f *from) {
	r.Str(group, f.group)
	r.Str(stream, f.stream)
	if f.owner != nil {
		r.Str(owner, f.owner)
	}
	if f.account != nil {
		r.Str(account, f.account)
	}
	r.Str(id, v.id.decoded())
	r.Str(message, v.message.decoded())
	r.Time(v.ns)
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

// is compares the type of the message, which has no escapes.
func (l *line) is(kind string) bool { return string(l.kind.raw) == kind }

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
		case v.id.raw == nil || v.message.raw == nil || !v.timed:
			l.wrong(codeEvent, "log event")
		case v.ns < 0:
			l.wrong(codeTime, "timestamp")
		}
		l.events = append(l.events, v)
	}
}

// eventDepth is how many values a member of an event is in.
const eventDepth = 3

func readEvent(j *scan) (v event) {
	j.take('{')
	for n := 0; j.next(n, '}'); n++ {
		switch string(j.key()) {
		case "id":
			v.id = j.value(eventDepth)
		case "message":
			v.message = j.value(eventDepth)
		case "timestamp":
			v.ns, v.timed = readTime(j)
		default:
			j.value(eventDepth)
		}
	}
	return v
}

// readTime reads an integer, and makes -1 of one that is no time.
func readTime(j *scan) (ns int64, ok bool) {
	if c := j.peek(); c != '-' && c-'0' > 9 {
		j.value(eventDepth)
		return 0, false
	}
	s, whole := j.number()
	if ns, ok = wt.TimeEpoch(s, 1000); !ok {
		ns = -1
	}
	return ns, whole
}

// check looks at an envelope that is valid JSON.
func (l *line) check() {
	if l.is("CONTROL_MESSAGE") {
		l.code = 0
		return
	}
	switch {
	case !l.is("DATA_MESSAGE"):
		l.wrong(codeType, "messageType")
	case l.group.raw == nil || l.stream.raw == nil:
		l.wrong(codeSource, "logGroup or logStream")
	case !l.listed:
		l.wrong(codeList, "logEvents")
	}
}

var _ = wt.RegisterBatch(&envelope{})

func main() {}
