// Package pattern matches log lines with regular expressions in RE2 syntax.
//
// It promises the results of Go's regexp package, byte for byte and group for
// group (leftmost-first, as in Perl), and linear time in the length of the
// input for every pattern. What log patterns are made of (literals, runs of a
// character class, optional parts, alternatives, anchors) is compiled into
// scan steps over the bytes; a pattern the steps cannot express, and an input
// on which they would go back and forth too often, is handed to regexp.
//
// It does not offer replacement, splitting or repeated matches, and no syntax
// that RE2 lacks (look-around, backreferences).
//
// A Regexp is immutable and safe for concurrent use. The package starts no
// goroutines, keeps no reference to the bytes it is given, and allocates
// nothing for a match by scan steps when dst is large enough; a match by the
// standard engine allocates one slice.
package pattern

import (
	"math"
	"regexp"
	"regexp/syntax"
	"slices"
	"sync"
)

// Regexp is a compiled pattern. It is immutable and safe for concurrent use.
type Regexp struct {
	expr   string
	names  []string
	engine *regexp.Regexp
	// find and match are the scan steps, match without groups; nil when the
	// standard engine does all the work, then reason says why.
	find, match *program
	reason      string
}

// Compile compiles a pattern in RE2 syntax (as documented by regexp/syntax).
// The error says where in the pattern the fault is and what to write instead.
func Compile(expr string) (*Regexp, error) {
	engine, err := regexp.Compile(expr)
	if err != nil {
		return nil, explainError(expr, err)
	}
	re := &Regexp{expr: expr, names: engine.SubexpNames(), engine: engine}
	tree, err := syntax.Parse(expr, syntax.Perl)
	if err != nil {
		return nil, explainError(expr, err)
	}
	re.find, re.reason = compile(tree, true)
	if re.find != nil {
		re.match, re.reason = compile(withoutTail(tree), false)
	}
	if re.match == nil {
		re.find = nil
	}
	return re, nil
}

// NumSubexp returns the number of groups in the pattern.
func (re *Regexp) NumSubexp() int { return len(re.names) - 1 }

// SubexpNames returns the names of the groups, "" for those without one. The
// first is the whole match and has no name. The slice must not be changed.
func (re *Regexp) SubexpNames() []string { return re.names }

// String returns the pattern as it was written.
func (re *Regexp) String() string { return re.expr }

// Scanned reports whether the pattern runs as scan steps.
func (re *Regexp) Scanned() bool { return re.find != nil }

// Explain says in one line how the pattern is run: the scan steps, or the
// reason why the standard engine is used.
func (re *Regexp) Explain() string {
	if re.find == nil {
		return "standard engine: " + re.reason
	}
	return re.find.explain(re.names)
}

// Match reports whether b contains a match.
func (re *Regexp) Match(b []byte) bool {
	if re.match == nil || len(b) > inputBytesMax {
		return re.engine.Match(b)
	}
	_, _, v := re.match.exec(b, nil)
	if v == exhausted {
		return re.engine.Match(b)
	}
	return v == matched
}

// FindSubmatchIndex returns the positions of the leftmost match and of its
// groups as pairs of start and end, -1 for groups that took no part, like its
// namesake of regexp; nil when there is no match. The result uses the memory
// of dst, whose content is lost even when there is no match; it does not
// allocate when dst has a capacity of 2*(NumSubexp()+1) or more.
func (re *Regexp) FindSubmatchIndex(dst []int, b []byte) []int {
	if re.find == nil || len(b) > inputBytesMax {
		return re.findByEngine(dst, b)
	}
	dst = slices.Grow(dst[:0], 2*len(re.names))[:2*len(re.names)]
	for i := range dst {
		dst[i] = -1
	}
	start, end, v := re.find.exec(b, dst)
	switch v {
	case matched:
		dst[0], dst[1] = start, end
		return dst
	case exhausted:
		return re.findByEngine(dst, b)
	default:
		return nil
	}
}

func (re *Regexp) findByEngine(dst []int, b []byte) []int {
	found := re.engine.FindSubmatchIndex(b)
	if found == nil {
		return nil
	}
	return append(dst[:0], found...)
}

// inputBytesMax keeps positions within the 32 bits that a frame has for them.
const inputBytesMax = math.MaxInt32 - 16

// exec runs the program on b with as much scratch memory as it needs.
func (p *program) exec(b []byte, caps []int) (start, end int, v verdict) {
	switch {
	case p.anchored && p.hopeless(b):
		return 0, 0, failed
	case p.frames == 0:
		return p.straight(b, caps)
	case p.frames <= smallStack:
		return p.shallow(b, caps)
	default:
		return p.deep(b, caps)
	}
}

// straight, shallow and deep run the program with no, a small and a large stack
// of choices. They are apart because room on the stack costs time even unused.
func (p *program) straight(b []byte, caps []int) (start, end int, v verdict) {
	var m machine
	m.begin(p, b, caps)
	return m.search()
}

func (p *program) shallow(b []byte, caps []int) (start, end int, v verdict) {
	var stack [smallStack]frame
	var m machine
	m.begin(p, b, caps)
	m.stack = stack[:]
	return m.search()
}

func (p *program) deep(b []byte, caps []int) (start, end int, v verdict) {
	stack := stacks.Get().(*[largeStack]frame)
	var m machine
	m.begin(p, b, caps)
	m.stack = stack[:]
	start, end, v = m.search()
	stacks.Put(stack)
	return start, end, v
}

// begin sets the fields one by one: a literal would be built elsewhere and copied,
// which costs as much as a short match.
func (m *machine) begin(p *program, b []byte, caps []int) {
	m.b, m.caps, m.prog = b, caps, p
	m.budget = stepsPerByte*len(b) + stepsPerInst*len(p.insts)
}

const (
	// smallStack frames fit most patterns that go back at all; clearing them
	// costs a few nanoseconds.
	smallStack = 24
	// largeStack serves patterns whose choices repeat. 12 KiB, pooled.
	largeStack = 1024

	// A step is one return to an earlier choice, or 16 bytes scanned in vain.
	// With these the scan steps give up after about the time that the standard
	// engine needs for the same input.
	stepsPerByte = 8
	stepsPerInst = 16
)

var stacks = sync.Pool{New: func() any { return new([largeStack]frame) }}
