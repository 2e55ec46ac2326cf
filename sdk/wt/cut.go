package wt

import (
	"math/bits"
	"unsafe"
)

// Cut is Until and Str in one: it puts what is before the first c in s, steps over
// that c, and returns how many bytes it put; -1, and nothing has changed, when
// there is no c. In a module a call costs as much as the search, so this is the
// fast way through a line.
func (r *Row) Cut(id uint32, s *[]byte, c byte) int {
	b := *s
	p, n, i := unsafe.Pointer(unsafe.SliceData(b)), len(b), 0
	want := uint64(c) * ones
	for {
		if n-i < block {
			if i = findLast(p, i, n, want); i == n {
				return -1
			}
			break
		}
		k := first(miss(word(p, i)^want), miss(word(p, i+8)^want), miss(word(p, i+16)^want), miss(word(p, i+24)^want))
		i += k
		if k < block {
			break
		}
	}
	*s = b[i+1:]
	if a := uintptr(p); a-guest.data <= guest.dataLen && r.out <= outBytes-4*fieldWords {
		f := (*[fieldWords]uint32)(unsafe.Add(unsafe.Pointer(&guest.table), r.out))
		f[0], f[1], f[2] = id, uint32(a), uint32(i) // addresses of a module have 32 bits
		r.out += 4 * fieldWords
	} else {
		r.putRange(id, b[:i])
	}
	return i
}

// CutQuoted is Quoted and Str in one. It returns how many bytes it put; -1, and
// nothing has changed, when there is no quote.
func (r *Row) CutQuoted(id uint32, s *[]byte) int {
	b := *s
	i := Find(b, '"')
	if i == len(b) {
		return -1
	}
	if i > 0 && b[i-1] == '\\' {
		if i = unescapedQuote(b); i < 0 {
			return -1
		}
	}
	*s = b[i+1:]
	r.putRange(id, b[:i])
	return i
}

// CutInt is Until, ParseInt and Int in one: it puts the integer before the first c
// and steps over that c. False, and nothing has changed, when there is no c, or no
// integer before it.
func (r *Row) CutInt(id uint32, s *[]byte, c byte) (n int64, ok bool) {
	b := *s
	i := 0
	if len(b) > 8 {
		n, i = eightDigits(word(unsafe.Pointer(unsafe.SliceData(b)), 0))
	}
	if i == 0 || b[i] != c || c-'0' <= 9 { // short, long, negative or wrong
		rest := b
		part, ok := Until(&rest, c)
		if !ok {
			return 0, false
		}
		if n, ok = ParseInt(part); !ok {
			return 0, false
		}
		i = len(part)
	}
	*s = b[i+1:]
	r.put(id|uint32(Int)<<kindShift, uint32(n), uint32(n>>32)) // both halves of it
	return n, true
}

// eightDigits reads the number that 8 bytes begin with, and returns how many digits it
// has. It adds neighbours up, the earlier one times 10, 100 and 10,000.
func eightDigits(w uint64) (n int64, count int) {
	const zeros, above = '0' * ones, (0x80 - 10) * ones
	w ^= zeros
	count = bits.TrailingZeros64((w+above|w)&tops) >> 3 // 8 when all are digits
	w <<= uint(64 - 8*count)                            // 0 to 64
	w = (w*10 + w>>8) & 0x00ff00ff00ff00ff
	w = (w*100 + w>>16) & 0x0000ffff0000ffff
	w = (w*10000 + w>>32) & 0xffffffff
	return int64(w), count // below 100 million
}
