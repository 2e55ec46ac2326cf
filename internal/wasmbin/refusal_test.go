package wasmbin

import (
	"bytes"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// section is a section of a module, with its length.
func section(id byte, content ...byte) []byte {
	return append(appendU32([]byte{id}, uint32(len(content))), content...)
}

// moduleOf puts sections behind the head of a module.
func moduleOf(sections ...[]byte) []byte {
	return append([]byte("\x00asm\x01\x00\x00\x00"), bytes.Join(sections, nil)...)
}

// function is a body with its length: groups of locals of type i32, then code.
func function(locals uint32, code ...byte) []byte {
	body := []byte{0}
	if locals > 0 {
		body = append(appendU32([]byte{1}, locals), byte(I32))
	}
	body = append(append(body, code...), opEnd)
	return append(appendU32(nil, uint32(len(body))), body...)
}

// functions is a module of n functions without parameters, with a memory.
func functions(n int, body []byte) []byte {
	list := appendU32(nil, uint32(n))
	code := appendU32(nil, uint32(n))
	for range n {
		list = append(list, 0)
		code = append(code, body...)
	}
	return moduleOf(section(1, 1, 0x60, 0, 0), section(3, list...), memory, exportMemory, section(10, code...))
}

var (
	memory       = section(5, 1, 0, 1)
	exportMemory = section(7, append([]byte{1, 6}, "memory\x02\x00"...)...)
)

func repeat(n int, code ...byte) []byte { return bytes.Repeat(code, n) }

func TestScan_RefusesWhatIsSmallAndCostsMuch(t *testing.T) {
	blocks := append(repeat(20_000, 0x02, 0x40), repeat(20_000, opEnd)...)
	loops := repeat(3000, 0x03, 0x40, opEnd)
	for want, bin := range map[string][]byte{
		"nested":     functions(1, function(0, blocks...)),
		"locals":     functions(1, function(50_000)),
		"locals × ":  functions(1, function(2000, loops...)),
		"functions":  functions(100_000, function(0)),
		"bytes":      functions(1, function(0, repeat(1<<20, 0x01)...)),
		"table":      moduleOf(section(4, append([]byte{1, 0x70, 0}, appendU32(nil, 134_217_727)...)...), memory, exportMemory),
		"memory":     moduleOf(section(1, 1, 0x60, 0, 0)),
		"component":  []byte("\x00asm\x0d\x00\x01\x00"),
		"not a Wasm": []byte("this is no module"),
		"pages":      moduleOf(section(5, append([]byte{1, 0}, appendU32(nil, 65_535)...)...), exportMemory),
		"grow":       moduleOf(section(1, 1, 0x60, 0, 0), section(3, 1, 0), section(4, 1, 0x70, 0, 1), memory, exportMemory, section(10, append([]byte{1}, function(0, 0xd0, 0x70, 0x41, 1, 0xfc, 15, 0, 0x1a)...)...)),
		"command":    moduleOf(section(1, 1, 0x60, 0, 0), section(3, 1, 0), memory, section(7, append(append([]byte{2, 6}, "memory\x02\x00"...), "\x06_start\x00\x00"...)...), section(10, append([]byte{1}, function(0)...)...)),
	} {
		_, err := Scan(bin, DefaultLimits())
		require.Error(t, err, want)
		if want != "not a Wasm" {
			require.Contains(t, strings.ToLower(err.Error()), strings.ToLower(want))
		}
	}
	_, err := Scan(functions(3, function(2, 0x03, 0x40, opEnd)), DefaultLimits())
	require.NoError(t, err)
}

// TestScan_TakesAnyBytes: mutated modules are refused or metered, never more.
func TestScan_TakesAnyBytes(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	seeds := [][]byte{functions(3, function(2, 0x03, 0x40, opEnd)), functions(2, function(0, 0x41, 1, 0x1a))}
	accepted := 0
	for range 20_000 {
		bin := bytes.Clone(seeds[random.IntN(len(seeds))])
		for range 1 + random.IntN(3) {
			bin[8+random.IntN(len(bin)-8)] ^= 1 << random.IntN(8)
		}
		if scanAndMeter(t, bin[:8+random.IntN(len(bin)-7)]) {
			accepted++
		}
		if scanAndMeter(t, bin) {
			accepted++
		}
	}
	require.Positive(t, accepted)
}

// scanAndMeter requires that what is accepted can be metered, and that nobody
// passes a metered module for one that is not.
func scanAndMeter(t *testing.T, bin []byte) bool {
	m, err := Scan(bin, DefaultLimits())
	if err != nil {
		return false
	}
	out, err := m.Meter(MeterOptions{Slice: 100})
	require.NoError(t, err)
	_, err = Scan(out, DefaultLimits())
	require.Error(t, err, "it exports what only the meter may")
	return true
}

func FuzzScanMeter(f *testing.F) {
	f.Add(functions(3, function(2, 0x03, 0x40, opEnd)))
	f.Add(moduleOf(section(4, 1, 0x70, 0, 1), memory, exportMemory, section(9, 1, 0, 0x41, 0, opEnd, 0)))
	f.Fuzz(func(t *testing.T, bin []byte) {
		if len(bin) < 1<<16 {
			scanAndMeter(t, bin)
		}
	})
}
