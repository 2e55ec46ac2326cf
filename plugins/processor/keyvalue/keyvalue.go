// Package keyvalue takes apart fields of key and value pairs, such as logfmt.
//
// It promises time linear in the length of the field, and that a record either
// has the pairs of its field or is marked as failed with its line kept. It
// starts no goroutines. A Processor belongs to one lane. Values are parts of
// the source value, except quoted ones with escapes, which are arena bytes of
// the batch; nothing is allocated for a record.
package keyvalue

import (
	"bytes"
	"context"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/wasmtail/wasmtail/agent/pipeline"
	"github.com/wasmtail/wasmtail/internal/cell"
	"github.com/wasmtail/wasmtail/internal/config"
	"github.com/wasmtail/wasmtail/internal/fieldlist"
	"github.com/wasmtail/wasmtail/internal/record"
)

// Config are the settings of the keyvalue processor (also called logfmt). The
// defaults read logfmt, such as level=info msg="two words" done.
type Config struct {
	// Field is the name of the field to take apart. The default is the field
	// that holds the whole line. A record without the field, without a single
	// pair in it, or with a quote that is not closed is marked as failed.
	Field string `yaml:"field" default:"content"`
	// KeepSource keeps the field that was taken apart. Off by default, since its
	// pairs say the same and the records would be twice as large.
	KeepSource bool `yaml:"keep_source"`
	// PairSeparator stands between pairs: one or more characters. Several in a
	// row count as one. A single space, the default, stands for any run of
	// spaces and tabs.
	PairSeparator string `yaml:"pair_separator" default:" "`
	// SeparatorField is the name of a field that says what stands between the pairs
	// of its record, in the place of PairSeparator, and is then removed: one
	// character, or the number of one in hexadecimal digits behind x or 0x, such as
	// x5E for ^. A record that has no such field, or an empty one, has
	// PairSeparator; one whose field is something else is marked as failed.
	SeparatorField string `yaml:"separator_field" example:"delimiter"`
	// KeyValueSeparator stands between a key and its value: one or more
	// characters. The first one in a pair counts.
	KeyValueSeparator string `yaml:"key_value_separator" default:"="`
	// Quote is the character around values that contain a separator. Inside,
	// \" \\ \/ \b \f \n \r \t and \u with four hexadecimal digits are escapes as
	// in JSON; any other backslash stands for itself. none switches quoting off.
	Quote string `yaml:"quote" default:"\""`
	// Values says where a value without quotes ends: word ends it at the next pair
	// separator; open lets it go on up to the next key, which is a word of
	// letters, digits, _ . - [ and ] right before a key_value_separator, so that
	// msg=two words act=blocked has two pairs. In open values \\ \= \| \n and \r are
	// escapes, as in the extension of CEF, and a field without any text has no
	// pairs, but does not fail. It needs pair_separator " " and quote: none.
	Values string `yaml:"values" default:"word" enum:"word,open"`
	// BareKeys says what a key without a value becomes: a field with the text
	// true, as in logfmt; a field with an empty value; nothing (drop); or the
	// record is marked as failed (fail).
	BareKeys string `yaml:"bare_keys" default:"true" enum:"true,empty,drop,fail"`
	// Prefix is put before the name of each new field.
	Prefix string `yaml:"prefix"`
	// OnDuplicate says what happens when a key comes twice, in the field or
	// beside a field that the record already has: last puts the later value in
	// the place of the earlier one; first drops the later one; keep keeps both.
	OnDuplicate string `yaml:"on_duplicate" default:"last" enum:"last,first,keep"`
}

// Validate reports what is wrong with the settings.
func (c *Config) Validate(report func(key, problem string)) {
	if c.Field == "" {
		report("field", "is empty; leave it out for the whole line (content)")
	}
	if c.PairSeparator == "" {
		report("pair_separator", "is empty; leave it out for white space")
	}
	switch c.KeyValueSeparator {
	case "":
		report("key_value_separator", `is empty; leave it out for "="`)
	case c.PairSeparator:
		report("key_value_separator", "must differ from pair_separator")
	}
	quote, ok := cell.ParseQuote(c.Quote)
	switch {
	case !ok || quote == '\\':
		report("quote", "must be one ASCII character other than a backslash, or none")
	case quote != 0 && strings.IndexByte(c.PairSeparator+c.KeyValueSeparator, quote) >= 0:
		report("quote", "must not be part of a separator; choose another one, or none")
	}
	switch {
	case c.SeparatorField == "":
	case c.SeparatorField == c.Field:
		report("separator_field", "must differ from field")
	case c.Values == "open":
		report("separator_field", "cannot be used with values: open")
	}
	if c.Values != "" && c.Values != "word" && c.Values != "open" {
		report("values", "must be word or open")
	}
	if c.Values == "open" && (c.PairSeparator != " " || quote != 0) {
		report("values", `can be open only with pair_separator " " and quote: none`)
	}
	switch c.BareKeys {
	case "", "true", "empty", "drop", "fail":
	default:
		report("bare_keys", "must be true, empty, drop or fail")
	}
	if _, ok := fieldlist.ParseDuplicates(c.OnDuplicate); !ok {
		report("on_duplicate", "must be last, first or keep")
	}
}

var (
	noPair     = []byte("keyvalue: no pair of key and value")
	noKey      = []byte("keyvalue: empty key")
	bareKey    = []byte("keyvalue: key without a value")
	badSign    = []byte("keyvalue: the separator field is neither a character nor the number of one")
	openQuote  = []byte("keyvalue: quote is not closed")
	afterQuote = []byte("keyvalue: text after a closing quote")
)

// Processor takes records apart. It belongs to one lane.
type Processor struct {
	pair   []byte            // of the record at hand,
	spaces bool              // where white space separates the pairs
	usual  []byte            // PairSeparator
	from   []byte            // the field that has another, nil for none
	char   [utf8.UTFMax]byte // the memory of pair where a record names its own
	open   bool              // values go on up to the next key
	sign   []byte
	quote  byte
	prefix []byte
	bare   string
	list   fieldlist.List
}

// New returns a processor for one lane. It refuses what Validate reports.
func New(c Config) (pipeline.Processor, error) {
	if err := config.FirstFault(c.Validate); err != nil {
		return nil, fmt.Errorf("cannot set up the keyvalue processor: %w", err)
	}
	p := &Processor{
		usual: []byte(c.PairSeparator), open: c.Values == "open",
		sign: []byte(c.KeyValueSeparator), prefix: []byte(c.Prefix), bare: c.BareKeys,
	}
	p.separate(p.usual)
	if c.SeparatorField != "" {
		p.from = []byte(c.SeparatorField)
	}
	p.quote, _ = cell.ParseQuote(c.Quote)
	p.list.Source = fieldlist.SourceFor("keyvalue", c.Field, c.KeepSource)
	p.list.Duplicates, _ = fieldlist.ParseDuplicates(c.OnDuplicate)
	return p, nil
}

// Process takes apart each record that has not failed before.
func (p *Processor) Process(_ context.Context, b *record.Batch) error {
	for i := range b.Records {
		r := &b.Records[i]
		if text, ok := p.list.Open(b, r); ok {
			reason := p.readSeparator()
			if reason == nil {
				reason = p.parse(b, text)
			}
			p.list.Close(b, r, reason)
		}
	}
	p.list.Drop()
	return nil
}

// separate makes pair the separator of pairs.
func (p *Processor) separate(pair []byte) {
	p.pair, p.spaces = pair, len(pair) == 1 && pair[0] == ' '
}

// readSeparator makes the separator of the record at hand the one it names, and
// returns why it could not.
func (p *Processor) readSeparator() (reason []byte) {
	if p.from == nil {
		return nil
	}
	p.separate(p.usual)
	named := p.list.Take(p.from)
	if len(named) == 0 {
		return nil
	}
	char, size := utf8.DecodeRune(named)
	if size < len(named) {
		char = numbered(named)
	}
	if char == utf8.RuneError || char == rune(p.quote) || bytes.ContainsRune(p.sign, char) {
		return badSign
	}
	p.separate(p.char[:utf8.EncodeRune(p.char[:], char)])
	return nil
}

// numbered returns the character with a number such as x5E or 0x5e, RuneError if it
// is none. Number 0 is none.
func numbered(text []byte) rune {
	digits := bytes.TrimPrefix(text, []byte("0"))
	if len(digits) < 2 || digits[0] != 'x' && digits[0] != 'X' {
		return utf8.RuneError
	}
	number, err := strconv.ParseUint(string(digits[1:]), 16, 32)
	if err != nil || number == 0 || !utf8.ValidRune(rune(min(number, utf8.MaxRune+1))) {
		return utf8.RuneError
	}
	return rune(number)
}

var textTrue = []byte("true")

// parse adds the pairs of text, and returns why it could not.
func (p *Processor) parse(b *record.Batch, text []byte) []byte {
	pairs, empty := 0, len(text) == 0
	for {
		if text = p.skipSeparators(text); len(text) == 0 {
			break
		}
		end := p.pairEnd(text)
		sign := bytes.Index(text[:min(len(text), end+len(p.sign))], p.sign)
		if sign < 0 || sign > end {
			if reason := p.addBare(b, cell.Trim(text[:end])); reason != nil {
				return reason
			}
			text = text[end:]
			continue
		}
		key := cell.Trim(text[:sign])
		if len(key) == 0 {
			return noKey
		}
		value, rest, reason := p.value(b, text[sign+len(p.sign):])
		if reason != nil {
			return reason
		}
		p.list.Add(p.name(b, key), value)
		pairs++
		text = rest
	}
	if pairs == 0 && !(p.open && empty) {
		return noPair
	}
	return nil
}

func (p *Processor) addBare(b *record.Batch, key []byte) []byte {
	switch p.bare {
	case "fail":
		return bareKey
	case "drop":
	case "empty":
		p.list.Add(p.name(b, key), nil)
	default:
		p.list.Add(p.name(b, key), textTrue)
	}
	return nil
}

func (p *Processor) name(b *record.Batch, key []byte) []byte {
	if len(p.prefix) == 0 {
		return key
	}
	name := b.Alloc(len(p.prefix) + len(key))
	copy(name[copy(name, p.prefix):], key)
	return name
}

// value reads a value and returns the text behind it, which is empty or begins
// with a separator.
func (p *Processor) value(b *record.Batch, text []byte) (value, rest, reason []byte) {
	if p.open {
		value, rest = p.openValue(b, text)
		return value, rest, nil
	}
	if !p.spaces {
		text = text[p.padding(text):]
	}
	if p.quote == 0 || len(text) == 0 || text[0] != p.quote {
		end := p.pairEnd(text)
		return cell.Trim(text[:end]), text[end:], nil
	}
	text = text[1:]
	end, escaped := 0, false
	for {
		if end >= len(text) {
			return nil, nil, openQuote
		}
		c := text[end]
		if c == p.quote {
			break
		}
		if c == '\\' {
			escaped = true
			end++
		}
		end++
	}
	value, rest = text[:end], text[end+1:]
	if escaped {
		dst := b.Alloc(len(value))
		value = dst[:unescape(dst, value, p.quote)]
	}
	if !p.spaces {
		rest = rest[p.padding(rest):]
	}
	if len(rest) > 0 && p.pairEnd(rest) != 0 {
		return nil, nil, afterQuote
	}
	return value, rest, nil
}

// pairEnd returns where the next pair separator is, or the length of text.
func (p *Processor) pairEnd(text []byte) int {
	if p.spaces {
		for i, c := range text {
			if c == ' ' || c == '\t' {
				return i
			}
		}
		return len(text)
	}
	if i := bytes.Index(text, p.pair); i >= 0 {
		return i
	}
	return len(text)
}

// padding returns how many spaces and tabs text begins with that are not part
// of a pair separator.
func (p *Processor) padding(text []byte) int {
	n := 0
	for n < len(text) && (text[n] == ' ' || text[n] == '\t') && !bytes.HasPrefix(text[n:], p.pair) {
		n++
	}
	return n
}

func (p *Processor) skipSeparators(text []byte) []byte {
	for {
		switch {
		case len(text) > 0 && (text[0] == ' ' || text[0] == '\t'):
			text = text[1:]
		case !p.spaces && bytes.HasPrefix(text, p.pair):
			text = text[len(p.pair):]
		default:
			return text
		}
	}
}
