package wasmbin

// The opcodes that Scan or Meter treat in their own way, 5.4.
const (
	opUnreachable  = 0x00
	opBlock        = 0x02
	opLoop         = 0x03
	opIf           = 0x04
	opEnd          = 0x0b
	opBr           = 0x0c
	opBrIf         = 0x0d
	opBrTable      = 0x0e
	opReturn       = 0x0f
	opCall         = 0x10
	opCallIndirect = 0x11
	opSelectTyped  = 0x1c
	opLocalGet     = 0x20
	opLocalTee     = 0x22
	opGlobalGet    = 0x23
	opGlobalSet    = 0x24
	opMemorySize   = 0x3f
	opMemoryGrow   = 0x40
	opI32Const     = 0x41
	opI64Const     = 0x42
	opF32Const     = 0x43
	opF64Const     = 0x44
	opI32LtS       = 0x48
	opI32Add       = 0x6a
	opI32Sub       = 0x6b
	opI32And       = 0x71
	opI32Shl       = 0x74
	opI32ShrU      = 0x76
	opRefNull      = 0xd0
	opRefFunc      = 0xd2
	opPrefixMisc   = 0xfc
	opPrefixVector = 0xfd

	emptyBlock = 0x40

	vectorConst = 12
)

// The second part of opcodes that start with opPrefixMisc, 5.4.6 and 5.4.7.
const (
	miscMemoryInit = 8
	miscDataDrop   = 9
	miscMemoryCopy = 10
	miscMemoryFill = 11
	miscTableInit  = 12
	miscElemDrop   = 13
	miscTableCopy  = 14
	miscTableGrow  = 15
	miscTableSize  = 16
	miscTableFill  = 17
)

// shape says what follows an opcode.
type shape uint8

const (
	shapeUnknown shape = iota
	shapeNone          // nothing
	shapeIndex         // one unsigned number of 32 bits
	shapeMemory        // an alignment and an offset, 5.4.6
	shapeInt32         // a signed number of up to 5 bytes
	shapeInt64         // a signed number of up to 10 bytes
	shapeFour          // 4 bytes
	shapeEight         // 8 bytes
	shapeOwn           // what instruction reads by itself
	shapeLane          // vectors: one byte
	shapeLaneMem       // vectors: alignment, offset and one byte
	shapeSixteen       // vectors: 16 bytes
	shapeNot           // known, and refused
)

// shapes and vectorShapes are indexed by the opcode.
var (
	shapes       = plainShapes()
	vectorShapes = simdShapes()
)

func plainShapes() (t [256]shape) {
	fill := func(from, to int, s shape) {
		for i := from; i <= to; i++ {
			t[i] = s
		}
	}
	fill(0x00, 0x01, shapeNone) // unreachable, nop
	fill(0x02, 0x04, shapeOwn)  // block, loop, if
	fill(0x05, 0x05, shapeNone) // else
	fill(0x06, 0x0a, shapeNot)  // exceptions
	fill(0x0b, 0x0f, shapeOwn)  // end, br, br_if, br_table, return
	fill(0x10, 0x11, shapeOwn)  // call, call_indirect
	fill(0x12, 0x15, shapeNot)  // tail calls, calls of references
	fill(0x18, 0x19, shapeNot)  // exceptions
	fill(0x1a, 0x1b, shapeNone) // drop, select
	fill(0x1c, 0x1c, shapeOwn)  // select with a type
	fill(0x1f, 0x1f, shapeNot)  // exceptions
	fill(0x20, 0x26, shapeIndex)
	fill(0x28, 0x3e, shapeMemory)
	fill(0x3f, 0x40, shapeOwn) // memory.size, memory.grow
	t[opI32Const], t[opI64Const] = shapeInt32, shapeInt64
	t[opF32Const], t[opF64Const] = shapeFour, shapeEight
	fill(0x45, 0xc4, shapeNone)
	fill(0xd0, 0xd0, shapeOwn)  // ref.null
	fill(0xd1, 0xd1, shapeNone) // ref.is_null
	fill(0xd2, 0xd2, shapeOwn)  // ref.func
	fill(0xd3, 0xd6, shapeNot)  // garbage collection, function references
	fill(0xfb, 0xfb, shapeNot)  // garbage collection
	fill(0xfc, 0xfd, shapeOwn)  // numbers without traps, bulk memory; vectors
	fill(0xfe, 0xfe, shapeNot)  // threads
	return t
}

func simdShapes() (t [256]shape) {
	fill := func(from, to int, s shape) {
		for i := from; i <= to; i++ {
			t[i] = s
		}
	}
	fill(0, 11, shapeMemory)   // loads, splats of loads, store
	fill(12, 13, shapeSixteen) // v128.const, i8x16.shuffle
	fill(14, 20, shapeNone)    // swizzle, splats
	fill(21, 34, shapeLane)    // lanes
	fill(35, 83, shapeNone)    // comparisons, bits
	fill(84, 91, shapeLaneMem) // loads and stores of lanes
	fill(92, 93, shapeMemory)  // loads with zeros
	fill(94, 255, shapeNone)   // arithmetic
	for _, op := range []int{  // numbers that mean nothing
		0x9a, 0xa2, 0xa5, 0xa6, 0xaf, 0xb0, 0xb2, 0xb3, 0xb4, 0xbb, 0xc2,
		0xc5, 0xc6, 0xcf, 0xd0, 0xd2, 0xd3, 0xd4, 0xe2, 0xee,
	} {
		t[op] = shapeUnknown
	}
	return t
}

// featureOf names the extension an opcode belongs to.
func featureOf(op byte) string {
	switch op {
	case 0x06, 0x07, 0x08, 0x09, 0x0a, 0x18, 0x19, 0x1f:
		return "exceptions"
	case 0x12, 0x13:
		return "tail calls"
	case 0x14, 0x15, 0xd4, 0xd5, 0xd6:
		return "typed function references"
	case 0xd3, 0xfb:
		return "garbage-collected types"
	case 0xfe:
		return "threads and atomic operations"
	}
	return ""
}
