// Package jsonfields turns the members of a JSON object into fields.
//
// It promises to accept exactly the texts that RFC 8259 allows (nested up to
// 128 levels), to keep the order of the members, and that a record either has
// the fields of its object or is marked as failed with its line kept. It does
// not interpret numbers: they stay as written. It starts no goroutines. A
// Processor belongs to one lane. Values are parts of the source text wherever
// that has no escapes, and arena bytes of the batch elsewhere; nothing is
// allocated for a record.
package jsonfields

import (
	"context"
	"fmt"

	"github.com/wasmtail/wasmtail/agent/pipeline"
	"github.com/wasmtail/wasmtail/internal/config"
	"github.com/wasmtail/wasmtail/internal/fieldlist"
	"github.com/wasmtail/wasmtail/internal/jsonscan"
	"github.com/wasmtail/wasmtail/internal/record"
)

// Config are the settings of the json processor.
type Config struct {
	// Field is the name of the field to take apart. The default is the field
	// that holds the whole line. A record without the field, or whose field is
	// no JSON object, is marked as failed, with the reason in __error__ and its
	// line in __raw_log__.
	//
	// Strings become values without their quotes and escapes. Numbers, true,
	// false and null become the text they are written as: null becomes "null",
	// so that it can be told from a member that is not there.
	Field string `yaml:"field" default:"content"`
	// KeepSource keeps the field that was taken apart. Off by default, since its
	// members say the same and the records would be twice as large.
	KeepSource bool `yaml:"keep_source"`
	// Prefix is put before the name of each new field.
	Prefix string `yaml:"prefix"`
	// Flatten makes a field of each member of nested objects, named by the path
	// to it, such as request.method. Off by default: then a nested object is one
	// field with its JSON text as it stands in the line. Arrays always are.
	Flatten bool `yaml:"flatten"`
	// Separator stands between the names of a path when flatten is on.
	Separator string `yaml:"separator" default:"."`
	// MaxDepth is how many levels of nested objects flatten takes apart, 1 to
	// 100. An object further down is one field with its JSON text.
	MaxDepth int `yaml:"max_depth" default:"10"`
	// OnDuplicate says what happens when a name comes twice, in the object or
	// beside a field that the record already has: last puts the later value in
	// the place of the earlier one, as most JSON libraries do; first drops the
	// later one; keep keeps both.
	OnDuplicate string `yaml:"on_duplicate" default:"last" enum:"last,first,keep"`
}

// Validate reports what is wrong with the settings.
func (c *Config) Validate(report func(key, problem string)) {
	if c.Field == "" {
		report("field", "is empty; leave it out for the whole line (content)")
	}
	if c.MaxDepth < 1 || c.MaxDepth > 100 {
		report("max_depth", "must be between 1 and 100")
	}
	if _, ok := fieldlist.ParseDuplicates(c.OnDuplicate); !ok {
		report("on_duplicate", "must be last, first or keep")
	}
}

var (
	notObject  = []byte("json: not an object")
	tooShort   = []byte("json: ends too early")
	tooDeep    = []byte("json: nested too deeply")
	textBehind = []byte("json: text after the object")
	invalid    = []byte("json: invalid syntax")
)

// Processor takes records apart. It belongs to one lane.
type Processor struct {
	config Config
	prefix []byte
	list   fieldlist.List
	batch  *record.Batch // of the call under way
}

// New returns a processor for one lane. It refuses what Validate reports.
func New(c Config) (pipeline.Processor, error) {
	if err := config.FirstFault(c.Validate); err != nil {
		return nil, fmt.Errorf("cannot set up the json processor: %w", err)
	}
	p := &Processor{config: c, prefix: []byte(c.Prefix)}
	p.list.Source = fieldlist.SourceFor("json", c.Field, c.KeepSource)
	p.list.Duplicates, _ = fieldlist.ParseDuplicates(c.OnDuplicate)
	return p, nil
}

// Process takes apart each record that has not failed before.
func (p *Processor) Process(_ context.Context, b *record.Batch) error {
	p.batch = b
	for i := range b.Records {
		r := &b.Records[i]
		if text, ok := p.list.Open(b, r); ok {
			p.list.Close(b, r, p.parse(text))
		}
	}
	p.list.Drop()
	p.batch = nil
	return nil
}

// parse adds the members of the object in text, and returns why it could not.
func (p *Processor) parse(text []byte) []byte {
	at := jsonscan.Space(text, 0)
	if at == len(text) {
		return tooShort
	}
	if text[at] != '{' {
		return notObject
	}
	switch at = p.object(text, at, level{p.prefix, 1}); at {
	case jsonscan.BadEnd:
		return tooShort
	case jsonscan.BadDepth:
		return tooDeep
	case jsonscan.BadSyntax:
		return invalid
	}
	if jsonscan.Space(text, at) != len(text) {
		return textBehind
	}
	return nil
}

// level is where an object stands: what goes before the names of its members,
// and how deep it is, 1 for the outermost.
type level struct {
	prefix []byte
	depth  int
}

// object adds the members of the object at s[at].
func (p *Processor) object(s []byte, at int, l level) int {
	at = jsonscan.Space(s, at+1)
	if at < len(s) && s[at] == '}' {
		return at + 1
	}
	for {
		end, escaped, next := jsonscan.Key(s, at)
		if next < 0 {
			return next
		}
		name := s[at+1 : end]
		if escaped {
			name = p.unescape(name)
		}
		if len(l.prefix) > 0 {
			name = p.join(l.prefix, name)
		}
		if at = p.member(s, next, level{name, l.depth}); at < 0 {
			return at
		}
		more := false
		if at, more = jsonscan.Comma(s, at, '}'); !more {
			return at
		}
	}
}

// member adds the value at s[at]; l.prefix is its name.
func (p *Processor) member(s []byte, at int, l level) int {
	if at >= len(s) {
		return jsonscan.BadEnd
	}
	switch s[at] {
	case '"':
		end, escaped := jsonscan.String(s, at+1)
		if end < 0 {
			return end
		}
		value := s[at+1 : end]
		if escaped {
			value = p.unescape(value)
		}
		p.list.Add(l.prefix, value)
		return end + 1
	case '{':
		if p.config.Flatten && l.depth <= p.config.MaxDepth {
			inner := jsonscan.Space(s, at+1)
			if inner < len(s) && s[inner] != '}' { // {} would leave no trace
				return p.object(s, at, level{p.join(l.prefix, []byte(p.config.Separator)), l.depth + 1})
			}
		}
	}
	end := jsonscan.Value(s, at, l.depth)
	if end > 0 {
		p.list.Add(l.prefix, s[at:end])
	}
	return end
}

func (p *Processor) unescape(s []byte) []byte {
	dst := p.batch.Alloc(len(s))
	return dst[:jsonscan.Unescape(dst, s)]
}

// join puts a before b. Empty names are as good as any.
func (p *Processor) join(a, b []byte) []byte {
	dst := p.batch.Alloc(len(a) + len(b))
	copy(dst[copy(dst, a):], b)
	return dst
}
