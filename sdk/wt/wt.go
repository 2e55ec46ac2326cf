// Package wt makes parsers for the wasmtail agent in Go, ABI 1. It imports only
// the standard library and little of it; copy it beside a parser or import it.
// Build a parser, a package main, with Go 1.24 or newer
//
//	GOOS=wasip1 GOARCH=wasm go build -buildmode=c-shared -ldflags="-s -w" -o parser.wasm .
//
// or with TinyGo, which makes modules of a fiftieth of the size that are faster:
//
//	tinygo build -target=wasip1 -buildmode=c-shared -scheduler=none -no-debug -opt=2 -o parser.wasm .
//
// A parser is a type and one line:
//
//	type simple struct{}
//
//	func (simple) Setup(s *wt.Setup) error {
//		s.Name("simple", "1.0.0")
//		s.Field("level", wt.String, "the level, as written")
//		s.Field("code", wt.Int, "the number after it")
//		return nil
//	}
//
//	func (simple) Parse(r *wt.Row, line []byte) wt.Status {
//		level, ok := wt.Until(&line, ' ')
//		if !ok {
//			return wt.NoMatch
//		}
//		code, ok := wt.ParseInt(line)
//		if !ok {
//			return r.Error(1, "code")
//		}
//		r.Str(0, level)
//		r.Int(1, code)
//		return wt.OK
//	}
//
//	var _ = wt.Register(simple{})
//
//	func main() {}
//
// The package exports what the agent calls, walks over the events of a batch,
// writes the progress word before each, and writes rows straight into the table
// that the agent reads. When the table or the arena is full it hands the rest of
// the batch back, and gets it again.
//
// Memory: a line, and what Until and its like cut out of it, lasts until the next
// batch, and putting a part of it copies nothing. Other values go into the arena
// (Arena, Copy, Join, Unescape, Lookup), which is emptied before each batch, or are
// constants (Text). A value that Go has allocated must be reachable until the
// next batch. Nothing here allocates for a line, nothing is safe for several
// goroutines, and no goroutine is started.
//
// On other platforms than wasip1 the package compiles too: Lookup reads TryTables,
// and Try runs the registered parser over lines, for tests.
package wt

import "unsafe"

const (
	outBytes   = 512 << 10 // the table of rows: 16 a row and 12 a field
	arenaBytes = 512 << 10 // values made in a batch
	rowWords   = 4
	fieldWords = 3
	words      = outBytes / 4
)

// CodeTooLarge is the code of a row that does not fit even when it is alone.
const CodeTooLarge = 255

const tooLarge = "row too large"

// Status is what a parser says of a line.
type Status uint32

// The fields of a row that is not OK are forgotten.
const (
	OK      Status = iota // parsed
	NoMatch               // not of this format
	Failed                // of this format, and wrong
)

// Kind is the type of a field.
type Kind uint32

// Kinds of fields.
const (
	String Kind = 0
	Int    Kind = 1
	Float  Kind = 2
	Bool   Kind = 3
	Bytes  Kind = 5
	JSON   Kind = 6
)

// Caps are what a parser needs leave for.
type Caps uint32

// Capabilities.
const (
	CapJoin        Caps = 1 << iota // rows for several events, events left for later
	CapDrop                         // Row.Drop
	CapSplit                        // several rows for one event
	CapRoute                        // Row.Route
	CapTime                         // Row.Time
	CapDynamicKeys                  // Row.Key
)

// Severities, as OpenTelemetry numbers them.
const (
	SeverityTrace = 1
	SeverityDebug = 5
	SeverityInfo  = 9
	SeverityWarn  = 13
	SeverityError = 17
	SeverityFatal = 21
)

// Ids of fields that are no columns, and where a kind stands in the word of an id.
const (
	idTime     = 0xF001
	idSeverity = 0xF002
	idBody     = 0xF003
	idRoute    = 0xF004
	idTraceID  = 0xF005
	idSpanID   = 0xF006
	idError    = 0xF007
	idKey      = 0xFFFF
	kindShift  = 16
)

// Parser makes one row of each line.
type Parser interface {
	// Setup is called once; an error refuses the configuration.
	Setup(s *Setup) error
	// Parse puts the fields of a line.
	Parse(r *Row, line []byte) Status
}

// BatchParser goes over the events of a batch itself.
type BatchParser interface {
	// Setup is called once; an error refuses the configuration.
	Setup(s *Setup) error
	// Process makes rows: for i below b.Count(), r := b.Begin(i, n), puts, and
	// `if !b.End(OK) { return }`. Events without a row come again, which is how a
	// joiner waits for more; when b.Final(), leave none.
	Process(b *Batch)
}

// guest is the one parser of this module and what the agent reads. Values are
// addressed by offsets, so that storing them needs no write barrier.
var guest struct {
	line  Parser
	batch BatchParser
	b     Batch
	row   Row
	setup Setup
	info  [8]uint32
	end   [8]uint32 // the result of a batch
	table [words]uint32
	arena [arenaBytes]byte

	data    uintptr // the data of this batch
	dataLen uintptr
	used    int  // bytes of the arena in use
	room    int  // bytes of values outside of the data that the agent still takes
	full    bool // a value of this row found no room
	regions [][]byte
}

// Register makes p the parser of this module: var _ = wt.Register(p).
func Register(p Parser) struct{} {
	guest.line = p
	return struct{}{}
}

// RegisterBatch is Register for a parser of batches.
func RegisterBatch(p BatchParser) struct{} {
	guest.batch = p
	return struct{}{}
}

// Text is the bytes of a string, which must not be changed.
func Text(s string) []byte { return unsafe.Slice(unsafe.StringData(s), len(s)) }

// address is where a value is in the memory of a module. It is never followed here.
func address(p []byte) uint32 { return uint32(uintptr(unsafe.Pointer(unsafe.SliceData(p)))) } // addresses of a module have 32 bits

// at follows an address of the region that p points into.
func at(p unsafe.Pointer, addr uint32) unsafe.Pointer {
	return unsafe.Add(p, int(int32(addr-uint32(uintptr(p))))) // as above
}

// Arena returns n bytes that last until the next batch, not cleared, or nil when
// there is no room. Then the row is given back, so return anything.
func Arena(n int) []byte {
	g := &guest
	if n < 0 || n > arenaBytes-g.used || n > g.room {
		g.full = true
		return nil
	}
	p := g.arena[g.used : g.used+n : g.used+n]
	g.used += n
	g.room -= n
	return p
}

// Shrink gives back the end of p, the newest piece of the arena, but for its
// first n bytes, and returns those.
func Shrink(p []byte, n int) []byte {
	guest.used -= len(p) - n
	guest.room += len(p) - n
	return p[:n:n]
}

// Join copies a and then b into the arena.
func Join(a, b []byte) []byte {
	p := Arena(len(a) + len(b))
	if p != nil {
		copy(p, a)
		copy(p[len(a):], b)
	}
	return p
}

// Copy copies s into the arena.
func Copy(s []byte) []byte { return Join(s, nil) }

// charge counts a value that is not in the data; those of the arena were counted
// when they were made.
func charge(p []byte) {
	a, g := uintptr(unsafe.Pointer(unsafe.SliceData(p))), &guest
	if a-uintptr(unsafe.Pointer(&g.arena)) < arenaBytes {
		return
	}
	if len(p) > g.room {
		g.full = true
		return
	}
	g.room -= len(p)
}

// Row is the row being written. Its fields are put in order, and none twice.
type Row struct {
	out, head     uintptr // offsets in the table, bytes: the next field, this row
	first, events uint32
	code, action  uint32
	flags         uint32
	full          bool
	why           string
}

func (r *Row) put(word, a, b uint32) {
	out := r.out
	if out > outBytes-4*fieldWords {
		r.full = true
		return
	}
	f := (*[fieldWords]uint32)(unsafe.Add(unsafe.Pointer(&guest.table), out))
	f[0], f[1], f[2] = word, a, b
	r.out = out + 4*fieldWords
}

func (r *Row) putRange(word uint32, v []byte) {
	a := uintptr(unsafe.Pointer(unsafe.SliceData(v)))
	if a-guest.data > guest.dataLen {
		charge(v)
	}
	out := r.out
	if out > outBytes-4*fieldWords {
		r.full = true
		return
	}
	f := (*[fieldWords]uint32)(unsafe.Add(unsafe.Pointer(&guest.table), out))
	f[0], f[1], f[2] = word, uint32(a), uint32(len(v)) // addresses of a module have 32 bits
	r.out = out + 4*fieldWords
}

// Str puts a string: UTF-8, or what the line has instead (the agent repairs it).
// At most 1 MiB. The id is what Setup.Field returned, and is ignored after Key.
func (r *Row) Str(id uint32, v []byte) { r.putRange(id, v) }

// Bytes puts bytes that are not meant to be text.
func (r *Row) Bytes(id uint32, v []byte) { r.putRange(id|uint32(Bytes)<<kindShift, v) }

// JSON puts a JSON value, which must be valid and at most 64 deep.
func (r *Row) JSON(id uint32, v []byte) { r.putRange(id|uint32(JSON)<<kindShift, v) }

// Int puts a signed integer.
func (r *Row) Int(id uint32, n int64) {
	r.put(id|uint32(Int)<<kindShift, uint32(n), uint32(n>>32)) // both halves of it
}

// Float puts a number; NaN and infinities leave the field out.
func (r *Row) Float(id uint32, x float64) {
	n := *(*uint64)(unsafe.Pointer(&x))
	r.put(id|uint32(Float)<<kindShift, uint32(n), uint32(n>>32)) // both halves of it
}

// Bool puts true or false.
func (r *Row) Bool(id uint32, x bool) {
	n := uint32(0)
	if x {
		n = 1
	}
	r.put(id|uint32(Bool)<<kindShift, n, 0)
}

// Key names the field that is put next. 1 to 256 bytes. Needs CapDynamicKeys.
func (r *Row) Key(name []byte) { r.putRange(idKey, name) }

// Time sets the record's time, nanoseconds since 1970 UTC. Needs CapTime.
func (r *Row) Time(ns int64) { r.Int(idTime, ns) }

// Severity sets the record's severity, 1 to 24: SeverityInfo and so on.
func (r *Row) Severity(n int) { r.Int(idSeverity, int64(n)) }

// Body sets the record's message.
func (r *Row) Body(v []byte) { r.putRange(idBody, v) }

// Route names the log store for the record, one of the pipeline's routes. Needs
// CapRoute.
func (r *Row) Route(store []byte) { r.putRange(idRoute, store) }

// TraceID sets the trace, 16 bytes.
func (r *Row) TraceID(id []byte) { r.putRange(idTraceID|uint32(Bytes)<<kindShift, id) }

// SpanID sets the span, 8 bytes.
func (r *Row) SpanID(id []byte) { r.putRange(idSpanID|uint32(Bytes)<<kindShift, id) }

// KeepRaw keeps the line beside the fields of this row.
func (r *Row) KeepRaw() { r.flags |= 1 }

// Error says that the line is wrong and why, to be returned from Parse: a code of
// your own from 0 to 255, which the agent counts, and at most 256 bytes.
func (r *Row) Error(code uint32, why string) Status {
	r.code, r.why = code, why
	return Failed
}

// NoMatch is Error for a line that is not of the format.
func (r *Row) NoMatch(code uint32, why string) Status {
	r.code, r.why = code, why
	return NoMatch
}

// Drop removes the line, to be returned from Parse. Needs CapDrop. The agent
// counts it as filtered.
func (r *Row) Drop() Status {
	r.action = 1
	return OK
}
