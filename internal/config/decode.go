package config

import (
	"fmt"
	"maps"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
)

// origin is where a value of the effective configuration came from.
type origin struct {
	at     place
	source string // "" as written, or the `${…}` it was written as
	hidden bool   // taken from a file or credential: never shown
}

// decoder fills Go values from nodes and collects what does not fit.
type decoder struct {
	catalog Catalog
	faults  Faults
	// origins has every path that the files set. at also has paths that hold
	// no value of their own, so that reports find a line.
	origins map[string]origin
	// faulted are paths with a fault: a Validate that stumbles over the same
	// value again is not heard.
	faulted map[string]bool
	// secrets are texts to keep out of what plugins report.
	secrets []string
}

func newDecoder(catalog Catalog) *decoder {
	return &decoder{catalog: catalog, origins: map[string]origin{}, faulted: map[string]bool{}}
}

func (d *decoder) fault(at place, path, format string, args ...any) {
	d.faulted[path] = true
	d.faults = append(d.faults, Fault{
		File: at.src.name, Line: at.line, Column: at.col,
		Path: path, Problem: fmt.Sprintf(format, args...),
	})
}

// join appends a key to a path.
func join(path, key string) string {
	if path == "" {
		return key
	}
	if strings.HasPrefix(key, "[") {
		return path + key
	}
	return path + "." + key
}

// value decodes n into v. f describes the field v belongs to; for elements of
// lists and maps it is the field of the list or map.
func (d *decoder) value(n *node, v reflect.Value, path string, f field) {
	t := v.Type()
	if _, set := d.origins[path]; !set {
		d.origins[path] = origin{at: n.at}
	}
	switch {
	case t == blockType:
		d.block(n, v, path, f)
	case t.Kind() == reflect.Pointer:
		v.Set(reflect.New(t.Elem()))
		if t.Elem().Kind() == reflect.Struct && !isScalar(t.Elem()) {
			defaults(v.Elem())
		}
		d.value(n, v.Elem(), path, f)
	case isScalar(t):
		d.scalar(n, v, path, f)
	case t.Kind() == reflect.Slice:
		d.slice(n, v, path, f)
	case t.Kind() == reflect.Map:
		d.mapping(n, v, path, f)
	case t.Kind() == reflect.Struct:
		if d.isKind(n, kindMapping, t, path) {
			d.structure(n, v, path)
		}
	case t.Kind() == reflect.Interface && t.NumMethod() == 0:
		if value := d.free(n, path); value != nil {
			v.Set(reflect.ValueOf(value))
		}
	default:
		panic(fmt.Sprintf("BUG: a configuration cannot hold a %s at %s", t, path))
	}
}

// isKind reports a fault unless n has the kind.
func (d *decoder) isKind(n *node, want kind, t reflect.Type, path string) bool {
	if n.kind == want {
		return true
	}
	hint := ""
	if n.kind == kindScalar && strings.Contains(n.text, ":") {
		hint = " (a colon needs a space after it)"
	}
	// What stands in the place of other things may be a secret: it is not shown.
	d.fault(n.at, path, "expects %s, not %s%s", expects(t), describe(n, true), hint)
	return false
}

// describe says what a node is, with the text of short scalars unless hidden.
func describe(n *node, hidden bool) string {
	switch n.kind {
	case kindNull:
		return "nothing"
	case kindSequence:
		return "a list"
	case kindMapping:
		return "a set of keys"
	}
	text := n.text
	if hidden || len(text) > 60 || strings.ContainsAny(text, "\n\r") {
		return "text"
	}
	return strconv.Quote(text)
}

// structure decodes a mapping into a struct whose defaults are set, and lets
// the struct check itself.
func (d *decoder) structure(n *node, v reflect.Value, path string) {
	fields := fieldsOf(v.Type())
	for _, p := range n.pairs {
		i := slices.IndexFunc(fields, func(f field) bool { return f.name == p.key })
		if i < 0 {
			d.unknownKey(p, path, names(fields))
			continue
		}
		f := fields[i]
		if p.value.kind == kindNull {
			continue // `key:` with nothing behind it keeps the default
		}
		d.value(p.value, v.FieldByIndex(f.index), join(path, f.name), f)
	}
	for _, f := range fields {
		if f.required {
			d.require(n, v.FieldByIndex(f.index), path, f)
		}
		if f.path {
			resolvePaths(v.FieldByIndex(f.index), d.dirOf(n, f.name))
		}
	}
	d.validate(n, v, path)
}

// require reports a required field that is not set, or set to nothing.
func (d *decoder) require(n *node, v reflect.Value, path string, f field) {
	at := join(path, f.name)
	value := n.get(f.name)
	if isAbsent(value) {
		d.fault(n.at, at, "is required%s", exampleOf(f))
		return
	}
	switch v.Kind() {
	case reflect.String, reflect.Slice, reflect.Map:
		if v.Len() == 0 && !d.isFaulted(at, path) {
			d.fault(value.at, at, "must not be empty%s", exampleOf(f))
		}
	}
}

func isAbsent(n *node) bool { return n == nil || n.kind == kindNull }

func exampleOf(f field) string {
	switch {
	case f.example != "":
		return fmt.Sprintf(": add, for example, `%s: %s`", f.name, f.example)
	case len(f.enum) > 0:
		return ": one of " + strings.Join(f.enum, ", ")
	}
	return ": add " + expects(f.typ)
}

// dirOf is the folder that a relative path in the field starts from.
func (d *decoder) dirOf(n *node, key string) string {
	if value := n.get(key); value != nil {
		return value.at.src.dir
	}
	return n.at.src.dir
}

// resolvePaths makes the paths in v relative to dir. "-" stands for standard
// input or output and stays.
func resolvePaths(v reflect.Value, dir string) {
	switch v.Kind() {
	case reflect.Slice:
		for i := range v.Len() {
			resolvePaths(v.Index(i), dir)
		}
	case reflect.String:
		if p := v.String(); p != "" && p != "-" && !filepath.IsAbs(p) {
			v.SetString(filepath.Join(dir, p))
		}
	}
}

func (d *decoder) unknownKey(p pair, path string, known []string) {
	hint := suggest(p.key, known)
	if hint == "" {
		hint = fmt.Sprintf(" (there are: %s)", strings.Join(known, ", "))
	}
	d.fault(p.at, join(path, p.key), "unknown key%s", hint)
}

// validator is what a struct has that checks more than tags can say.
type validator interface {
	Validate(report func(key, problem string))
}

func (d *decoder) validate(n *node, v reflect.Value, path string) {
	checked, ok := v.Addr().Interface().(validator)
	if !ok {
		return
	}
	checked.Validate(func(key, problem string) {
		at := path
		if key != "" {
			at = join(path, key)
		}
		if d.isFaulted(at, path) {
			return
		}
		d.fault(d.placeOf(at, n.at), at, "%s", d.scrub(problem))
	})
}

// isFaulted is true when at, something below it, or a path between it and root
// has a fault.
func (d *decoder) isFaulted(at, root string) bool {
	for p := at; len(p) > len(root); p = parent(p) {
		if d.faulted[p] {
			return true
		}
	}
	for p := range d.faulted {
		if strings.HasPrefix(p, at) && len(p) > len(at) && (p[len(at)] == '.' || p[len(at)] == '[') && at != root {
			return true
		}
	}
	return false
}

// parent drops the last key or index of a path.
func parent(path string) string {
	return path[:max(0, strings.LastIndexAny(path, ".["))]
}

// placeOf is the place of a path or of the nearest one above it that the file
// sets.
func (d *decoder) placeOf(path string, fallback place) place {
	for p := path; p != ""; p = parent(p) {
		if o, ok := d.origins[p]; ok {
			return o.at
		}
	}
	return fallback
}

// scrub takes secrets out of text that a plugin wrote.
func (d *decoder) scrub(text string) string {
	for _, s := range d.secrets {
		text = strings.ReplaceAll(text, s, mask)
	}
	return text
}

// keepOut makes scrub know a secret. Very short ones would tear holes into
// ordinary words and are no secrets.
func (d *decoder) keepOut(secret string) {
	if len(secret) >= 4 {
		d.secrets = append(d.secrets, secret)
	}
}

// substitute resolves the `${…}` of a scalar and records where it came from.
func (d *decoder) substitute(n *node, path string, secret bool) (substitution, bool) {
	s, problems := substitute(n, secret)
	for _, problem := range problems {
		d.fault(n.at, path, "%s", problem)
	}
	if s.done {
		d.origins[path] = origin{at: n.at, source: n.text, hidden: s.hidden}
	}
	if secret || s.hidden {
		d.keepOut(s.text)
	}
	return s, len(problems) == 0
}

func (d *decoder) scalar(n *node, v reflect.Value, path string, f field) {
	t := v.Type()
	if !d.isKind(n, kindScalar, t, path) {
		return
	}
	s, ok := d.substitute(n, path, t == secretType)
	if !ok {
		return
	}
	isText := t.Kind() == reflect.String
	if !isText && !n.plain && !s.done && (t.Kind() == reflect.Bool || isNumber(t)) {
		d.fault(n.at, path, "expects %s, not text in quotes: remove the quotes", expects(t))
		return
	}
	if err := setText(v, s.text); err != nil {
		got := describe(n, t == secretType)
		if s.done {
			got = fmt.Sprintf("what %s stands for", n.text)
		}
		d.fault(n.at, path, "%v (got %s%s)", err, got, boolHint(t, s.text))
		return
	}
	if len(f.enum) > 0 && isText && !slices.Contains(f.enum, s.text) {
		got := describe(n, false)
		hint := suggest(s.text, f.enum)
		if s.done {
			got, hint = fmt.Sprintf("what %s stands for", n.text), ""
		}
		d.fault(n.at, path, "must be one of %s, not %s%s", strings.Join(f.enum, ", "), got, hint)
	}
}

// isNumber is true for plain numbers; sizes and durations are texts with units.
func isNumber(t reflect.Type) bool {
	return t != durationType && !isScalarText(t) && t.Kind() >= reflect.Int && t.Kind() <= reflect.Float64
}

func boolHint(t reflect.Type, text string) string {
	if t.Kind() != reflect.Bool {
		return ""
	}
	switch strings.ToLower(text) {
	case "yes", "on", "y":
		return "; write true"
	case "no", "off", "n":
		return "; write false"
	}
	return ""
}

func (d *decoder) slice(n *node, v reflect.Value, path string, f field) {
	if n.kind == kindScalar && isScalar(v.Type().Elem()) && v.Type().Elem() != secretType {
		d.fault(n.at, path, "expects a list: write [%s]", strings.Trim(describe(n, false), " "))
		return
	}
	if !d.isKind(n, kindSequence, v.Type(), path) {
		return
	}
	list := reflect.MakeSlice(v.Type(), len(n.items), len(n.items))
	for i, item := range n.items {
		at := path + "[" + strconv.Itoa(i) + "]"
		if item.kind == kindNull {
			d.fault(item.at, at, "is empty: remove it, or write %s", expects(v.Type().Elem()))
			continue
		}
		d.element(item, list.Index(i), at, f)
	}
	v.Set(list)
}

// element decodes into an element of a list or map, which has defaults of its
// own.
func (d *decoder) element(n *node, v reflect.Value, path string, f field) {
	if v.Kind() == reflect.Struct && !isScalar(v.Type()) && v.Type() != blockType {
		defaults(v)
	}
	d.value(n, v, path, f)
}

func (d *decoder) mapping(n *node, v reflect.Value, path string, f field) {
	if !d.isKind(n, kindMapping, v.Type(), path) {
		return
	}
	m := reflect.MakeMapWithSize(v.Type(), len(n.pairs))
	for _, p := range n.pairs {
		at := join(path, p.key)
		if p.value.kind == kindNull && v.Type().Elem().Kind() != reflect.Interface {
			d.fault(p.at, at, "is empty: remove it, or write %s", expects(v.Type().Elem()))
			continue
		}
		e := reflect.New(v.Type().Elem()).Elem()
		d.element(p.value, e, at, f)
		m.SetMapIndex(reflect.ValueOf(p.key).Convert(v.Type().Key()), e)
	}
	v.Set(m)
}

// block decodes a plugin: `type` picks the struct that the other keys fill.
func (d *decoder) block(n *node, v reflect.Value, path string, f field) {
	if !d.isKind(n, kindMapping, blockType, path) {
		return
	}
	plugins := d.catalog[f.kind]
	known := slices.Sorted(maps.Keys(plugins))
	list := strings.Join(known, ", ")
	typeNode := n.get("type")
	if isAbsent(typeNode) {
		d.fault(n.at, join(path, "type"), "is required: the %s, one of %s", f.kind, list)
		return
	}
	var name string
	faults := len(d.faults)
	d.value(typeNode, reflect.ValueOf(&name).Elem(), join(path, "type"), field{})
	if len(d.faults) > faults {
		return
	}
	create, ok := plugins[name]
	if !ok {
		d.fault(typeNode.at, join(path, "type"), "there is no %s %q%s; there are: %s", f.kind, name, suggest(name, known), list)
		return
	}
	settings := reflect.ValueOf(create())
	if settings.Kind() != reflect.Pointer || settings.Elem().Kind() != reflect.Struct {
		panic(fmt.Sprintf("BUG: the catalog's %s %s is not a pointer to a struct", f.kind, name))
	}
	defaults(settings.Elem())
	d.structure(without(n, "type"), settings.Elem(), path)
	v.Set(reflect.ValueOf(Block{Type: name, Config: settings.Interface()}))
}

// without is n less one key.
func without(n *node, key string) *node {
	c := *n
	c.pairs = slices.DeleteFunc(slices.Clone(n.pairs), func(p pair) bool { return p.key == key })
	return &c
}

// free decodes what has no schema, for example the settings of a module:
// string, bool, int64, float64, []any or map[string]any.
func (d *decoder) free(n *node, path string) any {
	switch n.kind {
	case kindSequence:
		list := make([]any, len(n.items))
		for i, item := range n.items {
			list[i] = d.free(item, path+"["+strconv.Itoa(i)+"]")
		}
		return list
	case kindMapping:
		m := make(map[string]any, len(n.pairs))
		for _, p := range n.pairs {
			m[p.key] = d.free(p.value, join(path, p.key))
		}
		return m
	case kindScalar:
		s, _ := d.substitute(n, path, false)
		if !n.plain && !s.done {
			return s.text
		}
		return freeScalar(s.text)
	}
	return nil
}

func freeScalar(text string) any {
	if text == "true" || text == "false" {
		return text == "true"
	}
	if i, err := strconv.ParseInt(text, 10, 64); err == nil {
		return i
	}
	if isDecimal(strings.TrimPrefix(text, "-")) {
		if f, err := strconv.ParseFloat(text, 64); err == nil {
			return f
		}
	}
	return text
}
