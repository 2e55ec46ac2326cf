package config

import (
	"encoding"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
)

// field is a struct field as the configuration sees it.
type field struct {
	name     string
	index    []int
	typ      reflect.Type
	def      string
	hasDef   bool
	required bool
	enum     []string
	example  string
	kind     string // of the plugins in it
	path     bool   // text is a path, relative to the file's folder
	goName   string
	owner    reflect.Type // the struct that declares it
}

// fieldsOf lists the keys of a struct type, fields of embedded structs
// included. It panics on a tag that contradicts itself: that is our bug.
func fieldsOf(t reflect.Type) []field {
	var list []field
	for i := range t.NumField() {
		f := t.Field(i)
		name, option, _ := strings.Cut(f.Tag.Get("yaml"), ",")
		if name == "-" || !f.IsExported() && !f.Anonymous {
			continue
		}
		if f.Type.Kind() == reflect.Struct && (option == "inline" || f.Anonymous && name == "") {
			for _, in := range fieldsOf(f.Type) {
				in.index = append([]int{i}, in.index...)
				list = append(list, in)
			}
			continue
		}
		if !f.IsExported() {
			continue
		}
		if name == "" {
			name = strings.ToLower(f.Name)
		}
		fd := field{
			name:     name,
			index:    []int{i},
			typ:      f.Type,
			required: f.Tag.Get("required") == "true",
			example:  f.Tag.Get("example"),
			kind:     f.Tag.Get("kind"),
			path:     f.Tag.Get("path") == "true",
			goName:   f.Name,
			owner:    t,
		}
		fd.def, fd.hasDef = f.Tag.Lookup("default")
		if enum := f.Tag.Get("enum"); enum != "" {
			fd.enum = strings.Split(enum, ",")
		}
		list = append(list, fd)
	}
	return list
}

// Key is a key of a settings struct, for those who write documentation from the
// structs.
type Key struct {
	// Name is the key in YAML.
	Name string
	Type reflect.Type
	// Owner and GoName are the struct and the field that declare the key.
	Owner  reflect.Type
	GoName string
	// Default is the text of the default; "" when there is none.
	Default  string
	Required bool
	// Enum are the only texts allowed; nil when all are.
	Enum    []string
	Example string
	// Kind is the kind of the plugins in a Block or in a list or map of them.
	Kind string
	// Path is true for paths that start at the folder of the file.
	Path bool
}

// Keys lists the keys of a settings struct in the order of its fields, those of
// embedded structs included.
func Keys(t reflect.Type) []Key {
	fields := fieldsOf(t)
	keys := make([]Key, len(fields))
	for i, f := range fields {
		keys[i] = Key{
			Name: f.name, Type: f.typ, Owner: f.owner, GoName: f.goName, Default: f.def,
			Required: f.required, Enum: f.enum, Example: f.example, Kind: f.kind, Path: f.path,
		}
	}
	return keys
}

// CheckExample is an error when the example of a key, or a text of its enum, is
// nothing that the key could be set to. Examples with substitutions are not
// tried.
func (k *Key) CheckExample() error {
	texts := slices.Clone(k.Enum)
	if k.Example != "" && !strings.Contains(k.Example, "${") && k.Kind == "" {
		texts = append(texts, k.Example)
	}
	for _, text := range texts {
		n, faults := parseTree(&source{name: k.GoName}, []byte(k.Name+": "+text+"\n"))
		if len(faults) > 0 {
			return faults
		}
		d := newDecoder(nil)
		d.value(n.get(k.Name), reflect.New(k.Type).Elem(), k.Name, field{enum: k.Enum})
		if len(d.faults) > 0 {
			return d.faults
		}
	}
	return nil
}

// IsScalar is true for types that a single value fills: text, numbers, sizes,
// durations, secrets.
func IsScalar(t reflect.Type) bool { return isScalar(t) }

func names(fields []field) []string {
	list := make([]string, len(fields))
	for i := range fields {
		list[i] = fields[i].name
	}
	return list
}

// Defaults fills the zero fields of the struct that ptr points to from their
// `default` tags, and goes on into structs below it. Pointers that are nil, and
// the elements of lists and maps, are left alone. A tag that does not fit its
// field is a programming mistake and panics.
func Defaults(ptr any) {
	v := reflect.ValueOf(ptr)
	if v.Kind() != reflect.Pointer || v.Elem().Kind() != reflect.Struct {
		panic(fmt.Sprintf("BUG: config.Defaults wants a pointer to a struct, not %T", ptr))
	}
	defaults(v.Elem())
}

func defaults(v reflect.Value) {
	for _, f := range fieldsOf(v.Type()) {
		fv := v.FieldByIndex(f.index)
		if f.hasDef && f.def != "" && fv.IsZero() {
			if err := setText(fv, f.def); err != nil {
				panic(fmt.Sprintf("BUG: %s.%s: default %q %v", v.Type(), f.name, f.def, err))
			}
		}
		switch {
		case fv.Kind() == reflect.Struct && !isScalar(fv.Type()):
			defaults(fv)
		case fv.Kind() == reflect.Pointer && !fv.IsNil() && fv.Elem().Kind() == reflect.Struct && !isScalar(fv.Type().Elem()):
			defaults(fv.Elem())
		}
	}
}

var (
	durationType        = reflect.TypeFor[time.Duration]()
	sizeType            = reflect.TypeFor[Size]()
	secretType          = reflect.TypeFor[Secret]()
	blockType           = reflect.TypeFor[Block]()
	textUnmarshalerType = reflect.TypeFor[encoding.TextUnmarshaler]()
)

// isScalar is true for types that one YAML scalar fills.
func isScalar(t reflect.Type) bool {
	if reflect.PointerTo(t).Implements(textUnmarshalerType) {
		return true
	}
	switch t.Kind() {
	case reflect.String, reflect.Bool, reflect.Float32, reflect.Float64,
		reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return true
	default:
		return false
	}
}

// setText sets v, of a scalar type or a list of one, from text. Lists are
// separated by commas.
func setText(v reflect.Value, text string) error {
	if v.Kind() == reflect.Slice && isScalar(v.Type().Elem()) {
		parts := strings.Split(text, ",")
		list := reflect.MakeSlice(v.Type(), len(parts), len(parts))
		for i, part := range parts {
			if err := setText(list.Index(i), part); err != nil {
				return err
			}
		}
		v.Set(list)
		return nil
	}
	if v.Kind() == reflect.Pointer {
		v.Set(reflect.New(v.Type().Elem()))
		return setText(v.Elem(), text)
	}
	if v.Type() == durationType {
		d, err := ParseDuration(text)
		if err != nil {
			return err
		}
		v.SetInt(int64(d))
		return nil
	}
	if u, ok := v.Addr().Interface().(encoding.TextUnmarshaler); ok {
		return u.UnmarshalText([]byte(text))
	}
	return setPrimitive(v, text)
}

func setPrimitive(v reflect.Value, text string) error {
	t := v.Type()
	switch t.Kind() {
	case reflect.String:
		v.SetString(text)
	case reflect.Bool:
		if text != "true" && text != "false" {
			return fmt.Errorf("expects %s", expects(t))
		}
		v.SetBool(text == "true")
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		n, err := strconv.ParseInt(text, 10, t.Bits())
		if err != nil {
			return numberError(err, t)
		}
		v.SetInt(n)
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		n, err := strconv.ParseUint(text, 10, t.Bits())
		if err != nil {
			return numberError(err, t)
		}
		v.SetUint(n)
	case reflect.Float32, reflect.Float64:
		if !isDecimal(strings.TrimPrefix(text, "-")) {
			return fmt.Errorf("expects %s", expects(t))
		}
		f, err := strconv.ParseFloat(text, t.Bits())
		if err != nil {
			return numberError(err, t)
		}
		v.SetFloat(f)
	default:
		panic(fmt.Sprintf("BUG: a configuration cannot hold a %s", t))
	}
	return nil
}

func numberError(err error, t reflect.Type) error {
	if strings.Contains(err.Error(), strconv.ErrRange.Error()) {
		return fmt.Errorf("is out of range for a number of %d bits", t.Bits())
	}
	return fmt.Errorf("expects %s", expects(t))
}

// expects describes the values of a type, with an example.
func expects(t reflect.Type) string {
	switch t {
	case durationType:
		return "a duration such as 500ms, 10s, 5m or 2d"
	case sizeType:
		return "a size such as 64MiB, 20MB or a number of bytes"
	case blockType:
		return "a set of keys with a `type`, such as {type: name}"
	}
	switch t.Kind() {
	case reflect.Pointer:
		return expects(t.Elem())
	case reflect.Bool:
		return "true or false"
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		if !isScalarText(t) {
			return "a whole number such as 4"
		}
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		if !isScalarText(t) {
			return "a whole number, not negative, such as 4"
		}
	case reflect.Float32, reflect.Float64:
		return "a number such as 0.5"
	case reflect.Slice:
		return "a list such as [a, b]"
	case reflect.Map, reflect.Struct:
		if !isScalar(t) {
			return "a set of keys such as {key: value}"
		}
	}
	return "text"
}

func isScalarText(t reflect.Type) bool {
	return reflect.PointerTo(t).Implements(textUnmarshalerType)
}
