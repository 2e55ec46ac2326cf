package wasmbin

import (
	"fmt"
	"unicode/utf8"
)

// byte reads one byte.
func (s *scanner) byte() byte {
	if s.pos >= s.end {
		s.damaged(s.pos, "it ends in the middle of something")
		return 0
	}
	b := s.bin[s.pos]
	s.pos++
	return b
}

// u32 reads an unsigned number of 32 bits, 5.2.2.
func (s *scanner) u32() uint32 {
	v, next := readU32(s.bin[:s.end], s.pos)
	if next < 0 {
		s.damaged(s.pos, "a number is cut or too large")
		return 0
	}
	s.pos = next
	return v
}

// count reads the length of a vector whose elements have at least one byte.
func (s *scanner) count() uint32 {
	at := s.pos
	n := s.u32()
	if uint64(n) > uint64(s.end-s.pos) {
		s.damaged(at, fmt.Sprintf("it lists %d elements in %d bytes", n, s.end-s.pos))
		return 0
	}
	return n
}

// name reads a name in UTF-8, 5.2.4. It is a part of the binary.
func (s *scanner) name() []byte {
	at := s.pos
	n := int(s.count())
	b := s.bin[s.pos : s.pos+n]
	s.pos += n
	if !utf8.Valid(b) {
		s.damaged(at, "a name is not valid UTF-8")
		return nil
	}
	return b
}

// valueType reads a value type, 5.3.4.
func (s *scanner) valueType() ValueType {
	at := s.pos
	b := s.byte()
	if t := ValueType(b); t.known() || s.refusal != nil {
		return t
	}
	s.unknownType(at, b)
	return 0
}

// refType reads a reference type, 5.3.3.
func (s *scanner) refType() {
	at := s.pos
	if b := s.byte(); ValueType(b) != FuncRef && ValueType(b) != ExternRef && s.refusal == nil {
		s.unknownType(at, b)
	}
}

func (s *scanner) unknownType(at int, b byte) {
	switch {
	case b == 0x69 || b == 0x74:
		s.refuse(at, "it uses exceptions", remedyFeature)
	case b >= 0x5e && b <= 0x73 || b == 0x77 || b == 0x78:
		s.refuse(at, fmt.Sprintf("it uses garbage-collected types or typed function references (type %#x)", b), remedyFeature)
	default:
		s.damaged(at, fmt.Sprintf("the type %#x is unknown", b))
	}
}

func (t ValueType) known() bool {
	return t >= V128 && t <= I32 || t == FuncRef || t == ExternRef
}

// functionIndex reads the index of a function, which Meter will change.
func (s *scanner) functionIndex() uint32 {
	at := s.pos
	i := s.u32()
	if s.refusal == nil {
		s.checkFunction(at, i)
		s.m.edits = append(s.m.edits, editFunction|edit(at)<<editKindBits)
	}
	return i
}

func (s *scanner) checkFunction(at int, i uint32) bool {
	if int64(i) < int64(len(s.typeOf)) {
		return true
	}
	s.damaged(at, fmt.Sprintf("function %d is used, but there are only %d", i, len(s.typeOf)))
	return false
}

// readU32 reads an unsigned number of 32 bits at pos and returns the position
// behind it, or a negative one when it is cut or has more bits.
func readU32(b []byte, pos int) (v uint32, next int) {
	if pos < len(b) && b[pos] < 0x80 {
		return uint32(b[pos]), pos + 1
	}
	for shift := 0; shift < 35 && pos < len(b); shift += 7 {
		c := b[pos]
		pos++
		if shift == 28 && c > 0x0f {
			return 0, -1
		}
		v |= uint32(c&0x7f) << shift
		if c < 0x80 {
			return v, pos
		}
	}
	return 0, -1
}

// skipNumber returns the position behind a number of at most most bytes, or a
// negative one when it is cut or longer.
func skipNumber(b []byte, pos, most int) int {
	end := min(len(b), pos+most)
	for ; pos >= 0 && pos < end; pos++ {
		if b[pos] < 0x80 {
			return pos + 1
		}
	}
	return -1
}

// appendU32 appends an unsigned number in the shortest form.
func appendU32(dst []byte, v uint32) []byte {
	for v >= 0x80 {
		dst = append(dst, byte(v)|0x80)
		v >>= 7
	}
	return append(dst, byte(v))
}

// appendI32 appends a signed number in the shortest form.
func appendI32(dst []byte, v int32) []byte {
	for v < -64 || v > 63 {
		dst = append(dst, byte(v)&0x7f|0x80)
		v >>= 7
	}
	return append(dst, byte(v)&0x7f)
}
