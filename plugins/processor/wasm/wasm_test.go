package wasm

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sirupsen/logrus"
	"github.com/stretchr/testify/require"

	"github.com/wasmtail/wasmtail/agent/wasmhost"
	"github.com/wasmtail/wasmtail/internal/config"
	"github.com/wasmtail/wasmtail/internal/record"
	"github.com/wasmtail/wasmtail/internal/toolchain"
)

var update = flag.Bool("update", false, "write the golden files anew")

// build builds an example into a folder of the test's.
func build(t testing.TB, example string) string {
	t.Helper()
	p, err := toolchain.Load("../../../wasm-examples/" + example)
	require.NoError(t, err)
	out := filepath.Join(t.TempDir(), "module.wasm")
	require.NoError(t, p.Build(context.Background(), toolchain.Options{SDKDir: "../../../sdk", Output: out}))
	return out
}

func settings(t *testing.T, text string) (*Config, error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "agent.yaml")
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	file, err := config.Load(path, config.Catalog{
		"input":     {"in": func() any { return new(struct{}) }},
		"output":    {"out": func() any { return new(struct{}) }},
		"processor": {"wasm": func() any { return new(Config) }},
	})
	if err != nil {
		return nil, err
	}
	return file.Pipelines["pipe"].Processors[0].Config.(*Config), nil
}

const frame = `version: 1
modules: {development: %t}
outputs: {o: {type: out}}
pipelines:
  pipe:
    input: {type: in}
    outputs: [o]
    processors:
      - %s
`

func TestProcessor_Golden(t *testing.T) {
	module := build(t, "nginx/c")
	c, err := settings(t, fmt.Sprintf(frame, true, "{type: wasm, module: "+module+"}"))
	require.NoError(t, err)
	host, err := wasmhost.Open(wasmhost.Options{Dir: t.TempDir(), Log: logrus.New()})
	require.NoError(t, err)
	defer host.Close()
	p, err := New(*c, Env{Context: context.Background(), Host: host, Pipeline: "pipe", Stage: "wasm#1"})
	require.NoError(t, err)
	defer func() { require.NoError(t, p.(*processor).Close()) }()

	b := record.Get(&record.Origin{Path: "access.log", Ledger: &record.Ledger{}})
	defer b.Release()
	for _, name := range []string{"basic", "odd", "wrong", "foreign"} {
		text, err := os.ReadFile("../../../wasm-examples/nginx/testdata/" + name + ".log")
		require.NoError(t, err)
		for line := range bytes.Lines(text) {
			b.Add(bytes.TrimSuffix(line, []byte("\n"))).Size = int64(len(line))
		}
	}
	require.NoError(t, p.Process(context.Background(), b))
	var got strings.Builder
	for i := range b.Records {
		for _, f := range b.Records[i].Fields {
			fmt.Fprintf(&got, "%s=%q ", f.Name, f.Value)
		}
		fmt.Fprintf(&got, "marks=%s\n", b.Records[i].Marks.AppendText(nil))
	}
	golden := filepath.Join("testdata", "nginx.golden")
	if *update {
		require.NoError(t, os.WriteFile(golden, []byte(got.String()), 0o600))
	}
	want, err := os.ReadFile(golden)
	require.NoError(t, err)
	require.Equal(t, string(want), got.String())
}

func TestConfig_SaysWhatIsWrong(t *testing.T) {
	module := filepath.Join(t.TempDir(), "m.wasm")
	require.NoError(t, os.WriteFile(module, []byte("x"), 0o600))
	for text, want := range map[string]string{
		"{type: wasm, module: " + module + "}":                                                      "sha256: is required, so that only the module that was meant can run; the file's is 2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881",
		"{type: wasm, module: /none.wasm}":                                                          "`sha256sum /none.wasm` prints it",
		"{type: wasm, module: m, sha256: abc}":                                                      "is no SHA-256 hash",
		"{type: wasm, module: m, routes: [A]}":                                                      "routes[0]",
		"{type: wasm, module: m, dead_letter: unparsed}":                                            "has no effect with on_parse_failure: keep",
		"{type: wasm, module: m, on_parse_failure: both}":                                           "dead_letter: must name the log store",
		"{type: wasm, module: m, on_parse_failure: both, dead_letter: errors, routes: [errors]}":    "is among the routes",
		"{type: wasm, module: m, limits: {memory: 2GiB}}":                                           "limits.memory: must be between 64KiB and 1GiB",
		"{type: wasm, module: m, limits: {time: 11s}}":                                              "limits.time: must be between",
		"{type: wasm, module: m, limits: {line: 5MiB}}":                                             "limits.line: must be between",
		"{type: wasm, module: m, limits: {init_time: 31s, output: 65MiB, batch: 5MiB, module: 1B}}": "limits.output",
		"{type: wasm, module: m, field: ''}":                                                        "field: is empty",
		"{type: wasm, module: m, limits: {held_lines: -1}}":                                         "limits.held_lines",
	} {
		_, err := settings(t, fmt.Sprintf(frame, false, text))
		require.ErrorContains(t, err, want, text)
	}
	_, err := settings(t, fmt.Sprintf(frame, true, "{type: wasm, module: m}"))
	require.NoError(t, err)
}

func TestLogStores(t *testing.T) {
	require.Equal(t, []string{"a"}, (&Config{Routes: []string{"a"}, OnParseFailure: "keep"}).LogStores())
	require.Equal(t, []string{"a", "d"}, (&Config{Routes: []string{"a"}, OnParseFailure: "both", DeadLetter: "d"}).LogStores())
}
