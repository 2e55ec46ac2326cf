// Package record is the data model of the agent: a batch of records whose
// bytes lie in one arena.
//
// A batch has one owner at a time: whoever holds the pointer. Handing the
// pointer over gives the batch away. Nothing in this package is safe for
// concurrent use, and it starts no goroutines. Everything a batch hands out
// (bytes, fields, records) dies with Release; built with the race detector or
// with -tags invariants, Release overwrites it, so that a kept slice shows.
package record

import "sync/atomic"

// Reserved field names. They are Log Service's where it has one.
const (
	// Content holds the whole line of a record that no processor has split.
	Content = "content"
	// RawLog holds the original line of a record that could not be parsed.
	RawLog = "__raw_log__"
	// Error holds the reason why a record could not be parsed.
	Error = "__error__"
	// Marks holds the comma-separated names of a record's marks.
	Marks = "__marks__"
	// Format holds the name of the format that the record's file was found to have.
	Format = "__format__"
)

// Field is one key and value of a record. Both point into the arena of the
// batch, or to memory that lives longer than the batch (a configured name).
type Field struct{ Name, Value []byte }

// Mark says something about a record that its fields do not.
type Mark uint16

// The marks of a record.
const (
	// Split marks every piece of a record that was longer than the limit.
	Split Mark = 1 << iota
	// Partial marks a record delivered by time-out, before its end was seen.
	Partial
	// InvalidUTF8 marks a record with bytes that are not valid UTF-8.
	InvalidUTF8
	// NUL marks a record that contains a NUL byte.
	NUL
	// Late marks a record whose event time is older than the pipeline's max_age.
	Late
	// Failed marks a record that a processor could not parse.
	Failed
)

var markNames = [...]string{"split", "partial", "invalid_utf8", "nul", "late", "failed"}

// AppendText appends the names of m's marks, comma-separated, to dst.
func (m Mark) AppendText(dst []byte) []byte {
	first := true
	for i, name := range markNames {
		if m&(1<<i) == 0 {
			continue
		}
		if !first {
			dst = append(dst, ',')
		}
		first = false
		dst = append(dst, name...)
	}
	return dst
}

// Record is one log record. It belongs to its batch.
type Record struct {
	// Time is the event time in nanoseconds since 1970 UTC, 0 when unknown.
	Time int64
	// Offset and Size are the record's byte range in its source, line ends
	// included: the ledger counts in these bytes.
	Offset int64
	Size   int64
	// Raw is the line as framed (after decoding of the character set), without
	// its line end. Processors must not change its bytes.
	Raw []byte
	// Fields in order. A record as framed has one: Content.
	Fields []Field
	Marks  Mark
	// Route is the log store that the record goes to: 0 for the pipeline's own,
	// else its place in the pipeline's list of routes, from 1.
	Route uint8
}

// Field returns the value of the first field with that name, nil if there is
// none, and its index, -1 if there is none.
func (r *Record) Field(name string) ([]byte, int) {
	for i := range r.Fields {
		if string(r.Fields[i].Name) == name {
			return r.Fields[i].Value, i
		}
	}
	return nil, -1
}

// Origin is where the records of a batch come from. It is immutable, and
// shared by all batches of one source generation.
type Origin struct {
	// Generation names one life of one file: a new file, or the same file
	// after truncation, has a new one. 16 lower-case hex digits; unique for
	// this agent and durable before the first batch that carries it is emitted.
	Generation string
	// Path of the file when the generation was first seen.
	Path string
	// Source picks the lane: batches of one source stay in order.
	Source uint64
	// Ledger counts what became of the generation's records since this process
	// began to read it. Never nil.
	Ledger *Ledger
}

// Ledger counts records and their source bytes by outcome. Sent ones were given to
// the queues of all outputs, acknowledged ones are delivered or durable there. Framed, with Reshaped,
// equals the sum of Parsed, Failed, Filtered and what is still under way. Safe
// for concurrent use.
type Ledger struct {
	Framed, Parsed, Failed, Filtered, Sent, Acked Tally
	// Reshaped is how many records processors have added by splitting, less those
	// that they have joined to others: Framed and Reshaped equal the sum.
	Reshaped atomic.Int64
}

// Tally is a number of records and their source bytes.
type Tally struct{ Records, Bytes atomic.Int64 }

// Add counts records with that many source bytes.
func (t *Tally) Add(records int, bytes int64) {
	t.Records.Add(int64(records))
	t.Bytes.Add(bytes)
}

// Batch is a run of records from one origin, and the arena they live in.
type Batch struct {
	Origin *Origin
	// Start and End are the byte range of the source that this batch accounts
	// for, including bytes of records that were filtered out of it.
	Start, End int64
	// ReadTime is when the bytes were read, nanoseconds since 1970 UTC.
	ReadTime int64
	// Header is the line of the source that was, before the first record, the last to
	// say how those after it are to be read, such as the names of columns; nil where
	// there is none. It is shared and immutable, and outlives the batch.
	Header []byte
	// Records in the order of the source. Processors edit it in place.
	Records []Record
	// Filtered counts the records, and FilteredBytes their source bytes, that
	// an explicit rule has removed from Records.
	Filtered      int
	FilteredBytes int64
	// Reshaped is how many records a processor has added, less those it has joined
	// to others: see Ledger.
	Reshaped int
	// Final says that nothing of the origin will follow for now: a processor that
	// holds records back for the next batch must not.
	Final bool
	// Format is the format that the file was found to have, in which the records
	// are framed; "" if nobody has looked.
	Format string
	// Routed is set in a part of a batch that goes to another log store than the
	// pipeline's own. Its range is that of the whole batch.
	Routed bool

	arena  chunks[byte]
	fields chunks[Field]
	live   bool
}

// Add appends a record with the single field Content, copying raw into the
// arena, and returns it for the caller to fill in Offset, Size and Marks. The
// pointer is valid until the next Add.
func (b *Batch) Add(raw []byte) *Record { return b.AddOwn(b.Copy(raw)) }

// AddOwn is Add for bytes that lie in b's arena already, such as a part of what
// Copy returned.
func (b *Batch) AddOwn(raw []byte) *Record {
	fields := append(b.AllocFields(1), Field{Name: contentName, Value: raw})
	b.Records = append(b.Records, Record{Raw: raw, Fields: fields})
	return &b.Records[len(b.Records)-1]
}

var contentName = []byte(Content)

// Copy copies p into the arena.
func (b *Batch) Copy(p []byte) []byte {
	dst := b.Alloc(len(p))
	copy(dst, p)
	return dst
}

// Alloc returns n arena bytes of unspecified content, with no spare capacity.
func (b *Batch) Alloc(n int) []byte { return b.arena.take(n, &arenaPool)[:n:n] }

// AllocFields returns an empty slice of capacity n. Appending more than n
// fields to it moves it to the heap, so ask for what is needed.
func (b *Batch) AllocFields(n int) []Field {
	return b.fields.take(n, &fieldPool)[:0:n]
}

var (
	rawLogName = []byte(RawLog)
	errorName  = []byte(Error)
)

// Fail marks r, a record of b, as one that could not be parsed: the fields it
// has so far stay, except drop (an index, or -1), and RawLog with the original
// line and Error with the reason are added. reason is not copied: it must
// outlive the batch or lie in its arena. A record fails once: the first reason
// stays.
func (b *Batch) Fail(r *Record, drop int, reason []byte) {
	if r.Marks&Failed != 0 {
		return
	}
	fields := b.AllocFields(len(r.Fields) + 2)
	for i := range r.Fields {
		if i != drop {
			fields = append(fields, r.Fields[i])
		}
	}
	r.Fields = append(fields, Field{Name: rawLogName, Value: r.Raw}, Field{Name: errorName, Value: reason})
	r.Marks |= Failed
}

// Keep removes from b all records for which keep returns false, and counts
// them as filtered.
func (b *Batch) Keep(keep func(*Record) bool) {
	kept := b.Records[:0]
	for i := range b.Records {
		r := &b.Records[i]
		if keep(r) {
			kept = append(kept, *r)
			continue
		}
		b.Filtered++
		b.FilteredBytes += r.Size
	}
	clear(b.Records[len(kept):])
	b.Records = kept
}

// Part returns what of b goes to one route, for as long as b lives: n records.
// The part of route 0 accounts for what was filtered.
func (b *Batch) Part(route uint8, n int) Batch {
	part := Batch{Origin: b.Origin, Start: b.Start, End: b.End, ReadTime: b.ReadTime, Routed: route != 0, Records: make([]Record, 0, n)}
	for i := range b.Records {
		if b.Records[i].Route == route {
			part.Records = append(part.Records, b.Records[i])
		}
	}
	if route == 0 {
		part.Filtered, part.FilteredBytes = b.Filtered, b.FilteredBytes
	}
	return part
}
