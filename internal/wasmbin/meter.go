package wasmbin

import (
	"errors"
	"fmt"
	"math"
)

// MeterOptions say how a module is metered.
type MeterOptions struct {
	// Slice is what the module may spend before its first call of tick, in
	// units: about an iteration of a loop or a call of a function each. It must
	// be at least 1. 200,000 units take about half a millisecond.
	Slice int32
}

// Prices in units. A loop costs 1 for each iteration.
const (
	// bodyBytesPerUnit is how many bytes of code a call may run for one unit
	// more, because code without loops and calls has no other price.
	bodyBytesPerUnit = 256
	// lengthShift divides the length of a bulk operation by 64, in bytes or
	// entries of a table.
	lengthShift = 6
	// pageShift multiplies pages by 16: a page that is added is cleared first.
	pageShift = 4
	// pagesMask keeps a price from wrapping around. It is exact for each grow
	// that can succeed, since no memory has more pages.
	pagesMask = 0xffff
)

// A call takes about as much stack as the function has locals, and values that
// lie between: the longer the code, the more. stackBytes is far above what
// parsers need, and far below what it costs seconds to provide.
const (
	stackBytes     = 8 << 20
	frameBytes     = 64
	frameSlotBytes = 8
	frameCodeShift = 1 // 2 for each byte of code
)

// Room for what Meter writes, in bytes, with indices at their longest.
const (
	roomFixed    = 256
	roomFunction = 112
	roomLoop     = 28
	roomReturn   = 4
	roomBulk     = 48
	roomIndex    = 4
	lengthBytes  = 5 // a length that is filled in afterwards
)

// Meter returns a module that does what this one does, and counts what it
// spends from its first instruction on, that of the start function included. It
// imports the function TickName from TickModule, behind the other imports, and
// exports the globals FuelName and StackName. Custom sections are left out.
//
// Entering a function costs one unit and one more for each 256 bytes of its
// code; beginning an iteration of a loop costs one; memory.fill, memory.copy,
// memory.init, table.fill, table.copy and table.init cost one and one more for
// each 64 bytes or entries; memory.grow costs one and 16 for each page. What an
// instruction costs is taken before it runs. Whenever that makes the fuel
// negative, tick is called and its result becomes the fuel.
//
// A function that calls others takes from the stack what its frame has, about,
// and gives it back; where there is less than nothing left it traps. Without
// that, a recursion would end only when tens of megabytes are used up.
//
// Indices of functions that the module defines grow by one. The result is new
// memory that belongs to the caller. It fails for options out of range only.
func (m *Module) Meter(o MeterOptions) ([]byte, error) {
	if o.Slice < 1 {
		return nil, fmt.Errorf("cannot meter with a slice of %d units: it must be at least 1", o.Slice)
	}
	if m.bin == nil {
		return nil, errors.New("cannot meter a module that was not scanned; use Scan")
	}
	w := &writer{m: m, slice: o.Slice, tick: m.imported[KindFunction], fuel: m.globals}
	w.room()
	w.out = append(w.out, m.bin[:8]...)
	for _, id := range sectionOrder {
		w.section(id)
	}
	return w.out, nil
}

// writer copies a module, section by section. Edits are used up in the order in
// which the scanner met them.
type writer struct {
	m     *Module
	out   []byte
	next  int // the first edit that is not made yet
	back  int // the first of the returns that is not met yet
	slice int32
	tick  uint32 // index of the function
	fuel  uint32 // index of the global, that of the stack is the next
	// types without parameters by their results, and those that the module lacks,
	// in the order of their indices.
	types    map[string]uint32
	newTypes [][]ValueType
	// check calls tick when the fuel is negative, and is the same everywhere.
	check []byte
}

// room makes the output large enough for the whole, and prepares what is
// written often.
func (w *writer) room() {
	size := len(w.m.bin) + roomFixed + roomFunction*len(w.m.funcs)
	for _, e := range w.m.edits {
		switch e.kind() {
		case editFunction:
			size += roomIndex
		case editLoop:
			size += roomLoop
		case editReturn:
			size += roomReturn
		default:
			size += roomBulk
		}
	}
	w.out = make([]byte, 0, size)
	w.findTypes()
	c := appendU32([]byte{opGlobalSet}, w.fuel)
	c = appendU32(append(c, opGlobalGet), w.fuel)
	c = append(c, opI32Const, 0, opI32LtS, opIf, emptyBlock, opCall)
	c = appendU32(c, w.tick)
	c = appendU32(append(c, opGlobalSet), w.fuel)
	w.check = append(c, opEnd)
}

// findTypes looks for the type of tick, and for those of the functions that give
// several results back.
func (w *writer) findTypes() {
	w.types = map[string]uint32{}
	for i, t := range w.m.types {
		if key := resultKey(t.Results); len(t.Params) == 0 {
			if _, ok := w.types[key]; !ok {
				w.types[key] = uint32(i)
			}
		}
	}
	w.needType([]ValueType{I32})
	for i := range w.m.funcs {
		if f := &w.m.funcs[i]; f.calls && len(w.m.types[f.typ].Results) > 1 {
			w.needType(w.m.types[f.typ].Results)
		}
	}
}

func (w *writer) needType(results []ValueType) {
	key := resultKey(results)
	if _, ok := w.types[key]; !ok {
		w.types[key] = uint32(len(w.m.types) + len(w.newTypes))
		w.newTypes = append(w.newTypes, results)
	}
}

func resultKey(results []ValueType) string {
	key := make([]byte, len(results))
	for i, t := range results {
		key[i] = byte(t)
	}
	return string(key)
}

// section writes a section, if the metered module has it.
func (w *writer) section(id byte) {
	added, more := w.addition(id)
	s := w.m.sections[id]
	if s.end == 0 && added == nil {
		return
	}
	w.out = append(w.out, id)
	length := w.reserve()
	switch {
	case id == sectionCode:
		w.code(s)
	case added != nil:
		n, pos := uint32(0), int(s.start)
		if s.end > 0 {
			n, pos = readU32(w.m.bin, pos)
		}
		w.out = appendU32(w.out, n+more)
		w.copy(pos, int(s.end))
		w.out = append(w.out, added...)
	default:
		w.copy(int(s.start), int(s.end))
	}
	w.fill(length)
}

// addition is what metering adds to a section, and how many elements that is.
func (w *writer) addition(id byte) (b []byte, n uint32) {
	switch id {
	case sectionType:
		for _, results := range w.newTypes {
			b = appendU32(append(b, 0x60, 0), uint32(len(results)))
			b = append(b, resultKey(results)...)
		}
		return b, uint32(len(w.newTypes))
	case sectionImport:
		b = appendName(appendName(nil, TickModule), TickName)
		return appendU32(append(b, byte(KindFunction)), w.types[string(byte(I32))]), 1
	case sectionGlobal:
		for _, v := range []int32{w.slice, stackBytes} {
			b = append(appendI32(append(b, byte(I32), 1, opI32Const), v), opEnd)
		}
		return b, metersGlobals
	case sectionExport:
		for i, name := range []string{FuelName, StackName} {
			b = appendU32(append(appendName(b, name), byte(KindGlobal)), w.fuel+uint32(i))
		}
		return b, metersGlobals
	}
	return nil, 0
}

func appendName(b []byte, name string) []byte {
	return append(appendU32(b, uint32(len(name))), name...)
}

// reserve leaves room for a length and returns where.
func (w *writer) reserve() int {
	at := len(w.out)
	w.out = append(w.out, make([]byte, lengthBytes)...)
	return at
}

// fill writes the length of what follows the room at into it, in the longest
// form that the format allows.
func (w *writer) fill(at int) {
	n := uint32(len(w.out) - at - lengthBytes)
	for i := range lengthBytes - 1 {
		w.out[at+i] = byte(n>>(7*i))&0x7f | 0x80
	}
	w.out[at+lengthBytes-1] = byte(n >> 28)
}

// copy copies a part of the binary and makes the edits that lie in it.
func (w *writer) copy(from, to int) {
	for ; w.next < len(w.m.edits); w.next++ {
		e := w.m.edits[w.next]
		at := e.offset()
		if at >= to {
			break
		}
		w.out = append(w.out, w.m.bin[from:at]...)
		from = at
		if e.kind() == editFunction {
			i, next := readU32(w.m.bin, at)
			from = next
			if i >= w.tick {
				i++
			}
			w.out = appendU32(w.out, i)
		}
	}
	w.out = append(w.out, w.m.bin[from:to]...)
}

// code writes the code section.
func (w *writer) code(s span) {
	_, pos := readU32(w.m.bin, int(s.start))
	w.out = append(w.out, w.m.bin[s.start:pos]...)
	for i := range w.m.funcs {
		length := w.reserve()
		w.function(&w.m.funcs[i])
		w.fill(length)
	}
}

// function writes the locals and the code of a function.
func (w *writer) function(f *body) {
	from := int(f.locals)
	if f.needsLocal {
		_, from = readU32(w.m.bin, from)
		w.out = appendU32(w.out, f.groups+1)
		w.out = append(w.out, w.m.bin[from:f.code]...)
		w.out = append(w.out, 1, byte(I32))
		from = int(f.code)
	} else {
		w.out = append(w.out, w.m.bin[from:f.code]...)
		from = int(f.code)
	}
	w.charge(1 + int32(min((f.end-f.code)/bodyBytesPerUnit, math.MaxInt32-1)))
	w.enter(f)
	for ; w.next < int(f.edits); w.next++ {
		e := w.m.edits[w.next]
		at := e.offset()
		w.out = append(w.out, w.m.bin[from:at]...)
		from = at
		switch e.kind() {
		case editFunction:
			i, next := readU32(w.m.bin, at)
			from = next
			if i >= w.tick {
				i++
			}
			w.out = appendU32(w.out, i)
		case editLoop:
			w.charge(1)
		case editReturn:
			if f.calls {
				from++
				w.out = appendU32(append(w.out, opBr), uint32(w.m.returns[w.back]))
			}
			w.back++
		case editBulk:
			w.chargeLength(f.slots, lengthShift)
		case editGrow:
			w.chargePages(f.slots)
		}
	}
	w.out = append(w.out, w.m.bin[from:f.end]...)
	w.leave(f)
}

// enter writes what takes the frame of a function that calls others from the
// stack, and the beginning of a block around its code, so that every way out of
// it leads to leave.
func (w *writer) enter(f *body) {
	if !f.calls {
		return
	}
	w.move(opI32Sub, f)
	w.out = appendU32(append(w.out, opGlobalGet), w.fuel+1)
	w.out = append(w.out, opI32Const, 0, opI32LtS, opIf, emptyBlock, opUnreachable, opEnd, opBlock)
	switch results := w.m.types[f.typ].Results; len(results) {
	case 0:
		w.out = append(w.out, emptyBlock)
	case 1:
		w.out = append(w.out, byte(results[0]))
	default:
		w.out = appendI32(w.out, int32(w.types[resultKey(results)]))
	}
}

// leave gives the frame back. The code's own end has ended the block.
func (w *writer) leave(f *body) {
	if !f.calls {
		return
	}
	w.move(opI32Add, f)
	w.out = append(w.out, opEnd)
}

// move writes what adds a function's frame to what is left of the stack, or
// subtracts it.
func (w *writer) move(op byte, f *body) {
	w.out = appendU32(append(w.out, opGlobalGet), w.fuel+1)
	w.out = append(appendI32(append(w.out, opI32Const), f.frame()), op)
	w.out = appendU32(append(w.out, opGlobalSet), w.fuel+1)
}

// frame is about what a call of the function takes of the stack, in bytes.
func (f *body) frame() int32 {
	return int32(min(frameBytes+frameSlotBytes*uint64(f.slots)+uint64(f.end-f.code)<<frameCodeShift, stackBytes))
}

// charge writes what takes units from the fuel.
func (w *writer) charge(units int32) {
	w.out = appendU32(append(w.out, opGlobalGet), w.fuel)
	w.out = appendI32(append(w.out, opI32Const), units)
	w.out = append(w.out, opI32Sub)
	w.out = append(w.out, w.check...)
}

// chargeLength takes 1 + (length >> shift) units, where length is the uppermost
// operand and stays it. A local keeps it meanwhile.
func (w *writer) chargeLength(local uint32, shift byte) {
	w.keep(local)
	w.out = append(w.out, opI32Const, shift, opI32ShrU)
	w.takeKept()
}

// chargePages takes 1 + 16 × pages units.
func (w *writer) chargePages(local uint32) {
	w.keep(local)
	w.out = appendI32(append(w.out, opI32Const), pagesMask)
	w.out = append(w.out, opI32And, opI32Const, pageShift, opI32Shl)
	w.takeKept()
}

func (w *writer) keep(local uint32) {
	w.out = appendU32(append(w.out, opLocalTee), local)
	w.out = appendU32(append(w.out, opGlobalGet), w.fuel)
	w.out = appendU32(append(w.out, opLocalGet), local)
}

func (w *writer) takeKept() {
	w.out = append(w.out, opI32Const, 1, opI32Add, opI32Sub)
	w.out = append(w.out, w.check...)
}
