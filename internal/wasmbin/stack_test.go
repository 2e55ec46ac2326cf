package wasmbin

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
)

// callers are functions that call one of one operand, number 0, and leave in each
// way there is.
func callers() map[string]func(m *mod) {
	branch := func(text ...any) func(m *mod) {
		return func(m *mod) { m.fn("f", sig(i32s, i32s), append([]any{get(0), call(0), set(0)}, text...)...) }
	}
	return map[string]func(m *mod){
		"end":                branch(get(0)),
		"return":             branch(get(0), opReturn),
		"return in blocks":   branch(opBlock, emptyBlock, opLoop, emptyBlock, get(0), opReturn, opEnd, opEnd, i32(0)),
		"return over values": branch(i32(4), i32(5), get(0), opReturn),
		"branch":             branch(opBlock, emptyBlock, get(0), opBr, 1, opEnd, i32(0)),
		"branch if":          branch(opBlock, emptyBlock, get(0), i32(1), opBrIf, 1, 0x1a, opEnd, i32(0)),
		"branch if not":      branch(i32(0), i32(0), opBrIf, 0, 0x1a, get(0)),
		"table":              branch(opBlock, emptyBlock, get(0), get(0), opBrTable, 0, 1, opEnd, i32(0)),
		"through a table": func(m *mod) {
			m.tables = [][]byte{{byte(FuncRef), 0, 1}}
			m.elements = [][]byte{cat(0, offset(0), 1, 0)}
			m.fn("f", sig(i32s, i32s), get(0), i32(0), opCallIndirect, 0, 0)
		},
		"two results": func(m *mod) {
			two := m.fn("", sig(i32s, i32s+i64s), get(0), call(0), opI64Const, 9, opReturn)
			m.fn("f", sig(i32s, i32s), get(0), call(two), 0x1a)
		},
		"no result": func(m *mod) {
			none := m.fn("", sig(i32s, ""), get(0), opIf, emptyBlock, opReturn, opEnd, get(0), call(0), 0x1a)
			m.fn("f", sig(i32s, i32s), get(0), call(none), get(0), i32(1), opI32Add)
		},
	}
}

// TestMeter_GivesTheStackBack: whichever way a function is left, the result is
// that of the plain module, and all of the stack is there again.
func TestMeter_GivesTheStackBack(t *testing.T) {
	for name, build := range callers() {
		t.Run(name, func(t *testing.T) {
			m := newMod()
			m.fn("", sig(i32s, i32s), get(0), i32(1), opI32Add)
			build(m)
			h := newHost(t, wazero.NewRuntimeConfig())
			h.slice = 1000
			for _, arg := range []uint64{0, 1, 7} {
				plain, err := h.run(m.bytes(), arg)
				require.NoError(t, err)
				require.EqualValues(t, arg+1, plain.result)
				mod, err := h.start(metered(t, m.bytes(), h.slice))
				require.NoError(t, err)
				got, err := mod.ExportedFunction("f").Call(t.Context(), arg)
				require.NoError(t, err)
				require.Equal(t, plain.result, got[0])
				require.EqualValues(t, stackBytes, api.DecodeI32(mod.ExportedGlobal(StackName).Get()))
			}
		})
	}
}

// TestMeter_EndsRecursion: a call that leaves less than nothing of the stack
// traps, and says so. What the runtime itself would take is far more.
func TestMeter_EndsRecursion(t *testing.T) {
	for _, nops := range []int{0, 1000} {
		t.Run(fmt.Sprint(nops), func(t *testing.T) {
			m := newMod()
			filler := make([]byte, nops)
			for i := range filler {
				filler[i] = 0x01
			}
			m.fn("f", sig(i32s, i32s), filler, get(0), 0x45, opIf, 0x7f, i32(0), 0x05,
				get(0), i32(1), opI32Sub, call(0), i32(1), opI32Add, opEnd)
			bin := metered(t, m.bytes(), 1<<30)
			scanned, err := Scan(m.bytes(), DefaultLimits())
			require.NoError(t, err)
			depth := uint64(stackBytes / scanned.funcs[0].frame()) // calls that fit
			require.Greater(t, depth, uint64(1000))

			mod, err := newHost(t, wazero.NewRuntimeConfig()).start(bin)
			require.NoError(t, err)
			got, err := mod.ExportedFunction("f").Call(t.Context(), depth-1)
			require.NoError(t, err)
			require.Equal(t, depth-1, got[0])
			_, err = mod.ExportedFunction("f").Call(t.Context(), depth)
			require.ErrorContains(t, err, "unreachable")
			require.Negative(t, api.DecodeI32(mod.ExportedGlobal(StackName).Get()))
		})
	}
}
