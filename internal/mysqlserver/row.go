package mysqlserver

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"unicode/utf8"
)

// Kind is what a column holds.
type Kind uint8

// The kinds of columns. A number is written to JSON as one, and JSON as it is, if
// they are valid there; all else is text.
const (
	Text Kind = iota
	Number
	JSON
)

// Base64Prefix is in front of a value that is no valid UTF-8, which is then written
// in base64: what it says is text must be text everywhere.
const Base64Prefix = "base64:"

// AppendText appends a value as the text of a field.
func AppendText(dst, value []byte) []byte {
	if utf8.Valid(value) {
		return append(dst, value...)
	}
	dst = append(dst, Base64Prefix...)
	return base64.StdEncoding.AppendEncode(dst, value)
}

// AppendKey appends `"name":`, with a comma in front unless it is the first of the
// object that dst ends with.
func AppendKey(dst []byte, name string) []byte {
	if len(dst) > 0 && dst[len(dst)-1] != '{' {
		dst = append(dst, ',')
	}
	return append(AppendString(dst, []byte(name)), ':')
}

// AppendValue appends the text of a value, as AppendText gives it, as JSON.
func AppendValue(dst, text []byte, kind Kind) []byte {
	if kind == Number && isNumber(text) {
		return append(dst, text...)
	}
	if kind == JSON && json.Valid(text) && !bytes.ContainsAny(text, "\r\n") {
		return append(dst, text...)
	}
	return AppendString(dst, text)
}

// isNumber is true for what JSON takes as a number: no leading zeros, for example.
func isNumber(s []byte) bool {
	if len(s) > 0 && s[0] == '-' {
		s = s[1:]
	}
	whole := digits(s)
	if whole == 0 || whole > 1 && s[0] == '0' {
		return false
	}
	s = s[whole:]
	if len(s) > 0 && s[0] == '.' {
		part := digits(s[1:])
		if part == 0 {
			return false
		}
		s = s[1+part:]
	}
	if len(s) > 0 && (s[0] == 'e' || s[0] == 'E') {
		s = s[1:]
		if len(s) > 0 && (s[0] == '+' || s[0] == '-') {
			s = s[1:]
		}
		n := digits(s)
		return n > 0 && n == len(s)
	}
	return len(s) == 0
}

func digits(s []byte) (n int) {
	for n < len(s) && s[n] >= '0' && s[n] <= '9' {
		n++
	}
	return n
}

const hex = "0123456789abcdef"

// AppendString appends text as a JSON string. Bytes that are not part of valid
// UTF-8 become U+FFFD.
func AppendString(dst, text []byte) []byte {
	dst = append(dst, '"')
	start := 0 // of what is not yet copied
	for i := 0; i < len(text); {
		c := text[i]
		if c >= utf8.RuneSelf {
			r, size := utf8.DecodeRune(text[i:])
			if r == utf8.RuneError && size == 1 {
				dst = append(append(dst, text[start:i]...), "\ufffd"...)
				start = i + 1
			}
			i += size
			continue
		}
		if c >= ' ' && c != '"' && c != '\\' {
			i++
			continue
		}
		dst = append(dst, text[start:i]...)
		switch c {
		case '"', '\\':
			dst = append(dst, '\\', c)
		case '\n':
			dst = append(dst, '\\', 'n')
		case '\r':
			dst = append(dst, '\\', 'r')
		case '\t':
			dst = append(dst, '\\', 't')
		default:
			dst = append(dst, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
		}
		i++
		start = i
	}
	return append(append(dst, text[start:]...), '"')
}
