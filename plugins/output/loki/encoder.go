package loki

import (
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/wasmtail/wasmtail/agent/dispatch"
	"github.com/wasmtail/wasmtail/agent/pipeline"
	"github.com/wasmtail/wasmtail/internal/jsonline"
	"github.com/wasmtail/wasmtail/internal/placeholder"
	"github.com/wasmtail/wasmtail/internal/protofield"
	"github.com/wasmtail/wasmtail/internal/record"
)

// Field numbers of Loki's push.proto.
const (
	pushStreams   = 1
	streamLabels  = 1
	streamEntries = 2
	entryTime     = 1
	entryLine     = 2
	entryMetadata = 3
	pairName      = 1
	pairValue     = 2
	timeSeconds   = 1
	timeNanos     = 2
)

// labelBytesMax bounds the values of fields that become labels. Loki takes 2 KiB.
const labelBytesMax = 1 << 10

// streams are the combinations of labels that an output has made. Safe for
// concurrent use.
type streams struct {
	mu    sync.Mutex
	known map[string]bool
	max   int
}

// admit is false for a new combination when there are as many as there may be.
func (s *streams) admit(labels []byte) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.known[string(labels)] {
		return true
	}
	if len(s.known) >= s.max {
		return false
	}
	s.known[string(labels)] = true
	return true
}

// slot takes the entries of one stream of a batch.
type slot struct {
	labels  []byte
	entries []byte
}

// writer writes the push requests of one lane.
type writer struct {
	output  *Output
	lines   *jsonline.Writer
	fixed   []byte // the labels of all records, without the brace at the end
	common  *slot  // has them alone
	slots   map[string]*slot
	used    []*slot // by this batch
	path    []byte  // the pair of the file's path
	labels  []byte
	entry   []byte
	pair    []byte
	line    []byte
	metaOff bool
}

// slotBytesKept bounds what a stream holds on to after a huge batch, and slotsKept
// the streams of one lane.
const (
	slotBytesKept = 1 << 20
	slotsKept     = 1000
)

// NewEncoder returns an encoder for one lane.
func (o *Output) NewEncoder(pipelineName, logstore string) pipeline.Encoder {
	values := placeholder.Values{Logstore: logstore, Pipeline: pipelineName, Host: o.env.Hostname}
	w := &writer{output: o, lines: jsonline.New(jsonline.Names{}, jsonline.Source{}), slots: map[string]*slot{}, metaOff: !o.config.StructuredMetadata}
	for i, name := range slices.Sorted(maps.Keys(o.labels)) {
		sep := byte(',')
		if i == 0 {
			sep = '{'
		}
		w.fixed = appendLabel(append(w.fixed, sep), name, []byte(o.labels[name].Fill(values, time.Time{})))
	}
	w.common = &slot{labels: append(slices.Clone(w.fixed), '}')}
	return &dispatch.Encoder{Codec: dispatch.Snappy, Agent: o.env.AgentID, Target: o.tenant.Fill(values, time.Time{}), Write: w.append}
}

// appendLabel appends name="value".
func appendLabel(dst []byte, name string, value []byte) []byte {
	dst = append(append(dst, name...), '=')
	return strconv.AppendQuote(dst, strings.ToValidUTF8(string(value), "\ufffd"))
}

// append appends the request of b.
func (w *writer) append(dst []byte, b *record.Batch) []byte {
	w.lines.Start(b)
	if w.path = w.path[:0]; b.Origin.Path != "" {
		w.path = appendPair(w.path, "filename", []byte(b.Origin.Path))
	}
	for i := range b.Records {
		w.add(&b.Records[i], b.ReadTime)
	}
	for _, s := range w.used {
		size := protofield.TextSize(streamLabels, s.labels) + len(s.entries)
		dst = protowire.AppendTag(dst, pushStreams, protowire.BytesType)
		dst = protowire.AppendVarint(dst, uint64(size))
		dst = protofield.AppendText(dst, streamLabels, s.labels)
		dst = append(dst, s.entries...)
		if s.entries = s.entries[:0]; cap(s.entries) > slotBytesKept {
			s.entries = nil
		}
	}
	w.used = w.used[:0]
	if len(w.slots) > slotsKept {
		clear(w.slots)
	}
	return dst
}

// add adds a record to its stream.
func (w *writer) add(r *record.Record, readTime int64) {
	s, labelled := w.slot(r)
	if len(s.entries) == 0 {
		w.used = append(w.used, s)
	}
	at := r.Time
	if at == 0 {
		at = readTime
	}
	stamp := time.Unix(0, at)
	w.pair = protofield.AppendVarint(w.pair[:0], timeSeconds, uint64(stamp.Unix()))
	w.pair = protofield.AppendVarint(w.pair, timeNanos, uint64(stamp.Nanosecond()))
	w.entry = protofield.AppendBytes(w.entry[:0], entryTime, w.pair)
	w.entry = protofield.AppendText(w.entry, entryLine, w.text(r))
	if !w.metaOff {
		w.addMetadata(r, labelled)
	}
	s.entries = protofield.AppendBytes(s.entries, streamEntries, w.entry)
}

// text is the line of a record's entry, valid until the next call.
func (w *writer) text(r *record.Record) []byte {
	switch {
	case w.output.config.Line == "raw":
		return r.Raw
	case w.output.config.Line == "auto" && len(r.Fields) == 1 && string(r.Fields[0].Name) == record.Content:
		return r.Fields[0].Value
	}
	w.line = w.lines.Append(w.line[:0], r)
	return w.line
}

// addMetadata adds structured metadata to the entry.
func (w *writer) addMetadata(r *record.Record, labelled bool) {
	add := func(name string, value []byte) {
		if len(value) > 0 { // Loki takes no empty ones
			w.pair = appendPair(w.pair[:0], name, value)
			w.entry = protofield.AppendBytes(w.entry, entryMetadata, w.pair)
		}
	}
	if len(w.path) > 0 {
		w.entry = protofield.AppendBytes(w.entry, entryMetadata, w.path)
	}
	if r.Marks != 0 {
		w.line = r.Marks.AppendText(w.line[:0])
		add("marks", w.line)
	}
	for _, f := range w.output.metadataFields {
		value, _ := r.Field(f.field)
		add(f.label, value)
	}
	if labelled {
		return
	}
	for _, f := range w.output.labelFields {
		value, _ := r.Field(f.field)
		add(f.label, value)
	}
}

// appendPair appends the fields of a pair.
func appendPair(dst []byte, name string, value []byte) []byte {
	return protofield.AppendText(protofield.AppendText(dst, pairName, []byte(name)), pairValue, value)
}

// slot is that of a record's stream, and whether the values of its label fields are
// in the labels.
func (w *writer) slot(r *record.Record) (s *slot, labelled bool) {
	if len(w.output.labelFields) == 0 {
		return w.common, true
	}
	w.labels = append(w.labels[:0], w.fixed...)
	for _, f := range w.output.labelFields {
		value, at := r.Field(f.field)
		if at < 0 || len(value) == 0 {
			continue
		}
		if len(value) > labelBytesMax {
			return w.common, false
		}
		w.labels = appendFast(append(w.labels, ','), f.label, value)
	}
	w.labels = append(w.labels, '}')
	if s := w.slots[string(w.labels)]; s != nil {
		return s, true
	}
	if len(w.labels) == len(w.common.labels) {
		return w.common, true
	}
	if !w.output.streams.admit(w.labels) {
		return w.common, false
	}
	s = &slot{labels: slices.Clone(w.labels)}
	w.slots[string(w.labels)] = s
	return s, true
}

// appendFast is appendLabel, without an allocation for the values that labels have.
func appendFast(dst []byte, name string, value []byte) []byte {
	for _, c := range value {
		if c < ' ' || c >= 0x7f || c == '"' || c == '\\' {
			return appendLabel(dst, name, value)
		}
	}
	dst = append(append(dst, name...), '=', '"')
	return append(append(dst, value...), '"')
}
