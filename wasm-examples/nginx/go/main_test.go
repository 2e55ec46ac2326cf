//go:build !wasip1

package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wasmtail/wasmtail/sdk/wt"
)

// golden is a line of a golden file, as far as this format has it.
type golden struct {
	Fields map[string]any `json:"fields"`
	Status string         `json:"status"`
	Code   int            `json:"code"`
	Error  string         `json:"error"`
	Events int            `json:"events"`
}

func TestParser_GivesTheGoldenRows(t *testing.T) {
	logs, err := filepath.Glob("../testdata/*.log")
	require.NoError(t, err)
	require.NotEmpty(t, logs)
	for _, path := range logs {
		want, err := os.ReadFile(strings.TrimSuffix(path, ".log") + ".out.jsonl")
		require.NoError(t, err)
		text, err := os.ReadFile(path)
		require.NoError(t, err)
		lines := strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")
		rows := wt.Try("", 1<<20, lines...)
		require.Len(t, rows, strings.Count(string(want), "\n"), path)
		for i, line := range strings.Split(strings.TrimSuffix(string(want), "\n"), "\n") {
			var g golden
			decoder := json.NewDecoder(strings.NewReader(line))
			decoder.UseNumber()
			require.NoError(t, decoder.Decode(&g))
			require.Equal(t, g, asGolden(rows[i]), "%s:%d: %s", path, i+1, lines[i])
		}
	}
}

// asGolden is a row as golden files have it.
func asGolden(r wt.Tried) golden {
	status := map[wt.Status]string{wt.OK: "ok", wt.NoMatch: "no_match", wt.Failed: "error"}[r.Status]
	g := golden{Status: status, Code: r.Code, Error: r.Error, Events: r.Events}
	for name, v := range r.Fields {
		if g.Fields == nil {
			g.Fields = map[string]any{}
		}
		text, isText := v.([]byte)
		if isText {
			v = strings.ToValidUTF8(string(text), "\ufffd")
		} else {
			encoded, _ := json.Marshal(v)
			v = json.Number(encoded)
		}
		g.Fields[name] = v
	}
	return g
}
