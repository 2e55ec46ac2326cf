package fieldlist

import "github.com/wasmtail/wasmtail/internal/record"

// Source is the field of a record that a processor reads.
type Source struct {
	// Name of the field.
	Name string
	// Keep leaves the field in the record.
	Keep bool
	// Missing is the reason with which a record without the field fails.
	Missing []byte
}

// SourceFor returns the source of a processor of that type.
func SourceFor(processor, name string, keep bool) Source {
	return Source{Name: name, Keep: keep, Missing: []byte(processor + ": no such field")}
}

// Find returns the value and the index of the field of r, a record of b. It
// passes over a record that failed before, and marks one without the field as
// failed: ok is false then.
func (s *Source) Find(b *record.Batch, r *record.Record) (value []byte, at int, ok bool) {
	if r.Marks&record.Failed != 0 {
		return nil, -1, false
	}
	if value, at = r.Field(s.Name); at < 0 {
		b.Fail(r, -1, s.Missing)
		return nil, -1, false
	}
	return value, at, true
}

// Drop is at, the index of the field, or -1 if it is kept.
func (s *Source) Drop(at int) int {
	if s.Keep {
		return -1
	}
	return at
}

// Open begins the list of r, a record of b, with its fields except the source,
// whose value is returned. When ok is false, r is done with.
func (l *List) Open(b *record.Batch, r *record.Record) (value []byte, ok bool) {
	value, at, ok := l.Source.Find(b, r)
	if !ok {
		return nil, false
	}
	l.drop = l.Source.Drop(at)
	l.Start(r, l.drop)
	return value, true
}

// Close ends what Open began: r gets the fields of the list or, if there is a
// reason, is marked as failed.
func (l *List) Close(b *record.Batch, r *record.Record, reason []byte) {
	if reason != nil {
		b.Fail(r, l.drop, reason)
		return
	}
	l.Store(b, r)
}
