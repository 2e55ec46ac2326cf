package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wasmtail/wasmtail/agent"
	"github.com/wasmtail/wasmtail/internal/formats"
)

// command runs the program in this process and returns what it printed and the
// code it would end with.
func command(t *testing.T, stdin string, args ...string) (out string, code int) {
	t.Helper()
	var b bytes.Buffer
	cmd := rootCommand()
	cmd.SetArgs(args)
	cmd.SetOut(&b)
	cmd.SetErr(&b)
	cmd.SetIn(strings.NewReader(stdin))
	if err := cmd.ExecuteContext(t.Context()); err != nil {
		return b.String() + err.Error(), exitCode(err)
	}
	return b.String(), 0
}

func TestFormats_ListsAll(t *testing.T) {
	out, code := command(t, "", "formats")
	require.Zero(t, code)
	lines := strings.Split(strings.TrimSuffix(out, "\n"), "\n")
	require.Len(t, lines, 1+len(formats.Catalogue()))
	require.Regexp(t, `(?m)^nginx_access +Access log of nginx, in the formats combined and main +remote_addr remote_user time request `, out)
	out, code = command(t, "", "formats", "-o", "json")
	require.Zero(t, code)
	var list []formatLine
	require.NoError(t, json.Unmarshal([]byte(out), &list))
	require.Len(t, list, len(formats.Catalogue()))
	for _, f := range list {
		require.NotEmpty(t, f.Fields, f.Name)
		require.NotContains(t, f.Fields, "__error__", f.Name)
	}
}

// TestFormats_ShowsWhatCanBePasted takes the keys that are shown for each format
// into a configuration: they make the records that the format makes.
func TestFormats_ShowsWhatCanBePasted(t *testing.T) {
	for _, f := range formats.Catalogue() {
		out, code := command(t, "", "formats", "show", f.Name)
		require.Zero(t, code)
		_, keys, ok := strings.Cut(out, "does what these keys do:\n\n")
		require.True(t, ok)
		keys, rest, ok := strings.Cut(keys, "\nA sample:\n")
		require.True(t, ok)
		require.Contains(t, rest, "\nThe records it becomes:\n\n    ")
		input := "    input:\n      type: files\n      include: [/x]\n"
		keys = strings.TrimPrefix(keys, "    input:\n") // it has one already
		pasted := writeAgentConfig(t, input+keys)
		named := writeAgentConfig(t, input+"    format: "+f.Name+"\n")
		want, code := command(t, f.Sample, "parse", "-c", named)
		require.Zero(t, code, want)
		got, code := command(t, f.Sample, "parse", "-c", pasted)
		require.Zero(t, code, got)
		if !strings.Contains(strings.Join(fieldsOf(t, want), " "), "time") {
			continue // without a time of its own, a record has that of its reading
		}
		require.Equal(t, withoutReadTimes(t, want), withoutReadTimes(t, got), f.Name)
	}
	out, code := command(t, "", "formats", "show", "klogg")
	require.Equal(t, exitUsage, code)
	require.Contains(t, out, `there is no format "klogg" (did you mean "klog"?)`)
}

func fieldsOf(t *testing.T, lines string) (names []string) {
	t.Helper()
	for line := range strings.Lines(lines) {
		var fields map[string]string
		require.NoError(t, json.Unmarshal([]byte(line), &fields))
		for name := range fields {
			names = append(names, name)
		}
	}
	return names
}

// withoutReadTimes leaves the times out of records that have none of their own.
func withoutReadTimes(t *testing.T, lines string) (records []map[string]string) {
	t.Helper()
	for line := range strings.Lines(lines) {
		var fields map[string]string
		require.NoError(t, json.Unmarshal([]byte(line), &fields))
		if _, ok := fields["time"]; !ok {
			delete(fields, "__time__")
		}
		records = append(records, fields)
	}
	return records
}

// writeAgentConfig writes a configuration with one pipeline, main, that has these
// keys, and returns its path.
func writeAgentConfig(t *testing.T, keys string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "agent.yaml")
	text := "version: 1\nadmin: {listen: 'unix:./agent.sock'}\nlog: {level: warn}\noutputs: {out: {type: file, path: ./out.jsonl}}\npipelines:\n  main:\n    outputs: [out]\n    max_age: {action: keep}\n" + keys
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	return path
}

func TestFormats_DetectsAndSaysHowSure(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
		return path
	}
	access := write("access.log", formats.Find("nginx_access").Sample)
	traces := write("traces.log", formats.Find("java_exception").Sample)
	out, code := command(t, "", "formats", "detect", access, traces)
	require.Zero(t, code, out)
	require.Regexp(t, `access\.log +nginx_access +100 % +3 +apache_combined 100 %`, out)
	require.Regexp(t, `traces\.log +java_exception +100 % +8 +none`, out)
	require.Regexp(t, `    message +no stock\n`, out)
	require.Regexp(t, `    stack +\tat com\.shop\.Cart\.load\(Cart\.java:42\)\n +\tat com\.shop\.Main`, out, "the record is whole")
	require.Regexp(t, `    request +GET /cart\?id=7 HTTP/1\.1\n`, out)
	prose := write("prose.txt", "The gate was shut,\nand nobody had a key.\n")
	mixed := write("mixed.log", "I0312 08:15:02.123456    1234 controller.go:88] synced 12 items\nXMT: Solicit on eth0\n")
	empty := write("empty.log", "")
	out, code = command(t, "", "formats", "detect", prose, mixed, empty, filepath.Join(dir, "gone.log"))
	require.Equal(t, exitFaults, code)
	require.Regexp(t, `content +The gate was shut,\n`, out)
	require.Contains(t, out, "50 % of its lines fit format klog, which is too few")
	require.Contains(t, out, "it is empty")
	require.Contains(t, out, "gone.log: no such file or directory")
	require.Contains(t, out, "1 of 4 file(s) cannot be read, 3 of 4 file(s) have no known format")
	out, code = command(t, "", "formats", "detect", "-o", "json", access, prose)
	require.Equal(t, exitFaults, code)
	var found []struct {
		Format     string
		Confidence float64
		RunnerUp   *runnerUp `json:"runner_up"`
		Record     struct{ Fields map[string]string }
	}
	require.NoError(t, json.NewDecoder(strings.NewReader(out)).Decode(&found))
	require.Equal(t, &runnerUp{"apache_combined", 1}, found[0].RunnerUp)
	require.Equal(t, "192.0.2.7", found[0].Record.Fields["remote_addr"])
	require.Equal(t, "plain", found[1].Format)
	_, code = command(t, "", "formats", "detect")
	require.Equal(t, exitUsage, code)
}

func TestAPipelineNamesItsFormat(t *testing.T) {
	path := writeAgentConfig(t, "    input: {type: files, include: [/x]}\n    format: nginx_access\n    processors:\n      - {type: filter, keep: [{field: status, equals: '302'}]}\n")
	out, code := command(t, formats.Find("nginx_access").Sample, "parse", "-c", path)
	require.Zero(t, code, out)
	require.Equal(t, 1, strings.Count(out, "\n"), "its own processors see the fields of the format")
	var fields map[string]string
	require.NoError(t, json.Unmarshal([]byte(out), &fields))
	require.Equal(t, "alice", fields["remote_user"])
	require.Equal(t, "2026-03-12T08:15:03Z", fields["__time__"])
	require.NotContains(t, fields, "__format__", "there is nothing to tell")
	out, code = command(t, "", "check", "-c", path)
	require.Zero(t, code, out)
	out, code = command(t, "", "check", "-c", writeAgentConfig(t, "    input: {type: files, include: [/x]}\n    format: nginx_acess\n"))
	require.Equal(t, exitFaults, code)
	require.Contains(t, out, `there is no format "nginx_acess" (did you mean "nginx_access"?)`)
	own := writeAgentConfig(t, "    input: {type: files, include: [/x], multiline: {start: '^I'}}\n    format: klog\n")
	out, code = command(t, formats.Find("klog").Sample, "parse", "-c", own)
	require.Zero(t, code, out)
	require.Equal(t, 2, strings.Count(out, "\n"), "a multiline of the input wins")
}

// TestAutoTakesEachFileApartInItsOwnFormat runs an agent over three files of three
// formats, one of them of several lines, and one of none.
func TestAutoTakesEachFileApartInItsOwnFormat(t *testing.T) {
	logs := t.TempDir()
	samples := map[string]string{
		"access.log": formats.Find("nginx_access").Sample, "traces.log": formats.Find("java_exception").Sample,
		"app.log": formats.Find("zap_json").Sample, "notes.log": "bread\nmilk\n",
	}
	for name, text := range samples {
		require.NoError(t, os.WriteFile(filepath.Join(logs, name), []byte(text), 0o600))
	}
	config := writeAgentConfig(t, fmt.Sprintf("    input: {type: files, include: ['%s/*.log'], start_at: beginning}\n    format: auto\n", logs))
	file, err := loadConfig(config)
	require.NoError(t, err)
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- runAgent(ctx, agent.Options{File: file}) }()
	defer func() {
		stop()
		require.NoError(t, <-ended)
	}()
	byFile := map[string][]map[string]string{}
	require.Eventually(t, func() bool {
		text, _ := os.ReadFile(filepath.Join(filepath.Dir(config), "out.jsonl"))
		clear(byFile)
		for line := range strings.Lines(string(text)) {
			var fields map[string]string
			if json.Unmarshal([]byte(line), &fields) == nil {
				name := filepath.Base(fields["__tag__:__path__"])
				byFile[name] = append(byFile[name], fields)
			}
		}
		return len(byFile["access.log"]) == 3 && len(byFile["traces.log"]) == 2 && len(byFile["app.log"]) == 2 && len(byFile["notes.log"]) == 2
	}, 20*time.Second, 20*time.Millisecond)
	for name, want := range map[string]map[string]string{
		"access.log": {"__format__": "nginx_access", "status": "200", "__time__": "2026-03-12T08:15:02Z"},
		"traces.log": {"__format__": "java_exception", "exception": "java.lang.IllegalStateException", "message": "no stock"},
		"app.log":    {"__format__": "zap_json", "level": "info", "message": "order paid", "__time__": "2026-03-12T08:15:02.123456Z"},
		"notes.log":  {"__format__": "plain", "content": "bread"},
	} {
		require.Subset(t, byFile[name][0], want, name)
		require.NotContains(t, byFile[name][0], "__error__", name)
	}
	require.Contains(t, byFile["traces.log"][0]["stack"], "Caused by: java.io.IOException")
	out, code := command(t, "", "status", "-c", config)
	require.Zero(t, code)
	require.Regexp(t, `access\.log .* nginx_access 100 %`, out)
	require.Regexp(t, `notes\.log .* plain`, out)
}
