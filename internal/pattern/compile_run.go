package pattern

import (
	"encoding/binary"
	"fmt"
	"regexp/syntax"
	"strings"
	"unicode"
)

// repetition is a class with a quantifier; most is -1 for no bound.
type repetition struct {
	class       *class
	least, most int32
	greedy      bool
}

// run emits a repetition of a class, as a step that never gives back wherever
// that cannot make a difference. It returns nil for a form it does not have.
func (c *compiler) run(r repetition, next *inst) *inst {
	cl, least, most, greedy := r.class, r.least, r.most, r.greedy
	follow := c.followOf(cl, least, next)
	known := &info{first: cl.bytes, text: cl.text + quantifier(least, most, greedy)}
	if least == 0 {
		known.first = cl.bytes.union(next.info.first)
		known.eof, known.sure = next.info.eof, next.info.sure
	}
	op := opBack
	switch {
	case !follow.meets(cl.bytes) || greedy && next.info.sure || least == most:
		// What follows begins with none of the bytes of the run, or cannot
		// fail, or the length is fixed: no other run has a chance.
		op = opSpan
		if most >= 0 || least > 1 {
			op = opCount
		}
	case !greedy && most >= 0:
		return nil
	case !greedy:
		op = opLazy
	}
	in := c.inst(op, next)
	in.class, in.min, in.max, in.info = cl, least, most, known
	in.eof = next.info.eof
	c.absorb(in)
	if op == opSpan || op == opCount {
		return in
	}
	in.align = cl.wide == wideAll && follow.continuation()
	in.follow = c.table(follow)
	if op == opLazy {
		in.skip = c.byteClass(cl.bytes.minus(follow))
	}
	return in
}

// followOf returns the bytes with which the rest can begin behind a run of cl.
func (c *compiler) followOf(cl *class, least int32, next *inst) byteSet {
	rest := next
	for rest.op == opCap {
		rest = rest.next
	}
	if rest.op == opWord && least > 0 && !cl.bytes.meets(allBytes().minus(wordBytes())) {
		// \b behind a word character: no word character follows.
		return rest.info.first.minus(wordBytes())
	}
	return next.info.first
}

// absorb takes the end of the group and the literal behind a run into it.
func (c *compiler) absorb(in *inst) {
	if n := in.next; n.op == opCap && !n.undo {
		in.close = n.slot
		in.next = n.next
	}
	n := in.next
	if n.op != opLit {
		return
	}
	in.litLen, in.word, in.mask, in.fold = n.litLen, n.word, n.mask, n.fold
	in.ranged, in.below, in.above = n.ranged, n.below, n.above
	in.info.lit = n.info.lit
	in.next, in.eof = n.next, false
	best := -1
	for i := range int(n.litLen) {
		ch, certain := n.litByte(i)
		if rank := rarity(ch); certain && rank > best {
			best, in.rareAt, in.rare = rank, int32(i), ones*uint64(ch)
		}
	}
	if best < 0 && in.op == opBack { // nothing to search for: leave it to its step
		in.litLen, in.ranged = 0, false
		in.info.lit, in.next = "", n
	}
}

// litByte returns byte i of a literal, and whether it is the only one allowed.
func (in *inst) litByte(i int) (ch byte, certain bool) {
	shift := 8 * i
	if in.ranged {
		lo := 0x80 - byte(in.below>>shift)
		return lo, lo == 0x7f-byte(in.above>>shift)
	}
	return byte(in.word >> shift), byte(in.fold>>shift) == 0
}

// rarity ranks bytes by how rarely they occur in log lines.
func rarity(ch byte) int {
	switch {
	case ch == ' ':
		return 0
	case '0' <= ch && ch <= '9' || 'a' <= ch && ch <= 'z':
		return 1
	case strings.IndexByte(`.-:/,"=_`, ch) >= 0:
		return 2
	case 'A' <= ch && ch <= 'Z':
		return 3
	default:
		return 4
	}
}

// class returns the class of a tree that matches exactly one character, or nil.
func (c *compiler) class(re *syntax.Regexp) *class {
	switch re.Op {
	case syntax.OpCharClass:
		return c.classOf(re.Rune)
	case syntax.OpAnyChar:
		return c.classOf([]rune{0, unicode.MaxRune})
	case syntax.OpAnyCharNotNL:
		return c.classOf([]rune{0, '\n' - 1, '\n' + 1, unicode.MaxRune})
	case syntax.OpLiteral:
		if len(re.Rune) != 1 {
			return nil
		}
		r := re.Rune[0]
		if re.Flags&syntax.FoldCase != 0 {
			return c.classOf(foldRanges(r))
		}
		return c.classOf([]rune{r, r})
	default:
		return nil
	}
}

func (c *compiler) classOf(ranges []rune) *class {
	key := make([]byte, 0, 4*len(ranges))
	for _, r := range ranges {
		key = binary.LittleEndian.AppendUint32(key, uint32(r))
	}
	cl := c.classes[string(key)]
	if cl == nil {
		cl = newClass(ranges)
		cl.text = classText(ranges)
		c.classes[string(key)] = cl
	}
	return cl
}

func (c *compiler) byteClass(s byteSet) *class {
	key := fmt.Sprint("bytes", s)
	cl := c.classes[key]
	if cl == nil {
		cl = newByteClass(s)
		c.classes[key] = cl
	}
	return cl
}

func (c *compiler) table(s byteSet) *[256]uint8 { return &c.byteClass(s).table }

// nullable reports whether re can match without taking a byte.
func nullable(re *syntax.Regexp) bool {
	switch re.Op {
	case syntax.OpLiteral, syntax.OpCharClass, syntax.OpAnyChar, syntax.OpAnyCharNotNL, syntax.OpNoMatch:
		return false
	case syntax.OpCapture, syntax.OpPlus:
		return nullable(re.Sub[0])
	case syntax.OpRepeat:
		return re.Min == 0 || nullable(re.Sub[0])
	case syntax.OpConcat:
		for _, sub := range re.Sub {
			if !nullable(sub) {
				return false
			}
		}
		return true
	case syntax.OpAlternate:
		for _, sub := range re.Sub {
			if nullable(sub) {
				return true
			}
		}
		return false
	default:
		return true
	}
}

// firstBytes returns the bytes with which a match of re can begin, apart from
// empty ones.
func firstBytes(re *syntax.Regexp) (s byteSet) {
	switch re.Op {
	case syntax.OpLiteral:
		r := re.Rune[0]
		ranges := []rune{r, r}
		if re.Flags&syntax.FoldCase != 0 {
			ranges = foldRanges(r)
		}
		return newClass(ranges).bytes
	case syntax.OpCharClass:
		return newClass(re.Rune).bytes
	case syntax.OpAnyChar, syntax.OpAnyCharNotNL:
		return allBytes()
	case syntax.OpConcat:
		for _, sub := range re.Sub {
			s = s.union(firstBytes(sub))
			if !nullable(sub) {
				break
			}
		}
		return s
	default:
		for _, sub := range re.Sub {
			s = s.union(firstBytes(sub))
		}
		return s
	}
}

// place puts the steps reachable from start into one slice, start first.
func (p *program) place(start *inst) {
	ids := map[*inst]int{}
	var order []*inst
	queue := []*inst{start}
	for len(queue) > 0 {
		in := queue[len(queue)-1]
		queue = queue[:len(queue)-1]
		for in != nil {
			if _, seen := ids[in]; seen {
				break
			}
			ids[in] = len(order)
			order = append(order, in)
			if in.alt != nil {
				queue = append(queue, in.alt)
			}
			if in.op == opMatch || in.op == opFail {
				break
			}
			in = in.next
		}
	}
	p.insts = make([]inst, len(order))
	for i, in := range order {
		p.insts[i] = *in
		to := &p.insts[i]
		to.id = int32(i)
		if to.next, to.alt = nil, nil; in.op == opMatch || in.op == opFail {
			continue
		}
		to.next = &p.insts[ids[in.next]]
		if in.alt != nil {
			to.alt = &p.insts[ids[in.alt]]
		}
	}
}

// prepareSearch works out where matches can begin and how many frames are needed.
func (p *program) prepareSearch() {
	for i := range p.insts {
		in := &p.insts[i]
		if in.op == opSplit || in.op == opBack || in.op == opLazy || in.undo {
			p.frames++
		}
		if in.info.loop {
			p.frames += largeStack
		}
	}
	if !p.goesBack() {
		p.frames = 0
		for i := range p.insts {
			p.insts[i].undo = false
		}
	}
	in := &p.insts[0]
	for in.op == opCap || in.op == opWord || in.op == opNotWord {
		in = in.next
	}
	known := in.info
	switch {
	case anchored(in, 0):
		p.anchored, p.eof, p.heads, p.begin = true, known.eof, new([256]bool), &p.insts[0]
		for i := range p.heads {
			p.heads[i] = known.first.has(byte(i))
		}
		if p.begin.op == opBegin {
			p.begin = p.begin.next // it is the case
		}
		return
	case in.op == opBeginLine:
		p.lines = true
		return
	case in.op == opLit && in.fold == 0 && !in.ranged:
		p.prefix = known.lit
		for in = in.next; in.op == opLit && in.fold == 0 && !in.ranged; in = in.next {
			p.prefix += in.info.lit
		}
		return
	}
	if none := allBytes().minus(known.first); !known.eof && none.count() > 0 {
		p.skip = newByteClass(none)
	}
	// Not behind a word boundary: that depends on where the run begins.
	if first := &p.insts[0]; (in == first || first.op == opCap && in == first.next) && isRun(in.op) && in.min <= 1 && in.max < 0 {
		p.lead = in.class
	}
}

// goesBack reports whether any choice of the program can be made otherwise
// later.
func (p *program) goesBack() bool {
	for i := range p.insts {
		switch in := &p.insts[i]; in.op {
		case opBack, opLazy:
			return true
		case opSplit:
			if in.atEnd == 3 {
				return true
			}
			for _, way := range in.follow {
				if way == 3 {
					return true
				}
			}
		}
	}
	return false
}

func anchored(in *inst, depth int) bool {
	switch {
	case in.op == opBegin:
		return true
	case depth > instsMax:
		return false
	case in.op == opCap:
		return anchored(in.next, depth+1)
	case in.op == opSplit && !in.info.loop:
		return anchored(in.next, depth+1) && anchored(in.alt, depth+1)
	default:
		return false
	}
}

// withoutTail drops what may be missing at the end of a pattern, which makes
// no difference to whether it matches.
func withoutTail(re *syntax.Regexp) *syntax.Regexp {
	switch re.Op {
	case syntax.OpStar, syntax.OpQuest:
		return &syntax.Regexp{Op: syntax.OpEmptyMatch}
	case syntax.OpCapture:
		return withoutTail(re.Sub[0])
	case syntax.OpPlus:
		return withoutTail(re.Sub[0])
	case syntax.OpConcat:
		short := *re
		short.Sub = append([]*syntax.Regexp(nil), re.Sub...)
		for n := len(short.Sub); n > 0; n-- {
			short.Sub[n-1] = withoutTail(short.Sub[n-1])
			if short.Sub[n-1].Op != syntax.OpEmptyMatch {
				return &short
			}
			short.Sub = short.Sub[:n-1]
		}
		return &syntax.Regexp{Op: syntax.OpEmptyMatch}
	default:
		return re
	}
}
