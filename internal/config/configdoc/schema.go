package configdoc

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/jsonschema-go/jsonschema"

	"github.com/wasmtail/wasmtail/internal/config"
)

// substitutionPattern is the part of a value that is put in when the file is
// read. A value with one is checked then, not by the editor.
const substitutionPattern = `\$\{(env|file|cred):`

func (g *generator) schema() ([]byte, error) {
	g.defs = map[string]*jsonschema.Schema{}
	root := g.structure(reflect.TypeFor[config.File](), "")
	root.Schema = "https://json-schema.org/draft/2020-12/schema"
	root.Title = "wasmtail configuration"
	for _, kind := range kinds() {
		g.define(kind)
	}
	root.Defs = g.defs
	// Files that are included, or lie in a folder, hold a part of the keys.
	root.Required = slices.DeleteFunc(root.Required, func(key string) bool { return key != "version" })
	version := any(1)
	root.Properties["version"].Const = &version
	for _, key := range []string{"outputs", "pipelines"} {
		root.Properties[key].PropertyNames = &jsonschema.Schema{Pattern: `^[a-z0-9_-]{1,63}$`}
	}
	if _, err := root.Resolve(nil); err != nil {
		return nil, fmt.Errorf("the schema contradicts itself: %w", err)
	}
	out, err := json.MarshalIndent(root, "", "  ")
	if err != nil {
		return nil, err
	}
	return append(out, '\n'), nil
}

// define adds the schema of a kind, which picks by `type`, and of its plugins.
func (g *generator) define(kind string) {
	names := slices.Sorted(maps.Keys(g.catalog[kind]))
	pick := &jsonschema.Schema{
		Type:       "object",
		Required:   []string{"type"},
		Properties: map[string]*jsonschema.Schema{"type": {Type: "string", Description: "The name of the " + kind + "."}},
	}
	for _, name := range names {
		pick.Properties["type"].Enum = append(pick.Properties["type"].Enum, name)
		t := configType(g.catalog[kind][name])
		s := g.structure(t, name)
		id := kind + "." + name
		g.defs[id] = s
		is := any(name)
		pick.AllOf = append(pick.AllOf, &jsonschema.Schema{
			If:   &jsonschema.Schema{Required: []string{"type"}, Properties: map[string]*jsonschema.Schema{"type": {Const: &is}}},
			Then: &jsonschema.Schema{Ref: "#/$defs/" + id},
		})
	}
	g.defs[kind] = pick
}

// structure is the schema of a struct. A plugin's settings stand beside its
// `type`, whose value is plugin.
func (g *generator) structure(t reflect.Type, plugin string) *jsonschema.Schema {
	s := &jsonschema.Schema{
		Type:                 "object",
		Properties:           map[string]*jsonschema.Schema{},
		AdditionalProperties: &jsonschema.Schema{Not: &jsonschema.Schema{}},
	}
	if plugin != "" {
		s.Description = g.comments.ofType(t)
		is := any(plugin)
		s.Properties["type"] = &jsonschema.Schema{Const: &is}
	}
	for _, k := range config.Keys(t) {
		p := g.value(k.Type, k)
		p.Description = g.comments.ofKey(k)
		p.Default = defaultJSON(k)
		if k.Example != "" && config.IsScalar(k.Type) {
			p.Examples = []any{k.Example}
		}
		s.Properties[k.Name] = p
		if k.Required {
			s.Required = append(s.Required, k.Name)
		}
	}
	return s
}

// value is the schema of one type. k is the key that the type is of or in.
func (g *generator) value(t reflect.Type, k config.Key) *jsonschema.Schema {
	switch {
	case t == reflect.TypeFor[config.Block]():
		return &jsonschema.Schema{Ref: "#/$defs/" + k.Kind}
	case t == reflect.TypeFor[time.Duration]():
		return &jsonschema.Schema{Types: []string{"string", "integer"}, Pattern: `^([0-9.]+d)?([0-9.]+(h|m|s|ms|us|µs|ns))*$|^0$|` + substitutionPattern, Minimum: ptr(0.0), Maximum: ptr(0.0)}
	case t == reflect.TypeFor[config.Size]():
		return &jsonschema.Schema{Types: []string{"string", "integer"}, Pattern: `^[0-9]+(\.[0-9]+)? *([KMGT]iB|[kKMGT]B|B)?$|` + substitutionPattern, Minimum: ptr(0.0)}
	case config.IsScalar(t):
		return scalar(t, k)
	}
	switch t.Kind() {
	case reflect.Pointer:
		return g.value(t.Elem(), k)
	case reflect.Slice:
		return &jsonschema.Schema{Type: "array", Items: g.value(t.Elem(), k)}
	case reflect.Map:
		return &jsonschema.Schema{Type: "object", AdditionalProperties: g.value(t.Elem(), k)}
	case reflect.Struct:
		if isRecursive(t) {
			return g.reference(t)
		}
		return g.structure(t, "")
	default:
		return &jsonschema.Schema{}
	}
}

// reference is a link to the schema of a struct that holds itself.
func (g *generator) reference(t reflect.Type) *jsonschema.Schema {
	id := strings.ReplaceAll(t.String(), "*", "")
	if _, ok := g.defs[id]; !ok {
		g.defs[id] = nil // while it is made, what is in it may refer to it
		g.defs[id] = g.structure(t, "")
	}
	return &jsonschema.Schema{Ref: "#/$defs/" + id}
}

func scalar(t reflect.Type, k config.Key) *jsonschema.Schema {
	substituted := &jsonschema.Schema{Type: "string", Pattern: substitutionPattern}
	switch t.Kind() {
	case reflect.Bool:
		return &jsonschema.Schema{AnyOf: []*jsonschema.Schema{{Type: "boolean"}, substituted}}
	case reflect.Float32, reflect.Float64:
		return &jsonschema.Schema{AnyOf: []*jsonschema.Schema{{Type: "number"}, substituted}}
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return &jsonschema.Schema{AnyOf: []*jsonschema.Schema{{Type: "integer"}, substituted}}
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return &jsonschema.Schema{AnyOf: []*jsonschema.Schema{{Type: "integer", Minimum: ptr(0.0)}, substituted}}
	}
	if len(k.Enum) == 0 {
		// Text needs no quotes when it happens to look like a number.
		return &jsonschema.Schema{Types: []string{"string", "number", "boolean"}}
	}
	enum := &jsonschema.Schema{}
	for _, text := range k.Enum {
		enum.Enum = append(enum.Enum, text)
		var bare any // true or 1.2, which need no quotes either
		if json.Unmarshal([]byte(text), &bare) == nil {
			enum.Enum = append(enum.Enum, bare)
		}
	}
	return &jsonschema.Schema{AnyOf: []*jsonschema.Schema{enum, substituted}}
}

func ptr[T any](v T) *T { return &v }

// defaultJSON is a key's default as JSON, nil without one.
func defaultJSON(k config.Key) json.RawMessage {
	if k.Default == "" || !config.IsScalar(k.Type) {
		return nil
	}
	switch k.Type.Kind() {
	case reflect.String, reflect.Struct:
		return json.RawMessage(strconv.Quote(k.Default))
	}
	if json.Valid([]byte(k.Default)) {
		return json.RawMessage(k.Default)
	}
	return json.RawMessage(strconv.Quote(k.Default))
}
