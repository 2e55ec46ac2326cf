package tail

import (
	"context"
	"errors"
	"slices"
	"sync"

	"github.com/wasmtail/wasmtail/agent/checkpoint"
	"github.com/wasmtail/wasmtail/internal/record"
)

const (
	// readBytes is the size of a reader's buffer at first. It grows when a file
	// has more to read, up to a batch or the longest record.
	readBytes = 256 << 10
	// turnBytes is how much of one file is read before others have their turn.
	turnBytes = 1 << 20
)

var (
	errTruncated = errors.New("the file was truncated")
	errChanged   = errors.New("the file was replaced")
)

// Lines are consecutive records of one generation. They are lent, with all they
// point to: valid until the call they are given to returns, unless Give gives them
// away.
type Lines struct {
	Origin *record.Origin
	Lines  []Line
	// Raw are the bytes of the range, without a hole at its start, and RawOffset
	// is where they begin in the file. The records lie in them.
	Raw       []byte
	RawOffset int64
	// Start and End are the range that is accounted for. It can be longer than
	// the records, and have none.
	Start, End int64
	// ReadTime in Unix nanoseconds.
	ReadTime int64
	// Format is the name of the format the file was found to have, "" if nobody
	// looks for it.
	Format string
	// Header is the last line before Start that says how the records are to be read,
	// nil for none; there may be others among the records. It is immutable.
	Header []byte

	buf *[]byte // the reader's, which Raw lies in
}

// Give makes the memory of Raw part of b's arena, so that it need not be copied:
// then Raw and the records live as long as b. It is false, and has done nothing,
// where that cannot be.
func (l *Lines) Give(b *record.Batch) bool {
	if l.buf == nil || !b.Own(*l.buf) {
		return false
	}
	*l.buf = nil
	return true
}

// Sink takes what was read. Lines may block; while it does, its reader waits and
// the files keep their bytes. done is called exactly once if and only if the
// result is nil, from any goroutine: with true when the bytes are safe, with
// false when they must be read again. It does not block.
type Sink interface {
	Lines(ctx context.Context, l *Lines, done func(acknowledged bool)) error
}

// reader reads the generations that are queued, one at a time.
type reader struct {
	t     *Tailer
	frame framer
	buf   []byte // size bytes, or nil after it was given away
	size  int
	head  [checkpoint.HeadBytesMax]byte
	// sample are the first bytes of a file whose format is looked for, nil while
	// there was none.
	sample []byte
	out    Lines

	mu    sync.Mutex
	queue []*generation // those before next are done
	next  int
	wake  chan struct{} // holds 1: there may be something in the queue
}

func newReader(t *Tailer) *reader {
	c := &t.config
	return &reader{
		t:     t,
		frame: framer{recordMax: c.RecordBytesMax, batchMax: c.BatchBytesMax, gbk: c.GBK, multiline: c.Multiline},
		wake:  make(chan struct{}, 1),
		size:  readBytes,
	}
}

// schedule queues g unless it is queued, running or stuck. Only the watch
// goroutine calls it: what is idle stays its own until then, with its file.
func (r *reader) schedule(g *generation) {
	g.mu.Lock()
	ok := g.state == idle
	if ok {
		g.state = queued
	}
	g.mu.Unlock()
	if ok {
		r.push(g)
	}
}

func (r *reader) push(g *generation) {
	r.mu.Lock()
	if r.next > 64 && r.next > len(r.queue)/2 {
		n := copy(r.queue, r.queue[r.next:])
		clear(r.queue[n:])
		r.queue, r.next = r.queue[:n], 0
	}
	r.queue = append(r.queue, g)
	r.mu.Unlock()
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// withdraw makes g idle if it waits in the queue.
func (r *reader) withdraw(g *generation) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	i := slices.Index(r.queue[r.next:], g)
	if i < 0 {
		return false
	}
	r.queue = slices.Delete(r.queue, r.next+i, r.next+i+1)
	g.setState(idle)
	return true
}

func (r *reader) pop() *generation {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.next == len(r.queue) {
		r.queue, r.next = r.queue[:0], 0
		return nil
	}
	g := r.queue[r.next]
	r.queue[r.next] = nil
	r.next++
	return g
}

func (r *reader) run(ctx context.Context, to Sink) {
	for {
		if !r.step(ctx, to) {
			select {
			case <-ctx.Done():
				return
			case <-r.wake:
			}
		}
		if ctx.Err() != nil {
			return
		}
	}
}

// step gives one queued generation its turn. It reports whether there was one.
func (r *reader) step(ctx context.Context, to Sink) bool {
	g := r.pop()
	if g == nil {
		return false
	}
	if r.waits(g) {
		return true
	}
	g.setState(running)
	more, err := r.turn(ctx, g, to)
	if !more && !g.rewind.Load() && g.held.until == 0 {
		g.drained.Store(true)
	}
	g.readErr = nil
	switch {
	case errors.Is(err, errTruncated), errors.Is(err, errChanged):
		g.setState(stuck)
		r.t.report(g)
	case err != nil && ctx.Err() == nil:
		g.readErr = err
		g.setState(stuck)
		r.t.report(g)
	case more:
		g.setState(queued)
		r.push(g)
	default:
		g.setState(idle)
	}
	return true
}

// waits puts g back if an older generation of the same file is not read yet.
// Both belong to this reader. If the older one is not queued, because it cannot
// be read just now, g goes back to the watch goroutine, which plans both again.
func (r *reader) waits(g *generation) bool {
	older := g.older.Load()
	if older == nil {
		return false
	}
	if older.drained.Load() {
		g.older.Store(nil)
		return false
	}
	if older.isIdle() {
		g.atEnd = false
		g.setState(idle)
	} else {
		r.push(g)
	}
	return true
}

// turn reads g to its end, or a quantum of it.
func (r *reader) turn(ctx context.Context, g *generation, to Sink) (more bool, err error) {
	if g.fd < 0 || g.finished {
		return false, nil
	}
	if g.rewind.Swap(false) {
		g.reread.Store(true)
		acked, marker, _ := g.source.Position()
		g.read.Store(acked)
		g.mu.Lock()
		g.marker, g.frame, g.holes = marker, frameState{}, 0
		g.mu.Unlock()
	}
	for done := int64(0); done < turnBytes; {
		size := r.size
		n, err := r.portion(ctx, g, to)
		if err != nil {
			return false, err
		}
		if g.rewind.Load() {
			return false, nil // after the pause that the watch goroutine sees to
		}
		if n == 0 && (g.atEnd || size == r.size) || ctx.Err() != nil {
			return false, nil
		}
		done += n
	}
	return true, nil
}

// fetched is what one look at a file gave.
type fetched struct {
	before int    // how many bytes of the buffer are those before the position
	data   []byte // what follows them,
	pos    int64  // which is here
	full   bool   // there may be more
	kept   bool   // it is what was held of a file that is truncated
}

// fetch reads what follows the position of g, and some before it along with it: they
// prove that the position belongs to this content. Of a file that is not what it was
// it returns what was held of it, and an error if that is nothing.
func (r *reader) fetch(g *generation) (p fetched, err error) {
	position := g.read.Load()
	p.before = int(min(position, checkpoint.MarkerBytesMax))
	p.pos = max(position, g.holes)
	if r.buf == nil {
		r.buf = newBuffer(r.size)
	}
	n, err := readAt(g.fd, r.buf, p.pos-int64(p.before))
	switch {
	case err != nil:
		return p, err
	case n < p.before || p.before > 0 && checkpoint.Sum(r.buf[:p.before]) != g.marker:
		err = errTruncated
	case position < int64(g.head.n) && !sameHead(g.fd, g.head, r.head[:]):
		err = errChanged
	}
	if err != nil {
		if r.recover(g, &p) {
			err = nil
		}
		return p, err
	}
	p.full = n == len(r.buf)
	g.atEnd, g.end = !p.full, p.pos-int64(p.before)+int64(n)
	p.data = r.buf[p.before:n]
	if err := r.extendHead(g, p.pos+int64(len(p.data))); err != nil {
		return p, err
	}
	if position == 0 {
		p.data = g.skipNUL(p.pos, p.data)
	}
	return p, nil
}

// portion reads one buffer full, delivers the complete records, and returns how
// many bytes they account for.
func (r *reader) portion(ctx context.Context, g *generation, to Sink) (int64, error) {
	position := g.read.Load()
	p, err := r.fetch(g)
	if err != nil {
		return 0, err
	}
	if position == 0 && !p.kept {
		if len(p.data) == 0 {
			return max(0, g.holes-p.pos), nil
		}
		p.pos = g.holes
	}
	data, pos := p.data, p.pos
	if p.before > 0 && r.buf[p.before-1] != '\n' && !g.frame.split {
		g.frame.mid = true // of an earlier run, or where reading was told to start
	}
	if ready, err := r.shape(g, &p); !ready {
		return 0, err
	}
	head, err := r.header(g)
	if err != nil {
		return 0, err
	}
	flush := p.kept || !p.full && pos+int64(len(data)) == g.flushAt
	next := g.frame
	consumed := r.frame.frame(&next, data, pos, flush)
	if p.full && (consumed == 0 || r.size < r.frame.batchMax) {
		defer r.grow()
	}
	if consumed == 0 {
		return 0, nil
	}
	end := pos + int64(consumed)
	marker, err := r.markerAt(g, &p, consumed, end)
	if err != nil {
		return 0, err
	}
	r.out = Lines{
		Origin: g.origin, Lines: r.frame.lines, Raw: data[:consumed], RawOffset: pos,
		Start: position, End: end, ReadTime: r.t.config.Now().UnixNano(), Format: g.found.Name, Header: head, buf: &r.buf,
	}
	r.noteHeaders(g) // before the lines are given away
	if err := r.deliver(ctx, g, to, marker); err != nil {
		return 0, err
	}
	g.mu.Lock()
	g.frame, g.marker = next, marker
	g.read.Store(end)
	g.mu.Unlock()
	if h := &g.held; h.bytes != nil && end >= h.at+int64(len(h.bytes)) {
		r.t.release(g)
	}
	return int64(consumed), nil
}

// skipNUL passes over the NUL bytes at the start of a file. A writer that keeps
// its own position leaves them when somebody else has truncated the file. It
// returns the rest of data, which begin at pos.
func (g *generation) skipNUL(pos int64, data []byte) []byte {
	var last [1]byte
	if len(data) == 0 && pos > 0 {
		if got, err := readAt(g.fd, last[:], pos-1); err == nil && got == 0 {
			g.holes = 0 // truncated again
		}
		return nil
	}
	n := 0
	for n < len(data) && data[n] == 0 {
		n++
	}
	g.holes = pos + int64(n)
	if n == len(data) && n > 0 && !g.atEnd {
		g.holes = nextData(g.fd, g.holes)
	}
	return data[n:]
}

// extendHead lets the signature of g cover more of its first bytes, size of which
// are there, and checks those that it covers already.
func (r *reader) extendHead(g *generation, size int64) error {
	if g.head.n >= checkpoint.HeadBytesMax || size <= int64(g.head.n) {
		return nil
	}
	if !sameHead(g.fd, g.head, r.head[:]) {
		return errChanged
	}
	head, err := headOf(g.fd, size, r.head[:])
	if err != nil {
		return err
	}
	g.mu.Lock()
	g.head = head
	g.mu.Unlock()
	g.source.Edit(func(e *checkpoint.Entry) { e.HeadLen, e.Head = head.n, head.sum })
	return nil
}

// grow makes the next buffer fit for a whole batch, and for the longest record.
func (r *reader) grow() {
	limit := max(r.frame.batchMax, r.frame.needBytes()) + checkpoint.MarkerBytesMax + 1
	if r.size < limit {
		r.size, r.buf = min(limit, 2*r.size), nil
	}
}

// newBuffer returns n bytes, which a batch can own where n is that of a batch.
func newBuffer(n int) []byte {
	if n > readBytes && n <= record.ChunkBytes {
		return record.Chunk()[:n]
	}
	return make([]byte, n)
}

// markerAt returns the marker of end, which is consumed bytes into what was read.
func (r *reader) markerAt(g *generation, p *fetched, consumed int, end int64) (checkpoint.Digest, error) {
	n := int(min(end, checkpoint.MarkerBytesMax))
	if n <= consumed {
		return checkpoint.Sum(p.data[consumed-n : consumed]), nil
	}
	if all := p.before + consumed; n <= all {
		return checkpoint.Sum(r.buf[all-n : all]), nil
	}
	return markerOf(g.fd, end, r.head[:])
}

func (r *reader) deliver(ctx context.Context, g *generation, to Sink, marker checkpoint.Digest) error {
	closeSpan := g.source.Begin(r.out.Start, r.out.End, marker)
	err := to.Lines(ctx, &r.out, func(acknowledged bool) {
		if !acknowledged {
			g.rewind.Store(true)
		}
		closeSpan(acknowledged)
	})
	if err != nil {
		closeSpan(false)
	}
	return err
}
