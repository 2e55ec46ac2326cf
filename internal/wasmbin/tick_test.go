package wasmbin

import (
	"context"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
)

// account is what a metered module should do with its fuel.
type account struct {
	fuel, slice int32
	ticks       int
}

func (a *account) charge(units ...int32) {
	for _, x := range units {
		if a.fuel -= x; a.fuel < 0 {
			a.ticks++
			a.fuel = a.slice
		}
	}
}

func times(n int, f func()) {
	for range n {
		f()
	}
}

// TestMeter_CountsExactly runs each guest with several slices and compares the
// ticks and what is left with the price list.
func TestMeter_CountsExactly(t *testing.T) {
	nop := make([]byte, 700)
	for i := range nop {
		nop[i] = 1
	}
	cases := []struct {
		name   string
		build  func(m *mod)
		arg    uint64
		result int32
		cost   func(a *account)
	}{
		{
			"entry only", func(m *mod) { m.fn("f", sig(i32s, i32s), get(0)) }, 7, 7,
			func(a *account) { a.charge(1) },
		},
		{
			"long body", func(m *mod) { m.fn("f", sig(i32s, i32s), nop, get(0)) }, 7, 7,
			func(a *account) { a.charge(1 + 2) },
		},
		{
			"loop", func(m *mod) { m.fn("f", sig(i32s, i32s), countdown(0), get(0)) }, 1000, 0,
			func(a *account) { a.charge(1); times(1000, func() { a.charge(1) }) },
		},
		{"nested loops", func(m *mod) {
			m.fn("f", sig(i32s, i32s), countdown(0, i32(10), set(1), countdown(1)), get(0))
			m.local(1, I32)
		}, 30, 0, func(a *account) {
			a.charge(1)
			times(30, func() { a.charge(1); times(10, func() { a.charge(1) }) })
		}},
		{"loop with parameters", func(m *mod) {
			// The block type is that of the function: one operand in, one out.
			m.fn("f", sig(i32s, i32s), get(0), opLoop, 0, i32(1), opI32Sub, opLocalTee, 0, get(0), get(0), opBrIf, 0, 0x1a, opEnd)
		}, 50, 0, func(a *account) { a.charge(1); times(50, func() { a.charge(1) }) }},
		{"call tree without loops", func(m *mod) {
			f := m.fn("f", sig(i32s, i32s), get(0), 0x45, opIf, 0x7f, i32(1), 0x05,
				get(0), i32(1), opI32Sub, call(0), get(0), i32(1), opI32Sub, call(0), opI32Add, opEnd)
			require.Zero(t, f)
		}, 10, 1024, func(a *account) { times(2047, func() { a.charge(1) }) }},
		{"fill and copy in a loop", func(m *mod) {
			m.fn("f", sig(i32s, i32s), countdown(0, i32(0), i32(7), i32(6400), memoryFill, i32(6400), i32(0), i32(130), memoryCopy),
				i32(6529), 0x2d, 0, 0)
		}, 20, 7, func(a *account) { a.charge(1); times(20, func() { a.charge(1, 101, 3) }) }},
		{"fill beyond the memory traps after it was paid", func(m *mod) {
			m.fn("f", sig(i32s, i32s), i32(0), i32(7), i32(-1), memoryFill, i32(0))
		}, 1, -1, func(a *account) { a.charge(1, 1<<26) }},
		{"grow", func(m *mod) {
			m.fn("f", sig(i32s, i32s), get(0), opMemoryGrow, 0)
		}, 3, 1, func(a *account) { a.charge(1, 49) }},
		{"grow by too much", func(m *mod) {
			m.fn("f", sig(i32s, i32s), i32(-1), opMemoryGrow, 0)
		}, 3, -1, func(a *account) { a.charge(1, 1+16*0xffff) }},
		{"init", func(m *mod) {
			m.data, m.dataCount = [][]byte{cat(1, str("abcdefgh"))}, true
			m.fn("f", sig(i32s, i32s), i32(0), i32(0), get(0), opPrefixMisc, miscMemoryInit, 0, 0, i32(0), 0x2d, 0, 0)
		}, 8, 'a', func(a *account) { a.charge(1, 1) }},
		{"table operations", func(m *mod) {
			m.tables = [][]byte{{byte(FuncRef), 0, 100}}
			m.elements = [][]byte{cat(1, 0, 2, 0, 0)}
			m.fn("f", sig(i32s, i32s),
				i32(0), opRefNull, byte(FuncRef), i32(64), opPrefixMisc, miscTableFill, 0,
				i32(0), i32(0), i32(2), opPrefixMisc, miscTableInit, 0, 0,
				i32(1), i32(0), i32(99), opPrefixMisc, miscTableCopy, 0, 0,
				i32(2), 0x25, 0, 0xd1)
		}, 8, 0, func(a *account) { a.charge(1, 2, 1, 2) }},
	}
	for _, c := range cases {
		for _, slice := range []int32{1, 2, 10, 1000, 1 << 30} {
			t.Run(fmt.Sprintf("%s/%d", c.name, slice), func(t *testing.T) {
				m := newMod()
				c.build(m)
				want := account{fuel: slice, slice: slice}
				c.cost(&want)
				h := newHost(t, wazero.NewRuntimeConfig())
				h.slice = slice
				plain, plainErr := h.run(m.bytes(), c.arg)
				require.Zero(t, h.ticks)
				got, err := h.run(metered(t, m.bytes(), slice), c.arg)
				require.Equal(t, plainErr == nil, err == nil, "%v, %v", plainErr, err)
				require.Equal(t, plain.result, got.result)
				if plainErr == nil {
					require.Equal(t, c.result, api.DecodeI32(got.result))
				}
				require.Equal(t, want.ticks, h.ticks)
				require.Equal(t, want.fuel, got.fuel)
			})
		}
	}
}

type outcome struct {
	result uint64
	fuel   int32
}

// run calls f with one operand.
func (h *host) run(bin []byte, arg uint64) (o outcome, err error) {
	ctx := context.Background()
	mod, err := h.start(bin)
	if err != nil {
		return o, err
	}
	r, err := mod.ExportedFunction("f").Call(ctx, arg)
	if err == nil {
		o.result = r[0]
	}
	if g := mod.ExportedGlobal(FuelName); g != nil {
		o.fuel = api.DecodeI32(g.Get())
	}
	return o, err
}

// TestMeter_StopsEverything gives each guest that would run for ever a fixed
// number of ticks.
func TestMeter_StopsEverything(t *testing.T) {
	forever := cat(opLoop, emptyBlock, opBr, 0, opEnd)
	guests := map[string]func(m *mod){
		"loop": func(m *mod) { m.fn("f", sig(i32s, i32s), forever, 0x00) },
		"call tree": func(m *mod) {
			m.fn("f", sig(i32s, i32s), i32(39), call(1))
			m.fn("", sig(i32s, i32s), get(0), opIf, 0x7f, get(0), i32(1), opI32Sub, call(1),
				get(0), i32(1), opI32Sub, call(1), opI32Add, 0x05, i32(1), opEnd)
		},
		"calls through a table": func(m *mod) {
			m.tables = [][]byte{{byte(FuncRef), 0, 1}}
			m.elements = [][]byte{cat(0, offset(0), 1, 0)}
			// Two calls at each of 40 levels are 2^40 calls.
			m.fn("f", sig(i32s, i32s), get(0), i32(40), 0x46, opIf, 0x7f, i32(1), 0x05,
				get(0), i32(1), opI32Add, i32(0), opCallIndirect, 0, 0,
				get(0), i32(1), opI32Add, i32(0), opCallIndirect, 0, 0, opI32Add, opEnd)
		},
		"fill in a loop": func(m *mod) {
			m.fn("f", sig(i32s, i32s), opLoop, emptyBlock, i32(0), i32(1), i32(PageBytes), memoryFill, opBr, 0, opEnd, 0x00)
		},
		"grow in a loop": func(m *mod) {
			m.fn("f", sig(i32s, i32s), opLoop, emptyBlock, i32(1), opMemoryGrow, 0, 0x1a, opBr, 0, opEnd, 0x00)
		},
		"start function": func(m *mod) {
			m.fn("", sig("", ""), forever)
			m.start = u(0)
			m.fn("f", sig(i32s, i32s), get(0))
		},
	}
	for name, build := range guests {
		t.Run(name, func(t *testing.T) {
			m := newMod()
			build(m)
			h := newHost(t, wazero.NewRuntimeConfig())
			h.slice, h.most = 500, 20
			_, err := h.run(metered(t, m.bytes(), h.slice), 1)
			require.ErrorContains(t, err, "out of ticks")
			require.Equal(t, 21, h.ticks)
		})
	}
}

// TestMeter_TellsWhatWasSpentBeyond reads the fuel while tick runs.
func TestMeter_TellsWhatWasSpentBeyond(t *testing.T) {
	ctx := t.Context()
	r := wazero.NewRuntime(ctx)
	defer r.Close(ctx)
	var seen []int32
	_, err := r.NewHostModuleBuilder(TickModule).NewFunctionBuilder().WithGoModuleFunction(
		api.GoModuleFunc(func(_ context.Context, mod api.Module, stack []uint64) {
			seen = append(seen, api.DecodeI32(mod.ExportedGlobal(FuelName).Get()))
			stack[0] = 10
		}), nil, []api.ValueType{api.ValueTypeI32}).Export(TickName).Instantiate(ctx)
	require.NoError(t, err)
	m := newMod()
	m.fn("f", sig(i32s, i32s), i32(0), i32(7), i32(6400), memoryFill, i32(0), i32(7), i32(64), memoryFill, get(0))
	mod, err := r.Instantiate(ctx, metered(t, m.bytes(), 10))
	require.NoError(t, err)
	_, err = mod.ExportedFunction("f").Call(ctx, 1)
	require.NoError(t, err)
	require.Equal(t, []int32{10 - 1 - 101}, seen)
}
