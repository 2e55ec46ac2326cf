// Package filter removes records by the values of their fields.
//
// It promises that every record it removes is counted as filtered, with its
// source bytes, so that nothing disappears unseen. It acts on records that
// could not be parsed as on all others. It starts no goroutines. A Processor
// belongs to one lane, keeps nothing of a batch and allocates nothing for a
// record, except one small slice for patterns that the standard engine must
// match (see pattern.Regexp.Explain).
package filter

import (
	"context"
	"fmt"
	"math"
	"strconv"

	"github.com/wasmtail/wasmtail/agent/pipeline"
	"github.com/wasmtail/wasmtail/internal/config"
	"github.com/wasmtail/wasmtail/internal/pattern"
	"github.com/wasmtail/wasmtail/internal/record"
)

// Config are the settings of the filter processor. A record stays when keep is
// empty or one of its rules holds, and no rule of drop holds. Records that an
// earlier processor could not parse are tested like all others: they have the
// fields __raw_log__ and __error__, and lack those they should have got. To let
// them pass a keep list, add the rule {field: __error__, exists: true} to it.
type Config struct {
	// Keep are rules of which one must hold for a record to stay. When there are
	// none, all records stay that no rule of drop removes.
	Keep []Rule `yaml:"keep"`
	// Drop are rules of which none may hold for a record to stay.
	Drop []Rule `yaml:"drop"`
}

// Rule is a condition, and more of them in and when one is not enough: it
// holds when all of them do.
type Rule struct {
	Condition `yaml:",inline"`
	// And are further conditions that must hold too.
	And []Condition `yaml:"and"`
}

// Condition tests one field of a record. When it has several tests, all of
// them must hold. A record without the field meets only exists: false.
type Condition struct {
	// Field is the name of the field to test. If a record has several of that
	// name, the first one counts.
	Field string `yaml:"field" required:"true" example:"level"`
	// Equals is the value the field must have, byte for byte.
	Equals *string `yaml:"equals"`
	// In are values of which the field must have one.
	In []string `yaml:"in"`
	// Pattern is a regular expression in RE2 syntax that must match somewhere in
	// the value; begin it with ^ and end it with $ to match all of it.
	Pattern string `yaml:"pattern"`
	// Exists says whether the field must be there (true) or must not (false).
	Exists *bool `yaml:"exists"`
	// Min is the smallest number the value may be. A value that is no decimal
	// number does not meet it.
	Min *float64 `yaml:"min"`
	// Max is the largest number the value may be. A value that is no decimal
	// number does not meet it.
	Max *float64 `yaml:"max"`
}

// Validate reports what is wrong with the settings.
func (c *Config) Validate(report func(key, problem string)) {
	if len(c.Keep) == 0 && len(c.Drop) == 0 {
		report("keep", "is empty, and so is drop: nothing would be filtered; add a rule, such as {field: level, in: [warn, error]}")
	}
	checkRules("keep", c.Keep, report)
	checkRules("drop", c.Drop, report)
}

func checkRules(key string, rules []Rule, report func(key, problem string)) {
	for i := range rules {
		at := fmt.Sprintf("%s[%d]", key, i)
		rules[i].check(at, report)
		for n := range rules[i].And {
			rules[i].And[n].check(fmt.Sprintf("%s.and[%d]", at, n), report)
		}
	}
}

func (c *Condition) check(at string, report func(key, problem string)) {
	if c.Field == "" {
		report(at+".field", "is empty; name the field to test")
	}
	numbers := c.Min != nil || c.Max != nil
	values := c.Equals != nil || len(c.In) > 0 || c.Pattern != "" || numbers
	switch {
	case !values && c.Exists == nil:
		report(at, "tests nothing; add equals, in, pattern, exists, min or max")
	case values && c.Exists != nil && !*c.Exists:
		report(at+".exists", "cannot be false beside a test of the value: a field that is not there has none")
	}
	if c.Pattern != "" {
		if _, err := pattern.Compile(c.Pattern); err != nil {
			report(at+".pattern", err.Error())
		}
	}
	if c.Min != nil && c.Max != nil && *c.Min > *c.Max {
		report(at+".min", "is larger than max: no number meets both")
	}
}

// test is a compiled condition.
type test struct {
	field    string
	equals   *string
	in       map[string]struct{}
	re       *pattern.Regexp
	absent   bool // the field must not be there
	numbers  bool
	min, max float64
}

// Processor filters records. It belongs to one lane.
type Processor struct {
	keep, drop [][]test
	stays      func(*record.Record) bool
}

// New returns a processor for one lane. It refuses what Validate reports.
func New(c Config) (pipeline.Processor, error) {
	if err := config.FirstFault(c.Validate); err != nil {
		return nil, fmt.Errorf("cannot set up the filter processor: %w", err)
	}
	p := &Processor{}
	p.stays = p.holds
	var err error
	if p.keep, err = compile(c.Keep); err != nil {
		return nil, err
	}
	if p.drop, err = compile(c.Drop); err != nil {
		return nil, err
	}
	return p, nil
}

func compile(rules []Rule) ([][]test, error) {
	var all [][]test
	for _, rule := range rules {
		var tests []test
		for _, c := range append([]Condition{rule.Condition}, rule.And...) {
			t := test{field: c.Field, equals: c.Equals, absent: c.Exists != nil && !*c.Exists}
			t.min, t.max = math.Inf(-1), math.Inf(1)
			if len(c.In) > 0 {
				t.in = make(map[string]struct{}, len(c.In))
				for _, value := range c.In {
					t.in[value] = struct{}{}
				}
			}
			if c.Pattern != "" {
				re, err := pattern.Compile(c.Pattern)
				if err != nil {
					return nil, fmt.Errorf("cannot set up the filter processor: %w", err)
				}
				t.re = re
			}
			if c.Min != nil {
				t.min, t.numbers = *c.Min, true
			}
			if c.Max != nil {
				t.max, t.numbers = *c.Max, true
			}
			tests = append(tests, t)
		}
		all = append(all, tests)
	}
	return all, nil
}

// Process removes the records that the rules do not let pass.
func (p *Processor) Process(_ context.Context, b *record.Batch) error {
	b.Keep(p.stays)
	return nil
}

func (p *Processor) holds(r *record.Record) bool {
	return (len(p.keep) == 0 || anyOf(p.keep, r)) && !anyOf(p.drop, r)
}

func anyOf(rules [][]test, r *record.Record) bool {
	for _, tests := range rules {
		if allOf(tests, r) {
			return true
		}
	}
	return false
}

func allOf(tests []test, r *record.Record) bool {
	for i := range tests {
		if !tests[i].holds(r) {
			return false
		}
	}
	return true
}

func (t *test) holds(r *record.Record) bool {
	value, at := r.Field(t.field)
	if at < 0 || t.absent {
		return at < 0 && t.absent
	}
	if t.equals != nil && string(value) != *t.equals {
		return false
	}
	if t.in != nil {
		if _, ok := t.in[string(value)]; !ok {
			return false
		}
	}
	if t.re != nil && !t.re.Match(value) {
		return false
	}
	if t.numbers {
		n, ok := number(value)
		return ok && n >= t.min && n <= t.max
	}
	return true
}

// numberBytesMax bounds what is tried as a number: longer ones than 64-bit
// numbers are written with are none.
const numberBytesMax = 32

// number reads a decimal number, with a fraction and an exponent or without.
// It looks at the form first, so that a value that is no number costs no error.
func number(s []byte) (float64, bool) {
	if len(s) > numberBytesMax {
		return 0, false
	}
	i := 0
	if i < len(s) && (s[i] == '-' || s[i] == '+') {
		i++
	}
	digits := skipDigits(s, &i)
	if i < len(s) && s[i] == '.' {
		i++
		digits += skipDigits(s, &i)
	}
	if digits == 0 {
		return 0, false
	}
	if i < len(s) && s[i]|0x20 == 'e' {
		i++
		if i < len(s) && (s[i] == '-' || s[i] == '+') {
			i++
		}
		if skipDigits(s, &i) == 0 {
			return 0, false
		}
	}
	if i != len(s) {
		return 0, false
	}
	n, err := strconv.ParseFloat(string(s), 64)
	return n, err == nil
}

func skipDigits(s []byte, i *int) int {
	first := *i
	for *i < len(s) && s[*i]-'0' <= 9 {
		*i++
	}
	return *i - first
}
