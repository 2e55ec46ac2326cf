package config

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// hubWith parses a configuration whose output has the given keys.
func hubWith(t *testing.T, dir, keys string) (*hubConfig, error) {
	t.Helper()
	text := strings.Replace(minimal, "out: {type: stdout}", "out:\n    type: logservice\n    "+keys, 1)
	f, err := Parse("agent.yaml", []byte(text), dir, testCatalog())
	if err != nil {
		return nil, err
	}
	return f.Outputs["out"].Config.(*hubConfig), nil
}

func TestSubstitute_Environment(t *testing.T) {
	t.Setenv("WASMTAIL_TEST_HOST", "http://h: [x]\n- y")
	t.Setenv("WASMTAIL_TEST_N", "7")
	t.Setenv("WASMTAIL_TEST_EMPTY", "")
	f := func(written, want string) {
		t.Helper()
		h, err := hubWith(t, t.TempDir(), "endpoint: http://h\n    access_key_secret: "+written)
		require.NoError(t, err)
		require.Equal(t, want, h.Key.Reveal())
	}
	f(`${env:WASMTAIL_TEST_HOST}`, "http://h: [x]\n- y")
	f(`"a ${env:WASMTAIL_TEST_N} b ${env:WASMTAIL_TEST_N}"`, "a 7 b 7")
	f(`${env:WASMTAIL_TEST_UNSET:-fallback}`, "fallback")
	f(`${env:WASMTAIL_TEST_EMPTY:-fallback}`, "fallback")
	f(`"x${env:WASMTAIL_TEST_EMPTY}x1"`, "xx1")
	f(`${env:WASMTAIL_TEST_N:?is needed}1234`, "71234")
	f(`$${env:WASMTAIL_TEST_N}`, "${env:WASMTAIL_TEST_N}")
	f(`$${name} $$ $1 ${name} ${1}`, "${name} $$ $1 ${name} ${1}")
	f(`'^(?P<a>\S+)$'`, `^(?P<a>\S+)$`)
}

func TestSubstitute_ValueHasTheTypeOfItsField(t *testing.T) {
	t.Setenv("WASMTAIL_TEST_N", "7")
	t.Setenv("WASMTAIL_TEST_BOOL", "false")
	t.Setenv("WASMTAIL_TEST_TIME", "3d")
	h, err := hubWith(t, t.TempDir(), `endpoint: http://h
    retries: "${env:WASMTAIL_TEST_N}"
    compress: ${env:WASMTAIL_TEST_BOOL}
    timeout: ${env:WASMTAIL_TEST_TIME}
    buffer: ${env:WASMTAIL_TEST_N}MiB`)
	require.NoError(t, err)
	require.Equal(t, 7, h.Retries)
	require.False(t, h.Compress)
	require.Equal(t, "3d", formatDuration(h.Timeout))
	require.Equal(t, 7*MiB, h.Buffer)
}

func TestSubstitute_Faults(t *testing.T) {
	t.Setenv("WASMTAIL_TEST_SECRET", "hunter22")
	f := func(written, want string) {
		t.Helper()
		_, err := hubWith(t, t.TempDir(), "endpoint: http://h\n    "+written)
		require.ErrorContains(t, err, want)
		require.NotContains(t, err.Error(), "hunter22")
	}
	f(`access_key_secret: ${env:WASMTAIL_TEST_UNSET}`, "agent.yaml:6:24: outputs.out.access_key_secret: the environment variable WASMTAIL_TEST_UNSET is not set")
	f(`access_key_secret: "${env:WASMTAIL_TEST_UNSET:?ask the owner}"`, "WASMTAIL_TEST_UNSET is not set: ask the owner")
	f(`access_key_secret: ${env:A-B}`, `"A-B" is not the name of an environment variable`)
	f(`access_key_secret: ${env:A:+x}`, "after `env:A` comes `}`, `:-default` or `:?message`")
	f(`access_key_secret: a${hunter22:x}`, "starts a substitution")
	f(`params: ${evn:HOME}`, `expects a set of keys`)
	f(`params: {a: "${evn:HOME}"}`, `did you mean "env"?`)
	f(`params: {a: "${HOME:-x}"}`, "for the environment variable write `${env:HOME:-x}`")
	f(`access_key_secret: ${env:HOME`, "has no `}` after it")
	f(`access_key_secret: ${file:nowhere}`, "no such file")
	f(`access_key_secret: ${file:}`, "names no file")
	f(`access_key_secret: ${file:.}`, "is not a regular file")
	f(`access_key_secret: ${cred:key}`, "CREDENTIALS_DIRECTORY is not set")
	f(`retries: ${env:WASMTAIL_TEST_SECRET}`, "expects a whole number such as 4 (got what ${env:WASMTAIL_TEST_SECRET} stands for)")
	f(`compress: ${env:WASMTAIL_TEST_SECRET}`, "expects true or false (got what ${env:WASMTAIL_TEST_SECRET} stands for)")
	f(`timeout: ${env:WASMTAIL_TEST_SECRET}`, "expects a duration")
	f(`buffer: ${env:WASMTAIL_TEST_SECRET}`, "expects a size")
	f(`tls: {min: "${env:WASMTAIL_TEST_SECRET}"}`, "must be one of 1.2, 1.3, not what ${env:WASMTAIL_TEST_SECRET} stands for")
	f(`access_key_secret: bad${env:WASMTAIL_TEST_SECRET}`, "cannot be ***")
	f(`access_key_secret: {a: hunter22}`, "expects text, not a set of keys")
	f(`access_key_secret: *hunter22`, "needs quotes")
	f(`access_key_secret: !hunter22 x`, "needs quotes")
	f(`tls: access_key_secret:hunter22`, "a colon needs a space")
	f(`access_key_sercet: hunter22`, `did you mean "access_key_secret"?`)
}

func TestSubstitute_Files(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "key")
	require.NoError(t, os.WriteFile(path, []byte("line one\nline two\r\n"), 0o600))
	h, err := hubWith(t, dir, "endpoint: http://h\n    access_key_secret: ${file:./key}")
	require.NoError(t, err)
	require.Equal(t, "line one\nline two", h.Key.Reveal())

	for _, mode := range []os.FileMode{0o640, 0o604, 0o644} {
		require.NoError(t, os.Chmod(path, mode))
		_, err = hubWith(t, dir, "endpoint: http://h\n    access_key_secret: ${file:./key}")
		require.ErrorContains(t, err, fmt.Sprintf("can be read by other users (mode %04o): run `chmod 600 %s`", mode, path))
	}
	_, err = hubWith(t, dir, "endpoint: http://h\n    params: {text: \"${file:key}\"}")
	require.NoError(t, err, "what is not a secret may come from an open file")

	require.NoError(t, os.WriteFile(path, make([]byte, substituteBytesMax+1), 0o600))
	_, err = hubWith(t, dir, "endpoint: http://h\n    params: {text: \"${file:key}\"}")
	require.ErrorContains(t, err, "is larger than 64KiB")
}

func TestSubstitute_Credentials(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("CREDENTIALS_DIRECTORY", dir)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "key"), []byte("hunter22\n"), 0o440))
	h, err := hubWith(t, t.TempDir(), "endpoint: http://h\n    access_key_secret: ${cred:key}")
	require.NoError(t, err)
	require.Equal(t, "hunter22", h.Key.Reveal())
	for _, name := range []string{"../key", "/etc/passwd", "..", ""} {
		_, err = hubWith(t, t.TempDir(), "endpoint: http://h\n    access_key_secret: ${cred:"+name+"}")
		require.ErrorContains(t, err, "is not the name of a credential")
	}
}

func TestSubstitute_KeysAreLeftAlone(t *testing.T) {
	got := faultsOf(t, minimal+"\"${env:HOME}\": 1\n")
	require.Len(t, got, 1)
	require.Contains(t, got[0], "${env:HOME}: unknown key")
}
