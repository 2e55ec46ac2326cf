package e2e

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

// outcome is how a command ended and what it printed.
type outcome struct {
	code           int
	stdout, stderr string
}

// finish runs a program to its end.
func finish(t *testing.T, cmd *exec.Cmd) outcome {
	t.Helper()
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		require.NoError(t, err)
	}
	return outcome{cmd.ProcessState.ExitCode(), stdout.String(), stderr.String()}
}

// wasmtail runs a command with the test's access key and no input.
func wasmtail(t *testing.T, args ...string) outcome {
	t.Helper()
	return finish(t, program(keyEnv(keyID, keySecret), "wasmtail", args...))
}

func keyEnv(id, secret string) []string {
	return []string{"WASMTAIL_KEY_ID=" + id, "WASMTAIL_KEY_SECRET=" + secret}
}

// writeFile writes a file into a new folder and returns its path.
func writeFile(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	return path
}

const goodConfig = `version: 1
data_dir: ./state
admin: {listen: "unix:./agent.sock"}
outputs:
  hub: {type: logservice, endpoint: "http://127.0.0.1:1", region: local, project: test, access_key_id: k, access_key_secret: s}
pipelines:
  web:
    input: {type: files, include: ["/var/log/web.log"]}
    processors:
      - {type: regex, pattern: '^(?P<status>\d+) (?P<path>\S+)$'}
      - {type: filter, drop: [{field: path, equals: /health}]}
    outputs: [hub]
    logstore: web
`

const secondPipeline = `  other:
    input: {type: files, include: ["/var/log/other.log"]}
    outputs: [hub]
    logstore: other
`

// faultyConfig has a fault in each of four lines.
var faultyConfig = strings.NewReplacer(
	"version: 1", "version: 7", "data_dir", "data_dri", "type: regex", "type: regx", "outputs: [hub]", "outputs: [hbu]",
).Replace(goodConfig)

// faultyLines are the faults, without the file's name.
var faultyLines = []string{
	`:1:10: version: is 7, and this program reads version 1`,
	`:2:1: data_dri: unknown key (did you mean "data_dir"?)`,
	`:10:16: pipelines.web.processors[0].type: there is no processor "regx" (did you mean "regex"?)`,
	`:12:15: pipelines.web.outputs[0]: there is no output "hbu" (did you mean "hub"?)`,
}

func TestCheckTellsEveryFaultAtOnce(t *testing.T) {
	t.Parallel()
	good, faulty := writeFile(t, "good.yaml", goodConfig), writeFile(t, "faulty.yaml", faultyConfig)

	got := wasmtail(t, "check", "-c", good)
	require.Equal(t, outcome{0, good + " is fine: 1 pipeline(s), 1 output(s)\n", ""}, got)

	got = wasmtail(t, "check", "-c", faulty)
	require.Equal(t, 1, got.code)
	require.Empty(t, got.stdout)
	lines := strings.Split(strings.TrimSuffix(got.stderr, "\n"), "\n")
	require.Len(t, lines, len(faultyLines)+1, got.stderr)
	for i, want := range faultyLines {
		require.Truef(t, strings.HasPrefix(lines[i], faulty+want), "got  %s\nwant %s%s", lines[i], faulty, want)
	}
	require.Equal(t, fmt.Sprintf("wasmtail: %s has 4 fault(s)", faulty), lines[len(lines)-1])
}

func TestCheckAnswersInJSON(t *testing.T) {
	t.Parallel()
	got := wasmtail(t, "check", "--output", "json", "-c", writeFile(t, "good.yaml", goodConfig))
	require.Equal(t, outcome{0, `{"ok":true,"faults":[],"warnings":[]}` + "\n", ""}, got)

	got = wasmtail(t, "check", "--output", "json", "-c", writeFile(t, "faulty.yaml", faultyConfig))
	require.Equal(t, 1, got.code)
	var answer struct {
		OK               *bool
		Faults, Warnings []string
	}
	require.NoError(t, json.Unmarshal([]byte(got.stdout), &answer))
	require.False(t, *answer.OK)
	require.NotNil(t, answer.Warnings)
	require.Len(t, answer.Faults, len(faultyLines))
	for i, want := range faultyLines {
		require.Contains(t, answer.Faults[i], want)
	}
}

func TestExitCodesTellWhatIsWrong(t *testing.T) {
	t.Parallel()
	good, faulty := writeFile(t, "good.yaml", goodConfig), writeFile(t, "faulty.yaml", faultyConfig)
	two := writeFile(t, "two.yaml", goodConfig+secondPipeline)
	missing := filepath.Join(t.TempDir(), "missing.yaml")
	const nobodyThere = "http://127.0.0.1:1"
	for _, tc := range []struct {
		args   string
		code   int
		stderr string
	}{
		{"run -c " + faulty, 78, faulty + faultyLines[1]},
		{"run -c " + missing, 78, missing},
		{"parse -c " + faulty, 78, faulty + faultyLines[1]},
		{"status -c " + faulty, 78, faulty + faultyLines[1]},
		{"check -c " + missing, 1, missing},
		{"--nonsense", 2, "unknown flag: --nonsense"},
		{"run --nonsense", 2, "unknown flag: --nonsense"},
		{"nonsense", 2, `unknown command "nonsense"`},
		{"chekc", 2, `unknown command "chekc"; did you mean check?`},
		{"check one -c " + good, 2, "one"},
		{"status -o xml", 2, "want one of [text json]"},
		{"parse -c " + two, 2, "name a pipeline with --pipeline: other, web"},
		{"parse -p third -c " + two, 2, "name a pipeline with --pipeline: other, web"},
		{"status -c " + good, 69, "is it running with this configuration?"},
		{"query -c " + good, 69, "is wasmtail-hub running there?"},
		{"query --hub " + nobodyThere, 69, "is wasmtail-hub running there?"},
		{"tail --hub " + nobodyThere, 69, "is wasmtail-hub running there?"},
		{"query --since yesterday", 2, `cannot understand the time "yesterday"`},
		{"query one two", 2, "at most 1 arg"},
	} {
		t.Run(strings.Fields(tc.args)[0], func(t *testing.T) {
			t.Parallel()
			got := wasmtail(t, strings.Fields(tc.args)...)
			require.Equal(t, tc.code, got.code, "%s: %s", tc.args, got.stderr)
			require.Contains(t, got.stderr, tc.stderr)
			require.Empty(t, got.stdout)
		})
	}
}

func TestVersionAndHelpArePrinted(t *testing.T) {
	t.Parallel()
	got := wasmtail(t, "--version")
	require.Equal(t, outcome{0, "wasmtail version dev\n", ""}, got)
	for _, args := range [][]string{nil, {"--help"}} {
		got = wasmtail(t, args...)
		require.Zero(t, got.code, got.stderr)
		for _, name := range []string{"check", "parse", "query", "run", "status", "tail", "up", "Exit codes"} {
			require.Contains(t, got.stdout, name)
		}
	}
}

func TestTheHubsFirstWordsAreItsOwn(t *testing.T) {
	t.Parallel()
	got := finish(t, program(nil, "wasmtail-hub", "--help"))
	require.Zero(t, got.code)
	require.Empty(t, got.stderr, "a library speaks before the hub does")
	require.Contains(t, got.stdout, "--data-dir")
}

func parse(t *testing.T, lines string, args ...string) outcome {
	t.Helper()
	cmd := program(nil, "wasmtail", append([]string{"parse", "-c", writeFile(t, "agent.yaml", goodConfig+secondPipeline), "-p", "web"}, args...)...)
	cmd.Stdin = strings.NewReader(lines)
	return finish(t, cmd)
}

const parseInput = "200 /a\n200 /health\nnonsense \x1b[31mred\x1b[0m\x9b\n"

func TestParsePrintsRecordsAsJSONLines(t *testing.T) {
	t.Parallel()
	got := parse(t, parseInput)
	require.Zero(t, got.code, got.stderr)
	require.Empty(t, got.stderr)
	var records []map[string]string
	for line := range strings.Lines(got.stdout) {
		r := map[string]string{}
		require.NoError(t, json.Unmarshal([]byte(line), &r), line)
		require.NotEmpty(t, r["__time__"])
		delete(r, "__time__")
		records = append(records, r)
	}
	require.Equal(t, []map[string]string{
		{"status": "200", "path": "/a"},
		{"__raw_log__": "nonsense \x1b[31mred\x1b[0m\ufffd", "__error__": "regex: no match", "__marks__": "invalid_utf8,failed"},
	}, records)
}

func TestParseExplainsEachStep(t *testing.T) {
	t.Parallel()
	got := parse(t, parseInput, "--explain")
	require.Zero(t, got.code, got.stderr)
	require.Equal(t, `line at 0: 200 /a
  regex#1
    - content
    + path: /a
    + status: 200
  filter#2

line at 7: 200 /health
  regex#1
    - content
    + path: /health
    + status: 200
  filter#2
    removed by this rule, and counted as filtered

line at 19: nonsense \x1b[31mred\x1b[0m\x9b
  regex#1
    ~ (marks): invalid_utf8 → invalid_utf8,failed
    - content
    + __error__: "regex: no match"
    + __raw_log__: "nonsense \x1b[31mred\x1b[0m\x9b"
  filter#2

`, got.stdout)
}

func TestASecondAgentOnAFolderIsRefused(t *testing.T) {
	t.Parallel()
	a := newAgentIn(t, t.TempDir(), "127.0.0.1:1", pipelineYAML(filepath.Join(t.TempDir(), "none.log"), "store"))
	a.start(t)
	got := wasmtail(t, "run", "-c", a.config)
	require.NotZero(t, got.code)
	require.Contains(t, got.stderr, "another agent runs on it; stop it, or give this one a folder of its own")
	status, _, err := a.get("/livez")
	require.NoError(t, err, "the second agent disturbed the first")
	require.Equal(t, 200, status)
	a.stop()
}

// otherUser is a user with no rights, and a folder of that user. Where the test
// has no right to become another user, it is the test's own.
func otherUser(t *testing.T) (dir string, as *syscall.Credential) {
	t.Helper()
	dir, err := os.MkdirTemp("", "wasmtail-e2e-user")
	require.NoError(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if os.Getuid() != 0 {
		return dir, nil
	}
	const nobody = 65534
	require.NoError(t, os.Chmod(dir, 0o755)) // the user is another one
	require.NoError(t, os.Chown(dir, nobody, nobody))
	return dir, &syscall.Credential{Uid: nobody, Gid: nobody}
}

func TestAFolderThatCannotBeWrittenIsAPermissionError(t *testing.T) {
	t.Parallel()
	dir, as := otherUser(t)
	config := filepath.Join(dir, "agent.yaml")
	require.NoError(t, os.WriteFile(config, []byte(goodConfig), 0o644)) // the reader is another user
	if as != nil {
		require.NoError(t, os.Chown(dir, 0, 0))
	}
	run := func() outcome {
		cmd := program(nil, "wasmtail", "run", "-c", config)
		cmd.SysProcAttr.Credential = as
		return finish(t, cmd)
	}
	require.NoError(t, os.Chmod(dir, 0o555))
	got := run()
	require.Equal(t, 77, got.code, got.stderr)
	require.Contains(t, got.stderr, "cannot create data_dir")
	require.Contains(t, got.stderr, "permission denied")

	require.NoError(t, os.Chmod(dir, 0o755))
	require.NoError(t, os.Mkdir(filepath.Join(dir, "state"), 0o755))
	require.NoError(t, os.Chmod(filepath.Join(dir, "state"), 0o555))
	got = run()
	require.Equal(t, 77, got.code, got.stderr)
	require.Contains(t, got.stderr, "must be writable by this user")

	require.NoError(t, os.Remove(filepath.Join(dir, "state")))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "state"), nil, 0o600))
	got = run()
	require.NotZero(t, got.code)
	require.Contains(t, got.stderr, "cannot create data_dir")
	require.Contains(t, got.stderr, "not a directory")
}

func TestStatusPutsWhatCannotBeReadFirst(t *testing.T) {
	t.Parallel()
	dir, as := otherUser(t)
	for name, mode := range map[string]os.FileMode{"a.log": 0o644, "z.log": 0} {
		path := filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(path, []byte("a line\n"), 0o600))
		require.NoError(t, os.Chmod(path, mode))
	}
	readable, unreadable := filepath.Join(dir, "a.log"), filepath.Join(dir, "z.log")
	a := newAgentIn(t, dir, "127.0.0.1:1", fmt.Sprintf(
		"  p:\n    input: {type: files, include: [%q], start_at: beginning}\n    outputs: [copy]\n    logstore: store\n", filepath.Join(dir, "*.log"),
	))
	require.NoError(t, os.Chmod(a.config, 0o644)) // the reader is another user
	a.as = as
	a.start(t)
	var got outcome
	a.eventually("the status has both files", func() bool {
		got = wasmtail(t, "status", "-c", a.config)
		require.Zero(t, got.code, got.stderr)
		return strings.Contains(got.stdout, readable) && strings.Contains(got.stdout, unreadable)
	})
	require.Regexp(t, `^agent [0-9a-f]{8} · version dev · up \d+s · state `, got.stdout)
	require.Regexp(t, `output copy \(file\) delivers`, got.stdout)
	require.Regexp(t, `FILE +PIPELINE +STATE +SIZE +READ +ACKED +LAG +PARSED +FAILED +FILTERED`, got.stdout)
	require.Less(t, strings.Index(got.stdout, unreadable), strings.Index(got.stdout, readable), got.stdout)
	require.Regexp(t, `unreadable`, got.stdout)
	require.Regexp(t, `└ cannot open the file: .*permission denied; fix: sudo setfacl -m u:\w+:rX "`+unreadable+`"`, got.stdout)

	a.eventually("the line is acknowledged", func() bool {
		s, err := a.status()
		require.NoError(t, err)
		return s.Pipelines[0].Files[0].Acked == int64(len("a line\n"))
	})
	got = wasmtail(t, "status", "-o", "json", "-c", a.config)
	require.Zero(t, got.code, got.stderr)
	var s struct {
		AgentID   string `json:"agent_id"`
		Pipelines []struct {
			Name  string
			Files []struct {
				Path, State, Reason, Fix string
				Acked                    int64
				LagBytes                 int64 `json:"lag_bytes"`
			}
		}
	}
	require.NoError(t, json.Unmarshal([]byte(got.stdout), &s))
	require.Len(t, s.AgentID, 32)
	require.Len(t, s.Pipelines[0].Files, 2)
	require.Equal(t, readable, s.Pipelines[0].Files[0].Path)
	require.Zero(t, s.Pipelines[0].Files[0].LagBytes)
	require.Equal(t, "unreadable", s.Pipelines[0].Files[1].State)
	require.NotEmpty(t, s.Pipelines[0].Files[1].Reason)
	require.NotEmpty(t, s.Pipelines[0].Files[1].Fix)
	a.stop()
}

// hostile is a line that would colour a terminal, retitle it and go back over
// what is printed, with seven-bit and eight-bit introducers.
const (
	hostile        = "boom \x1b[31mred \x1b]0;title\x07 \u009b2J back\x08\rover"
	hostileEscaped = `boom \x1b[31mred \x1b]0;title\x07 \x9b2J back\x08\x0dover`
)

// requireTame requires that nothing in an output drives a terminal.
func requireTame(t *testing.T, output string) {
	t.Helper()
	for _, r := range output {
		require.Falsef(t, r < ' ' && r != '\n' && r != '\t' || r >= 0x7f && r < 0xa0, "control character %U in %q", r, output)
	}
}

// searched is a hub with lines that an agent has sent it from a file.
type searched struct {
	h    *hub
	a    *agentProcess
	path string
}

func (s *searched) write(t *testing.T, lines string) {
	t.Helper()
	f, err := os.OpenFile(s.path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	require.NoError(t, err)
	_, err = f.WriteString(lines)
	require.NoError(t, err)
	require.NoError(t, f.Close())
}

func TestQueryAndTailShowWhatTheHubHas(t *testing.T) {
	t.Parallel()
	s := &searched{h: startHub(t), path: filepath.Join(t.TempDir(), "app.log")}
	s.a = newAgent(t, s.h, fmt.Sprintf(`  p:
    input: {type: files, include: [%q], start_at: beginning}
    processors:
      - {type: regex, pattern: '^GET (?P<path>\S+) (?P<note>.*)$'}
    outputs: [hub]
    logstore: store
`, s.path))
	s.write(t, "first\n"+hostile+"\nGET /x a note\nGET /y "+hostile+"\n")
	s.a.start(t)
	s.a.eventually("the hub has the lines", func() bool { return len(s.h.records(t, "store")) == 4 })
	t.Run("query text", s.queryText)
	t.Run("query json", s.queryJSON)
	t.Run("query refused", s.queryRefused)
	t.Run("tail", s.tail)
	s.a.stop()
}

func (s *searched) queryText(t *testing.T) {
	got := wasmtail(t, "query", "-c", s.a.config)
	require.Zero(t, got.code, got.stderr)
	requireTame(t, got.stdout)
	lines := strings.Split(strings.TrimSuffix(got.stdout, "\n"), "\n")
	require.Len(t, lines, 4, got.stdout)
	for i, want := range []string{"first", hostileEscaped, `path=/x note="a note"`, `path=/y note="boom \x1b[31mred`} {
		require.Regexp(t, `^\d{4}-\d\d-\d\dT\S+Z  `, lines[i])
		require.Contains(t, lines[i], want)
	}
	for _, field := range []string{"path=", "note="} {
		require.Equal(t, 1, strings.Count(lines[2], field), "a field is printed twice: %s", lines[2])
		require.Equal(t, 1, strings.Count(lines[3], field), "a field is printed twice: %s", lines[3])
	}
}

func (s *searched) queryJSON(t *testing.T) {
	got := wasmtail(t, "query", "-c", s.a.config, "-o", "json", "--logstore", "store", "path:=/x")
	require.Zero(t, got.code, got.stderr)
	r := map[string]string{}
	require.NoError(t, json.Unmarshal([]byte(got.stdout), &r))
	require.Equal(t, "/x", r["path"])
	require.Equal(t, "a note", r["note"])
	require.Equal(t, s.path, r["__path__"])

	got = wasmtail(t, "query", "-c", s.a.config, "-o", "json", "boom")
	require.Zero(t, got.code, got.stderr)
	requireTame(t, got.stdout)
	for line := range strings.Lines(got.stdout) {
		r := map[string]string{}
		require.NoError(t, json.Unmarshal([]byte(line), &r), line)
		require.Contains(t, []string{r["_msg"], r["note"]}, hostile)
	}

	got = wasmtail(t, "query", "-c", s.a.config, "--logstore", "another")
	require.Equal(t, outcome{}, got, "nothing found is no fault")
}

func (s *searched) queryRefused(t *testing.T) {
	for _, tc := range []struct {
		env    []string
		arg    string
		code   int
		stderr string
	}{
		{keyEnv("stranger", keySecret), "*", 77, "InvalidAccessKeyId"},
		{keyEnv(keyID, "wrong"), "*", 77, "SignatureNotMatch"},
		{keyEnv("", ""), "*", 2, "set WASMTAIL_KEY_ID and WASMTAIL_KEY_SECRET"},
		{keyEnv(keyID, keySecret), "{{{", 2, "InvalidQuery"},
	} {
		for _, command := range []string{"query", "tail"} {
			got := finish(t, program(tc.env, "wasmtail", command, "--hub", "http://"+s.h.addr, tc.arg))
			require.Equal(t, tc.code, got.code, got.stderr)
			require.Contains(t, got.stderr, tc.stderr)
			require.Empty(t, got.stdout)
		}
	}
}

func (s *searched) tail(t *testing.T) {
	text := start(t, nil, "wasmtail", "tail", "-c", s.a.config)
	asJSON := start(t, nil, "wasmtail", "tail", "-c", s.a.config, "-o", "json", "boom")
	text.eventually("both print lines that are written now", func() bool {
		s.write(t, "now "+hostile+"\n")
		return strings.Contains(text.log.String(), "now "+hostileEscaped+"\n") && strings.Contains(asJSON.log.String(), "now boom")
	})
	text.stop()
	asJSON.stop()
	requireTame(t, text.log.String())
	require.NotContains(t, text.log.String(), "first", "a tail prints what was there before")
	requireTame(t, asJSON.log.String())
	for line := range strings.Lines(asJSON.log.String()) {
		r := map[string]string{}
		require.NoError(t, json.Unmarshal([]byte(line), &r), line)
		require.Equal(t, "now "+hostile, r["_msg"])
	}
}
