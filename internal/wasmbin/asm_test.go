package wasmbin

import (
	"bytes"
	"slices"
)

// u writes an unsigned number, n a signed one, and str a name.
func u(v int) []byte      { return appendU32(nil, uint32(v)) }
func n(v int32) []byte    { return appendI32(nil, v) }
func str(s string) []byte { return appendName(nil, s) }

// cat joins parts: bytes, numbers below 256 as one byte, and code.
func cat(parts ...any) []byte {
	var out []byte
	for _, p := range parts {
		switch x := p.(type) {
		case int:
			if x < 0 || x > 255 {
				panic("BUG: not a byte")
			}
			out = append(out, byte(x))
		case byte:
			out = append(out, x)
		case ValueType:
			out = append(out, byte(x))
		case []byte:
			out = append(out, x...)
		case string:
			out = append(out, x...)
		default:
			panic("BUG: no part of a module")
		}
	}
	return out
}

func vec(items [][]byte) []byte {
	return append(u(len(items)), bytes.Join(items, nil)...)
}

func sec(id byte, content []byte) []byte {
	return cat(id, u(len(content)), content)
}

func custom(name string, content []byte) []byte {
	return sec(sectionCustom, append(str(name), content...))
}

// sig is a type of functions.
func sig(params, results string) []byte {
	return cat(0x60, str(params), str(results))
}

const i32s, i64s, v128s = "\x7f", "\x7e", "\x7b"

// code is a function of a type, with groups of locals, and without its end.
type code struct {
	typ    int
	locals []byte // groups, without their number
	groups int
	text   []byte
}

// mod is a module to be assembled. Sections without elements are left out.
type mod struct {
	types, imports, tables, memories, globals, exports, elements, data [][]byte
	funcs                                                              []code
	start                                                              []byte
	dataCount                                                          bool
	customs                                                            []byte
}

// newMod has one memory of one page and growing to 16, exported.
func newMod() *mod {
	return &mod{
		memories: [][]byte{{1, 1, 16}},
		exports:  [][]byte{export("memory", KindMemory, 0)},
	}
}

func export(name string, k Kind, index int) []byte {
	return cat(str(name), byte(k), u(index))
}

func importFunc(module, name string, typ int) []byte {
	return cat(str(module), str(name), 0, u(typ))
}

// fn adds a function and its type, and exports it when it has a name. It
// returns its index.
func (m *mod) fn(name string, typ []byte, text ...any) int {
	at := slices.IndexFunc(m.types, func(t []byte) bool { return bytes.Equal(t, typ) })
	if at < 0 {
		at = len(m.types)
		m.types = append(m.types, typ)
	}
	index := len(m.funcs)
	for _, i := range m.imports {
		s := &scanner{bin: i, end: len(i)}
		s.name()
		s.name()
		if Kind(s.byte()) == KindFunction {
			index++
		}
	}
	m.funcs = append(m.funcs, code{typ: at, text: cat(text...)})
	if name != "" {
		m.exports = append(m.exports, export(name, KindFunction, index))
	}
	return index
}

// local gives the function added last more locals.
func (m *mod) local(count int, t ValueType) {
	f := &m.funcs[len(m.funcs)-1]
	f.locals = cat(f.locals, u(count), t)
	f.groups++
}

func (m *mod) bytes() []byte {
	out := []byte("\x00asm\x01\x00\x00\x00")
	list := func(id byte, items [][]byte) {
		if len(items) > 0 {
			out = append(out, sec(id, vec(items))...)
		}
	}
	declared, bodies := make([][]byte, len(m.funcs)), make([][]byte, len(m.funcs))
	for i, f := range m.funcs {
		declared[i] = u(f.typ)
		b := cat(u(f.groups), f.locals, f.text, opEnd)
		bodies[i] = append(u(len(b)), b...)
	}
	list(sectionType, m.types)
	list(sectionImport, m.imports)
	list(sectionFunction, declared)
	list(sectionTable, m.tables)
	list(sectionMemory, m.memories)
	list(sectionGlobal, m.globals)
	list(sectionExport, m.exports)
	if m.start != nil {
		out = append(out, sec(sectionStart, m.start)...)
	}
	list(sectionElement, m.elements)
	if m.dataCount {
		out = append(out, sec(sectionDataCount, u(len(m.data)))...)
	}
	list(sectionCode, bodies)
	list(sectionData, m.data)
	return append(out, m.customs...)
}

// The instructions that tests use.
func get(i int) []byte      { return cat(opLocalGet, u(i)) }
func set(i int) []byte      { return cat(0x21, u(i)) }
func call(i int) []byte     { return cat(opCall, u(i)) }
func i32(v int32) []byte    { return cat(opI32Const, n(v)) }
func offset(v int32) []byte { return cat(i32(v), opEnd) }

// countdown runs a body n times, where local holds n at first.
func countdown(local int, body ...any) []byte {
	return cat(opLoop, emptyBlock, cat(body...),
		get(local), i32(1), opI32Sub, opLocalTee, u(local), opBrIf, 0, opEnd)
}

var (
	memoryFill = []byte{opPrefixMisc, miscMemoryFill, 0}
	memoryCopy = []byte{opPrefixMisc, miscMemoryCopy, 0, 0}
)
