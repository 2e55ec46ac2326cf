// Package cell knows what stands around a value between separators: its quotes,
// its padding, and how quoted text writes characters by their number.
//
// It copies nothing: what it returns is part of what it is given. It starts no
// goroutines.
package cell

// ParseQuote returns the quote character that a setting names, 0 for none. It
// is '"' if the setting is empty, and ok is false if it is not one character.
func ParseQuote(setting string) (quote byte, ok bool) {
	switch {
	case setting == "none":
		return 0, true
	case setting == "":
		return '"', true
	case len(setting) == 1 && setting[0] > ' ' && setting[0] < 0x80:
		return setting[0], true
	}
	return 0, false
}

// Trim returns s without the spaces and tabs around it.
func Trim(s []byte) []byte {
	for len(s) > 0 && (s[len(s)-1] == ' ' || s[len(s)-1] == '\t') {
		s = s[:len(s)-1]
	}
	return TrimLeft(s)
}

// TrimLeft returns s without the spaces and tabs before it.
func TrimLeft(s []byte) []byte {
	for len(s) > 0 && (s[0] == ' ' || s[0] == '\t') {
		s = s[1:]
	}
	return s
}
