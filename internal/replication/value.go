package replication

import (
	"encoding/binary"
	"fmt"
	"math"
	"net/netip"
	"slices"
	"strconv"
	"time"

	"github.com/wasmtail/wasmtail/internal/mysqlserver"
)

// The types of columns, as the protocol numbers them.
const (
	typeTiny              = 1
	typeShort             = 2
	typeLong              = 3
	typeFloat             = 4
	typeDouble            = 5
	typeNull              = 6
	typeTimestamp         = 7
	typeLongLong          = 8
	typeInt24             = 9
	typeDate              = 10
	typeTime              = 11
	typeDatetime          = 12
	typeYear              = 13
	typeNewDate           = 14
	typeVarchar           = 15
	typeBit               = 16
	typeTimestamp2        = 17
	typeDatetime2         = 18
	typeTime2             = 19
	typeBlobCompressed    = 140
	typeVarcharCompressed = 141
	typeVector            = 242
	typeJSON              = 245
	typeNewDecimal        = 246
	typeEnum              = 247
	typeSet               = 248
	typeTinyBlob          = 249
	typeMediumBlob        = 250
	typeLongBlob          = 251
	typeBlob              = 252
	typeVarString         = 253
	typeString            = 254
	typeGeometry          = 255
)

// decimalBytes is how many bytes that many digits, less than nine, take.
var decimalBytes = [...]int{0, 1, 1, 2, 2, 3, 3, 4, 4, 4}

// cut takes the bytes of a value of c, without the length in front of them.
func (c *Column) cut(d *decoder) ([]byte, error) {
	var raw []byte
	switch c.typ {
	case typeTiny, typeYear:
		raw = d.take(1)
	case typeShort:
		raw = d.take(2)
	case typeInt24, typeDate, typeTime, typeNewDate:
		raw = d.take(3)
	case typeLong, typeFloat, typeTimestamp:
		raw = d.take(4)
	case typeLongLong, typeDouble, typeDatetime:
		raw = d.take(8)
	case typeTimestamp2:
		raw = d.take(4 + fractionBytes(c.meta))
	case typeDatetime2:
		raw = d.take(5 + fractionBytes(c.meta))
	case typeTime2:
		raw = d.take(3 + fractionBytes(c.meta))
	case typeVarchar, typeVarString, typeVarcharCompressed, typeString:
		n := 1
		if c.meta > 255 {
			n = 2
		}
		raw = d.take(int(d.little(n)))
	case typeBit:
		raw = d.take((int(c.meta>>8)*8 + int(c.meta&0xff) + 7) / 8)
	case typeNewDecimal:
		precision, scale := int(c.meta>>8), int(c.meta&0xff)
		if scale > precision || precision > 65 {
			return nil, fmt.Errorf("%w: a decimal cannot have %d digits, %d of them behind the point", errRow, precision, scale)
		}
		whole := precision - scale
		raw = d.take(whole/9*4 + decimalBytes[whole%9] + scale/9*4 + decimalBytes[scale%9])
	case typeEnum, typeSet:
		if c.meta > 8 {
			return nil, fmt.Errorf("%w: an ENUM or SET cannot have %d bytes", errRow, c.meta)
		}
		raw = d.take(int(c.meta))
	case typeJSON, typeTinyBlob, typeMediumBlob, typeLongBlob, typeBlob, typeGeometry, typeBlobCompressed, typeVector:
		if c.meta < 1 || c.meta > 4 {
			return nil, fmt.Errorf("%w: the length of a BLOB cannot have %d bytes", errRow, c.meta)
		}
		raw = d.take(int(d.little(int(c.meta))))
	default:
		return nil, fmt.Errorf("%w: a column has the type %d, which is not known", errRow, c.typ)
	}
	if d.failed {
		return nil, fmt.Errorf("%w: %w", errRow, errShort)
	}
	return raw, nil
}

func fractionBytes(digits uint16) int { return (min(int(digits), 6) + 1) / 2 }

// Kind is what the values of a column are in JSON.
func (c *Column) Kind() mysqlserver.Kind {
	switch c.typ {
	case typeTiny, typeShort, typeInt24, typeLong, typeLongLong, typeFloat, typeDouble, typeNewDecimal, typeBit, typeYear:
		return mysqlserver.Number
	case typeJSON:
		return mysqlserver.JSON
	}
	return mysqlserver.Text
}

// AppendText appends a value of c, which must be neither absent nor NULL, as text:
// as the server shows it, times in UTC.
func (c *Column) AppendText(dst []byte, v *Value) []byte {
	raw := v.raw
	switch c.typ {
	case typeTiny, typeShort, typeInt24, typeLong, typeLongLong:
		return c.appendInt(dst, raw)
	case typeFloat:
		return appendFloat(dst, float64(math.Float32frombits(binary.LittleEndian.Uint32(raw))), 32)
	case typeDouble:
		return appendFloat(dst, math.Float64frombits(binary.LittleEndian.Uint64(raw)), 64)
	case typeYear:
		if raw[0] == 0 {
			return append(dst, "0000"...)
		}
		return strconv.AppendInt(dst, int64(raw[0])+1900, 10)
	case typeBit:
		return strconv.AppendUint(dst, big(raw), 10)
	case typeNewDecimal:
		return appendDecimal(dst, raw, int(c.meta>>8), int(c.meta&0xff))
	case typeDate, typeNewDate, typeTime, typeDatetime, typeTimestamp, typeTimestamp2, typeDatetime2, typeTime2:
		return c.appendTime(dst, raw)
	case typeEnum:
		return c.appendEnum(dst, raw)
	case typeSet:
		return c.appendSet(dst, raw)
	case typeJSON:
		return appendJSON(dst, raw)
	}
	if c.typ == typeString && c.Charset == charsetBinary && len(raw) < int(c.meta) { // zeros at its end are not in the binlog
		padded := make([]byte, c.meta)
		copy(padded, raw)
		raw = padded
	}
	if c.Declared != "" {
		if text, ok := appendDeclared(dst, c.Declared, raw); ok {
			return text
		}
	}
	return c.appendCharacters(dst, raw)
}

// appendDeclared appends a value of those types of MariaDB that the binlog does not
// tell from BINARY.
func appendDeclared(dst []byte, declared string, raw []byte) ([]byte, bool) {
	switch {
	case declared == "uuid" && len(raw) == 16:
		return append(dst, formatUUID(orderUUID([16]byte(raw)))...), true
	case declared == "inet6" && len(raw) == 16, declared == "inet4" && len(raw) == 4:
		address, _ := netip.AddrFromSlice(raw)
		return address.AppendTo(dst), true
	}
	return dst, false
}

// orderUUID brings a UUID of MariaDB into the order of its text. Tables that were made
// by versions before 10.11.5 have the parts of versions 1 to 5 from the last to the
// first, so that they sort by time: the version is then where the variant should be,
// which no UUID of RFC 9562 in its own order can have.
func orderUUID(u [16]byte) [16]byte {
	if version := u[8] >> 4; version < 1 || version > 5 || u[6]&0xc0 != 0x80 {
		return u
	}
	return [16]byte{u[12], u[13], u[14], u[15], u[10], u[11], u[8], u[9], u[6], u[7], u[0], u[1], u[2], u[3], u[4], u[5]}
}

// big is a number with the highest byte first, of which the last eight count.
func big(raw []byte) (n uint64) {
	for _, b := range raw {
		n = n<<8 | uint64(b)
	}
	return n
}

// little is a number with the lowest byte first.
func little(raw []byte) (n uint64) {
	for i, b := range raw {
		n |= uint64(b) << (8 * i)
	}
	return n
}

func (c *Column) appendInt(dst, raw []byte) []byte {
	n := little(raw)
	if c.Unsigned {
		return strconv.AppendUint(dst, n, 10)
	}
	shift := 64 - 8*len(raw)
	return strconv.AppendInt(dst, int64(n<<shift)>>shift, 10)
}

// appendFloat appends the shortest text that is the number.
func appendFloat(dst []byte, f float64, bits int) []byte {
	if size := math.Abs(f); size != 0 && (size < 1e-5 || size >= 1e15) {
		return strconv.AppendFloat(dst, f, 'e', -1, bits)
	}
	return strconv.AppendFloat(dst, f, 'f', -1, bits)
}

// appendDecimal appends a number of digits in groups of nine, four bytes each; what
// is left over is in front of the whole and behind the fraction.
func appendDecimal(dst, raw []byte, precision, scale int) []byte {
	if len(raw) == 0 {
		return append(dst, '0')
	}
	flip := byte(0)
	if raw[0]&0x80 == 0 {
		flip = 0xff
		dst = append(dst, '-')
	}
	at := 0
	group := func(digits int) (n uint64) {
		for range decimalBytes[digits] {
			b := raw[at] ^ flip
			if at == 0 {
				b ^= 0x80
			}
			n = n<<8 | uint64(b)
			at++
		}
		return n
	}
	whole := precision - scale
	start := len(dst)
	if whole%9 > 0 {
		if n := group(whole % 9); n > 0 {
			dst = strconv.AppendUint(dst, n, 10)
		}
	}
	for range whole / 9 {
		n := group(9)
		switch {
		case len(dst) > start:
			dst = appendDigits(dst, n, 9)
		case n > 0:
			dst = strconv.AppendUint(dst, n, 10)
		}
	}
	if len(dst) == start {
		dst = append(dst, '0')
	}
	if scale == 0 {
		return dst
	}
	dst = append(dst, '.')
	for range scale / 9 {
		dst = appendDigits(dst, group(9), 9)
	}
	if scale%9 > 0 {
		dst = appendDigits(dst, group(scale%9), scale%9)
	}
	return dst
}

// appendDigits appends n with zeros in front, so that it has that many digits.
func appendDigits(dst []byte, n uint64, digits int) []byte {
	start := len(dst)
	for range digits {
		dst = append(dst, '0')
	}
	for i := len(dst) - 1; i >= start; i-- {
		dst[i] = byte('0' + n%10)
		n /= 10
	}
	return dst
}

func (c *Column) appendTime(dst, raw []byte) []byte {
	switch c.typ {
	case typeDate, typeNewDate:
		n := little(raw)
		return appendDate(dst, n>>9, n>>5&15, n&31)
	case typeTime:
		n := int64(little(raw)<<40) >> 40
		if n < 0 {
			dst, n = append(dst, '-'), -n
		}
		return appendClock(dst, uint64(n/10000), uint64(n/100%100), uint64(n%100))
	case typeDatetime:
		n := little(raw)
		dst = appendDate(dst, n/10000000000, n/100000000%100, n/1000000%100)
		return appendClock(append(dst, ' '), n/10000%100, n/100%100, n%100)
	case typeTimestamp:
		return appendStamp(dst, little(raw))
	case typeTimestamp2:
		dst = appendStamp(dst, big(raw[:4]))
		return appendFraction(dst, big(raw[4:]), c.meta)
	case typeDatetime2:
		n := big(raw[:5]) - 1<<39
		month := n >> 22 & (1<<17 - 1)
		dst = appendDate(dst, month/13, month%13, n>>17&31)
		dst = appendClock(append(dst, ' '), n>>12&31, n>>6&63, n&63)
		return appendFraction(dst, big(raw[5:]), c.meta)
	}
	fraction := 8 * (len(raw) - 3)
	n := int64(big(raw)) - 1<<(23+fraction)
	if n < 0 {
		dst, n = append(dst, '-'), -n
	}
	clock := uint64(n) >> fraction
	dst = appendClock(dst, clock>>12&1023, clock>>6&63, clock&63)
	return appendFraction(dst, uint64(n)&(1<<fraction-1), c.meta)
}

func appendDate(dst []byte, year, month, day uint64) []byte {
	dst = appendDigits(dst, year, 4)
	dst = appendDigits(append(dst, '-'), month, 2)
	return appendDigits(append(dst, '-'), day, 2)
}

func appendClock(dst []byte, hour, minute, second uint64) []byte {
	if hour > 99 {
		dst = strconv.AppendUint(dst, hour, 10)
	} else {
		dst = appendDigits(dst, hour, 2)
	}
	dst = appendDigits(append(dst, ':'), minute, 2)
	return appendDigits(append(dst, ':'), second, 2)
}

func appendStamp(dst []byte, seconds uint64) []byte {
	if seconds == 0 {
		return append(dst, "0000-00-00 00:00:00"...)
	}
	return time.Unix(int64(seconds), 0).UTC().AppendFormat(dst, time.DateTime)
}

// appendFraction appends a fraction of a second, which is kept in hundredths, in ten
// thousandths or in millionths.
func appendFraction(dst []byte, n uint64, digits uint16) []byte {
	switch {
	case digits == 0:
		return dst
	case digits > 6:
		digits = 6
	case digits%2 == 1:
		n /= 10
	}
	return appendDigits(append(dst, '.'), n, int(digits))
}

// appendEnum appends the text of a member, its number if the text is not known. 0 is
// what the server puts in the place of a text that is no member.
func (c *Column) appendEnum(dst, raw []byte) []byte {
	n := little(raw)
	if n == 0 {
		return dst
	}
	if n > uint64(len(c.Members)) {
		return strconv.AppendUint(dst, n, 10)
	}
	return append(dst, c.Members[n-1]...)
}

// appendSet appends the texts of members, or the number that stands for all of them.
func (c *Column) appendSet(dst, raw []byte) []byte {
	n := little(raw)
	if n>>len(c.Members) != 0 {
		return strconv.AppendUint(dst, n, 10)
	}
	first := true
	for i, member := range c.Members {
		if n>>i&1 == 0 {
			continue
		}
		if !first {
			dst = append(dst, ',')
		}
		first = false
		dst = append(dst, member...)
	}
	return dst
}

// declaredTypes are the types in the binlog that a column can have which the server
// declares with a type, but for text.
var declaredTypes = map[string][]byte{
	"tinyint": {typeTiny}, "smallint": {typeShort}, "mediumint": {typeInt24}, "int": {typeLong}, "bigint": {typeLongLong},
	"float": {typeFloat}, "double": {typeDouble}, "decimal": {typeNewDecimal}, "bit": {typeBit},
	"date": {typeDate, typeNewDate}, "time": {typeTime, typeTime2}, "year": {typeYear},
	"datetime": {typeDatetime, typeDatetime2}, "timestamp": {typeTimestamp, typeTimestamp2},
	"enum": {typeEnum}, "set": {typeSet}, "json": {typeJSON},
}

// Fits reports whether a column can be the one that the server now declares with a
// type, as information_schema calls it.
func (c *Column) Fits(declared string) bool {
	switch declared {
	case "char", "binary", "varchar", "varbinary", "uuid", "inet6", "inet4",
		"tinytext", "text", "mediumtext", "longtext", "tinyblob", "blob", "mediumblob", "longblob":
		return c.isText()
	}
	types, known := declaredTypes[declared]
	return !known || slices.Contains(types, c.typ)
}
