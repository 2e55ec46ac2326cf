package toolchain

import (
	"bytes"
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
				var said bytes.Buffer
				require.NoError(t, p.Build(context.Background(), Options{SDKDir: sdkDir, Output: out, Log: &said}))
				require.Empty(t, said.String())
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
	for language, want := range map[string]string{
		"c": "apt-get install clang-22 lld-22", "cpp": "apt-get install clang-22 lld-22", "go": "go is missing", "assemblyscript": "apt-get install nodejs npm",
	} {
		p, err := Load(write(t, map[string]string{ProjectFile: "name: x\nlanguage: " + language + "\nsource: x\noutput: x.wasm\n"}))
		require.NoError(t, err)
		t.Setenv("PATH", t.TempDir())
		require.ErrorContains(t, p.Build(context.Background(), Options{SDKDir: sdkDir}), want)
	}
	_, err := findRust(context.Background(), []string{t.TempDir()})
	require.ErrorContains(t, err, "apt-get install rustc libstd-rust-dev-wasm32 lld-14")
}

func TestBuild_NamesTheLinkerAndTheCompilerOfAPackage(t *testing.T) {
	bin := t.TempDir()
	t.Setenv("PATH", bin)
	program := func(name, text string) {
		require.NoError(t, os.WriteFile(filepath.Join(bin, name), []byte("#!/bin/sh\n"+text+"\n"), 0o700))
	}
	program("clang-17", "")
	_, err := findClang("clang")
	require.ErrorContains(t, err, "apt-get install lld-17")

	program("wasm-ld-17", "")
	program("clang++-17", "echo libc++.a")
	cpp, err := Load(write(t, map[string]string{ProjectFile: "name: x\nlanguage: cpp\nsource: x.cpp\noutput: x.wasm\n"}))
	require.NoError(t, err)
	require.ErrorContains(t, cpp.Build(context.Background(), Options{SDKDir: sdkDir}), "libc++-17-dev-wasm32")

	program("rustc", "echo LLVM version: 14.0.6")
	_, err = rustFound{path: filepath.Join(bin, "rustc"), root: t.TempDir()}.linker(context.Background())
	require.ErrorContains(t, err, "apt-get install lld-14")

	program("node", "")
	as, err := Load(write(t, map[string]string{ProjectFile: "name: x\nlanguage: assemblyscript\nsource: x.ts\noutput: x.wasm\n"}))
	require.NoError(t, err)
	require.ErrorContains(t, as.Build(context.Background(), Options{}), "npm install assemblyscript@0.28")
}

func TestBuild_NeedsTheSDK(t *testing.T) {
	p, err := Load(write(t, map[string]string{ProjectFile: "name: x\nlanguage: c\nsource: x.c\noutput: x.wasm\n"}))
	require.NoError(t, err)
	require.ErrorContains(t, p.Build(context.Background(), Options{}), "wt.h is missing")
}

func TestBuild_LeavesNoModuleOfAProgramThatMakesNone(t *testing.T) {
	bin := t.TempDir()
	t.Setenv("PATH", bin+":/usr/bin:/bin")
	require.NoError(t, os.WriteFile(filepath.Join(bin, "go"), []byte("#!/bin/sh\nwhile [ \"$1\" != -o ]; do shift; done; echo text > \"$2\"\n"), 0o700))
	dir := write(t, map[string]string{ProjectFile: "name: x\nlanguage: go\nsource: .\noutput: x.wasm\n"})
	p, err := Load(dir)
	require.NoError(t, err)
	require.ErrorContains(t, p.Build(context.Background(), Options{}), "no WebAssembly module")
	require.NoFileExists(t, filepath.Join(dir, "x.wasm"))
}

func TestBuild_TakesTheSDKBesideTheSource(t *testing.T) {
	sdk, err := os.ReadFile(filepath.Join(sdkDir, "c", "wt.h"))
	require.NoError(t, err)
	source, err := os.ReadFile(filepath.Join(examplesDir, "nginx", "c", "nginx.c"))
	require.NoError(t, err)
	dir := write(t, map[string]string{
		ProjectFile: "name: x\nlanguage: c\nsource: nginx.c\noutput: out/x.wasm\n", "wt.h": string(sdk), "nginx.c": string(source),
	})
	p, err := Load(dir)
	require.NoError(t, err)
	require.NoError(t, p.Build(context.Background(), Options{SDKDir: t.TempDir()}))
	require.FileExists(t, p.Module())
}
