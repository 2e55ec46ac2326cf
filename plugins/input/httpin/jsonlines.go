package httpin

import (
	"bytes"

	"github.com/valyala/fastjson"
)

// timeKeys are where a record of JSON has its time, the first that is there.
var timeKeys = []string{"@timestamp", "timestamp", "time", "ts", "_time", "date"}

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
		if line = bytes.TrimSpace(line); len(line) == 0 {
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

func (q *request) jsonArray(body []byte) error {
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
