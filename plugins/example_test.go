package plugins

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/goccy/go-yaml"
	"github.com/stretchr/testify/require"

	"github.com/wasmtail/wasmtail/internal/config"
)

// TestTheExampleForKubernetesIsAConfiguration: what the documents tell people to use is
// taken by the agent.
func TestTheExampleForKubernetesIsAConfiguration(t *testing.T) {
	t.Setenv("NODE_NAME", "node-1")
	f, err := os.Open(filepath.Join("..", "docs", "inputs", "daemonset.yaml"))
	require.NoError(t, err)
	defer func() { _ = f.Close() }()
	found := false
	for d := yaml.NewDecoder(f); ; {
		var object struct {
			Kind string
			Data map[string]string
		}
		if d.Decode(&object) != nil {
			break
		}
		if text, ok := object.Data["agent.yaml"]; ok {
			found = true
			_, err := config.Parse("agent.yaml", []byte(text), t.TempDir(), Standard().Catalog())
			require.NoError(t, err)
		}
	}
	require.True(t, found)
}
