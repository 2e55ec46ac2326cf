package toolchain

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

const (
	sdkDir      = "../../sdk"
	examplesDir = "../../wasm-examples"
)

// projects are the folders of all examples.
func projects(t *testing.T) []string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(examplesDir, "*", "*", ProjectFile))
	require.NoError(t, err)
	require.NotEmpty(t, found)
	for i, path := range found {
		found[i] = filepath.Dir(path)
	}
	return found
}

func TestBuild_GivesTheSameBytesTwice(t *testing.T) {
	for _, dir := range projects(t) {
		t.Run(filepath.Base(filepath.Dir(dir))+"/"+filepath.Base(dir), func(t *testing.T) {
			p, err := Load(dir)
			require.NoError(t, err)
			var modules [2][]byte
			for i := range modules {
				out := filepath.Join(t.TempDir(), "m.wasm")
				require.NoError(t, p.Build(context.Background(), Options{SDKDir: sdkDir, Output: out}))
				modules[i], err = os.ReadFile(out)
				require.NoError(t, err)
			}
			require.Equal(t, "\x00asm", string(modules[0][:4]))
			require.Equal(t, modules[0], modules[1])
		})
	}
}

func write(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600))
	}
	return dir
}

func TestLoad_SaysWhatIsWrong(t *testing.T) {
	for text, want := range map[string]string{
		"name: a\nlanguage: c\nsource: a.c\noutput: a.wasm\nextra: 1\n": "unknown field",
		"language: c\nsource: a.c\noutput: a.wasm\n":                    "name is missing",
		"name: a\nlanguage: cobol\nsource: a.c\noutput: a.wasm\n":       `language is "cobol"; it must be one of assemblyscript, c, cpp, go, rust`,
		"name: a\nlanguage: c\nsource: ../a.c\noutput: a.wasm\n":        "source must be a path below",
		"name: a\nlanguage: c\nsource: a.c\noutput: /tmp/a.wasm\n":      "output must be a path below",
	} {
		_, err := Load(write(t, map[string]string{ProjectFile: text}))
		require.ErrorContains(t, err, want)
	}
	_, err := Load(t.TempDir())
	require.ErrorContains(t, err, "wasmtail parser init")
}

func TestBuild_TellsWhatTheCompilerSaid(t *testing.T) {
	dir := write(t, map[string]string{
		ProjectFile: "name: bad\nlanguage: c\nsource: bad.c\noutput: bad.wasm\n", "wt.h": "", "bad.c": "this is no C\n",
	})
	p, err := Load(dir)
	require.NoError(t, err)
	require.ErrorContains(t, p.Build(context.Background(), Options{}), "bad.c:1:1")
}

func TestBuild_NamesWhatIsMissing(t *testing.T) {
	for language, want := range map[string]string{"c": "apt-get install clang", "go": "go is missing", "assemblyscript": "npm install assemblyscript"} {
		p, err := Load(write(t, map[string]string{ProjectFile: "name: x\nlanguage: " + language + "\nsource: x\noutput: x.wasm\n"}))
		require.NoError(t, err)
		t.Setenv("PATH", t.TempDir())
		require.ErrorContains(t, p.Build(context.Background(), Options{SDKDir: sdkDir}), want)
	}
	p, err := Load(write(t, map[string]string{ProjectFile: "name: x\nlanguage: c\nsource: x.c\noutput: x.wasm\n"}))
	require.NoError(t, err)
	t.Setenv("PATH", os.Getenv("PATH")+":/usr/bin:/bin")
	require.ErrorContains(t, p.Build(context.Background(), Options{}), "wt.h is missing")
}
