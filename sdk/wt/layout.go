package wt

import "unsafe"

// Step is a field and what stands behind it.
type Step struct {
	ID    uint32
	Until string // 1 to 8 bytes; the field ends before the first of them
	Min   int    // least bytes of the field
}

// Layout is a row of steps, made once by NewLayout, for Row.Cuts.
type Layout []step

type step struct {
	id         uint32
	quoted     bool
	min, size  int
	want       uint64 // the first byte of Until, eight times
	text, mask uint64 // Until, and the bits that it has
}

// NewLayout makes a layout. A step whose Until begins with a quote takes a quoted text
// as CutQuoted does.
func NewLayout(steps ...Step) Layout {
	l := make(Layout, len(steps))
	for i, s := range steps {
		if len(s.Until) < 1 || len(s.Until) > 8 {
			panic("BUG: a step ends with 1 to 8 bytes")
		}
		l[i] = step{id: s.ID, quoted: s.Until[0] == '"', min: s.Min, size: len(s.Until), want: uint64(s.Until[0]) * ones}
		for k := range len(s.Until) {
			l[i].text |= uint64(s.Until[k]) << (8 * k)
			l[i].mask |= 0xff << (8 * k)
		}
	}
	return l
}

// Cuts is Cut or CutQuoted for each step of a layout, and steps over what stands behind
// each. It returns how many steps it has done, and s goes on behind them: fewer than
// there are when a field has no end, is too short, or something else is behind it. In a
// module a call costs more than a search, so this is the fastest way through a line.
func (r *Row) Cuts(s *[]byte, l Layout) int {
	b := *s
	p, n, i := unsafe.Pointer(unsafe.SliceData(b)), len(b), 0
	safe := uintptr(p)-guest.data <= guest.dataLen && r.out+4*fieldWords*uintptr(len(l)) <= outBytes
	for k := range l {
		t, begin := &l[k], i
		for {
			if n-i < block {
				i = begin + findLast(unsafe.Add(p, begin), i-begin, n-begin, t.want)
				break
			}
			j := first(miss(word(p, i)^t.want), miss(word(p, i+8)^t.want), miss(word(p, i+16)^t.want), miss(word(p, i+24)^t.want))
			i += j
			if j < block {
				break
			}
		}
		if t.quoted && i > begin && i < n && *(*byte)(unsafe.Add(p, i-1)) == '\\' {
			if i = begin + unescapedQuote(b[begin:]); i < begin {
				i = n
			}
		}
		if i-begin < t.min || !t.follows(p, i, n) {
			*s = b[begin:]
			return k
		}
		if safe {
			f := (*[fieldWords]uint32)(unsafe.Add(unsafe.Pointer(&guest.table), r.out))
			f[0], f[1], f[2] = t.id, uint32(uintptr(p))+uint32(begin), uint32(i-begin) // addresses of a module have 32 bits
			r.out += 4 * fieldWords
		} else {
			r.putRange(t.id, b[begin:i])
		}
		i += t.size
	}
	*s = b[i:]
	return len(l)
}

// follows is true when the text of the step is at i.
func (t *step) follows(p unsafe.Pointer, i, n int) bool {
	if n-i >= 8 {
		return (word(p, i)^t.text)&t.mask == 0
	}
	return n-i >= t.size && t.same(p, i)
}

func (t *step) same(p unsafe.Pointer, i int) bool {
	w := uint64(0)
	for k := range t.size {
		w |= uint64(*(*byte)(unsafe.Add(p, i+k))) << (8 * k)
	}
	return w == t.text
}
