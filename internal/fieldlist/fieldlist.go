// Package fieldlist finds the field that a processor reads, gathers the new
// fields of one record before it is known whether the record can be parsed, and
// decides what becomes of a name that comes twice.
//
// A List belongs to one lane and is used for one record after another. It may
// hold parts of a batch until Drop, which ends the use of that batch, and
// allocates nothing once it has grown to the largest record.
package fieldlist

import (
	"bytes"
	"slices"

	"github.com/wasmtail/wasmtail/internal/record"
)

// Duplicates says what becomes of a name that comes twice.
type Duplicates uint8

// Ways to treat a name that comes twice.
const (
	Last  Duplicates = iota // the later value takes the place of the earlier one
	First                   // the later value is dropped
	Keep                    // both stay
)

// ParseDuplicates returns the way with that name: last, first or keep; ""
// means last.
func ParseDuplicates(name string) (d Duplicates, ok bool) {
	switch name {
	case "", "last":
		return Last, true
	case "first":
		return First, true
	case "keep":
		return Keep, true
	}
	return Last, false
}

// List is the field list of one record under construction.
type List struct {
	// Source is the field that Open reads.
	Source Source
	// Duplicates is how names that come twice are treated.
	Duplicates Duplicates

	fields []record.Field
	drop   int    // the field that the record at hand loses, or -1
	seen   uint64 // one bit for each class of names that are in the list
}

// Start empties the list and puts in the fields of r, except drop (an index,
// or -1).
func (l *List) Start(r *record.Record, drop int) {
	l.fields, l.seen = l.fields[:0], 0
	for i := range r.Fields {
		if i != drop {
			l.fields = append(l.fields, r.Fields[i])
			l.seen |= 1 << class(r.Fields[i].Name)
		}
	}
}

// Add adds a field. Name and value must live as long as the batch.
func (l *List) Add(name, value []byte) {
	if l.Duplicates != Keep && l.settle(name, value) {
		return
	}
	n := len(l.fields)
	if n == cap(l.fields) {
		l.fields = slices.Grow(l.fields, 1)
	}
	// A literal would be built elsewhere and copied, at several times the cost.
	l.fields = l.fields[:n+1]
	f := &l.fields[n]
	f.Name, f.Value = name, value
}

// settle deals with a name that is in the list already, and reports whether it
// is.
func (l *List) settle(name, value []byte) bool {
	bit := uint64(1) << class(name)
	if l.seen&bit == 0 {
		l.seen |= bit
		return false
	}
	for i := range l.fields {
		if bytes.Equal(l.fields[i].Name, name) {
			if l.Duplicates == Last {
				l.fields[i].Value = value
			}
			return true
		}
	}
	return false
}

// Take removes the first field of that name from the list and returns its value, nil
// if there is none.
func (l *List) Take(name []byte) []byte {
	for i := range l.fields {
		if bytes.Equal(l.fields[i].Name, name) {
			value := l.fields[i].Value
			l.fields = slices.Delete(l.fields, i, i+1)
			return value
		}
	}
	return nil
}

// Len returns the number of fields in the list.
func (l *List) Len() int { return len(l.fields) }

// Store gives r, a record of b, the fields of the list, and empties the list.
func (l *List) Store(b *record.Batch, r *record.Record) {
	r.Fields = append(b.AllocFields(len(l.fields)), l.fields...)
	l.fields = l.fields[:0]
}

// Drop empties the list and forgets all parts of batches.
func (l *List) Drop() {
	clear(l.fields[:cap(l.fields)])
	l.fields = l.fields[:0]
}

// class spreads names over 64 classes by their length and ends: names of
// different classes differ.
func class(name []byte) uint {
	if len(name) == 0 {
		return 0
	}
	return (uint(len(name)) + 7*uint(name[0]) + 31*uint(name[len(name)-1]) + 11*uint(name[len(name)/2])) & 63
}
