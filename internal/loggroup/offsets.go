package loggroup

import (
	"encoding/binary"
	"errors"

	"github.com/wasmtail/wasmtail/internal/record"
)

// base64Digits is the standard alphabet, used without padding.
const base64Digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"

// base64Values is the inverse of base64Digits; 0xff is not a digit.
var base64Values = func() (values [256]byte) {
	for i := range values {
		values[i] = 0xff
	}
	for i := range len(base64Digits) {
		values[base64Digits[i]] = byte(i)
	}
	return values
}()

// AppendOffsets appends the text of TagOffsets: for each record a signed varint
// (zig-zag, as encoding/binary has it) of its offset less that of the record
// before, for the first one less b.Start, all together in base64 without
// padding. It allocates only to grow dst.
func AppendOffsets(dst []byte, b *record.Batch) []byte {
	var varint [binary.MaxVarintLen64]byte
	var bits uint32 // the low count bits wait to be written
	count := 0
	last := b.Start
	for i := range b.Records {
		n := binary.PutVarint(varint[:], b.Records[i].Offset-last)
		last = b.Records[i].Offset
		for _, c := range varint[:n] {
			bits = bits<<8 | uint32(c)
			count += 8
			for count >= 6 {
				count -= 6
				dst = append(dst, base64Digits[bits>>count&63])
			}
		}
	}
	if count > 0 {
		dst = append(dst, base64Digits[bits<<(6-count)&63])
	}
	return dst
}

var errOffsets = errors.New("cannot parse " + TagOffsets + ": it is not what AppendOffsets writes")

// ParseOffsets appends to dst the offset of each record relative to the start
// of the group's range, and returns it. It refuses text that AppendOffsets
// would not write and offsets before the range's start. Whether there are as
// many as Logs, and whether they lie in the range, is for the caller to check.
// It returns at most one offset for each byte of s.
func ParseOffsets(dst []int64, s []byte) ([]int64, error) {
	var bits uint32
	var value uint64
	count, shift := 0, 0
	last := int64(0)
	for _, c := range s {
		v := base64Values[c]
		if v == 0xff {
			return dst, errOffsets
		}
		bits = bits<<6 | uint32(v)
		count += 6
		if count < 8 {
			continue
		}
		count -= 8
		octet := byte(bits >> count)
		if shift == 63 && octet > 1 {
			return dst, errOffsets
		}
		value |= uint64(octet&0x7f) << shift
		if octet >= 0x80 {
			shift += 7
			continue
		}
		if octet == 0 && shift > 0 {
			return dst, errOffsets // not the shortest form
		}
		delta := int64(value>>1) ^ -int64(value&1)
		// An overflow of the sum shows as a negative offset.
		if last += delta; last < 0 {
			return dst, errOffsets
		}
		dst = append(dst, last)
		value, shift = 0, 0
	}
	if shift != 0 || count >= 6 || bits&(1<<count-1) != 0 {
		return dst, errOffsets // a truncated varint, or stray bits
	}
	return dst, nil
}
