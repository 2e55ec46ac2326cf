package syslog

import (
	"bytes"
	"time"
)

// message is what was found in a line. All slices point into the line, nil for what
// is not there; it is valid as long as the line is.
type message struct {
	priority uint8
	stamp    []byte // the time as it was written
	time     int64  // nanoseconds since 1970 UTC, 0 when unknown
	pri      []byte // the digits of the priority
	hostname []byte
	program  []byte
	pid      []byte
	msgid    []byte
	text     []byte
	data     []param // structured data; the array is used again
}

// param is a parameter of structured data. An element without any has one with
// neither name nor value.
type param struct {
	id, name, value []byte
	escaped         bool // value has backslashes to take away
}

// parser reads messages of RFC 5424 and RFC 3164. It belongs to one goroutine, and
// allocates nothing once the arrays of its message have grown.
type parser struct {
	message

	zone *time.Location
	now  int64 // nanoseconds since 1970 UTC: times without a year are near it

	last     [stampBytes]byte // the last time without a year or zone,
	lastTime int64            // what it means,
	lastNow  int64            // and when that was found
}

const (
	// stampBytes is the length of "Jan _2 15:04:05".
	stampBytes = 15
	// paramsMax bounds the structured data of a message; the arena of a batch has
	// room for as many fields at once.
	paramsMax = 1000
)

// The reasons why a line is no message. They are fields of records, and never
// changed.
var (
	errNoPriority = []byte("it does not begin with a priority from <0> to <191>")
	errTime       = []byte("the time is not as RFC 5424 wants it")
	errHeader     = []byte("the header of RFC 5424 is not complete")
	errData       = []byte("the structured data are not as RFC 5424 wants them")
	errTooMany    = []byte("there are more than 1,000 parameters in the structured data")
)

// parse reads a line, and returns the reason if it is no message.
func (p *parser) parse(line []byte) (reason []byte) {
	p.message = message{data: p.data[:0]}
	rest, ok := p.takePriority(line)
	if !ok {
		return errNoPriority
	}
	for n := 1; n <= 3 && n < len(rest) && isDigit(rest[n-1]) && rest[0] != '0'; n++ {
		if rest[n] == ' ' {
			return p.parse5424(rest[n+1:])
		}
	}
	p.parse3164(rest)
	return nil
}

// takePriority reads <N>. RFC 5424, 6.2.1.
func (p *parser) takePriority(line []byte) (rest []byte, ok bool) {
	if len(line) < 3 || line[0] != '<' {
		return nil, false
	}
	n, i := 0, 1
	for ; i < len(line) && i < 4 && isDigit(line[i]); i++ {
		n = n*10 + int(line[i]-'0')
	}
	if i == 1 || i == len(line) || line[i] != '>' || n > 191 || line[1] == '0' && i > 2 {
		return nil, false
	}
	p.priority, p.pri = uint8(n), line[1:i]
	return line[i+1:], true
}

// parse5424 reads what follows the version. RFC 5424, 6.
func (p *parser) parse5424(rest []byte) (reason []byte) {
	var ok bool
	if p.stamp, rest, ok = word(rest); !ok {
		return errHeader
	}
	if p.stamp != nil {
		if p.time, ok = parseRFC3339(p.stamp); !ok {
			return errTime
		}
	}
	for _, field := range [...]*[]byte{&p.hostname, &p.program, &p.pid, &p.msgid} {
		if *field, rest, ok = word(rest); !ok {
			return errHeader
		}
	}
	switch {
	case len(rest) == 0:
		return errData
	case rest[0] == '-':
		rest = rest[1:]
	default:
		if rest, reason = p.takeData(rest); reason != nil {
			return reason
		}
	}
	if len(rest) > 0 && rest[0] != ' ' {
		return errData
	}
	if len(rest) > 0 {
		p.text = bytes.TrimPrefix(rest[1:], byteOrderMark)
	}
	return nil
}

// byteOrderMark says that a message is UTF-8. RFC 5424, 6.4.
var byteOrderMark = []byte("\xef\xbb\xbf")

// word takes a part of a header and the space behind it; it is nil for "-".
func word(line []byte) (w, rest []byte, ok bool) {
	i := bytes.IndexByte(line, ' ')
	if i <= 0 {
		return nil, nil, false
	}
	w = line[:i]
	for _, c := range w {
		if c <= ' ' || c >= 0x7f {
			return nil, nil, false
		}
	}
	if i == 1 && w[0] == '-' {
		w = nil
	}
	return w, line[i+1:], true
}

// takeData reads elements, as [id name="value" ...]. RFC 5424, 6.3.
func (p *parser) takeData(rest []byte) ([]byte, []byte) {
	if rest[0] != '[' {
		return nil, errData
	}
	for len(rest) > 0 && rest[0] == '[' {
		n := dataName(rest[1:])
		if n == 0 {
			return nil, errData
		}
		id := rest[1 : 1+n]
		rest = rest[1+n:]
		before := len(p.data)
		for len(rest) > 0 && rest[0] == ' ' {
			var ok bool
			if rest, ok = p.takeParam(id, rest[1:]); !ok {
				return nil, errData
			}
			if len(p.data) > paramsMax {
				return nil, errTooMany
			}
		}
		if len(rest) == 0 || rest[0] != ']' {
			return nil, errData
		}
		if len(p.data) == before {
			p.data = append(p.data, param{id: id})
		}
		if len(p.data) > paramsMax {
			return nil, errTooMany
		}
		rest = rest[1:]
	}
	return rest, nil
}

// takeParam reads name="value".
func (p *parser) takeParam(id, rest []byte) ([]byte, bool) {
	n := dataName(rest)
	if n == 0 || len(rest) < n+2 || rest[n] != '=' || rest[n+1] != '"' {
		return nil, false
	}
	found := param{id: id, name: rest[:n]}
	rest = rest[n+2:]
	for i := 0; i < len(rest); i++ {
		switch rest[i] {
		case '\\':
			found.escaped = true
			i++
		case '"':
			found.value = rest[:i]
			p.data = append(p.data, found)
			return rest[i+1:], true
		}
	}
	return nil, false
}

// dataName is the length of the name that line begins with.
func dataName(line []byte) int {
	for i, c := range line {
		if c <= ' ' || c >= 0x7f || c == '=' || c == ']' || c == '"' {
			return i
		}
	}
	return len(line)
}

// appendUnescaped appends a value without its escapes. A backslash before anything
// but ", ] and another one is one itself. RFC 5424, 6.3.3.
func appendUnescaped(dst, value []byte) []byte {
	for i := 0; i < len(value); i++ {
		if value[i] == '\\' && i+1 < len(value) && (value[i+1] == '"' || value[i+1] == '\\' || value[i+1] == ']') {
			i++
		}
		dst = append(dst, value[i])
	}
	return dst
}

// parse3164 reads what follows the priority: time, host and tag, each of which may be
// missing. RFC 3164, 4.1 and 4.3.
func (p *parser) parse3164(rest []byte) {
	n := p.takeStamp(rest)
	if n == 0 {
		p.takeTag(rest)
		return
	}
	p.stamp, rest = rest[:n], rest[n:]
	if len(rest) > 0 && rest[0] == ':' { // as some routers have it
		rest = rest[1:]
	}
	rest = bytes.TrimPrefix(rest, space)
	i := bytes.IndexByte(rest, ' ')
	// Programs leave the host out when they write to a socket of their own.
	if i > 0 && rest[i-1] != ':' && bytes.IndexByte(rest[:i], '[') < 0 {
		p.hostname, rest = rest[:i], rest[i+1:]
	}
	p.takeTag(rest)
}

var space = []byte(" ")

// takeTag reads program[pid]: and the message behind it.
func (p *parser) takeTag(rest []byte) {
	p.text = rest
	i := 0
	for i < len(rest) && rest[i] > ' ' && rest[i] < 0x7f && rest[i] != ':' && rest[i] != '[' {
		i++
	}
	if i == 0 || i == len(rest) || rest[i] != ':' && rest[i] != '[' {
		return
	}
	program := rest[:i]
	var pid []byte
	if rest[i] == '[' {
		end := bytes.IndexByte(rest[i:], ']')
		if end < 1 || bytes.IndexByte(rest[i:i+end], ' ') >= 0 {
			return
		}
		pid = rest[i+1 : i+end]
		if i += end + 1; i < len(rest) && rest[i] != ':' && rest[i] != ' ' {
			return
		}
	}
	p.program, p.pid = program, pid
	if i < len(rest) && rest[i] == ':' {
		i++
	}
	p.text = bytes.TrimPrefix(rest[i:], space)
}

func isDigit(c byte) bool { return c-'0' <= 9 }
