// Package delimiter splits a field at a separator into named columns.
//
// It promises the quoting of RFC 4180 (a quoted column may hold the separator,
// and the quote doubled), and that a record either has its columns or is marked
// as failed with its line kept. It starts no goroutines. A Processor belongs to
// one lane. Values are parts of the source value, except quoted ones with
// doubled quotes, which are arena bytes of the batch; nothing is allocated for
// a record.
package delimiter

import (
	"bytes"
	"context"
	"fmt"
	"strconv"

	"github.com/wasmtail/wasmtail/agent/pipeline"
	"github.com/wasmtail/wasmtail/internal/cell"
	"github.com/wasmtail/wasmtail/internal/config"
	"github.com/wasmtail/wasmtail/internal/fieldlist"
	"github.com/wasmtail/wasmtail/internal/record"
)

// Config are the settings of the delimiter processor.
type Config struct {
	// Field is the name of the field to split. The default is the field that
	// holds the whole line. A record without the field is marked as failed.
	Field string `yaml:"field" default:"content"`
	// KeepSource keeps the field that was split. Off by default, since its
	// columns say the same and the records would be twice as large.
	KeepSource bool `yaml:"keep_source"`
	// Separator stands between columns: one or more characters, such as ","
	// or "|" or "\t" (in double quotes, \t is a tab).
	Separator string `yaml:"separator" required:"true" example:"'|'"`
	// Quote is the character around columns that contain the separator. It counts
	// only as the first character of a column; inside, it is written twice.
	// none switches quoting off.
	Quote string `yaml:"quote" default:"\""`
	// Keys are the names of the columns, in their order. An empty name drops its
	// column.
	Keys []string `yaml:"keys" required:"true" example:"[time, level, message]"`
	// Extra says what happens to columns beyond the last key: number names them
	// column_N, where N is 1 for the first column of the line; join leaves them,
	// with their separators and quotes as written, in the column of the last key;
	// fail marks the record as failed.
	Extra string `yaml:"extra" default:"number" enum:"number,join,fail"`
	// Missing says what happens when there are fewer columns than keys: fail
	// marks the record as failed, because it is usually a line of another kind;
	// accept makes only the fields there are columns for.
	Missing string `yaml:"missing" default:"fail" enum:"fail,accept"`
	// Trim removes spaces and tabs around each column. Inside quotes they stay.
	Trim bool `yaml:"trim"`
}

// Validate reports what is wrong with the settings.
func (c *Config) Validate(report func(key, problem string)) {
	if c.Field == "" {
		report("field", "is empty; leave it out for the whole line (content)")
	}
	if c.Separator == "" {
		report("separator", `is empty; write what stands between the columns, such as ","`)
	}
	quote, ok := cell.ParseQuote(c.Quote)
	switch {
	case !ok:
		report("quote", "must be one ASCII character, or none")
	case quote != 0 && bytes.IndexByte([]byte(c.Separator), quote) >= 0:
		report("quote", "must not be part of the separator; choose another one, or none")
	}
	if len(c.Keys) == 0 {
		report("keys", "is empty; name the columns")
	}
	seen := map[string]bool{}
	for i, key := range c.Keys {
		at := fmt.Sprintf("keys[%d]", i)
		switch {
		case key == "":
		case seen[key]:
			report(at, fmt.Sprintf("%q is there twice; give each column its own name", key))
		case key == record.RawLog || key == record.Error || key == record.Marks:
			report(at, fmt.Sprintf("%q is reserved; choose another name", key))
		case key == c.Field && c.KeepSource:
			report(at, fmt.Sprintf("%q is the field that keep_source keeps; choose another name", key))
		}
		seen[key] = true
	}
	if c.Extra != "" && c.Extra != "number" && c.Extra != "join" && c.Extra != "fail" {
		report("extra", "must be number, join or fail")
	}
	if c.Missing != "" && c.Missing != "fail" && c.Missing != "accept" {
		report("missing", "must be fail or accept")
	}
}

var (
	tooFew     = []byte("delimiter: too few columns")
	tooMany    = []byte("delimiter: too many columns")
	openQuote  = []byte("delimiter: quote is not closed")
	afterQuote = []byte("delimiter: text after a closing quote")
)

// Processor splits records. It belongs to one lane.
type Processor struct {
	separator []byte
	quote     byte
	keys      [][]byte
	join      bool
	refuse    bool // columns beyond the keys
	accept    bool // fewer columns than keys
	trim      bool
	list      fieldlist.List
}

// New returns a processor for one lane. It refuses what Validate reports.
func New(c Config) (pipeline.Processor, error) {
	if err := config.FirstFault(c.Validate); err != nil {
		return nil, fmt.Errorf("cannot set up the delimiter processor: %w", err)
	}
	p := &Processor{
		separator: []byte(c.Separator), trim: c.Trim,
		join: c.Extra == "join", refuse: c.Extra == "fail", accept: c.Missing == "accept",
		list: fieldlist.List{Source: fieldlist.SourceFor("delimiter", c.Field, c.KeepSource), Duplicates: fieldlist.Keep},
	}
	p.quote, _ = cell.ParseQuote(c.Quote)
	for _, key := range c.Keys {
		p.keys = append(p.keys, []byte(key))
	}
	return p, nil
}

// Process splits each record that has not failed before.
func (p *Processor) Process(_ context.Context, b *record.Batch) error {
	for i := range b.Records {
		r := &b.Records[i]
		if text, ok := p.list.Open(b, r); ok {
			p.list.Close(b, r, p.split(b, text))
		}
	}
	p.list.Drop()
	return nil
}

// split adds the columns of text, and returns why it could not.
func (p *Processor) split(b *record.Batch, text []byte) []byte {
	rest, column := text, 0
	for {
		value, after, more, reason := p.next(b, rest)
		if p.join && column == len(p.keys)-1 && (more || reason != nil) {
			value, more, reason = rest, false, nil
			if p.trim {
				value = cell.Trim(value)
			}
		}
		switch {
		case reason != nil:
			return reason
		case column < len(p.keys):
			if key := p.keys[column]; len(key) > 0 {
				p.list.Add(key, value)
			}
		case p.refuse:
			return tooMany
		default:
			p.list.Add(columnName(b, column+1), value)
		}
		column++
		if !more {
			break
		}
		rest = after
	}
	if column < len(p.keys) && !p.accept {
		return tooFew
	}
	return nil
}

// next reads the first column of text, and the separator behind it if more
// columns follow.
func (p *Processor) next(b *record.Batch, text []byte) (value, rest []byte, more bool, reason []byte) {
	start := text
	if p.trim {
		start = cell.TrimLeft(text)
		// A separator of white space must not be taken for padding.
		if len(start) < len(text) && p.separatorWithin(text[:len(text)-len(start)]) {
			start = text
		}
	}
	if p.quote != 0 && len(start) > 0 && start[0] == p.quote {
		return p.quoted(b, start[1:])
	}
	var end int
	if len(p.separator) == 1 {
		end = bytes.IndexByte(text, p.separator[0])
	} else {
		end = bytes.Index(text, p.separator)
	}
	if end < 0 {
		value = text
	} else {
		value, rest, more = text[:end], text[end+len(p.separator):], true
	}
	if p.trim {
		value = cell.Trim(value)
	}
	return value, rest, more, nil
}

func (p *Processor) separatorWithin(space []byte) bool { return bytes.Contains(space, p.separator) }

// quoted reads a column behind its opening quote.
func (p *Processor) quoted(b *record.Batch, text []byte) (value, rest []byte, more bool, reason []byte) {
	doubled := 0
	end := 0
	for {
		n := bytes.IndexByte(text[end:], p.quote)
		if n < 0 {
			return nil, nil, false, openQuote
		}
		end += n
		if end+1 >= len(text) || text[end+1] != p.quote {
			break
		}
		doubled++
		end += 2
	}
	value, rest = text[:end], text[end+1:]
	if doubled > 0 {
		value = p.undouble(b, value, doubled)
	}
	if p.trim && !bytes.HasPrefix(rest, p.separator) {
		if spaces := len(rest) - len(cell.TrimLeft(rest)); !p.separatorWithin(rest[:spaces]) {
			rest = rest[spaces:]
		} else {
			rest = rest[bytes.Index(rest, p.separator):]
		}
	}
	switch {
	case len(rest) == 0:
		return value, nil, false, nil
	case bytes.HasPrefix(rest, p.separator):
		return value, rest[len(p.separator):], true, nil
	}
	return nil, nil, false, afterQuote
}

// undouble copies a value that holds that many doubled quotes.
func (p *Processor) undouble(b *record.Batch, value []byte, doubled int) []byte {
	dst := b.Alloc(len(value) - doubled)
	n := 0
	for {
		end := bytes.IndexByte(value, p.quote)
		if end < 0 {
			copy(dst[n:], value)
			return dst
		}
		n += copy(dst[n:], value[:end+1])
		value = value[end+2:]
	}
}

// columnNames are the names of the first columns beyond the keys.
var columnNames = func() (names [64][]byte) {
	for i := range names {
		names[i] = columnNameOf(nil, i+1)
	}
	return names
}()

func columnNameOf(dst []byte, n int) []byte {
	return strconv.AppendInt(append(dst, "column_"...), int64(n), 10)
}

func columnName(b *record.Batch, n int) []byte {
	if n <= len(columnNames) {
		return columnNames[n-1]
	}
	return columnNameOf(b.Alloc(32)[:0], n)
}
