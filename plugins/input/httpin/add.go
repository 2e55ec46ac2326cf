package httpin

import (
	"encoding/hex"
	"strconv"

	"github.com/valyala/fastjson"

	"github.com/wasmtail/wasmtail/internal/loggroup"
	"github.com/wasmtail/wasmtail/internal/record"
	"github.com/wasmtail/wasmtail/internal/strptime"
)

// scratch is memory that decoding needs; it goes from one request to the next.
type scratch struct {
	buffers
	json   fastjson.Parser
	object object
	items  [][]byte       // of an array at hand; parts of the request
	fields []record.Field // of the record at hand; they point into the request, or text
	text   []byte
	times  *strptime.Parser
	epochs *strptime.Parser
	group  loggroup.Group
}

func newScratch() *scratch {
	return &scratch{times: isoTime.NewParser(), epochs: epochTime.NewParser()}
}

var (
	isoTime   = must(strptime.Compile("iso8601", strptime.Options{}))
	epochTime = must(strptime.Compile("epoch_auto", strptime.Options{}))
)

func must(l *strptime.Layout, err error) *strptime.Layout {
	if err != nil {
		panic("BUG: " + err.Error())
	}
	return l
}

// add makes a record of a line and the fields in the scratch memory, which it empties:
// all is copied. Without fields the line is its content.
func (q *request) add(raw []byte, time int64) {
	b := q.batcher()
	r := b.Add(raw)
	r.Time = time
	s := q.scratch
	if len(s.fields) > 0 {
		batch := b.Batch()
		fields := batch.AllocFields(len(s.fields))
		for _, f := range s.fields {
			if string(f.Name) == record.Content && string(f.Value) == string(raw) {
				fields = append(fields, r.Fields[0])
				continue
			}
			fields = append(fields, record.Field{Name: batch.Copy(f.Name), Value: batch.Copy(f.Value)})
		}
		r.Fields = fields
	}
	s.fields, s.text = s.fields[:0], s.text[:0]
	q.records++
}

// field adds a field to the record at hand. Name and value must not change until add.
func (s *scratch) field(name, value []byte) {
	s.fields = append(s.fields, record.Field{Name: name, Value: value})
}

// kept returns what render appends to the scratch memory.
func (s *scratch) kept(render func(dst []byte) []byte) []byte {
	at := len(s.text)
	s.text = render(s.text)
	return s.text[at:len(s.text):len(s.text)]
}

// jsonField adds a value of JSON: a text as it is, null not at all, and anything else
// as JSON.
func (s *scratch) jsonField(name []byte, v *fastjson.Value) {
	switch v.Type() {
	case fastjson.TypeNull:
	case fastjson.TypeString:
		text, _ := v.StringBytes()
		s.field(name, text)
	default:
		s.field(name, s.kept(v.MarshalTo))
	}
}

// timeOf reads a time: a text of ISO 8601, or a number of seconds, milliseconds,
// microseconds or nanoseconds since 1970. It is 0 for what is none.
func (s *scratch) timeOf(v *fastjson.Value) int64 {
	switch v.Type() {
	case fastjson.TypeString:
		text, _ := v.StringBytes()
		return s.textTime(text)
	case fastjson.TypeNumber:
		return s.numberTime(s.kept(v.MarshalTo))
	}
	return 0
}

// textTime reads a time that is written as a text: one of ISO 8601, or a number.
func (s *scratch) textTime(text []byte) int64 {
	if len(text) > 4 && (text[4] == '-' || text[4] < '0' || text[4] > '9') {
		return known(s.times.Parse(text, 0))
	}
	return s.numberTime(text)
}

// numberTime reads a number of seconds or parts of them since 1970.
func (s *scratch) numberTime(text []byte) int64 { return known(s.epochs.Parse(text, 0)) }

// known is a time, 0 if there is none.
func known(time int64, err error) int64 {
	if err != nil {
		return 0
	}
	return time
}

// appendHex and appendInt render values that are no text.
func appendHex(p []byte) func([]byte) []byte {
	return func(dst []byte) []byte { return hex.AppendEncode(dst, p) }
}

func appendInt(n int64) func([]byte) []byte {
	return func(dst []byte) []byte { return strconv.AppendInt(dst, n, 10) }
}
