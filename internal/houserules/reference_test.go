package houserules

import (
	"encoding/json"
	"os"
	"path"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
	"github.com/google/jsonschema-go/jsonschema"
	"github.com/stretchr/testify/require"

	"github.com/wasmtail/wasmtail/internal/config"
	"github.com/wasmtail/wasmtail/internal/config/configdoc"
	"github.com/wasmtail/wasmtail/internal/documents"
	"github.com/wasmtail/wasmtail/plugins"
)

// TestDocuments_AreGenerated also fails for a plugin or key without a comment,
// and for an example that the program would refuse.
func TestDocuments_AreGenerated(t *testing.T) {
	require.NoError(t, documents.Check(plugins.Standard().Catalog(), "../.."))
}

func TestReference_HasEveryPlugin(t *testing.T) {
	tr, err := source()
	require.NoError(t, err)
	for kind, table := range plugins.Standard().Catalog() {
		for name := range table {
			require.Contains(t, string(tr.texts[configdoc.MarkdownPath]), "\n### "+kind+" `"+name+"`\n")
		}
	}
}

// TestDocuments_ConfigurationsAreValid loads every configuration that a
// document shows or that lies in the tree as an example.
func TestDocuments_ConfigurationsAreValid(t *testing.T) {
	tr, err := source()
	require.NoError(t, err)
	schema := readSchema(t)
	dir := t.TempDir()
	for name, text := range tr.texts {
		if strings.Contains(name, "testdata/") {
			continue
		}
		for _, example := range examples(name, string(text)) {
			t.Run(name, func(t *testing.T) {
				tryConfiguration(t, schema, dir, example)
			})
		}
	}
}

// tryConfiguration loads a configuration. The environment and the files it
// takes text from are made up.
func tryConfiguration(t *testing.T, schema *jsonschema.Resolved, dir, text string) {
	t.Helper()
	var value any
	require.NoError(t, yaml.Unmarshal([]byte(text), &value))
	data, err := json.Marshal(value)
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(data, &value))
	require.NoError(t, schema.Validate(value), text)

	for _, m := range substitutionRE.FindAllStringSubmatch(text, -1) {
		switch m[1] {
		case "env":
			t.Setenv(m[2], "made-up")
		case "cred":
			t.Setenv("CREDENTIALS_DIRECTORY", dir)
			require.NoError(t, os.WriteFile(path.Join(dir, m[2]), []byte("made-up"), 0o600))
		case "file":
			if path.IsAbs(m[2]) {
				text = strings.ReplaceAll(text, m[0], "made-up")
				continue
			}
			require.NoError(t, os.MkdirAll(path.Join(dir, path.Dir(m[2])), 0o700))
			require.NoError(t, os.WriteFile(path.Join(dir, m[2]), []byte("made-up"), 0o600))
		}
	}
	_, err = config.Parse("example.yaml", []byte(text), dir, plugins.Standard().Catalog())
	require.NoError(t, err, text)
}

func readSchema(t *testing.T) *jsonschema.Resolved {
	t.Helper()
	data, err := os.ReadFile("../../" + configdoc.SchemaPath)
	require.NoError(t, err)
	var schema jsonschema.Schema
	require.NoError(t, json.Unmarshal(data, &schema))
	resolved, err := schema.Resolve(&jsonschema.ResolveOptions{ValidateDefaults: true})
	require.NoError(t, err)
	return resolved
}
