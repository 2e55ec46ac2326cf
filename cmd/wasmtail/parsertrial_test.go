package main

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wasmtail/wasmtail/agent/wasmhost"
)

// shell runs a program of this package's, with a cache of its own.
type shell struct {
	t       *testing.T
	program string
	dir     string
}

func newShell(t *testing.T) *shell {
	t.Helper()
	return &shell{t, buildProgram(t), t.TempDir()}
}

// run gives lines to `wasmtail parser …`, and returns what it prints and its exit
// code.
func (s *shell) run(lines string, args ...string) (out, said string, code int) {
	s.t.Helper()
	cmd := exec.CommandContext(s.t.Context(), s.program, append([]string{"parser"}, args...)...)
	var stdout, stderr bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(lines), &stdout, &stderr
	cmd.Env = append(os.Environ(), "XDG_CACHE_HOME="+filepath.Join(s.dir, "cache"))
	if err := cmd.Run(); err != nil {
		var exit *exec.ExitError
		require.ErrorAs(s.t, err, &exit)
	}
	return stdout.String(), stderr.String(), cmd.ProcessState.ExitCode()
}

// build compiles a project.
func (s *shell) build(dir string) string {
	s.t.Helper()
	out := filepath.Join(s.dir, filepath.Base(dir)+".wasm")
	_, said, code := s.run("", "build", dir, "--sdk", "../../sdk", "-o", out)
	require.Equal(s.t, 0, code, said)
	return out
}

const breakerDir = "../../agent/wasmhost/testdata/breaker"

func TestParserConformance_NamesTheRulesThatAreBroken(t *testing.T) {
	s := newShell(t)
	module := s.build(breakerDir)
	out, said, code := s.run("one\ntwo\nthree\n", "conformance", module)
	require.Equal(t, 0, code, said)
	require.NotContains(t, out, "FAIL")
	require.Contains(t, out, "not applicable  room ")

	out, said, code = s.run("one\ntwo\nthree\n", "conformance", module, "--config", `{"break":"retry"}`)
	require.Equal(t, exitFaults, code)
	require.Contains(t, said, "the module breaks 1 of 21 rules")
	require.Contains(t, out, "FAIL            retry         the flag RETRY changes no row: row 1 differs:\n")

	out, _, code = s.run("", "conformance", module, "--config", `{"break":"bytes"}`, "-o", "json")
	require.Equal(t, exitFaults, code)
	var checks []wasmhost.Check
	require.NoError(t, json.Unmarshal([]byte(out), &checks))
	require.Len(t, checks, 21)
	for _, c := range checks {
		require.Equal(t, c.Rule == "bytes", c.Verdict == wasmhost.RuleBroken, c.Rule)
	}

	_, said, code = s.run("", "conformance", module, "--config", `{`)
	require.Equal(t, exitUsage, code)
	require.Contains(t, said, "--config is no valid JSON")
	out, _, code = s.run("", "conformance", filepath.Join(s.dir, "absent.wasm"))
	require.Equal(t, exitFaults, code)
	require.Contains(t, out, "cannot open the module")
}

func TestParserFuzz_SavesTheLineThatFails(t *testing.T) {
	s := newShell(t)
	module, saved := s.build(breakerDir), filepath.Join(s.dir, "saved")
	require.NoError(t, os.Mkdir(saved, 0o700))
	out, said, code := s.run("one\n\xff\n", "fuzz", module, "--time", "1ms", "--config", `{"break":"bytes"}`, "--save", saved)
	require.Equal(t, exitFaults, code, said)
	require.Contains(t, out, "FAIL  fault: ")
	require.Contains(t, said, "the module has 1 faults")
	line, err := os.ReadFile(filepath.Join(saved, "fault-1.log"))
	require.NoError(t, err)
	require.True(t, bytes.HasSuffix(line, []byte("\xff\n")), "%q", line)
	// The line alone makes it fail again.
	_, said, code = s.run(string(line), "run", module, "--config", `{"break":"bytes"}`)
	require.Equal(t, exitFaults, code)
	require.Contains(t, said, "unreachable")

	out, said, code = s.run("one\ntwo\n", "fuzz", module, "--time", "1ms")
	require.Equal(t, 0, code, said)
	require.Contains(t, out, "1 rounds, 32 lines, 0 faults\n")
	require.Contains(t, out, " after all rounds\n")
}

func TestParserBench_SaysWhatAModuleCosts(t *testing.T) {
	s := newShell(t)
	module := s.build(breakerDir)
	out, said, code := s.run("one two\nthree\n", "bench", module, "--time", "20ms", "--compare", module, "--regex", "^(\\S+)")
	require.Equal(t, 0, code, said)
	lines := strings.Split(strings.TrimSuffix(out, "\n"), "\n")
	require.Len(t, lines, 9, out)
	require.Regexp(t, `^\S+breaker\.wasm +[0-9.]+ MB/s +[0-9.]+ ns/line  [0-9.]+ of the native loop, [0-9.]+ of \S+breaker\.wasm, [0-9.]+ of the built-in regex$`, lines[0])
	require.Equal(t, "  100.0 % parsed, 0.0 % not of the format, 0.0 % errors, 0.0 % failed", lines[1])
	require.Regexp(t, `^  [0-9]+\.[0-9]{3} units/byte, 0\.0 bytes copied/line, [0-9]+ bytes of memory after [0-9]+ lines$`, lines[2])
	require.NotContains(t, lines[2], " 0.000 units")
	require.Regexp(t, `breaker\.wasm .*  [0-9.]+ of the native loop$`, lines[3])
	require.Regexp(t, `^the built-in regex .* of the native loop$`, lines[6])
	require.Regexp(t, `^the native loop +[0-9.]+ MB/s +[0-9.]+ ns/line$`, lines[7])

	_, said, code = s.run("", "bench", module)
	require.Equal(t, exitUsage, code)
	require.Contains(t, said, "there are no lines on standard input")
}
