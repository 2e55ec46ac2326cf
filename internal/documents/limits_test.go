package documents

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wasmtail/wasmtail/internal/wasmbin"
)

func TestLimits_HaveEachWithItsRange(t *testing.T) {
	page, err := limits(root)
	require.NoError(t, err)
	for _, want := range []string{
		"| `limits.memory` | 64MiB | 64KiB | 1GiB |",
		"| `limits.time` | 100ms | 1ms | 10s |",
		"| `limits.held_lines` | 1000 | 0 | 100000 |",
		"| `replacementsMax` | 8 |",
		"| `Functions` | functions, imported ones included. Default and top 65,536.",
	} {
		require.Contains(t, string(page), want)
	}
	require.Equal(t, 65_536, wasmbin.DefaultLimits().Functions)
	there, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(LimitsPath)))
	require.NoError(t, err)
	require.True(t, bytes.Equal(page, there), "%s is not what the sources say: run `make generate`", LimitsPath)
}

func TestLimits_RefuseOneThatIsNotChecked(t *testing.T) {
	dir := t.TempDir()
	_, err := limits(dir)
	require.ErrorContains(t, err, "cannot read the limits of modules")
	file := filepath.Join(dir, filepath.FromSlash(limitsConfig))
	require.NoError(t, os.MkdirAll(filepath.Dir(file), 0o750))
	require.NoError(t, os.WriteFile(file, []byte("package wasm\ntype Limits struct {\n// X.\nMemory int `yaml:\"memory\"`\n}\n"), 0o600))
	_, err = limits(dir)
	require.ErrorContains(t, err, "cannot describe the limit memory")
}
