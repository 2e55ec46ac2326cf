package syslog

import (
	"bytes"
	"time"
)

// takeStamp reads the time that a message of RFC 3164 begins with, and returns its
// length, 0 if there is none. Years and fractions, and the form of RFC 3339, are
// understood too: many senders use them.
func (p *parser) takeStamp(line []byte) int {
	if len(line) > 10 && isDigit(line[0]) && line[10] == 'T' {
		n := bytes.IndexByte(line, ' ')
		if n < 0 {
			n = len(line)
		}
		n = len(bytes.TrimSuffix(line[:n], []byte(":")))
		t, ok := parseRFC3339(line[:n])
		if !ok {
			return 0
		}
		p.time = t
		return n
	}
	if len(line) < stampBytes {
		return 0
	}
	if string(p.last[:]) == string(line[:stampBytes]) && p.now-p.lastNow < int64(time.Minute) && p.now >= p.lastNow {
		p.time = p.lastTime
		return stampBytes + p.takeFraction(line[stampBytes:])
	}
	month := monthOf(line[:3])
	day, ok := number(line[4:6], 1, 31)
	if line[4] == ' ' {
		day, ok = number(line[5:6], 1, 9)
	}
	if month == 0 || !ok || line[3] != ' ' || line[6] != ' ' {
		return 0
	}
	year, clock := 0, 7
	if len(line) >= stampBytes+5 && line[11] == ' ' {
		if year, ok = number(line[7:11], 1, 9999); ok {
			clock = 12
		}
	}
	seconds, ok := clockTime(line[clock : clock+8])
	if !ok {
		return 0
	}
	p.time = p.nearest(date{year, month, day, seconds})
	if year == 0 {
		copy(p.last[:], line)
		p.lastTime, p.lastNow = p.time, p.now
	}
	return clock + 8 + p.takeFraction(line[clock+8:])
}

// takeFraction adds the fraction of a second that line begins with, and returns its
// length.
func (p *parser) takeFraction(line []byte) int {
	nanos, n := fraction(line)
	if p.time != 0 {
		p.time += nanos
	}
	return n
}

// date is a time without a zone; year is 0 where it is not known.
type date struct {
	year    int
	month   time.Month
	day     int
	seconds int // of the day
}

// nearest is what a time means; without a year, the one nearest to now. It is 0 if
// there is no such day.
func (p *parser) nearest(d date) int64 {
	first, last := d.year, d.year
	if d.year == 0 {
		now := time.Unix(0, p.now).In(p.zone).Year()
		first, last = now-1, now+1
	}
	var best int64
	for year := first; year <= last; year++ {
		t := time.Date(year, d.month, d.day, 0, 0, d.seconds, 0, p.zone)
		if t.Day() != d.day { // the 29th of February
			continue
		}
		if n := t.UnixNano(); best == 0 || abs(n-p.now) < abs(best-p.now) {
			best = n
		}
	}
	return best
}

func abs(n int64) int64 { return max(n, -n) }

// parseRFC3339 reads a time such as 2003-10-11T22:14:15.003Z. Up to nine digits of a
// fraction are read, RFC 5424 allows six.
func parseRFC3339(s []byte) (nanos int64, ok bool) {
	if len(s) < len("2003-10-11T22:14:15Z") || s[4] != '-' || s[7] != '-' || s[10] != 'T' {
		return 0, false
	}
	year, okY := number(s[:4], 0, 9999)
	month, okM := number(s[5:7], 1, 12)
	day, okD := number(s[8:10], 1, 31)
	seconds, okC := clockTime(s[11:19])
	if !okY || !okM || !okD || !okC {
		return 0, false
	}
	part, n := fraction(s[19:])
	offset, ok := zoneOffset(s[19+n:])
	if !ok || day > daysOf(year, time.Month(month)) {
		return 0, false
	}
	if year < 1678 || year > 2261 {
		return 0, true // nanoseconds do not fit: it is not known
	}
	t := time.Date(year, time.Month(month), day, 0, 0, seconds-offset, 0, time.UTC)
	return t.UnixNano() + part, true
}

func daysOf(year int, month time.Month) int {
	return time.Date(year, month+1, 0, 0, 0, 0, 0, time.UTC).Day()
}

// zoneOffset reads Z or +01:00, and returns seconds east of Greenwich.
func zoneOffset(s []byte) (int, bool) {
	if len(s) == 1 && s[0] == 'Z' {
		return 0, true
	}
	if len(s) != 6 || s[3] != ':' || s[0] != '+' && s[0] != '-' {
		return 0, false
	}
	hours, okH := number(s[1:3], 0, 23)
	minutes, okM := number(s[4:6], 0, 59)
	offset := hours*3600 + minutes*60
	if s[0] == '-' {
		offset = -offset
	}
	return offset, okH && okM
}

// clockTime reads 15:04:05 as seconds of the day.
func clockTime(s []byte) (int, bool) {
	hours, okH := number(s[:2], 0, 23)
	minutes, okM := number(s[3:5], 0, 59)
	seconds, okS := number(s[6:8], 0, 59)
	return hours*3600 + minutes*60 + seconds, okH && okM && okS && s[2] == ':' && s[5] == ':'
}

// fraction reads .123 as nanoseconds, and returns its length, 0 if s does not begin
// with one.
func fraction(s []byte) (nanos int64, n int) {
	if len(s) < 2 || s[0] != '.' || !isDigit(s[1]) {
		return 0, 0
	}
	unit := int64(time.Second) / 10
	for n = 1; n < len(s) && n <= 9 && isDigit(s[n]); n++ {
		nanos += int64(s[n]-'0') * unit
		unit /= 10
	}
	return nanos, n
}

func number(s []byte, least, most int) (n int, ok bool) {
	for _, c := range s {
		if !isDigit(c) {
			return 0, false
		}
		n = n*10 + int(c-'0')
	}
	return n, n >= least && n <= most
}

const months = "JanFebMarAprMayJunJulAugSepOctNovDec"

// monthOf is the month with that name of three letters, 0 if there is none.
func monthOf(s []byte) time.Month {
	for i := 0; i < len(months); i += 3 {
		if months[i:i+3] == string(s) {
			return time.Month(i/3 + 1)
		}
	}
	return 0
}
