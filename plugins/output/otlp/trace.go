package otlp

import (
	"encoding/hex"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/wasmtail/wasmtail/internal/protofield"
	"github.com/wasmtail/wasmtail/internal/record"
)

// Names under which programs log the identifiers of traces.
var (
	traceNames  = []string{"trace_id", "traceId", "traceID", "trace.id"}
	spanNames   = []string{"span_id", "spanId", "spanID", "span.id"}
	parentNames = []string{"traceparent"}
)

// traceFields are the fields of a record that say which span it belongs to.
type traceFields struct {
	trace, span, parent int // indexes, or -1
	traceID             [16]byte
	spanID              [8]byte
	flags               [1]byte
}

// has is true for the index of one of the fields.
func (t *traceFields) has(i int) bool { return i == t.trace || i == t.span || i == t.parent }

// find looks for the fields. Those whose value is no identifier stay fields.
func (t *traceFields) find(r *record.Record) {
	t.trace, t.span, t.parent = -1, -1, -1
	named := false
	for i := range r.Fields { // most records have none
		if n := r.Fields[i].Name; len(n) >= 6 && (n[0] == 't' && n[1] == 'r' || n[0] == 's' && n[1] == 'p') {
			named = true
			break
		}
	}
	if !named {
		return
	}
	t.trace = findHex(r, traceNames, t.traceID[:])
	t.span = findHex(r, spanNames, t.spanID[:])
	if t.trace < 0 && t.span < 0 {
		t.readParent(r)
	}
}

// findHex decodes the first field that holds an identifier that is not all zero.
func findHex(r *record.Record, names []string, id []byte) int {
	for _, name := range names {
		if value, at := r.Field(name); at >= 0 && isID(value, id) {
			return at
		}
	}
	return -1
}

func isID(value, id []byte) bool {
	if len(value) != 2*len(id) {
		return false
	}
	if _, err := hex.Decode(id, value); err != nil {
		return false
	}
	for _, c := range id {
		if c != 0 {
			return true
		}
	}
	return false
}

// readParent reads a traceparent of W3C Trace Context: 00-trace-span-flags.
func (t *traceFields) readParent(r *record.Record) {
	for _, name := range parentNames {
		v, at := r.Field(name)
		if at < 0 || len(v) != 55 || v[0] != '0' || v[1] != '0' || v[2] != '-' || v[35] != '-' || v[52] != '-' {
			continue
		}
		if _, err := hex.Decode(t.flags[:], v[53:]); err == nil && isID(v[3:35], t.traceID[:]) && isID(v[36:52], t.spanID[:]) {
			t.parent = at
		}
	}
}

// append appends the fields of a LogRecord.
func (t *traceFields) append(dst []byte) []byte {
	if t.parent >= 0 && t.flags[0] != 0 {
		dst = protowire.AppendFixed32(protowire.AppendTag(dst, logFlags, protowire.Fixed32Type), uint32(t.flags[0]))
	}
	if t.trace >= 0 || t.parent >= 0 {
		dst = protofield.AppendBytes(dst, logTraceID, t.traceID[:])
	}
	if t.span >= 0 || t.parent >= 0 {
		dst = protofield.AppendBytes(dst, logSpanID, t.spanID[:])
	}
	return dst
}
