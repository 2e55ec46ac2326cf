package keyvalue

import (
	"bytes"

	"github.com/wasmtail/wasmtail/internal/cell"
	"github.com/wasmtail/wasmtail/internal/record"
)

// keyBytes are those that a key can have which ends an open value.
var keyBytes = func() (set [256]bool) {
	for c := range set {
		set[c] = c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
	}
	for _, c := range "_.-[]" {
		set[c] = true
	}
	return set
}()

// openValue reads a value that goes on up to the next key, and returns the text
// from there on.
func (p *Processor) openValue(b *record.Batch, text []byte) (value, rest []byte) {
	word, end := 0, len(text) // where the word at hand begins, and the value ends
	isKey, escaped := false, false
scan:
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case isKey && i > word && bytes.HasPrefix(text[i:], p.sign):
			end = word
			break scan
		case c == ' ' || c == '\t':
			word, isKey = i+1, true
		case c == '\\':
			isKey, escaped = false, true
			i++
		default:
			isKey = isKey && keyBytes[c]
		}
	}
	value = cell.Trim(text[:end])
	if escaped {
		dst := b.Alloc(len(value))
		value = dst[:unescapeOpen(dst, value)]
	}
	return value, text[end:]
}

// unescapeOpen writes the text of an open value to dst and returns how long it is:
// at most len(s). A backslash that begins no escape stands for itself.
func unescapeOpen(dst, s []byte) int {
	n := 0
	for i := 0; i < len(s); i++ {
		c := s[i]
		if c == '\\' && i+1 < len(s) {
			switch next := s[i+1]; next {
			case '\\', '=', '|':
				c = next
				i++
			case 'n', 'r':
				c = controls[next]
				i++
			}
		}
		dst[n] = c
		n++
	}
	return n
}
