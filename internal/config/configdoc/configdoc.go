// Package configdoc makes the reference of the configuration, for people as
// Markdown and for editors as a JSON Schema, from the structs that the
// configuration is decoded into and the comments on their fields.
//
// It promises that every key the program accepts is in both, and that the same
// sources give the same bytes. It needs the source files, so it is a tool for
// developers; the program does not use it when it runs. It starts no
// goroutines.
package configdoc

import (
	"errors"
	"fmt"
	"reflect"

	"github.com/google/jsonschema-go/jsonschema"

	"github.com/wasmtail/wasmtail/internal/config"
)

// The generated files, from the root of the sources.
const (
	MarkdownPath = "docs/configuration.md"
	SchemaPath   = "docs/config.schema.json"
)

// Generate returns the reference as Markdown and as a JSON Schema (draft
// 2020-12). srcRoot is the root of the module's sources. A key or plugin
// without a comment is an error.
func Generate(cat config.Catalog, srcRoot string) (markdown, schema []byte, err error) {
	c := newComments(srcRoot)
	g := &generator{catalog: cat, comments: c}
	markdown = g.markdown()
	schema, err = g.schema()
	if err = errors.Join(append(append(c.problems, g.problems...), err)...); err != nil {
		return nil, nil, fmt.Errorf("cannot document the configuration: %w", err)
	}
	return markdown, schema, nil
}

// generator holds what both forms are made from.
type generator struct {
	catalog  config.Catalog
	comments *comments
	problems []error
	defs     map[string]*jsonschema.Schema
}

// kinds are the kinds of plugins, in the order a record meets them.
func kinds() []string { return []string{"input", "processor", "output"} }

// configType is the struct that a plugin's settings are decoded into.
func configType(create func() any) reflect.Type { return reflect.TypeOf(create()).Elem() }

// isRecursive is true for structs that hold themselves, at whatever depth.
func isRecursive(t reflect.Type) bool { return reaches(t, t, map[reflect.Type]bool{}) }

func reaches(from, to reflect.Type, seen map[reflect.Type]bool) bool {
	if seen[from] {
		return false
	}
	seen[from] = true
	for _, k := range config.Keys(from) {
		inner := element(k.Type)
		if isSettings(inner) && (inner == to || reaches(inner, to, seen)) {
			return true
		}
	}
	return false
}

// isSettings is true for structs whose keys are worth a line of their own.
func isSettings(t reflect.Type) bool {
	return t.Kind() == reflect.Struct && !config.IsScalar(t) && t != reflect.TypeFor[config.Block]()
}
