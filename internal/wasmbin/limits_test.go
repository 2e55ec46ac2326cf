package wasmbin

import (
	"bytes"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestScan_SaysWhatWhereAndWhatToDo holds the whole text of errors.
func TestScan_SaysWhatWhereAndWhatToDo(t *testing.T) {
	named := newMod()
	named.fn("f", sig("", ""), opPrefixMisc, miscTableGrow, 0)
	exported := named.bytes()
	named.customs = custom("name", cat(0, 2, str("m"), 1, 10, 1, 0, str("grow_it")))

	deep := newMod()
	deep.fn("", sig("", ""), 0x01)
	deep.fn("", sig("", ""), bytes.Repeat([]byte{opBlock, emptyBlock}, 5000), bytes.Repeat([]byte{opEnd}, 5000))

	command := newMod()
	command.fn("_start", sig("", ""))
	for name, c := range map[string]struct {
		bin  []byte
		want string
	}{
		"a name from the name section": {named.bytes(), `cannot use the WebAssembly module: it grows its table with table.grow (function 0 "grow_it", offset 0x2d); give the table its full size at the start, and build without -mreference-types`},
		"a name from the exports":      {exported, `cannot use the WebAssembly module: it grows its table with table.grow (function 0 "f", offset 0x2d); give the table its full size at the start, and build without -mreference-types`},
		"no name":                      {deep.bytes(), `cannot use the WebAssembly module: it has 4097 nested blocks or more, the limit is 4096 (function 1, offset 0x2030); make the module smaller: build it with optimisation, and split functions made by generators`},
		"a section":                    {command.bytes(), `cannot use the WebAssembly module: it is a command: it exports "_start", and no "wt_process" (export section, offset 0x2d); build a library instead: in Go with -buildmode=c-shared, in Rust with crate-type = ["cdylib"], in C and C++ with -mexec-model=reactor`},
		"a component":                  {[]byte("\x00asm\x0d\x00\x01\x00"), "cannot use the WebAssembly module: it is a component, and only core modules run here; build for wasm32-unknown-unknown or wasm32-wasip1 without making a component, or take the core module out of it with `wasm-tools component unbundle`"},
	} {
		_, err := Scan(c.bin, DefaultLimits())
		require.EqualError(t, err, c.want, name)
	}
}

// TestScan_RefusesWhatIsNotCore has one module for each feature beyond the core
// specification, and for what the host keeps for itself.
func TestScan_RefusesWhatIsNotCore(t *testing.T) {
	body := func(text ...any) func(m *mod) {
		return func(m *mod) { m.fn("f", sig("", ""), text...) }
	}
	for want, build := range map[string]func(m *mod){
		"uses tail calls":                     body(0x12, 0),
		"uses exceptions":                     body(0x06, emptyBlock, opEnd),
		"uses typed function references":      body(0x14, 0),
		"uses garbage-collected types":        body(0xfb, 0),
		"uses threads and atomic operations":  body(0xfe, 0, 0, 0),
		"uses relaxed vector instructions":    body(0xfd, 0x80, 2),
		"uses several memories":               body(0x28, 0x42, 0, 0),
		"more than one memory (memory":        func(m *mod) { m.memories = append(m.memories, []byte{0, 1}) },
		"more than one memory (data":          func(m *mod) { m.data = [][]byte{cat(2, 1, offset(0), str("a"))} },
		"uses threads: its memory is shared":  func(m *mod) { m.memories[0] = []byte{3, 1, 2} },
		"uses memory64":                       func(m *mod) { m.memories[0] = []byte{4, 1} },
		"it imports its memory":               func(m *mod) { m.imports = [][]byte{cat(str("env"), str("memory"), 2, 0, 1)} },
		"does not export its memory":          func(m *mod) { m.exports[0] = export("mem", KindMemory, 0) },
		"it has no memory":                    func(m *mod) { m.memories, m.exports = nil, nil },
		"more than one table":                 func(m *mod) { m.tables = [][]byte{{0x70, 0, 1}, {0x70, 0, 1}} },
		"a table with an initial value":       func(m *mod) { m.tables = [][]byte{{0x40, 0, 0x70, 0, 1, opRefNull, 0x70, opEnd}} },
		"more than one instruction":           func(m *mod) { m.globals = [][]byte{cat(I32, 0, i32(1), i32(2), opI32Add, opEnd)} },
		"function references (type 0x64)":     func(m *mod) { m.types = [][]byte{sig("\x64", "")} },
		"garbage-collected types (type":       func(m *mod) { m.types = [][]byte{{0x5f, 0}} },
		"it uses exceptions (import":          func(m *mod) { m.imports = [][]byte{cat(str("env"), str("tag"), 4, 0, 0)} },
		"it uses exceptions (export":          func(m *mod) { m.exports = append(m.exports, export("tag", 4, 0)) },
		`imports "tick" from "wt"`:            func(m *mod) { m.types = [][]byte{sig("", i32s)}; m.imports = [][]byte{importFunc("wt", "tick", 0)} },
		`exports "wt_fuel"`:                   func(m *mod) { m.exports = append(m.exports, export("wt_fuel", KindMemory, 0)) },
		`exports "memory" twice`:              func(m *mod) { m.exports = append(m.exports, m.exports[0]) },
		`two sections "wt.meta"`:              func(m *mod) { m.customs = cat(custom("wt.meta", []byte("{}")), custom("wt.meta", nil)) },
		"function 1 is used, but there are":   func(m *mod) { m.fn("", sig("", "")); m.start = u(1) },
		`export "g" is global 0, but`:         func(m *mod) { m.exports = append(m.exports, export("g", KindGlobal, 0)) },
		"unknown flags 0x8 (element":          func(m *mod) { m.elements = [][]byte{{8}} },
		"the section is there twice, or too":  func(m *mod) { m.customs = sec(sectionType, []byte{0}) },
		"section 14 is unknown":               func(m *mod) { m.customs = sec(14, nil) },
		"it uses exceptions; build":           func(m *mod) { m.customs = sec(13, nil) },
		"a name is not valid UTF-8":           func(m *mod) { m.customs = custom("\xff", nil) },
		"declares 1 data segments and has 0":  func(m *mod) { m.customs = nil; m.dataCount = true; m.data = [][]byte{cat(1, str("a"))}; dropData(m) },
		"declares 1 functions and has code":   func(m *mod) { m.fn("", sig("", "")); m.funcs[0].typ = 0; dropCode(m) },
		"the function goes on after its end":  body(opEnd, 0x01),
		"the section has 1 bytes after":       func(m *mod) { m.customs = nil; m.memories[0] = []byte{0, 1, 7} },
		"in the middle of something":          func(m *mod) { m.globals = [][]byte{{byte(I32)}} },
		"at least 3 and at most 2":            func(m *mod) { m.memories[0] = []byte{1, 3, 2} },
		"a number is cut or too large":        func(m *mod) { m.memories[0] = []byte{0, 0x80, 0x80, 0x80, 0x80, 0x10} },
		"it lists 127 elements in":            func(m *mod) { m.customs = sec(sectionData, []byte{127}) },
		"the memory has more than 65536":      func(m *mod) { m.memories[0] = append([]byte{0}, u(65537)...) },
		"0x6a is not allowed in a constant":   func(m *mod) { m.globals = [][]byte{cat(I32, 0, opI32Add, opEnd)} },
		"type 3 is used, but there are only":  func(m *mod) { m.imports = [][]byte{importFunc("env", "f", 3)} },
		"is of the unknown kind 9 (import":    func(m *mod) { m.imports = [][]byte{cat(str("env"), str("f"), 9)} },
		"has the unknown flags 0x2 (global":   func(m *mod) { m.globals = [][]byte{cat(I32, 2, offset(1))} },
		"an element segment has an unknown k": func(m *mod) { m.elements = [][]byte{{1, 1, 0}} },
	} {
		m := newMod()
		build(m)
		_, err := Scan(m.bytes(), DefaultLimits())
		require.ErrorContains(t, err, want)
		var r *Refusal
		require.ErrorAs(t, err, &r)
		require.NotEmpty(t, r.Remedy, want)
	}
}

// dropData and dropCode leave a count behind that nothing follows.
func dropData(m *mod) {
	m.data, m.dataCount = nil, false
	m.customs = sec(sectionDataCount, u(1))
}

func dropCode(m *mod) {
	m.funcs = nil
	m.memories, m.exports = nil, nil
	m.customs = cat(sec(sectionFunction, []byte{1, 0}), sec(sectionMemory, []byte{1, 0, 1}), sec(sectionExport, cat(1, export("memory", KindMemory, 0))))
}

// measured is a module that has something of everything.
func measured() []byte {
	m := newMod()
	m.types = [][]byte{sig("", "")}
	m.imports = [][]byte{importFunc("env", "f", 0), importFunc("env", "g", 0)}
	m.tables = [][]byte{{byte(FuncRef), 0, 9}}
	m.globals = [][]byte{cat(I32, 1, offset(0)), cat(I64, 0, opI64Const, 1, opEnd)}
	m.elements = [][]byte{cat(0, offset(0), 2, 0, 1)}
	m.data = [][]byte{cat(0, offset(0), str("a")), cat(0, offset(1), str("b")), cat(1, str("c"))}
	m.fn("", sig(i32s+i64s, i32s), opBlock, emptyBlock, countdown(0), opEnd, get(0))
	m.local(5, I32)
	m.fn("f", sig("", ""), i32(2), opI64Const, 1, call(2), 0x1a)
	return m.bytes()
}

// TestScan_MeasuresAndBounds: the module is accepted where each limit is what it
// has, and refused where one is a step lower.
func TestScan_MeasuresAndBounds(t *testing.T) {
	bin := measured()
	m, err := Scan(bin, DefaultLimits())
	require.NoError(t, err)
	// Through a block, a loop and a branch, beside 7 locals, 3 values are followed:
	// the global, the fuel and the stack. A 32nd of 3 is none.
	want := []uint64{
		uint64(len(bin)), 2, 2, 2, 4, 2, 3, 1, 2, 7, 7, 2, 21, (7 + 3) * 3, (7 + 3) * 3,
		3 + 3*4, // the call's own values, and 3 globals for it, a loop and two entries
		9, 1,
	}
	limits := []func(l *Limits) *int{
		func(l *Limits) *int { return &l.FileBytes }, func(l *Limits) *int { return &l.Types },
		func(l *Limits) *int { return &l.Imports }, func(l *Limits) *int { return &l.Exports },
		func(l *Limits) *int { return &l.Functions }, func(l *Limits) *int { return &l.Globals },
		func(l *Limits) *int { return &l.DataSegments }, func(l *Limits) *int { return &l.ElementSegments },
		func(l *Limits) *int { return &l.Elements }, func(l *Limits) *int { return &l.FunctionLocals },
		func(l *Limits) *int { return &l.Locals }, func(l *Limits) *int { return &l.Nesting },
		func(l *Limits) *int { return &l.BodyBytes }, func(l *Limits) *int { return &l.FunctionJoins },
		func(l *Limits) *int { return &l.Joins }, func(l *Limits) *int { return &l.CallValues },
		func(l *Limits) *int { return &l.TableEntries }, func(l *Limits) *int { return &l.MemoryPages },
	}
	require.Len(t, m.Measures(), len(limits))
	exact := DefaultLimits()
	for i, u := range m.Measures() {
		require.Equal(t, want[i], u.Used, u.Name)
		require.Equal(t, u.Allowed, int64(*limits[i](&exact)), u.Name)
		*limits[i](&exact) = int(u.Used)
	}
	_, err = Scan(bin, exact)
	require.NoError(t, err)
	for i, u := range m.Measures() {
		if u.Used < 2 {
			continue // no limit is below 1
		}
		lower := exact
		*limits[i](&lower)--
		_, err = Scan(bin, lower)
		require.ErrorContains(t, err, "the limit is", u.Name)

		*limits[i](&lower) = 0
		require.ErrorContains(t, lower.Check(), "must be between 1 and", u.Name)
		*limits[i](&lower) = 1 << 40
		_, err = Scan(bin, lower)
		require.ErrorContains(t, err, "cannot limit "+u.Name+" to 1099511627776", u.Name)
	}
}

func TestScan_TellsWhatAModuleIs(t *testing.T) {
	m := newMod()
	m.types = [][]byte{sig(i32s+i64s, v128s)}
	m.imports = [][]byte{
		importFunc("env", "f", 0), cat(str("env"), str("g"), 3, I32, 0), cat(str("env"), str("t"), 1, FuncRef, 0, 5),
	}
	m.fn("run", sig("", i32s), i32(1))
	m.customs = cat(custom("wt.meta", []byte(`{"name":"x"}`)), custom("other", []byte("secret")))
	got, err := Scan(m.bytes(), DefaultLimits())
	require.NoError(t, err)
	s := Signature{[]ValueType{I32, I64}, []ValueType{V128}}
	require.Equal(t, []Import{{"env", "f", KindFunction, s}, {"env", "g", KindGlobal, Signature{}}, {"env", "t", KindTable, Signature{}}}, got.Imports)
	require.Equal(t, []Export{{"memory", KindMemory, 0, Signature{}}, {"run", KindFunction, 1, Signature{Params: []ValueType{}, Results: []ValueType{I32}}}}, got.Exports)
	require.Equal(t, "(i32, i64) → (v128)", got.Imports[0].Signature.String())
	require.Equal(t, 1, got.Functions)
	require.Equal(t, []uint32{1, 16, 5}, []uint32{got.MemoryMin, got.MemoryMax, got.TableEntries})
	require.Equal(t, `{"name":"x"}`, string(got.Meta))

	out, err := got.Meter(MeterOptions{Slice: 5})
	require.NoError(t, err)
	require.NotContains(t, string(out), "secret")
	require.NotContains(t, string(out), "wt.meta")
	_, err = got.Meter(MeterOptions{})
	require.ErrorContains(t, err, "at least 1")
	_, err = (&Module{}).Meter(MeterOptions{Slice: 1})
	require.ErrorContains(t, err, "use Scan")
}

// bombs are small files that would cost a compiler seconds or gigabytes.
func bombs() map[string][]byte {
	one := func(locals int, text ...any) []byte {
		m := newMod()
		m.fn("f", sig(i32s, ""), text...)
		if locals > 0 {
			m.local(locals, I32)
		}
		return m.bytes()
	}
	many := func(count, locals int) []byte {
		m := newMod()
		for range count {
			m.funcs = append(m.funcs, code{})
			if locals > 0 {
				m.local(locals, I32)
			}
		}
		m.types = [][]byte{sig("", "")}
		return m.bytes()
	}
	globals := newMod()
	for range 1000 {
		globals.globals = append(globals.globals, cat(I32, 1, offset(0)))
	}
	globals.fn("f", sig("", ""), bytes.Repeat(call(0), 20_000))
	results := newMod()
	results.fn("", sig("", strings.Repeat(i32s, 1000)), 0x00)
	results.fn("f", sig("", ""), bytes.Repeat(call(0), 20_000), 0x00)
	table := newMod()
	table.tables = [][]byte{cat(FuncRef, 0, u(134_217_727))}
	elements := newMod()
	elements.fn("f", sig("", ""))
	elements.elements = [][]byte{cat(1, 0, u(1_000_000), make([]byte, 1_000_000))}
	return map[string][]byte{
		"5,000 locals × 3,000 loops":         one(5000, bytes.Repeat([]byte{opLoop, emptyBlock, opEnd}, 3000)),
		"1,900 locals × 3,000 loops":         one(1900, bytes.Repeat([]byte{opLoop, emptyBlock, opEnd}, 3000)),
		"2,000 functions × 50,000 locals":    many(2000, 50_000),
		"2,000 functions × 1,900 locals":     many(2000, 1900),
		"100,000 functions":                  many(100_000, 0),
		"20,000 nested blocks":               one(0, bytes.Repeat([]byte{opBlock, emptyBlock}, 20_000), bytes.Repeat([]byte{opEnd}, 20_000)),
		"300,000 loops without locals":       one(0, bytes.Repeat([]byte{opLoop, emptyBlock, opEnd}, 300_000)),
		"60,000 branches out":                one(0, bytes.Repeat([]byte{opLocalGet, 0, opBrIf, 0}, 60_000)),
		"1,900 locals × 20,000 branches":     one(1900, opLoop, emptyBlock, bytes.Repeat([]byte{opLocalGet, 0, opBrIf, 0}, 20_000), opEnd),
		"a table of branches":                one(0, get(0), opBrTable, u(100_000), make([]byte, 100_001)),
		"1,000 globals × 20,000 calls":       globals.bytes(),
		"1,000 results × 20,000 calls":       results.bytes(),
		"a table of 134 million":             table.bytes(),
		"a million elements":                 elements.bytes(),
		"a million bytes and more at once":   one(0, bytes.Repeat([]byte{1}, 1<<20)),
		"a body that ends behind the file":   append(newMod().bytes(), sec(sectionCode, cat(1, u(1<<30)))...),
		"locals that wrap around 32 bits":    one(1<<32-1, get(0)),
		"a vector with too large a length":   append(newMod().bytes(), sec(sectionData, u(1<<31))...),
		"a section behind the file's end":    append(newMod().bytes(), cat(sectionData, u(1<<31))...),
		"a type with too many values":        append([]byte("\x00asm\x01\x00\x00\x00"), sec(sectionType, cat(1, 0x60, u(1<<31)))...),
		"declarations of locals, 2 × 2 ^ 31": one(1<<31, get(0)),
	}
}

// TestScan_RefusesBombsCheaply: in memory of at most 16 times the file, and
// 64 KiB.
func TestScan_RefusesBombsCheaply(t *testing.T) {
	for name, bin := range bombs() {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, err := Scan(bin, DefaultLimits())
		runtime.ReadMemStats(&after)
		var r *Refusal
		require.ErrorAs(t, err, &r, name)
		require.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(16*len(bin)+64<<10), name)
	}
}

// TestScan_TakesPrefixesOfAGuest cuts a guest at each byte, and damages each.
func TestScan_TakesPrefixesOfAGuest(t *testing.T) {
	for _, bin := range differentialGuests() {
		for i := range bin {
			_, err := Scan(bin[:i], DefaultLimits())
			// Only sections without code may be missing at the end.
			require.True(t, err != nil || len(bin)-i < 70, "%d of %d bytes", i, len(bin))
			for _, b := range []byte{0x00, 0x7f, 0x80, 0xff, opEnd} {
				damaged := slices.Clone(bin)
				damaged[i] = b
				if m, err := Scan(damaged, DefaultLimits()); err == nil {
					_, err = m.Meter(MeterOptions{Slice: 1})
					require.NoError(t, err)
				}
			}
		}
	}
}
