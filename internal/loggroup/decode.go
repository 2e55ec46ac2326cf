package loggroup

import (
	"encoding/binary"
	"fmt"
	"math"
)

// Limits of Decode. Beside them, memory is bounded by the input: the smallest
// content takes 6 bytes and makes a Pair of 48.
const (
	// LogsMax is the largest number of Logs in a group.
	LogsMax = 512_000
	// ContentsMax is the largest number of Contents in a Log, and of tags in a
	// group.
	ContentsMax = 10_000
)

// pairsKeptMax is how many pairs (12 MiB of them) a Group keeps between two
// calls of Decode: one huge message must not hold its memory for ever.
const pairsKeptMax = 256 << 10

// Decode reads a LogGroup. The values of g point into data; the memory of g is
// reused. It refuses, and says at which byte, what a sender would not write:
// truncated messages, wire types that are unknown or do not belong to a known
// field, missing required fields, numbers that do not fit, and more than the
// limits. Fields it does not know are skipped. After an error g holds whatever
// was read so far.
func (g *Group) Decode(data []byte) error {
	g.reset()
	d := decoder{data: data}
	for d.at < len(data) {
		tag, ok := d.uvarint(len(data))
		if !ok {
			return d.fail("bad field tag")
		}
		if !d.groupField(g, tag) {
			return d.fail(d.reason)
		}
	}
	return nil
}

func (g *Group) reset() {
	if cap(g.pairs) > pairsKeptMax {
		g.pairs = nil
	}
	if cap(g.Logs) > pairsKeptMax {
		g.Logs = nil
	}
	g.Logs, g.Tags, g.pairs = g.Logs[:0], g.Tags[:0], g.pairs[:0]
	g.Topic, g.Source, g.MachineUUID, g.Category = nil, nil, nil, nil
}

// decoder walks over data. Nested messages are bounded by an end, not by a
// slice, so that at is always a position in the whole.
type decoder struct {
	data   []byte
	at     int
	reason string
}

func (d *decoder) fail(reason string) error {
	return fmt.Errorf("cannot decode log group: %s at byte %d of %d", reason, d.at, len(d.data))
}

// no notes why and returns false.
func (d *decoder) no(reason string) bool {
	d.reason = reason
	return false
}

func (d *decoder) groupField(g *Group, tag uint64) bool {
	end := len(d.data)
	switch tag {
	case groupLogs:
		inner, ok := d.length(end)
		if !ok {
			return d.no("truncated log")
		}
		if len(g.Logs) == LogsMax {
			return d.no("too many logs")
		}
		return d.log(g, inner)
	case groupTags:
		inner, ok := d.length(end)
		if !ok {
			return d.no("truncated tag")
		}
		if len(g.Tags) == ContentsMax {
			return d.no("too many tags")
		}
		g.Tags, ok = d.pair(g.Tags, inner)
		return ok
	case groupCategory:
		return d.bytes(&g.Category, end)
	case groupTopic:
		return d.bytes(&g.Topic, end)
	case groupSource:
		return d.bytes(&g.Source, end)
	case groupMachineUUID:
		return d.bytes(&g.MachineUUID, end)
	}
	if tag>>3 >= 1 && tag>>3 <= 6 {
		return d.no("wrong wire type in a group")
	}
	return d.skip(tag, end)
}

func (d *decoder) log(g *Group, end int) bool {
	var l Log
	hasTime := false
	first := len(g.pairs)
	for d.at < end {
		tag, ok := d.uvarint(end)
		if !ok {
			return d.no("bad field tag")
		}
		switch tag {
		case logContents:
			inner, ok := d.length(end)
			if !ok {
				return d.no("truncated content")
			}
			if len(g.pairs)-first == ContentsMax {
				return d.no("too many contents in a log")
			}
			if g.pairs, ok = d.pair(g.pairs, inner); !ok {
				return false
			}
		case logTime:
			v, ok := d.uvarint(end)
			if !ok || v > math.MaxUint32 {
				return d.no("bad time")
			}
			l.Time, hasTime = uint32(v), true
		case logTimeNS:
			if end-d.at < 4 {
				return d.no("truncated time")
			}
			l.TimeNS = binary.LittleEndian.Uint32(d.data[d.at:])
			d.at += 4
		default:
			if n := tag >> 3; n == 1 || n == 2 || n == 4 {
				return d.no("wrong wire type in a log")
			}
			if !d.skip(tag, end) {
				return false
			}
		}
	}
	if !hasTime {
		return d.no("log without time")
	}
	// The pairs of earlier logs stay valid when append moves g.pairs: they
	// point into the old array, which nobody writes any more.
	l.Contents = g.pairs[first:len(g.pairs):len(g.pairs)]
	g.Logs = append(g.Logs, l)
	return true
}

func (d *decoder) pair(pairs []Pair, end int) ([]Pair, bool) {
	var p Pair
	hasKey, hasValue := false, false
	for d.at < end {
		tag, ok := d.uvarint(end)
		if !ok {
			return pairs, d.no("bad field tag")
		}
		switch tag {
		case pairKey:
			hasKey = d.bytes(&p.Key, end)
			ok = hasKey
		case pairValue:
			hasValue = d.bytes(&p.Value, end)
			ok = hasValue
		case 1<<3 | wireVarint, 1<<3 | wireFixed64, 1<<3 | wireFixed32,
			2<<3 | wireVarint, 2<<3 | wireFixed64, 2<<3 | wireFixed32:
			ok = d.no("wrong wire type in a pair")
		default:
			ok = d.skip(tag, end)
		}
		if !ok {
			return pairs, false
		}
	}
	if !hasKey || !hasValue {
		return pairs, d.no("pair without key or value")
	}
	return append(pairs, p), true
}

// uvarint reads a varint that ends before end.
func (d *decoder) uvarint(end int) (uint64, bool) {
	if d.at < end {
		if c := d.data[d.at]; c < 0x80 {
			d.at++
			return uint64(c), true
		}
	}
	return d.uvarintSlow(end)
}

func (d *decoder) uvarintSlow(end int) (uint64, bool) {
	v, n := binary.Uvarint(d.data[d.at:end])
	if n <= 0 {
		return 0, false
	}
	d.at += n
	return v, true
}

// length reads the length of a nested message and returns where it ends.
func (d *decoder) length(end int) (int, bool) {
	n, ok := d.uvarint(end)
	if !ok || n > uint64(end-d.at) {
		return 0, false
	}
	return d.at + int(n), true
}

func (d *decoder) bytes(to *[]byte, end int) bool {
	last, ok := d.length(end)
	if !ok {
		return d.no("truncated string")
	}
	*to = d.data[d.at:last:last]
	d.at = last
	return true
}

// skip passes over a field that is not known.
func (d *decoder) skip(tag uint64, end int) bool {
	const fieldNumberMax = 1<<29 - 1
	if n := tag >> 3; n == 0 || n > fieldNumberMax {
		return d.no("bad field number")
	}
	n := 0
	switch tag & 7 {
	case wireVarint:
		if _, ok := d.uvarint(end); !ok {
			return d.no("truncated number")
		}
		return true
	case wireFixed64:
		n = 8
	case wireFixed32:
		n = 4
	case wireBytes:
		last, ok := d.length(end)
		if !ok {
			return d.no("truncated field")
		}
		n = last - d.at
	default:
		return d.no("unknown wire type")
	}
	if n > end-d.at {
		return d.no("truncated field")
	}
	d.at += n
	return true
}
