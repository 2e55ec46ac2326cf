package config

import (
	"bytes"
	"crypto/sha256"
	"encoding"
	"encoding/hex"
	"fmt"
	"io"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/goccy/go-yaml"
)

// Dump writes the effective configuration as YAML that Load would read:
// defaults filled in, substitutions made, secrets masked. What came out of a
// `${file:…}` or `${cred:…}` is masked too, whatever key it stands at.
func (f *File) Dump(w io.Writer) error {
	v := view{origins: f.origins}
	out, err := yaml.MarshalWithOptions(v.value(reflect.ValueOf(f).Elem(), ""), yaml.IndentSequence(true))
	if err != nil {
		return fmt.Errorf("cannot write the configuration as YAML: %w", err)
	}
	_, err = w.Write(out)
	return err
}

// Explain writes what Dump writes, with a comment at each value that says where
// it came from: a line of a file, a substitution, or the default.
func (f *File) Explain(w io.Writer) error {
	var out bytes.Buffer
	v := view{origins: f.origins}
	comments := yaml.CommentMap{}
	v.visit = func(path string) { comments[yamlPath(path)] = []*yaml.Comment{yaml.LineComment(" " + f.Origin(path))} }
	text, err := yaml.MarshalWithOptions(v.value(reflect.ValueOf(f).Elem(), ""), yaml.IndentSequence(true), yaml.WithComment(comments))
	if err != nil {
		return fmt.Errorf("cannot write the configuration as YAML: %w", err)
	}
	out.Write(text)
	_, err = w.Write(out.Bytes())
	return err
}

// Origin says where the value at a path such as `pipelines.nginx.workers` came
// from: "agent.yaml:12", "agent.yaml:12 ${env:X}" or "default".
func (f *File) Origin(path string) string {
	o, ok := f.origins[path]
	if !ok {
		return "default"
	}
	text := fmt.Sprintf("%s:%d", o.at.src.name, o.at.line)
	if o.source != "" && !strings.ContainsAny(o.source, "\n\r") {
		text += " " + o.source
	}
	return text
}

// yamlPath turns a path into the library's notation.
func yamlPath(path string) string {
	var b strings.Builder
	b.WriteString("$")
	for i, key := range splitPath(path) {
		_ = i
		if strings.HasPrefix(key, "[") {
			b.WriteString(key)
			continue
		}
		b.WriteString("." + key)
	}
	return b.String()
}

// splitPath cuts `a.b[0].c` into a, b, [0] and c.
func splitPath(path string) []string {
	return strings.FieldsFunc(strings.ReplaceAll(path, "[", ".["), func(r rune) bool { return r == '.' })
}

// Hash identifies what a pipeline does: two pipelines with the same hash need
// no restart between them. It covers the settings after defaults and
// substitutions, secrets included, and the names of the outputs but not what
// the outputs are: see Block.Hash.
func (p *Pipeline) Hash() string { return hash(reflect.ValueOf(p).Elem()) }

// Hash identifies a plugin with its settings, secrets included.
func (b *Block) Hash() string { return hash(reflect.ValueOf(b).Elem()) }

func hash(v reflect.Value) string {
	sum := sha256.New()
	// The verb %#v writes keys and values in order and quotes texts, so that
	// different settings cannot write the same bytes.
	fmt.Fprintf(sum, "%#v", view{reveal: true}.value(v, ""))
	return hex.EncodeToString(sum.Sum(nil)[:16])
}

// view turns configuration structs into what a YAML encoder writes.
type view struct {
	reveal  bool // write secrets; for hashes only
	origins map[string]origin
	visit   func(path string) // called for each scalar
}

func (w view) value(v reflect.Value, path string) any {
	t := v.Type()
	switch {
	case t == blockType:
		return w.block(v.Interface().(Block), path)
	case isScalar(t):
		if w.visit != nil {
			w.visit(path)
		}
		return w.scalar(v, path)
	}
	switch t.Kind() {
	case reflect.Pointer, reflect.Interface:
		if v.IsNil() {
			return nil
		}
		return w.value(v.Elem(), path)
	case reflect.Struct:
		return w.structure(v, path, nil)
	case reflect.Slice:
		list := make([]any, v.Len())
		for i := range list {
			list[i] = w.value(v.Index(i), path+"["+strconv.Itoa(i)+"]")
		}
		return list
	case reflect.Map:
		m := yaml.MapSlice{}
		keys := slices.SortedFunc(maps.Keys(mapKeys(v)), strings.Compare)
		for _, key := range keys {
			m = append(m, yaml.MapItem{Key: key, Value: w.value(mapKeys(v)[key], join(path, key))})
		}
		return m
	default:
		panic(fmt.Sprintf("BUG: a configuration cannot hold a %s at %s", t, path))
	}
}

func mapKeys(v reflect.Value) map[string]reflect.Value {
	m := make(map[string]reflect.Value, v.Len())
	for it := v.MapRange(); it.Next(); {
		m[it.Key().String()] = it.Value()
	}
	return m
}

func (w view) structure(v reflect.Value, path string, m yaml.MapSlice) yaml.MapSlice {
	for _, f := range fieldsOf(v.Type()) {
		fv := v.FieldByIndex(f.index)
		if fv.Kind() == reflect.Pointer && fv.IsNil() || isEmptyList(fv) {
			continue
		}
		m = append(m, yaml.MapItem{Key: f.name, Value: w.value(fv, join(path, f.name))})
	}
	return m
}

func isEmptyList(v reflect.Value) bool {
	return (v.Kind() == reflect.Slice || v.Kind() == reflect.Map) && v.IsNil()
}

func (w view) block(b Block, path string) any {
	if b.Config == nil {
		return nil
	}
	if w.visit != nil {
		w.visit(join(path, "type"))
	}
	return w.structure(reflect.ValueOf(b.Config).Elem(), path, yaml.MapSlice{{Key: "type", Value: b.Type}})
}

func (w view) scalar(v reflect.Value, path string) any {
	if w.origins[path].hidden {
		return mask
	}
	switch x := v.Interface().(type) {
	case Secret:
		if w.reveal {
			return x.Reveal()
		}
		return x.String()
	case time.Duration:
		return formatDuration(x)
	case encoding.TextMarshaler:
		if text, err := x.MarshalText(); err == nil {
			return string(text)
		}
	}
	switch v.Kind() {
	case reflect.String:
		return v.String()
	case reflect.Bool:
		return v.Bool()
	case reflect.Float32, reflect.Float64:
		return v.Float()
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return v.Uint()
	default:
		return v.Int()
	}
}
