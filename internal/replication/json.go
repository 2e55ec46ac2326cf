package replication

import (
	"encoding/base64"
	"encoding/binary"
	"math"
	"strconv"

	"github.com/wasmtail/wasmtail/internal/mysqlserver"
)

// The kinds of values in MySQL's binary JSON.
const (
	jsonSmallObject = 0
	jsonLargeObject = 1
	jsonSmallArray  = 2
	jsonLargeArray  = 3
	jsonLiteral     = 4
	jsonInt16       = 5
	jsonUint16      = 6
	jsonInt32       = 7
	jsonUint32      = 8
	jsonInt64       = 9
	jsonUint64      = 10
	jsonDouble      = 11
	jsonString      = 12
	jsonOpaque      = 15
	// jsonDepthMax is the server's own bound.
	jsonDepthMax = 100
)

// appendJSON appends a document of MySQL as JSON text. One that is broken is shown in
// base64: it is not lost.
func appendJSON(dst, raw []byte) []byte {
	if len(raw) == 0 { // a server has put it in the place of NULL
		return append(dst, "null"...)
	}
	j := jsonReader{budget: 16*len(raw) + 1<<10}
	if text, ok := j.value(dst, raw[0], raw[1:], jsonDepthMax); ok {
		return text
	}
	dst = append(dst, mysqlserver.Base64Prefix...)
	return base64.StdEncoding.AppendEncode(dst, raw)
}

// jsonReader counts what it visits: places in a broken document may all point to the
// same part.
type jsonReader struct{ budget int }

// value appends a value of a kind, whose bytes begin with data.
func (j *jsonReader) value(dst []byte, kind byte, data []byte, depth int) ([]byte, bool) {
	j.budget--
	if depth == 0 || j.budget < 0 {
		return dst, false
	}
	d := decoder{rest: data}
	switch kind {
	case jsonSmallObject, jsonLargeObject, jsonSmallArray, jsonLargeArray:
		return j.container(dst, kind, data, depth)
	case jsonLiteral:
		return appendLiteral(dst, d.byte(), d.failed)
	case jsonInt16:
		dst = strconv.AppendInt(dst, int64(int16(d.little(2))), 10)
	case jsonUint16:
		dst = strconv.AppendUint(dst, d.little(2), 10)
	case jsonInt32:
		dst = strconv.AppendInt(dst, int64(int32(d.little(4))), 10)
	case jsonUint32:
		dst = strconv.AppendUint(dst, d.little(4), 10)
	case jsonInt64:
		dst = strconv.AppendInt(dst, int64(d.little(8)), 10)
	case jsonUint64:
		dst = strconv.AppendUint(dst, d.little(8), 10)
	case jsonDouble:
		f := math.Float64frombits(d.little(8))
		if math.IsNaN(f) || math.IsInf(f, 0) {
			return dst, false
		}
		dst = appendFloat(dst, f, 64)
	case jsonString:
		text := d.take(jsonLength(&d))
		j.budget -= len(text)
		dst = mysqlserver.AppendString(dst, text)
	case jsonOpaque:
		typ := d.byte()
		return j.opaque(dst, typ, d.take(jsonLength(&d)), d.failed)
	default:
		return dst, false
	}
	return dst, !d.failed && j.budget >= 0
}

func appendLiteral(dst []byte, literal byte, failed bool) ([]byte, bool) {
	switch {
	case failed || literal > 2:
		return dst, false
	case literal == 1:
		return append(dst, "true"...), true
	case literal == 2:
		return append(dst, "false"...), true
	}
	return append(dst, "null"...), true
}

// jsonLength is a number in groups of seven bits, the lowest first.
func jsonLength(d *decoder) (n int) {
	for shift := 0; shift < 35; shift += 7 {
		b := d.byte()
		n |= int(b&0x7f) << shift
		if b&0x80 == 0 {
			return n
		}
	}
	d.failed = true
	return 0
}

// container appends an object or an array. Its places count from its beginning.
func (j *jsonReader) container(dst []byte, kind byte, data []byte, depth int) ([]byte, bool) {
	width := 2
	if kind == jsonLargeObject || kind == jsonLargeArray {
		width = 4
	}
	object := kind == jsonSmallObject || kind == jsonLargeObject
	d := decoder{rest: data}
	n := int(d.little(width))
	size := int(d.little(width))
	if d.failed || size > len(data) {
		return dst, false
	}
	data = data[:size]
	keys := decoder{rest: d.rest}
	if object {
		_ = d.take(n * (width + 2))
	}
	dst = append(dst, "[{"[btoi(object)])
	for i := range n {
		if i > 0 {
			dst = append(dst, ',')
		}
		if object {
			at, length := int(keys.little(width)), int(keys.little(2))
			if keys.failed || at+length > len(data) {
				return dst, false
			}
			j.budget -= length
			dst = append(mysqlserver.AppendString(dst, data[at:at+length]), ':')
		}
		typ, inline := d.byte(), d.take(width)
		if d.failed {
			return dst, false
		}
		value := inline
		if !isInline(typ, width) {
			at := int(little(inline))
			if at > len(data) {
				return dst, false
			}
			value = data[at:]
		}
		var ok bool
		if dst, ok = j.value(dst, typ, value, depth-1); !ok {
			return dst, false
		}
	}
	return append(dst, "]}"[btoi(object)]), true
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

func isInline(typ byte, width int) bool {
	switch typ {
	case jsonLiteral, jsonInt16, jsonUint16:
		return true
	case jsonInt32, jsonUint32:
		return width == 4
	}
	return false
}

// opaque appends a value of a type of columns.
func (j *jsonReader) opaque(dst []byte, typ byte, data []byte, failed bool) ([]byte, bool) {
	j.budget -= len(data)
	if failed || j.budget < 0 {
		return dst, false
	}
	switch {
	case typ == typeNewDecimal && len(data) > 2:
		c := Column{typ: typ, meta: uint16(data[0])<<8 | uint16(data[1])}
		d := decoder{rest: data[2:]}
		raw, err := c.cut(&d)
		if err != nil {
			return dst, false
		}
		return appendDecimal(dst, raw, int(data[0]), int(data[1])), true
	case (typ == typeTime || typ == typeDate || typ == typeDatetime || typ == typeTimestamp) && len(data) == 8:
		return append(appendPacked(append(dst, '"'), typ, int64(binary.LittleEndian.Uint64(data))), '"'), true
	}
	dst = append(append(dst, '"'), mysqlserver.Base64Prefix...)
	return append(base64.StdEncoding.AppendEncode(dst, data), '"'), true
}

// appendPacked appends a time as a document has it: the fraction in the lower 24
// bits, in millionths.
func appendPacked(dst []byte, typ byte, n int64) []byte {
	if n < 0 {
		dst, n = append(dst, '-'), -n
	}
	whole, fraction := uint64(n)>>24, uint64(n)&(1<<24-1)
	if typ == typeTime {
		return appendFraction(appendClock(dst, whole>>12&1023, whole>>6&63, whole&63), fraction, 6)
	}
	month := whole >> 22
	dst = appendDate(dst, month/13, month%13, whole>>17&31)
	if typ == typeDate {
		return dst
	}
	return appendFraction(appendClock(append(dst, ' '), whole>>12&31, whole>>6&63, whole&63), fraction, 6)
}
