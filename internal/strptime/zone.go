package strptime

import (
	"math"
	"slices"
	"strings"
	"time"
	"unicode"
)

// readOffset reads an offset from UTC.
func (v *fields) readOffset(text []byte, at int) (int, error) {
	if at == len(text) {
		return at, ErrFormat
	}
	c := text[at]
	switch {
	case c == 'Z' || c == 'z':
		v.zone, v.offset = zoneOffset, 0
		return at + 1, nil
	case c == 'U' || c == 'G':
		if at+3 > len(text) || string(text[at:at+3]) != "UTC" && string(text[at:at+3]) != "GMT" {
			return at, ErrZone
		}
		v.zone, v.offset = zoneOffset, 0
		at += 3
		if at == len(text) || text[at] != '+' && text[at] != '-' {
			return at, nil
		}
	case c != '+' && c != '-':
		return at, ErrFormat
	}
	negative := text[at] == '-'
	at++
	hours, next := digits2(text, at)
	if next == at {
		return at, ErrFormat
	}
	minutes := 0
	if next == at+2 {
		m := next
		if m < len(text) && text[m] == ':' {
			m++
		}
		if m+1 < len(text) && text[m]-'0' <= 9 && text[m+1]-'0' <= 9 {
			minutes, next = digits2(text, m)
		}
	}
	if hours > 23 || minutes > 59 {
		return at, ErrRange
	}
	v.zone, v.offset = zoneOffset, int32(hours*3600+minutes*60)
	if negative {
		v.offset = -v.offset
	}
	return next, nil
}

func digits2(text []byte, at int) (n, next int) {
	for next = at; next < len(text) && next < at+2 && text[next]-'0' <= 9; next++ {
		n = n*10 + int(text[next]-'0')
	}
	return n, next
}

// readZoneName reads an abbreviation. An offset read before stays.
func (l *Layout) readZoneName(text []byte, at int, v *fields) (int, error) {
	next := at
	for next < len(text) && 'a' <= text[next]|0x20 && text[next]|0x20 <= 'z' {
		next++
	}
	if next == at {
		return at, ErrFormat
	}
	word := text[at:next]
	zone := zoneNamed
	index := 0
	switch string(word) {
	case "UTC", "GMT", "Z", "UT":
		zone = zoneOffset
	default:
		for index < len(l.zones) && l.zones[index].name != string(word) {
			index++
		}
		if index == len(l.zones) {
			return at, ErrZone
		}
	}
	if v.zone != zoneOffset {
		v.zone, v.offset = zone, int32(index)
	}
	return next, nil
}

// zoneName is an abbreviation and an offset that it stands for.
type zoneName struct {
	name   string
	offset int64
}

// zoneNames lists the abbreviations of a location since 1970, newest first. It
// looks at every second week until 2040: Time.ZoneBounds, which would name the
// changes, can return an end that is not after the time it was asked for.
func zoneNames(loc *time.Location) []zoneName {
	const step = 14 * 24 * time.Hour
	var names []zoneName
	for t := time.Date(2040, 1, 1, 0, 0, 0, 0, time.UTC); t.Unix() >= 0; t = t.Add(-step) {
		name, offset := t.In(loc).Zone()
		n := zoneName{name, int64(offset)}
		if !slices.Contains(names, n) && strings.ContainsFunc(name, unicode.IsLetter) {
			names = append(names, n)
		}
	}
	return names
}

// utcNamed takes an abbreviation by the offset it had at that time, or else by
// the newest one it had.
func (p *Parser) utcNamed(local int64, name string) int64 {
	z := &p.zone
	if local >= z.lo && local < z.hi && z.name == name {
		return local - z.offset
	}
	newest, found := int64(0), false
	for _, n := range p.layout.zones {
		if n.name != name {
			continue
		}
		if !found {
			newest, found = n.offset, true
		}
		at, offset := time.Unix(local-n.offset, 0).In(z.loc).Zone()
		if at == name && int64(offset) == n.offset {
			return local - n.offset
		}
	}
	return local - newest
}

// zoneCache remembers for which local times the offset of a location is known
// beyond doubt. Near a change of offset it asks the time package each time.
type zoneCache struct {
	loc    *time.Location
	lo, hi int64 // local seconds since 1970
	offset int64
	name   string
}

func newZoneCache(loc *time.Location) zoneCache { return zoneCache{loc: loc} }

func (z *zoneCache) utc(local int64) int64 {
	if local >= z.lo && local < z.hi {
		return local - z.offset
	}
	return z.lookup(local)
}

func (z *zoneCache) lookup(local int64) int64 {
	days := floorDiv(local, secondsPerDay)
	t := time.Date(1970, 1, 1+int(days), 0, 0, int(local-days*secondsPerDay), 0, z.loc)
	name, offset := t.Zone()
	lo, hi := int64(math.MinInt64), int64(math.MaxInt64)
	start, end := t.ZoneBounds()
	if !start.IsZero() {
		lo = start.Unix() + zoneSlackSeconds
	}
	if !end.IsZero() {
		hi = end.Unix() - zoneSlackSeconds
	}
	// Both the local time read as UTC and the time itself lie in the bounds,
	// so that time.Date, which tries these two, finds one offset.
	if lo <= local && local < hi && lo <= t.Unix() && t.Unix() < hi {
		z.lo, z.hi, z.offset, z.name = lo, hi, int64(offset), name
	}
	return t.Unix()
}
