package pattern

import (
	"bytes"
	"encoding/binary"
	"math/bits"
)

// scanKind is the way in which the end of a run of a class is found.
type scanKind uint8

const (
	scanTable     scanKind = iota // one table look-up a byte
	scanAll                       // no byte ends the run
	scanNot1                      // one byte ends it
	scanNot2                      // two bytes
	scanNot3                      // three bytes
	scanBelow                     // bytes below a limit, like space, to be confirmed by the table
	scanBelowNot1                 // the same, and one more byte
	scanRange                     // any byte outside one ASCII range
)

const (
	ones  = 0x0101010101010101
	highs = 0x8080808080808080
	lows  = 0x7f7f7f7f7f7f7f7f
	// bytesBeforeIndex bytes are searched in place before bytes.IndexByte is
	// called: most fields of a log line are shorter than its call is worth.
	bytesBeforeIndex = 32
)

// chooseScan picks the fastest exact way to find the end of a run.
func (c *class) chooseScan() {
	enders := allBytes().minus(c.bytes)
	var low, other []byte // enders up to and including space, and above
	for i := range 256 {
		switch ch := byte(i); {
		case !enders.has(ch):
		case ch <= ' ':
			low = append(low, ch)
		default:
			other = append(other, ch)
		}
	}
	list := append(append([]byte(nil), low...), other...)
	for i, ch := range list[:min(3, len(list))] {
		c.eq[i] = ones * uint64(ch)
	}
	switch {
	case len(list) == 0:
		c.scan = scanAll
	case len(list) <= 3:
		c.scan = scanNot1 + scanKind(len(list)-1)
		c.stop = list[0]
	case len(other) <= 1:
		c.scan = scanBelow
		c.below = ones * uint64(0x80-(int(low[len(low)-1])+1))
		if len(other) == 1 {
			c.scan = scanBelowNot1
			c.eq[0] = ones * uint64(other[0])
		}
	default:
		c.chooseRange()
	}
}

func (c *class) chooseRange() {
	lo, hi := 0, 255
	for lo < 256 && !c.bytes.has(byte(lo)) {
		lo++
	}
	for hi > lo && !c.bytes.has(byte(hi)) {
		hi--
	}
	if hi < 0x80 && hi-lo+1 == c.bytes.count() && hi > lo {
		c.scan = scanRange
		c.below = ones * uint64(0x80-lo)
		c.high = ones * uint64(0x7f-hi)
	}
}

// load returns the eight bytes from i on, the first lowest, with zeros after
// the end of b.
func load(b []byte, i int) uint64 {
	if len(b)-i >= 8 {
		return binary.LittleEndian.Uint64(b[i:])
	}
	return loadTail(b, i)
}

func loadTail(b []byte, i int) uint64 {
	if len(b) >= 8 {
		return binary.LittleEndian.Uint64(b[len(b)-8:]) >> (8 * (8 - uint(len(b)-i)) & 127)
	}
	var x uint64
	for j := len(b) - 1; j >= i; j-- {
		x = x<<8 | uint64(b[j])
	}
	return x
}

// zeros marks the lowest zero byte of x by its high bit. Marks above the
// lowest may be false.
func zeros(x uint64) uint64 { return (x - ones) &^ x & highs }

// span returns the end of the run of bytes of the class that begins at i. For
// classes of kind wideSome, see one.
func (c *class) span(b []byte, i int) int {
	switch c.scan {
	case scanNot1:
		return spanNot1(b, i, c.eq[0], c.stop)
	case scanBelow:
		return c.spanBelow(b, i)
	case scanRange:
		for ; i < len(b); i += 8 {
			x := load(b, i)
			low := x & lows
			if m := (x | (low + c.high) | ^(low + c.below)) & highs; m != 0 {
				return i + bits.TrailingZeros64(m)>>3
			}
		}
		return len(b)
	case scanAll:
		return len(b)
	case scanTable:
		for i < len(b) && c.table[b[i]] != 0 {
			i++
		}
		return i
	default:
		return c.spanSome(b, i)
	}
}

// spanNot1 finds the byte stop, repeated in pat.
func spanNot1(b []byte, i int, pat uint64, stop byte) int {
	for limit := i + bytesBeforeIndex; i < limit; i += 8 {
		if len(b)-i < 8 {
			if i >= len(b) {
				return len(b)
			}
			if m := zeros(loadTail(b, i) ^ pat); m != 0 {
				return min(len(b), i+bits.TrailingZeros64(m)>>3)
			}
			return len(b)
		}
		if m := zeros(binary.LittleEndian.Uint64(b[i:]) ^ pat); m != 0 {
			return i + bits.TrailingZeros64(m)>>3
		}
	}
	if i >= len(b) {
		return len(b)
	}
	if n := bytes.IndexByte(b[i:], stop); n >= 0 {
		return i + n
	}
	return len(b)
}

// spanBelow finds a byte below the limit that is not in the class.
func (c *class) spanBelow(b []byte, i int) int {
	for i < len(b) {
		x := load(b, i)
		m := ^(x&lows + c.below | x) & highs
		if m == 0 {
			i += 8
			continue
		}
		i += bits.TrailingZeros64(m) >> 3
		if i >= len(b) || c.table[b[i]] == 0 {
			break
		}
		i++
	}
	return min(i, len(b))
}

// spanSome serves the classes with a few enders.
func (c *class) spanSome(b []byte, i int) int {
	for i < len(b) {
		x := load(b, i)
		m := zeros(x ^ c.eq[0])
		switch c.scan {
		case scanNot2:
			m |= zeros(x ^ c.eq[1])
		case scanNot3:
			m |= zeros(x^c.eq[1]) | zeros(x^c.eq[2])
		case scanBelowNot1:
			m |= ^(x&lows + c.below | x) & highs
		}
		if m == 0 {
			i += 8
			continue
		}
		i += bits.TrailingZeros64(m) >> 3
		if i >= len(b) || c.table[b[i]] == 0 {
			break
		}
		i++
	}
	return min(i, len(b))
}

// lastByte returns the last position in b[lo:hi] that holds the byte repeated
// in pat, or -1.
func lastByte(b []byte, lo, hi int, pat uint64) int {
	for hi-lo >= 8 {
		x := binary.LittleEndian.Uint64(b[hi-8:]) ^ pat
		// The exact form: a borrow must not reach the higher bytes, since the
		// highest mark counts here.
		if m := ^((x&lows + lows) | x | lows); m != 0 {
			return hi - 1 - bits.LeadingZeros64(m)>>3
		}
		hi -= 8
	}
	for hi--; hi >= lo; hi-- {
		if b[hi] == byte(pat) {
			return hi
		}
	}
	return -1
}
