package jsonfields

import (
	"encoding/binary"
	"math/bits"
	"unicode/utf8"

	"github.com/wasmtail/wasmtail/internal/cell"
)

// The scanning functions below take a text and a position and return the
// position behind what they have read, or one of these.
const (
	badSyntax = -1 - iota
	badEnd    // the text ends too early
	badDepth  // more than nestingMax levels
)

// nestingMax bounds the depth of values, and so the stack. Logs have less than
// ten levels.
const nestingMax = 128

const (
	ones  = 0x0101010101010101
	highs = 0x8080808080808080
)

// skipSpace returns the position of the next byte that is not white space.
func skipSpace(s []byte, at int) int {
	for at < len(s) && s[at] <= ' ' && (s[at] == ' ' || s[at] == '\n' || s[at] == '\t' || s[at] == '\r') {
		at++
	}
	return at
}

// skipString returns the position of the quote that ends the string whose
// first byte is s[at], and whether the string has escapes.
func skipString(s []byte, at int) (end int, escaped bool) {
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
				return badEnd, escaped
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
			return badSyntax, escaped
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
		return badEnd
	}
	switch s[at+1] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return at + 2
	case 'u':
		if at+6 > len(s) {
			return badEnd
		}
		if _, size := cell.Unicode(s[at:]); size == 0 {
			return badSyntax
		}
		return at + 6
	}
	return badSyntax
}

// unescape writes the text of a string, whose escapes are valid, to dst, and
// returns how long it is: at most len(s). Half a surrogate pair becomes U+FFFD.
func unescape(dst, s []byte) int {
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

// skipValue reads any value at s[at], which is no white space.
func skipValue(s []byte, at, depth int) int {
	if at >= len(s) {
		return badEnd
	}
	switch s[at] {
	case '"':
		end, _ := skipString(s, at+1)
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
	if depth > nestingMax {
		return badDepth
	}
	at = skipSpace(s, at+1)
	if at < len(s) && s[at] == '}' {
		return at + 1
	}
	for {
		_, _, next := skipKey(s, at)
		if next < 0 {
			return next
		}
		if at = skipValue(s, next, depth); at < 0 {
			return at
		}
		more := false
		if at, more = skipComma(s, at, '}'); !more {
			return at
		}
	}
}

func skipArray(s []byte, at, depth int) int {
	if depth > nestingMax {
		return badDepth
	}
	at = skipSpace(s, at+1)
	if at < len(s) && s[at] == ']' {
		return at + 1
	}
	for {
		if at = skipValue(s, at, depth); at < 0 {
			return at
		}
		more := false
		if at, more = skipComma(s, at, ']'); !more {
			return at
		}
	}
}

// skipKey reads a key at s[at], the colon and the white space behind it. end is
// the position of the quote that ends the key.
func skipKey(s []byte, at int) (end int, escaped bool, next int) {
	if at >= len(s) {
		return 0, false, badEnd
	}
	if s[at] != '"' {
		return 0, false, badSyntax
	}
	end, escaped = skipString(s, at+1)
	if end < 0 {
		return 0, false, end
	}
	at = skipSpace(s, end+1)
	if at >= len(s) {
		return 0, false, badEnd
	}
	if s[at] != ':' {
		return 0, false, badSyntax
	}
	return end, escaped, skipSpace(s, at+1)
}

// skipComma reads what follows an element: a comma and white space (more is
// true) or the closing bracket.
func skipComma(s []byte, at int, closing byte) (next int, more bool) {
	at = skipSpace(s, at)
	switch {
	case at >= len(s):
		return badEnd, false
	case s[at] == ',':
		return skipSpace(s, at+1), true
	case s[at] == closing:
		return at + 1, false
	}
	return badSyntax, false
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
		return badEnd
	case s[at] == '0':
		at++
	case s[at]-'1' <= 8:
		at = skipDigits(s, at)
	default:
		return badSyntax
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
		return badEnd
	}
	return badSyntax
}

func skipDigits(s []byte, at int) int {
	for at < len(s) && s[at]-'0' <= 9 {
		at++
	}
	return at
}

func missingDigit(s []byte, at int) int {
	if at >= len(s) {
		return badEnd
	}
	return badSyntax
}
