package journald

import (
	"slices"
	"strconv"
	"unicode/utf8"

	"github.com/valyala/fastjson"

	"github.com/wasmtail/wasmtail/agent/intake"
	"github.com/wasmtail/wasmtail/internal/record"
)

// mapped are the fields of the journal that records have under names of their own:
// those that the syslog input has. Of two with one name, the first that is there counts.
var mapped = []struct{ journal, name string }{
	{"MESSAGE", "message"},
	{"PRIORITY", "severity"},
	{"SYSLOG_FACILITY", "facility"},
	{"_SYSTEMD_UNIT", "unit"},
	{"SYSLOG_IDENTIFIER", "program"},
	{"_COMM", "program"},
	{"_PID", "pid"},
	{"SYSLOG_PID", "pid"},
	{"_HOSTNAME", "hostname"},
}

func mappedNames() (names []string) {
	for _, m := range mapped {
		names = append(names, m.journal)
	}
	return names
}

// The names of severities and facilities, by their numbers.
var (
	severities = []string{"emerg", "alert", "crit", "err", "warning", "notice", "info", "debug"}
	facilities = []string{
		"kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron", "authpriv", "ftp",
		"ntp", "audit", "alert", "clock", "local0", "local1", "local2", "local3", "local4", "local5", "local6", "local7",
	}
	errLine = []byte("it is no entry of a journal in JSON")
)

// reader makes records of entries as journalctl writes them. It belongs to one
// goroutine.
type reader struct {
	json   fastjson.Parser
	fields []string // wanted besides the mapped ones
	all    bool
	text   []byte
	found  []field
	cursor []byte // of the last entry
}

// field is a field that was found; its value lies in reader.text.
type field struct {
	name       string
	start, end int
}

// add adds the record of a line to a batch. A line that is no entry is kept whole, and
// its record has failed.
func (e *reader) add(b *intake.Batcher, line []byte) {
	v, err := e.json.ParseBytes(line)
	if err != nil || v.Type() != fastjson.TypeObject || len(v.GetStringBytes("__CURSOR")) == 0 {
		r := b.Add(line)
		b.Batch().Fail(r, -1, errLine)
		return
	}
	e.cursor = append(e.cursor[:0], v.GetStringBytes("__CURSOR")...)
	e.text, e.found = e.text[:0], e.found[:0]
	for _, m := range mapped {
		if !slices.ContainsFunc(e.found, func(f field) bool { return f.name == m.name }) {
			e.take(m.name, v.Get(m.journal))
		}
	}
	for _, name := range e.fields {
		e.take(name, v.Get(name))
	}
	if e.all {
		v.GetObject().Visit(func(key []byte, value *fastjson.Value) {
			name := string(key)
			if !slices.ContainsFunc(mapped, func(m struct{ journal, name string }) bool { return m.journal == name }) {
				e.take(name, value)
			}
		})
	}
	e.write(b)
	if micros, err := strconv.ParseInt(string(v.GetStringBytes("__REALTIME_TIMESTAMP")), 10, 64); err == nil && micros > 0 && micros < 1<<53 {
		e.last(b).Time = micros * 1000
	}
}

// write makes the record of what was found.
func (e *reader) write(b *intake.Batcher) {
	var message []byte
	if len(e.found) > 0 && e.found[0].name == "message" {
		message = e.text[e.found[0].start:e.found[0].end]
	}
	r := b.Add(message)
	batch := b.Batch()
	if !utf8.Valid(e.text) {
		r.Marks |= record.InvalidUTF8
	}
	text := batch.Copy(e.text)
	r.Fields = batch.AllocFields(len(e.found))
	for _, f := range e.found {
		r.Fields = append(r.Fields, record.Field{Name: batch.Copy([]byte(f.name)), Value: text[f.start:f.end:f.end]})
	}
}

func (e *reader) last(b *intake.Batcher) *record.Record {
	records := b.Batch().Records
	return &records[len(records)-1]
}

// take notes a field, if it is there.
func (e *reader) take(name string, v *fastjson.Value) {
	if v == nil || v.Type() == fastjson.TypeNull {
		return
	}
	start := len(e.text)
	e.text = appendValue(e.text, v)
	switch name {
	case "severity":
		e.text = named(e.text, start, severities)
	case "facility":
		e.text = named(e.text, start, facilities)
	}
	e.found = append(e.found, field{name, start, len(e.text)})
}

// named puts the name in the place of the number that stands behind start.
func named(text []byte, start int, names []string) []byte {
	n, err := strconv.Atoi(string(text[start:]))
	if err != nil || n < 0 || n >= len(names) {
		return text
	}
	return append(text[:start], names[n]...)
}

// appendValue appends a value: a text; an array of numbers, which are the bytes of
// what is no text; or an array of those, of a field that an entry has several times:
// they are joined by line feeds.
func appendValue(dst []byte, v *fastjson.Value) []byte {
	switch v.Type() {
	case fastjson.TypeString:
		return append(dst, v.GetStringBytes()...)
	case fastjson.TypeArray:
		for i, one := range v.GetArray() {
			if one.Type() == fastjson.TypeNumber {
				dst = append(dst, byte(one.GetUint()))
				continue
			}
			if i > 0 {
				dst = append(dst, '\n')
			}
			dst = appendValue(dst, one)
		}
		return dst
	}
	return v.MarshalTo(dst)
}
