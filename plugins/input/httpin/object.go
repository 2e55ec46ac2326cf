package httpin

import (
	"math/bits"

	"github.com/wasmtail/wasmtail/internal/jsonscan"
	"github.com/wasmtail/wasmtail/internal/record"
)

// timeKeys are where a record of JSON has its time, the first that is there.
var timeKeys = [...]string{"@timestamp", "timestamp", "time", "ts", "_time", "date"}

// timeRank is the place of a name in timeKeys, -1 for others.
func timeRank(name []byte) int {
	if n := len(name); n < 2 || n > 10 || n > 5 && n < 9 {
		return -1
	}
	for i := range timeKeys {
		if string(name) == timeKeys[i] {
			return i
		}
	}
	return -1
}

// object is one object of JSON in a batch's memory, taken apart in one pass. It is
// used again for the next.
type object struct {
	text  []byte
	batch *record.Batch // whose memory text is part of
	// fields are its members, parts of that memory too.
	fields []record.Field
	// times are the values of timeKeys, as they are written, where has has a bit.
	times [len(timeKeys)][]byte
	has   uint8
}

// read adds the members of the object that o.text is. It is false for what RFC 8259
// does not allow; then some may have been added.
func (o *object) read() bool {
	text := o.text
	if len(text) == 0 || text[0] != '{' {
		return false
	}
	at := jsonscan.Space(text, 1)
	if at < len(text) && text[at] == '}' {
		return at+1 == len(text)
	}
	for more := true; more; {
		end, escaped, next := jsonscan.Key(text, at)
		if next < 0 || next == len(text) {
			return false
		}
		name := text[at+1 : end]
		if escaped {
			name = o.unescaped(name)
		}
		if at = o.member(name, next); at < 0 {
			return false
		}
		if at, more = jsonscan.Comma(text, at, '}'); at < 0 {
			return false
		}
	}
	return at == len(text)
}

// member adds the value at text[at], and returns the position behind it.
func (o *object) member(name []byte, at int) (next int) {
	text := o.text
	var value []byte
	if text[at] == '"' {
		end, escaped := jsonscan.String(text, at+1)
		if end < 0 {
			return end
		}
		next, value = end+1, text[at+1:end]
		if escaped {
			value = o.unescaped(value)
		}
	} else {
		if next = jsonscan.Value(text, at, 1); next < 0 {
			return next
		}
		value = text[at:next]
	}
	if rank := timeRank(name); rank >= 0 && o.has&(1<<rank) == 0 {
		o.has |= 1 << rank
		o.times[rank] = text[at:next]
	}
	if text[at] != 'n' { // null is no field
		o.fields = append(o.fields, record.Field{Name: name, Value: value})
	}
	return next
}

func (o *object) unescaped(s []byte) []byte {
	dst := o.batch.Alloc(len(s))
	return dst[:jsonscan.Unescape(dst, s)]
}

// objectTime is the time that the object says it is of, 0 for none.
func (s *scratch) objectTime() int64 {
	for has := s.object.has; has != 0; has &= has - 1 {
		value := s.object.times[bits.TrailingZeros8(has)]
		t := int64(0)
		switch c := value[0]; {
		case c == '"':
			t = s.textTime(value[1 : len(value)-1]) // no time has escapes
		case c == '-', c >= '0' && c <= '9':
			t = s.numberTime(value)
		}
		if t != 0 {
			return t
		}
	}
	return 0
}
