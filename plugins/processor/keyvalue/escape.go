package keyvalue

import (
	"unicode/utf8"

	"github.com/wasmtail/wasmtail/internal/cell"
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
				if r, size := cell.Unicode(s[i:]); size > 0 {
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
