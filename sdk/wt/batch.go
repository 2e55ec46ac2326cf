package wt

import "unsafe"

// header is the batch as the agent writes it.
type header struct {
	size, flags, events, table, data, length, maxOut, mark uint32
	now                                                    int64
	seq                                                    uint64
	stream, meta, metaLen, unused                          uint32
}

type event struct {
	offset, length, flags, unused uint32
	time                          int64
}

// Flags of an event.
const (
	EventSplit   = 1 << iota // a piece of an over-long line
	EventPartial             // its end was not seen
	EventInvalid             // not valid UTF-8
)

// mark is a state of the table to go back to.
type mark struct {
	out            uintptr
	rows, consumed uint32
}

// Batch is the batch being parsed.
type Batch struct {
	in     *header
	events unsafe.Pointer
	data   unsafe.Pointer
	count  int
	now    mark
	split  mark // before the first row of the newest event
	newest uint32
}

// Count is how many events the batch has, at least 1.
func (b *Batch) Count() int { return b.count }

// Final is true when all events must be consumed, because nothing follows.
func (b *Batch) Final() bool { return b.in.flags&1 != 0 }

// Stream tells sources apart: a batch is of one.
func (b *Batch) Stream() uint32 { return b.in.stream }

func (b *Batch) event(i int) *event {
	if uint(i) >= uint(b.count) { // negative ones are too large
		panic("BUG: no such event")
	}
	return (*event)(unsafe.Add(b.events, uintptr(i)*unsafe.Sizeof(event{}))) // within the table
}

// Line is event i, without its line end.
func (b *Batch) Line(i int) []byte {
	e := b.event(i)
	return unsafe.Slice((*byte)(unsafe.Add(b.data, e.offset)), int(e.length))
}

// EventFlags are EventSplit and so on.
func (b *Batch) EventFlags(i int) uint32 { return b.event(i).flags }

// EventTime is a time that the source knew, ns since 1970 UTC, or 0.
func (b *Batch) EventTime(i int) int64 { return b.event(i).time }

// Now is the time to use, ns since 1970 UTC. The same for a whole batch.
func Now() int64 { return guest.b.in.now }

// Meta is a JSON object about the source of this batch, empty when it is the same
// as in the last batch of its stream.
func Meta() []byte {
	in := guest.b.in
	if in.metaLen == 0 {
		return nil
	}
	return unsafe.Slice((*byte)(at(unsafe.Pointer(in), in.meta)), int(in.metaLen))
}

// Begin begins a row for some events from first on. A row begins where the one
// before it ended or, with CapSplit, where that one began; more than one event
// needs CapJoin.
func (b *Batch) Begin(first, events int) *Row {
	f := uint32(first) // an index of the batch
	b.in.mark = f
	if f != b.newest {
		b.newest, b.split = f, b.now
	}
	r := &guest.row
	r.head, r.out = b.now.out, b.now.out+4*rowWords
	r.full = r.out > outBytes
	r.first, r.events = f, uint32(events) // as above
	r.code, r.action, r.flags = 0, 0, 0
	if r.why != "" {
		r.why = ""
	}
	return r
}

// End ends the row. False when it did not fit: then the function returns, and the
// agent gives what is left again.
func (b *Batch) End(status Status) bool {
	r := &guest.row
	if status != OK || r.action != 0 {
		r.out = r.head + 4*rowWords
		r.full = r.out > outBytes
		if status != OK && r.why != "" {
			r.putRange(idError, Text(r.why))
		}
	}
	const fieldsMax = 65535
	fields := uint32(r.out-r.head-4*rowWords) / (4 * fieldWords) // within the table
	if r.full || guest.full || fields > fieldsMax || r.events > fieldsMax {
		b.overflow(r)
		return false
	}
	h := (*[rowWords]uint32)(unsafe.Add(unsafe.Pointer(&guest.table), r.head))
	h[0], h[1], h[2], h[3] = r.first, r.events|fields<<16, uint32(status)|r.action<<8|r.code<<16, r.flags
	b.now = mark{out: r.out, rows: b.now.rows + 1, consumed: r.first + r.events}
	return true
}

// overflow gives the events of a row that does not fit back or, when they have the
// whole table for themselves, says so in a row of their own. Either way this call
// ends, so that nothing more comes of those events.
func (b *Batch) overflow(r *Row) {
	b.now = b.split
	if b.now.rows > 0 {
		return
	}
	guest.full = false
	guest.used = 0
	guest.room = int(b.in.maxOut)
	first, events := r.first, r.events
	r = b.Begin(int(first), int(events))
	b.End(r.Error(CodeTooLarge, tooLarge))
}

// GiveUp says that nothing can be made of this batch, which then goes on as it is.
// The text, at most 1024 bytes, is for the log. For Process, which returns right
// after it.
func GiveUp(why string) { giveUp(1, why) }

// Fatal is GiveUp, and the module is not called again.
func Fatal(why string) { giveUp(2, why) }

// said keeps the last message to the agent reachable.
var said string

func giveUp(status uint32, why string) {
	said = why
	guest.end[1], guest.end[6], guest.end[7] = status, address(Text(why)), uint32(len(why)) // as the contract has it
}

// process parses the batch at in and returns the result.
func process(in unsafe.Pointer) unsafe.Pointer {
	g, h := &guest, (*header)(in)
	data := at(in, h.data)
	g.b = Batch{in: h, events: at(in, h.table), data: data, count: int(h.events), newest: ^uint32(0)}
	g.data, g.dataLen = uintptr(data), uintptr(h.length)
	g.used, g.room, g.full = 0, int(h.maxOut), false
	g.end[1], g.end[7] = 0, 0
	b := &g.b
	if g.batch != nil {
		g.batch.Process(b)
	} else if g.line != nil {
		b.each(g.line)
	}
	g.end[0] = 4 * uint32(len(g.end))
	g.end[2], g.end[3] = b.now.consumed, b.now.rows
	g.end[4], g.end[5] = uint32(uintptr(unsafe.Pointer(&g.table))), uint32(b.now.out) // addresses of a module have 32 bits
	return unsafe.Pointer(&g.end)
}

// each makes one row of each event. It is Begin, Line and End for rows of which
// nothing is to be said but their fields, because calls are dear in a module; all
// others are ended by End.
func (b *Batch) each(p Parser) {
	g, r := &guest, b.Begin(0, 1)
	events, data, in := b.events, b.data, b.in
	for i := range b.count {
		e := (*event)(unsafe.Add(events, uintptr(i)*unsafe.Sizeof(event{}))) // not negative
		n := uint32(i)                                                       // an index of the batch
		in.mark = n
		head := b.now.out
		r.head, r.out, r.first = head, head+4*rowWords, n
		status := p.Parse(r, unsafe.Slice((*byte)(unsafe.Add(data, e.offset)), int(e.length)))
		if uint32(status)|r.code|r.action|r.flags != 0 || r.full || g.full || r.out > outBytes {
			b.newest, b.split = n, b.now
			r.full = r.full || r.out > outBytes
			if !b.End(status) {
				return
			}
			r.code, r.action, r.flags, r.why = 0, 0, 0, ""
			continue
		}
		fields := uint32(r.out-head-4*rowWords) / (4 * fieldWords) // within the table, which has fewer than 65536
		h := (*[rowWords]uint32)(unsafe.Add(unsafe.Pointer(&g.table), head))
		h[0], h[1], h[2], h[3] = n, 1|fields<<16, 0, 0
		b.now.out = r.out
		b.now.rows++
		b.now.consumed = n + 1
	}
}
