package record

import (
	"bytes"
	"unsafe"
)

// Locate returns the part of b's arena that p lies in, and where in it; nil and
// -1 if p is empty or lies elsewhere. What is between two values of one part may
// be read, and is whatever else was put there.
func (b *Batch) Locate(p []byte) (arena []byte, at int) {
	for _, chunk := range b.arena.list {
		if at := Within(chunk, p); at >= 0 {
			return chunk, at
		}
	}
	return nil, -1
}

// Within returns where p lies in all, -1 if p is empty or not a part of it.
func Within(all, p []byte) int {
	if len(p) == 0 {
		return -1
	}
	// Only the distance of two addresses is looked at, and nothing is read by it.
	//nolint:gosec // see above
	at := uintptr(unsafe.Pointer(unsafe.SliceData(p))) - uintptr(unsafe.Pointer(unsafe.SliceData(all)))
	if at >= uintptr(len(all)) || uintptr(len(p)) > uintptr(len(all))-at {
		return -1
	}
	return int(at)
}

// Clone returns a copy of r in memory of its own, which outlives the batch.
func (r *Record) Clone() Record {
	c := *r
	c.Raw = bytes.Clone(r.Raw)
	c.Fields = make([]Field, len(r.Fields))
	for i, f := range r.Fields {
		c.Fields[i] = Field{Name: bytes.Clone(f.Name), Value: bytes.Clone(f.Value)}
	}
	return c
}

// Adopt returns a copy of r, from another batch or none, in b's arena.
func (b *Batch) Adopt(r *Record) Record {
	c := *r
	c.Raw = b.Copy(r.Raw)
	c.Fields = b.AllocFields(len(r.Fields))
	for _, f := range r.Fields {
		c.Fields = append(c.Fields, Field{Name: b.Copy(f.Name), Value: b.Copy(f.Value)})
	}
	return c
}
