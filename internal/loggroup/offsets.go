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
	w := offsetWriter{dst: dst, last: b.Start}
	for i := range b.Records {
		w.put(b.Records[i].Offset)
	}
	return w.finish()
}

// AppendEnds appends the text of TagEnds: in the form of AppendOffsets, the
// position behind each record that is followed by bytes of the batch that no
// record holds. What ends where the next record begins is not written, so that
// without such bytes there is no text. It allocates only to grow dst.
func AppendEnds(dst []byte, b *record.Batch) []byte {
	w := offsetWriter{dst: dst, last: b.Start}
	for i := 0; i < len(b.Records); {
		offset := b.Records[i].Offset
		end := offset + 1                                                // where the sizes say nothing: the rest of it went elsewhere
		for ; i < len(b.Records) && b.Records[i].Offset == offset; i++ { // what was made of one record
			end = max(end, offset+b.Records[i].Size)
		}
		next := b.End
		if i < len(b.Records) {
			next = b.Records[i].Offset
		}
		if end < next && end > w.last {
			w.put(end)
		}
	}
	return w.finish()
}

// offsetWriter writes varints in base64.
type offsetWriter struct {
	dst   []byte
	bits  uint32 // the low count bits wait to be written
	count int
	last  int64
}

func (w *offsetWriter) put(offset int64) {
	var varint [binary.MaxVarintLen64]byte
	n := binary.PutVarint(varint[:], offset-w.last)
	w.last = offset
	for _, c := range varint[:n] {
		w.bits = w.bits<<8 | uint32(c)
		w.count += 8
		for w.count >= 6 {
			w.count -= 6
			w.dst = append(w.dst, base64Digits[w.bits>>w.count&63])
		}
	}
}

func (w *offsetWriter) finish() []byte {
	if w.count > 0 {
		w.dst = append(w.dst, base64Digits[w.bits<<(6-w.count)&63])
	}
	return w.dst
}

var errOffsets = errors.New("cannot parse " + TagOffsets + ": it is not what AppendOffsets writes")

// ParseOffsets appends to dst the offset of each record, or the end of some,
// relative to the start of the group's range, and returns it. It refuses text that AppendOffsets
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
