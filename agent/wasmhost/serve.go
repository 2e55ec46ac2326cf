package wasmhost

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/wasmtail/wasmtail/internal/record"
	"github.com/wasmtail/wasmtail/sdk/abi"
)

// part is a run of events [lo, hi), with the flags of its calls.
type part struct {
	lo, hi int
	flags  uint32
	final  bool
}

// run hands a part to the module, call by call. Every event of it gets a row, or
// is left for the next batch (p.left) if the part is not final.
//
// When a call fails and one line can be to blame, the events before the one that
// the module says it was at are tried again, that one is kept raw, and it goes on
// after it. The module's word is only a hint: without a usable one the part is
// halved. What is not to blame on a line, and what costs too many instances or
// too much time, is kept raw as a whole.
func (p *Parser) run(s part) {
	for s.lo < s.hi {
		if p.in == nil { // it could not be started again, or must not be called
			p.fail(s.lo, s.hi, p.blame(faultStart, errNoStart))
			return
		}
		c := p.cut(s)
		if c.tooLong {
			p.fail(s.lo, s.lo+1, p.blame(faultContract, errLongLine))
			s.lo++
			continue
		}
		n, f := p.call(c)
		switch {
		case f != nil:
			s.lo = p.mend(f, c, s)
		case n == 0 && !s.final && c.hi == s.hi && p.mayHold(s.lo):
			p.left = s.lo
			return
		case n == 0: // it wants more than it may have
			s.lo += p.force(c)
		case c.hi == s.hi && s.lo+n < s.hi && !s.final && p.program.Caps&abi.CapJoin != 0 && p.mayHold(s.lo+n):
			p.left = s.lo + n
			return
		default:
			s.lo += n
		}
	}
}

// force makes a joiner finish what it has.
func (p *Parser) force(c chunk) int {
	c.flags |= abi.FlagFinal
	n, f := p.call(c)
	if f != nil {
		return p.mend(f, c, part{c.lo, c.hi, c.flags, true}) - c.lo
	}
	return n
}

// mayHold reports whether the events from lo on may be left for the next batch.
func (p *Parser) mayHold(lo int) bool {
	size := 0
	for i := lo; i < len(p.events); i++ {
		size += len(p.events[i].value)
	}
	l := &p.m.spec.Limits
	return len(p.events)-lo <= l.HeldLines && size <= l.HeldBytes
}

// mend does what is to be done after a call of c has failed, and returns where to
// go on.
func (p *Parser) mend(f *fault, c chunk, s part) int {
	reason := p.blame(f.kind, f)
	if f.kind == faultFatal { // it is not called again: see run
		p.discard(f)
		p.m.retireFatal(p.program, f)
		p.fail(c.lo, s.hi, reason)
		return s.hi
	}
	if err := p.replace(f); err != nil {
		p.fail(c.lo, s.hi, p.blame(faultStart, err))
		return s.hi
	}
	switch {
	case p.lost > replacementsMax || time.Now().After(p.until):
		p.fail(c.lo, s.hi, p.blame(f.kind, fmt.Errorf("%w; too much was lost for this batch to try on", f)))
		return s.hi
	case !f.oneLine() || c.hi-c.lo == 1:
		p.fail(c.lo, c.hi, reason)
		return c.hi
	}
	flags := c.flags | abi.FlagRetry
	at := c.lo + f.progress
	if f.progress < 0 || at >= c.hi {
		middle := c.lo + (c.hi-c.lo)/2
		p.run(part{c.lo, middle, flags, true})
		p.run(part{middle, c.hi, flags, true})
		return c.hi
	}
	if at > c.lo {
		p.run(part{c.lo, at, flags, true})
	}
	p.fail(at, at+1, reason)
	return at + 1
}

// fail keeps events raw that the module has failed.
func (p *Parser) fail(lo, hi int, reason []byte) {
	p.failRows(lo, hi, reason)
	p.m.spec.counters.failed.Add(int64(hi - lo))
}

// chunk is what one call is given.
type chunk struct {
	part
	tooLong bool   // its first event is longer than the module takes
	data    []byte // the host's own copy of what the module sees
}

// cut takes as many events of s as a call may have. Only the last chunk of a
// final part is final: what a joiner leaves of the others comes with the next.
func (p *Parser) cut(s part) chunk {
	c := p.take(s)
	c.final = s.final && c.hi == s.hi
	return c
}

// take takes the events. Values that lie together in the arena, as lines do, are
// handed over as they lie; others are gathered.
func (p *Parser) take(s part) chunk {
	l := &p.m.spec.Limits
	bytesMax := l.Batch
	if w := p.program.wanted; w > 0 {
		bytesMax = min(bytesMax, max(w, 4<<10))
	}
	c := chunk{part: part{s.lo, s.lo, s.flags, s.final}}
	first := p.events[s.lo].value
	if len(first) > l.Line {
		c.tooLong = true
		return c
	}
	arena, start := p.b.Locate(first)
	if start < 0 { // it is empty, or a value that no batch owns
		return p.gather(s, bytesMax)
	}
	end, sum, joins := start, 0, p.program.Caps&abi.CapJoin != 0
	for c.hi < s.hi && c.hi-c.lo < eventsMax {
		v, at := p.events[c.hi].value, end
		if len(v) > 0 {
			at = record.Within(arena, v)
		}
		if at < end || len(v) > l.Line || c.hi > c.lo && (at+len(v)-start > bytesMax || joins && !lineEnd(arena[end:at])) {
			break
		}
		end, sum = at+len(v), sum+len(v)
		c.hi++
	}
	const together, sparse = 64, 4
	tight := end-start <= sparse*sum+together
	if c.hi > c.lo && tight && (c.hi == s.hi || c.hi-c.lo >= together || end-start > bytesMax/2) {
		c.data = arena[start:end:end]
		return c
	}
	return p.gather(s, bytesMax)
}

// lineEnd reports whether what is between two lines is what was between them in
// their file: a joiner takes the lines and what lies between as one value.
func lineEnd(between []byte) bool {
	return string(between) == "\n" || string(between) == "\r\n"
}

// gather copies values that lie apart to one place in the arena, with a line end
// between them.
func (p *Parser) gather(s part, bytesMax int) chunk {
	c := chunk{part: part{s.lo, s.lo, s.flags, s.final}}
	size := 0
	for c.hi < s.hi && c.hi-c.lo < eventsMax {
		n := len(p.events[c.hi].value)
		if n > p.m.spec.Limits.Line || c.hi > c.lo && size+n > bytesMax {
			break
		}
		size += n + 1
		c.hi++
	}
	c.data = p.b.Alloc(size)
	at := 0
	for i := c.lo; i < c.hi; i++ {
		n := copy(c.data[at:], p.events[i].value)
		p.events[i].value = c.data[at : at+n : at+n]
		c.data[at+n] = '\n'
		at += n + 1
	}
	return c
}

// call makes one call and appends its rows. It returns how many events they
// account for.
func (p *Parser) call(c chunk) (int, *fault) {
	in := p.in
	length, f := p.write(c)
	if f != nil {
		return 0, f
	}
	in.deadline = in.now().Add(p.m.spec.Limits.Time)
	in.attributes, in.hostWork = 0, 0
	ticks, fuel := in.ticks, int32(uint32(in.fuel.Get()))
	in.stack[0], in.stack[1] = uint64(in.region), uint64(length)
	err := in.caller.run(in.process)
	in.seq++
	p.m.spec.counters.calls.Add(1)
	p.m.spec.counters.units.Add(int64(in.ticks-ticks)*slice + int64(fuel) - int64(int32(uint32(in.fuel.Get()))))
	if err != nil {
		f := in.explain(err)
		f.progress = p.progress(c)
		return 0, f
	}
	d := &p.d
	d.memory, _ = in.mem.Read(0, in.mem.Size())
	d.program, d.data, d.events, d.base = p.program, c.data, c.hi-c.lo, c.lo
	d.dataAt = in.region + uint32(dataOffset(c.hi-c.lo)) // ours, not what the module may have put there
	d.final = c.final || c.flags&abi.FlagFinal != 0
	d.room, d.now = p.m.spec.Limits.Output, in.batchNow
	began := len(d.rows)
	n, f := d.decode(uint32(in.stack[0]))
	d.memory = nil
	if f == nil {
		p.m.spec.counters.rows(d.rows[began:])
	}
	return n, f
}

// progress is the event that the module says it was at, -1 if it does not say.
func (p *Parser) progress(c chunk) int {
	word, ok := p.in.mem.ReadUint32Le(p.in.region + abi.BatchOffMark)
	if !ok || int64(word) >= int64(c.hi-c.lo) {
		return -1
	}
	return int(word)
}

// dataOffset is where the data of n events begins in the region.
func dataOffset(n int) int { return align8(batchHead + n*eventBytes) }

// write puts a chunk into the module's memory, and returns its length there.
func (p *Parser) write(c chunk) (int, *fault) {
	in, n := p.in, c.hi-c.lo
	region, ok := in.mem.Read(in.region, uint32(in.regionBytes))
	if !ok {
		return 0, contract("its region of input is gone")
	}
	flags, meta := c.flags, []byte(nil)
	if c.final {
		flags |= abi.FlagFinal
	}
	if source := p.b.Origin.Source; !in.streams[source] {
		if len(in.streams) >= streamsMax {
			clear(in.streams)
		}
		in.streams[source] = true
		flags |= abi.FlagFirst
		meta = p.describe()
	}
	in.batchNow = p.program.now()
	dataAt := dataOffset(n)
	metaAt := align8(dataAt + len(c.data))
	u32, u64 := binary.LittleEndian.PutUint32, binary.LittleEndian.PutUint64
	head := region[:batchHead]
	u32(head[abi.BatchOffSize:], batchHead)
	u32(head[abi.BatchOffFlags:], flags)
	u32(head[abi.BatchOffEvents:], uint32(n))
	u32(head[abi.BatchOffTable:], in.region+batchHead)
	u32(head[abi.BatchOffData:], in.region+uint32(dataAt))
	u32(head[abi.BatchOffLength:], uint32(len(c.data)))
	u32(head[abi.BatchOffMaxOut:], uint32(p.m.spec.Limits.Output))
	u32(head[abi.BatchOffMark:], ^uint32(0))
	u64(head[abi.BatchOffNow:], uint64(in.batchNow))
	u64(head[abi.BatchOffSeq:], in.seq)
	u32(head[abi.BatchOffStream:], uint32(p.b.Origin.Source))
	u32(head[abi.BatchOffMeta:], 0)
	u32(head[abi.BatchOffMetaN:], uint32(len(meta)))
	u32(head[abi.BatchOffUnused:], 0)
	if len(meta) > 0 {
		u32(head[abi.BatchOffMeta:], in.region+uint32(metaAt))
		copy(region[metaAt:], meta)
	}
	p.writeEvents(region[batchHead:dataAt], c)
	copy(region[dataAt:], c.data)
	return metaAt + len(meta), nil
}

func (p *Parser) writeEvents(table []byte, c chunk) {
	at := 0
	for i := c.lo; i < c.hi; i++ {
		e, r := &p.events[i], &p.b.Records[p.events[i].record]
		if len(e.value) > 0 {
			at = record.Within(c.data, e.value)
		}
		entry := table[:eventBytes:eventBytes]
		binary.LittleEndian.PutUint64(entry[abi.EventOffOffset:], uint64(uint32(at))|uint64(len(e.value))<<32)
		binary.LittleEndian.PutUint64(entry[abi.EventOffFlags:], uint64(eventFlags(r.Marks)))
		binary.LittleEndian.PutUint64(entry[abi.EventOffTime:], uint64(r.Time))
		table = table[eventBytes:]
		at += len(e.value)
	}
}

func eventFlags(m record.Mark) (flags uint32) {
	if m&record.Split != 0 {
		flags |= abi.EventSplit
	}
	if m&record.Partial != 0 {
		flags |= abi.EventPartial
	}
	if m&record.InvalidUTF8 != 0 {
		flags |= abi.EventInvalid
	}
	return flags
}

var (
	errLongLine = errors.New("the line is longer than the module is given (limits.line)")
	errNoStart  = errors.New("it could not be started again")
)
