package tail

import (
	"compress/bzip2"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/klauspost/compress/zstd"
	"github.com/ulikunitz/xz"

	"github.com/wasmtail/wasmtail/agent/checkpoint"
)

// unpackedMax bounds what a compressed file may unpack to: beyond it, it is more
// likely an attack than a log.
const unpackedMax = int64(16) << 30

var errUnknownCompression = errors.New("this compression is not supported")

// settlePacked decides what a compressed rotated file is: the copy of a
// generation that is known, the only place where unread bytes are left, or a
// generation that was missed. It is never read as lines itself.
func (t *Tailer) settlePacked(n *newcomer, now int64) bool {
	if now < n.retryAt {
		return false
	}
	if src := t.knownPacked(n); src != nil {
		return t.resumePacked(n, src, now)
	}
	if now-n.grown < packSettle && now-n.st.mtime < packSettle {
		return false // it is still being written
	}
	if t.olderThanFamily(n) {
		t.ignore(n)
		return true
	}
	if n.st.links == 0 || n.st.size == 0 {
		t.drop(n)
		return true
	}
	head, err := t.unpackHead(n)
	if errors.Is(err, errUnknownCompression) {
		t.ignore(n)
		return true
	}
	if err != nil {
		return t.unpackFailed(n, now, err)
	}
	if t.packedCopy(n, head) {
		t.begin(n, n.st.size, true)
		return true
	}
	return t.packedOrphan(n, head) || t.unpackNew(n, now)
}

// unpackFailed lets n wait for another try. What cannot be unpacked for a while
// after it last grew is damaged, and ignored; that there is no room to unpack it
// says nothing about it.
func (t *Tailer) unpackFailed(n *newcomer, now int64, err error) (settled bool) {
	t.alarm("a compressed rotated file cannot be unpacked", n.path, err)
	if noRoom := (*fs.PathError)(nil); now-n.grown >= ghostFor && !errors.As(err, &noRoom) {
		t.ignore(n)
		return true
	}
	n.retryAt = now + retryInterval
	return false
}

// knownPacked finds n in the checkpoint.
func (t *Tailer) knownPacked(n *newcomer) *checkpoint.Source {
	for _, src := range t.orphans[n.st.id] {
		if _, packed := uncompressed(src.Entry().Path); packed && src.Entry().Size <= n.st.size {
			return src
		}
	}
	return nil
}

// resumePacked goes on with a compressed file that was begun before.
func (t *Tailer) resumePacked(n *newcomer, src *checkpoint.Source, now int64) (settled bool) {
	e := src.Entry()
	if !e.Finished {
		fd, err := t.unpack(n, e.Acked)
		if err == nil && !sameMarker(fd, e.Acked, e.Marker, t.head[:]) {
			closeFile(fd)
			err = errChanged
		}
		if err != nil {
			return t.unpackFailed(n, now, err)
		}
		closeFile(n.fd)
		n.fd = fd
	}
	t.resume(n, src)
	if g := t.byID[n.st.id]; !e.Finished {
		t.spooled(g)
	}
	return true
}

// spooled marks g as reading an unpacked copy, which does not change.
func (t *Tailer) spooled(g *generation) {
	var st stat
	g.spooled = true
	if err := t.statBuf.open(g.fd, &st); err == nil {
		g.size = st.size
	}
	if g.rotatedAt == 0 {
		g.rotatedAt = t.now()
	}
	t.counters.Unpacked++
}

// packedCopy reports whether n has the content of a generation that is followed,
// or was until lately.
func (t *Tailer) packedCopy(n *newcomer, head []byte) bool {
	return slices.ContainsFunc(t.families[n.family], func(g *generation) bool {
		read, marker, sig := g.progress()
		if sig.n == 0 || sig.n > len(head) || checkpoint.Sum(head[:sig.n]) != sig.sum {
			return false
		}
		// Compressing keeps the time of a file. Unpacking a large one for nothing
		// would hold up the rest.
		if n.st.size >= packedLarge && n.st.mtime/int64(time.Second) == g.mtime/int64(time.Second) {
			return true
		}
		return t.packedSame(n, max(read, g.size), read, marker)
	})
}

// packedLarge is the size from which a compressed file with the head and the time
// of another is its copy without further proof.
const packedLarge = 1 << 20

// packedSame reports whether n unpacks to size bytes, those before read with that
// marker.
func (t *Tailer) packedSame(n *newcomer, size, read int64, marker checkpoint.Digest) bool {
	r, err := unpacker(n)
	if err != nil {
		return false
	}
	defer func() { _ = r.Close() }()
	before := t.head[:min(read, checkpoint.MarkerBytesMax)]
	if _, err := io.CopyN(io.Discard, r, read-int64(len(before))); err != nil {
		return false
	}
	if _, err := io.ReadFull(r, before); err != nil || len(before) > 0 && checkpoint.Sum(before) != marker {
		return false
	}
	rest, err := io.Copy(io.Discard, io.LimitReader(r, size-read+1))
	return err == nil && read+rest == size
}

// packedOrphan goes on, in a compressed copy, with a generation of the checkpoint
// that is nowhere else.
func (t *Tailer) packedOrphan(n *newcomer, head []byte) bool {
	for _, list := range t.orphans {
		for _, src := range list {
			e := src.Entry()
			if e.HeadLen == 0 || e.HeadLen > len(head) || !t.orphanOf(&e, n.family) ||
				checkpoint.Sum(head[:e.HeadLen]) != e.Head {
				continue
			}
			fd, err := t.unpack(n, e.Acked)
			if err != nil {
				t.alarm("a compressed rotated file cannot be unpacked", n.path, err)
				continue
			}
			if !sameMarker(fd, e.Acked, e.Marker, t.head[:]) {
				closeFile(fd)
				continue
			}
			if e.Finished {
				closeFile(fd)
				t.begin(n, n.st.size, true)
				return true
			}
			closeFile(n.fd)
			n.fd = fd
			t.resume(n, src)
			t.spooled(t.byID[n.st.id])
			return true
		}
	}
	return false
}

// unpackNew reads a generation that was missed from its compressed copy.
func (t *Tailer) unpackNew(n *newcomer, now int64) (settled bool) {
	fd, err := t.unpack(n, 0)
	if err != nil {
		return t.unpackFailed(n, now, err)
	}
	closeFile(n.fd)
	n.fd = fd
	g := t.begin(n, 0, false)
	t.spooled(g)
	g.head, _ = headOf(fd, g.size, t.head[:])
	return true
}

// unpackHead returns the first unpacked bytes of n.
func (t *Tailer) unpackHead(n *newcomer) ([]byte, error) {
	r, err := unpacker(n)
	if err != nil {
		return nil, err
	}
	defer func() { _ = r.Close() }()
	head := make([]byte, checkpoint.HeadBytesMax)
	got, err := io.ReadFull(r, head)
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("cannot unpack %s: %w", n.path, err)
	}
	return head[:got], nil
}

// unpack writes the unpacked content of n to an unlinked temporary file. What
// lies between its head and the marker of from is left out, as a hole, so that
// offsets stay.
func (t *Tailer) unpack(n *newcomer, from int64) (fd int, err error) {
	r, err := unpacker(n)
	if err != nil {
		return -1, err
	}
	defer func() { _ = r.Close() }()
	f, err := os.CreateTemp(t.config.SpoolDir, "wasmtail-unpacked-")
	if err != nil {
		return -1, fmt.Errorf("cannot make a temporary file: %w", err)
	}
	defer func() { _ = f.Close() }()
	if err := os.Remove(f.Name()); err != nil {
		return -1, fmt.Errorf("cannot unlink a temporary file: %w", err)
	}
	hole := max(0, from-checkpoint.MarkerBytesMax)
	if hole > 0 {
		head := min(hole, checkpoint.HeadBytesMax)
		got, err := io.CopyN(f, r, head)
		if err == nil {
			got, err = io.CopyN(io.Discard, r, hole-head)
		}
		if err != nil {
			return -1, fmt.Errorf("cannot unpack %s beyond byte %d: %w", n.path, got, err)
		}
		if _, err := f.Seek(hole, io.SeekStart); err != nil {
			return -1, fmt.Errorf("cannot seek in a temporary file: %w", err)
		}
	}
	got, err := io.Copy(f, io.LimitReader(r, unpackedMax-hole))
	if err != nil {
		return -1, fmt.Errorf("cannot unpack %s: %w", n.path, err)
	}
	if hole+got >= unpackedMax {
		t.alarm("a compressed file unpacks to too much: only its start is read", n.path, nil)
	}
	return duplicate(f)
}

// unpacker reads n from its start.
func unpacker(n *newcomer) (io.ReadCloser, error) {
	src := io.NewSectionReader(fdReader(n.fd), 0, n.st.size)
	switch {
	case strings.HasSuffix(n.path, ".gz"):
		return gzip.NewReader(src)
	case strings.HasSuffix(n.path, ".zst"):
		d, err := zstd.NewReader(src, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(64<<20))
		if err != nil {
			return nil, err
		}
		return d.IOReadCloser(), nil
	case strings.HasSuffix(n.path, ".bz2"):
		return io.NopCloser(bzip2.NewReader(src)), nil
	case strings.HasSuffix(n.path, ".xz"):
		r, err := xz.ReaderConfig{DictCap: 64 << 20}.NewReader(src)
		if err != nil {
			return nil, err
		}
		return io.NopCloser(r), nil
	}
	return nil, errUnknownCompression
}

// fdReader reads an open file by position.
type fdReader int

// ReadAt implements io.ReaderAt.
func (fd fdReader) ReadAt(p []byte, off int64) (int, error) {
	n, err := readAt(int(fd), p, off)
	if err == nil && n < len(p) {
		err = io.EOF
	}
	return n, err
}
