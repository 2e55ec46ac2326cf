package wasmbin

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/imports/wasi_snapshot_preview1"
)

var buildGuest = sync.OnceValues(func() ([]byte, error) {
	dir, err := os.MkdirTemp("", "wasmbin")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	file := filepath.Join(dir, "guest.wasm")
	cmd := exec.Command("go", "build", "-buildmode=c-shared", "-o", file, "./testdata/guest")
	cmd.Env = append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm", "GOFLAGS=")
	cmd.Stderr = os.Stderr
	if err := cmd.Run(); err != nil {
		return nil, err
	}
	return os.ReadFile(file)
})

// goGuest is a parser as the Go compiler writes it.
func goGuest(t testing.TB) []byte {
	t.Helper()
	bin, err := buildGuest()
	require.NoError(t, err)
	return bin
}

// metered scans and meters a module.
func metered(t testing.TB, bin []byte, slice int32) []byte {
	t.Helper()
	m, err := Scan(bin, DefaultLimits())
	require.NoError(t, err)
	out, err := m.Meter(MeterOptions{Slice: slice})
	require.NoError(t, err)
	return out
}

// host runs modules, with a tick that counts.
type host struct {
	wazero.Runtime
	ticks int
	// most is how many ticks are given; the next one ends the call.
	most  int
	slice int32
}

func newHost(t testing.TB, config wazero.RuntimeConfig) *host {
	t.Helper()
	ctx := context.Background()
	h := &host{Runtime: wazero.NewRuntimeWithConfig(ctx, config.WithMemoryLimitPages(1024)), most: 1 << 30}
	t.Cleanup(func() { require.NoError(t, h.Close(ctx)) })
	wasi_snapshot_preview1.MustInstantiate(ctx, h)
	_, err := h.NewHostModuleBuilder(TickModule).NewFunctionBuilder().WithGoFunction(
		api.GoFunc(func(_ context.Context, stack []uint64) {
			if h.ticks++; h.ticks > h.most {
				panic("BUG: out of ticks")
			}
			stack[0] = api.EncodeI32(h.slice)
		}), nil, []api.ValueType{api.ValueTypeI32},
	).Export(TickName).Instantiate(ctx)
	require.NoError(t, err)
	return h
}

// start instantiates a module without calling anything but its start function.
func (h *host) start(bin []byte) (api.Module, error) {
	return h.InstantiateWithConfig(context.Background(), bin, wazero.NewModuleConfig().WithName("").WithStartFunctions())
}

func TestMeter_GoGuest(t *testing.T) {
	bin := goGuest(t)
	h := newHost(t, wazero.NewRuntimeConfig())
	h.slice = 10_000
	var results [2]uint64
	for i, b := range [][]byte{bin, metered(t, bin, h.slice)} {
		mod, err := h.start(b)
		require.NoError(t, err)
		_, err = mod.ExportedFunction("_initialize").Call(t.Context())
		require.NoError(t, err)
		r, err := mod.ExportedFunction("work").Call(t.Context(), 300)
		require.NoError(t, err)
		results[i] = r[0]
	}
	require.Equal(t, results[0], results[1])
	require.Greater(t, h.ticks, 100)
}

func TestScan_GoGuest(t *testing.T) {
	m, err := Scan(goGuest(t), DefaultLimits())
	require.NoError(t, err)
	require.Contains(t, m.Toolchain(), "go1.")
	e, ok := m.Export("work")
	require.True(t, ok)
	require.Equal(t, "(i32) → (i64)", e.Signature.String())
	for _, u := range m.Measures() {
		t.Logf("%-34s %10d of %d", u.Name, u.Used, u.Allowed)
		require.LessOrEqual(t, u.Used, uint64(u.Allowed), u.Name)
		require.NotZero(t, u.Allowed, u.Name)
	}
}

func BenchmarkScan(b *testing.B) {
	bin := goGuest(b)
	b.SetBytes(int64(len(bin)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Scan(bin, DefaultLimits()); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkMeter(b *testing.B) {
	bin := goGuest(b)
	m, err := Scan(bin, DefaultLimits())
	require.NoError(b, err)
	b.SetBytes(int64(len(bin)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := m.Meter(MeterOptions{Slice: 200_000}); err != nil {
			b.Fatal(err)
		}
	}
}
