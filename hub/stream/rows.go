package stream

import (
	"bytes"
	"strconv"
	"time"
	"unsafe"

	"github.com/wasmtail/wasmtail/hub/store"
	"github.com/wasmtail/wasmtail/internal/loggroup"
	"github.com/wasmtail/wasmtail/internal/record"
)

// Names of the fields that the hub adds to a record.
const (
	FieldLogstore   = "_logstore"
	FieldMsg        = "_msg"
	FieldTime       = "_time"
	FieldGeneration = "__wt_generation__"
	FieldOffset     = "__wt_offset__"
	// FieldSeq is the number of the message in the stream that brought the
	// record. It tells the records of one batch from those of any other.
	FieldSeq    = "__wt_seq__"
	FieldTopic  = "__topic__"
	FieldSource = "__source__"
	// FieldMoved is there when _msg is the record's field of that name, which is
	// not stored a second time.
	FieldMoved = "__wt_msg__"
	// FieldEventTime is the time of a record that lies outside of what the store
	// keeps; such a record is filed under the time it arrived.
	FieldEventTime = "__event_time__"
	// tagPrefix marks other tags of a group.
	tagPrefix = "__tag__:"
)

// cutSuffix ends a value that was cut to what the store takes.
const cutSuffix = "…[cut]"

// rowBuilder turns the logs of a group into rows. One goroutine.
type rowBuilder struct {
	rows      *store.Rows
	retention time.Duration

	fields []store.Field
	stream int // the first fields[:stream] name the stream
	fixed  int // fields[:fixed] hold for the whole group
	msg    []byte
	num    []byte

	// minTime and maxTime of the rows added since the last reset.
	minTime, maxTime int64
	bytes            int64
}

// begin prepares the fields that hold for all records of a group.
func (w *rowBuilder) begin(id *Identity, g *loggroup.Group, seq uint64) {
	w.fields = w.fields[:0]
	w.add(FieldLogstore, id.Logstore)
	w.add(loggroup.TagHostname, id.Hostname)
	w.add(loggroup.TagPath, id.Path)
	w.stream = len(w.fields)
	w.add(FieldTopic, string(g.Topic))
	w.add(FieldSource, string(g.Source))
	w.add(FieldGeneration, id.Generation)
	w.add(FieldSeq, strconv.FormatUint(seq, 10))
	for i := range g.Tags {
		if k := string(g.Tags[i].Key); !ownTag(k) {
			w.addUnique(cutName(tagPrefix+k), string(g.Tags[i].Value))
		}
	}
	w.fixed = len(w.fields)
}

// ownTag reports whether a tag is one of those that become fields of the hub's.
func ownTag(k string) bool {
	switch k {
	case loggroup.TagHostname, loggroup.TagPath, loggroup.TagAgent, loggroup.TagPipeline, loggroup.TagGeneration,
		loggroup.TagRange, loggroup.TagOffsets, loggroup.TagEnds, loggroup.TagCounts, loggroup.TagRouted:
		return true
	}
	return false
}

func (w *rowBuilder) add(name, value string) {
	if value != "" {
		w.fields = append(w.fields, store.Field{Name: name, Value: value})
	}
}

// addUnique adds a field under a name that no other has.
func (w *rowBuilder) addUnique(name, value string) {
	if value == "" {
		return
	}
	unique := name
	for n := 2; w.has(unique); n++ {
		suffix := "__" + strconv.Itoa(n)
		unique = name[:min(len(name), store.NameBytesMax-len(suffix))] + suffix
	}
	w.fields = append(w.fields, store.Field{Name: unique, Value: value})
}

func (w *rowBuilder) has(name string) bool {
	for i := range w.fields {
		if w.fields[i].Name == name {
			return true
		}
	}
	return false
}

// reserved reports whether a key of a record would pass for one of the hub's
// own fields.
func reserved(key string) bool {
	if key == "" {
		return true
	}
	if key[0] != '_' {
		return false
	}
	switch key {
	case FieldLogstore, FieldMsg, FieldTime, "_stream", "_stream_id", FieldTopic, FieldSource, FieldEventTime,
		loggroup.TagHostname, loggroup.TagPath:
		return true
	}
	return len(key) >= 5 && key[:5] == "__wt_"
}

// cutName bounds a name.
func cutName(name string) string { return name[:min(len(name), store.NameBytesMax)] }

// log adds one log. offset is -1 if it is not known.
func (w *rowBuilder) log(id *Identity, l *loggroup.Log, offset int64, at time.Time) {
	w.fields = w.fields[:w.fixed]
	if offset >= 0 {
		w.num = strconv.AppendInt(w.num[:0], offset, 10)
		w.add(FieldOffset, lent(w.num))
	}
	when := w.when(l, at)
	moved := w.contents(l)
	first := len(w.fields)
	switch {
	case moved != nil:
		w.add(FieldMsg, lent(moved))
		w.add(FieldMoved, record.Content)
	default:
		w.message(l)
	}
	w.fit(first)
	size := int64(0)
	for i := w.fixed; i < len(w.fields); i++ {
		size += int64(len(w.fields[i].Name) + len(w.fields[i].Value))
	}
	w.bytes += size
	w.minTime, w.maxTime = min(w.minTime, when), max(w.maxTime, when)
	w.rows.Add(id.Project, when, w.fields[:w.stream], w.fields)
}

// when returns the time to file a log under.
func (w *rowBuilder) when(l *loggroup.Log, at time.Time) int64 {
	t := int64(l.Time)*int64(time.Second) + int64(l.TimeNS)
	now := time.Now()
	if inside(t, now, w.retention) {
		return t
	}
	if l.Time != 0 {
		w.add(FieldEventTime, time.Unix(0, t).UTC().Format(time.RFC3339Nano))
	}
	if t = at.UnixNano(); inside(t, now, w.retention) {
		return t
	}
	return now.UnixNano()
}

// inside reports whether the store keeps a record of time t. It leaves an hour
// to the edge of the retention, so that the clock may go on before the write.
func inside(t int64, now time.Time, retention time.Duration) bool {
	return t >= now.Add(time.Hour-retention).UnixNano() && t <= now.Add(store.FutureMax).UnixNano()
}

// contents adds the record's own fields, and returns the value of content
// instead of adding it: it becomes the message.
func (w *rowBuilder) contents(l *loggroup.Log) (moved []byte) {
	for i := range l.Contents {
		c := &l.Contents[i]
		key := lent(c.Key)
		switch {
		case len(c.Value) == 0:
			continue
		case key == record.Content && moved == nil:
			moved = c.Value
			continue
		case len(w.fields) >= store.FieldsMax-8:
			w.more(l.Contents[i:])
			return moved
		case reserved(key):
			key = "log." + key
		}
		w.addUnique(cutName(key), lent(c.Value))
	}
	return moved
}

// more folds the fields beyond the store's limit into one.
func (w *rowBuilder) more(rest []loggroup.Pair) {
	var text []byte
	for i := range rest {
		text = appendLogfmt(text, rest[i].Key, rest[i].Value)
	}
	w.addUnique("__more__", string(text))
}

// messageKeys hold the message of a record without content, in this order.
var messageKeys = [...]string{"message", "msg", "log", record.RawLog}

// message adds the field that bare words are searched in.
func (w *rowBuilder) message(l *loggroup.Log) {
	for _, key := range messageKeys {
		for i := range l.Contents {
			if string(l.Contents[i].Key) == key && len(l.Contents[i].Value) > 0 {
				w.add(FieldMsg, lent(l.Contents[i].Value))
				return
			}
		}
	}
	w.msg = w.msg[:0]
	for i := range l.Contents {
		w.msg = appendLogfmt(w.msg, l.Contents[i].Key, l.Contents[i].Value)
	}
	w.add(FieldMsg, lent(w.msg))
}

// appendLogfmt appends key=value, quoted where needed.
func appendLogfmt(dst, key, value []byte) []byte {
	if len(dst) > 0 {
		dst = append(dst, ' ')
	}
	dst = append(append(dst, key...), '=')
	if len(value) > 0 && !bytes.ContainsAny(value, " \t\r\n\"=") {
		return append(dst, value...)
	}
	return strconv.AppendQuote(dst, lent(value))
}

// fit cuts a row that is larger than the store takes: first the message, if it
// repeats other fields, then the longest values. Such a row says so in its
// marks.
func (w *rowBuilder) fit(message int) {
	size := 0
	for i := range w.fields {
		size += len(w.fields[i].Name) + len(w.fields[i].Value)
	}
	if size <= store.RowBytesMax {
		return
	}
	if message < len(w.fields) && w.fields[len(w.fields)-1].Name != FieldMoved {
		size -= len(w.fields[message].Name) + len(w.fields[message].Value)
		w.fields = w.fields[:message]
	}
	for size > store.RowBytesMax {
		longest := 0
		for i := range w.fields {
			if len(w.fields[i].Value) > len(w.fields[longest].Value) {
				longest = i
			}
		}
		f := &w.fields[longest]
		keep := max(len(f.Value)/2, len(f.Value)-(size-store.RowBytesMax)-len(cutSuffix)-64)
		size -= len(f.Value)
		f.Value = f.Value[:keep] + cutSuffix
		size += len(f.Value)
	}
	for i := w.fixed; i < len(w.fields); i++ {
		if w.fields[i].Name == record.Marks {
			w.fields[i].Value += ",cut"
			return
		}
	}
	w.add(record.Marks, "cut")
}

// lent is p as a string, without a copy, for as long as p is not changed: the
// rows are written before that.
func lent(p []byte) string {
	return unsafe.String(unsafe.SliceData(p), len(p)) //nolint:gosec // see above
}
