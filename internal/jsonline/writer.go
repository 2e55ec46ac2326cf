// Package jsonline writes a record as one JSON object on a line: its time, its
// fields in their order, and what holds for the whole batch, under the names that an
// output wants.
//
// It promises valid JSON in valid UTF-8 without line breaks, whatever the record
// holds: bytes that are no UTF-8 become U+FFFD. No field of a record can take the
// place of what the agent says: a field whose name is taken gets a prefix. One that
// has the name of a field before it gets a number, since receivers refuse objects
// with a key that stands twice.
//
// It starts no goroutines. A Writer belongs to one lane; it allocates nothing for a
// record.
package jsonline

import (
	"strconv"
	"time"

	"github.com/wasmtail/wasmtail/internal/record"
)

// Names are the keys of an object. What has no name is left out.
type Names struct {
	// Time is when the event was, or was read if that is not known; Seen is when
	// it was read.
	Time, Seen string
	// Message, Original and Error take the place of the fields record.Content,
	// record.RawLog and record.Error; empty leaves their names.
	Message, Original, Error string
	// Marks are the names of a record's marks, if it has any.
	Marks string
	// Path and Offset say where the record was, ID names it.
	Path, Offset, ID string
	Host, Pipeline, Logstore,
	Generation string
	// Prefix goes in front of the name of a field that is one of those above, is in
	// Taken, or begins with TakenPrefix.
	Prefix, TakenPrefix string
	Taken               []string
	// Format of Time and Seen.
	Format TimeFormat
}

// TimeFormat is how times are written.
type TimeFormat string

// The formats: texts such as 2026-01-02T03:04:05.000000006Z, or numbers since 1970
// UTC.
const (
	RFC3339    TimeFormat = "rfc3339"
	Unix       TimeFormat = "unix"
	UnixMillis TimeFormat = "unix_ms"
	UnixNanos  TimeFormat = "unix_ns"
)

// Source is what is known before there is a batch.
type Source struct{ Agent, Host, Pipeline, Logstore string }

// Stream is the name of a source's records for record.Identity.
func (s *Source) Stream() string { return s.Pipeline + "\x00" + s.Logstore }

// Writer writes the objects of one lane. Not safe for concurrent use.
type Writer struct {
	n      Names
	source Source
	id     record.Identity
	taken  map[string]bool
	begins [256]bool // the first bytes of names that are taken
	// Texts that stand in each object, ready to be copied.
	time, marks, offset, idKey []byte
	tail                       []byte // the end of each object of a batch
	readTime                   int64
}

// New returns a writer.
func New(n Names, s Source) *Writer {
	w := &Writer{n: n, source: s, taken: map[string]bool{}, id: record.Identity{Agent: s.Agent, Stream: s.Stream()}}
	for _, name := range append([]string{
		n.Time, n.Seen, n.Marks, n.Path, n.Offset, n.ID, n.Host, n.Pipeline, n.Logstore, n.Generation, n.Original, n.Error,
	}, n.Taken...) {
		w.take(name)
	}
	if n.TakenPrefix != "" {
		w.begins[n.TakenPrefix[0]] = true
	}
	if n.Message != "" {
		w.begins[n.Message[0]] = true
	}
	key := func(name string) []byte {
		if name == "" {
			return nil
		}
		return append(AppendEscaped([]byte(`"`), []byte(name)), `":`...)
	}
	w.time, w.marks, w.offset, w.idKey = key(n.Time), key(n.Marks), key(n.Offset), key(n.ID)
	return w
}

func (w *Writer) take(name string) {
	if name != "" {
		w.taken[name] = true
		w.begins[name[0]] = true
	}
}

// Start must be called for each batch, before the first of its records.
func (w *Writer) Start(b *record.Batch) {
	w.readTime = b.ReadTime
	w.id.Start(b)
	w.tail = w.tail[:0]
	for _, pair := range [...]struct{ key, value string }{
		{w.n.Path, b.Origin.Path},
		{w.n.Host, w.source.Host},
		{w.n.Pipeline, w.source.Pipeline},
		{w.n.Logstore, w.source.Logstore},
		{w.n.Generation, b.Origin.Generation},
	} {
		if pair.key != "" && pair.value != "" {
			w.tail = appendPair(w.tail, []byte(pair.key), []byte(pair.value))
		}
	}
	if w.n.Seen != "" {
		w.tail = append(AppendEscaped(append(w.tail, `,"`...), []byte(w.n.Seen)), `":`...)
		w.tail = AppendTime(w.tail, b.ReadTime, w.n.Format)
	}
	w.tail = append(w.tail, '}')
}

// Append appends the object of the next record of the batch, without a line break.
func (w *Writer) Append(dst []byte, r *record.Record) []byte {
	dst = append(dst, '{')
	start := len(dst)
	if w.time != nil {
		t := r.Time
		if t == 0 {
			t = w.readTime
		}
		dst = AppendTime(append(append(dst, ','), w.time...), t, w.n.Format)
	}
	if w.offset != nil {
		dst = strconv.AppendInt(append(append(dst, ','), w.offset...), r.Offset, 10)
	}
	if w.idKey != nil {
		dst = append(append(append(dst, ','), w.idKey...), '"')
		dst = append(w.id.AppendID(dst, r), '"')
	}
	dst = w.appendFields(dst, r)
	if r.Marks != 0 && w.marks != nil {
		dst = append(append(append(dst, ','), w.marks...), '"')
		dst = append(r.Marks.AppendText(dst), '"')
	}
	dst = append(dst, w.tail...)
	if dst[start] == ',' { // each pair has its comma in front
		copy(dst[start:], dst[start+1:])
		dst = dst[:len(dst)-1]
	}
	return dst
}

// appendFields appends the fields of r.
func (w *Writer) appendFields(dst []byte, r *record.Record) []byte {
	var repeats record.Repeats
	for i := range r.Fields {
		f := &r.Fields[i]
		name := f.Name
		dst = append(dst, `,"`...)
		switch {
		case len(name) == 0:
		case w.n.Message != "" && string(name) == record.Content:
			dst = append(dst, w.n.Message...)
		case w.n.Original != "" && string(name) == record.RawLog:
			dst = append(dst, w.n.Original...)
		case w.n.Error != "" && string(name) == record.Error:
			dst = append(dst, w.n.Error...)
		default:
			if w.begins[name[0]] && w.isTaken(name, r) {
				dst = append(dst, w.n.Prefix...)
			}
			dst = AppendEscaped(dst, name)
		}
		if n := repeats.Before(r, i); n > 0 {
			dst = strconv.AppendInt(append(dst, '_'), int64(n)+1, 10)
		}
		dst = append(dst, `":"`...)
		dst = AppendEscaped(dst, f.Value)
		dst = append(dst, '"')
	}
	return dst
}

// isTaken is true for names that a line must not forge.
func (w *Writer) isTaken(name []byte, r *record.Record) bool {
	if w.taken[string(name)] {
		return true
	}
	if p := w.n.TakenPrefix; p != "" && len(name) > len(p) && string(name[:len(p)]) == p {
		return true
	}
	if w.n.Message != "" && string(name) == w.n.Message {
		_, i := r.Field(record.Content)
		return i >= 0
	}
	return false
}

func appendPair(dst, key, value []byte) []byte {
	dst = AppendEscaped(append(dst, `,"`...), key)
	dst = AppendEscaped(append(dst, `":"`...), value)
	return append(dst, '"')
}

// AppendTime appends nanoseconds since 1970 UTC as a JSON value.
func AppendTime(dst []byte, t int64, f TimeFormat) []byte {
	switch f {
	case Unix:
		sec, frac := t/1e9, t%1e9
		if frac < 0 {
			sec, frac = sec-1, frac+1e9
		}
		if sec < 0 { // a fraction counts away from zero, and the whole toward it
			return strconv.AppendFloat(dst, float64(t)/1e9, 'f', -1, 64)
		}
		dst = strconv.AppendInt(dst, sec, 10)
		if frac == 0 {
			return dst
		}
		dst = append(dst, '.')
		for unit := int64(1e8); frac > 0; unit /= 10 {
			dst = append(dst, '0'+byte(frac/unit))
			frac %= unit
		}
		return dst
	case UnixMillis:
		return strconv.AppendInt(dst, t/1e6, 10)
	case UnixNanos:
		return strconv.AppendInt(dst, t, 10)
	}
	dst = append(dst, '"')
	dst = time.Unix(0, t).UTC().AppendFormat(dst, time.RFC3339Nano)
	return append(dst, '"')
}
