package pattern

import (
	"math/bits"
	"sort"
	"unicode"
	"unicode/utf8"
)

// byteSet is a set of byte values.
type byteSet [4]uint64

func (s *byteSet) add(c byte)      { s[c>>6] |= 1 << (c & 63) }
func (s *byteSet) has(c byte) bool { return s[c>>6]&(1<<(c&63)) != 0 }

func (s *byteSet) addRange(lo, hi byte) {
	for c := int(lo); c <= int(hi); c++ {
		s.add(byte(c))
	}
}

func (s byteSet) union(t byteSet) byteSet {
	for i := range s {
		s[i] |= t[i]
	}
	return s
}

func (s byteSet) minus(t byteSet) byteSet {
	for i := range s {
		s[i] &^= t[i]
	}
	return s
}

func (s byteSet) meets(t byteSet) bool {
	return s[0]&t[0]|s[1]&t[1]|s[2]&t[2]|s[3]&t[3] != 0
}

func (s byteSet) count() int {
	return bits.OnesCount64(s[0]) + bits.OnesCount64(s[1]) + bits.OnesCount64(s[2]) + bits.OnesCount64(s[3])
}

// continuation reports whether s has a byte that can stand inside a character.
func (s byteSet) continuation() bool { return s[2] != 0 }

func allBytes() byteSet { return byteSet{^uint64(0), ^uint64(0), ^uint64(0), ^uint64(0)} }

func wordBytes() (s byteSet) {
	s.addRange('0', '9')
	s.addRange('A', 'Z')
	s.addRange('a', 'z')
	s.add('_')
	return s
}

// wide says which characters beyond ASCII belong to a class. A byte that is
// not part of valid UTF-8 counts as the character U+FFFD, as in regexp.
type wide uint8

const (
	wideNone wide = iota
	wideAll
	wideSome
)

// class is a character class, ready to be scanned for. It is immutable.
type class struct {
	// table is 1 for each byte with which a character of the class can begin.
	// It is exact for ASCII; wide and ranges decide the others.
	table  [256]uint8
	bytes  byteSet
	wide   wide
	ranges []rune // pairs, only for wideSome
	scan   scanKind
	// below and eq hold the constants of the scan, repeated in each byte.
	below, high uint64
	eq          [3]uint64
	stop        byte
	runes       []rune // as in the pattern, sorted pairs
	text        string
}

// newClass makes a class of sorted pairs of runes.
func newClass(ranges []rune) *class {
	c := &class{runes: ranges}
	covered := rune(utf8.RuneSelf) // all from U+0080 up to here are in the class
	for i := 0; i < len(ranges); i += 2 {
		lo, hi := ranges[i], ranges[i+1]
		if lo < utf8.RuneSelf {
			c.bytes.addRange(byte(lo), byte(min(hi, utf8.RuneSelf-1)))
		}
		if hi < utf8.RuneSelf {
			continue
		}
		c.ranges = append(c.ranges, max(lo, utf8.RuneSelf), hi)
		if lo <= covered {
			covered = max(covered, hi+1)
		}
	}
	switch {
	case covered > unicode.MaxRune:
		c.wide, c.ranges = wideAll, nil
		c.bytes.addRange(utf8.RuneSelf, 0xff)
	case len(c.ranges) > 0:
		c.wide = wideSome
		c.bytes.addRange(0xc2, 0xf4)
		if c.hasWide(utf8.RuneError) {
			c.bytes.addRange(utf8.RuneSelf, 0xff)
		}
	}
	c.prepare()
	return c
}

// newByteClass makes a class of bytes, for searching only.
func newByteClass(s byteSet) *class {
	c := &class{bytes: s}
	c.prepare()
	return c
}

func (c *class) prepare() {
	for i := range c.table {
		if c.bytes.has(byte(i)) {
			c.table[i] = 1
		}
	}
	c.chooseScan()
}

// hasWide reports whether r, not ASCII, is in a class of kind wideSome.
func (c *class) hasWide(r rune) bool {
	n := len(c.ranges) / 2
	i := sort.Search(n, func(i int) bool { return c.ranges[2*i+1] >= r })
	return i < n && c.ranges[2*i] <= r
}

// one returns the position after the character of the class that begins at
// pos, or -1 if there is none.
func (c *class) one(b []byte, pos int) int {
	if pos >= len(b) || c.table[b[pos]] == 0 {
		return -1
	}
	if b[pos] < utf8.RuneSelf {
		return pos + 1
	}
	r, n := utf8.DecodeRune(b[pos:])
	if c.wide == wideSome && !c.hasWide(r) {
		return -1
	}
	return pos + n
}

// asciiRange returns the bounds of a class that is one range of ASCII.
func (c *class) asciiRange() (lo, hi byte, ok bool) {
	if len(c.runes) != 2 || c.runes[1] >= utf8.RuneSelf {
		return 0, 0, false
	}
	return byte(c.runes[0]), byte(c.runes[1]), true
}

// advance returns the position after n characters of the class, or -1.
func (c *class) advance(b []byte, pos, n int) int {
	for ; n > 0; n-- {
		if pos < len(b) && b[pos] < utf8.RuneSelf {
			if c.table[b[pos]] == 0 {
				return -1
			}
			pos++
			continue
		}
		if pos = c.one(b, pos); pos < 0 {
			return -1
		}
	}
	return pos
}

// upTo returns the position after at most n characters of the class.
func (c *class) upTo(b []byte, pos, n int) int {
	if c.wide == wideNone {
		return c.span(b[:min(len(b), pos+n)], pos)
	}
	for ; n > 0; n-- {
		next := c.one(b, pos)
		if next < 0 {
			break
		}
		pos = next
	}
	return pos
}

// aligned reports whether a character begins at pos. Positions before ASCII
// and before leading bytes always are, since no valid character contains one
// beyond its first byte.
func aligned(b []byte, pos int) bool {
	if pos >= len(b) || b[pos]&0xc0 != 0x80 {
		return true
	}
	for i := pos - 1; i >= 0 && i >= pos-3; i-- {
		if b[i]&0xc0 == 0x80 {
			continue
		}
		_, n := utf8.DecodeRune(b[i:])
		return i+n <= pos
	}
	return true
}

// foldRanges returns r and all its case variants as sorted pairs.
func foldRanges(r rune) []rune {
	variants := []rune{r}
	for f := unicode.SimpleFold(r); f != r; f = unicode.SimpleFold(f) {
		variants = append(variants, f)
	}
	sort.Slice(variants, func(i, j int) bool { return variants[i] < variants[j] })
	pairs := make([]rune, 0, 2*len(variants))
	for _, v := range variants {
		pairs = append(pairs, v, v)
	}
	return pairs
}
