// Package timestamp reads the event time of a record from one of its fields.
//
// It promises nanoseconds, an explicit time zone and the right year where the
// text has none, and that a record whose time cannot be read is marked as
// failed and goes on with the time it was read at. It starts no goroutines. A
// Processor belongs to one lane, allocates nothing for a record and keeps
// nothing of a batch but a copy of the last few bytes of a date.
package timestamp

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
	_ "time/tzdata" // the agent is one file and runs where no zone files are

	"github.com/wasmtail/wasmtail/agent/pipeline"
	"github.com/wasmtail/wasmtail/internal/fieldlist"
	"github.com/wasmtail/wasmtail/internal/record"
	"github.com/wasmtail/wasmtail/internal/strptime"
)

// Config are the settings of the time processor.
type Config struct {
	// Field is the name of the field with the time. A record without it, or with
	// a text in it that is none of the formats, is marked as failed, with the
	// reason in __error__. It keeps all its fields, and counts as of the time it
	// was read.
	Field string `yaml:"field" required:"true" example:"time"`
	// Format of the time: letters as in strptime(3), such as
	// `%d/%b/%Y:%H:%M:%S %z` for access logs, or one of the names rfc3339,
	// iso8601, epoch_s, epoch_ms, epoch_us, epoch_ns and epoch_auto (the unit by
	// the number of digits). The letters: %Y %y %C year; %m %b %B %h month, as a
	// number or an English name; %d %e day; %j day of the year; %H %k %I %l %p
	// hour; %M minute; %S second; %f %N fraction of a second with any number of
	// digits, %L or %3f with three; %z offset (+0800, +08:00, Z); %Z UTC, GMT or
	// an abbreviation of the time zone below; %s seconds and %Q milliseconds
	// since 1970; %F %T %D %R %r %c %x %X as combinations; %a %A %u %w %U %V %W
	// weekday and week, which are ignored; %n, %t and a space any white space;
	// %% a percent sign. Without a year the time gets the latest one with which
	// it is at most a day ahead of the clock, and without a date the latest day
	// with which it is at most an hour ahead.
	Format string `yaml:"format" example:"'%Y-%m-%d %H:%M:%S'"`
	// Formats are tried in this order, in place of format, when a log mixes
	// several. Put the usual one first: each one that does not fit costs time.
	Formats []string `yaml:"formats"`
	// Timezone of times that do not name theirs: Local (that of this machine),
	// UTC, a name such as Asia/Shanghai, or an offset such as +08:00. A time in
	// the hour that is repeated when daylight saving time ends is taken as the
	// first of the two west of Greenwich and as the second east of it; a time in
	// the hour that is skipped when it begins is moved out of it, an hour back in
	// the west and an hour on in the east. Logs that write the offset (%z) have
	// no such hours.
	Timezone string `yaml:"timezone" default:"Local"`
	// KeepSource keeps the field that the time was read from. On by default, so
	// that the text as written can be searched and compared; switch it off to
	// save its bytes, the time itself is part of every record.
	KeepSource bool `yaml:"keep_source" default:"true"`
	// Missing says what happens to a record without the field: fail marks it as
	// failed; accept lets it pass, and it counts as of the time it was read.
	Missing string `yaml:"missing" default:"fail" enum:"fail,accept"`
}

// Validate reports what is wrong with the settings.
func (c *Config) Validate(report func(key, problem string)) {
	if c.Field == "" {
		report("field", "is empty; name the field with the time")
	}
	switch {
	case c.Format == "" && len(c.Formats) == 0:
		report("format", "is empty; write the format of the time, such as '%Y-%m-%d %H:%M:%S', or iso8601")
	case c.Format != "" && len(c.Formats) > 0:
		report("formats", "cannot be set beside format; put all formats into formats")
	}
	if c.Missing != "" && c.Missing != "fail" && c.Missing != "accept" {
		report("missing", "must be fail or accept")
	}
	loc, err := location(c.Timezone)
	if err != nil {
		report("timezone", err.Error())
		loc = time.UTC
	}
	if c.Format != "" {
		if _, err := strptime.Compile(c.Format, strptime.Options{Location: loc}); err != nil {
			report("format", err.Error())
		}
	}
	for i, format := range c.Formats {
		if _, err := strptime.Compile(format, strptime.Options{Location: loc}); err != nil {
			report(fmt.Sprintf("formats[%d]", i), err.Error())
		}
	}
}

// location reads a time zone as a name or an offset.
func location(name string) (*time.Location, error) {
	switch {
	case name == "" || name == "Local":
		return time.Local, nil
	case name[0] == '+' || name[0] == '-':
		for _, layout := range []string{"-07:00", "-0700", "-07"} {
			if t, err := time.Parse(layout, name); err == nil {
				_, offset := t.Zone()
				return time.FixedZone("UTC"+name, offset), nil
			}
		}
		return nil, fmt.Errorf("%q is no offset; write it as +08:00", name)
	}
	loc, err := time.LoadLocation(name)
	if err != nil {
		return nil, fmt.Errorf("%q is no time zone; write a name such as Asia/Shanghai, UTC, Local, or an offset such as +08:00", name)
	}
	return loc, nil
}

var (
	badFormat = []byte("time: does not have the format")
	badRange  = []byte("time: out of range, or no such date")
	badZone   = []byte("time: unknown time zone")
)

// Processor reads times. It belongs to one lane.
type Processor struct {
	source  fieldlist.Source
	parsers []*strptime.Parser
	accept  bool // records without the field
}

// New returns a processor for one lane. It refuses what Validate reports.
func New(c Config) (pipeline.Processor, error) {
	if c.Field == "" {
		return nil, fmt.Errorf("cannot set up the time processor: no field is named")
	}
	formats := c.Formats
	if c.Format != "" {
		formats = append([]string{c.Format}, formats...)
	}
	if len(formats) == 0 {
		return nil, fmt.Errorf("cannot set up the time processor: no format is given")
	}
	loc, err := location(c.Timezone)
	if err != nil {
		return nil, fmt.Errorf("cannot set up the time processor: timezone %w", err)
	}
	p := &Processor{source: fieldlist.SourceFor("time", c.Field, c.KeepSource), accept: c.Missing == "accept"}
	for _, format := range formats {
		layout, err := strptime.Compile(format, strptime.Options{Location: loc})
		if err != nil {
			return nil, fmt.Errorf("cannot set up the time processor: %w", err)
		}
		p.parsers = append(p.parsers, layout.NewParser())
	}
	return p, nil
}

// Process sets the time of each record that has not failed before.
func (p *Processor) Process(_ context.Context, b *record.Batch) error {
	reference := b.ReadTime
	if reference == 0 {
		reference = time.Now().UnixNano()
	}
	for i := range b.Records {
		r := &b.Records[i]
		if p.accept {
			if _, at := r.Field(p.source.Name); at < 0 {
				continue
			}
		}
		text, at, ok := p.source.Find(b, r)
		if !ok {
			continue
		}
		t, err := p.parsers[0].Parse(text, reference)
		for n := 1; err != nil && n < len(p.parsers); n++ {
			t, err = p.parsers[n].Parse(text, reference)
		}
		if err != nil {
			b.Fail(r, -1, reason(err))
			continue
		}
		r.Time = t
		if drop := p.source.Drop(at); drop >= 0 {
			r.Fields = slices.Delete(r.Fields, drop, drop+1)
		}
	}
	return nil
}

func reason(err error) []byte {
	switch {
	case errors.Is(err, strptime.ErrRange):
		return badRange
	case errors.Is(err, strptime.ErrZone):
		return badZone
	}
	return badFormat
}
