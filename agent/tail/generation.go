package tail

import (
	"sync"
	"sync/atomic"

	"github.com/wasmtail/wasmtail/agent/checkpoint"
	"github.com/wasmtail/wasmtail/internal/record"
)

// identity is a file as the kernel names it. It is reused after the file is gone,
// unless the file is held open.
type identity struct{ dev, ino uint64 }

// runState says who may touch a generation.
type runState uint8

const (
	idle    runState = iota // the watch goroutine
	queued                  // nobody: it waits for its reader
	running                 // its reader
	stuck                   // the watch goroutine, until it has found out what happened
	unborn                  // the watch goroutine, until its name is durable
)

// generation is one life of one file: from its creation, or its last truncation,
// to its end. It has one owner at a time, see runState; what is said to be the
// watch's belongs to the watch goroutine always.
type generation struct {
	origin *record.Origin
	source *checkpoint.Source
	reader *reader

	read   atomic.Int64 // how far it is read
	rewind atomic.Bool  // a span was not acknowledged: read again from there
	reread atomic.Bool  // that has happened
	// older is read first, until it was at its end once (drained).
	older   atomic.Pointer[generation]
	drained atomic.Bool

	mu    sync.Mutex
	state runState

	// Of the owner.
	fd      int // -1 when closed
	head    signature
	marker  checkpoint.Digest // before read
	frame   frameState
	flushAt int64 // deliver an incomplete end if the file is this long
	atEnd   bool  // the last read reached the end of the file,
	end     int64 // which was here
	readErr error // of the last read
	found   found // its format; changed under mu
	headers headers
	held    held  // its first lines while they wait for others
	holes   int64 // leading NUL bytes that were passed over

	// Of the watch.
	id       identity
	path     string
	family   string // the path without the marks of rotation
	dir      *directory
	size     int64
	mtime    int64
	links    uint64
	included bool
	spooled  bool   // fd is an unpacked copy
	finished bool   // nothing of it is to be read
	copied   bool   // because it is a copy
	start    int64  // where reading began, -1 if that is not known any more,
	base     int64  // and where in this run
	mismatch string // which sums of its ledger do not agree, see balance

	seen      int64 // Unix nanoseconds of the first sight,
	grown     int64 // of the last growth,
	changed   int64 // of the last change,
	asked     int64 // when its size was last asked for,
	lagSince  int64 // when lagSize was its size: what it had then is behind since then,
	goneSince int64 // since when it has no name, 0 if it has one,
	rotatedAt int64 // since when it has not the name of its family, 0 if it has,
	rewindAt  int64 // when to read again after a refusal
	retryAt   int64 // when to try again after an error
	lagSize   int64
	active    bool
	headless  bool // waits for saveHeads
	linked    bool // its name is a symbolic link
	listIndex int
}

// signature is the digest of the first bytes of a file.
type signature struct {
	n   int
	sum checkpoint.Digest
}

// isIdle reports whether g belongs to the watch goroutine.
func (g *generation) isIdle() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.state != queued && g.state != running
}

// progress returns the position, its marker and the signature, which belong
// together.
func (g *generation) progress() (read int64, marker checkpoint.Digest, head signature) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.read.Load(), g.marker, g.head
}

func (g *generation) setState(s runState) {
	g.mu.Lock()
	g.state = s
	g.mu.Unlock()
}

// noteLag remembers when the bytes were first seen that wait for their
// acknowledgement.
func (g *generation) noteLag(now int64) {
	if g.acked() >= g.lagSize {
		g.lagSize, g.lagSince = g.size, now
	}
}

// unread returns how many bytes are known and not read.
func (g *generation) unread() int64 {
	if g.finished {
		return 0
	}
	return max(0, g.size-g.read.Load())
}

// safe reports whether all that was read is acknowledged and nothing is under
// way.
func (g *generation) safe() bool {
	if g.finished {
		return true
	}
	acked, _, open := g.source.Position()
	return open == 0 && acked == g.read.Load() && !g.rewind.Load()
}

// headOf reads the signature of the first n bytes of an open file.
func headOf(fd int, n int64, buf []byte) (signature, error) {
	n = min(n, checkpoint.HeadBytesMax)
	got, err := readAt(fd, buf[:n], 0)
	if err != nil {
		return signature{}, err
	}
	return signature{got, checkpoint.Sum(buf[:got])}, nil
}

// sameHead reports whether the file begins with the bytes of sig.
func sameHead(fd int, sig signature, buf []byte) bool {
	if sig.n == 0 {
		return true
	}
	got, err := readAt(fd, buf[:sig.n], 0)
	return err == nil && got == sig.n && checkpoint.Sum(buf[:got]) == sig.sum
}

// markerOf reads the digest of the bytes before off.
func markerOf(fd int, off int64, buf []byte) (checkpoint.Digest, error) {
	n := int(min(off, checkpoint.MarkerBytesMax))
	if n == 0 {
		return checkpoint.Digest{}, nil
	}
	got, err := readAt(fd, buf[:n], off-int64(n))
	if err != nil || got < n {
		return checkpoint.Digest{}, errTruncated
	}
	return checkpoint.Sum(buf[:n]), nil
}

// sameMarker reports whether the bytes before off are those of marker.
func sameMarker(fd int, off int64, marker checkpoint.Digest, buf []byte) bool {
	got, err := markerOf(fd, off, buf)
	return err == nil && (off == 0 || got == marker)
}

// rename notes that g is found under another path.
func (g *generation) rename(path string, now int64) {
	if g.path == path {
		return
	}
	g.path, g.rotatedAt = path, now
	if path == g.family {
		g.rotatedAt = 0
	}
	g.edit(func(e *checkpoint.Entry) { e.Path = path })
}

// nameIn gives g the name e in d.
func (g *generation) nameIn(d *directory, e *dirEntry) {
	g.dir, e.gen, g.linked = d, g, e.link != nil
}

// edit changes the checkpoint of g, if it has one already.
func (g *generation) edit(change func(*checkpoint.Entry)) {
	if g.source != nil {
		g.source.Edit(change)
	}
}

// unfinish lets what was a copy be read from where its original was.
func (g *generation) unfinish() {
	g.finished = false
	g.edit(func(e *checkpoint.Entry) { e.Finished = false })
}

// takeOver makes g the generation of the open file of n.
func (g *generation) takeOver(n *newcomer) {
	g.fd, g.id, g.path = n.fd, n.st.id, n.path
	g.size, g.mtime, g.links = n.st.size, n.st.mtime, n.st.links
	n.fd = -1
	g.edit(func(e *checkpoint.Entry) { e.Path, e.Dev, e.Ino, e.Size = n.path, n.st.id.dev, n.st.id.ino, n.st.size })
}
