package loggroup

import (
	"encoding/binary"
	"slices"

	"github.com/golang/snappy"

	"github.com/wasmtail/wasmtail/internal/record"
)

const (
	// snappyBlock is what the format compresses at a time, by itself.
	snappyBlock = 64 << 10
	// snappyHeaderMax is enough for the length that a body begins with.
	snappyHeaderMax = binary.MaxVarintLen32
)

// SnappyAppender makes the bytes of Append and Compressor.Append with Snappy, one
// block after the other: what was encoded is still in the processor's cache when
// it is compressed. It keeps its memory from one call to the next, and is not safe
// for concurrent use.
type SnappyAppender struct {
	raw []byte // encoded and not compressed, less than a block and a record
}

// Append appends the compressed LogGroup of b to dst, and returns its size before
// compression.
func (z *SnappyAppender) Append(dst []byte, b *record.Batch, h *Header) (body []byte, rawBytes int) {
	start := len(dst)
	dst = append(dst, make([]byte, snappyHeaderMax)...)
	z.raw = z.raw[:0]
	for i := range b.Records {
		z.raw = appendLog(z.raw, &b.Records[i], b.ReadTime)
		if len(z.raw) >= snappyBlock {
			var n int
			dst, n = z.blocks(dst)
			rawBytes += n
		}
	}
	z.raw = appendHeader(z.raw, h)
	dst, n := z.blocks(dst)
	rawBytes += n + len(z.raw)
	if len(z.raw) > 0 {
		dst = appendSnappyBlock(dst, z.raw)
	}
	if cap(z.raw) > snappyKept {
		z.raw = nil
	}
	var header [snappyHeaderMax]byte
	size := binary.PutUvarint(header[:], uint64(rawBytes))
	end := start + size + copy(dst[start+size:], dst[start+snappyHeaderMax:])
	copy(dst[start:], header[:size])
	return dst[:end], rawBytes
}

// snappyKept bounds what is held on to after one huge record.
const snappyKept = 1 << 20

// blocks compresses the whole blocks of z.raw, and returns how many bytes they had.
func (z *SnappyAppender) blocks(dst []byte) (out []byte, n int) {
	for len(z.raw)-n >= snappyBlock {
		dst = appendSnappyBlock(dst, z.raw[n:n+snappyBlock])
		n += snappyBlock
	}
	z.raw = z.raw[:copy(z.raw, z.raw[n:])]
	return dst, n
}

// appendSnappyBlock appends a block without its length. The library writes that
// first: over the last bytes of dst, which are put back.
func appendSnappyBlock(dst, block []byte) []byte {
	var kept [snappyHeaderMax]byte
	size := binary.PutUvarint(kept[:], uint64(len(block)))
	at := len(dst) - size
	copy(kept[:], dst[at:])
	dst = slices.Grow(dst, snappy.MaxEncodedLen(len(block)))
	n := len(snappy.Encode(dst[at:cap(dst)], block))
	dst = dst[:at+n]
	copy(dst[at:], kept[:size])
	return dst
}
