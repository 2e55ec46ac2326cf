// Package fieldedit masks, renames, removes and adds fields.
//
// It promises a result that does not depend on the order of a map, and that a
// masked text also goes out of the copies of the line that a record carries
// (see Config.Mask). It acts on records that could not be parsed as on all
// others. It starts no goroutines. A Processor belongs to one lane. New values
// are arena bytes of the batch: bytes that a record came with are never
// overwritten. Nothing is allocated for a record, except by patterns with ^, \b
// or \B in masks, for the records they match.
package fieldedit

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/wasmtail/wasmtail/agent/pipeline"
	"github.com/wasmtail/wasmtail/internal/config"
	"github.com/wasmtail/wasmtail/internal/record"
)

// Config are the settings of the fields processor. The edits are made in the
// order in which they stand here, whatever their order in the file, and each
// sees what the ones before have made: mask, map, rename, keep, remove, add.
//
// Names that begin with two underscores are reserved: they cannot be made by
// rename or add, and neither keep nor a name with * removes such a field; only
// remove with its exact name does.
type Config struct {
	// Mask replaces secrets in values. All rules are applied, in their order.
	// What a rule has replaced in a field is also replaced, wherever it occurs,
	// in the original line that a later processor keeps as __raw_log__ when it
	// cannot parse the record, and in the fields content and __raw_log__. If a
	// secret is not found in the original line, because it was written there
	// with escapes for example, the whole line is replaced by "(line withheld)".
	// In a record that an earlier processor could not parse, and that lacks the
	// field for that reason, the pattern is searched in the whole line; a rule
	// without a pattern cannot be. So mask the line itself, with field: content,
	// before any processor takes it apart, if the pattern can find the secret
	// there.
	Mask []Mask `yaml:"mask"`
	// Map replaces whole values by others, such as 30 by info. Values that are not
	// listed stay as they are.
	Map []Mapping `yaml:"map"`
	// Rename gives fields new names: the old name, a colon, the new one. All
	// happen at once, so that two fields can swap names. A field that had the new
	// name before and is not renamed itself is replaced.
	Rename map[string]string `yaml:"rename"`
	// Keep are the names of the fields to keep; all others are removed. A *
	// stands for any characters. Empty, the default, keeps all.
	Keep []string `yaml:"keep"`
	// Remove are the names of fields to remove. A * stands for any characters.
	Remove []string `yaml:"remove"`
	// Add are fields with a fixed value, added to each record that has no field
	// of that name, in the order of their names. To replace a value, remove the
	// field as well.
	Add map[string]string `yaml:"add"`
}

// Mapping replaces the values of one field.
type Mapping struct {
	// Field is the name of the field.
	Field string `yaml:"field" required:"true" example:"level"`
	// Values are old values, each with a colon and the new one behind it. Write
	// numbers in quotes.
	Values map[string]string `yaml:"values" required:"true" example:"{'30': info}"`
}

// Validate reports what is wrong with the settings.
func (c *Config) Validate(report func(key, problem string)) {
	if len(c.Mask)+len(c.Map)+len(c.Rename)+len(c.Keep)+len(c.Remove)+len(c.Add) == 0 {
		report("", "makes no edit; add mask, map, rename, keep, remove or add")
	}
	for i := range c.Mask {
		c.Mask[i].check(fmt.Sprintf("mask[%d]", i), report)
	}
	for i, m := range c.Map {
		if m.Field == "" {
			report(fmt.Sprintf("map[%d].field", i), "is empty; name the field whose values to replace")
		}
		if len(m.Values) == 0 {
			report(fmt.Sprintf("map[%d].values", i), "is empty; write old values with their new ones")
		}
	}
	from := map[string]string{}
	for _, old := range slices.Sorted(maps.Keys(c.Rename)) {
		name, at := c.Rename[old], "rename."+old
		switch other := from[name]; {
		case old == "":
			report("rename", "has an empty name")
		case name == "":
			report(at, "has no new name; to remove the field, name it in remove")
		case reserved(name):
			report(at, fmt.Sprintf("%q begins with two underscores, which is reserved; choose another name", name))
		case other != "":
			report(at, fmt.Sprintf("%q is already the new name of %q; two fields cannot share it", name, other))
		}
		from[name] = old
	}
	checkNames("keep", c.Keep, report)
	checkNames("remove", c.Remove, report)
	for _, name := range slices.Sorted(maps.Keys(c.Add)) {
		switch {
		case name == "":
			report("add", "has an empty name")
		case reserved(name):
			report("add."+name, "begins with two underscores, which is reserved; choose another name")
		}
	}
}

func checkNames(key string, names []string, report func(key, problem string)) {
	for i, name := range names {
		if name == "" {
			report(fmt.Sprintf("%s[%d]", key, i), "is empty; write the name of a field")
		}
	}
}

func reserved[T string | []byte](name T) bool {
	return len(name) >= 2 && name[0] == '_' && name[1] == '_'
}

// names is a set of names, some of them with *.
type names struct {
	exact map[string]struct{}
	globs []string
}

func newNames(list []string) names {
	n := names{exact: map[string]struct{}{}}
	for _, name := range list {
		if strings.Contains(name, "*") {
			n.globs = append(n.globs, name)
		} else {
			n.exact[name] = struct{}{}
		}
	}
	return n
}

func (n *names) empty() bool { return len(n.exact)+len(n.globs) == 0 }

func (n *names) has(name []byte) bool {
	if _, ok := n.exact[string(name)]; ok {
		return true
	}
	if reserved(name) {
		return false
	}
	for _, g := range n.globs {
		if glob(g, name) {
			return true
		}
	}
	return false
}

// glob reports whether name matches g, in which * stands for any bytes. On a
// mismatch it goes back to the last * only, which is enough: time is at most
// the product of the lengths.
func glob(g string, name []byte) bool {
	at, star, mark := 0, -1, 0
	for i := 0; i < len(name); {
		switch {
		case at < len(g) && g[at] == '*':
			star, mark = at, i
			at++
		case at < len(g) && g[at] == name[i]:
			at++
			i++
		case star >= 0:
			mark++
			at, i = star+1, mark
		default:
			return false
		}
	}
	return strings.Trim(g[at:], "*") == ""
}

// Processor edits records. It belongs to one lane.
type Processor struct {
	masks  []mask
	maps   []mapping
	rename map[string][]byte
	keep   names
	remove names
	add    []record.Field

	fates []uint8 // of the fields of the record at hand
	work  work
}

// mapping has the new values of one field.
type mapping struct {
	field  string
	values map[string][]byte
}

// New returns a processor for one lane. It refuses what Validate reports.
func New(c Config) (pipeline.Processor, error) {
	if err := config.FirstFault(c.Validate); err != nil {
		return nil, fmt.Errorf("cannot set up the fields processor: %w", err)
	}
	p := &Processor{rename: map[string][]byte{}, keep: newNames(c.Keep), remove: newNames(c.Remove)}
	for _, m := range c.Mask {
		compiled, err := m.compile()
		if err != nil {
			return nil, fmt.Errorf("cannot set up the fields processor: %w", err)
		}
		p.masks = append(p.masks, compiled)
	}
	for _, m := range c.Map {
		values := make(map[string][]byte, len(m.Values))
		for old, value := range m.Values {
			values[old] = []byte(value)
		}
		p.maps = append(p.maps, mapping{m.Field, values})
	}
	for old, name := range c.Rename {
		p.rename[old] = []byte(name)
	}
	for _, name := range slices.Sorted(maps.Keys(c.Add)) {
		p.add = append(p.add, record.Field{Name: []byte(name), Value: []byte(c.Add[name])})
	}
	return p, nil
}

// Process edits each record.
func (p *Processor) Process(_ context.Context, b *record.Batch) error {
	for i := range b.Records {
		r := &b.Records[i]
		if len(p.masks) > 0 {
			p.maskRecord(b, r)
		}
		for n := range p.maps {
			p.maps[n].apply(r)
		}
		if len(p.rename) > 0 {
			p.renameFields(r)
		}
		p.removeFields(r)
		p.addFields(b, r)
	}
	p.work.drop()
	return nil
}

// apply replaces values, and leaves the old ones alone: others may point to them.
func (m *mapping) apply(r *record.Record) {
	for i := range r.Fields {
		if f := &r.Fields[i]; string(f.Name) == m.field {
			if value, ok := m.values[string(f.Value)]; ok {
				f.Value = value
			}
		}
	}
}

// What became of a field in renameFields.
const (
	fieldSame uint8 = iota
	fieldRenamed
	fieldTaken // another one has its name now
)

// renameFields changes names in place, and removes fields whose name another
// one has taken.
func (p *Processor) renameFields(r *record.Record) {
	fates := append(p.fates[:0], make([]uint8, len(r.Fields))...)
	p.fates = fates
	any := false
	for i := range r.Fields {
		if name, ok := p.rename[string(r.Fields[i].Name)]; ok {
			r.Fields[i].Name, fates[i], any = name, fieldRenamed, true
		}
	}
	if !any {
		return
	}
	for i := range r.Fields {
		for n := range r.Fields {
			if fates[i] == fieldSame && fates[n] == fieldRenamed && string(r.Fields[i].Name) == string(r.Fields[n].Name) {
				fates[i] = fieldTaken
			}
		}
	}
	kept := r.Fields[:0]
	for i, f := range r.Fields {
		if fates[i] != fieldTaken {
			kept = append(kept, f)
		}
	}
	clear(r.Fields[len(kept):])
	r.Fields = kept
}

func (p *Processor) removeFields(r *record.Record) {
	if p.keep.empty() && p.remove.empty() {
		return
	}
	kept := r.Fields[:0]
	for _, f := range r.Fields {
		wanted := p.keep.empty() || reserved(f.Name) || p.keep.has(f.Name)
		if wanted && !p.remove.has(f.Name) {
			kept = append(kept, f)
		}
	}
	clear(r.Fields[len(kept):])
	r.Fields = kept
}

func (p *Processor) addFields(b *record.Batch, r *record.Record) {
	if len(p.add) == 0 {
		return
	}
	present := len(r.Fields)
	fields := append(b.AllocFields(present+len(p.add)), r.Fields...)
	for _, f := range p.add {
		if !has(r.Fields, f.Name) {
			fields = append(fields, f)
		}
	}
	if len(fields) > present {
		r.Fields = fields
	}
}

func has(fields []record.Field, name []byte) bool {
	for i := range fields {
		if string(fields[i].Name) == string(name) {
			return true
		}
	}
	return false
}
