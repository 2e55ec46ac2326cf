package documents

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wasmtail/wasmtail/internal/config"
	"github.com/wasmtail/wasmtail/internal/config/configdoc"
	"github.com/wasmtail/wasmtail/internal/telemetry"
)

const root = "../.."

func TestWriteAndCheck(t *testing.T) {
	dir := t.TempDir()
	require.Error(t, Check(config.Catalog{}, dir), "there are no sources")
	for _, sources := range []string{"internal/config/*.go", abiSource, limitsConfig, limitsOfCalls, limitsOfScan, formatsGolden + "/*.golden", formatsGolden + "/costs.tsv"} {
		files, err := filepath.Glob(filepath.Join(root, sources))
		require.NoError(t, err)
		for _, name := range files {
			data, err := os.ReadFile(name)
			require.NoError(t, err)
			to := filepath.Join(dir, filepath.Dir(sources), filepath.Base(name))
			require.NoError(t, os.MkdirAll(filepath.Dir(to), 0o750))
			require.NoError(t, os.WriteFile(to, data, 0o600))
		}
	}
	require.ErrorIs(t, Check(config.Catalog{}, dir), os.ErrNotExist)
	require.NoError(t, Write(config.Catalog{}, dir))
	require.NoError(t, Check(config.Catalog{}, dir))
	for _, name := range []string{configdoc.SchemaPath, MetricsPath, ABIPath, LimitsPath, FormatsPath} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte("{}"), 0o600))
		require.ErrorContains(t, Check(config.Catalog{}, dir), name+" is not what the sources say: run `make generate`")
		require.NoError(t, Write(config.Catalog{}, dir))
	}
}

// TestMetrics_AreDeclaredWhole holds the declarations to Prometheus' rules, and
// to the words the reference needs.
func TestMetrics_AreDeclaredWhole(t *testing.T) {
	seen := map[string]bool{}
	for prefix, list := range map[string][]*telemetry.Metric{"wasmtail_": telemetry.Agent, "wasmtail_hub_": telemetry.Hub} {
		for _, m := range list {
			require.False(t, seen[m.Name], "%s is there twice", m.Name)
			seen[m.Name] = true
			require.Regexp(t, "^"+prefix+"[a-z_]+$", m.Name)
			require.NotEmpty(t, m.Help, m.Name)
			require.Equal(t, m.Kind == telemetry.Counter, strings.HasSuffix(m.Name, "_total"), m.Name)
			require.Equal(t, m.Kind == telemetry.Histogram, len(m.Bounds) > 0, m.Name)
			if m.Unit != "" {
				require.Regexp(t, m.Unit+"(_total)?$", m.Name)
			}
			for _, l := range m.Labels {
				require.NotEmpty(t, l.Values, m.Name)
			}
		}
	}
}
