package wasmbin

import "fmt"

// Tops of limits which a configuration may raise.
const (
	fileBytesTop     = 64 << 20
	memoryPagesTop   = 1 << 30 / PageBytes
	functionJoinsTop = 10_000_000
	joinsTop         = 100_000_000
)

// Limits bound what a module may have. A module at a limit is accepted, one
// above it refused. The defaults lie far above what compilers write for
// parsers, and far below what makes a compiler of modules slow: each says how
// far. Start from DefaultLimits; no field may be below 1.
type Limits struct {
	// FileBytes bounds the file, in bytes. Default 16 MiB, top 64 MiB. A parser
	// in Go has 2 to 4 MB.
	FileBytes int
	// Types bounds the types of functions. Default and top 10,000.
	Types int
	// Imports bounds imports of all kinds. Default and top 1,000.
	Imports int
	// Exports bounds exports of all kinds. Default and top 10,000.
	Exports int
	// Functions bounds functions, imported ones included. Default and top
	// 65,536. A parser in Go has 2,400; 100,000 empty ones take 3 seconds to
	// compile.
	Functions int
	// Globals bounds globals, imported ones included. Default and top 10,000.
	Globals int
	// DataSegments bounds data segments. Default and top 200,000. The Go linker
	// begins a new one behind each few zeros: a parser in Go has 40,000.
	DataSegments int
	// ElementSegments bounds element segments. Default and top 10,000.
	ElementSegments int
	// Elements bounds the entries of all element segments together. Default and
	// top 200,000.
	Elements int
	// FunctionLocals bounds the parameters and locals of one function. Default
	// and top 2,000. A parser in Go has at most 21.
	FunctionLocals int
	// Locals bounds the sum of FunctionLocals over all functions. Default and
	// top 2,000,000. 100 million take 5 seconds and a gigabyte.
	Locals int
	// Nesting bounds how deep blocks lie in each other. Default and top 4,096.
	// A parser in Go has 549.
	Nesting int
	// BodyBytes bounds the code of one function, in bytes. Default and top
	// 1 MiB. A parser in Go has 50 KB.
	BodyBytes int
	// FunctionJoins bounds what following values through one function costs a
	// compiler, in points: its blocks, loops, ifs and branches, multiplied by the
	// values that are followed through each (its locals and the globals that can
	// change) and by a 32nd of their own number, because the compiler's time
	// grows with its square. Default 2,000,000, top 10,000,000; a million takes
	// up to 8 seconds of a core. A parser in Go has at most 280,000.
	FunctionJoins int
	// Joins bounds the sum of FunctionJoins over all functions. Default
	// 20,000,000, top 100,000,000. A parser in Go has 4,900,000.
	Joins int
	// CallValues bounds the values that pass through calls: for each call the
	// parameters, the results and the globals that can change, which are read
	// anew after it, and the latter for each loop and function too. Default and
	// top 5,000,000, which is up to 3 seconds. A parser in Go has 260,000.
	CallValues int
	// TableEntries bounds the table, in entries. Default and top 100,000.
	TableEntries int
	// MemoryPages bounds the memory at its start, in pages of 64 KiB. Default
	// 1,024, which is 64 MiB; top 16,384, which is 1 GiB.
	MemoryPages int
}

// DefaultLimits returns the limits which hold without a configuration.
func DefaultLimits() Limits {
	return Limits{
		FileBytes:       16 << 20,
		Types:           10_000,
		Imports:         1_000,
		Exports:         10_000,
		Functions:       65_536,
		Globals:         10_000,
		DataSegments:    200_000,
		ElementSegments: 10_000,
		Elements:        200_000,
		FunctionLocals:  2_000,
		Locals:          2_000_000,
		Nesting:         4_096,
		BodyBytes:       1 << 20,
		FunctionJoins:   2_000_000,
		Joins:           20_000_000,
		CallValues:      5_000_000,
		TableEntries:    100_000,
		MemoryPages:     64 << 20 / PageBytes,
	}
}

// Check returns an error for a limit that is below 1 or above its top.
func (l Limits) Check() error {
	tops := DefaultLimits()
	tops.FileBytes, tops.MemoryPages = fileBytesTop, memoryPagesTop
	tops.FunctionJoins, tops.Joins = functionJoinsTop, joinsTop
	top := (&Module{limits: tops}).Measures()
	for i, m := range (&Module{limits: l}).Measures() {
		if m.Allowed < 1 || m.Allowed > top[i].Allowed {
			return fmt.Errorf("cannot limit %s to %d: it must be between 1 and %d", m.Name, m.Allowed, top[i].Allowed)
		}
	}
	return nil
}

// usage is how much a module has of what limits bound. Where a limit holds for
// each function, it is the most of any.
type usage struct {
	file, types, imports, exports, functions, globals      uint64
	dataSegments, elementSegments, elements                uint64
	functionLocals, locals, nesting, bodyBytes             uint64
	functionJoins, joins, callValues, tableEntries, memory uint64
}

// Measure is how much a module has of something that a limit bounds.
type Measure struct {
	// Name says what is measured, such as "locals of one function".
	Name string `json:"name"`
	// Used is how much the module has. Where the limit holds for each function
	// it is the most of any.
	Used uint64 `json:"used"`
	// Allowed is the limit, in the same unit.
	Allowed int64 `json:"allowed"`
}

// Measures tells how much of each limit the module uses, in the order of the
// fields of Limits.
func (m *Module) Measures() []Measure {
	u, l := &m.used, &m.limits
	return []Measure{
		{"bytes of the file", u.file, int64(l.FileBytes)},
		{"types", u.types, int64(l.Types)},
		{"imports", u.imports, int64(l.Imports)},
		{"exports", u.exports, int64(l.Exports)},
		{"functions", u.functions, int64(l.Functions)},
		{"globals", u.globals, int64(l.Globals)},
		{"data segments", u.dataSegments, int64(l.DataSegments)},
		{"element segments", u.elementSegments, int64(l.ElementSegments)},
		{"elements of all segments", u.elements, int64(l.Elements)},
		{"locals of one function", u.functionLocals, int64(l.FunctionLocals)},
		{"locals of all functions", u.locals, int64(l.Locals)},
		{"nested blocks", u.nesting, int64(l.Nesting)},
		{"bytes of one function", u.bodyBytes, int64(l.BodyBytes)},
		{"points for locals × blocks of one function", u.functionJoins, int64(l.FunctionJoins)},
		{"points for locals × blocks of all functions", u.joins, int64(l.Joins)},
		{"values passed by calls", u.callValues, int64(l.CallValues)},
		{"table entries", u.tableEntries, int64(l.TableEntries)},
		{"pages of memory at the start", u.memory, int64(l.MemoryPages)},
	}
}
