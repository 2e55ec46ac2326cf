package syslog

import (
	"context"
	"errors"
	"time"

	"github.com/wasmtail/wasmtail/agent/intake"
	"github.com/wasmtail/wasmtail/internal/record"
)

// desk makes records of messages, for the connections that share a lane. Whoever has
// its turn may use it; a turn lasts as long as the pipeline has no room.
type desk struct {
	batcher *intake.Batcher
	parser  parser
	text    []byte
	turn    chan struct{} // holds 1: free
	waits   chan struct{} // holds 1: a record waits for others
	armed   bool          // waits was told of those that wait
}

func newDesk(s *intake.Stream, lane uint64, zone *time.Location) *desk {
	d := &desk{batcher: s.Batcher(lane), parser: parser{zone: zone}, turn: make(chan struct{}, 1), waits: make(chan struct{}, 1)}
	d.turn <- struct{}{}
	return d
}

// take takes the turn, and is false if ctx has ended before.
func (d *desk) take(ctx context.Context) bool {
	select {
	case <-d.turn:
		d.parser.now = time.Now().UnixNano()
		return true
	case <-ctx.Done():
		return false
	}
}

// leave gives the turn back.
func (d *desk) leave() {
	if d.batcher.Records() > 0 && !d.armed {
		d.armed = true
		d.waits <- struct{}{} // it has room: armed says so
	}
	d.turn <- struct{}{}
}

// flush gives what waits to the pipeline. The caller has the turn.
func (d *desk) flush(ctx context.Context) error { return d.batcher.Flush(ctx, nil, nil) }

// linger gives records on that have waited long enough, until soft ends.
func (d *desk) linger(soft, work context.Context) {
	for {
		select {
		case <-d.waits:
		case <-soft.Done():
			return
		}
		if !d.take(work) {
			return
		}
		d.armed = false
		due := d.batcher.Deadline()
		d.turn <- struct{}{}
		if due.IsZero() || !wait(soft, time.Until(due)) || !d.take(work) {
			continue
		}
		if now := d.batcher.Deadline(); !now.IsZero() && !now.After(time.Now()) {
			_ = d.flush(work) // it fails when work ends: then close counts what waits
		}
		d.leave()
	}
}

// close gives on what waits, and returns how many records it could not.
func (d *desk) close(work context.Context) int {
	if !d.take(work) {
		<-d.turn // nobody uses it any more
	}
	if d.flush(work) == nil {
		return 0
	}
	return d.batcher.Drop()
}

// wait waits for a time, and is false if ctx has ended before.
func wait(ctx context.Context, t time.Duration) bool {
	timer := time.NewTimer(t)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// sender is who has sent a message, to be written to its records.
type sender struct {
	address []byte // as text, nil if it has none
	batch   *record.Batch
	copied  []byte // of address, in the arena of batch
}

// forget says that the batch may be another one now.
func (s *sender) forget() { s.batch, s.copied = nil, nil }

// add makes a record of a frame. The caller has the turn.
func (d *desk) add(f frame, from *sender, marks record.Mark) {
	r := d.batcher.Add(f.bytes)
	b := d.batcher.Batch()
	if from.batch != b {
		from.batch, from.copied = b, nil
		if from.address != nil {
			from.copied = b.Copy(from.address)
		}
	}
	r.Marks |= marks
	if f.split {
		r.Marks |= record.Split
	}
	if f.more { // the message began in another record
		d.only(b, r, from)
		return
	}
	if reason := d.parser.parse(r.Raw); reason != nil {
		d.only(b, r, from)
		b.Fail(r, -1, reason)
		return
	}
	d.fields(b, r, from)
}

// only gives a record its content and its peer.
func (d *desk) only(b *record.Batch, r *record.Record, from *sender) {
	if from.copied != nil {
		r.Fields = append(append(b.AllocFields(2), r.Fields...), record.Field{Name: peerName, Value: from.copied})
	}
}

// fields gives a record the fields of the message that was parsed.
func (d *desk) fields(b *record.Batch, r *record.Record, from *sender) {
	m := &d.parser.message
	r.Time = m.time
	fields := b.AllocFields(fieldsMost + len(m.data))
	if m.stamp != nil {
		fields = append(fields, record.Field{Name: timeName, Value: m.stamp})
	}
	fields = append(fields,
		record.Field{Name: priorityName, Value: m.pri},
		record.Field{Name: facilityName, Value: facilities[m.priority>>3]},
		record.Field{Name: severityName, Value: severities[m.priority&7]})
	for _, f := range [...]record.Field{
		{Name: hostnameName, Value: m.hostname},
		{Name: programName, Value: m.program},
		{Name: pidName, Value: m.pid},
		{Name: msgidName, Value: m.msgid},
	} {
		if len(f.Value) > 0 {
			fields = append(fields, f)
		}
	}
	for i := range m.data {
		fields = append(fields, d.dataField(b, &m.data[i]))
	}
	text := m.text
	if text == nil {
		text = r.Raw[len(r.Raw):]
	}
	fields = append(fields, record.Field{Name: messageName, Value: text})
	if from.copied != nil {
		fields = append(fields, record.Field{Name: peerName, Value: from.copied})
	}
	r.Fields = fields
}

// dataField is the field of a parameter: sd.ID.NAME, or sd.ID for an element that has
// none.
func (d *desk) dataField(b *record.Batch, p *param) record.Field {
	d.text = append(append(d.text[:0], "sd."...), p.id...)
	if len(p.name) > 0 {
		d.text = append(append(d.text, '.'), p.name...)
	}
	f := record.Field{Name: b.Copy(d.text), Value: p.value}
	if p.escaped {
		d.text = appendUnescaped(d.text[:0], p.value)
		f.Value = b.Copy(d.text)
	}
	return f
}

// fieldsMost is how many fields a record has without structured data.
const fieldsMost = 10

// The names of fields. They live longer than any batch, and are never changed.
var (
	timeName     = []byte("time")
	priorityName = []byte("priority")
	facilityName = []byte("facility")
	severityName = []byte("severity")
	hostnameName = []byte("hostname")
	programName  = []byte("program")
	pidName      = []byte("pid")
	msgidName    = []byte("msgid")
	messageName  = []byte("message")
	peerName     = []byte("peer")
)

// severities and facilities have names where RFC 5424 has numbers: those of syslog(3),
// and for 12 to 15, which that leaves out, the RFC's.
var (
	severities = [8][]byte{
		[]byte("emerg"), []byte("alert"), []byte("crit"), []byte("err"),
		[]byte("warning"), []byte("notice"), []byte("info"), []byte("debug"),
	}
	facilities = [24][]byte{
		[]byte("kern"), []byte("user"), []byte("mail"), []byte("daemon"), []byte("auth"), []byte("syslog"),
		[]byte("lpr"), []byte("news"), []byte("uucp"), []byte("cron"), []byte("authpriv"), []byte("ftp"),
		[]byte("ntp"), []byte("audit"), []byte("alert"), []byte("clock"), []byte("local0"), []byte("local1"),
		[]byte("local2"), []byte("local3"), []byte("local4"), []byte("local5"), []byte("local6"), []byte("local7"),
	}
)

// isTimeout is true for a read that has waited long enough.
func isTimeout(err error) bool {
	var t interface{ Timeout() bool }
	return errors.As(err, &t) && t.Timeout()
}
