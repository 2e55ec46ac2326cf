package pattern

import (
	"regexp/syntax"
	"unicode/utf8"
)

// info is what the compiler knows about the part of a pattern from one step on.
type info struct {
	first byteSet // the bytes with which a match can begin
	eof   bool    // a match is possible at the end of input
	sure  bool    // a match is certain
	text  string  // the part of the pattern, for people
	lit   string
	loop  bool
}

const (
	// instsMax bounds memory and time for patterns with large repetitions.
	instsMax    = 2000
	litBytesMax = 8
)

// compiler turns a syntax tree into steps, from the end to the beginning, so
// that each step knows what can follow it.
type compiler struct {
	groups  bool
	count   int
	inner   int // depth inside parts that a match can do without
	resets  bool
	reason  string
	classes map[string]*class
}

// compile returns the program of a pattern, or the reason why there is none.
func compile(tree *syntax.Regexp, groups bool) (*program, string) {
	c := &compiler{groups: groups, classes: map[string]*class{}}
	last := c.inst(opMatch, nil)
	last.info = &info{first: allBytes(), eof: true, sure: true, text: "match"}
	start := c.emit(tree, last)
	if c.reason != "" {
		return nil, c.reason
	}
	p := &program{resets: c.resets}
	p.place(start)
	p.prepareSearch()
	return p, ""
}

func (c *compiler) inst(op opcode, next *inst) *inst {
	c.count++
	if c.count > instsMax {
		c.fail("the pattern is too large for scan steps")
	}
	return &inst{op: op, next: next, open: -1, close: -1, max: -1}
}

func (c *compiler) fail(reason string) {
	if c.reason == "" {
		c.reason = reason
	}
}

// emit returns the first step of re followed by next.
func (c *compiler) emit(re *syntax.Regexp, next *inst) *inst {
	if c.reason != "" {
		return next
	}
	switch re.Op {
	case syntax.OpNoMatch:
		in := c.inst(opFail, next)
		in.info = &info{text: "nothing"}
		return in
	case syntax.OpEmptyMatch:
		return next
	case syntax.OpLiteral:
		return c.literal(re, next)
	case syntax.OpCharClass, syntax.OpAnyChar, syntax.OpAnyCharNotNL:
		return c.one(c.class(re), next)
	case syntax.OpCapture:
		return c.capture(re, next)
	case syntax.OpStar:
		return c.repeat(re, 0, -1, next)
	case syntax.OpPlus:
		return c.repeat(re, 1, -1, next)
	case syntax.OpQuest:
		return c.repeat(re, 0, 1, next)
	case syntax.OpRepeat:
		return c.repeat(re, re.Min, re.Max, next)
	case syntax.OpConcat:
		for i := len(re.Sub) - 1; i >= 0; i-- {
			next = c.emit(re.Sub[i], next)
		}
		return next
	case syntax.OpAlternate:
		return c.alternate(re, next)
	default:
		return c.assertion(re, next)
	}
}

var assertions = map[syntax.Op]struct {
	op   opcode
	text string
}{
	syntax.OpBeginText:      {opBegin, `\A`},
	syntax.OpEndText:        {opEnd, `\z`},
	syntax.OpBeginLine:      {opBeginLine, `(?m:^)`},
	syntax.OpEndLine:        {opEndLine, `(?m:$)`},
	syntax.OpWordBoundary:   {opWord, `\b`},
	syntax.OpNoWordBoundary: {opNotWord, `\B`},
}

func (c *compiler) assertion(re *syntax.Regexp, next *inst) *inst {
	a, ok := assertions[re.Op]
	if !ok {
		c.fail("the pattern has an unknown part: " + re.String())
		return next
	}
	in := c.inst(a.op, next)
	in.info = &info{first: next.info.first, eof: next.info.eof, text: a.text}
	switch a.op {
	case opEnd:
		in.info.first = byteSet{}
	case opEndLine:
		in.info.first = byteSet{}
		if next.info.first.has('\n') {
			in.info.first.add('\n')
		}
	}
	return in
}

// capture emits a group. Its positions go into the run inside it where there
// is one and nothing else.
func (c *compiler) capture(re *syntax.Regexp, next *inst) *inst {
	if !c.groups {
		return c.emit(re.Sub[0], next)
	}
	in := c.emit(re.Sub[0], c.position(2*re.Cap+1, next))
	if isRun(in.op) && in.open < 0 && c.inner == 0 && c.reason == "" {
		fused := *in
		fused.open = int16(2 * re.Cap)
		return &fused
	}
	return c.position(2*re.Cap, in)
}

func isRun(op opcode) bool {
	return op == opSpan || op == opCount || op == opBack || op == opLazy
}

func (c *compiler) position(slot int, next *inst) *inst {
	in := c.inst(opCap, next)
	in.slot = int16(slot)
	in.undo = c.inner > 0
	c.resets = c.resets || in.undo
	copied := *next.info
	copied.text, copied.lit = "", ""
	in.info = &copied
	return in
}

// literal emits steps of up to eight bytes. Characters with case variants
// beyond ASCII, such as (?i)k, are classes.
func (c *compiler) literal(re *syntax.Regexp, next *inst) *inst {
	fold := re.Flags&syntax.FoldCase != 0
	for i := len(re.Rune) - 1; i >= 0; i-- {
		r := re.Rune[i]
		ranges := []rune{r, r}
		if fold {
			ranges = foldRanges(r)
		}
		n := len(ranges)
		plain := n == 2 && r != utf8.RuneError && utf8.ValidRune(r)
		letter := n == 4 && ranges[n-1] < utf8.RuneSelf
		switch {
		case !plain && !letter:
			next = c.one(c.classOf(ranges), next)
		case plain && r < utf8.RuneSelf && next.op == opLit && next.ranged && next.litLen < litBytesMax:
			next = c.prependRange(byte(r), byte(r), next)
		default:
			next = c.prepend(ranges[n-1], letter, next)
		}
	}
	return next
}

// prepend puts a character before next, into the same step if it has room.
// For a letter of either case, r is the lower case.
func (c *compiler) prepend(r rune, letter bool, next *inst) *inst {
	enc := utf8.AppendRune(nil, r)
	var in *inst
	if next.op == opLit && !next.ranged && int(next.litLen)+len(enc) <= litBytesMax {
		in = copyOf(next)
	} else {
		in = c.inst(opLit, next)
		in.info = &info{}
	}
	shift := 8 * uint(len(enc))
	in.word, in.mask, in.fold = in.word<<shift, in.mask<<shift, in.fold<<shift
	in.info.first = byteSet{}
	in.info.first.add(enc[0])
	for i, ch := range enc {
		in.word |= uint64(ch) << (8 * i)
		in.mask |= 0xff << (8 * i)
	}
	if letter {
		in.fold |= 0x20
		in.info.first.add(enc[0] &^ 0x20)
	}
	in.litLen += uint8(len(enc))
	in.info.lit = string(enc) + in.info.lit
	in.info.eof, in.info.sure = false, false
	return in
}

// prependRange puts a character from an ASCII range before next, into the same
// step if it has room: dates and other fixed forms are checked eight bytes at
// a time.
func (c *compiler) prependRange(lo, hi byte, next *inst) *inst {
	var in *inst
	switch {
	case next.op == opLit && next.litLen < litBytesMax && next.ranged:
		in = copyOf(next)
	case next.op == opLit && next.litLen < litBytesMax && next.fold == 0 && next.word&highs == 0:
		in = copyOf(next)
		in.ranged = true
		in.below, in.above = rangeConstants(in.word, in.word, in.mask)
		in.mask &= highs
		in.info.lit = ""
	default:
		in = c.inst(opLit, next)
		in.ranged = true
		in.info = &info{}
	}
	below, above := rangeConstants(uint64(lo), uint64(hi), 0xff)
	in.below, in.above, in.mask = in.below<<8|below, in.above<<8|above, in.mask<<8|0x80
	in.litLen++
	in.info.first = byteSet{}
	in.info.first.addRange(lo, hi)
	in.info.eof, in.info.sure = false, false
	return in
}

// rangeConstants returns what to add to the low seven bits of each byte so
// that the high bit shows whether it is at least lo, and more than hi.
func rangeConstants(lo, hi, mask uint64) (below, above uint64) {
	return (highs - lo) & mask, (lows - hi) & mask
}

func copyOf(in *inst) *inst {
	copied, copiedInfo := *in, *in.info
	copied.info = &copiedInfo
	return &copied
}

func (c *compiler) one(cl *class, next *inst) *inst {
	if lo, hi, ok := cl.asciiRange(); ok {
		return c.prependRange(lo, hi, next)
	}
	in := c.inst(opOne, next)
	in.class = cl
	in.info = &info{first: cl.bytes, text: cl.text}
	return in
}

func (c *compiler) alternate(re *syntax.Regexp, next *inst) *inst {
	c.inner++
	defer func() { c.inner-- }()
	in := c.emit(re.Sub[len(re.Sub)-1], next)
	for i := len(re.Sub) - 2; i >= 0; i-- {
		in = c.split(c.emit(re.Sub[i], next), in)
	}
	return in
}

// split emits the choice between two steps, the first preferred.
func (c *compiler) split(first, second *inst) *inst {
	in := c.inst(opSplit, first)
	c.decide(in, first, second)
	return in
}

func (c *compiler) decide(in, first, second *inst) {
	in.next, in.alt = first, second
	a, b := first.info, second.info
	loop := in.info != nil && in.info.loop
	in.info = &info{first: a.first.union(b.first), eof: a.eof || b.eof, sure: a.sure || b.sure, text: "choice", loop: loop}
	if loop {
		in.info.text, in.info.sure, in.cost = "loop", false, 1
	}
	in.follow = new([256]uint8)
	for i := range in.follow {
		if a.first.has(byte(i)) {
			in.follow[i] |= 1
		}
		if b.first.has(byte(i)) {
			in.follow[i] |= 2
		}
	}
	if a.eof {
		in.atEnd |= 1
	}
	if b.eof {
		in.atEnd |= 2
	}
}

// repeat emits re.Sub[0] repeated.
func (c *compiler) repeat(re *syntax.Regexp, least, most int, next *inst) *inst {
	sub, greedy := re.Sub[0], re.Flags&syntax.NonGreedy == 0
	cl := c.class(sub)
	if cl != nil && least == most && most <= 2*litBytesMax {
		if lo, hi, ok := cl.asciiRange(); ok {
			for range most {
				next = c.prependRange(lo, hi, next)
			}
			return next
		}
	}
	if cl != nil && cl.wide != wideSome && most != 0 {
		if in := c.run(repetition{cl, int32(least), int32(most), greedy}, next); in != nil {
			return in
		}
	}
	if most < 0 && nullable(sub) {
		c.fail("a repeated part can be empty: " + re.String())
		return next
	}
	in := next
	if most < 0 {
		in = c.loop(sub, least > 0, greedy, next)
		least = max(0, least-1)
	} else {
		c.inner++
		for range most - least {
			in = c.prefer(c.emit(sub, in), next, greedy)
		}
		c.inner--
	}
	for range least {
		in = c.emit(sub, in)
	}
	return in
}

func (c *compiler) prefer(more, enough *inst, greedy bool) *inst {
	if greedy {
		return c.split(more, enough)
	}
	return c.split(enough, more)
}

// loop emits sub any number of times, but at least once if once is set.
func (c *compiler) loop(sub *syntax.Regexp, once, greedy bool, next *inst) *inst {
	head := c.inst(opSplit, nil)
	head.info = &info{first: firstBytes(sub).union(next.info.first), eof: next.info.eof, loop: true}
	c.inner++
	body := c.emit(sub, head)
	c.inner--
	if c.reason != "" {
		return next
	}
	if greedy {
		c.decide(head, body, next)
	} else {
		c.decide(head, next, body)
	}
	if once {
		return body
	}
	return head
}
