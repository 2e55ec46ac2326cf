package wt

const second = 1_000_000_000

// digits reads all of s, or is -1.
func digits(s []byte) int {
	v := 0
	for _, c := range s {
		d := c - '0'
		if d > 9 {
			return -1
		}
		v = v*10 + int(d)
	}
	return v
}

func daysIn(year, month int) int {
	switch month {
	case 2:
		if year%4 == 0 && year%100 != 0 || year%400 == 0 {
			return 29
		}
		return 28
	case 4, 6, 9, 11:
		return 30
	}
	return 31
}

// clock is a time of day on a date.
type clock struct{ year, month, day, hour, min, sec int }

// seconds since 1970, or false when there is no such time. A leap second is the
// second after it.
func (c *clock) seconds() (int64, bool) {
	const before = "\x00\x00\x00\x1f\x00\x3b\x00\x5a\x00\x78\x00\x97\x00\xb5\x00\xd4\x00\xf3\x01\x11\x01\x30\x01\x4e" // days before a month, two bytes each
	const to1970 = 719162
	if c.year < 1678 || c.year > 2261 || c.month < 1 || c.month > 12 || c.day < 1 || c.day > daysIn(c.year, c.month) {
		return 0, false
	}
	if c.hour < 0 || c.hour > 23 || c.min < 0 || c.min > 59 || c.sec < 0 || c.sec > 60 {
		return 0, false
	}
	full := c.year - 1
	days := full*365 + full/4 - full/100 + full/400 - to1970 + c.day - 1
	days += int(before[2*c.month-2])<<8 | int(before[2*c.month-1])
	if c.month > 2 && daysIn(c.year, 2) == 29 {
		days++
	}
	return int64(days)*86400 + int64(c.hour*3600+c.min*60+c.sec), true
}

// zone reads seconds east of UTC: Z, +hh:mm, +hhmm or +hh, all of s.
func zone(s []byte) (int64, bool) {
	if len(s) == 1 {
		return 0, s[0]|32 == 'z'
	}
	if len(s) < 3 || s[0] != '+' && s[0] != '-' {
		return 0, false
	}
	h, m := digits(s[1:3]), 0
	switch {
	case len(s) == 6 && s[3] == ':':
		m = digits(s[4:])
	case len(s) == 5:
		m = digits(s[3:])
	case len(s) != 3:
		return 0, false
	}
	if h < 0 || h > 23 || m < 0 || m > 59 {
		return 0, false
	}
	if s[0] == '-' {
		h, m = -h, -m
	}
	return int64(h*3600 + m*60), true
}

// fraction reads the digits that s begins with, at least one, as nanoseconds; what
// is smaller is cut off.
func fraction(s []byte) (ns int64, rest []byte, ok bool) {
	i := 0
	for unit := int64(second / 10); i < len(s) && s[i]-'0' < 10; i++ {
		ns += int64(s[i]-'0') * unit
		unit /= 10
	}
	return ns, s[i:], i > 0
}

// TimeRFC3339 reads 2006-01-02T15:04:05.999999999+07:00, all of s. A blank or t
// may stand for T, a comma for the point, and without a zone it is UTC. Years 1678
// to 2261; the result is nanoseconds since 1970 UTC.
func TimeRFC3339(s []byte) (ns int64, ok bool) {
	if len(s) < 19 || s[4] != '-' || s[7] != '-' || s[10]|32 != 't' && s[10] != ' ' || s[13] != ':' || s[16] != ':' {
		return 0, false
	}
	c := clock{digits(s[:4]), digits(s[5:7]), digits(s[8:10]), digits(s[11:13]), digits(s[14:16]), digits(s[17:19])}
	sec, ok := c.seconds()
	if !ok {
		return 0, false
	}
	frac := int64(0)
	if s = s[19:]; len(s) > 0 && (s[0] == '.' || s[0] == ',') {
		if frac, s, ok = fraction(s[1:]); !ok {
			return 0, false
		}
	}
	east := int64(0)
	if len(s) > 0 {
		if east, ok = zone(s); !ok {
			return 0, false
		}
	}
	return (sec-east)*second + frac, true
}

// TimeCLF reads 02/Jan/2006:15:04:05 -0700, all of s.
func TimeCLF(s []byte) (ns int64, ok bool) {
	if len(s) != 26 || s[2] != '/' || s[6] != '/' || s[11] != ':' || s[14] != ':' || s[17] != ':' || s[20] != ' ' {
		return 0, false
	}
	c := clock{digits(s[7:11]), month(s[3:6]), digits(s[:2]), digits(s[12:14]), digits(s[15:17]), digits(s[18:20])}
	sec, ok := c.seconds()
	if !ok {
		return 0, false
	}
	east, ok := zone(s[21:])
	return (sec - east) * second, ok
}

// TimeEpoch reads a number of units since 1970, with or without a fraction, all of
// s; perSecond is 1 for seconds, 1000 for milliseconds, 1000000 or 1000000000. Not
// negative, and false beyond the year 2261. What is below a nanosecond is cut off.
func TimeEpoch(s []byte, perSecond int64) (ns int64, ok bool) {
	const most = 1<<63 - 1
	n, frac := 0, int64(0)
	for n < len(s) && s[n]-'0' < 10 {
		n++
	}
	if perSecond < 1 || perSecond > second {
		return 0, false
	}
	v, ok := ParseInt(s[:n])
	unit := second / perSecond
	if !ok || v > most/unit-1 {
		return 0, false
	}
	if s = s[n:]; len(s) > 0 && s[0] == '.' {
		if frac, s, ok = fraction(s[1:]); !ok {
			return 0, false
		}
	}
	return v*unit + frac/perSecond, len(s) == 0
}

// TimeSyslog reads Jan _2 15:04:05, all of s, as UTC. It has no year: it is the
// latest such time that is not more than a day after now (see Now).
func TimeSyslog(s []byte, now int64) (ns int64, ok bool) {
	const day, meanYear = 86400 * second, 31556952 * second
	if len(s) != 15 || s[3] != ' ' || s[6] != ' ' || s[9] != ':' || s[12] != ':' {
		return 0, false
	}
	days := s[4:6]
	if days[0] == ' ' {
		days = days[1:]
	}
	c := clock{0, month(s), digits(days), digits(s[7:9]), digits(s[10:12]), digits(s[13:15])}
	first := 1970 + int(now/meanYear) // off by one at most
	for c.year = first + 2; c.year > first-10; c.year-- {
		if sec, ok := c.seconds(); ok && sec*second-day <= now {
			return sec * second, true
		}
	}
	return 0, false
}

// month of Jan is 1, of what is none -1.
func month(s []byte) int {
	const names = "janfebmaraprmayjunjulaugsepoctnovdec"
	for i := 0; i < len(names); i += 3 {
		if s[0]|32 == names[i] && s[1]|32 == names[i+1] && s[2]|32 == names[i+2] {
			return i/3 + 1
		}
	}
	return -1
}
