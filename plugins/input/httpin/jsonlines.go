package httpin

import (
	"bytes"

	"github.com/valyala/fastjson"

	"github.com/wasmtail/wasmtail/internal/jsonscan"
	"github.com/wasmtail/wasmtail/internal/record"
)

// decodeJSON takes objects, one a line, or an array of them, or one alone. Each member
// of an object is a field.
func decodeJSON(q *request) (any, error) {
	body := bytes.TrimSpace(q.body)
	if len(body) == 0 {
		return nil, nil
	}
	if body[0] == '[' {
		return nil, q.jsonArray(body)
	}
	for line, number := []byte(nil), 1; len(body) > 0; number++ {
		line, body, _ = bytes.Cut(body, []byte("\n"))
		if line = bytes.TrimSpace(line); len(line) == 0 || q.jsonLine(line) {
			continue
		}
		v, err := q.scratch.json.ParseBytes(line)
		if err != nil && number == 1 { // perhaps it is one object over several lines
			if whole, wholeErr := q.scratch.json.ParseBytes(bytes.TrimSpace(q.body)); wholeErr == nil && whole.Type() == fastjson.TypeObject {
				q.jsonObject(whole.MarshalTo(nil), whole)
				return nil, nil
			}
		}
		if err != nil {
			return nil, malformed("line %d is no JSON: %.100s", number, err)
		}
		if v.Type() != fastjson.TypeObject {
			return nil, malformed("line %d is no JSON object", number)
		}
		q.jsonObject(line, v)
	}
	return nil, nil
}

// jsonLine makes a record of the object that line is, in one pass. It is false, and
// has taken nothing, for what RFC 8259 does not allow: fastjson, which then says what
// is wrong, takes a little more. The fields in the scratch memory come first.
func (q *request) jsonLine(line []byte) bool {
	s, b := q.scratch, q.batcher()
	batch, o := b.Batch(), &s.object
	o.batch, o.text, o.fields, o.has = batch, batch.Copy(line), o.fields[:0], 0
	for _, f := range s.fields {
		o.fields = append(o.fields, record.Field{Name: batch.Copy(f.Name), Value: batch.Copy(f.Value)})
	}
	if !o.read() {
		return false
	}
	r := b.AddOwn(o.text)
	r.Time = s.objectTime()
	if len(o.fields) > 0 {
		r.Fields = append(batch.AllocFields(len(o.fields)), o.fields...)
	}
	s.fields = s.fields[:0]
	q.records++
	return true
}

// jsonArray takes the objects of an array.
func (q *request) jsonArray(body []byte) error {
	s := q.scratch
	if s.items = appendItems(s.items[:0], body); len(s.items) == 0 {
		return q.looseArray(body)
	}
	for i, text := range s.items {
		if text[0] != '{' {
			return malformed("item %d of the array is no JSON object", i+1)
		}
		if bytes.IndexByte(text, '\n') < 0 && q.jsonLine(text) {
			continue
		}
		item, err := s.json.ParseBytes(text) // a record's text is one line
		if err != nil {
			return malformed("item %d of the array is no JSON: %.100s", i+1, err)
		}
		q.jsonObject(item.MarshalTo(nil), item)
	}
	return nil
}

// appendItems appends the texts of the items of an array; none if it has none, or is
// not what RFC 8259 allows.
func appendItems(dst [][]byte, array []byte) [][]byte {
	at, more := jsonscan.Space(array, 1), true
	for more {
		end := jsonscan.Value(array, at, 1)
		if end < 0 {
			return dst[:0]
		}
		dst = append(dst, array[at:end])
		if at, more = jsonscan.Comma(array, end, ']'); at < 0 {
			return dst[:0]
		}
	}
	if at != len(array) {
		return dst[:0]
	}
	return dst
}

// looseArray takes an array as fastjson reads it.
func (q *request) looseArray(body []byte) error {
	v, err := q.scratch.json.ParseBytes(body)
	if err != nil {
		return malformed("the array is no JSON: %.100s", err)
	}
	items, _ := v.Array()
	for i, item := range items {
		if item.Type() != fastjson.TypeObject {
			return malformed("item %d of the array is no JSON object", i+1)
		}
	}
	var raw []byte
	for _, item := range items {
		raw = item.MarshalTo(raw[:0])
		q.jsonObject(raw, item)
	}
	return nil
}

// jsonObject makes a record of an object; raw is its text.
func (q *request) jsonObject(raw []byte, v *fastjson.Value) {
	s := q.scratch
	time := int64(0)
	o, _ := v.Object()
	o.Visit(s.jsonField)
	for _, key := range timeKeys {
		if t := o.Get(key); t != nil {
			if time = s.timeOf(t); time != 0 {
				break
			}
		}
	}
	q.add(raw, time)
}

// decodeText takes lines.
func decodeText(q *request) (any, error) {
	body := bytes.TrimSuffix(q.body, []byte("\n"))
	if len(body) == 0 {
		return nil, nil
	}
	for line := range bytes.SplitSeq(body, []byte("\n")) {
		q.add(bytes.TrimSuffix(line, []byte("\r")), 0)
	}
	return nil, nil
}
