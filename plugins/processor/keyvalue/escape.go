package keyvalue

import (
	"unicode/utf16"
	"unicode/utf8"
)

// unescape writes the text of a quoted value to dst and returns how long it
// is: at most len(s). A backslash that begins no escape stands for itself.
func unescape(dst, s []byte, quote byte) int {
	n := 0
	for i := 0; i < len(s); i++ {
		c := s[i]
		if c == '\\' && i+1 < len(s) {
			switch next := s[i+1]; next {
			case quote, '"', '\\', '/':
				c = next
				i++
			case 'b', 'f', 'n', 'r', 't':
				c = controls[next]
				i++
			case 'u':
				if r, size := unicodeEscape(s[i:]); size > 0 {
					n += utf8.EncodeRune(dst[n:], r)
					i += size - 1
					continue
				}
			}
		}
		dst[n] = c
		n++
	}
	return n
}

var controls = [256]byte{'b': '\b', 'f': '\f', 'n': '\n', 'r': '\r', 't': '\t'}

// unicodeEscape reads \u and four digits, or two of them for a surrogate pair.
// Half a pair is U+FFFD. size is 0 when the digits are none.
func unicodeEscape(s []byte) (r rune, size int) {
	r, ok := hex4(s)
	if !ok {
		return 0, 0
	}
	if utf16.IsSurrogate(r) {
		second, _ := hex4(s[6:])
		if pair := utf16.DecodeRune(r, second); pair != utf8.RuneError {
			return pair, 12
		}
		return utf8.RuneError, 6
	}
	return r, 6
}

func hex4(s []byte) (r rune, ok bool) {
	if len(s) < 6 || s[0] != '\\' || s[1] != 'u' {
		return 0, false
	}
	for _, c := range s[2:6] {
		switch {
		case '0' <= c && c <= '9':
			c -= '0'
		case 'a' <= c|0x20 && c|0x20 <= 'f':
			c = c | 0x20 - 'a' + 10
		default:
			return 0, false
		}
		r = r<<4 | rune(c)
	}
	return r, true
}
