package otlp

import (
	"maps"
	"path"
	"slices"
	"strconv"
	"time"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/wasmtail/wasmtail/agent/dispatch"
	"github.com/wasmtail/wasmtail/agent/pipeline"
	"github.com/wasmtail/wasmtail/internal/jsonline"
	"github.com/wasmtail/wasmtail/internal/placeholder"
	"github.com/wasmtail/wasmtail/internal/protofield"
	"github.com/wasmtail/wasmtail/internal/record"
)

// Field numbers of opentelemetry/proto/logs/v1 and common/v1.
const (
	requestResourceLogs = 1
	resourceLogsHead    = 1
	resourceLogsScopes  = 2
	resourceLogsSchema  = 3
	resourceAttributes  = 1
	scopeLogsHead       = 1
	scopeLogsRecords    = 2
	scopeLogsSchema     = 3
	scopeName           = 1
	scopeVersion        = 2

	logTime         = 1
	logSeverity     = 2
	logSeverityText = 3
	logBody         = 5
	logAttributes   = 6
	logFlags        = 8
	logTraceID      = 9
	logSpanID       = 10
	logObserved     = 11

	anyString  = 1
	anyInt     = 3
	anyMap     = 6
	mapValues  = 1
	pairKey    = 1
	pairValue  = 2
	scopeOfLog = "github.com/wasmtail/wasmtail/plugins/output/otlp"
)

// schemaURL pins what the attributes mean.
const schemaURL = "https://opentelemetry.io/schemas/1.37.0"

// Attributes of records. The names are those of the semantic conventions, or in our
// own namespace.
const (
	attributeUID    = "log.record.uid"
	attributePath   = "log.file.path"
	attributeName   = "log.file.name"
	attributeOffset = "wasmtail.file.offset"
	attributeMarks  = "wasmtail.marks"
	attributeError  = "wasmtail.parse.error"
)

// takenPrefix goes in front of the name of a field that has the name of one of those.
const takenPrefix = "fields."

// writer writes the export requests of one lane.
type writer struct {
	output *Output
	id     record.Identity
	head   []byte // of the ResourceLogs: all but the scopes
	scope  []byte // of the ScopeLogs: all but the records
	file   []byte // the attributes that hold for the whole batch

	records, one, list, name, value []byte
	body                            int // index of the field that is the body, or -1
	level                           int
	trace                           traceFields
}

// NewEncoder returns an encoder for one lane.
func (o *Output) NewEncoder(pipelineName, logstore string) pipeline.Encoder {
	values := placeholder.Values{Logstore: logstore, Pipeline: pipelineName, Host: o.env.Hostname}
	s := jsonline.Source{Pipeline: pipelineName, Logstore: logstore}
	w := &writer{output: o, id: record.Identity{Agent: o.env.AgentID, Stream: s.Stream()}}
	var resource []byte
	for _, pair := range [][2]string{
		{"service.name", o.service.Fill(values, time.Time{})},
		{"host.name", o.env.Hostname},
		{"wasmtail.pipeline", pipelineName},
		{"wasmtail.logstore", logstore},
	} {
		resource = appendPair(resource, resourceAttributes, []byte(pair[0]), []byte(pair[1]))
	}
	for _, name := range slices.Sorted(maps.Keys(o.resource)) {
		resource = appendPair(resource, resourceAttributes, []byte(name), []byte(o.resource[name].Fill(values, time.Time{})))
	}
	w.head = protofield.AppendBytes(nil, resourceLogsHead, resource)
	w.head = protofield.AppendText(w.head, resourceLogsSchema, []byte(schemaURL))
	scope := protofield.AppendText(nil, scopeName, []byte(scopeOfLog))
	scope = protofield.AppendText(scope, scopeVersion, []byte(o.env.Version))
	w.scope = protofield.AppendBytes(nil, scopeLogsHead, scope)
	w.scope = protofield.AppendText(w.scope, scopeLogsSchema, []byte(schemaURL))
	return &dispatch.Encoder{Codec: o.codec, Agent: o.env.AgentID, Write: w.append}
}

// recordsKept bounds what is held on to after one huge batch.
const recordsKept = 4 << 20

// append appends the request of b.
func (w *writer) append(dst []byte, b *record.Batch) []byte {
	w.id.Start(b)
	w.file = w.file[:0]
	if p := b.Origin.Path; p != "" {
		w.file = appendPair(w.file, logAttributes, []byte(attributePath), []byte(p))
		w.file = appendPair(w.file, logAttributes, []byte(attributeName), []byte(path.Base(p)))
	}
	w.records = w.records[:0]
	for i := range b.Records {
		w.encode(&b.Records[i], b.ReadTime)
		w.records = protofield.AppendBytes(w.records, scopeLogsRecords, w.one)
	}
	dst = appendRequest(dst, w.head, w.scope, w.records)
	if cap(w.records) > recordsKept {
		w.records = nil
	}
	return dst
}

// appendRequest appends a request of one resource and one scope; the three are
// fields of their messages.
func appendRequest(dst, head, scope, records []byte) []byte {
	size := len(scope) + len(records)
	dst = protowire.AppendTag(dst, requestResourceLogs, protowire.BytesType)
	dst = protowire.AppendVarint(dst, uint64(len(head)+protowire.SizeTag(resourceLogsScopes)+protowire.SizeBytes(size)))
	dst = append(dst, head...)
	dst = protowire.AppendTag(dst, resourceLogsScopes, protowire.BytesType)
	dst = protowire.AppendVarint(dst, uint64(size))
	return append(append(dst, scope...), records...)
}

// encode writes a LogRecord to w.one.
func (w *writer) encode(r *record.Record, readTime int64) {
	w.find(r)
	m := protofield.AppendFixed64(w.one[:0], logTime, uint64(r.Time))
	m = protofield.AppendFixed64(m, logObserved, uint64(readTime))
	if w.level >= 0 {
		word := r.Fields[w.level].Value
		m = protofield.AppendVarint(m, logSeverity, severity(word))
		m = protofield.AppendText(m, logSeverityText, word)
	}
	isMap := w.body < 0
	if isMap {
		w.list = w.list[:0]
	} else {
		m = appendText(m, logBody, r.Fields[w.body].Value)
	}
	var repeats record.Repeats
	for i := range r.Fields {
		n := repeats.Before(r, i)
		if i == w.body || i == w.level || w.trace.has(i) {
			continue
		}
		f := &r.Fields[i]
		if string(f.Name) == record.Error {
			m = appendPair(m, logAttributes, []byte(attributeError), f.Value)
			continue
		}
		name := w.nameOf(f.Name, n, !isMap)
		if isMap {
			w.list = appendPair(w.list, mapValues, name, f.Value)
		} else {
			m = appendPair(m, logAttributes, name, f.Value)
		}
	}
	if isMap {
		size := protowire.SizeTag(anyMap) + protowire.SizeBytes(len(w.list))
		m = protowire.AppendTag(m, logBody, protowire.BytesType)
		m = protowire.AppendVarint(m, uint64(size))
		m = protofield.AppendBytes(m, anyMap, w.list)
	}
	m = w.trace.append(m)
	m = append(m, w.file...)
	w.value = w.id.AppendID(w.value[:0], r)
	m = appendPair(m, logAttributes, []byte(attributeUID), w.value)
	m = appendNumber(m, attributeOffset, r.Offset)
	if r.Marks != 0 {
		w.value = r.Marks.AppendText(w.value[:0])
		m = appendPair(m, logAttributes, []byte(attributeMarks), w.value)
	}
	w.one = m
}

// find looks for the fields that have a place of their own in a LogRecord.
func (w *writer) find(r *record.Record) {
	w.body, w.level = -1, -1
	for _, name := range w.output.messages {
		if _, w.body = r.Field(name); w.body >= 0 {
			break
		}
	}
	if w.body < 0 && r.Marks&record.Failed != 0 {
		_, w.body = r.Field(record.RawLog)
	}
	if w.body < 0 { // a line that nobody has taken apart, or has taken something from
		_, w.body = r.Field(record.Content)
	}
	for _, name := range w.output.levels {
		if _, at := r.Field(name); at >= 0 && at != w.body && len(r.Fields[at].Value) > 0 {
			w.level = at
			break
		}
	}
	w.trace.find(r)
}

// nameOf is the key of a field that n others before it have the name of. Only
// attributes can be taken for what the agent says.
func (w *writer) nameOf(name []byte, n int, isAttribute bool) []byte {
	taken := isAttribute && isOwn(name)
	if !taken && n == 0 {
		return name
	}
	w.name = w.name[:0]
	if taken {
		w.name = append(w.name, takenPrefix...)
	}
	w.name = append(w.name, name...)
	if n > 0 {
		w.name = strconv.AppendInt(append(w.name, '_'), int64(n)+1, 10)
	}
	return w.name
}

func isOwn(name []byte) bool {
	if len(name) == 0 || name[0] != 'l' && name[0] != 'w' {
		return false
	}
	switch string(name) {
	case attributeUID, attributePath, attributeName, attributeOffset, attributeMarks, attributeError:
		return true
	}
	return false
}

// appendText appends a field that is an AnyValue of text.
func appendText(dst []byte, number protowire.Number, value []byte) []byte {
	dst = protowire.AppendTag(dst, number, protowire.BytesType)
	dst = protowire.AppendVarint(dst, uint64(protofield.TextSize(anyString, value)))
	return protofield.AppendText(dst, anyString, value)
}

// appendPair appends a field that is a KeyValue of texts.
func appendPair(dst []byte, number protowire.Number, key, value []byte) []byte {
	if utf8.Valid(key) && utf8.Valid(value) { // as nearly all are: they need not be looked at again
		inner := 1 + protowire.SizeBytes(len(value))
		dst = protowire.AppendTag(dst, number, protowire.BytesType)
		dst = protowire.AppendVarint(dst, uint64(1+protowire.SizeBytes(len(key))+1+protowire.SizeBytes(inner)))
		dst = protowire.AppendBytes(append(dst, pairKey<<3|byte(protowire.BytesType)), key)
		dst = protowire.AppendVarint(append(dst, pairValue<<3|byte(protowire.BytesType)), uint64(inner))
		return protowire.AppendBytes(append(dst, anyString<<3|byte(protowire.BytesType)), value)
	}
	inner := protofield.TextSize(anyString, value)
	dst = protowire.AppendTag(dst, number, protowire.BytesType)
	dst = protowire.AppendVarint(dst, uint64(protofield.TextSize(pairKey, key)+protowire.SizeTag(pairValue)+protowire.SizeBytes(inner)))
	dst = protofield.AppendText(dst, pairKey, key)
	return appendText(dst, pairValue, value)
}

// appendNumber appends an attribute that is a number.
func appendNumber(dst []byte, key string, value int64) []byte {
	inner := protowire.SizeTag(anyInt) + protowire.SizeVarint(uint64(value))
	dst = protowire.AppendTag(dst, logAttributes, protowire.BytesType)
	dst = protowire.AppendVarint(dst, uint64(protowire.SizeTag(pairKey)+protowire.SizeBytes(len(key))+protowire.SizeTag(pairValue)+protowire.SizeBytes(inner)))
	dst = protowire.AppendTag(dst, pairKey, protowire.BytesType)
	dst = protowire.AppendString(dst, key)
	dst = protowire.AppendTag(dst, pairValue, protowire.BytesType)
	dst = protowire.AppendVarint(dst, uint64(inner))
	return protowire.AppendVarint(protowire.AppendTag(dst, anyInt, protowire.VarintType), uint64(value))
}
