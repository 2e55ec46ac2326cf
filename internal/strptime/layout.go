// Package strptime compiles time formats, in the letters of strptime(3) and a
// few named layouts, to parsers that turn text into nanoseconds since 1970 UTC.
//
// A Layout is immutable and safe for concurrent use. A Parser belongs to one
// goroutine: it remembers the text of the last date, hour and minute, because
// neighbouring lines share them, and reads only the rest of the next one. What
// it returns never depends on what it remembers. Parsing allocates nothing and
// keeps nothing of the text but a copy of that short prefix. The package starts
// no goroutines and does not look at the clock: callers pass a reference time,
// which is used for formats without a year or without a date.
//
// It does not parse month names in other languages, week-based years (%G, %g)
// and years outside 1678 to 2262, which nanoseconds in 64 bits cannot hold.
package strptime

import (
	"fmt"
	"strings"
	"time"
)

// Options say what a format leaves open.
type Options struct {
	// Location of times that do not name their zone. nil means time.Local.
	// Local times that a change of offset skips or repeats are understood as
	// time.Date understands them. A repeated time is the first of the two west
	// of Greenwich and the second east of it; a skipped time moves an hour back
	// in the west and an hour on in the east.
	Location *time.Location
}

// Layout is a compiled format: immutable, safe for concurrent use.
type Layout struct {
	forms []form
	loc   *time.Location
	zones []zoneName // what %Z accepts, only for formats that have one
}

// kind says which parts of a time a form reads from the text.
type kind uint8

const (
	fullDate kind = iota
	noYear        // month and day: the year follows from the reference time
	noDate        // only a time of day: the day follows from the reference time
	unixTime      // seconds or milliseconds since 1970
	number        // a decimal number in a unit: see epoch.go
)

// form is one way to write a time; a format has one, iso8601 has several.
type form struct {
	ops   []op
	kind  kind
	hours slot // slotHour, or slotHour12 with slotPM
	yday  bool // the date is a year and a day of the year
	split int  // ops[:split] are the prefix whose text is remembered
	// splitBytes, if not 0, is the length at which the prefix may be
	// remembered: then each of its numbers has all its digits, and none would
	// have read on. A prefix that ends in punctuation needs no such condition.
	splitBytes int
	// tail says that what follows the prefix of a full date is only seconds,
	// their fraction and a zone.
	tail bool
	// seconds says that the tail begins with the seconds.
	seconds bool
	unit    epochUnit
}

// slot is where a number goes.
type slot uint8

const (
	slotYear slot = iota
	slotYear2
	slotCentury
	slotMonth
	slotDay
	slotYearDay
	slotHour
	slotHour12
	slotMinute
	slotSecond
	slotPM
	slotIgnored
	slotCount
)

type opcode uint8

const (
	opNothing     opcode = iota // only the separator
	opNumber2                   // one or two digits
	opPadded2                   // the same, or a space and a digit
	opNumber3                   // one to three digits
	opDigit                     // one digit
	opYear4                     // four digits
	opMonthName                 // Jan or January, any case
	opWeekdayName               // Mon or Monday, any case
	opAMPM                      // AM or PM, any case
	opFraction                  // digits after the decimal separator
	opOptFraction               // a decimal separator and digits, or nothing
	opOffset                    // +0800, +08:00, +08, Z, UTC, GMT, UTC+8
	opOptOffset                 // the same, or nothing
	opZoneName                  // UTC, GMT, Z or an abbreviation of the location
	opUnix                      // whole seconds since 1970
	opUnixMilli                 // whole milliseconds since 1970
	opDateSep                   // T, t or a space
)

// op is one instruction: a value, and the byte that follows it.
type op struct {
	code   opcode
	slot   slot
	lo, hi int16
	width  uint8 // opFraction: exact number of digits, 0 is any
	sep    byte  // 0 is none, ' ' is any run of white space
}

var letters = map[byte]op{
	'a': {code: opWeekdayName},
	'A': {code: opWeekdayName},
	'b': {code: opMonthName},
	'B': {code: opMonthName},
	'h': {code: opMonthName},
	'C': {code: opNumber2, slot: slotCentury, lo: 1, hi: 99},
	'd': {code: opPadded2, slot: slotDay, lo: 1, hi: 31},
	'e': {code: opPadded2, slot: slotDay, lo: 1, hi: 31},
	'f': {code: opFraction},
	'H': {code: opPadded2, slot: slotHour, hi: 23},
	'k': {code: opPadded2, slot: slotHour, hi: 23},
	'I': {code: opPadded2, slot: slotHour12, lo: 1, hi: 12},
	'l': {code: opPadded2, slot: slotHour12, lo: 1, hi: 12},
	'j': {code: opNumber3, slot: slotYearDay, lo: 1, hi: 366},
	'L': {code: opFraction, width: 3},
	'm': {code: opNumber2, slot: slotMonth, lo: 1, hi: 12},
	'M': {code: opNumber2, slot: slotMinute, hi: 59},
	'n': {sep: ' '},
	'N': {code: opFraction},
	'p': {code: opAMPM, slot: slotPM},
	'P': {code: opAMPM, slot: slotPM},
	'Q': {code: opUnixMilli},
	's': {code: opUnix},
	'S': {code: opNumber2, slot: slotSecond, hi: 60},
	't': {sep: ' '},
	'u': {code: opDigit, slot: slotIgnored, lo: 1, hi: 7},
	'U': {code: opNumber2, slot: slotIgnored, hi: 53},
	'V': {code: opNumber2, slot: slotIgnored, lo: 1, hi: 53},
	'w': {code: opDigit, slot: slotIgnored, hi: 6},
	'W': {code: opNumber2, slot: slotIgnored, hi: 53},
	'y': {code: opNumber2, slot: slotYear2, hi: 99},
	'Y': {code: opYear4, slot: slotYear, lo: 1, hi: 9999},
	'z': {code: opOffset},
	'Z': {code: opZoneName},
}

var composites = map[byte]string{
	'c': "%a %b %e %H:%M:%S %Y",
	'D': "%m/%d/%y",
	'F': "%Y-%m-%d",
	'r': "%I:%M:%S %p",
	'R': "%H:%M",
	'T': "%H:%M:%S",
	'x': "%m/%d/%y",
	'X': "%H:%M:%S",
}

// isoForms are what iso8601 and rfc3339 accept, in the order they are tried.
// \x01 stands for T, t or a space, \x02 for an optional fraction, \x03 for an
// optional offset.
var isoForms = []string{
	"%Y-%m-%d\x01%H:%M:%S\x02\x03",
	"%Y-%m-%d\x01%H:%M\x03",
	"%Y%m%d\x01%H%M%S\x02\x03",
	"%Y%m%d\x01%H%M\x03",
	"%Y-%m-%d",
	"%Y%m%d",
}

const rfc3339Form = "%Y-%m-%d\x01%H:%M:%S\x02%z"

// Names of the layouts that are not written in letters, for error messages.
const layoutNames = "rfc3339, iso8601, epoch_s, epoch_ms, epoch_us, epoch_ns, epoch_auto"

// Compile translates a format. It is one of the names rfc3339, iso8601,
// epoch_s, epoch_ms, epoch_us, epoch_ns and epoch_auto, or text with the
// letters of strptime(3):
//
//	%Y %C %y   year with four digits, century, year in it (69-99 is 19xx)
//	%m %b %B %h   month: number, English name, short or long, in any case
//	%d %e %j   day of the month, day of the year
//	%H %k %I %l %p %P   hour of 24, hour of 12 (needs %p), AM or PM
//	%M %S      minute, second (60 is the first second of the next minute)
//	%f %N      fraction of a second, any number of digits; beyond nine they are dropped
//	%L %3f %6f %9f   fraction with exactly 3, 6, 9 (1 to 9) digits
//	%z         offset: +0800, +08:00, +08, Z, UTC, GMT, GMT+08:00
//	%Z         UTC, GMT, Z or an abbreviation of Options.Location
//	%s %Q      seconds, milliseconds since 1970
//	%a %A %u %w %U %V %W   weekday and week: checked for form, then ignored
//	%D %x %F %T %X %R %r %c   as strptime(3) has them in the C locale
//	%n %t      any run of white space, also none; so does white space itself
//	%%         a percent sign
//
// The flags -, _, 0, ^ and # after the percent sign are accepted and change
// nothing. All other bytes stand for themselves. Offsets of the text win over
// names of zones, and both over Options.Location.
//
// A format needs a date, or at least month and day, or only a time of day, or
// seconds since 1970.
func Compile(format string, opts Options) (*Layout, error) {
	l := &Layout{loc: opts.Location}
	if l.loc == nil {
		l.loc = time.Local
	}
	texts := []string{format}
	switch format {
	case "rfc3339":
		texts = []string{rfc3339Form}
	case "iso8601":
		texts = isoForms
	default:
		if unit, ok := epochUnits[format]; ok {
			l.forms = []form{{kind: number, unit: unit}}
			return l, nil
		}
		if strings.ContainsAny(format, "\x00\x01\x02\x03") {
			return nil, fmt.Errorf("cannot compile time format %q: it contains control characters; remove them", format)
		}
		if !strings.Contains(format, "%") {
			return nil, fmt.Errorf("cannot compile time format %q: it has no %% letter and is not a named layout (%s)", format, layoutNames)
		}
	}
	for _, text := range texts {
		f, err := compileForm(text)
		if err != nil {
			return nil, fmt.Errorf("cannot compile time format %q: %w", format, err)
		}
		l.forms = append(l.forms, f)
	}
	for _, o := range l.forms[0].ops {
		if o.code == opZoneName {
			l.zones = zoneNames(l.loc)
			break
		}
	}
	return l, nil
}

func compileForm(text string) (form, error) {
	var f form
	var err error
	if f.ops, err = appendOps(nil, text); err != nil {
		return f, err
	}
	if err = f.classify(); err != nil {
		return f, err
	}
	f.fuse()
	f.findSplit()
	f.tail = f.kind == fullDate && f.split > 0
	if f.split < len(f.ops) {
		f.seconds = f.ops[f.split].code == opNumber2 && f.ops[f.split].slot == slotSecond
	}
	for _, o := range f.ops[f.split:] {
		switch o.code {
		case opNothing, opFraction, opOptFraction, opOffset, opOptOffset, opZoneName, opWeekdayName:
		default:
			f.tail = f.tail && (o.slot == slotSecond || o.slot == slotIgnored)
		}
	}
	return f, nil
}

func appendOps(ops []op, text string) ([]op, error) {
	for i := 0; i < len(text); i++ {
		switch c := text[i]; c {
		case '%':
			n, next, err := letterOps(ops, text[i:])
			if err != nil {
				return nil, err
			}
			ops, i = n, i+next-1
		case ' ', '\t', '\n', '\r', '\v', '\f':
			ops = append(ops, op{sep: ' '})
		case 1:
			ops = append(ops, op{code: opDateSep})
		case 2:
			ops = append(ops, op{code: opOptFraction})
		case 3:
			ops = append(ops, op{code: opOptOffset})
		default:
			ops = append(ops, op{sep: c})
		}
	}
	return ops, nil
}

// letterOps appends the instructions of the conversion at the start of text,
// and returns how many bytes of text it is written in.
func letterOps(ops []op, text string) ([]op, int, error) {
	i := 1
	for i < len(text) && strings.IndexByte("-_0^#", text[i]) >= 0 {
		i++
	}
	width := uint8(0)
	if i < len(text) && '1' <= text[i] && text[i] <= '9' {
		width = text[i] - '0'
		i++
	}
	if i == len(text) {
		return nil, 0, fmt.Errorf("it ends after %q; write %%%% for a percent sign", text)
	}
	c := text[i]
	i++
	o, known := letters[c]
	switch {
	case width > 0 && c != 'f' && c != 'N' && c != 'L':
		return nil, 0, fmt.Errorf("%q: only %%f and %%N take a number of digits", text[:i])
	case c == '%':
		return append(ops, op{sep: '%'}), i, nil
	case known:
		if width > 0 {
			o.width = width
		}
		return append(ops, o), i, nil
	case composites[c] != "":
		ops, err := appendOps(ops, composites[c])
		return ops, i, err
	}
	return nil, 0, fmt.Errorf("unknown letter in %q", text[:i])
}

// classify decides what the form leaves open.
func (f *form) classify() error {
	var has [slotCount]bool
	f.hours = slotHour
	for _, o := range f.ops {
		switch o.code {
		case opUnix, opUnixMilli:
			f.kind = unixTime
			return nil
		case opMonthName:
			has[slotMonth] = true
		case opNumber2, opPadded2, opNumber3, opDigit, opYear4, opAMPM:
			has[o.slot] = true
		}
	}
	year := has[slotYear] || has[slotYear2]
	if has[slotHour12] && !has[slotHour] {
		if !has[slotPM] {
			return fmt.Errorf("%%I is an hour of 12 and needs %%p; write %%H for an hour of 24")
		}
		f.hours = slotHour12
	}
	timeOfDay := has[slotHour] || has[slotHour12]
	if !timeOfDay && (has[slotMinute] || has[slotSecond]) {
		return fmt.Errorf("it has minutes or seconds but no hour; add %%H")
	}
	switch {
	case has[slotMonth] && has[slotDay]:
	case has[slotYearDay]:
		f.yday = true
	case has[slotMonth], has[slotDay], year, has[slotCentury]:
		return fmt.Errorf("its date is incomplete; it needs month and day (%%m or %%b, and %%d) or the day of the year (%%j)")
	case timeOfDay:
		f.kind = noDate
		return nil
	default:
		return fmt.Errorf("it has neither a date nor a time of day")
	}
	if !year {
		if has[slotCentury] {
			return fmt.Errorf("it has a century (%%C) but no year (%%y)")
		}
		f.kind = noYear
	}
	return nil
}

// fuse puts separators into the instructions before them.
func (f *form) fuse() {
	fused := f.ops[:0]
	for _, o := range f.ops {
		if n := len(fused); n > 0 && o.code == opNothing && fused[n-1].sep == 0 {
			fused[n-1].sep = o.sep
			continue
		}
		fused = append(fused, o)
	}
	f.ops = fused
}

// findSplit finds the longest run of instructions whose result depends on
// nothing but the bytes it has read, and that leaves the seconds out.
func (f *form) findSplit() {
	digits, plain := 0, true // plain: only numbers and separators of one byte
	for i, o := range f.ops {
		switch o.code {
		case opNumber2, opPadded2:
			digits += 2
		case opNumber3:
			digits += 3
		case opYear4:
			digits += 4
		case opDigit:
			digits++
		case opMonthName, opWeekdayName:
			plain = false
		case opDateSep:
			digits++
		case opNothing:
		default:
			return
		}
		if o.slot == slotSecond && o.code == opNumber2 {
			return
		}
		switch {
		case o.sep == ' ':
			plain = false
		case o.sep != 0:
			digits++
			if isPunctuation(o.sep) {
				f.split, f.splitBytes = i+1, 0
				continue
			}
			fallthrough
		default:
			if plain {
				f.split, f.splitBytes = i+1, digits
			}
		}
	}
}

// isPunctuation reports whether c can be no part of a number, of a name or of
// padding: an instruction that looks ahead stops at it.
func isPunctuation(c byte) bool {
	switch {
	case c <= ' ', c >= 0x7f, '0' <= c && c <= '9', 'a' <= c|0x20 && c|0x20 <= 'z':
		return false
	}
	return true
}
