// Package wasmbin reads, checks and meters WebAssembly binaries.
//
// Scan reads a core module once, from its first byte to its last, and refuses
// what a parser may not have: features outside the core specification 2.0, more
// than one memory or table, and shapes that are small on disk but cost seconds
// or gigabytes to compile. Meter writes the module anew so that it counts what
// it spends and asks its host, a function called "tick", whenever a slice is
// used up.
//
// The package promises not to panic on any bytes, to run in time linear to
// their number, and to use memory in proportion to it. It does not check the
// types of operands: a compiler has to validate what Scan accepts. Scan accepts
// only such encodings of an instruction as all readers cut at the same place,
// so that a compiler cannot see a loop where Scan saw a constant.
//
// It starts no goroutines. A Module keeps the bytes it was scanned from, and
// they must not change while it is used; everything it returns may be read by
// several goroutines at once.
//
// Section numbers in comments are those of the WebAssembly Core Specification
// 2.0.
package wasmbin

import "strings"

// The names that Meter adds to a module. A guest that uses them itself is
// refused.
const (
	// TickModule and TickName are the import which a metered module calls when
	// its slice is used up. Its type is () → i32: it returns the next slice in
	// units, which should be at least 1, or does not return because the host
	// ends the call.
	TickModule = "wt"
	TickName   = "tick"
	// FuelName is the exported mutable i32 global with the units that are left
	// of the slice. While tick runs it is negative by what was spent beyond the
	// slice, so that the host can account for all of it.
	FuelName = "wt_fuel"
	// StackName is the exported mutable i32 global with the bytes of stack that
	// are left, about. A call that makes it negative traps: then its functions
	// call each other without end.
	StackName = "wt_stack"
)

// MetaSection is the name of the custom section with what the author says about
// the module, in JSON.
const MetaSection = "wt.meta"

// PageBytes is the size of a page of linear memory, 4.2.8.
const PageBytes = 65536

// ValueType is the type of a value as the binary format writes it, 5.3.1 to
// 5.3.4.
type ValueType byte

// The value types of the core specification 2.0.
const (
	I32       ValueType = 0x7f
	I64       ValueType = 0x7e
	F32       ValueType = 0x7d
	F64       ValueType = 0x7c
	V128      ValueType = 0x7b
	FuncRef   ValueType = 0x70
	ExternRef ValueType = 0x6f
)

func (t ValueType) String() string {
	switch t {
	case I32:
		return "i32"
	case I64:
		return "i64"
	case F32:
		return "f32"
	case F64:
		return "f64"
	case V128:
		return "v128"
	case FuncRef:
		return "funcref"
	case ExternRef:
		return "externref"
	}
	return "unknown"
}

// Kind says what an import or export is, 5.5.5 and 5.5.10.
type Kind byte

// The kinds in the order of the binary format.
const (
	KindFunction Kind = iota
	KindTable
	KindMemory
	KindGlobal
)

func (k Kind) String() string {
	switch k {
	case KindFunction:
		return "function"
	case KindTable:
		return "table"
	case KindMemory:
		return "memory"
	case KindGlobal:
		return "global"
	}
	return "unknown"
}

// Signature is the type of a function, 5.3.6. Its slices belong to the module
// and must not be changed.
type Signature struct {
	Params, Results []ValueType
}

// String writes the signature as `(i32, i64) → (i32)`.
func (s Signature) String() string {
	var b strings.Builder
	writeTypes(&b, s.Params)
	b.WriteString(" → ")
	writeTypes(&b, s.Results)
	return b.String()
}

func writeTypes(b *strings.Builder, types []ValueType) {
	b.WriteByte('(')
	for i, t := range types {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(t.String())
	}
	b.WriteByte(')')
}

// Import is something a module wants from its host.
type Import struct {
	// Module and Name are the two names of the import, in UTF-8.
	Module, Name string
	// Kind says what it is. Scan refuses imported memories.
	Kind Kind
	// Signature is the type of a function, and empty for other kinds.
	Signature Signature
}

// Export is something a module offers to its host.
type Export struct {
	// Name is unique among the exports of a module, in UTF-8.
	Name string
	// Kind says what it is.
	Kind Kind
	// Index counts within its kind, imports first.
	Index uint32
	// Signature is the type of a function, and empty for other kinds.
	Signature Signature
}

// Producer is an entry of the custom section "producers": a tool that took part
// in making the module. It is what the tool says of itself, unchecked.
type Producer struct {
	// Field is "language", "processed-by" or "sdk".
	Field string
	// Name is the name of the tool and Version its version, which may be empty.
	Name, Version string
}

// Module is a scanned binary. The zero value is of no use; Scan makes modules.
type Module struct {
	// Imports and Exports are in the order of the binary.
	Imports []Import
	Exports []Export
	// Functions is the number of functions which the module defines.
	Functions int
	// MemoryMin is the size of the memory at its start, in pages of PageBytes.
	MemoryMin uint32
	// MemoryMax is how far the module says it grows, in pages; 65,536 where it
	// says nothing. It may be above the limit: the runtime holds it to that.
	MemoryMax uint32
	// TableEntries is the size of the table, 0 without one.
	TableEntries uint32
	// Producers are the tools that made the module, as far as it says.
	Producers []Producer
	// Meta is the content of the custom section "wt.meta", nil without one. It
	// is a part of the scanned bytes.
	Meta []byte

	limits Limits
	used   usage

	bin      []byte
	sections [sectionCount]span
	types    []Signature
	funcs    []body
	edits    []edit
	// returns has, for each editReturn, the number of blocks it is in.
	returns []uint16
	// imported counts the imports by kind.
	imported [4]uint32
	globals  uint32
	// mutable counts the globals that can change, imported ones included.
	mutable uint32
}

// Toolchain names the tools that made the module in one line, such as
// "Go cmd/compile go1.26.0" or "rustc 1.96.0, clang 22.1.0". It is empty where
// the module does not tell.
func (m *Module) Toolchain() string {
	var parts []string
	for _, field := range []string{"processed-by", "sdk", "language"} {
		for _, p := range m.Producers {
			if p.Field == field {
				parts = append(parts, strings.TrimSpace(p.Name+" "+p.Version))
			}
		}
		if field == "sdk" && len(parts) > 0 {
			break // a language is named only where no tool is
		}
	}
	return strings.Join(parts, ", ")
}

// Export finds an export by its name.
func (m *Module) Export(name string) (Export, bool) {
	for _, e := range m.Exports {
		if e.Name == name {
			return e, true
		}
	}
	return Export{}, false
}

// span is a part of the binary, from its first byte to the one behind its last.
type span struct {
	start, end uint32
}

// body is where the parts of a function's code lie, 5.5.13.
type body struct {
	// locals is the vector of local declarations, code what follows it, and end
	// the first byte behind the function.
	locals, code, end uint32
	// edits is the end of the function's edits in the list of all.
	edits uint32
	// slots is the number of its parameters and locals.
	slots uint32
	// groups is the number of its local declarations.
	groups uint32
	// typ is the index of its type.
	typ uint32
	// needsLocal is set where an edit of the function keeps a length.
	needsLocal bool
	// calls is set where it calls functions of the module.
	calls bool
}

// edit is a place of the binary where Meter writes something else, together
// with what: the offset in the upper 26 bits, which is why a file has at most
// 64 MiB, and the kind in the lower 6.
type edit uint32

// The kinds of edits. Those after editReturn stand before an instruction whose
// uppermost operand is a length.
const (
	editFunction edit = iota // the offset is that of a function index
	editLoop                 // the offset is that of the first instruction inside
	editReturn               // the offset is that of a return
	editBulk
	editGrow
)

const editKindBits = 6

func (e edit) kind() edit  { return e & (1<<editKindBits - 1) }
func (e edit) offset() int { return int(e >> editKindBits) }
