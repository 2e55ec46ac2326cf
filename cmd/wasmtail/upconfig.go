package main

import (
	"bytes"
	"fmt"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/wasmtail/wasmtail/agent/survey"
	"github.com/wasmtail/wasmtail/internal/formats"
)

// writeConfig writes the agent's configuration for the files that can be read:
// one pipeline for each format.
func writeConfig(path, hubURL string, key accessKey, files []survey.File) error {
	byFormat := map[string][]survey.File{}
	for _, f := range files {
		if f.Problem == "" {
			byFormat[f.Format.Name] = append(byFormat[f.Format.Name], f)
		}
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, `# Written by wasmtail up at every start. Copy it to keep changes.
version: 1
data_dir: ./agent
admin: {listen: "unix:./agent.sock"}
log: {level: warn}
outputs:
  hub:
    type: logservice
    endpoint: %s
    region: local
    project: default
    access_key_id: %s
    access_key_secret: %s
pipelines:
`, hubURL, key.id, key.secret)
	for _, name := range slices.Sorted(maps.Keys(byFormat)) {
		writePipeline(&b, name, byFormat[name])
	}
	if err := os.WriteFile(path, b.Bytes(), 0o600); err != nil {
		return fmt.Errorf("cannot write the agent's configuration: %w", err)
	}
	return nil
}

func writePipeline(b *bytes.Buffer, name string, files []survey.File) {
	format := files[0].Format.Name
	fmt.Fprintf(b, "  %s:\n    input:\n      type: files\n      start_at: last 1MiB\n      include:\n", name)
	for _, f := range files {
		fmt.Fprintf(b, "        - %s\n", strconv.Quote(escapeGlob(f.Path)))
	}
	if format != formats.Plain {
		fmt.Fprintf(b, "    format: %s\n", format)
	}
	// History is wanted here: what was written an hour ago is not late.
	fmt.Fprintf(b, "    max_age: {action: keep}\n    outputs: [hub]\n    logstore: %s\n", name)
}

// escapeGlob makes a pattern that matches just this path.
func escapeGlob(path string) string {
	return strings.NewReplacer(`\`, `\\`, "*", `\*`, "?", `\?`, "[", `\[`, "{", `\{`).Replace(path)
}
