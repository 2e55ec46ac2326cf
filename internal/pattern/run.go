package pattern

import (
	"bytes"
	"encoding/binary"
	"unicode/utf8"
)

type opcode uint8

const (
	opMatch     opcode = iota
	opFail             // matches nothing
	opSpan             // a run of a class that never gives back what it took
	opCount            // the same with a number of characters from min to max
	opLit              // up to eight literal bytes
	opCap              // the beginning or end of a group
	opOne              // one character of a class
	opBack             // a greedy run that gives back from its end
	opLazy             // a run that takes no more than it must
	opSplit            // a choice between next and alt, preferring next
	opBegin            // \A
	opEnd              // \z
	opBeginLine        // (?m)^
	opEndLine          // (?m)$
	opWord             // \b
	opNotWord          // \B
)

// inst is one step. A run (opSpan to opLazy without opLit) carries the group
// around it and the literal behind it, so that a field of a log line is one
// step. It is immutable once compiled.
type inst struct {
	next, alt *inst
	op        opcode
	litLen    uint8
	ranged    bool
	undo      bool // opCap: must be taken back when a choice is
	align     bool // runs: check that a position is between characters
	eof       bool // what follows can match at the end of input
	slot      int16
	open      int16 // group position to set before a run, or -1
	close     int16 // and behind it
	id        int32
	min, max  int32 // max < 0 is no limit
	// A literal: (bytes | fold) & mask == word; or, if ranged, a range for each
	// byte: see hasLit.
	word, mask, fold uint64
	below, above     uint64
	class            *class
	// follow is not 0 for a byte with which what follows a run can begin. For
	// opSplit, bit 0 is for next and bit 1 for alt.
	follow *[256]uint8
	// rare is a byte of the literal to search for from the right, rareAt
	// behind its beginning; litLen is 0 if there is none.
	rare   uint64
	rareAt int32
	cost   uint8  // opSplit: 1 if it repeats, since no return is counted then
	atEnd  uint8  // opSplit: follow for the end of input
	skip   *class // opLazy: the bytes to pass over without a try
	info   *info  // for compiling and explaining only
}

// program is a compiled pattern. It is immutable.
type program struct {
	insts    []inst // the first is where matching begins
	frames   int    // how many frames the program can need; largeStack if it has loops
	anchored bool   // a match can only begin at 0
	// begin, if anchored, is the first step but for \A. A match can begin with
	// the bytes of heads, and be empty at the end of input if eof.
	begin  *inst
	heads  *[256]bool
	eof    bool
	lines  bool   // a match can only begin after a line feed or at 0
	prefix string // every match begins with it
	// skip has the bytes with which no match can begin, nil when any can.
	skip *class
	// lead is the class of the run with which every match begins, or nil: when
	// a match fails from the start of the run, it fails from all of it.
	lead   *class
	resets bool // groups of a failed try can stay set
}

// frame is a choice that can still be made otherwise.
type frame struct {
	id   int32 // of the inst
	a, b int32 // positions, or the old position of a group
}

type verdict uint8

const (
	failed verdict = iota
	matched
	exhausted // out of steps or frames: ask the standard engine
)

// machine is the state of one match.
type machine struct {
	b      []byte
	caps   []int
	stack  []frame
	sp     int
	budget int
	prog   *program
}

// search finds the leftmost match.
func (m *machine) search() (start, end int, v verdict) {
	p := m.prog
	if p.anchored {
		end := m.run(p.begin, 0)
		switch {
		case end >= 0:
			return 0, end, matched
		case m.budget < 0:
			return 0, 0, exhausted
		}
		return 0, 0, failed
	}
	for pos := 0; ; {
		if pos = p.candidate(m.b, pos); pos < 0 {
			return 0, 0, failed
		}
		if end := m.run(&p.insts[0], pos); end >= 0 {
			return pos, end, matched
		}
		if m.budget < 0 {
			return 0, 0, exhausted
		}
		if pos >= len(m.b) {
			return 0, 0, failed
		}
		pos = p.nextStart(m.b, pos)
		if p.resets {
			for i := range m.caps {
				m.caps[i] = -1
			}
		}
	}
}

// hopeless reports whether the first byte of b says already that an anchored
// program cannot match.
func (p *program) hopeless(b []byte) bool {
	if len(b) == 0 {
		return !p.eof
	}
	return !p.heads[b[0]]
}

// candidate returns the first position from pos on where a match can begin.
func (p *program) candidate(b []byte, pos int) int {
	switch {
	case p.prefix != "":
		i := bytes.Index(b[pos:], []byte(p.prefix))
		if i < 0 {
			return -1
		}
		return pos + i
	case p.skip == nil:
		return pos
	}
	for {
		pos = p.skip.span(b, pos)
		if pos >= len(b) {
			return -1
		}
		if aligned(b, pos) {
			return pos
		}
		pos++
	}
}

// nextStart returns where to go on after no match began at pos < len(b).
func (p *program) nextStart(b []byte, pos int) int {
	if p.lead != nil {
		if end := p.lead.span(b, pos); end > pos {
			return end
		}
	}
	if p.lines {
		if i := bytes.IndexByte(b[pos:], '\n'); i >= 0 {
			return pos + i + 1
		}
		return len(b)
	}
	if b[pos] < utf8.RuneSelf {
		return pos + 1
	}
	_, n := utf8.DecodeRune(b[pos:])
	return pos + n
}

// run matches from pos on and returns the end of the match, or -1.
func (m *machine) run(in *inst, pos int) int {
	b, start := m.b, pos
	for {
		switch in.op {
		case opSpan, opCount:
			end := 0
			if in.op == opSpan {
				end = in.class.span(b, pos)
			} else {
				end = in.counted(b, pos)
			}
			if end < pos+int(in.min) || in.litLen != 0 && !in.hasLit(b, end) {
				m.charge(0, int(in.min))
				in, pos = m.pop(max(pos, end), start)
				break
			}
			if in.open >= 0 {
				m.caps[in.open] = pos
			}
			if in.close >= 0 {
				m.caps[in.close] = end
			}
			pos = end + int(in.litLen)
			in = in.next
		case opLit:
			if !in.hasLit(b, pos) {
				in, pos = m.pop(pos, start)
				break
			}
			pos += int(in.litLen)
			in = in.next
		case opSplit:
			m.budget -= int(in.cost)
			way := in.atEnd
			if pos < len(b) {
				way = in.follow[b[pos]]
			}
			switch way {
			case 0:
				in, pos = m.pop(pos, start)
			case 1:
				in = in.next
			case 2:
				in = in.alt
			default:
				m.push(in, pos, 0)
				in = in.next
			}
		case opOne:
			if end := in.class.one(b, pos); end >= 0 {
				in, pos = in.next, end
				break
			}
			in, pos = m.pop(pos, start)
		case opMatch:
			return pos
		default:
			next, at := m.step(in, pos)
			if next == nil {
				next, at = m.pop(pos, start)
			}
			in, pos = next, at
		}
		if in == nil {
			return -1
		}
	}
}

// counted returns where a run of limited length from pos ends, or -1.
func (in *inst) counted(b []byte, pos int) int {
	if in.class.wide == wideNone && in.max >= 0 {
		return in.class.upTo(b, pos, int(in.max))
	}
	end := in.class.advance(b, pos, int(in.min))
	switch {
	case end < 0:
		return -1
	case in.max < 0:
		return in.class.span(b, end)
	default:
		return in.class.upTo(b, end, int(in.max-in.min))
	}
}

// hasLit reports whether the literal of in stands at pos.
func (in *inst) hasLit(b []byte, pos int) bool {
	var x uint64
	if len(b)-pos >= 8 {
		x = binary.LittleEndian.Uint64(b[pos:])
	} else {
		if len(b)-pos < int(in.litLen) {
			return false
		}
		x = loadTail(b, pos)
	}
	if in.ranged {
		low := x & lows
		return (x|(low+in.above)|^(low+in.below))&in.mask == 0
	}
	return (x|in.fold)&in.mask == in.word
}

// step makes the less frequent steps. It returns nil when in does not match.
func (m *machine) step(in *inst, pos int) (*inst, int) {
	b := m.b
	ok := false
	switch in.op {
	case opCap:
		if in.undo && m.sp > 0 {
			m.push(in, m.caps[in.slot], 0)
		}
		m.caps[in.slot] = pos
		return in.next, pos
	case opBack:
		return m.back(in, pos)
	case opLazy:
		from := in.class.advance(b, pos, int(in.min))
		if from < 0 {
			m.charge(0, int(in.min))
			return nil, 0
		}
		if in.open >= 0 {
			m.caps[in.open] = pos
		}
		return m.lazy(in, from)
	case opBegin:
		ok = pos == 0
	case opEnd:
		ok = pos == len(b)
	case opBeginLine:
		ok = pos == 0 || b[pos-1] == '\n'
	case opEndLine:
		ok = pos == len(b) || b[pos] == '\n'
	case opWord, opNotWord:
		before := pos > 0 && isWord[b[pos-1]]
		after := pos < len(b) && isWord[b[pos]]
		ok = (before != after) == (in.op == opWord)
	}
	if !ok {
		return nil, 0
	}
	return in.next, pos
}

var isWord = func() (t [256]bool) {
	words := wordBytes()
	for i := range t {
		t[i] = words.has(byte(i))
	}
	return t
}()

// push remembers a choice. Without room the match is given up, at the next
// pop: the standard engine has room.
func (m *machine) push(in *inst, a, b int) {
	if m.sp == len(m.stack) {
		m.budget = -1 << 62
		return
	}
	m.stack[m.sp] = frame{id: in.id, a: int32(a), b: int32(b)}
	m.sp++
}

// pop goes back to the last choice after a failure at pos, and returns how to
// go on, or nil.
func (m *machine) pop(pos, start int) (*inst, int) {
	for m.sp > 0 && m.budget >= 0 {
		m.sp--
		f := m.stack[m.sp]
		in := &m.prog.insts[f.id]
		m.budget--
		switch in.op {
		case opSplit:
			m.charge(int(f.a), pos)
			return in.alt, int(f.a)
		case opCap:
			m.caps[in.slot] = int(f.a)
		case opBack:
			m.charge(int(f.b), pos)
			if next, at := m.giveBack(in, int(f.a), int(f.b)); next != nil {
				return next, at
			}
		case opLazy:
			m.charge(int(f.a), pos)
			from := in.class.one(m.b, int(f.a))
			if from < 0 {
				continue
			}
			if next, at := m.lazy(in, from); next != nil {
				return next, at
			}
		}
	}
	if m.sp > 0 {
		m.sp = 0
		return nil, 0
	}
	m.budget--
	m.charge(start, pos)
	return nil, 0
}

// charge counts the bytes from lo to hi, which were scanned in vain.
func (m *machine) charge(lo, hi int) {
	if hi > lo {
		m.budget -= (hi - lo) >> 4
	}
}

// back begins a greedy run that can give back.
func (m *machine) back(in *inst, pos int) (*inst, int) {
	lo := in.class.advance(m.b, pos, int(in.min))
	if lo < 0 {
		m.charge(0, int(in.min))
		return nil, 0
	}
	var hi int
	if in.max < 0 {
		hi = in.class.span(m.b, lo)
	} else {
		hi = in.class.upTo(m.b, lo, int(in.max-in.min))
	}
	if in.open >= 0 {
		m.caps[in.open] = pos
	}
	m.charge(lo, hi)
	return m.giveBack(in, lo, hi+1)
}

// giveBack continues behind the longest run that ends in [lo, hi) and after
// which the rest can begin.
func (m *machine) giveBack(in *inst, lo, hi int) (*inst, int) {
	end := in.lastEnd(m.b, lo, hi)
	if end < 0 {
		m.charge(lo, hi)
		return nil, 0
	}
	m.charge(end, hi)
	if end > lo {
		m.push(in, lo, end)
	}
	if in.close >= 0 {
		m.caps[in.close] = end
	}
	return in.next, end + int(in.litLen)
}

func (in *inst) lastEnd(b []byte, lo, hi int) int {
	if in.litLen > 0 {
		shift := int(in.rareAt)
		for hi > lo {
			at := lastByte(b, lo+shift, min(hi+shift, len(b)), in.rare)
			if at < 0 {
				return -1
			}
			if in.hasLit(b, at-shift) {
				return at - shift
			}
			hi = at - shift
		}
		return -1
	}
	if hi > len(b) {
		if in.eof {
			return len(b)
		}
		hi = len(b)
	}
	for hi--; hi >= lo; hi-- {
		if in.follow[b[hi]] != 0 && (!in.align || aligned(b, hi)) {
			return hi
		}
	}
	return -1
}

// lazy continues behind the shortest run that ends at or after from and after
// which the rest can begin.
func (m *machine) lazy(in *inst, from int) (*inst, int) {
	b := m.b
	for pos := from; ; {
		pos = in.skip.span(b, pos)
		if pos >= len(b) {
			m.charge(from, pos)
			if !in.eof {
				return nil, 0
			}
			if in.close >= 0 {
				m.caps[in.close] = pos
			}
			return in.next, pos
		}
		inside := in.class.table[b[pos]] != 0
		if in.follow[b[pos]] != 0 && (!in.align || aligned(b, pos)) && (in.litLen == 0 || in.hasLit(b, pos)) {
			m.charge(from, pos)
			if inside {
				m.push(in, pos, 0)
			}
			if in.close >= 0 {
				m.caps[in.close] = pos
			}
			return in.next, pos + int(in.litLen)
		}
		if !inside {
			m.charge(from, pos)
			return nil, 0
		}
		pos++
	}
}
