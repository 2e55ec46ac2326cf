package configdoc

import (
	"bytes"
	_ "embed"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/wasmtail/wasmtail/internal/config"
)

// intro is what the tables cannot say: units, substitutions, several files.
//
//go:embed intro.md
var intro string

func (g *generator) markdown() []byte {
	var b bytes.Buffer
	b.WriteString(intro)
	b.WriteString("\n## The file\n\n")
	file := reflect.TypeFor[config.File]()
	table := g.newTable(&b)
	var sections []config.Key
	for _, k := range config.Keys(file) {
		table.row(k.Name, k)
		if element(k.Type) != reflect.TypeFor[config.Block]() && isSettings(element(k.Type)) {
			sections = append(sections, k)
		}
	}
	for _, k := range sections {
		name := k.Name
		if k.Type.Kind() == reflect.Map {
			name += ".<name>"
		}
		fmt.Fprintf(&b, "\n## `%s`\n\n%s\n\n", name, escape(g.comments.ofType(element(k.Type))))
		g.keys(&b, element(k.Type))
	}
	for _, kind := range kinds() {
		g.plugins(&b, kind)
	}
	return b.Bytes()
}

// plugins writes a section for a kind of plugins.
func (g *generator) plugins(b *bytes.Buffer, kind string) {
	names := slices.Sorted(maps.Keys(g.catalog[kind]))
	if len(names) == 0 {
		return
	}
	fmt.Fprintf(b, "\n## %ss\n", strings.ToUpper(kind[:1])+kind[1:])
	seen := map[reflect.Type]string{}
	for _, name := range names {
		t := configType(g.catalog[kind][name])
		fmt.Fprintf(b, "\n### %s `%s`\n\n", kind, name)
		if first, ok := seen[t]; ok {
			fmt.Fprintf(b, "The same settings as `%s`.\n", first)
			continue
		}
		seen[t] = name
		fmt.Fprintf(b, "%s\n\n", escape(g.comments.ofType(t)))
		if len(config.Keys(t)) == 0 {
			b.WriteString("It has no settings.\n")
			continue
		}
		g.keys(b, t)
	}
}

// keys writes the table of a struct's keys.
func (g *generator) keys(b *bytes.Buffer, t reflect.Type) {
	table := g.newTable(b)
	table.structure("", t, nil)
}

// table writes rows of keys.
type table struct {
	g *generator
	b *bytes.Buffer
}

func (g *generator) newTable(b *bytes.Buffer) *table {
	b.WriteString("| Key | Type | Default | Meaning |\n| --- | --- | --- | --- |\n")
	return &table{g, b}
}

// structure writes the keys of a struct. above are the structs it lies in: one
// that holds itself is not described again.
func (t *table) structure(prefix string, typ reflect.Type, above []reflect.Type) {
	above = append(above, typ)
	for _, k := range config.Keys(typ) {
		t.row(prefix+k.Name, k)
		if inner := element(k.Type); isSettings(inner) && !slices.Contains(above, inner) {
			t.structure(prefix+k.Name+step(k.Type), inner, above)
		}
	}
}

// step is what stands in a path between a key and the keys below it.
func step(t reflect.Type) string {
	switch t.Kind() {
	case reflect.Slice:
		return "[]."
	case reflect.Map:
		return ".<name>."
	default:
		return "."
	}
}

func (t *table) row(name string, k config.Key) {
	if err := k.CheckExample(); err != nil {
		t.g.problems = append(t.g.problems, fmt.Errorf("%s.%s: the example is not valid: %w", k.Owner, k.GoName, err))
	}
	def := "–"
	switch {
	case k.Required:
		def = "required"
	case k.Default != "":
		def = "`" + k.Default + "`"
	case config.IsScalar(k.Type) && k.Type.Kind() == reflect.Bool:
		def = "`false`"
	case config.IsScalar(k.Type) && k.Type.Kind() != reflect.String && k.Type.Kind() != reflect.Struct:
		def = "`0`"
	}
	text := escape(t.g.comments.ofKey(k))
	if len(k.Enum) > 0 {
		text += " One of `" + strings.Join(k.Enum, "`, `") + "`."
	}
	if k.Example != "" {
		text += " Example: `" + k.Name + ": " + k.Example + "`."
	}
	text = strings.ReplaceAll(text, "\n\n", "<br>")
	text = strings.ReplaceAll(text, "|", `\|`)
	fmt.Fprintf(t.b, "| `%s` | %s | %s | %s |\n", name, typeName(k), strings.ReplaceAll(def, "|", `\|`), strings.TrimSpace(text))
}

// escape keeps the characters of plain text from meaning something in Markdown.
// What stands in backquotes is code already.
func escape(text string) string {
	marks := strings.NewReplacer("*", `\*`, "_", `\_`, "<", "&lt;")
	parts := strings.Split(text, "`")
	for i := 0; i < len(parts); i += 2 {
		if i == len(parts)-1 || len(parts)%2 == 1 {
			parts[i] = marks.Replace(parts[i])
		}
	}
	return strings.Join(parts, "`")
}

// element is the type inside pointers, lists and maps.
func element(t reflect.Type) reflect.Type {
	for !config.IsScalar(t) && (t.Kind() == reflect.Slice || t.Kind() == reflect.Map || t.Kind() == reflect.Pointer) {
		t = t.Elem()
	}
	return t
}

func typeName(k config.Key) string {
	if k.Path && k.Type.Kind() == reflect.String {
		return "path"
	}
	if element(k.Type) == reflect.TypeFor[config.Block]() {
		switch k.Type.Kind() {
		case reflect.Slice:
			return "list of " + k.Kind + "s"
		case reflect.Map:
			return k.Kind + "s by name"
		}
		return k.Kind
	}
	return nameOf(k.Type)
}

func nameOf(t reflect.Type) string {
	switch t {
	case reflect.TypeFor[time.Duration]():
		return "duration"
	case reflect.TypeFor[config.Size]():
		return "size"
	case reflect.TypeFor[config.Secret]():
		return "secret"
	}
	if config.IsScalar(t) {
		switch t.Kind() {
		case reflect.Bool:
			return "boolean"
		case reflect.String, reflect.Struct:
			return "text"
		}
		return "number"
	}
	switch t.Kind() {
	case reflect.Pointer:
		return nameOf(t.Elem())
	case reflect.Slice:
		return "list of " + plural(nameOf(t.Elem()))
	case reflect.Map:
		return plural(nameOf(t.Elem())) + " by name"
	case reflect.Interface:
		return "any value"
	default:
		return "keys"
	}
}

func plural(name string) string {
	if strings.HasPrefix(name, "list of") || strings.HasSuffix(name, "s") {
		return name
	}
	return strings.Replace(name, "any value", "value", 1) + "s"
}
