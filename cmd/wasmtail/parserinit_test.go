package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wasmtail/wasmtail/internal/toolchain"
)

// buildProgram builds this program once for a test: modules are compiled by a
// process of it.
func buildProgram(t *testing.T) string {
	t.Helper()
	program := filepath.Join(t.TempDir(), "wasmtail")
	said, err := exec.CommandContext(t.Context(), "go", "build", "-o", program, ".").CombinedOutput()
	require.NoError(t, err, "%s", said)
	return program
}

func TestParserInit_BuildsAndPassesAtOnce(t *testing.T) {
	sdk, err := filepath.Abs("../../sdk")
	require.NoError(t, err)
	program, dir := buildProgram(t), t.TempDir()
	for _, language := range toolchain.Languages {
		t.Run(language, func(t *testing.T) {
			name := filepath.Join(dir, "my-"+language)
			said, err := exec.CommandContext(t.Context(), program, "parser", "init", "--lang", language, "--sdk", sdk, name).CombinedOutput()
			require.NoError(t, err, "%s", said)
			require.Contains(t, string(said), "wasmtail parser test")
			require.FileExists(t, filepath.Join(name, ".github", "workflows", "parser.yml"))
			said, err = exec.CommandContext(t.Context(), program, "parser", "test", "--sdk", sdk, name).CombinedOutput()
			require.NoError(t, err, "%s", said)
			require.Equal(t, "ok    basic\nok    foreign\nok    wrong\n", string(said))
		})
	}
}

func TestParserInit_RefusesNamesLanguagesAndFullFolders(t *testing.T) {
	full := filepath.Join(t.TempDir(), "full")
	require.NoError(t, os.Mkdir(full, 0o700))
	require.NoError(t, os.WriteFile(filepath.Join(full, "a"), nil, 0o600))
	empty := t.TempDir()
	for want, args := range map[string][]string{
		`cannot call a parser "Shop"`:           {filepath.Join(empty, "Shop")},
		`cannot call a parser ".."`:             {".."},
		`cannot begin a parser in "cobol"`:      {filepath.Join(empty, "shop"), "--lang", "cobol"},
		"full: the folder is not empty; choose": {full},
	} {
		root := rootCommand()
		root.SetOut(&bytes.Buffer{})
		root.SetArgs(append([]string{"parser", "init"}, args...))
		err := root.ExecuteContext(t.Context())
		require.ErrorContains(t, err, want)
		require.Equal(t, exitUsage, exitCode(err))
	}
	left, err := os.ReadDir(empty)
	require.NoError(t, err)
	require.Empty(t, left)
}
