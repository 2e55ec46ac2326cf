package main

import "github.com/wasmtail/wasmtail/sdk/wt"

// depthMax bounds how deep values may be nested, the envelope counted.
const depthMax = 64

// scan reads JSON from left to right and allocates nothing. After the first fault
// all of its methods find nothing.
type scan struct {
	s    []byte // what is left
	bad  bool   // it is no JSON
	deep bool   // it is nested too deep, which is bad as well
}

func (j *scan) fail() {
	j.s, j.bad = nil, true
}

// peek is the next byte that is no blank, 0 when there is none.
func (j *scan) peek() byte {
	for i, c := range j.s {
		if c != ' ' && c != '\t' && c != '\r' && c != '\n' {
			j.s = j.s[i:]
			return c
		}
	}
	j.s = nil
	return 0
}

// take steps over the byte that comes next, blanks aside, if it is c.
func (j *scan) take(c byte) bool {
	if j.peek() != c {
		return false
	}
	j.s = j.s[1:]
	return true
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
	if j.take(end) {
		return false
	}
	return !j.bad && (n == 0 || j.need(','))
}

// text reads a text and returns what is between its quotes, as it stands.
func (j *scan) text() []byte {
	if !j.need('"') {
		return nil
	}
	t, ok := wt.Quoted(&j.s)
	if !ok {
		j.fail()
	}
	return t
}

// key reads the name of a member, decoded, and the colon behind it.
func (j *scan) key() []byte {
	k := wt.Unescape(j.text())
	j.need(':')
	return k
}

// value steps over any value, which is inside of depth others, and returns it as
// it stands if it is a text.
func (j *scan) value(depth int) []byte {
	switch c := j.peek(); c {
	case '"':
		return j.text()
	case '{', '[':
		if depth >= depthMax {
			j.deep = true
			j.fail()
			break
		}
		j.s = j.s[1:]
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
	return nil
}

func (j *scan) word(w string) {
	if !wt.Prefix(&j.s, w) {
		j.fail()
	}
}

// number reads a number and returns it.
func (j *scan) number() []byte {
	j.peek()
	all := j.s
	wt.Lit(&j.s, '-')
	if !wt.Lit(&j.s, '0') {
		j.digits()
	}
	if wt.Lit(&j.s, '.') {
		j.digits()
	}
	if wt.Lit(&j.s, 'e') || wt.Lit(&j.s, 'E') {
		if !wt.Lit(&j.s, '-') {
			wt.Lit(&j.s, '+')
		}
		j.digits()
	}
	return all[:len(all)-len(j.s)]
}

// digits steps over at least one digit.
func (j *scan) digits() {
	n := 0
	for n < len(j.s) && j.s[n]-'0' < 10 {
		n++
	}
	if j.s = j.s[n:]; n == 0 {
		j.fail()
	}
}
