package record

import (
	"crypto/sha256"
	"encoding/base64"
	"strconv"
)

// Identity makes texts that name the records of one stream, so that a receiver can
// tell a repeated record from an equal one: the name of a record depends on the
// agent, the stream, the generation of its file and its offset in it, and not on
// when or in which batch it is sent. Records that a processor has made of one, and
// that follow each other, are counted. Not safe for concurrent use.
type Identity struct {
	// Agent and Stream, such as a pipeline and its log store, must not change.
	Agent, Stream string

	generation string
	prefix     []byte
	last       int64 // the offset of the record before
	again      int64 // how many with it there were
}

// identityBytes of a hash: of more streams than there will ever be, no two have
// the same.
const identityBytes = 16

// Start must be called for each batch, before the first of its records.
func (i *Identity) Start(b *Batch) {
	i.last, i.again = -1, 0
	if i.prefix != nil && i.generation == b.Origin.Generation {
		return
	}
	i.generation = b.Origin.Generation
	sum := sha256.Sum256([]byte(i.Agent + "\x00" + i.Stream + "\x00" + i.generation))
	i.prefix = append(base64.RawURLEncoding.AppendEncode(i.prefix[:0], sum[:identityBytes]), '.')
}

// IDBytesMax is how long a name may be.
const IDBytesMax = 22 + 1 + 13 + 1 + 13

// AppendID appends the name of the next record of the batch: letters, digits, `-`,
// `_` and `.`.
func (i *Identity) AppendID(dst []byte, r *Record) []byte {
	if r.Offset != i.last {
		i.last, i.again = r.Offset, 0
	}
	dst = strconv.AppendInt(append(dst, i.prefix...), r.Offset, 36)
	if i.again > 0 {
		dst = strconv.AppendInt(append(dst, '.'), i.again, 36)
	}
	i.again++
	return dst
}
