package wasmhost

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

const examplesDir = "../../wasm-examples"

// TestExamples_GiveTheirGoldenRows builds every example and runs its cases: whole,
// line by line, and in random parts. The languages of one example share them.
func TestExamples_GiveTheirGoldenRows(t *testing.T) {
	onlyInFull(t)
	projects, err := filepath.Glob(filepath.Join(examplesDir, "*", "*", "parser.yaml"))
	require.NoError(t, err)
	require.GreaterOrEqual(t, len(projects), 10)
	projects = append(projects, "../../sdk/wt/testdata/helpers/go/parser.yaml") // what no example has of the Go SDK
	for _, project := range projects {
		dir := filepath.Dir(project)
		t.Run(filepath.Base(filepath.Dir(dir))+"/"+filepath.Base(dir), func(t *testing.T) {
			h, _ := open(t)
			path := module(t, dir)
			cases, err := Cases(filepath.Join(filepath.Dir(dir), "testdata"))
			require.NoError(t, err)
			for _, c := range cases {
				require.NoError(t, c.Test(context.Background(), h, path, false))
			}
		})
	}
}

func TestCase_ShowsWhatDiffers(t *testing.T) {
	h, _ := open(t)
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "a.log"), []byte("one\n#5\n!float\n"), 0o600))
	c := Case{Name: "a", dir: dir}
	require.ErrorContains(t, c.Test(context.Background(), h, guest(t), false), "has no golden file")
	require.NoError(t, c.Test(context.Background(), h, guest(t), true))
	require.NoError(t, c.Test(context.Background(), h, guest(t), false))
	text, err := os.ReadFile(filepath.Join(dir, "a.out.jsonl"))
	require.NoError(t, err)
	require.Equal(t, `{"fields":{"text":"one"},"status":"ok","events":1}
{"fields":{"number":5},"status":"ok","events":1}
{"fields":{"number":0.5,"text":""},"status":"ok","events":1}
`, string(text))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "a.log"), []byte("one\n#6\n!float\n"), 0o600))
	require.ErrorContains(t, c.Test(context.Background(), h, guest(t), false), "row 2 differs")
	require.NoError(t, os.WriteFile(filepath.Join(dir, "a.log"), []byte("one\n!trap\n"), 0o600))
	require.ErrorContains(t, c.Test(context.Background(), h, guest(t), false), `at or after line 2 of a batch: trap: unreachable: "!trap"`)
	_, err = Cases(t.TempDir())
	require.ErrorContains(t, err, "has no cases")
}
