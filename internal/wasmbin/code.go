package wasmbin

import "fmt"

// codeSection reads the code of the functions, 5.5.13.
func (s *scanner) codeSection() {
	at := s.pos
	n := s.count()
	if s.refusal == nil && int(n) != s.m.Functions {
		s.damaged(at, fmt.Sprintf("it declares %d functions and has code for %d", s.m.Functions, n))
	}
	if s.refusal != nil {
		return
	}
	s.m.funcs = make([]body, 0, n)
	// One edit in 20 bytes is more than compilers write.
	s.m.edits = append(make([]edit, 0, len(s.m.edits)+(s.end-s.pos)/20), s.m.edits...)
	end := s.end
	for i := range n {
		s.function = int(s.m.imported[KindFunction] + i)
		s.body()
		if s.refusal != nil {
			return
		}
		s.end = end
	}
	s.function = -1
}

// body reads a function, and leaves the scanner with its end.
func (s *scanner) body() {
	at := s.pos
	size := s.count()
	if s.refusal != nil {
		return
	}
	u, l := &s.m.used, &s.m.limits
	u.bodyBytes = max(u.bodyBytes, uint64(size))
	if !s.within(uint64(size), l.BodyBytes, "bytes in one function") {
		return
	}
	s.end = s.pos + int(size)
	f := body{locals: uint32(s.pos), end: uint32(s.end), typ: s.typeOf[s.function]}
	slots := uint64(len(s.m.types[f.typ].Params))
	f.groups = s.count()
	for range f.groups {
		slots += uint64(s.u32())
		s.valueType()
		if s.refusal != nil {
			return
		}
	}
	u.functionLocals = max(u.functionLocals, slots)
	u.locals += slots
	if !s.within(slots, l.FunctionLocals, "locals in one function") ||
		!s.within(u.locals, l.Locals, "locals in all functions together") {
		return
	}
	f.code, f.slots = uint32(s.pos), uint32(slots)
	w := walk{s: s, b: s.bin[:s.end], pos: s.pos, depth: 1}
	w.run()
	if s.refusal != nil {
		return
	}
	if s.pos = w.pos; s.pos != s.end {
		s.damaged(s.pos, "the function goes on after its end")
		return
	}
	f.edits, f.needsLocal, f.calls = uint32(len(s.m.edits)), w.needsLocal, w.inner
	s.m.funcs = append(s.m.funcs, f)
	s.weigh(at, slots, &w)
}

// joinsPerPoint was found by compiling functions of blocks or branches alone,
// which takes 20 to 30 nanoseconds times the square of their number, beside
// functions of branches with many locals.
const joinsPerPoint = 32

// metersGlobals is how many globals Meter adds that can change.
const metersGlobals = 2

// weigh adds what compiling a function costs. Beside the locals, each global
// that can change is followed through the blocks, and so are those of the meter;
// they are read anew after each call, and loops and entries will have one.
func (s *scanner) weigh(at int, slots uint64, w *walk) {
	u, l := &s.m.used, &s.m.limits
	changing := uint64(s.m.mutable) + metersGlobals
	joins := (slots + changing + w.joins/joinsPerPoint) * w.joins
	u.functionJoins = max(u.functionJoins, joins)
	u.joins += joins
	u.callValues += w.values + (w.calls+1)*changing
	s.pos = at
	if s.within(joins, l.FunctionJoins, "points for locals × blocks in one function") &&
		s.within(u.joins, l.Joins, "points for locals × blocks in all functions together") &&
		s.within(u.callValues, l.CallValues, "values passed by calls") {
		s.pos = s.end
	}
}

// walk reads the instructions of one function, 5.4.
type walk struct {
	s   *scanner
	b   []byte // ends with the function
	pos int    // negative after a number that was cut
	// depth counts the blocks that are open, and the function itself.
	depth int
	// joins counts blocks and branches, calls the places that will call, and
	// values what the function's own calls pass.
	joins, calls, values uint64
	needsLocal           bool
	// inner is set by a call of what may be a function of the module.
	inner bool
}

func (w *walk) run() {
	b := w.b
	pos := w.pos
	for w.depth > 0 {
		at := pos
		if pos >= len(b) {
			w.cut(at)
			return
		}
		op := b[pos]
		pos++
		switch shapes[op] {
		case shapeNone:
		case shapeIndex, shapeInt32:
			if pos < len(b) && b[pos] < 0x80 {
				pos++
			} else {
				pos = skipNumber(b, pos, 5)
			}
		case shapeMemory:
			pos = w.memoryArgument(pos)
		case shapeInt64:
			pos = skipNumber(b, pos, 10)
		case shapeFour:
			pos += 4
		case shapeEight:
			pos += 8
		case shapeOwn:
			w.pos = pos
			w.instruction(at, op)
			pos = w.pos
		default:
			w.unknown(at, op)
			return
		}
		if pos < 0 || pos > len(b) {
			w.cut(at)
			return
		}
	}
	w.pos = pos
}

func (w *walk) cut(at int) {
	w.depth = 0
	w.s.damaged(at, "an instruction is cut")
}

func (w *walk) unknown(at int, op byte) {
	w.depth = 0
	if f := featureOf(op); f != "" {
		w.s.refuse(at, "it uses "+f, remedyFeature)
		return
	}
	w.s.damaged(at, fmt.Sprintf("the instruction %#x is unknown", op))
}

// refuse ends the walk.
func (w *walk) refuse(at int, problem, remedy string) {
	w.depth = 0
	w.s.refuse(at, problem, remedy)
}

// memoryArgument returns the position behind an alignment and an offset. Bit 6
// of the alignment would say that the index of a memory follows.
func (w *walk) memoryArgument(pos int) int {
	if pos < len(w.b) && w.b[pos]&0xc0 == 0x40 {
		w.refuse(pos, "it uses several memories", remedyFeature)
		return pos
	}
	return skipNumber(w.b, skipNumber(w.b, pos, 5), 5)
}

// number reads an unsigned number of 32 bits.
func (w *walk) number() uint32 {
	if w.pos < 0 {
		return 0
	}
	v, next := readU32(w.b, w.pos)
	w.pos = next
	return v
}

// single reads one byte; next behind the end it is 0, and the position tells.
func (w *walk) single() byte {
	w.pos++
	if w.pos > len(w.b) {
		return 0
	}
	return w.b[w.pos-1]
}

// edit notes what Meter has to change at an offset.
func (w *walk) edit(at int, kind edit) {
	if w.pos >= 0 {
		w.s.m.edits = append(w.s.m.edits, kind|edit(at)<<editKindBits)
	}
}

// instruction reads the operands of the opcodes that need more than skipping.
func (w *walk) instruction(at int, op byte) {
	switch op {
	case opBlock, opLoop, opIf:
		w.block(at, op)
	case opEnd:
		w.depth--
	case opBr, opBrIf:
		w.joins++
		w.number()
	case opBrTable:
		w.branches()
	case opReturn:
		w.s.m.returns = append(w.s.m.returns, uint16(w.depth-1)) // at most Limits.Nesting
		w.edit(at, editReturn)
	case opCall, opRefFunc:
		w.function(op)
	case opCallIndirect:
		w.inner = true
		if t := w.number(); w.pos >= 0 {
			w.calledType(at, t)
		}
		w.number()
	case opSelectTyped:
		if n, t := w.single(), w.single(); w.pos <= len(w.b) && (n != 1 || !ValueType(t).known()) {
			w.refuse(at, "a select has an unknown type", remedyDamaged)
		}
	case opMemorySize, opMemoryGrow:
		w.memoryIndex(at)
		if op == opMemoryGrow {
			w.charge(at, editGrow)
		}
	case opRefNull:
		if t := ValueType(w.single()); w.pos <= len(w.b) && t != FuncRef && t != ExternRef {
			w.refuse(at, "it uses typed function references or garbage-collected types", remedyFeature)
		}
	case opPrefixMisc:
		w.misc(at)
	case opPrefixVector:
		w.vector(at)
	}
}

// block reads the type of a block, 5.4.1: empty, one value, or the index of a
// type.
func (w *walk) block(at int, op byte) {
	t := w.single()
	if t >= 0x80 || t < 0x40 {
		w.pos--
		if i := w.number(); w.pos >= 0 && int64(i) >= int64(len(w.s.m.types)) {
			w.refuse(at, fmt.Sprintf("type %d is used, but there are only %d", i, len(w.s.m.types)), remedyDamaged)
			return
		}
		// The number is signed: bit 6 of its last byte would make it negative.
		if w.pos > 0 && w.b[w.pos-1]&0x40 != 0 {
			w.refuse(at, "a block has an unknown type", remedyDamaged)
			return
		}
	} else if t != emptyBlock && !ValueType(t).known() && w.pos <= len(w.b) {
		w.refuse(at, fmt.Sprintf("a block has the unknown type %#x", t), remedyDamaged)
		return
	}
	w.joins++
	w.depth++
	nested := uint64(w.depth - 1)
	if u := &w.s.m.used; nested > u.nesting {
		u.nesting = nested
		w.s.pos = at
		if !w.s.within(nested, w.s.m.limits.Nesting, "nested blocks or more") {
			w.depth = 0
			return
		}
	}
	if op == opLoop {
		w.calls++
		w.edit(w.pos, editLoop)
	}
}

// branches reads a table of branches.
func (w *walk) branches() {
	n := w.number()
	if w.pos < 0 || int64(n) >= int64(len(w.b)-w.pos) {
		w.pos = -1
		return
	}
	w.joins += uint64(n) + 1
	for i := uint32(0); i <= n && w.pos >= 0; i++ {
		w.pos = skipNumber(w.b, w.pos, 5)
	}
}

// function reads the index of a function that is called or referred to.
func (w *walk) function(op byte) {
	at := w.pos
	i := w.number()
	if w.pos < 0 {
		return
	}
	if !w.s.checkFunction(at, i) {
		w.depth = 0
		return
	}
	w.edit(at, editFunction)
	if op == opCall {
		w.inner = w.inner || i >= w.s.m.imported[KindFunction]
		w.calledType(at, w.s.typeOf[i])
	}
}

// calledType counts a call of a function of a type.
func (w *walk) calledType(at int, t uint32) {
	if int64(t) >= int64(len(w.s.m.types)) {
		w.refuse(at, fmt.Sprintf("type %d is used, but there are only %d", t, len(w.s.m.types)), remedyDamaged)
		return
	}
	sig := &w.s.m.types[t]
	w.calls++
	w.values += uint64(len(sig.Params) + len(sig.Results))
}

// memoryIndex reads the index of the only memory.
func (w *walk) memoryIndex(at int) {
	if w.single() != 0 {
		w.refuse(at, "it uses several memories", remedyFeature)
	}
}

// charge notes an instruction that is paid by its length.
func (w *walk) charge(at int, kind edit) {
	w.calls++
	w.needsLocal = true
	w.edit(at, kind)
}

// misc reads numbers without traps, and bulk operations. The second part of the
// opcode must be in its shortest form, so that no reader takes another.
func (w *walk) misc(at int) {
	op := w.single()
	switch {
	case w.pos > len(w.b):
	case op <= 7:
	case op == miscDataDrop || op == miscElemDrop || op == miscTableSize:
		w.number()
	case op == miscMemoryInit:
		w.number()
		if w.pos >= 0 {
			w.memoryIndex(at)
		}
		w.charge(at, editBulk)
	case op == miscMemoryCopy:
		w.memoryIndex(at)
		w.memoryIndex(at)
		w.charge(at, editBulk)
	case op == miscMemoryFill:
		w.memoryIndex(at)
		w.charge(at, editBulk)
	case op == miscTableInit || op == miscTableCopy:
		w.number()
		w.number()
		w.charge(at, editBulk)
	case op == miscTableFill:
		w.number()
		w.charge(at, editBulk)
	case op == miscTableGrow:
		w.refuse(at, "it grows its table with table.grow", "give the table its full size at the start, and build without -mreference-types")
	default:
		w.refuse(at, fmt.Sprintf("the instruction 0xfc %#x is unknown", op), remedyDamaged)
	}
}

// vector reads an instruction on vectors, 5.4.8. Its opcodes go up to 255, and
// must be in their shortest form: those from 128 on have a second byte of 1.
func (w *walk) vector(at int) {
	op := w.single()
	if op >= 0x80 {
		switch next := w.single(); {
		case w.pos > len(w.b):
			return
		case next == 2:
			w.refuse(at, "it uses relaxed vector instructions", remedyFeature)
			return
		case next != 1:
			w.refuse(at, "the number of a vector instruction is not in its shortest form", remedyDamaged)
			return
		}
	}
	switch vectorShapes[op] {
	case shapeNone:
	case shapeMemory:
		w.pos = w.memoryArgument(w.pos)
	case shapeLaneMem:
		if w.pos = w.memoryArgument(w.pos); w.pos >= 0 {
			w.pos++
		}
	case shapeLane:
		w.pos++
	case shapeSixteen:
		w.pos += 16
	default:
		w.refuse(at, fmt.Sprintf("the vector instruction %#x is unknown", op), remedyDamaged)
	}
}
