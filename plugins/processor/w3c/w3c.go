// Package w3c takes apart W3C extended logs, whose "#Fields" lines name the columns
// of those after them (https://www.w3.org/TR/WD-logfile).
//
// It promises that a record has the columns that the last such line before it names,
// in any order and number, or is marked as failed with its line kept. That line is
// in the batch, or goes along with it as record.Batch.Header; none is carried over
// from one batch to the next. It starts no goroutines. A Processor belongs to one
// lane. Values are parts of the source value, but for those with doubled quotes and
// for the time, which are arena bytes of the batch; nothing is allocated for a
// record, and for a "#Fields" line only when it was not seen before.
package w3c

import (
	"bytes"
	"context"
	"fmt"
	"strconv"

	"github.com/wasmtail/wasmtail/agent/pipeline"
	"github.com/wasmtail/wasmtail/internal/config"
	"github.com/wasmtail/wasmtail/internal/fieldlist"
	"github.com/wasmtail/wasmtail/internal/record"
)

// Config are the settings of the w3c processor. It gives each column a field named
// as in the #Fields line, in lower case and with underscores for what is no letter or
// digit, such as cs_user_agent for cs(User-Agent). Columns date and time become one
// field, time; one time without a date becomes time_of_day. Lines that begin with #
// stay as they are: a filter can drop them. The input needs header: '^#Fields: ', or
// the pipeline format: iis, so that lines are read rightly after a restart.
type Config struct {
	// Field is the name of the field to take apart. The default is the field that
	// holds the whole line. A record without the field, or with another number of
	// values than there are columns, is marked as failed.
	Field string `yaml:"field" default:"content"`
	// KeepSource keeps the field that was taken apart.
	KeepSource bool `yaml:"keep_source"`
}

// Validate reports what is wrong with the settings.
func (c *Config) Validate(report func(key, problem string)) {
	if c.Field == "" {
		report("field", "is empty; leave it out for the whole line (content)")
	}
}

var (
	fieldsLine = []byte("#Fields:")
	noHeader   = []byte("w3c: no #Fields line before this one names its columns")
	miscount   = []byte("w3c: there are more or fewer values than columns in the #Fields line before")
	timeName   = []byte("time")
	clockName  = []byte("time_of_day")
	dateName   = []byte("date")
)

const (
	// columnsMax is how many columns are taken from a #Fields line; with more of
	// them, lines fail. IIS has about 30.
	columnsMax = 1000
	// layoutsMax is how many different #Fields lines are remembered in their parsed
	// form. A lane has files of few kinds.
	layoutsMax = 64
)

// layout is a parsed #Fields line. It is immutable.
type layout struct {
	names          [][]byte
	date, clock    int  // which columns are the date and the time, -1 for none
	tooManyColumns bool // columnsMax
}

// Processor takes records apart. It belongs to one lane.
type Processor struct {
	list    fieldlist.List
	layouts map[string]*layout
	values  [][]byte // of the record at hand
}

// New returns a processor for one lane. It refuses what Validate reports.
func New(c Config) (pipeline.Processor, error) {
	if err := config.FirstFault(c.Validate); err != nil {
		return nil, fmt.Errorf("cannot set up the w3c processor: %w", err)
	}
	return &Processor{
		layouts: map[string]*layout{},
		list:    fieldlist.List{Source: fieldlist.SourceFor("w3c", c.Field, c.KeepSource), Duplicates: fieldlist.Keep},
	}, nil
}

// Process takes apart each record that has not failed before.
func (p *Processor) Process(_ context.Context, b *record.Batch) error {
	var of *layout
	if bytes.HasPrefix(b.Header, fieldsLine) {
		of = p.layout(b.Header)
	}
	for i := range b.Records {
		r := &b.Records[i]
		text, _ := r.Field(p.list.Source.Name)
		if len(text) > 0 && text[0] == '#' && r.Marks&record.Failed == 0 {
			if bytes.HasPrefix(text, fieldsLine) {
				of = p.layout(text)
			}
			continue
		}
		if text, ok := p.list.Open(b, r); ok {
			p.list.Close(b, r, p.take(b, of, text))
		}
	}
	p.list.Drop()
	clear(p.values[:cap(p.values)])
	return nil
}

// layout returns the parsed form of a #Fields line.
func (p *Processor) layout(line []byte) *layout {
	if known := p.layouts[string(line)]; known != nil {
		return known
	}
	if len(p.layouts) >= layoutsMax {
		clear(p.layouts)
	}
	l := parseFields(line)
	p.layouts[string(line)] = l
	return l
}

// parseFields reads a line that begins with fieldsLine.
func parseFields(line []byte) *layout {
	l := &layout{date: -1, clock: -1}
	for i, word := range bytes.Fields(line[len(fieldsLine):]) {
		if i == columnsMax {
			l.tooManyColumns = true
			break
		}
		name := fieldName(word)
		switch {
		case len(name) == 0:
			name = strconv.AppendInt([]byte("column_"), int64(i+1), 10)
		case bytes.Equal(name, dateName) && l.date < 0:
			l.date = i
		case bytes.Equal(name, timeName) && l.clock < 0:
			l.clock = i
			name = clockName
		}
		l.names = append(l.names, name)
	}
	if l.date < 0 || l.clock < 0 {
		l.date, l.clock = -1, -1
	}
	return l
}

// fieldName is the name of a column as that of a field: cs_user_agent for
// cs(User-Agent).
func fieldName(column []byte) []byte {
	var name []byte
	for _, c := range column {
		switch {
		case 'A' <= c && c <= 'Z':
			c += 'a' - 'A'
		case 'a' <= c && c <= 'z', '0' <= c && c <= '9', c >= 0x80:
		default:
			c = '_'
		}
		if c != '_' || len(name) > 0 && name[len(name)-1] != '_' {
			name = append(name, c)
		}
	}
	return bytes.TrimSuffix(name, []byte("_"))
}

// take adds the columns of text, and returns why it could not.
func (p *Processor) take(b *record.Batch, of *layout, text []byte) (reason []byte) {
	switch {
	case of == nil || len(of.names) == 0:
		return noHeader
	case of.tooManyColumns, !p.split(b, text, len(of.names)):
		return miscount
	}
	for i, name := range of.names {
		switch i {
		case of.date:
			day, clock := p.values[i], p.values[of.clock]
			both := append(append(append(b.Alloc(len(day) + 1 + len(clock))[:0], day...), ' '), clock...)
			p.list.Add(timeName, both)
		case of.clock:
		default:
			p.list.Add(name, p.values[i])
		}
	}
	return nil
}

// split makes p.values the n values of text, and reports whether it has as many.
// Values are read as they stand at first, since servers write quotes into values
// without quoting these; if that does not come out, quoted ones may have separators
// and doubled quotes in them.
func (p *Processor) split(b *record.Batch, text []byte, n int) bool {
	sep := byte(' ')
	if bytes.IndexByte(text, '\t') >= 0 {
		sep = '\t'
	}
	return p.words(text, sep, n) || bytes.IndexByte(text, '"') >= 0 && p.quoted(b, text, sep, n)
}

// words splits text at each tab, or at each run of spaces.
func (p *Processor) words(text []byte, sep byte, n int) bool {
	p.values = p.values[:0]
	for more := true; more && len(p.values) <= n; {
		if sep == ' ' {
			if text = bytes.TrimLeft(text, " "); len(text) == 0 {
				break
			}
		}
		var value []byte
		value, text, more = cut(text, sep)
		if last := len(value) - 1; last > 0 && value[0] == '"' && value[last] == '"' && bytes.IndexByte(value[1:last], '"') < 0 {
			value = value[1:last]
		}
		p.values = append(p.values, value)
	}
	return len(p.values) == n
}

// quoted is words for values in quotes.
func (p *Processor) quoted(b *record.Batch, text []byte, sep byte, n int) bool {
	p.values = p.values[:0]
	for more := true; more && len(p.values) <= n; {
		if sep == ' ' {
			if text = bytes.TrimLeft(text, " "); len(text) == 0 {
				break
			}
		}
		var value []byte
		if len(text) == 0 || text[0] != '"' {
			value, text, more = cut(text, sep)
			p.values = append(p.values, value)
			continue
		}
		value, text = unquote(b, text[1:])
		if more = len(text) > 0; more && text[0] != sep {
			return false
		} else if more {
			text = text[1:]
		}
		if value == nil {
			return false
		}
		p.values = append(p.values, value)
	}
	return len(p.values) == n
}

// cut returns what is before and behind the first sep.
func cut(text []byte, sep byte) (value, rest []byte, more bool) {
	if i := bytes.IndexByte(text, sep); i >= 0 {
		return text[:i:i], text[i+1:], true
	}
	return text, nil, false
}

// unquote reads a value behind its opening quote, and what follows the closing one;
// value is nil if there is none.
func unquote(b *record.Batch, text []byte) (value, rest []byte) {
	end, doubled := 0, false
	for {
		i := bytes.IndexByte(text[end:], '"')
		if i < 0 {
			return nil, nil
		}
		if end += i; end+1 == len(text) || text[end+1] != '"' {
			break
		}
		end, doubled = end+2, true
	}
	value, rest = text[:end:end], text[end+1:]
	if !doubled {
		return value, rest
	}
	whole := b.Alloc(len(value))[:0]
	for i := 0; i < len(value); i++ {
		whole = append(whole, value[i])
		if value[i] == '"' {
			i++
		}
	}
	return whole, rest
}
