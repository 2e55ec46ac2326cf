package httpin

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"math"
	"net/http"
	"strconv"

	"github.com/valyala/fastjson"

	"github.com/wasmtail/wasmtail/internal/protofield"
	"github.com/wasmtail/wasmtail/internal/record"
)

// decodeOTLP takes an export request of OpenTelemetry logs, protobuf or JSON: the body of
// a log record is the content, and its attributes, those of its resource, the severity
// and the ids of its trace are fields. Values that are no text are rendered as JSON.
func decodeOTLP(q *request) (any, error) {
	if q.isJSON() {
		return nil, q.otlpJSON()
	}
	err := protofield.Each(q.body, func(f protofield.Field) error {
		if f.Number != 1 {
			return nil
		}
		return q.otlpResource(f.Bytes)
	})
	if err != nil {
		return nil, malformed("%v", err)
	}
	return nil, nil
}

var (
	severityName, severityNumber = []byte("severity_text"), []byte("severity_number")
	traceName, spanName          = []byte("trace_id"), []byte("span_id")
	scopeName                    = []byte("otel.scope.name")
)

func (q *request) otlpResource(message []byte) error {
	var resource []record.Field
	err := protofield.Each(message, func(f protofield.Field) error {
		if f.Number != 1 {
			return nil
		}
		return protofield.Each(f.Bytes, func(f protofield.Field) error {
			if f.Number != 1 {
				return nil
			}
			name, value, err := keyValue(f.Bytes)
			resource = append(resource, record.Field{Name: name, Value: value})
			return err
		})
	})
	if err != nil {
		return err
	}
	return protofield.Each(message, func(f protofield.Field) error {
		if f.Number != 2 {
			return nil
		}
		return q.otlpScope(f.Bytes, resource)
	})
}

func (q *request) otlpScope(message []byte, resource []record.Field) error {
	around := resource
	err := protofield.Each(message, func(f protofield.Field) error {
		if f.Number != 1 {
			return nil
		}
		if name := protofield.Find(f.Bytes, 1); len(name) > 0 {
			around = append(resource[:len(resource):len(resource)], record.Field{Name: scopeName, Value: name})
		}
		return nil
	})
	if err != nil {
		return err
	}
	return protofield.Each(message, func(f protofield.Field) error {
		if f.Number != 2 {
			return nil
		}
		return q.otlpRecord(f.Bytes, around)
	})
}

func (q *request) otlpRecord(message []byte, around []record.Field) error {
	s := q.scratch
	var line []byte
	var time, observed int64
	s.field(contentName, nil) // it comes first
	err := protofield.Each(message, func(f protofield.Field) (err error) {
		switch f.Number {
		case 1:
			time = int64(f.Value)
		case 11:
			observed = int64(f.Value)
		case 2:
			s.field(severityNumber, s.kept(appendInt(int64(f.Value))))
		case 3:
			s.field(severityName, f.Bytes)
		case 5:
			line, err = anyText(f.Bytes)
		case 6:
			var name, value []byte
			name, value, err = keyValue(f.Bytes)
			s.field(name, value)
		case 9:
			s.otlpID(traceName, f.Bytes)
		case 10:
			s.otlpID(spanName, f.Bytes)
		}
		return err
	})
	if err != nil {
		return err
	}
	s.fields[0].Value = line
	s.fields = append(s.fields, around...)
	if time == 0 {
		time = observed
	}
	q.add(line, time)
	return nil
}

func (s *scratch) otlpID(name, id []byte) {
	if len(id) > 0 {
		s.field(name, s.kept(appendHex(id)))
	}
}

// keyValue reads an attribute.
func keyValue(message []byte) (name, value []byte, err error) {
	err = protofield.Each(message, func(f protofield.Field) (err error) {
		switch f.Number {
		case 1:
			name = f.Bytes
		case 2:
			value, err = anyText(f.Bytes)
		}
		return err
	})
	return name, value, err
}

// anyText is an AnyValue as a text: a text is itself, anything else is JSON.
func anyText(message []byte) ([]byte, error) {
	if text := protofield.Find(message, 1); text != nil {
		return text, nil
	}
	return appendAny(nil, message, 0)
}

// anyDepthMax bounds how deep values may lie in each other.
const anyDepthMax = 64

var errDepth = errors.New("cannot read a value: it lies too deep in others")

// appendAny renders an AnyValue as JSON.
func appendAny(dst, message []byte, depth int) ([]byte, error) {
	if depth > anyDepthMax {
		return nil, errDepth
	}
	at := len(dst)
	err := protofield.Each(message, func(f protofield.Field) (err error) {
		dst = dst[:at] // the last one counts
		switch f.Number {
		case 1:
			dst = appendText(dst, f.Bytes)
		case 2:
			dst = strconv.AppendBool(dst, f.Value != 0)
		case 3:
			dst = strconv.AppendInt(dst, int64(f.Value), 10)
		case 4:
			dst = appendNumber(dst, math.Float64frombits(f.Value))
		case 5:
			dst, err = appendList(dst, f.Bytes, depth)
		case 6:
			dst, err = appendMap(dst, f.Bytes, depth)
		case 7:
			dst = append(base64.StdEncoding.AppendEncode(append(dst, '"'), f.Bytes), '"')
		}
		return err
	})
	return dst, err
}

func appendText(dst, text []byte) []byte {
	quoted, _ := json.Marshal(string(text)) // a text can always be
	return append(dst, quoted...)
}

// appendNumber renders what JSON has no number for as a text.
func appendNumber(dst []byte, f float64) []byte {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return append(strconv.AppendFloat(append(dst, '"'), f, 'g', -1, 64), '"')
	}
	return strconv.AppendFloat(dst, f, 'g', -1, 64)
}

func appendList(dst, message []byte, depth int) ([]byte, error) {
	dst = append(dst, '[')
	first := true
	err := protofield.Each(message, func(f protofield.Field) (err error) {
		if f.Number != 1 {
			return nil
		}
		if !first {
			dst = append(dst, ',')
		}
		first = false
		dst, err = appendAny(dst, f.Bytes, depth+1)
		return err
	})
	return append(dst, ']'), err
}

func appendMap(dst, message []byte, depth int) ([]byte, error) {
	dst = append(dst, '{')
	first := true
	err := protofield.Each(message, func(f protofield.Field) (err error) {
		if f.Number != 1 {
			return nil
		}
		if !first {
			dst = append(dst, ',')
		}
		first = false
		dst = append(appendText(dst, protofield.Find(f.Bytes, 1)), ':')
		value := protofield.Find(f.Bytes, 2)
		if len(value) == 0 {
			dst = append(dst, "null"...)
			return nil
		}
		dst, err = appendAny(dst, value, depth+1)
		return err
	})
	return append(dst, '}'), err
}

func (q *request) otlpJSON() error {
	v, err := q.scratch.json.ParseBytes(q.body)
	if err != nil {
		return malformed("the request is no JSON: %.100s", err)
	}
	for _, rl := range v.GetArray("resourceLogs") {
		var resource []record.Field
		for _, a := range rl.GetArray("resource", "attributes") {
			resource = append(resource, record.Field{Name: a.GetStringBytes("key"), Value: jsonText(a.Get("value"))})
		}
		for _, sl := range rl.GetArray("scopeLogs") {
			around := resource
			if name := sl.GetStringBytes("scope", "name"); len(name) > 0 {
				around = append(resource[:len(resource):len(resource)], record.Field{Name: scopeName, Value: name})
			}
			for _, l := range sl.GetArray("logRecords") {
				q.otlpJSONRecord(l, around)
			}
		}
	}
	return nil
}

func (q *request) otlpJSONRecord(l *fastjson.Value, around []record.Field) {
	s := q.scratch
	line := jsonText(l.Get("body"))
	s.field(contentName, line)
	if n := l.GetInt("severityNumber"); n != 0 {
		s.field(severityNumber, s.kept(appendInt(int64(n))))
	}
	if text := l.GetStringBytes("severityText"); len(text) > 0 {
		s.field(severityName, text)
	}
	for _, a := range l.GetArray("attributes") {
		s.field(a.GetStringBytes("key"), jsonText(a.Get("value")))
	}
	for key, name := range map[string][]byte{"traceId": traceName, "spanId": spanName} {
		if id := l.GetStringBytes(key); len(id) > 0 && isHex(id) {
			s.field(name, id)
		}
	}
	s.fields = append(s.fields, around...)
	time := nanos(l.Get("timeUnixNano"))
	if time == 0 {
		time = nanos(l.Get("observedTimeUnixNano"))
	}
	q.add(line, time)
}

func isHex(id []byte) bool {
	_, err := hex.DecodeString(string(id))
	return err == nil
}

// nanos reads a number of nanoseconds, which JSON has as a text, since it is too large
// for a number.
func nanos(v *fastjson.Value) int64 {
	if v == nil {
		return 0
	}
	text := v.GetStringBytes()
	if v.Type() == fastjson.TypeNumber {
		text = v.MarshalTo(nil)
	}
	n, err := strconv.ParseInt(string(text), 10, 64)
	if err != nil {
		return 0
	}
	return n
}

// jsonText is an AnyValue of JSON as a text.
func jsonText(v *fastjson.Value) []byte {
	if v == nil {
		return nil
	}
	if text := v.Get("stringValue"); text != nil {
		return text.GetStringBytes()
	}
	return appendJSONAny(nil, v, 0)
}

// appendJSONAny renders an AnyValue of JSON as plain JSON. The parser has bounded how
// deep it can be.
func appendJSONAny(dst []byte, v *fastjson.Value, depth int) []byte {
	if depth > anyDepthMax {
		return append(dst, "null"...)
	}
	if text := v.Get("stringValue"); text != nil {
		return appendText(dst, text.GetStringBytes())
	}
	if list := v.Get("arrayValue"); list != nil {
		dst = append(dst, '[')
		for i, item := range list.GetArray("values") {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = appendJSONAny(dst, item, depth+1)
		}
		return append(dst, ']')
	}
	if pairs := v.Get("kvlistValue"); pairs != nil {
		dst = append(dst, '{')
		for i, pair := range pairs.GetArray("values") {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = append(appendText(dst, pair.GetStringBytes("key")), ':')
			if value := pair.Get("value"); value != nil {
				dst = appendJSONAny(dst, value, depth+1)
			} else {
				dst = append(dst, "null"...)
			}
		}
		return append(dst, '}')
	}
	if n := v.Get("intValue"); n != nil && n.Type() == fastjson.TypeString { // too large for a number of JSON
		if _, err := strconv.ParseInt(string(n.GetStringBytes()), 10, 64); err == nil {
			return append(dst, n.GetStringBytes()...)
		}
	}
	for _, key := range []string{"boolValue", "intValue", "doubleValue", "bytesValue"} {
		if value := v.Get(key); value != nil {
			return value.MarshalTo(dst)
		}
	}
	return append(dst, "null"...)
}

func answerOTLP(w http.ResponseWriter, q *request, _ any) {
	if q.isJSON() {
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte("{}"))
		return
	}
	w.Header().Set("Content-Type", "application/x-protobuf")
	w.WriteHeader(http.StatusOK) // an empty ExportLogsServiceResponse
}

// refuseOTLP answers with a google.rpc.Status.
func refuseOTLP(w http.ResponseWriter, q *request, p *problem) {
	if q.isJSON() {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(p.status)
		_, _ = w.Write(append(appendText([]byte(`{"message":`), []byte(p.text)), '}'))
		return
	}
	w.Header().Set("Content-Type", "application/x-protobuf")
	w.WriteHeader(p.status)
	_, _ = w.Write(protofield.AppendText(nil, 2, []byte(p.text)))
}
