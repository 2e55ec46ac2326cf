package fileout

import (
	"context"
	"encoding/binary"
	"math/bits"
	"slices"
	"time"
	"unicode/utf8"

	"github.com/wasmtail/wasmtail/internal/loggroup"
	"github.com/wasmtail/wasmtail/internal/record"
)

// timeKey and tagPrefix are how Log Service names these when it exports them.
const (
	timeKey   = "__time__"
	tagPrefix = "__tag__:"
)

// textEncoder writes the lines as they were read.
type textEncoder struct{}

// Encode appends the lines of b to dst.
func (textEncoder) Encode(_ context.Context, dst []byte, b *record.Batch) ([]byte, error) {
	for i := range b.Records {
		dst = append(dst, b.Records[i].Raw...)
		dst = append(dst, '\n')
	}
	return dst, nil
}

// jsonEncoder writes an object for each record: the time, the fields in their
// order, the marks, and what holds for the whole batch. It allocates only to
// grow dst.
type jsonEncoder struct {
	hostname, pipeline, logstore string
	tail                         []byte // the end of each object of a batch
}

// Encode appends the objects of b's records to dst.
func (e *jsonEncoder) Encode(_ context.Context, dst []byte, b *record.Batch) ([]byte, error) {
	e.tail = e.tail[:0]
	for _, tag := range [...]loggroup.Tag{
		{Key: loggroup.TagPath, Value: b.Origin.Path},
		{Key: loggroup.TagHostname, Value: e.hostname},
		{Key: loggroup.TagPipeline, Value: e.pipeline},
		{Key: "__logstore__", Value: e.logstore},
	} {
		if tag.Value == "" {
			continue
		}
		e.tail = append(e.tail, `,"`+tagPrefix...)
		e.tail = append(e.tail, tag.Key...)
		e.tail = append(e.tail, `":"`...)
		e.tail = appendEscaped(e.tail, []byte(tag.Value))
		e.tail = append(e.tail, '"')
	}
	e.tail = append(e.tail, "}\n"...)
	for i := range b.Records {
		dst = e.appendRecord(dst, &b.Records[i], b.ReadTime)
	}
	return dst, nil
}

func (e *jsonEncoder) appendRecord(dst []byte, r *record.Record, readTime int64) []byte {
	t := r.Time
	if t == 0 {
		t = readTime
	}
	dst = append(dst, `{"`+timeKey+`":"`...)
	dst = time.Unix(0, t).UTC().AppendFormat(dst, time.RFC3339Nano)
	dst = append(dst, '"')
	for i := range r.Fields {
		f := &r.Fields[i]
		dst = append(dst, `,"`...)
		if isReserved(f.Name) {
			dst = append(dst, '_')
		}
		dst = appendEscaped(dst, f.Name)
		dst = append(dst, `":"`...)
		dst = appendEscaped(dst, f.Value)
		dst = append(dst, '"')
	}
	if r.Marks != 0 {
		dst = append(dst, `,"`+record.Marks+`":"`...)
		dst = r.Marks.AppendText(dst)
		dst = append(dst, '"')
	}
	return append(dst, e.tail...)
}

// isReserved is true for names that a line must not forge: a field that has
// one is written with one more underscore in front.
func isReserved(name []byte) bool {
	if len(name) < 2 || name[0] != '_' || name[1] != '_' {
		return false
	}
	return string(name) == timeKey || string(name) == record.Marks ||
		len(name) > len(tagPrefix) && string(name[:len(tagPrefix)]) == tagPrefix
}

// appendEscaped appends s as the inside of a JSON string. A byte that is not
// part of valid UTF-8 becomes U+FFFD.
func appendEscaped(dst, s []byte) []byte {
	dst = slices.Grow(dst, len(s))
	start := 0 // of what is not yet copied
	for i := 0; i < len(s); {
		if n := plainLen(s[i:]); n > 0 {
			i += n
			continue
		}
		c := s[i]
		if c >= utf8.RuneSelf {
			r, size := utf8.DecodeRune(s[i:])
			if r != utf8.RuneError || size > 1 {
				i += size
				continue
			}
			dst = append(dst, s[start:i]...)
			dst = utf8.AppendRune(dst, utf8.RuneError)
		} else {
			dst = append(dst, s[start:i]...)
			dst = appendEscape(dst, c)
		}
		i++
		start = i
	}
	return append(dst, s[start:]...)
}

// appendEscape appends the escape of a control character, quote or backslash.
func appendEscape(dst []byte, c byte) []byte {
	const digits = "0123456789abcdef"
	switch c {
	case '"', '\\':
		return append(dst, '\\', c)
	case '\n':
		return append(dst, '\\', 'n')
	case '\r':
		return append(dst, '\\', 'r')
	case '\t':
		return append(dst, '\\', 't')
	}
	return append(dst, '\\', 'u', '0', '0', digits[c>>4], digits[c&15])
}

// plainLen is the number of bytes at the start of s that need no escape,
// counted eight at a time: ASCII without control characters, quote and
// backslash.
func plainLen(s []byte) int {
	i := 0
	for ; i+8 <= len(s); i += 8 {
		if m := special(binary.LittleEndian.Uint64(s[i:])); m != 0 {
			return i + bits.TrailingZeros64(m)/8
		}
	}
	for ; i < len(s); i++ {
		if c := s[i]; c < ' ' || c >= utf8.RuneSelf || c == '"' || c == '\\' {
			return i
		}
	}
	return i
}

// special has the high bit set in the lowest byte of w that needs an escape; in
// bytes above it there may be false ones. It is 0 when there is none.
func special(w uint64) uint64 {
	const ones, high = 0x0101010101010101, 0x8080808080808080
	quote, backslash := w^(ones*'"'), w^(ones*'\\')
	return (w | (w - ones*' ') | (quote - ones) | (backslash - ones)) & high
}
