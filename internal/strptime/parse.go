package strptime

import (
	"errors"
	"math"
)

// The errors of Parse. They carry no text of the input.
var (
	ErrFormat = errors.New("text does not have the time format")
	ErrRange  = errors.New("time is out of range, or there is no such date")
	ErrZone   = errors.New("time zone is not known")
)

// prefixBytesMax bounds the remembered text. The longest usual one, a weekday,
// a full month name and a time, has 35 bytes.
const prefixBytesMax = 48

// suffixBytesMax holds a space, an offset, a space and the name of a zone.
const suffixBytesMax = 16

// Parser parses the texts of one layout. It is not safe for concurrent use.
type Parser struct {
	layout *Layout
	caches []cache
	zone   zoneCache
	// forget turns the memory of prefixes off, for tests.
	forget bool
}

// cache is the memory of one form: the text of the last prefix and what it
// means, and the last guess at what the form leaves open.
type cache struct {
	prefix [prefixBytesMax]byte
	size   int
	fields fields
	local  int64 // local seconds of the prefix, for forms with a tail
	// suffix is what followed two digits of seconds in a text without a
	// fraction, and tail what it means; suffixSize is -1 when there is none.
	suffix     [suffixBytesMax]byte
	suffixSize int
	tail       fields
	year       int
	day        int64
}

type zoneKind uint8

const (
	zoneNone zoneKind = iota
	zoneOffset
	zoneNamed
)

// fields is what the instructions have read so far.
type fields struct {
	slots    [slotCount]int16
	nanos    int32
	offset   int32 // seconds east, or index of the name
	zone     zoneKind
	negative bool
	unix     int64 // seconds
}

// NewParser returns a parser of its own for one goroutine.
func (l *Layout) NewParser() *Parser {
	p := &Parser{layout: l, caches: make([]cache, len(l.forms)), zone: newZoneCache(l.loc)}
	for i := range p.caches {
		p.caches[i].suffixSize = -1
	}
	return p
}

// Parse returns the time in text in nanoseconds since 1970 UTC. White space
// around the text is ignored, anything else that is not of the format is an
// error: ErrFormat, ErrRange or ErrZone.
//
// reference, also in nanoseconds, serves formats without a year: they get the
// latest year with which the time is at most one day after the reference (and
// 29 February the latest leap year). Formats without a date get the latest day
// with which the time is at most one hour after the reference: usually the same
// day, and the day before for a line written just before midnight.
func (p *Parser) Parse(text []byte, reference int64) (int64, error) {
	if n := len(text); n > 0 && (isSpace(text[0]) || isSpace(text[n-1])) {
		text = trim(text)
	}
	t, err := p.parse(0, text, reference)
	for i := 1; err != nil && i < len(p.layout.forms); i++ {
		var e error
		if t, e = p.parse(i, text, reference); e == nil || err == ErrFormat { //nolint:errorlint // parse returns the value itself, and this is the path of every record
			err = e
		}
	}
	return t, err
}

func (p *Parser) parse(i int, text []byte, reference int64) (int64, error) {
	f, c := &p.layout.forms[i], &p.caches[i]
	if f.kind == number {
		return parseNumber(text, f.unit)
	}
	if t, ok := p.fromMemory(c, text); ok {
		return t, nil
	}
	var v fields
	at, known := c.size, false
	if at > 0 && len(text) >= at && string(text[:at]) == string(c.prefix[:at]) {
		if known = f.tail; !known {
			v = c.fields
		}
	} else if at = 0; f.split > 0 {
		var err error
		if at, err = p.layout.run(f.ops[:f.split], text, 0, &v); err != nil {
			return 0, err
		}
		if at <= prefixBytesMax && (f.splitBytes == 0 || f.splitBytes == at) && !p.forget {
			c.remember(f, text[:at], &v)
		}
	}
	at, err := p.layout.run(f.ops[f.split:], text, at, &v)
	if err != nil {
		return 0, err
	}
	if at != len(text) {
		return 0, ErrFormat
	}
	if known {
		if f.seconds && v.nanos == 0 {
			c.rememberSuffix(text, &v)
		}
		return nanoseconds(p.utc(c.local+int64(v.slots[slotSecond]), &v), int64(v.nanos))
	}
	return p.finish(f, c, &v, reference)
}

// fromMemory reads a text that differs from the one before in its two digits of
// seconds only.
func (p *Parser) fromMemory(c *cache, text []byte) (int64, bool) {
	at := c.size
	if c.suffixSize < 0 || len(text) != at+2+c.suffixSize || string(text[:at]) != string(c.prefix[:at]) ||
		string(text[at+2:]) != string(c.suffix[:c.suffixSize]) {
		return 0, false
	}
	tens, units := text[at]-'0', text[at+1]-'0'
	if tens > 5 || units > 9 { // also a leap second, which is rare
		return 0, false
	}
	t, err := nanoseconds(p.utc(c.local+int64(tens)*10+int64(units), &c.tail), 0)
	return t, err == nil
}

// rememberSuffix keeps what follows the seconds of text, and what it means.
func (c *cache) rememberSuffix(text []byte, v *fields) {
	at := c.size + 2
	if len(text) < at || len(text)-at > len(c.suffix) || text[at-2]-'0' > 9 || text[at-1]-'0' > 9 {
		return
	}
	c.suffixSize, c.tail = copy(c.suffix[:], text[at:]), *v
}

// remember keeps a prefix and what it means.
func (c *cache) remember(f *form, prefix []byte, v *fields) {
	if f.tail {
		day, ok := f.day(v, v.year())
		if !ok {
			return
		}
		c.local = day*secondsPerDay + f.timeOfDay(v)
	}
	copy(c.prefix[:], prefix)
	c.size, c.fields = len(prefix), *v
}

// run executes instructions on text from at on, and returns where they end.
func (l *Layout) run(ops []op, text []byte, at int, v *fields) (int, error) {
	for i := range ops {
		o := &ops[i]
		switch o.code {
		case opNothing:
		case opNumber2, opPadded2, opNumber3, opDigit, opYear4:
			n, next := o.number(text, at)
			if next == at {
				return at, ErrFormat
			}
			if n < int(o.lo) || n > int(o.hi) {
				return at, ErrRange
			}
			v.slots[o.slot], at = int16(n), next
		default:
			next, err := l.runOther(o, text, at, v)
			if err != nil {
				return at, err
			}
			at = next
		}
		switch {
		case o.sep == 0:
		case o.sep == ' ':
			for at < len(text) && isSpace(text[at]) {
				at++
			}
		case at < len(text) && text[at] == o.sep:
			at++
		default:
			return at, ErrFormat
		}
	}
	return at, nil
}

// number reads a number at text[at:]; next is at when there is none.
func (o *op) number(text []byte, at int) (n, next int) {
	width := 2
	switch o.code {
	case opNumber2, opPadded2:
		if at+1 < len(text) {
			tens, units := text[at]-'0', text[at+1]-'0'
			if tens <= 9 && units <= 9 {
				return int(tens)*10 + int(units), at + 2
			}
			if o.code == opPadded2 && text[at] == ' ' && units <= 9 {
				return int(units), at + 2
			}
		}
	case opYear4:
		if at+4 > len(text) {
			return 0, at
		}
		a, b, c, d := text[at]-'0', text[at+1]-'0', text[at+2]-'0', text[at+3]-'0'
		if a > 9 || b > 9 || c > 9 || d > 9 {
			return 0, at
		}
		return int(a)*1000 + int(b)*100 + int(c)*10 + int(d), at + 4
	case opNumber3:
		width = 3
	default:
		width = 1
	}
	for next = at; next < len(text) && next < at+width && text[next]-'0' <= 9; next++ {
		n = n*10 + int(text[next]-'0')
	}
	return n, next
}

// runOther executes the instructions that are not plain numbers.
func (l *Layout) runOther(o *op, text []byte, at int, v *fields) (int, error) {
	next := at
	switch o.code {
	case opMonthName:
		var month int
		month, next = name(text, at, monthOf, monthRests[:])
		v.slots[slotMonth] = int16(month)
	case opWeekdayName:
		_, next = name(text, at, weekdayOf, weekdayRests[:])
	case opAMPM:
		if at+2 <= len(text) && text[at+1]|0x20 == 'm' {
			switch text[at] | 0x20 {
			case 'a':
				v.slots[slotPM], next = 0, at+2
			case 'p':
				v.slots[slotPM], next = 1, at+2
			}
		}
	case opFraction:
		v.nanos, next = fraction(text, at, int(o.width))
	case opOptFraction:
		if at < len(text) && (text[at] == '.' || text[at] == ',') {
			if v.nanos, next = fraction(text, at+1, 0); next == at+1 {
				return at, ErrFormat
			}
		}
		return next, nil
	case opOffset:
		var err error
		if next, err = v.readOffset(text, at); err != nil {
			return at, err
		}
	case opOptOffset:
		if at == len(text) {
			return at, nil
		}
		return v.readOffset(text, at)
	case opZoneName:
		return l.readZoneName(text, at, v)
	case opUnix, opUnixMilli:
		next = v.readUnix(text, at, o.code)
	case opDateSep:
		if at < len(text) && (text[at]|0x20 == 't' || text[at] == ' ') {
			next = at + 1
		}
	}
	if next == at {
		return at, ErrFormat
	}
	return next, nil
}

var powers = [10]int32{1, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9}

// fraction reads digits after a decimal separator as nanoseconds: exactly
// width of them, or any number when width is 0.
func fraction(text []byte, at, width int) (nanos int32, next int) {
	end := len(text)
	if width > 0 {
		if at+width > end {
			return 0, at
		}
		end = at + width
	}
	digits := 0
	for next = at; next < end && text[next]-'0' <= 9; next++ {
		if digits < 9 {
			nanos = nanos*10 + int32(text[next]-'0')
			digits++
		}
	}
	if width > 0 && next != end {
		return 0, at
	}
	return nanos * powers[9-digits], next
}

// unixDigitsMax bounds seconds and milliseconds far above what nanoseconds can
// hold, and below what 64 bits can.
const unixDigitsMax = 18

func (v *fields) readUnix(text []byte, at int, code opcode) int {
	next := at
	if next < len(text) && text[next] == '-' {
		v.negative = true
		next++
	}
	first, n := next, int64(0)
	for next < len(text) && next-first < unixDigitsMax && text[next]-'0' <= 9 {
		n = n*10 + int64(text[next]-'0')
		next++
	}
	if next == first {
		return at
	}
	if code == opUnixMilli {
		v.nanos = int32(n%1000) * 1e6
		n /= 1000
	}
	v.unix = n
	return next
}

const (
	secondsPerDay    = 86400
	nanosPerSecond   = 1_000_000_000
	yearSlackSeconds = secondsPerDay       // how far ahead an inferred year may lie
	daySlackSeconds  = 3600                // how far ahead an inferred day may lie
	yearSeconds      = 364 * secondsPerDay // no two years are nearer, whatever the zone does
	zoneSlackSeconds = 26 * 3600           // no offset is larger
	// leapYearsApart is how many years after one leap year the next may be
	// (1896 and 1904), and one more for the year ahead.
	leapYearsApart = 9
)

// finish turns what was read into a time.
func (p *Parser) finish(f *form, c *cache, v *fields, reference int64) (int64, error) {
	if f.kind == unixTime {
		if v.negative {
			return nanoseconds(-v.unix, -int64(v.nanos))
		}
		return nanoseconds(v.unix, int64(v.nanos))
	}
	tod := f.timeOfDay(v)
	var seconds int64
	switch f.kind {
	case fullDate:
		day, ok := f.day(v, v.year())
		if !ok {
			return 0, ErrRange
		}
		seconds = p.utc(day*secondsPerDay+tod, v)
	case noYear:
		var ok bool
		if seconds, ok = p.inferYear(f, c, v, limits{tod, floorDiv(reference, nanosPerSecond)}); !ok {
			return 0, ErrRange
		}
	case noDate:
		seconds = p.inferDay(c, v, limits{tod, floorDiv(reference, nanosPerSecond)})
	}
	return nanoseconds(seconds, int64(v.nanos))
}

// timeOfDay returns the seconds since midnight.
func (f *form) timeOfDay(v *fields) int64 {
	hour := int64(v.slots[slotHour])
	if f.hours == slotHour12 {
		hour = int64(v.slots[slotHour12])%12 + 12*int64(v.slots[slotPM])
	}
	return hour*3600 + int64(v.slots[slotMinute])*60 + int64(v.slots[slotSecond])
}

func nanoseconds(seconds, nanos int64) (int64, error) {
	const secondsMax = math.MaxInt64/nanosPerSecond - 1
	if seconds < -secondsMax || seconds > secondsMax {
		return 0, ErrRange
	}
	return seconds*nanosPerSecond + nanos, nil
}

// limits are a time of day, and the reference time in seconds.
type limits struct{ tod, reference int64 }

func (p *Parser) inferYear(f *form, c *cache, v *fields, l limits) (int64, bool) {
	limit := l.reference + yearSlackSeconds
	if day, ok := f.day(v, c.year); ok {
		t := p.utc(day*secondsPerDay+l.tod, v)
		if t <= limit && t > limit-yearSeconds {
			return t, true // the next year is beyond the limit
		}
	}
	last := yearOf(floorDiv(limit+zoneSlackSeconds, secondsPerDay))
	for year := last; year >= last-leapYearsApart; year-- {
		day, ok := f.day(v, year)
		if !ok {
			continue
		}
		if t := p.utc(day*secondsPerDay+l.tod, v); t <= limit {
			c.year = year
			return t, true
		}
	}
	return 0, false
}

func (p *Parser) inferDay(c *cache, v *fields, l limits) int64 {
	limit := l.reference + daySlackSeconds
	t := p.utc(c.day*secondsPerDay+l.tod, v)
	if t <= limit && p.utc((c.day+1)*secondsPerDay+l.tod, v) > limit {
		return t
	}
	c.day = floorDiv(limit+zoneSlackSeconds, secondsPerDay)
	for {
		if t = p.utc(c.day*secondsPerDay+l.tod, v); t <= limit {
			return t
		}
		c.day--
	}
}

// utc turns local seconds since 1970 into seconds since 1970 UTC.
func (p *Parser) utc(local int64, v *fields) int64 {
	switch v.zone {
	case zoneOffset:
		return local - int64(v.offset)
	case zoneNamed:
		return p.utcNamed(local, p.layout.zones[v.offset].name)
	default:
		return p.zone.utc(local)
	}
}

// year returns the year read.
func (v *fields) year() int {
	if y := int(v.slots[slotYear]); y != 0 {
		return y
	}
	y := int(v.slots[slotYear2])
	switch century := int(v.slots[slotCentury]); {
	case century != 0:
		return century*100 + y
	case y < 69:
		return 2000 + y
	default:
		return 1900 + y
	}
}

// day returns the days from 1970 to the date read, if the year has it.
func (f *form) day(v *fields, year int) (int64, bool) {
	if f.yday {
		n := int(v.slots[slotYearDay])
		return daysTo(year, 1) + int64(n) - 1, n <= 365 || isLeap(year)
	}
	month, day := int(v.slots[slotMonth]), int(v.slots[slotDay])
	if day > 28 && day > daysIn(year, month) {
		return 0, false
	}
	return daysTo(year, month) + int64(day) - 1, true
}

// monthDays are the days of a year that begins in March before each month.
var monthDays = [13]int64{0, 306, 337, 0, 31, 61, 92, 122, 153, 184, 214, 245, 275}

// daysTo returns the days from 1970 to the first of the month, in the
// Gregorian calendar. Years are not negative.
func daysTo(year, month int) int64 {
	if month <= 2 {
		year--
	}
	y := int64(year)
	return y*365 + floorDiv(y, 4) - floorDiv(y, 100) + floorDiv(y, 400) + monthDays[month] - 719468
}

// yearOf returns the year of a day since 1970.
func yearOf(day int64) int {
	year := 1970 + int(floorDiv(day*400, 146097))
	for daysTo(year, 1) > day {
		year--
	}
	for daysTo(year+1, 1) <= day {
		year++
	}
	return year
}

func daysIn(year, month int) int {
	switch month {
	case 4, 6, 9, 11:
		return 30
	case 2:
		if isLeap(year) {
			return 29
		}
		return 28
	}
	return 31
}

func isLeap(year int) bool { return year%4 == 0 && (year%100 != 0 || year%400 == 0) }

func floorDiv(a, b int64) int64 {
	q := a / b
	if a%b < 0 {
		q--
	}
	return q
}

func isSpace(c byte) bool { return c == ' ' || '\t' <= c && c <= '\r' }

func trim(text []byte) []byte {
	for len(text) > 0 && isSpace(text[0]) {
		text = text[1:]
	}
	for len(text) > 0 && isSpace(text[len(text)-1]) {
		text = text[:len(text)-1]
	}
	return text
}
