// Package jsonscan finds the parts of JSON texts by position, in one pass and without
// memory of its own.
//
// It promises to accept exactly what RFC 8259 allows, nested up to NestingMax levels,
// whatever the bytes of strings beyond ASCII are, and not to interpret numbers. Its
// functions take a text and a position in it, and return the position behind what
// they have read, or BadSyntax, BadEnd or BadDepth, which are negative. They write
// nothing to the text, and are safe for concurrent use.
package jsonscan

import (
	"encoding/binary"
	"math/bits"
	"unicode/utf8"

	"github.com/wasmtail/wasmtail/internal/cell"
)

// What the functions return for a text that is no JSON.
const (
	// BadSyntax says that there is something that JSON does not have.
	BadSyntax = -1 - iota
	// BadEnd says that the text ends too early.
	BadEnd
	// BadDepth says that there are more than NestingMax levels.
	BadDepth
)

// NestingMax bounds the depth of values, and so the stack. Logs have less than
// ten levels.
const NestingMax = 128

const (
	ones  = 0x0101010101010101
	highs = 0x8080808080808080
)

// Space skips white space: it returns the position of the next byte that is not white space.
func Space(s []byte, at int) int {
	for at < len(s) && s[at] <= ' ' && (s[at] == ' ' || s[at] == '\n' || s[at] == '\t' || s[at] == '\r') {
		at++
	}
	return at
}

// String returns the position of the quote that ends the string whose first byte,
// behind its opening quote, is s[at], and whether the string has escapes.
func String(s []byte, at int) (end int, escaped bool) {
	for {
		// Like plain, but without a call for the usual string.
		for at+8 <= len(s) {
			w := binary.LittleEndian.Uint64(s[at:])
			if found := special(w); found != 0 {
				at += bits.TrailingZeros64(found) >> 3
				break
			}
			at += 8
		}
		if at+8 > len(s) {
			if at = plain(s, at); at == len(s) {
				return BadEnd, escaped
			}
		}
		switch s[at] {
		case '"':
			return at, escaped
		case '\\':
			escaped = true
			if at = skipEscape(s, at); at < 0 {
				return at, escaped
			}
		default: // a control character
			return BadSyntax, escaped
		}
	}
}

// special flags quotes, backslashes and control characters in eight bytes. The
// lowest byte it flags is right; those above may be wrong.
func special(w uint64) uint64 {
	quote, slash := w^(ones*'"'), w^(ones*'\\')
	return (((w - ones*0x20) &^ w) | ((quote - ones) &^ quote) | ((slash - ones) &^ slash)) & highs
}

// plain returns the position of the first quote, backslash or control
// character from at on, or the length of s.
func plain(s []byte, at int) int {
	for at+8 <= len(s) {
		if found := special(binary.LittleEndian.Uint64(s[at:])); found != 0 {
			return at + bits.TrailingZeros64(found)>>3
		}
		at += 8
	}
	for at < len(s) && s[at] >= 0x20 && s[at] != '"' && s[at] != '\\' {
		at++
	}
	return at
}

// skipEscape reads the escape whose backslash is s[at].
func skipEscape(s []byte, at int) int {
	if at+1 >= len(s) {
		return BadEnd
	}
	switch s[at+1] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return at + 2
	case 'u':
		if at+6 > len(s) {
			return BadEnd
		}
		if _, size := cell.Unicode(s[at:]); size == 0 {
			return BadSyntax
		}
		return at + 6
	}
	return BadSyntax
}

// Unescape writes the text of a string without its quotes, whose escapes are valid as
// String has found them, to dst, which is as long as s at least, and returns how long
// the text is. Half a surrogate pair becomes U+FFFD.
func Unescape(dst, s []byte) int {
	n := 0
	for i := 0; i < len(s); {
		if s[i] != '\\' {
			end := plain(s, i)
			n += copy(dst[n:], s[i:end])
			i = end
			continue
		}
		c := s[i+1]
		i += 2
		switch c {
		case 'b':
			c = '\b'
		case 'f':
			c = '\f'
		case 'n':
			c = '\n'
		case 'r':
			c = '\r'
		case 't':
			c = '\t'
		case 'u':
			r, size := cell.Unicode(s[i-2:])
			i += size - 2
			n += utf8.EncodeRune(dst[n:], r)
			continue
		}
		dst[n] = c
		n++
	}
	return n
}

// Value reads any value at s[at], which is no white space. depth is how many objects
// and arrays are around it.
func Value(s []byte, at, depth int) int {
	if at >= len(s) {
		return BadEnd
	}
	switch s[at] {
	case '"':
		end, _ := String(s, at+1)
		if end < 0 {
			return end
		}
		return end + 1
	case '{':
		return skipObject(s, at, depth+1)
	case '[':
		return skipArray(s, at, depth+1)
	}
	return skipScalar(s, at)
}

func skipObject(s []byte, at, depth int) int {
	if depth > NestingMax {
		return BadDepth
	}
	at = Space(s, at+1)
	if at < len(s) && s[at] == '}' {
		return at + 1
	}
	for {
		_, _, next := Key(s, at)
		if next < 0 {
			return next
		}
		if at = Value(s, next, depth); at < 0 {
			return at
		}
		more := false
		if at, more = Comma(s, at, '}'); !more {
			return at
		}
	}
}

func skipArray(s []byte, at, depth int) int {
	if depth > NestingMax {
		return BadDepth
	}
	at = Space(s, at+1)
	if at < len(s) && s[at] == ']' {
		return at + 1
	}
	for {
		if at = Value(s, at, depth); at < 0 {
			return at
		}
		more := false
		if at, more = Comma(s, at, ']'); !more {
			return at
		}
	}
}

// Key reads a key of an object at s[at], the colon and the white space behind it. end
// is the position of the quote that ends the key; next, where the value is, is negative
// for what is none.
func Key(s []byte, at int) (end int, escaped bool, next int) {
	if at >= len(s) {
		return 0, false, BadEnd
	}
	if s[at] != '"' {
		return 0, false, BadSyntax
	}
	end, escaped = String(s, at+1)
	if end < 0 {
		return 0, false, end
	}
	at = Space(s, end+1)
	if at >= len(s) {
		return 0, false, BadEnd
	}
	if s[at] != ':' {
		return 0, false, BadSyntax
	}
	return end, escaped, Space(s, at+1)
}

// Comma reads what follows an element of an object or array: a comma and white space,
// and more is true, or the closing bracket.
func Comma(s []byte, at int, closing byte) (next int, more bool) {
	at = Space(s, at)
	switch {
	case at >= len(s):
		return BadEnd, false
	case s[at] == ',':
		return Space(s, at+1), true
	case s[at] == closing:
		return at + 1, false
	}
	return BadSyntax, false
}

// skipScalar reads a number, true, false or null.
func skipScalar(s []byte, at int) int {
	switch s[at] {
	case 't':
		return skipWord(s, at, "true")
	case 'f':
		return skipWord(s, at, "false")
	case 'n':
		return skipWord(s, at, "null")
	}
	if s[at] == '-' {
		at++
	}
	switch {
	case at >= len(s):
		return BadEnd
	case s[at] == '0':
		at++
	case s[at]-'1' <= 8:
		at = skipDigits(s, at)
	default:
		return BadSyntax
	}
	if at < len(s) && s[at] == '.' {
		first := at + 1
		if at = skipDigits(s, first); at == first {
			return missingDigit(s, at)
		}
	}
	if at < len(s) && s[at]|0x20 == 'e' {
		at++
		if at < len(s) && (s[at] == '+' || s[at] == '-') {
			at++
		}
		first := at
		if at = skipDigits(s, first); at == first {
			return missingDigit(s, at)
		}
	}
	return at
}

func skipWord(s []byte, at int, word string) int {
	if at+len(word) <= len(s) && string(s[at:at+len(word)]) == word {
		return at + len(word)
	}
	if rest := s[at:]; len(rest) < len(word) && string(rest) == word[:len(rest)] {
		return BadEnd
	}
	return BadSyntax
}

func skipDigits(s []byte, at int) int {
	for at < len(s) && s[at]-'0' <= 9 {
		at++
	}
	return at
}

func missingDigit(s []byte, at int) int {
	if at >= len(s) {
		return BadEnd
	}
	return BadSyntax
}
