package wt

import (
	"strconv"
	"unsafe"
)

// decimal is a number as it is written: its first digits times a power of ten.
type decimal struct {
	digits uint64 // the first of them, without leading zeros
	count  int    // how many those are, at most digitsMax
	exp    int    // the power of ten
	cut    bool   // digits that do not fit, and are not all zero, were left out
	minus  bool
}

// digitsMax is how many digits always fit into 64 bits.
const digitsMax = 18

// ParseFloat reads a decimal number, such as -12, .5, 1e-3: all of s. It is rounded
// correctly, to zero when it is too small. False for anything else, also for inf,
// nan, hexadecimal digits and underscores, and for what is above the largest float.
func ParseFloat(s []byte) (x float64, ok bool) {
	d, ok := scanDecimal(s)
	if !ok || d.tooLarge() {
		return 0, false
	}
	tens := [...]float64{1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22}
	const exact = 1 << 53 // up to here, and with such powers, one operation rounds once
	switch e := d.exp; {
	case d.digits == 0:
	case !d.cut && d.digits <= exact && e >= 0 && e < len(tens):
		x = float64(d.digits) * tens[e]
	case !d.cut && d.digits <= exact && e < 0 && -e < len(tens):
		x = float64(d.digits) / tens[-e]
	default:
		x, err := strconv.ParseFloat(unsafe.String(unsafe.SliceData(s), len(s)), 64)
		return x, err == nil
	}
	if d.minus {
		x = -x
	}
	return x, true
}

// tooLarge is true for what is above the largest float, 1.797693134862315708e308.
// It keeps numbers from strconv for which that would allocate an error.
func (d *decimal) tooLarge() bool {
	const largest, largestExp = 179769313486231570, 308 - digitsMax + 1
	if d.digits == 0 {
		return false
	}
	n, e := d.digits, d.exp
	for k := d.count; k < digitsMax; k++ {
		n, e = n*10, e-1
	}
	return e > largestExp || e == largestExp && (n > largest+1 || n == largest+1 && d.cut)
}

// scanDecimal is false when s is no number.
func scanDecimal(s []byte) (d decimal, ok bool) {
	i := 0
	if len(s) > 0 && (s[0] == '-' || s[0] == '+') {
		d.minus = s[0] == '-'
		i = 1
	}
	point := false
	for ; i < len(s); i++ {
		c := s[i] - '0'
		switch {
		case s[i] == '.' && !point:
			point = true
			continue
		case c > 9:
			ok = ok && d.exponent(s[i:]) // before d is returned: compilers differ
			return d, ok
		}
		ok = true
		d.add(c, point)
	}
	return d, ok
}

func (d *decimal) add(digit byte, point bool) {
	if d.count == digitsMax {
		d.cut = d.cut || digit != 0
		if !point {
			d.exp++
		}
		return
	}
	d.digits = d.digits*10 + uint64(digit)
	if d.digits != 0 {
		d.count++
	}
	if point {
		d.exp--
	}
}

// exponent reads e and an exponent, all of s.
func (d *decimal) exponent(s []byte) bool {
	if s[0]|32 != 'e' {
		return false
	}
	s = s[1:]
	down := len(s) > 0 && s[0] == '-'
	if len(s) > 0 && (s[0] == '-' || s[0] == '+') {
		s = s[1:]
	}
	const enough = 10000 // of any more digits only the number is looked at
	v := 0
	for _, c := range s {
		if c -= '0'; c > 9 {
			return false
		} else if v < enough {
			v = v*10 + int(c)
		}
	}
	if down {
		v = -v
	}
	d.exp += v
	return len(s) > 0
}
