package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// minimal is a configuration without faults, for tests that change one thing.
const minimal = `version: 1
outputs:
  out: {type: stdout}
pipelines:
  main:
    input: {type: files, include: [a.log]}
    outputs: [out]
`

// faultsOf parses text and returns the faults as lines.
func faultsOf(t *testing.T, text string) []string {
	t.Helper()
	_, err := parse(t, text)
	if err == nil {
		return nil
	}
	var faults Faults
	require.ErrorAs(t, err, &faults)
	lines := make([]string, len(faults))
	for i, f := range faults {
		lines[i] = f.Error()
	}
	return lines
}

func TestParse_Faults(t *testing.T) {
	edit := func(old, new string) string {
		require.Contains(t, minimal, old)
		return strings.Replace(minimal, old, new, 1)
	}
	hub := func(keys string) string {
		return edit("out: {type: stdout}", "out: {type: logservice, endpoint: http://h, "+keys+"}")
	}
	tests := []struct {
		name, text string
		want       []string
	}{
		{"none", minimal, nil},
		{"unknown key", minimal + "pipeline: {}\n", []string{`agent.yaml:8:1: pipeline: unknown key (did you mean "pipelines"?)`}},
		{"unknown key, nothing near", minimal + "log: {zzz: 1}\n", []string{`agent.yaml:8:7: log.zzz: unknown key (there are: level, format)`}},
		{"unknown key of a plugin", edit("include: [a.log]", "include: [a.log], inclde: [b]"), []string{`agent.yaml:6:44: pipelines.main.input.inclde: unknown key (did you mean "include"?)`}},
		{"duplicate key", minimal + "version: 1\n", []string{`agent.yaml:8:1: the key "version" is set twice, first on line 1: remove one`}},
		{"version", edit("version: 1", "version: 2"), []string{`agent.yaml:1:10: version: is 2, and this program reads version 1`}},
		{"no version", edit("version: 1\n", ""), []string{"agent.yaml:1:1: version: is required: add, for example, `version: 1`"}},
		{"no type", edit("{type: stdout}", "{}"), []string{`agent.yaml:3:8: outputs.out.type: is required: the output, one of logservice, stdout`}},
		{"unknown type", edit("type: stdout", "type: sdtout"), []string{`agent.yaml:3:15: outputs.out.type: there is no output "sdtout" (did you mean "stdout"?); there are: logservice, stdout`}},
		{"unknown output", edit("outputs: [out]", "outputs: [oot]"), []string{`agent.yaml:7:15: pipelines.main.outputs[0]: there is no output "oot" (did you mean "out"?); there are: out`}},
		{"bandwidth of an unknown output", minimal + "limits: {output_bandwidth: {oot: 1MiB}}\n", []string{`agent.yaml:8:34: limits.output_bandwidth.oot: there is no output "oot" (did you mean "out"?); there are: out`}},
		{"bandwidth of an output too small", minimal + "limits: {output_bandwidth: {out: 1KiB}}\n", []string{`agent.yaml:8:34: limits.output_bandwidth.out: is less than 64KiB a second, too little for one batch; leave it out for no limit`}},
		{"output twice", edit("outputs: [out]", "outputs: [out, out]"), []string{`agent.yaml:7:20: pipelines.main.outputs[1]: the output "out" is named twice: remove one`}},
		{"no outputs", edit("outputs: [out]", "outputs: []"), []string{"agent.yaml:7:14: pipelines.main.outputs: must not be empty: add, for example, `outputs: [hub]`"}},
		{"outputs forgotten", edit("    outputs: [out]\n", ""), []string{"agent.yaml:6:5: pipelines.main.outputs: is required: add, for example, `outputs: [hub]`"}},
		{"bad name", edit("main:", "Main Pipe:"), []string{`agent.yaml:5:3: pipelines.Main Pipe: a name has 1 to 63 lower-case letters, digits, _ and - (did you mean "main-pipe"?)`}},
		{"bad logstore", edit("outputs: [out]", "outputs: [out]\n    logstore: Nginx"), []string{`agent.yaml:8:15: pipelines.main.logstore: a logstore has 3 to 63 lower-case letters, digits, _ and -, and starts and ends with a letter or digit (did you mean "nginx"?)`}},
		{"name too short for a logstore", edit("main:", "m:"), []string{`agent.yaml:6:5: pipelines.m.logstore: is required, because the name of the pipeline cannot be one: a logstore has 3 to 63 lower-case letters, digits, _ and -, and starts and ends with a letter or digit`}},
		{"list instead of text", minimal + "data_dir: [a]\n", []string{`agent.yaml:8:11: data_dir: expects text, not a list`}},
		{"text instead of list", edit("include: [a.log]", "include: a.log"), []string{`agent.yaml:6:35: pipelines.main.input.include: expects a list: write ["a.log"]`}},
		{"text instead of keys", minimal + "log: info\n", []string{`agent.yaml:8:6: log: expects a set of keys such as {key: value}, not text`}},
		{"number", hub("retries: many"), []string{`agent.yaml:3:56: outputs.out.retries: expects a whole number such as 4 (got "many")`}},
		{"number in quotes", hub(`retries: "3"`), []string{`agent.yaml:3:56: outputs.out.retries: expects a whole number such as 4, not text in quotes: remove the quotes`}},
		{"number out of range", hub("port: 70000"), []string{`agent.yaml:3:53: outputs.out.port: is out of range for a number of 16 bits (got "70000")`}},
		{"duration without unit", hub("timeout: 10"), []string{`agent.yaml:3:56: outputs.out.timeout: expects a duration with a unit: 10s for seconds, 10m for minutes (got "10")`}},
		{"duration", hub("timeout: soon"), []string{`agent.yaml:3:56: outputs.out.timeout: expects a duration such as 500ms, 10s, 5m or 2d (got "soon")`}},
		{"negative duration", hub("timeout: -1s"), []string{`agent.yaml:3:56: outputs.out.timeout: expects a duration that is not negative (got "-1s")`}},
		{"size", hub("buffer: 4 gigs"), []string{`agent.yaml:3:55: outputs.out.buffer: expects a size such as 64MiB, 20MB or a number of bytes (got "4 gigs")`}},
		{"boolean", hub("compress: yes"), []string{`agent.yaml:3:57: outputs.out.compress: expects true or false (got "yes"; write true)`}},
		{"float", hub("ratio: .inf"), []string{`agent.yaml:3:54: outputs.out.ratio: expects a number such as 0.5 (got ".inf")`}},
		{"enum", minimal + "log: {level: warning}\n", []string{`agent.yaml:8:14: log.level: must be one of debug, info, warn, error, not "warning" (did you mean "warn"?)`}},
		{"validate", edit("{type: stdout}", "{type: logservice, endpoint: ftp://h}"), []string{`agent.yaml:3:37: outputs.out.endpoint: must start with http:// or https://`}},
		{"validate of the file", minimal + "limits: {memory: 1MiB}\n", []string{`agent.yaml:8:18: limits.memory: is less than 32MiB, the least the agent can work with`}},
		{"secret is not shown", hub("access_key_secret: badsecret"), []string{`agent.yaml:3:66: outputs.out.access_key_secret: cannot be ***`}},
		{"secret of a wrong type", hub("access_key_secret: [hunter22]"), []string{`agent.yaml:3:66: outputs.out.access_key_secret: expects text, not a list`}},
		{"empty element", edit("[a.log]", "[a.log, ]"), nil},
		{"null element", edit("[a.log]", "[a.log, ~]"), []string{`agent.yaml:6:43: pipelines.main.input.include[1]: is empty: remove it, or write text`}},
		{"null plugin", edit("{type: stdout}", ""), []string{"agent.yaml:3:3: outputs.out: is empty: remove it, or write a set of keys with a `type`, such as {type: name}"}},
		{"null keeps the default", minimal + "data_dir:\nlimits:\n", nil},
		{"two documents", minimal + "---\nversion: 1\n", []string{"agent.yaml:9:1: a file holds one YAML document: move what follows `---` to a file of its own"}},
		{"empty", "# nothing\n", []string{"agent.yaml:1:1: the file is empty: start with `version: 1`"}},
		{"a list at the top", "- 1\n", []string{"agent.yaml:1:1: expects keys such as `version: 1` at the top, not a list"}},
		{"unknown alias", minimal + "log: *x\n", []string{`agent.yaml:8:6: there is no anchor of this name before the alias (text that starts with * needs quotes)`}},
		{"tag", minimal + "log: !include x\n", []string{`agent.yaml:8:6: tags are not supported: remove it (text that starts with ! needs quotes)`, `agent.yaml:8:14: log: expects a set of keys such as {key: value}, not text`}},
		{"no space after the colon", hub("tls: min:1.2"), []string{`agent.yaml:3:52: outputs.out.tls: expects a set of keys such as {key: value}, not text (a colon needs a space after it)`}},
		{"empty text", edit("{type: stdout}", "{type: logservice, endpoint: ''}"), []string{"agent.yaml:3:37: outputs.out.endpoint: must not be empty: add, for example, `endpoint: https://host:7070`"}},
		{"no pipelines", minimal[:strings.Index(minimal, "pipelines")] + "pipelines: {}\n", []string{`agent.yaml:4:12: pipelines: must not be empty: add a set of keys such as {key: value}`}},
		{"listen", minimal + "admin: {listen: localhost}\n", []string{`agent.yaml:8:17: admin.listen: expects an address such as 127.0.0.1:7071 or unix:./agent.sock`}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := faultsOf(t, tt.text)
			require.Equal(t, tt.want, got)
		})
	}
}

func TestParse_SyntaxErrorHasAPlaceAndNoSource(t *testing.T) {
	got := faultsOf(t, "version: 1\nkey: hunter22: [\n")
	require.Len(t, got, 1)
	require.Contains(t, got[0], "agent.yaml:2:")
	require.Contains(t, got[0], "is not valid YAML")
	require.NotContains(t, got[0], "hunter22")
	got = faultsOf(t, "version: 1\nsecret: \"hunter22\n")
	require.Len(t, got, 1)
	require.NotContains(t, got[0], "hunter22")
}

func TestParse_AllFaultsAtOnceInTheOrderOfLines(t *testing.T) {
	got := faultsOf(t, `version: 3
data_dri: x
limits: {cpu: lots}
outputs:
  out: {type: nowhere}
pipelines:
  main:
    input: {type: files}
    processors:
      - {type: regex, pattern: "${env:WASMTAIL_TEST_UNSET}"}
      - {type: regx}
    outputs: [out, gone]
    workers: 0
`)
	want := []string{
		":1:10: version:", ":2:1: data_dri:", ":3:15: limits.cpu:", ":5:15: outputs.out.type:",
		":8:12: pipelines.main.input.include:", ":10:32: pipelines.main.processors[0].pattern:", ":11:16: pipelines.main.processors[1].type:",
		":12:20: pipelines.main.outputs[1]:", ":13:14: pipelines.main.workers:",
	}
	require.Len(t, got, len(want), strings.Join(got, "\n"))
	for i := range want {
		require.Contains(t, got[i], want[i])
	}
}

func TestParse_UnusedOutputIsAWarning(t *testing.T) {
	f, err := parse(t, strings.Replace(minimal, "outputs:\n", "outputs:\n  spare: {type: stdout}\n", 1))
	require.NoError(t, err)
	require.Equal(t, "agent.yaml:3:10: outputs.spare: no pipeline uses this output", f.Warnings.Error())
}

func TestParse_Bounds(t *testing.T) {
	f := func(name, text, want string) {
		t.Helper()
		got := faultsOf(t, text)
		require.NotEmpty(t, got, name)
		require.Contains(t, strings.Join(got, "\n"), want, name)
	}
	f("size", strings.Repeat("# padding\n", 1<<17), "is larger than 1MiB")
	f("lists", "a: "+strings.Repeat("[", 50_000), "nested more than 64")
	f("entries", strings.Repeat("- ", 50_000)+"x", "nested more than 64")
	f("keys", strings.Repeat("? ", 50_000)+"x", "nested more than 64")
	f("tags", "a: "+strings.Repeat("!!str ", 20_000)+"x", "nested more than 64")
	f("anchors", "a: "+strings.Repeat("&x ", 20_000)+"x", "nested more than 64")
	var deep strings.Builder
	for i := range 200 {
		deep.WriteString(strings.Repeat(" ", i) + "a:\n")
	}
	f("indents", deep.String(), "nested more than 64")
}

func TestParse_AliasBombIsCut(t *testing.T) {
	var b strings.Builder
	b.WriteString("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n")
	for i := 1; i < 30; i++ {
		prev := "*a" + string(rune('0'+(i-1)%10)) + strings.Repeat("_", (i-1)/10)
		name := "a" + string(rune('0'+i%10)) + strings.Repeat("_", i/10)
		b.WriteString(name + ": &" + name + " [" + strings.Repeat(prev+", ", 9) + prev + "]\n")
	}
	got := strings.Join(faultsOf(t, b.String()), "\n")
	require.Contains(t, got, "holds more than 100000 values once aliases are expanded")
}

func TestParse_AliasAndMerge(t *testing.T) {
	f, err := parse(t, `version: 1
outputs:
  out: &out {type: logservice, endpoint: http://a, retries: 7}
  two: {<<: *out, endpoint: http://b}
pipelines:
  main:
    input: {type: files, include: &list [a.log]}
    outputs: [out, two]
  next:
    input: {type: files, include: *list}
    outputs: [out]
`)
	require.NoError(t, err)
	two := f.Outputs["two"].Config.(*hubConfig)
	require.Equal(t, "http://b", two.Endpoint)
	require.Equal(t, 7, two.Retries)
	require.Equal(t, []string{"a.log"}, f.Pipelines["next"].Input.Config.(*filesConfig).Include)
}

func TestLoad_FolderAndInclude(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) {
		require.NoError(t, os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o700))
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600))
	}
	write("agent.yaml", "version: 1\ninclude: [\"conf.d/*.yaml\"]\noutputs:\n  out: {type: stdout}\n")
	write("conf.d/a.yaml", "version: 1\npipelines:\n  aaa: {input: {type: files, include: [x]}, outputs: [out]}\n")
	write("conf.d/b.yaml", "pipelines:\n  bbb: {input: {type: files, include: [x]}, outputs: [hub]}\noutputs:\n  hub: {type: logservice, endpoint: http://h, tls: {ca_file: ca.pem}, access_key_secret: \"${file:key}\"}\n")
	write("conf.d/key", "hunter22")
	write("whole/1.yaml", "version: 1\noutputs:\n  out: {type: stdout}\n")
	write("whole/2.yml", "version: 1\npipelines:\n  aaa: {input: {type: files, include: [x]}, outputs: [out]}\n")
	write("whole/3.txt", "not YAML")

	f, err := Load(filepath.Join(dir, "agent.yaml"), testCatalog())
	require.NoError(t, err)
	require.Len(t, f.Pipelines, 2)
	hub := f.Outputs["hub"].Config.(*hubConfig)
	require.Equal(t, filepath.Join(dir, "conf.d/ca.pem"), hub.TLS.CAFile)
	require.Equal(t, "hunter22", hub.Key.Reveal())
	require.Equal(t, filepath.Join(dir, "state"), f.DataDir)

	f, err = Load(filepath.Join(dir, "whole"), testCatalog())
	require.NoError(t, err)
	require.Len(t, f.Pipelines, 1)

	write("conf.d/c.yaml", "log: {level: info}\npipelines:\n  aaa: {input: {type: files, include: [x]}, outputs: [out]}\n")
	_, err = Load(filepath.Join(dir, "agent.yaml"), testCatalog())
	require.ErrorContains(t, err, "conf.d/c.yaml:1:1: log: an included file may hold outputs and pipelines only")
	require.ErrorContains(t, err, "conf.d/c.yaml:3:3: pipelines.aaa: is already set in "+filepath.Join(dir, "conf.d/a.yaml")+" on line 3")

	write("whole/2.yml", "version: 1\nlog: {}\n")
	write("whole/1.yaml", "version: 1\nlog: {}\n")
	_, err = Load(filepath.Join(dir, "whole"), testCatalog())
	require.ErrorContains(t, err, "2.yml:2:1: log: is already set in")

	_, err = Load(filepath.Join(dir, "none.yaml"), testCatalog())
	require.ErrorIs(t, err, os.ErrNotExist)
	_, err = Load(t.TempDir(), testCatalog())
	require.ErrorContains(t, err, "holds no *.yaml file")
}
