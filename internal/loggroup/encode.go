package loggroup

import (
	"encoding/binary"
	"math"
	"math/bits"
	"slices"

	"github.com/wasmtail/wasmtail/internal/record"
)

// Protobuf tags (field number << 3 | wire type) of the messages.
const (
	groupLogs        = 1<<3 | wireBytes
	groupCategory    = 2<<3 | wireBytes
	groupTopic       = 3<<3 | wireBytes
	groupSource      = 4<<3 | wireBytes
	groupMachineUUID = 5<<3 | wireBytes
	groupTags        = 6<<3 | wireBytes

	logTime     = 1<<3 | wireVarint
	logContents = 2<<3 | wireBytes
	logTimeNS   = 4<<3 | wireFixed32

	pairKey   = 1<<3 | wireBytes
	pairValue = 2<<3 | wireBytes
)

const (
	wireVarint  = 0
	wireFixed64 = 1
	wireBytes   = 2
	wireFixed32 = 5
)

// marksBytesMax is enough for the names of all marks.
const marksBytesMax = 128

// Append appends the LogGroup of b to dst. A record without a time gets the
// batch's read time, a time outside of what the message can hold the nearest
// one it can, and a record with marks one more content, record.Marks. It
// allocates only to grow dst.
func Append(dst []byte, b *record.Batch, h *Header) []byte {
	for i := range b.Records {
		dst = appendLog(dst, &b.Records[i], b.ReadTime)
	}
	return appendHeader(dst, h)
}

func appendHeader(dst []byte, h *Header) []byte {
	dst = appendString(dst, groupTopic, h.Topic)
	dst = appendString(dst, groupSource, h.Source)
	dst = appendString(dst, groupMachineUUID, h.MachineUUID)
	for i := range h.Tags {
		dst = appendTag(dst, &h.Tags[i])
	}
	return dst
}

// appendLog measures the record, makes room once and then writes by index: the
// fields are still in the cache for the second pass.
func appendLog(dst []byte, r *record.Record, readTime int64) []byte {
	var marksText [marksBytesMax]byte
	var marks []byte
	if r.Marks != 0 {
		marks = r.Marks.AppendText(marksText[:0])
	}
	t := r.Time
	if t == 0 {
		t = readTime
	}
	sec, ns := splitTime(t)

	size := 1 + uvarintLen(uint64(sec))
	if ns != 0 {
		size += 5
	}
	for i := range r.Fields {
		f := &r.Fields[i]
		if n := len(f.Name) + len(f.Value); n < shortMax {
			size += 6 + n
			continue
		}
		n := pairLen(len(f.Name), len(f.Value))
		size += 1 + uvarintLen(uint64(n)) + n
	}
	if marks != nil {
		n := pairLen(len(record.Marks), len(marks))
		size += 1 + uvarintLen(uint64(n)) + n
	}

	total := 1 + uvarintLen(uint64(size)) + size
	at := len(dst)
	if cap(dst)-at < total {
		dst = slices.Grow(dst, total)
	}
	dst = dst[:at+total]
	p := dst[at:]
	p[0] = groupLogs
	i := putUvarint(p, 1, uint64(size))
	p[i] = logTime
	i = putUvarint(p, i+1, uint64(sec))
	for j := range r.Fields {
		f := &r.Fields[j]
		i = putPair(p, i, f.Name, f.Value)
	}
	if marks != nil {
		i = putPair(p, i, marksName, marks)
	}
	if ns != 0 {
		p[i] = logTimeNS
		binary.LittleEndian.PutUint32(p[i+1:], ns)
	}
	return dst
}

var marksName = []byte(record.Marks)

func splitTime(nano int64) (sec, ns uint32) {
	const second = 1_000_000_000
	switch {
	case nano < 0:
		return 0, 0
	case nano/second > math.MaxUint32:
		return math.MaxUint32, 0
	}
	return uint32(nano / second), uint32(nano % second)
}

// pairLen is the length of a Content or LogTag message.
func pairLen(key, value int) int {
	return 2 + uvarintLen(uint64(key)) + uvarintLen(uint64(value)) + key + value
}

// shortMax bounds keys and values whose lengths together, and that of the pair,
// take a byte each.
const shortMax = 0x80 - 4

func putPair(p []byte, i int, key, value []byte) int {
	if k, v := len(key), len(value); k < shortMax && v < shortMax-k { // all lengths take a byte
		q := p[i : i+6+k+v]
		q[0], q[1], q[2], q[3] = logContents, byte(4+k+v), pairKey, byte(k)
		copy(q[4:], key)
		q = q[4+k:]
		q[0], q[1] = pairValue, byte(v)
		copy(q[2:], value)
		return i + 6 + k + v
	}
	p[i] = logContents
	i = putUvarint(p, i+1, uint64(pairLen(len(key), len(value))))
	return putPairBody(p, i, key, value)
}

func putPairBody(p []byte, i int, key, value []byte) int {
	p[i] = pairKey
	i = putUvarint(p, i+1, uint64(len(key)))
	i += copy(p[i:], key)
	p[i] = pairValue
	i = putUvarint(p, i+1, uint64(len(value)))
	return i + copy(p[i:], value)
}

func appendTag(dst []byte, t *Tag) []byte {
	dst = append(dst, groupTags)
	dst = binary.AppendUvarint(dst, uint64(pairLen(len(t.Key), len(t.Value))))
	dst = append(dst, pairKey)
	dst = binary.AppendUvarint(dst, uint64(len(t.Key)))
	dst = append(dst, t.Key...)
	dst = append(dst, pairValue)
	dst = binary.AppendUvarint(dst, uint64(len(t.Value)))
	return append(dst, t.Value...)
}

func appendString(dst []byte, tag byte, s string) []byte {
	if s == "" {
		return dst
	}
	dst = append(dst, tag)
	dst = binary.AppendUvarint(dst, uint64(len(s)))
	return append(dst, s...)
}

func uvarintLen(v uint64) int {
	return (bits.Len64(v|1)*9 + 64) / 64
}

func putUvarint(p []byte, i int, v uint64) int {
	for v >= 0x80 {
		p[i] = byte(v) | 0x80
		v >>= 7
		i++
	}
	p[i] = byte(v)
	return i + 1
}

// AppendGroup appends the message of a decoded group to dst: to send a part of
// one again. It allocates only to grow dst.
func AppendGroup(dst []byte, g *Group) []byte {
	for i := range g.Logs {
		l := &g.Logs[i]
		size := 1 + uvarintLen(uint64(l.Time))
		if l.TimeNS != 0 {
			size += 5
		}
		for _, p := range l.Contents {
			n := pairLen(len(p.Key), len(p.Value))
			size += 1 + uvarintLen(uint64(n)) + n
		}
		dst = append(dst, groupLogs)
		dst = binary.AppendUvarint(dst, uint64(size))
		dst = append(dst, logTime)
		dst = binary.AppendUvarint(dst, uint64(l.Time))
		dst = appendPairs(dst, logContents, l.Contents)
		if l.TimeNS != 0 {
			dst = append(dst, logTimeNS)
			dst = binary.LittleEndian.AppendUint32(dst, l.TimeNS)
		}
	}
	dst = appendString(dst, groupCategory, string(g.Category))
	dst = appendString(dst, groupTopic, string(g.Topic))
	dst = appendString(dst, groupSource, string(g.Source))
	dst = appendString(dst, groupMachineUUID, string(g.MachineUUID))
	return appendPairs(dst, groupTags, g.Tags)
}

func appendPairs(dst []byte, tag byte, pairs []Pair) []byte {
	for _, p := range pairs {
		n := pairLen(len(p.Key), len(p.Value))
		at := len(dst) + 1 + uvarintLen(uint64(n))
		dst = slices.Grow(dst, at+n-len(dst))
		dst = append(dst, tag)
		dst = binary.AppendUvarint(dst, uint64(n))
		dst = dst[:at+n]
		putPairBody(dst, at, p.Key, p.Value)
	}
	return dst
}
