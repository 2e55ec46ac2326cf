package wasmhost

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestConformance_HoldsForTheExamples checks an example of each language, with the
// lines of its own cases.
func TestConformance_HoldsForTheExamples(t *testing.T) {
	onlyInFull(t)
	alone(t)
	for _, example := range []string{"nginx/c", "logfmt/c", "pii/rust", "router/assemblyscript", "envelope/go", "javatrace/cpp"} {
		t.Run(example, func(t *testing.T) {
			h, _ := open(t)
			dir := filepath.Join(examplesDir, example)
			lines := linesOf(t, filepath.Join(dir, "..", "testdata"))
			for _, c := range h.Conformance(context.Background(), Spec{Path: module(t, dir)}, lines) {
				t.Logf("%s  %s: %s", c.Verdict, c.Rule, c.Reason)
				require.NotEqual(t, RuleBroken, c.Verdict, "%s: %s", c.Rule, c.Reason)
			}
		})
	}
}

// linesOf are the lines of all cases of a folder.
func linesOf(t *testing.T, dir string) (lines [][]byte) {
	t.Helper()
	cases, err := Cases(dir)
	require.NoError(t, err)
	for _, c := range cases {
		text, err := os.ReadFile(c.path(".log"))
		require.NoError(t, err)
		lines = append(lines, splitLines(text)...)
	}
	return lines
}

// broken are the rules that a module breaks. Its lines are 24 short ones.
func broken(t *testing.T, s Spec) (rules []string) {
	t.Helper()
	var lines [][]byte
	for i := range 24 {
		lines = append(lines, fmt.Appendf(nil, "line %d of the trial", i))
	}
	h, _ := open(t)
	for _, c := range h.Conformance(context.Background(), s, lines) {
		if c.Verdict == RuleBroken {
			rules = append(rules, c.Rule)
			require.NotEmpty(t, c.Reason)
		}
	}
	return rules
}

func TestConformance_FindsTheRuleThatIsBroken(t *testing.T) {
	alone(t)
	path := module(t, "testdata/breaker")
	for _, rule := range []string{
		"start", "schema", "whole", "splits", "instance", "retry", "flags", "final", "progress", "room", "many",
		"empty", "long", "bytes", "memory",
	} {
		t.Run(rule, func(t *testing.T) {
			require.Equal(t, []string{rule}, broken(t, Spec{Path: path, Config: fmt.Appendf(nil, `{"break":%q}`, rule)}))
		})
	}
	require.Equal(t, []string{"lines", "splits", "instance"}, broken(t, Spec{Path: path, Config: []byte(`{"break":"lines"}`)}), "they give single lines too")
	require.Empty(t, broken(t, Spec{Path: path, Config: []byte(`{"break":"capabilities"}`)}), "that is a note")
	require.Empty(t, broken(t, Spec{Path: path}))
}

func TestConformance_FindsWhatNoConfigurationChanges(t *testing.T) {
	alone(t)
	source, err := os.ReadFile("testdata/breaker/breaker.c")
	require.NoError(t, err)
	project, err := os.ReadFile("testdata/breaker/parser.yaml")
	require.NoError(t, err)
	for rule, macro := range map[string]string{"imports": "BREAK_IMPORTS", "exports": "BREAK_EXPORTS", "config": "BREAK_CONFIG"} {
		t.Run(rule, func(t *testing.T) {
			dir := t.TempDir()
			require.NoError(t, os.WriteFile(filepath.Join(dir, "parser.yaml"), project, 0o600))
			require.NoError(t, os.WriteFile(filepath.Join(dir, "breaker.c"), append([]byte("#define "+macro+"\n"), source...), 0o600))
			require.Equal(t, []string{rule}, broken(t, Spec{Path: module(t, dir)}))
		})
	}
	file := filepath.Join(t.TempDir(), "no.wasm")
	require.NoError(t, os.WriteFile(file, []byte("no module"), 0o600))
	require.Equal(t, []string{"file"}, broken(t, Spec{Path: file}))
}
