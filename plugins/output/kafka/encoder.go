package kafka

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"math"
	"time"
	"unicode/utf8"

	"github.com/wasmtail/wasmtail/agent/dispatch"
	"github.com/wasmtail/wasmtail/agent/pipeline"
	"github.com/wasmtail/wasmtail/internal/jsonline"
	"github.com/wasmtail/wasmtail/internal/placeholder"
	"github.com/wasmtail/wasmtail/internal/record"
)

// A body is, for each record:
//
//	varint   the time in milliseconds since 1970 UTC
//	uvarint  length of the key plus 1, 0 for none; then the key
//	uvarint  length of the value; then the value

// writer writes the bodies of one lane.
type writer struct {
	config *Config
	host   string
	lines  *jsonline.Writer
	key    []byte // of the file
	value  []byte
}

// NewEncoder returns an encoder for one lane.
func (o *Output) NewEncoder(pipelineName, logstore string) pipeline.Encoder {
	s := jsonline.Source{Agent: o.env.AgentID, Host: o.env.Hostname, Pipeline: pipelineName, Logstore: logstore}
	w := &writer{config: &o.config, host: o.env.Hostname, lines: jsonline.New(o.config.Keys.Names(), s)}
	topic := o.topic.Fill(placeholder.Values{Logstore: logstore, Pipeline: pipelineName, Host: o.env.Hostname}, time.Time{})
	return &dispatch.Encoder{Codec: dispatch.Snappy, Agent: o.env.AgentID, Target: topic, Write: w.append}
}

// append appends the body of b.
func (w *writer) append(dst []byte, b *record.Batch) []byte {
	w.lines.Start(b)
	w.key = append(append(append(w.key[:0], w.host...), ':'), b.Origin.Path...)
	for i := range b.Records {
		r := &b.Records[i]
		at := r.Time
		if at <= 0 { // Kafka knows no times before 1970
			at = b.ReadTime
		}
		dst = binary.AppendVarint(dst, at/int64(time.Millisecond))
		if key, ok := w.keyOf(r); ok {
			dst = append(binary.AppendUvarint(dst, uint64(len(key))+1), key...)
		} else {
			dst = append(dst, 0)
		}
		value := r.Raw
		if w.config.Format == "json" {
			w.value = w.lines.Append(w.value[:0], r)
			value = w.value
		}
		dst = append(binary.AppendUvarint(dst, uint64(len(value))), value...)
	}
	return dst
}

// keyOf is the key of a record, and whether it has one.
func (w *writer) keyOf(r *record.Record) (key []byte, ok bool) {
	if w.config.KeyField != "" {
		if value, at := r.Field(w.config.KeyField); at >= 0 {
			return value, true
		}
	}
	return w.key, w.config.Key == "file"
}

// message is one record of a body. Its slices point into it.
type message struct {
	at         time.Time
	key, value []byte
}

var errBody = errors.New("cannot read the payload: it holds no records of this output")

// parse reads the first message of a body and returns what follows it.
func parse(body []byte) (m message, rest []byte, err error) {
	at, n := binary.Varint(body)
	if n <= 0 || at < math.MinInt64/int64(time.Millisecond) || at > math.MaxInt64/int64(time.Millisecond) {
		return m, nil, errBody
	}
	m.at, rest = time.UnixMilli(at).UTC(), body[n:]
	size, n := binary.Uvarint(rest)
	if n <= 0 || size > uint64(len(rest)-n)+1 {
		return m, nil, errBody
	}
	rest = rest[n:]
	if size > 0 {
		m.key, rest = rest[:size-1], rest[size-1:]
	}
	size, n = binary.Uvarint(rest)
	if n <= 0 || size > uint64(len(rest)-n) {
		return m, nil, errBody
	}
	return message{m.at, m.key, rest[n : n+int(size)]}, rest[n+int(size):], nil
}

// format cuts bodies.
type format struct{}

// Split implements dispatch.Format.
func (format) Split(raw []byte) (items []dispatch.Item, err error) {
	for len(raw) > 0 {
		_, rest, err := parse(raw)
		if err != nil {
			return nil, err
		}
		items = append(items, dispatch.Item{Record: raw[:len(raw)-len(rest)]})
		raw = rest
	}
	return items, nil
}

// Join implements dispatch.Format.
func (format) Join(dst []byte, items []dispatch.Item) []byte {
	for _, it := range items {
		dst = append(dst, it.Record...)
	}
	return dst
}

// Show implements dispatch.Format.
func (format) Show(dst []byte, it dispatch.Item) []byte {
	m, _, err := parse(it.Record)
	if err != nil {
		return append(dst, "null"...)
	}
	shown := struct {
		Time  int64  `json:"timestamp_ms"`
		Key   string `json:"key,omitempty"`
		Value any    `json:"value"`
	}{m.at.UnixMilli(), string(m.key), m.value}
	switch {
	case len(m.value) > 0 && m.value[0] == '{' && json.Valid(m.value):
		shown.Value = json.RawMessage(m.value)
	case utf8.Valid(m.value):
		shown.Value = string(m.value)
	}
	text, err := json.Marshal(&shown)
	if err != nil {
		panic("BUG: a message cannot be JSON: " + err.Error())
	}
	return append(dst, text...)
}
