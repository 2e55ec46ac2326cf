package wasmbin

import (
	"bytes"
	"context"
	"fmt"
	"hash/maphash"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/tetratelabs/wazero"
)

// operands are the immediates of instructions that take any, as short as they
// can be and valid in opcodeGuest. The keys are the opcodes in hexadecimal.
var operands = map[string][]byte{
	"02": {emptyBlock, opEnd}, "03": {emptyBlock, opEnd}, "04": {emptyBlock, opEnd},
	"0c": {0}, "0d": {0}, "0e": {2, 0, 0, 0}, "10": {1}, "11": {0, 0}, "1c": {1, byte(I64)},
	"20": {0}, "21": {0}, "22": {0}, "23": {0}, "24": {0}, "25": {0}, "26": {0},
	"3f": {0}, "40": {0}, "41": {0x80, 0x7f}, "42": {0x80, 0x7f},
	"43": make([]byte, 4), "44": make([]byte, 8), "d0": {byte(FuncRef)}, "d2": {1},
	"fc08": {0, 0}, "fc09": {0}, "fc0a": {0, 0}, "fc0b": {0}, "fc0c": {0, 0}, "fc0d": {0},
	"fc0e": {0, 0}, "fc10": {0}, "fc11": {0},
	"fd0c": make([]byte, 16), "fd0d": make([]byte, 16),
}

// immediate is what follows an opcode.
func immediate(opcode []byte) []byte {
	key := fmt.Sprintf("%x", opcode[:min(len(opcode), 2)])
	if o, ok := operands[key]; ok {
		return o
	}
	shapeOf := shapes[opcode[0]]
	if opcode[0] == opPrefixVector {
		shapeOf = vectorShapes[opcode[1]]
	}
	switch shapeOf {
	case shapeMemory:
		return []byte{0, 0}
	case shapeLane:
		return []byte{0}
	case shapeLaneMem:
		return []byte{0, 0, 0}
	}
	return nil
}

// opcodeGuest has one instruction behind `unreachable`, where operands of every
// type are there for the taking.
func opcodeGuest(text []byte) []byte {
	m := newMod()
	m.imports = [][]byte{importFunc("env", "f", 0)}
	m.types = [][]byte{sig(i32s, i32s)}
	m.tables = [][]byte{{byte(FuncRef), 0, 1}}
	m.globals = [][]byte{cat(I32, 1, offset(5))}
	m.elements = [][]byte{cat(1, 0, 1, 1)}
	m.data, m.dataCount = [][]byte{cat(1, str("abc"))}, true
	m.fn("f", sig(i32s, i32s), 0x00, text, 0x00)
	m.local(1, F64)
	return m.bytes()
}

// everyOpcode lists all there are, and many there are not.
func everyOpcode() (list [][]byte) {
	for op := range 256 {
		switch op {
		case opPrefixMisc:
			for second := range 128 {
				list = append(list, []byte{byte(op), byte(second)})
			}
		case opPrefixVector:
			for second := range 128 {
				list = append(list, []byte{byte(op), byte(second)}, []byte{byte(op), byte(second) | 0x80, 1})
			}
		case 0x05, opEnd: // they belong to blocks
		default:
			list = append(list, []byte{byte(op)})
		}
	}
	return list
}

// TestScan_KnowsEveryInstruction compares what Scan takes with what the compiler
// takes, instruction by instruction, and compiles the metered module.
func TestScan_KnowsEveryInstruction(t *testing.T) {
	h := newHost(t, wazero.NewRuntimeConfigCompiler())
	taken := 0
	for _, opcode := range everyOpcode() {
		bin := opcodeGuest(cat(opcode, immediate(opcode)))
		_, wazeroErr := h.CompileModule(t.Context(), bin)
		m, err := Scan(bin, DefaultLimits())
		if bytes.Equal(opcode, []byte{opPrefixMisc, miscTableGrow}) {
			require.ErrorContains(t, err, "table.grow")
			continue
		}
		require.Equal(t, wazeroErr == nil, err == nil, "% x: the compiler says %v, Scan says %v", opcode, wazeroErr, err)
		if err != nil {
			continue
		}
		taken++
		out, err := m.Meter(MeterOptions{Slice: 100})
		require.NoError(t, err)
		_, err = h.CompileModule(t.Context(), out)
		require.NoError(t, err, "% x", opcode)
	}
	// Plain ones without else and end, others without table.grow, and those on
	// vectors.
	require.Equal(t, 181+17+236, taken)
}

// TestScan_RefusesOddFormsOfInstructions: what another reader might cut at
// another place could hide a loop.
func TestScan_RefusesOddFormsOfInstructions(t *testing.T) {
	for name, text := range map[string][]byte{
		"padded vector opcode":       {opPrefixVector, 0x80, 0},
		"relaxed vector opcode":      {opPrefixVector, 0x80, 2},
		"vector opcode and loop":     {opPrefixVector, 0xe0, 3, emptyBlock},
		"padded misc opcode":         {opPrefixMisc, 0x80, 0},
		"long block type":            {opBlock, 0xc0, 0x7f, opEnd},
		"negative block type":        {opBlock, 0x80, 0x40, opEnd},
		"reference block type":       {opBlock, 0x64, 0, opEnd},
		"select of two":              {opSelectTyped, 2, byte(I32), byte(I32)},
		"padded select":              {opSelectTyped, 0x81, 0, byte(I32)},
		"null of a type":             {opRefNull, 0},
		"memory 1":                   {opMemorySize, 1},
		"padded memory":              {opMemorySize, 0x80, 0},
		"load of memory 1":           {0x28, 0x42, 1, 0},
		"number of six bytes":        {opLocalGet, 0x80, 0x80, 0x80, 0x80, 0x80, 0},
		"table that is cut":          {opBrTable, 0xff, 0xff, 0xff, 0xff, 0x0f},
		"call of what is not there":  {opCall, 2},
		"ref of what is not there":   {opRefFunc, 2},
		"type of what is not there":  {opCallIndirect, 9, 0},
		"block of a type not there":  {opBlock, 9, opEnd},
		"end too early":              {opEnd},
		"block without an end":       {opBlock, emptyBlock},
		"constant behind everything": {opF64Const},
	} {
		_, err := Scan(opcodeGuest(text), DefaultLimits())
		var r *Refusal
		require.ErrorAs(t, err, &r, name)
		require.Equal(t, 1, r.Function, name)
		require.Equal(t, "f", r.FunctionName, name)
	}
}

// elementForms are the eight forms of segments, each with functions 2 and 1.
func elementForms() [8][]byte {
	byIndex, byExpr := cat(2, 2, 1), cat(2, opRefFunc, 2, opEnd, opRefFunc, 1, opEnd)
	return [8][]byte{
		cat(0, offset(3), byIndex),
		cat(1, 0, byIndex),
		cat(2, 0, offset(3), 0, byIndex),
		cat(3, 0, byIndex),
		cat(4, offset(3), byExpr),
		cat(5, FuncRef, byExpr),
		cat(6, 0, offset(3), FuncRef, byExpr),
		cat(7, FuncRef, byExpr),
	}
}

// elementGuest calls what a segment put into the table at 3 and 4, through
// table.init where it is passive. Declared segments only make ref.func valid.
func elementGuest(form int) []byte {
	m := newMod()
	m.types = [][]byte{sig(i32s, i32s)}
	m.imports = [][]byte{importFunc("env", "f", 0)}
	m.tables = [][]byte{{byte(FuncRef), 0, 8}}
	m.elements = [][]byte{elementForms()[form]}
	m.globals = [][]byte{cat(FuncRef, 1, opRefFunc, 1, opEnd)}
	m.fn("", sig(i32s, i32s), get(0), i32(100), opI32Add)
	m.fn("", sig(i32s, i32s), get(0), call(0))
	var prepare []byte
	switch form {
	case 1, 5:
		prepare = cat(i32(3), i32(0), i32(2), opPrefixMisc, miscTableInit, 0, 0)
	case 3, 7:
		prepare = cat(i32(3), opRefFunc, 2, 0x26, 0, i32(4), opGlobalGet, 0, 0x26, 0)
	}
	m.fn("f", sig(i32s, i32s), prepare, get(0), i32(3), opCallIndirect, 0, 0,
		i32(1000), 0x6c, get(0), i32(4), opCallIndirect, 0, 0, opI32Add)
	return m.bytes()
}

func TestMeter_KeepsElementsOfAllForms(t *testing.T) {
	for form := range 8 {
		h := differentialHost(t)
		bin := elementGuest(form)
		plain, err := h.run(bin, 7)
		require.NoError(t, err, form)
		require.Equal(t, uint64(7*3*1000+107), plain.result)
		got, err := h.run(metered(t, bin, 1000), 7)
		require.NoError(t, err, form)
		require.Equal(t, plain.result, got.result, form)
	}
}

// differentialHost has the import of the guests: it triples its operand.
func differentialHost(t testing.TB) *host {
	t.Helper()
	h := newHost(t, wazero.NewRuntimeConfigCompiler())
	h.slice = 1000
	_, err := h.NewHostModuleBuilder("env").NewFunctionBuilder().
		WithFunc(func(x int32) int32 { return 3 * x }).Export("f").Instantiate(t.Context())
	require.NoError(t, err)
	return h
}

// differentialGuests use most of what edits touch, in little space.
func differentialGuests() (list [][]byte) {
	for form := range 8 {
		list = append(list, elementGuest(form))
	}
	for _, opcode := range everyOpcode() {
		bin := opcodeGuest(cat(opcode, immediate(opcode)))
		if _, err := Scan(bin, DefaultLimits()); err == nil && len(list)%5 == 0 {
			list = append(list, bin)
		}
	}
	m := newMod()
	m.types = [][]byte{sig(i32s, i32s)}
	m.imports = [][]byte{importFunc("env", "f", 0)}
	m.globals = [][]byte{cat(I32, 1, offset(3))}
	m.exports = append(m.exports, export("g", KindGlobal, 0))
	m.data = [][]byte{cat(0, offset(0), str("some text to be copied about"))}
	m.fn("f", sig(i32s, i32s), call(2),
		countdown(0, i32(64), i32(0), get(0), memoryCopy, opGlobalGet, 0, get(0), call(0), opI32Add, opGlobalSet, 0),
		i32(1), opMemoryGrow, 0, i32(70), 0x2d, 0, 0, opI32Add)
	m.fn("", sig("", ""), opGlobalGet, 0, i32(5), 0x6c, opGlobalSet, 0)
	m.start = u(2)
	m.customs = cat(custom("name", cat(1, 4, 1, 1, 1, "f")), custom("producers", cat(0)))
	list = append(list, m.bytes())

	v := newMod()
	v.fn("f", sig(i32s, i32s), get(0), 0xfd, 0x11, 0x21, 1,
		countdown(0, get(1), get(1), 0xfd, 0xae, 1, 0x21, 1), get(1), 0xfd, 0x1b, 2)
	v.local(1, V128)
	return append(list, v.bytes())
}

// state is what a run leaves behind: its result, its error, its memory and the
// global that guests export.
type state struct {
	failed bool
	result uint64
	memory uint64
	global uint64
}

var seed = maphash.MakeSeed()

// leave runs a module and returns its state. The error is that of compiling.
func (h *host) leave(ctx context.Context, bin []byte) (state, error) {
	var s state
	compiled, err := h.CompileModule(ctx, bin)
	if err != nil {
		return s, err
	}
	defer compiled.Close(ctx)
	mod, err := h.InstantiateModule(ctx, compiled, wazero.NewModuleConfig().WithName("").WithStartFunctions())
	if err != nil {
		s.failed = true
		return s, nil
	}
	defer mod.Close(ctx)
	f := mod.ExportedFunction("f")
	if f == nil {
		return s, nil
	}
	args := make([]uint64, len(f.Definition().ParamTypes()))
	for i := range args {
		args[i] = 7
	}
	r, err := f.Call(ctx, args...)
	s.failed = err != nil
	if err == nil && len(r) > 0 {
		s.result = r[0]
	}
	if data, ok := mod.Memory().Read(0, mod.Memory().Size()); ok {
		s.memory = maphash.Bytes(seed, data)
	}
	if g := mod.ExportedGlobal("g"); g != nil {
		s.global = g.Get()
	}
	return s, nil
}

// compare compiles and runs a module plain and metered. It returns whether both
// were accepted and left the same behind, and whether they ran to their end.
func (h *host) compare(t testing.TB, bin []byte) (alike, ended bool) {
	t.Helper()
	m, err := Scan(bin, fuzzLimits())
	if err != nil {
		return false, false
	}
	out, err := m.Meter(MeterOptions{Slice: h.slice})
	require.NoError(t, err)
	plain, err := h.CompileModule(t.Context(), bin)
	if err != nil {
		return false, false
	}
	require.NoError(t, plain.Close(t.Context()))
	// The metered one runs first: one that does not end is not run plain.
	h.ticks = 0
	got, err := h.leave(t.Context(), out)
	require.NoError(t, err, "only the plain module compiles: %x", bin)
	if h.ticks > h.most {
		return false, false
	}
	want, err := h.leave(t.Context(), bin)
	require.NoError(t, err)
	require.Equal(t, want, got, "%x", bin)
	return true, !got.failed
}

// fuzzLimits keep compiling fast enough for thousands of modules.
func fuzzLimits() Limits {
	l := DefaultLimits()
	l.FunctionLocals, l.Functions, l.MemoryPages = 200, 200, 64
	return l
}

// TestMeter_MutatedGuestsRunAlike flips bits and bytes of the guests.
func TestMeter_MutatedGuestsRunAlike(t *testing.T) {
	h := differentialHost(t)
	h.most = 20
	random := rand.New(rand.NewPCG(2026, 1))
	guests := differentialGuests()
	for _, g := range guests {
		h.compare(t, g)
	}
	alike, ended := 0, 0
	for range 6000 {
		bin := bytes.Clone(guests[random.IntN(len(guests))])
		for range 1 + random.IntN(8)/7 {
			at := 8 + random.IntN(len(bin)-8)
			if random.IntN(2) == 0 {
				bin[at] ^= 1 << random.IntN(8)
			} else {
				bin[at] = byte(random.IntN(256))
			}
		}
		a, e := h.compare(t, bin)
		if a {
			alike++
		}
		if e {
			ended++
		}
	}
	t.Logf("of 6000 mutated modules %d were accepted and alike, and %d ran to their end", alike, ended)
	require.Greater(t, alike, 400)
	require.Greater(t, ended, 100)
}

func FuzzMeteredRunsAlike(f *testing.F) {
	for _, g := range differentialGuests() {
		f.Add(g)
	}
	f.Fuzz(func(t *testing.T, bin []byte) {
		if len(bin) > 4096 {
			return
		}
		h := differentialHost(t)
		h.most = 20
		h.compare(t, bin)
	})
}

func TestToolchain_NamesTools(t *testing.T) {
	m := newMod()
	field := func(name string, values ...string) []byte {
		b := cat(str(name), u(len(values)/2))
		for _, v := range values {
			b = append(b, str(v)...)
		}
		return b
	}
	m.customs = custom("producers", vec([][]byte{
		field("language", "Rust", ""), field("processed-by", "rustc", "1.96.0", "a\x1b[31m", strings.Repeat("9", 300)),
	}))
	got, err := Scan(m.bytes(), DefaultLimits())
	require.NoError(t, err)
	require.Equal(t, "rustc 1.96.0, a[31m "+strings.Repeat("9", 256), got.Toolchain())

	m.customs = custom("producers", vec([][]byte{field("language", "C11", "")}))
	got, err = Scan(m.bytes(), DefaultLimits())
	require.NoError(t, err)
	require.Equal(t, "C11", got.Toolchain())

	m.customs = custom("producers", []byte{5, 1})
	got, err = Scan(m.bytes(), DefaultLimits())
	require.NoError(t, err)
	require.Empty(t, got.Toolchain())
}
