package strptime

import "math"

// epochUnit is the nanoseconds of one unit; unitAuto takes it from the number
// of digits.
type epochUnit int64

const unitAuto epochUnit = 0

var epochUnits = map[string]epochUnit{
	"epoch_s":    1e9,
	"epoch_ms":   1e6,
	"epoch_us":   1e3,
	"epoch_ns":   1,
	"epoch_auto": unitAuto,
}

// unitOf guesses the unit of a number of whole digits: until the year 5138
// seconds have at most 11, milliseconds 14 and microseconds 17.
func unitOf(digits int) epochUnit {
	switch {
	case digits <= 11:
		return 1e9
	case digits <= 14:
		return 1e6
	case digits <= 17:
		return 1e3
	}
	return 1
}

// parseNumber reads a decimal number, with a fraction or without, as units
// since 1970. Digits below a nanosecond are dropped.
func parseNumber(text []byte, unit epochUnit) (int64, error) {
	at, negative := 0, false
	if len(text) > 0 && (text[0] == '-' || text[0] == '+') {
		at, negative = 1, text[0] == '-'
	}
	for at+1 < len(text) && text[at] == '0' && text[at+1]-'0' <= 9 {
		at++
	}
	first, n := at, int64(0)
	for at < len(text) && text[at]-'0' <= 9 {
		digit := int64(text[at] - '0')
		if n > (math.MaxInt64-digit)/10 {
			return 0, ErrRange
		}
		n = n*10 + digit
		at++
	}
	if at == first {
		return 0, ErrFormat
	}
	if unit == unitAuto {
		unit = unitOf(at - first)
	}
	part := int32(0)
	if at < len(text) && (text[at] == '.' || text[at] == ',') {
		var next int
		if part, next = fraction(text, at+1, 0); next == at+1 {
			return 0, ErrFormat
		}
		at = next
	}
	if at != len(text) {
		return 0, ErrFormat
	}
	u := int64(unit)
	below := int64(part) / (1e9 / u)
	if n > (math.MaxInt64-below)/u {
		return 0, ErrRange
	}
	t := n*u + below
	if negative {
		t = -t
	}
	return t, nil
}
