package main

import "github.com/wasmtail/wasmtail/sdk/wt"

// depthMax bounds how deep values may be nested, the envelope counted.
const depthMax = 64

// text is what is between the quotes of a JSON text.
type text struct {
	raw     []byte // as it stands, nil for none
	escaped bool   // it has a backslash
}

// decoded is the text without escapes, in the arena if it had any.
func (t *text) decoded() []byte {
	if t.escaped {
		return wt.Unescape(t.raw)
	}
	return t.raw
}

// scan reads JSON from left to right and allocates nothing. After the first fault
// all of its methods find nothing.
type scan struct {
	s    []byte
	i    int  // where it is in s
	bad  bool // it is no JSON
	deep bool // it is nested too deep, which is bad as well
}

func (j *scan) fail() {
	j.i, j.bad = len(j.s), true
}

// peek is the next byte that is no blank, 0 when there is none.
func (j *scan) peek() byte {
	for ; j.i < len(j.s); j.i++ {
		if c := j.s[j.i]; c != ' ' && c != '\t' && c != '\r' && c != '\n' {
			return c
		}
	}
	return 0
}

// lit steps over the byte that comes next, if it is c.
func (j *scan) lit(c byte) bool {
	if j.i < len(j.s) && j.s[j.i] == c {
		j.i++
		return true
	}
	return false
}

// take is lit behind blanks.
func (j *scan) take(c byte) bool {
	if j.lit(c) {
		return true
	}
	j.peek()
	return j.lit(c)
}

// need is take for what must be there.
func (j *scan) need(c byte) bool {
	if !j.take(c) {
		j.fail()
		return false
	}
	return true
}

// next is true when one more member or element follows, of which n were read, and
// steps over the comma before it. Otherwise the list was closed, or is bad.
func (j *scan) next(n int, end byte) bool {
	if n > 0 && j.lit(',') {
		return true
	}
	if j.take(end) {
		return false
	}
	return !j.bad && (n == 0 || j.need(','))
}

// text reads a text.
func (j *scan) text() (t text) {
	if !j.need('"') {
		return t
	}
	rest := j.s[j.i:]
	n := wt.Find2(rest, '"', '\\')
	t.escaped = n < len(rest) && rest[n] == '\\'
	for n+1 < len(rest) && rest[n] == '\\' {
		n += 2
		n += wt.Find2(rest[n:], '"', '\\')
	}
	if n >= len(rest) || rest[n] != '"' {
		j.fail()
		return text{}
	}
	j.i += n + 1
	t.raw = rest[:n:n]
	return t
}

// key reads the name of a member, decoded, and the colon behind it.
func (j *scan) key() []byte {
	k := j.text()
	j.need(':')
	return k.decoded()
}

// value steps over any value, which is inside of depth others, and returns it as
// it stands if it is a text.
func (j *scan) value(depth int) text {
	switch c := j.peek(); c {
	case '"':
		return j.text()
	case '{', '[':
		if depth >= depthMax {
			j.deep = true
			j.fail()
			break
		}
		j.i++
		for n := 0; j.next(n, c+2); n++ { // the closing bracket is two bytes on
			if c == '{' {
				j.text()
				j.need(':')
			}
			j.value(depth + 1)
		}
	case 't':
		j.word("true")
	case 'f':
		j.word("false")
	case 'n':
		j.word("null")
	default:
		j.number()
	}
	return text{}
}

func (j *scan) word(w string) {
	if rest := j.s[j.i:]; len(rest) < len(w) || string(rest[:len(w)]) != w {
		j.fail()
		return
	}
	j.i += len(w)
}

// number reads a number and returns it; whole says that it is written as an
// integer.
func (j *scan) number() (n []byte, whole bool) {
	j.peek()
	begin := j.i
	j.lit('-')
	if !j.lit('0') {
		j.digits()
	}
	whole = true
	if j.lit('.') {
		whole = false
		j.digits()
	}
	if j.lit('e') || j.lit('E') {
		whole = false
		if !j.lit('-') {
			j.lit('+')
		}
		j.digits()
	}
	return j.s[begin:j.i], whole
}

// digits steps over at least one digit.
func (j *scan) digits() {
	begin := j.i
	for j.i < len(j.s) && j.s[j.i]-'0' < 10 {
		j.i++
	}
	if j.i == begin {
		j.fail()
	}
}
