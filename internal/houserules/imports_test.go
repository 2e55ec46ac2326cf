package houserules

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/require"
)

// wings says which wings of the tree a wing may import.
var wings = map[string][]string{
	"cmd":           {"agent", "hub", "plugins", "internal", "sdk"},
	"plugins":       {"plugins", "agent", "internal"},
	"agent":         {"agent", "internal", "sdk/abi"},
	"hub":           {"hub", "internal"},
	"internal":      {"internal"},
	"sdk":           {"sdk"},
	"wasm-examples": {"sdk"},
}

// inside says which packages of its own wing a package may import. Packages
// that are not listed are leaves. The root of a wing puts it together and may
// import all of it.
var inside = map[string][]string{
	"agent/tail":     {"agent/checkpoint"},
	"agent/pipeline": {"agent/queue"},
	"agent/dispatch": {"agent/pipeline", "agent/queue", "agent/transport"},
	"agent/control":  {"agent/transport"},
	"agent/history":  {"agent/checkpoint", "agent/pipeline", "agent/tail"},
	"agent/intake":   {"agent/checkpoint", "agent/pipeline"},
	"hub/stream":     {"hub/store"},
	"hub/receiver":   {"hub/stream"},
	"hub/console":    {"hub/receiver", "hub/store", "hub/stream"},
	"sdk":            {"sdk/abi"},
	// Files inside containers have records as other files do.
	"plugins/input/containers": {"plugins/input/filelog"},
}

// homes says which packages may import a library. A name that ends in / stands
// for all packages below it.
var homes = []struct {
	library string
	dirs    []string
}{
	{"github.com/tetratelabs/wazero", []string{"agent/wasmhost"}},
	{"github.com/fsnotify/fsnotify", []string{"agent/tail", "agent/wasmhost"}},
	{"github.com/nats-io/", []string{"hub/stream", "hub/fleet"}},
	{"github.com/VictoriaMetrics/VictoriaMetrics", []string{"hub/store"}},
	{"github.com/go-sql-driver/mysql", []string{"internal/mysqlserver", "internal/mariadb"}},
	{"github.com/spf13/cobra", []string{"cmd/"}},
	{"github.com/goccy/go-yaml", []string{"internal/config", "internal/config/", "internal/formats", "internal/toolchain", "hub/receiver", "cmd/"}},
	{"go.opentelemetry.io/otel/sdk", []string{"internal/telemetry"}},
	{"go.opentelemetry.io/otel/exporters", []string{"internal/telemetry"}},
	{"github.com/twmb/franz-go", []string{"plugins/output/kafka"}},
	{"google.golang.org/grpc", []string{"plugins/output/otlp"}},
	{"github.com/google/jsonschema-go", []string{"internal/config/configdoc"}},
	{"github.com/stretchr/testify", nil},
	{"pgregory.net/rapid", nil},
	{"go.uber.org/goleak", nil},
}

// exempt is true for folders that look at everything: tests of the whole, and
// the list of libraries.
func exempt(dir string) bool {
	return dir == "internal/houserules" || dir == "internal/e2e" || strings.HasPrefix(dir, "internal/e2e/") || dir == "internal/deps"
}

func wingOf(dir string) string {
	wing, _, _ := strings.Cut(dir, "/")
	return wing
}

func importRules() []rule {
	return []rule{
		{
			name: "wings import downhill", check: wingImports,
			breaks: map[string]string{
				"agent/a.go":           "package agent\nimport _ \"" + module + "/hub\"",
				"agent/tail/a.go":      "package tail\nimport _ \"" + module + "/plugins\"",
				"hub/a.go":             "package hub\nimport _ \"" + module + "/agent/transport\"",
				"internal/record/a.go": "package record\nimport _ \"" + module + "/agent/queue\"",
				"sdk/a.go":             "package sdk\nimport _ \"" + module + "/internal/record\"",
				"stray/a.go":           "package stray\nimport _ \"" + module + "/internal/record\"",
				"agent/b.go":           "package agent\nimport _ \"" + module + "/sdk\"",
			},
			keeps: map[string]string{
				"cmd/wasmtail/a.go": "package main\nimport _ \"" + module + "/hub/store\"",
				"agent/a.go":        "package agent\nimport _ \"" + module + "/sdk/abi\"",
				"plugins/a.go":      "package plugins\nimport _ \"" + module + "/agent/pipeline\"",
			},
		},
		{
			name: "packages of a wing are leaves unless the table says otherwise", check: insideImports,
			breaks: map[string]string{
				"agent/queue/a.go":         "package queue\nimport _ \"" + module + "/agent/pipeline\"",
				"agent/tail/a.go":          "package tail\nimport _ \"" + module + "/agent\"",
				"plugins/input/files/a.go": "package files\nimport _ \"" + module + "/plugins/output/out\"",
			},
			keeps: map[string]string{
				"agent/a.go":      "package agent\nimport _ \"" + module + "/agent/queue\"",
				"agent/tail/a.go": "package tail\nimport _ \"" + module + "/agent/checkpoint\"",
			},
		},
		{
			name: "a library has one home", check: libraryHomes,
			breaks: map[string]string{
				"agent/queue/a.go": "package queue\nimport _ \"github.com/fsnotify/fsnotify\"",
				"hub/a.go":         "package hub\nimport _ \"github.com/tetratelabs/wazero/api\"",
				"agent/a.go":       "package agent\nimport _ \"github.com/stretchr/testify/require\"",
			},
			keeps: map[string]string{
				"agent/tail/a.go":   "package tail\nimport _ \"github.com/fsnotify/fsnotify\"",
				"agent/a_test.go":   "package agent\nimport _ \"github.com/stretchr/testify/require\"",
				"cmd/wasmtail/a.go": "package main\nimport _ \"github.com/spf13/cobra\"",
			},
		},
		{
			name: "the SDK needs the standard library only", check: sdkImports,
			breaks: map[string]string{"sdk/a.go": "package sdk\nimport _ \"github.com/sirupsen/logrus\""},
			keeps:  map[string]string{"sdk/a.go": "package sdk\nimport _ \"encoding/binary\""},
		},
	}
}

// imports calls f for each import with the path from the root of the module, or
// with own false for packages of others.
func (t *tree) imports(f func(g *goFile, at, name string, own bool)) {
	for _, g := range t.files {
		for _, spec := range g.ast.Imports {
			name, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				continue
			}
			rest, own := strings.CutPrefix(name, module+"/")
			f(g, t.at(spec), rest, own)
		}
	}
}

func wingImports(t *tree) (broken []string) {
	t.imports(func(g *goFile, at, name string, own bool) {
		if !own || exempt(g.dir) {
			return
		}
		wing := wingOf(g.dir)
		allowed, known := wings[wing]
		if !known {
			broken = append(broken, fmt.Sprintf("%s: %s is not a wing of the house", at, wing))
			return
		}
		for _, a := range allowed {
			if name == a || strings.HasPrefix(name, a+"/") {
				return
			}
		}
		broken = append(broken, fmt.Sprintf("%s: %s may not import %s", at, wing, name))
	})
	return broken
}

func insideImports(t *tree) (broken []string) {
	t.imports(func(g *goFile, at, name string, own bool) {
		wing := wingOf(g.dir)
		if !own || exempt(g.dir) || wingOf(name) != wing || g.dir == wing || wing == "internal" || wing == "cmd" {
			return
		}
		if g.test && g.dir == name {
			return // an external test of the package itself
		}
		if !slices.Contains(inside[g.dir], name) {
			broken = append(broken, fmt.Sprintf("%s: %s may not import %s", at, g.dir, name))
		}
	})
	return broken
}

func libraryHomes(t *tree) (broken []string) {
	t.imports(func(g *goFile, at, name string, own bool) {
		if own || exempt(g.dir) || g.test {
			return
		}
		for _, h := range homes {
			if name != h.library && !strings.HasPrefix(name, strings.TrimSuffix(h.library, "/")+"/") {
				continue
			}
			at := at
			if !slices.ContainsFunc(h.dirs, func(d string) bool {
				return g.dir == d || strings.HasSuffix(d, "/") && strings.HasPrefix(g.dir, d)
			}) {
				broken = append(broken, fmt.Sprintf("%s: %s belongs in %s", at, name, homeNames(h.dirs)))
			}
		}
	})
	return broken
}

func homeNames(dirs []string) string {
	if len(dirs) == 0 {
		return "tests"
	}
	return strings.Join(dirs, ", ")
}

func sdkImports(t *tree) (broken []string) {
	t.imports(func(g *goFile, at, name string, own bool) {
		first, _, _ := strings.Cut(name, "/")
		if wingOf(g.dir) == "sdk" && !own && !g.test && strings.Contains(first, ".") {
			broken = append(broken, fmt.Sprintf("%s: the SDK may not import %s", at, name))
		}
	})
	return broken
}

// smallTree is a tree of a few files for trying a rule.
func smallTree(t *testing.T, files map[string]string) *tree {
	t.Helper()
	fsys := fstest.MapFS{}
	for name, text := range files {
		fsys[name] = &fstest.MapFile{Data: []byte(text)}
	}
	tr, err := readTree(fsys)
	require.NoError(t, err)
	return tr
}
