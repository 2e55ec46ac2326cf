package wt

import (
	"math/bits"
	"unsafe"
)

// Ones in each byte of a word, and their top bits.
const (
	ones = 0x0101010101010101
	tops = 0x8080808080808080
)

// word is the 8 bytes from i on, least significant first as all platforms here
// have it.
func word(p unsafe.Pointer, i int) uint64 { return *(*uint64)(unsafe.Add(p, i)) }

// miss has the top bit of each byte of x that is zero, of which only the lowest
// can be trusted: a byte above a zero may be marked too.
func miss(x uint64) uint64 { return (x - ones) &^ x & tops }

// block is how many bytes one step looks at.
const block = 32

// first is the index of the first byte that four words of miss mark, or block. It has
// no branch: in a module a jump costs more than the words that it would save.
func first(a, b, c, d uint64) int {
	i, j, k, l := bits.TrailingZeros64(a)>>3, bits.TrailingZeros64(b)>>3, bits.TrailingZeros64(c)>>3, bits.TrailingZeros64(d)>>3
	return i + (j+(k+l&-(k>>3))&-(j>>3))&-(i>>3) // a word without a mark has 8
}

// Find returns the index of the first c in s, or len(s). It looks at 32 bytes a step:
// a byte of a word is zero where s has c.
func Find(s []byte, c byte) int {
	p, n, i := unsafe.Pointer(unsafe.SliceData(s)), len(s), 0
	want := uint64(c) * ones
	for {
		if n-i < block {
			return findLast(p, i, n, want)
		}
		k := first(miss(word(p, i)^want), miss(word(p, i+8)^want), miss(word(p, i+16)^want), miss(word(p, i+24)^want))
		i += k
		if k < block {
			return i
		}
	}
}

// findLast is Find for the last bytes of n, fewer than block from i on. There is none
// before i, so that words may overlap: each begins 8 behind the one before it, or with
// the last 8 bytes.
func findLast(p unsafe.Pointer, i, n int, want uint64) int {
	last := n - 8
	if last < 0 {
		for ; i < n; i++ {
			if *(*byte)(unsafe.Add(p, i)) == byte(want) {
				return i
			}
		}
		return n
	}
	at := func(i int) int { return last + (i-last)&((i-last)>>63) } // the lesser of the two
	i, j, k := at(i), at(i+8), at(i+16)
	a, b := miss(word(p, i)^want), miss(word(p, j)^want)
	c, d := miss(word(p, k)^want), miss(word(p, last)^want)
	switch {
	case a != 0:
		return i + bits.TrailingZeros64(a)>>3
	case b != 0:
		return j + bits.TrailingZeros64(b)>>3
	case c != 0:
		return k + bits.TrailingZeros64(c)>>3
	}
	return last + bits.TrailingZeros64(d)>>3 // n, if there is none
}

// Find2 returns the index of the first a or b in s, or len(s).
func Find2(s []byte, a, b byte) int {
	p, n, i := unsafe.Pointer(unsafe.SliceData(s)), len(s), 0
	one, two := uint64(a)*ones, uint64(b)*ones
	for ; i+32 <= n; i += 32 {
		if w := word(p, i); (miss(w^one) | miss(w^two)) != 0 {
			return i + bits.TrailingZeros64(miss(w^one)|miss(w^two))>>3
		}
		if w := word(p, i+8); (miss(w^one) | miss(w^two)) != 0 {
			return i + 8 + bits.TrailingZeros64(miss(w^one)|miss(w^two))>>3
		}
		if w := word(p, i+16); (miss(w^one) | miss(w^two)) != 0 {
			return i + 16 + bits.TrailingZeros64(miss(w^one)|miss(w^two))>>3
		}
		if w := word(p, i+24); (miss(w^one) | miss(w^two)) != 0 {
			return i + 24 + bits.TrailingZeros64(miss(w^one)|miss(w^two))>>3
		}
	}
	for ; i+8 <= n; i += 8 {
		w := word(p, i)
		if m := miss(w^one) | miss(w^two); m != 0 {
			return i + bits.TrailingZeros64(m)>>3
		}
	}
	for ; i < n; i++ {
		if c := *(*byte)(unsafe.Add(p, i)); c == a || c == b {
			return i
		}
	}
	return n
}

// Until takes the bytes before the first c and steps over the c. False, and
// nothing has changed, when there is no c.
func Until(s *[]byte, c byte) (part []byte, ok bool) {
	b := *s
	i := Find(b, c)
	if i == len(b) {
		return nil, false
	}
	*s = b[i+1:]
	return b[:i], true
}

// Lit steps over one byte, if it is c.
func Lit(s *[]byte, c byte) bool {
	if b := *s; len(b) > 0 && b[0] == c {
		*s = b[1:]
		return true
	}
	return false
}

// Prefix steps over text, if s begins with it.
func Prefix(s *[]byte, text string) bool {
	if b := *s; len(b) >= len(text) && string(b[:len(text)]) == text {
		*s = b[len(text):]
		return true
	}
	return false
}

// Quoted takes a quoted text whose opening quote was stepped over: what is before
// the next quote that has no backslash before it, as it stands (see Unescape); s
// goes on behind that quote. False, and nothing has changed, when there is none.
func Quoted(s *[]byte) (part []byte, ok bool) {
	b := *s
	i := Find(b, '"')
	if i > 0 && i < len(b) && b[i-1] == '\\' {
		i = unescapedQuote(b)
	}
	if uint(i) >= uint(len(b)) { // -1 is too large
		return nil, false
	}
	*s = b[i+1:]
	return b[:i], true
}

// unescapedQuote is the index of the first quote that has no backslash before it, or
// -1.
func unescapedQuote(b []byte) int {
	i := Find2(b, '"', '\\')
	for i < len(b) && b[i] == '\\' {
		if len(b)-i < 2 {
			return -1
		}
		i += 2
		i += Find2(b[i:], '"', '\\')
	}
	if i >= len(b) {
		return -1
	}
	return i
}

// Chomp is s without one carriage return at its end.
func Chomp(s []byte) []byte {
	if n := len(s); n > 0 && s[n-1] == '\r' {
		return s[:n-1]
	}
	return s
}

// Trim is s without blanks and tabs at both ends.
func Trim(s []byte) []byte {
	for len(s) > 0 && (s[0] == ' ' || s[0] == '\t') {
		s = s[1:]
	}
	for n := len(s); n > 0 && (s[n-1] == ' ' || s[n-1] == '\t'); n = len(s) {
		s = s[:n-1]
	}
	return s
}

// ParseInt reads digits with at most a minus before them: all of s, and within 64
// bits, or it is false.
func ParseInt(s []byte) (n int64, ok bool) {
	minus := len(s) > 0 && s[0] == '-'
	if minus {
		s = s[1:]
	}
	if len(s) == 0 {
		return 0, false
	}
	if len(s) > 18 {
		return parseLong(s, minus)
	}
	for _, c := range s {
		d := c - '0'
		if d > 9 {
			return 0, false
		}
		n = n*10 + int64(d)
	}
	if minus {
		n = -n
	}
	return n, true
}

// parseLong is for what may be more than 64 bits hold.
func parseLong(s []byte, minus bool) (int64, bool) {
	v, most := uint64(0), uint64(1)<<63-1
	if minus {
		most++
	}
	for _, c := range s {
		d := uint64(c - '0')
		if d > 9 || v > (most-d)/10 {
			return 0, false
		}
		v = v*10 + d
	}
	if minus {
		v = -v
	}
	return int64(v), true // checked against most
}

// Get finds the value of a key of a JSON object, as it stands there: a text with
// its quotes. Keys with escapes are not found. It reads the object up to the key,
// and is no check of the rest.
func Get(object []byte, key string) (value []byte, ok bool) {
	for name, v := range Members(object) {
		if string(name) == key {
			return v, true
		}
	}
	return nil, false
}

// Members goes over the keys and values of a JSON object, as they stand there, as
// far as it is one.
func Members(object []byte) func(yield func(name, value []byte) bool) {
	return func(yield func(name, value []byte) bool) {
		s := blank(object)
		if !Lit(&s, '{') {
			return
		}
		for s = blank(s); Lit(&s, '"'); s = blank(s) {
			name, ok := Quoted(&s)
			if s = blank(s); !ok || !Lit(&s, ':') {
				return
			}
			s = blank(s)
			n := value(s)
			if n <= 0 || !yield(name, s[:n]) {
				return
			}
			if s = blank(s[n:]); !Lit(&s, ',') {
				return
			}
		}
	}
}

// Element takes the next value of a JSON array, whose opening bracket was stepped
// over, with the comma behind it. False at the end.
func Element(s *[]byte) (v []byte, ok bool) {
	b := blank(*s)
	n := value(b)
	if n <= 0 {
		return nil, false
	}
	v, b = b[:n], blank(b[n:])
	if len(b) > 0 && b[0] == ',' {
		b = b[1:]
	}
	*s = b
	return v, true
}

func isBlank(c byte) bool { return c == ' ' || c == '\t' || c == '\n' || c == '\r' }

func blank(s []byte) []byte {
	for len(s) > 0 && isBlank(s[0]) {
		s = s[1:]
	}
	return s
}

// value is the length of the JSON value that s begins with, or -1. It is as strict
// as finding the end needs.
func value(s []byte) int {
	depth := 0
	for i := 0; i < len(s); {
		switch c := s[i]; {
		case c == '"':
			rest := s[i+1:]
			if _, ok := Quoted(&rest); !ok {
				return -1
			}
			i = len(s) - len(rest)
		case c == '{' || c == '[':
			depth++
			i++
			continue
		case c == '}' || c == ']':
			if depth--; depth < 0 {
				return -1
			}
			i++
		case c == ',' || c == ':' || isBlank(c):
			if depth == 0 {
				return -1
			}
			i++
			continue
		default:
			for i < len(s) && s[i] != ',' && s[i] != '}' && s[i] != ']' && !isBlank(s[i]) {
				i++
			}
		}
		if depth == 0 {
			return i
		}
	}
	return -1
}

// Unescape decodes the escapes of a JSON text, without its quotes, into the arena;
// a text without a backslash is returned as it is. What is no escape of JSON stays;
// half a surrogate becomes U+FFFD.
func Unescape(s []byte) []byte {
	if Find(s, '\\') == len(s) {
		return s
	}
	p := Arena(len(s))
	if p == nil {
		return s
	}
	return Shrink(p, len(decode(p, s)))
}

// decode writes into q, which has room for s; a text never grows.
func decode(q, s []byte) []byte {
	const from, to = "\"\\/bfnrt", "\"\\/\b\f\n\r\t"
	n := 0
	for i := 0; i < len(s); {
		if s[i] != '\\' || len(s)-i < 2 {
			q[n] = s[i]
			n, i = n+1, i+1
			continue
		}
		if c, size := escape(s[i:]); size > 0 {
			n += copy(q[n:], string(c))
			i += size
			continue
		}
		k := 0
		for k < len(from) && from[k] != s[i+1] {
			k++
		}
		if k < len(from) {
			q[n] = to[k]
			n++
		} else {
			n += copy(q[n:], s[i:i+2])
		}
		i += 2
	}
	return q[:n]
}

// escape reads one \uXXXX, or two that are one character, and says how long it is.
func escape(s []byte) (c rune, size int) {
	c = hex4(s)
	if c < 0 {
		return 0, 0
	}
	size = 6
	if c >= 0xD800 && c < 0xDC00 {
		if low := hex4(s[size:]); low >= 0xDC00 && low < 0xE000 {
			return 0x10000 + (c-0xD800)<<10 + (low - 0xDC00), 2 * size
		}
	}
	if c >= 0xD800 && c < 0xE000 {
		c = 0xFFFD
	}
	return c, size
}

func hex4(s []byte) rune {
	if len(s) < 6 || s[0] != '\\' || s[1] != 'u' {
		return -1
	}
	n := rune(0)
	for _, c := range s[2:6] {
		switch l := c | 32; {
		case c >= '0' && c <= '9':
			n = n<<4 | rune(c-'0')
		case l >= 'a' && l <= 'f':
			n = n<<4 | rune(l-'a'+10)
		default:
			return -1
		}
	}
	return n
}
