// Package regex takes a field apart with a regular expression whose named
// groups become fields.
//
// It promises the matches of Go's regexp package in time linear in the length
// of the line, and that every record either has the fields of the groups or
// is marked as failed with its line kept. It starts no goroutines. A Processor
// belongs to one lane. Values it makes are parts of the source value, so they
// live as long as the batch; it allocates nothing for a record, except one
// small slice for lines that the standard engine must match (see
// pattern.Regexp.Explain).
package regex

import (
	"cmp"
	"context"
	"fmt"
	"strings"

	"github.com/wasmtail/wasmtail/agent/pipeline"
	"github.com/wasmtail/wasmtail/internal/fieldlist"
	"github.com/wasmtail/wasmtail/internal/pattern"
	"github.com/wasmtail/wasmtail/internal/record"
)

// Config are the settings of the regex processor.
type Config struct {
	// Pattern is a regular expression in RE2 syntax, such as
	// `^(?P<ip>\S+) \[(?P<time>[^\]]+)\] (?P<message>.*)`. Each named group
	// becomes a field; groups without a name are ignored. The pattern may match
	// anywhere in the line: begin it with ^ and end it with $ to match all of it.
	// A group that took no part in the match, such as one in an optional part,
	// makes no field; one that matched nothing makes an empty field. A record
	// that does not match is marked as failed, with the reason
	// "regex: no match" and its line in __raw_log__. Fastest are patterns that
	// begin with ^ and name what ends a field, such as [^"]* or \S+, instead of .*
	Pattern string `yaml:"pattern" required:"true"`
	// Field is the name of the field to take apart. The default is the field
	// that holds the whole line. A record without the field is marked as failed.
	Field string `yaml:"field" default:"content"`
	// KeepSource keeps the field that was taken apart. Off by default, since its
	// parts say the same and the records would be twice as large.
	KeepSource bool `yaml:"keep_source"`
	// Reason is what __error__ says of a record that does not match, in place of
	// "regex: no match": what kind of line was expected, for example.
	Reason string `yaml:"reason" example:"'shop: not a line of the shop'"`
}

// Validate reports what is wrong with the settings.
func (c *Config) Validate(report func(key, problem string)) {
	if c.Field == "" {
		report("field", "is empty; leave it out for the whole line (content)")
	}
	if c.Pattern == "" {
		report("pattern", `is empty; write a regular expression with named groups, such as ^(?P<level>\S+) (?P<message>.*)`)
		return
	}
	re, err := pattern.Compile(c.Pattern)
	if err != nil {
		report("pattern", err.Error())
		return
	}
	for _, problem := range c.checkGroups(re) {
		report("pattern", problem)
	}
}

func (c *Config) checkGroups(re *pattern.Regexp) (problems []string) {
	seen := map[string]bool{}
	for _, name := range re.SubexpNames() {
		switch {
		case name == "":
			continue
		case seen[name]:
			problems = append(problems, fmt.Sprintf("has two groups named %s; give each its own name", name))
		case name == record.RawLog || name == record.Error || name == record.Marks:
			problems = append(problems, fmt.Sprintf("has a group named %s, which is reserved; choose another name", name))
		case name == c.Field && c.KeepSource:
			problems = append(problems, fmt.Sprintf("has a group named %s like the field that keep_source keeps; rename the group", name))
		}
		seen[name] = true
	}
	if len(seen) == 0 {
		problems = append(problems, "has no named group, so it would make no fields; write (?P<name>...) around each part to keep")
	}
	return problems
}

// group is a named group: its field name, and where its positions are.
type group struct {
	name []byte
	at   int
}

// Processor takes records apart. It belongs to one lane.
type Processor struct {
	re     *pattern.Regexp
	source fieldlist.Source
	groups []group
	reason []byte // why a record failed that does not match
	found  []int  // positions of the match at hand
}

var noMatch = []byte("regex: no match")

// New returns a processor for one lane. It refuses what Validate reports.
func New(c Config) (pipeline.Processor, error) {
	re, err := pattern.Compile(c.Pattern)
	if err != nil {
		return nil, fmt.Errorf("cannot set up the regex processor: %w", err)
	}
	if problems := c.checkGroups(re); len(problems) > 0 {
		return nil, fmt.Errorf("cannot set up the regex processor: the pattern %s", strings.Join(problems, "; it "))
	}
	source := fieldlist.SourceFor("regex", cmp.Or(c.Field, record.Content), c.KeepSource)
	p := &Processor{re: re, source: source, reason: noMatch, found: make([]int, 0, 2*(re.NumSubexp()+1))}
	if c.Reason != "" {
		p.reason = []byte(c.Reason)
	}
	for i, name := range re.SubexpNames() {
		if name != "" {
			p.groups = append(p.groups, group{name: []byte(name), at: 2 * i})
		}
	}
	return p, nil
}

// Process takes the records of b apart in place.
func (p *Processor) Process(_ context.Context, b *record.Batch) error {
	for i := range b.Records {
		p.split(b, &b.Records[i])
	}
	return nil
}

func (p *Processor) split(b *record.Batch, r *record.Record) {
	value, source, ok := p.source.Find(b, r)
	if !ok {
		return
	}
	drop := p.source.Drop(source)
	found := p.re.FindSubmatchIndex(p.found, value)
	if found == nil {
		b.Fail(r, drop, p.reason)
		return
	}
	fields := b.AllocFields(len(r.Fields) + len(p.groups))
	for i := range r.Fields {
		if i != drop && (i == source || !p.replaces(r.Fields[i].Name, found)) {
			fields = append(fields, r.Fields[i])
		}
	}
	for i := range p.groups {
		g := &p.groups[i]
		if start, end := found[g.at], found[g.at+1]; start >= 0 {
			fields = append(fields, record.Field{Name: g.name, Value: value[start:end:end]})
		}
	}
	r.Fields = fields
}

// replaces reports whether a group of the match makes a field of that name:
// the new value then stands for the old one.
func (p *Processor) replaces(name []byte, found []int) bool {
	for i := range p.groups {
		g := &p.groups[i]
		if string(g.name) == string(name) {
			return found[g.at] >= 0
		}
	}
	return false
}
