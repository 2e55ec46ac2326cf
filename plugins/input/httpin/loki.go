package httpin

import (
	"errors"
	"strconv"
	"strings"

	"github.com/valyala/fastjson"

	"github.com/wasmtail/wasmtail/internal/protofield"
)

const lokiPath = "/loki/api/v1/push"

// decodeLoki takes a push request, protobuf or JSON: each entry is a record whose line
// is its content, and whose labels and structured metadata are fields.
func decodeLoki(q *request) (any, error) {
	if q.isJSON() {
		return nil, q.lokiJSON()
	}
	err := protofield.Each(q.body, func(f protofield.Field) error {
		if f.Number == 1 {
			return q.lokiStream(f.Bytes)
		}
		return nil
	})
	var p *problem
	if err != nil && !errors.As(err, &p) {
		err = malformed("%v", err)
	}
	return nil, err
}

// label is one of a stream.
type label struct{ name, value string }

func (q *request) lokiStream(message []byte) error {
	var labels []label
	err := protofield.Each(message, func(f protofield.Field) (err error) {
		if f.Number == 1 {
			labels, err = parseLabels(string(f.Bytes))
		}
		return err
	})
	if err != nil {
		return err
	}
	return protofield.Each(message, func(f protofield.Field) error {
		if f.Number != 2 {
			return nil
		}
		return q.lokiEntry(f.Bytes, labels)
	})
}

func (q *request) lokiEntry(message []byte, labels []label) error {
	var line []byte
	var time int64
	s := q.scratch
	err := protofield.Each(message, func(f protofield.Field) error {
		switch f.Number {
		case 1:
			return protofield.Each(f.Bytes, func(f protofield.Field) error {
				switch f.Number {
				case 1:
					time += int64(f.Value) * 1e9
				case 2:
					time += int64(f.Value)
				}
				return nil
			})
		case 2:
			line = f.Bytes
		case 3:
			var name, value []byte
			err := protofield.Each(f.Bytes, func(f protofield.Field) error {
				switch f.Number {
				case 1:
					name = f.Bytes
				case 2:
					value = f.Bytes
				}
				return nil
			})
			s.field(name, value)
			return err
		}
		return nil
	})
	if err != nil {
		return err
	}
	q.lokiAdd(line, time, labels)
	return nil
}

// lokiAdd adds an entry whose metadata are in the scratch memory already.
func (q *request) lokiAdd(line []byte, time int64, labels []label) {
	s := q.scratch
	meta := len(s.fields)
	s.field(contentName, line)
	for _, l := range labels {
		s.field([]byte(l.name), []byte(l.value))
	}
	s.fields = append(s.fields[meta:], s.fields[:meta]...) // the line comes first
	q.add(line, time)
}

var contentName = []byte("content")

func (q *request) lokiJSON() error {
	v, err := q.scratch.json.ParseBytes(q.body)
	if err != nil {
		return malformed("the request is no JSON: %.100s", err)
	}
	for i, stream := range v.GetArray("streams") {
		var labels []label
		o := stream.GetObject("stream")
		if o == nil {
			o, _ = fastjson.MustParse("{}").Object()
		}
		o.Visit(func(name []byte, v *fastjson.Value) {
			labels = append(labels, label{string(name), string(v.GetStringBytes())})
		})
		for j, entry := range stream.GetArray("values") {
			parts, _ := entry.Array()
			if len(parts) < 2 || parts[0].Type() != fastjson.TypeString || parts[1].Type() != fastjson.TypeString {
				return malformed("value %d of stream %d is not [time, line]", j+1, i+1)
			}
			time, err := strconv.ParseInt(string(parts[0].GetStringBytes()), 10, 64)
			if err != nil {
				return malformed("the time of value %d of stream %d is no number of nanoseconds", j+1, i+1)
			}
			if len(parts) > 2 {
				if meta := parts[2].GetObject(); meta != nil {
					meta.Visit(q.scratch.jsonField)
				}
			}
			q.lokiAdd(parts[1].GetStringBytes(), time, labels)
		}
	}
	return nil
}

// parseLabels reads labels such as {app="shop", level="info"}.
func parseLabels(text string) (labels []label, err error) {
	bad := malformed("the labels %.100q are not {name=\"value\", ...}", text)
	rest, ok := strings.CutPrefix(strings.TrimSpace(text), "{")
	if !ok {
		return nil, bad
	}
	for rest = strings.TrimSpace(rest); rest != "}"; {
		name, after, ok := strings.Cut(rest, "=")
		if !ok {
			return nil, bad
		}
		quoted, err := strconv.QuotedPrefix(after)
		if err != nil {
			return nil, bad
		}
		value, err := strconv.Unquote(quoted)
		if err != nil {
			return nil, bad
		}
		labels = append(labels, label{strings.TrimSpace(name), value})
		rest = strings.TrimSpace(after[len(quoted):])
		if next, more := strings.CutPrefix(rest, ","); more {
			rest = strings.TrimSpace(next)
		} else if rest != "}" {
			return nil, bad
		}
	}
	return labels, nil
}
