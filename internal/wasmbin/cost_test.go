package wasmbin

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
)

// byteLoop counts spaces in a page of memory, as often as it is asked to: for
// each byte a load, a comparison, and the end of the page.
func byteLoop() []byte {
	m := newMod()
	m.fn("f", sig(i32s, i32s), countdown(0,
		i32(PageBytes-1), set(1),
		opLoop, emptyBlock,
		get(1), 0x2d, 0, 0, i32(' '), 0x46, get(2), opI32Add, set(2),
		get(1), i32(1), opI32Sub, opLocalTee, 1, opBrIf, 0, opEnd), get(2))
	m.local(2, I32)
	return m.bytes()
}

func BenchmarkCost_ByteLoop(b *testing.B) { cost(b, byteLoop(), "f") }
func BenchmarkCost_GoGuest(b *testing.B)  { cost(b, goGuest(b), "bytes") }

// cost calls a guest that looks at pages of 64 KiB, plain and metered by turns,
// and reports the best speed of each and how much longer the metered one takes.
// The best of many short calls is steady on a busy machine, their sum is not.
func cost(b *testing.B, bin []byte, name string) {
	const pages = 20
	const slice = 200_000
	h := newHost(b, wazero.NewRuntimeConfigCompiler())
	h.slice = slice
	var guests [2]api.Function
	for i, bin := range [][]byte{bin, metered(b, bin, slice)} {
		mod, err := h.start(bin)
		require.NoError(b, err)
		if f := mod.ExportedFunction("_initialize"); f != nil {
			_, err = f.Call(b.Context())
			require.NoError(b, err)
		}
		guests[i] = mod.ExportedFunction(name)
	}
	best := [2]time.Duration{time.Hour, time.Hour}
	for b.Loop() {
		for i, f := range guests {
			start := time.Now()
			_, err := f.Call(b.Context(), pages)
			best[i] = min(best[i], time.Since(start))
			if err != nil {
				b.Fatal(err)
			}
		}
	}
	b.ReportMetric(pages*PageBytes/best[0].Seconds()/1e6, "plain-MB/s")
	b.ReportMetric(pages*PageBytes/best[1].Seconds()/1e6, "metered-MB/s")
	b.ReportMetric(100*(best[1].Seconds()/best[0].Seconds()-1), "%-longer")
}
