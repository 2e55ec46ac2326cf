package wasmhost

import (
	"encoding/binary"
	"errors"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/wasmtail/wasmtail/internal/record"
	"github.com/wasmtail/wasmtail/sdk/abi"
)

// Names of the fields that the host makes of what a module says.
const (
	// SeverityField holds the severity as a word.
	SeverityField = "severity"
	// TraceField and SpanField hold identifiers in hex digits.
	TraceField = "trace_id"
	SpanField  = "span_id"
	// OverflowField holds, as one JSON object, fields whose names were more than
	// a module may make.
	OverflowField = "_overflow"
)

var (
	severityName = []byte(SeverityField)
	traceName    = []byte(TraceField)
	spanName     = []byte(SpanField)
	overflowName = []byte(OverflowField)
	contentName  = []byte(record.Content)

	errGaveUp = errors.New("it gave the batch up")
	errFatal  = errors.New("it must not be called again")
)

// severities are the words for each four of OpenTelemetry's numbers.
var severities = [...][]byte{[]byte("trace"), []byte("debug"), []byte("info"), []byte("warn"), []byte("error"), []byte("fatal")}

// A module may set times from ten years ago until tomorrow: anything else is
// more likely a mistake.
const (
	pastMax   = 10 * 365 * 24 * time.Hour
	futureMax = 24 * time.Hour
)

// builtin takes an entry that is no column.
func (d *decoder) builtin(out *row, id uint16, entry []byte) (f *fault) {
	kind := entry[abi.FieldOffKind]
	number := int64(binary.LittleEndian.Uint64(entry[abi.FieldOffA:]))
	var value []byte
	switch {
	case id == abi.IDTime && kind == abi.KindInt:
		if d.program.Caps&abi.CapTime == 0 {
			return contract("it sets a time without having declared that it does")
		}
		if number < d.now-int64(pastMax) || number > d.now+int64(futureMax) {
			d.badTimes++
			return nil
		}
		out.time = number
	case id == abi.IDSeverity && kind == abi.KindInt:
		if number < 1 || number > abi.SeverityMax {
			return contract("it sets severity %d, severities are 1 to %d", number, abi.SeverityMax)
		}
		out.severity = uint8(number)
	case id == abi.IDBody:
		var ok bool
		if value, ok, f = d.value(out, entry); ok {
			d.trial.note(entry)
			out.fields = append(out.fields, record.Field{Name: contentName, Value: value})
		}
	case id == abi.IDRoute && kind == abi.KindString:
		f = d.route(out, entry)
	case id == abi.IDTraceID && kind == abi.KindBytes:
		if value, f = d.hexValue(entry, 16); f == nil {
			d.trial.note(entry)
			out.fields = append(out.fields, record.Field{Name: traceName, Value: value})
		}
	case id == abi.IDSpanID && kind == abi.KindBytes:
		if value, f = d.hexValue(entry, 8); f == nil {
			d.trial.note(entry)
			out.fields = append(out.fields, record.Field{Name: spanName, Value: value})
		}
	case id == abi.IDErrorText && kind == abi.KindString:
		if value, f = d.bytes(entry); f == nil {
			out.reason = value[:min(len(value), abi.ErrorBytesMax)]
		}
	default:
		return contract("a row has the unknown field %#x of kind %d", id, kind)
	}
	return f
}

// route finds the log store that a row names among those of the pipeline.
func (d *decoder) route(out *row, entry []byte) *fault {
	if d.program.Caps&abi.CapRoute == 0 {
		return contract("it routes a line without having declared that it does")
	}
	name, f := d.bytes(entry)
	if f != nil {
		return f
	}
	place, ok := d.program.spec.Routes[string(name)]
	if d.trial != nil {
		place, ok = d.trial.route(name)
	}
	if !ok {
		return contract("it routes a line to %q, which is not among the routes of the pipeline", printable(name[:min(len(name), 64)]))
	}
	out.route = place
	return nil
}

// dynamicKeys are the names that one program has made, each kept once: so that a
// record costs no name, and data cannot make names without end. Safe for
// concurrent use; a lane keeps what it has seen.
type dynamicKeys struct {
	mu   sync.Mutex
	seen map[string][]byte
	over int64
}

// intern returns the one copy of a name, false when there are too many or it is
// not fit to be one.
func (k *dynamicKeys) intern(name []byte) ([]byte, bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if kept, ok := k.seen[string(name)]; ok {
		return kept, true
	}
	if len(k.seen) >= abi.DynamicKeysMax || name[0] == '_' || !utf8.Valid(name) {
		k.over++
		return nil, false
	}
	if k.seen == nil {
		k.seen = map[string][]byte{}
	}
	kept := append([]byte{}, name...)
	k.seen[string(kept)] = kept
	return kept, true
}
