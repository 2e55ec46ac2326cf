package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wasmtail/wasmtail/agent/wasmhost"
)

// buildParser builds an example with the built program.
func buildParser(t *testing.T, example, out string) (sha256 string) {
	t.Helper()
	return buildProject(t, filepath.Join("..", "..", "wasm-examples", example), out)
}

// buildProject builds a parser project with the built program.
func buildProject(t *testing.T, dir, out string) (sha256 string) {
	t.Helper()
	cmd := exec.Command(filepath.Join(bin, "wasmtail"), "parser", "build", dir, "--sdk", filepath.Join("..", "..", "sdk"), "-o", out)
	text, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", text)
	_, sum, ok := strings.Cut(string(text), "sha256: ")
	require.True(t, ok, "%s", text)
	return strings.TrimSpace(sum)
}

func appendLines(t *testing.T, path, text string) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	require.NoError(t, err)
	_, err = f.WriteString(text)
	require.NoError(t, err)
	require.NoError(t, f.Close())
}

const routerPipeline = `  p:
    input: {type: files, include: [%q], start_at: beginning}
    processors:
      - type: wasm
        module: %q
        sha256: %s
        config: {drop_health: true}
        routes: [errors, audit]
        on_parse_failure: dead_letter
        dead_letter: unparsed
    outputs: [hub]
    logstore: store
`

// TestAModuleRoutesDropsAndMarks follows lines through a pinned module to four log
// stores, over a kill of the agent, and to a new version of the module.
func TestAModuleRoutesDropsAndMarks(t *testing.T) {
	t.Parallel()
	h := startHub(t)
	dir := t.TempDir()
	module := filepath.Join(dir, "router.wasm")
	sum := buildParser(t, "router/assemblyscript", module)
	path := writeFile(t, "app.log", "ERROR cannot reach the database\nINFO audit: ann deleted a user\ninfo GET /healthz\ninfo login\nno level here\n")
	a := newAgent(t, h, fmt.Sprintf(routerPipeline, path, module, sum))
	a.start(t)
	counts := func() [4]int {
		return [4]int{len(h.records(t, "store")), len(h.records(t, "errors")), len(h.records(t, "audit")), len(h.records(t, "unparsed"))}
	}
	a.eventually("every line is where it belongs", func() bool { return counts() == [4]int{1, 1, 1, 1} })
	s, err := a.status()
	require.NoError(t, err)
	require.Len(t, s.Modules, 1)
	require.Equal(t, wasmhost.Serving, s.Modules[0].State)
	require.Equal(t, sum, s.Modules[0].SHA256)
	require.EqualValues(t, 1, s.Modules[0].Dropped)

	a.kill()
	appendLines(t, path, "error again\nwarn careful\n")
	a.start(t)
	a.eventually("what was written meanwhile came once", func() bool { return counts() == [4]int{2, 2, 1, 1} })

	// Another content than the pinned one does not serve, and takes no line away.
	require.NoError(t, os.WriteFile(module, []byte("not the module"), 0o600))
	a.eventually("the change is refused", func() bool {
		s, err := a.status()
		return err == nil && strings.Contains(s.Modules[0].Reason, "its sha256 is")
	})
	appendLines(t, path, "error third\n")
	a.eventually("the old version goes on", func() bool { return counts() == [4]int{2, 3, 1, 1} })
	a.stop()
}
