package configdoc

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/google/jsonschema-go/jsonschema"
	"github.com/stretchr/testify/require"

	"github.com/wasmtail/wasmtail/internal/config"
)

var update = flag.Bool("update", false, "write the golden files")

// tailConfig follows files.
//
// It has a second paragraph.
type tailConfig struct {
	// Include are patterns of files, a|b.
	Include []string `yaml:"include" required:"true" example:"[/var/log/*.log]"`
	// Idle closes a file that has been quiet this long; *.log and __x__, `*` too.
	Idle time.Duration `yaml:"idle" default:"5m"`
	// StartAt says where to begin.
	StartAt string `yaml:"start_at" default:"end" enum:"beginning,end"`
	// Multiline joins lines.
	Multiline multiline `yaml:"multiline"`
}

type multiline struct {
	// Start matches the first line of a record.
	Start string `yaml:"start"`
}

// sendConfig sends to a hub.
type sendConfig struct {
	common `yaml:",inline"`
	// Key proves who sends.
	Key config.Secret `yaml:"key"`
	// Buffer is held in memory.
	Buffer config.Size `yaml:"buffer" default:"4MiB"`
	// Retries is how often to try.
	Retries int `yaml:"retries" default:"3"`
	// Strict has no default.
	Strict bool `yaml:"strict"`
	// Verify checks the certificate.
	Verify bool `yaml:"verify" default:"true"`
	// Headers are added to requests.
	Headers map[string]config.Secret `yaml:"headers"`
	// Rules are tried in order.
	Rules []rule `yaml:"rules"`
	// When says which records are meant.
	When condition `yaml:"when"`
	// Bare says what a bare key is worth.
	Bare string `yaml:"bare" default:"true" enum:"true,empty,1.2"`
	// Params are passed on.
	Params map[string]any `yaml:"params"`
}

type common struct {
	// Endpoint is the address.
	Endpoint string `yaml:"endpoint" required:"true"`
}

type rule struct {
	// Name of the rule.
	Name string `yaml:"name" required:"true"`
}

type condition struct {
	// Field is the field to look at.
	Field string `yaml:"field"`
	// All must hold.
	All []condition `yaml:"all"`
	// Not must not hold.
	Not *condition `yaml:"not"`
}

// noConfig does nothing.
type noConfig struct{}

type silent struct {
	Key string `yaml:"key"`
}

func catalog() config.Catalog {
	return config.Catalog{
		"input":     {"files": func() any { return new(tailConfig) }},
		"processor": {"noop": func() any { return new(noConfig) }, "nothing": func() any { return new(noConfig) }},
		"output":    {"hub": func() any { return new(sendConfig) }},
	}
}

const root = "../../.."

func TestGenerate_Golden(t *testing.T) {
	markdown, schema, err := Generate(catalog(), root)
	require.NoError(t, err)
	for name, got := range map[string][]byte{"test.md": markdown, "test.schema.json": schema} {
		path := filepath.Join("testdata", name+".golden")
		if *update {
			require.NoError(t, os.MkdirAll("testdata", 0o750))
			require.NoError(t, os.WriteFile(path, got, 0o600))
		}
		want, err := os.ReadFile(path)
		require.NoError(t, err)
		require.Equal(t, string(want), string(got), "run with -update if this is meant")
	}
	again, schemaAgain, err := Generate(catalog(), root)
	require.NoError(t, err)
	require.True(t, bytes.Equal(markdown, again) && bytes.Equal(schema, schemaAgain))
}

func TestGenerate_EveryKeyNeedsAComment(t *testing.T) {
	cat := catalog()
	cat["output"]["silent"] = func() any { return new(silent) }
	_, _, err := Generate(cat, root)
	require.ErrorContains(t, err, "configdoc.silent.Key (key key) has no comment")
	require.ErrorContains(t, err, "configdoc.silent has no comment")
}

func TestGenerate_ExamplesMustBeValid(t *testing.T) {
	type wrong struct {
		// N is a number.
		N int `yaml:"n" example:"many"`
		// S is a list.
		S []string `yaml:"s" example:"a"`
		// E is a word.
		E string `yaml:"e" enum:"a,b" example:"c"`
	}
	cat := catalog()
	cat["output"]["wrong"] = func() any { return new(wrong) }
	_, _, err := Generate(cat, root)
	for _, key := range []string{"wrong.N:", "wrong.S:", "wrong.E:"} {
		require.ErrorContains(t, err, key+" the example is not valid")
	}
}

// TestGenerate_SchemaAgreesWithTheProgram feeds the same files to both.
func TestGenerate_SchemaAgreesWithTheProgram(t *testing.T) {
	_, schema, err := Generate(catalog(), root)
	require.NoError(t, err)
	var s jsonschema.Schema
	require.NoError(t, json.Unmarshal(schema, &s))
	resolved, err := s.Resolve(nil)
	require.NoError(t, err)
	t.Setenv("WASMTAIL_TEST_N", "4")

	f := func(output, more string, valid bool) {
		t.Helper()
		text := "version: 1\noutputs:\n  out: {type: hub, endpoint: h" + output + "}\npipelines:\n  main:\n" +
			"    input: {type: files, include: [a]}\n    outputs: [out]\n" + more
		var value any
		require.NoError(t, yaml.Unmarshal([]byte(text), &value))
		// The validator knows the values that JSON has.
		j, err := json.Marshal(value)
		require.NoError(t, err)
		require.NoError(t, json.Unmarshal(j, &value))
		err = resolved.Validate(value)
		_, parseErr := config.Parse("a.yaml", []byte(text), t.TempDir(), catalog())
		if valid {
			require.NoError(t, err, text)
			require.NoError(t, parseErr, text)
			return
		}
		require.Error(t, err, text)
		require.Error(t, parseErr, text)
	}
	f("", "", true)
	f(", buffer: 5MiB, retries: 2, verify: false, key: 123, headers: {a: b}, params: {a: [1, {b: c}]}", "", true)
	f(`, buffer: 1024, retries: "${env:WASMTAIL_TEST_N}", verify: "${env:WASMTAIL_TEST_UNSET:-true}"`, "", true)
	f(", rules: [{name: a}]", "log: {level: warn}\nlimits: {cpu: 1, memory: 1GiB}\n", true)
	f("", "data_dir: /x\nadmin: {listen: ''}\n", true)
	f(", when: {all: [{field: a}, {not: {field: b, all: []}}]}, bare: true", "", true)
	f(", bare: 1.2", "", true)
	f(", bare: false", "", false)
	f(", when: {all: [{field: a}, {not: {feld: b}}]}", "", false)
	f(", rules: [{}]", "", false)
	f(", rules: {name: a}", "", false)
	f(", retries: x", "", false)
	f(", retries: '2'", "", false)
	f(", buffer: 5 tons", "", false)
	f(", verify: 1", "", false)
	f(", unknown: 1", "", false)
	f("", "unknown: 1\n", false)
	f("", "log: {level: loud}\n", false)
	f("", "    max_age: {after: 10}\n", false)
	f("", "    max_age: {after: 0, action: drop}\n", true)
	f("", "    max_age: {after: 1d12h}\n", true)
	f("", "    max_age: {after: soon}\n", false)
	f("", "    processors: [{type: noop}]\n", true)
	f("", "    processors: [{type: gone}]\n", false)
	f("", "    processors: [{}]\n", false)
	f("", "    processors: [{type: noop, x: 1}]\n", false)
}
