package queue

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/wasmtail/wasmtail/internal/durable"
)

// Budget is the room on the disk that several queues share. Safe for concurrent
// use.
type Budget struct {
	max, used atomic.Int64
}

// NewBudget returns a budget of so many bytes.
func NewBudget(bytesMax int64) *Budget {
	b := &Budget{}
	b.SetMax(bytesMax)
	return b
}

// SetMax changes the budget. What is over it stays, and nothing more is taken.
func (b *Budget) SetMax(bytesMax int64) { b.max.Store(bytesMax) }

// Used is how many bytes lie on the disk.
func (b *Budget) Used() int64 { return b.used.Load() }

// Max is the budget.
func (b *Budget) Max() int64 { return b.max.Load() }

func (b *Budget) take(n int64) bool {
	for {
		used := b.used.Load()
		if used+n > b.max.Load() {
			return false
		}
		if b.used.CompareAndSwap(used, used+n) {
			return true
		}
	}
}

var errFull = errors.New("the disk cache is full")

const (
	segmentMagic   = "wasmtail queue 2 "
	segmentSuffix  = ".seg"
	finishedSuffix = ".ack"
	badSuffix      = ".bad"
	// segmentBytes is when a segment is closed. A whole one is deleted when the
	// last of its records is delivered.
	segmentBytes = 8 << 20
	// segmentsMax bounds the segments that are open at once.
	segmentsMax = 64
	// brokenPause is how long a disk that failed is left alone.
	brokenPause = 5 * time.Second
	// triesMax is how often reading is tried. A disk that cannot be read for a
	// moment, or a process that has too many files open, loses nothing by it.
	triesMax = 6
)

// segment is one file of records, and beside it the file that says which of
// them are finished.
type segment struct {
	id       uint64
	size     int64 // bytes of the file that count
	records  int   // -1 until they are counted
	finished int
	loaded   bool    // its records are in the queue's streams
	tries    int     // to load it, that failed
	early    []int64 // where those begin that were finished before
	notes    []byte  // of what is finished, not written yet
	reader   durable.Reader
	acks     durable.File
}

func (s *segment) left() int { return s.records - s.finished }

// place is where a record lies.
type place struct {
	seg  *segment
	at   int64
	size int
}

// spool is the part of a queue that lies on a disk: segments of records, of
// which only the last is written to, and only by the process that made it. It
// has no lock for reading: a record does not change. Its folder is not shared
// with another process.
type spool struct {
	fs     durable.FS
	dir    string
	format string
	budget *Budget

	writing sync.Mutex // guards what follows; one at a time appends
	file    durable.File
	buf     []byte

	mu       sync.Mutex // guards what follows and the fields of segments
	segments []*segment // oldest first
	live     *segment   // the last of segments while it is written to
	reading  *segment   // the one that is being loaded
	aside    []*segment // cannot be sent, and stay
	usable   time.Time  // not before, after a failure
	readable time.Time  // the same
	nextID   uint64
}

// openSpool finds what an earlier run has left. It fails only if the folder
// cannot be used at all.
func openSpool(d *Disk) (*spool, error) {
	s := &spool{fs: d.FS, dir: d.Dir, format: d.Format, budget: d.Budget, nextID: 1}
	if err := s.fs.MkdirAll(s.dir); err != nil {
		return nil, fmt.Errorf("cannot create the folder of the disk cache %s: %w", s.dir, err)
	}
	names, err := s.fs.List(s.dir)
	if err != nil {
		return nil, fmt.Errorf("cannot read the folder of the disk cache %s: %w", s.dir, err)
	}
	slices.Sort(names)
	for _, name := range names {
		if strings.HasSuffix(name, durable.TempSuffix) {
			_ = s.fs.Remove(filepath.Join(s.dir, name))
			continue
		}
		stem, suffix, _ := strings.Cut(name, ".")
		id, err := strconv.ParseUint(stem, 10, 64)
		if err != nil {
			continue
		}
		s.nextID = max(s.nextID, id+1)
		switch "." + suffix {
		case segmentSuffix:
			s.segments = append(s.segments, s.adopt(id, segmentSuffix))
		case finishedSuffix:
			if !slices.Contains(names, stem+segmentSuffix) {
				_ = s.fs.Remove(filepath.Join(s.dir, name)) // its segment was finished
			}
		case badSuffix:
			s.aside = append(s.aside, s.adopt(id, badSuffix)) // its bytes count until somebody deletes it
		}
	}
	return s, nil
}

// adopt takes up a segment of an earlier run. One that cannot be read is found
// out when its turn comes.
func (s *spool) adopt(id uint64, suffix string) *segment {
	seg := &segment{id: id, records: -1}
	if r, err := s.fs.Open(s.path(seg, suffix)); err == nil {
		seg.size, _ = r.Size()
		_ = r.Close() // there may be many
	}
	s.budget.used.Add(seg.size)
	return seg
}

func (s *spool) path(seg *segment, suffix string) string {
	return filepath.Join(s.dir, fmt.Sprintf("%020d%s", seg.id, suffix))
}

// ready reports whether the disk may be written to, or from when on.
func (s *spool) ready(now time.Time) (ok bool, from time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return !now.Before(s.usable), s.usable
}

// append writes records to one segment and returns when they are durable. On an
// error none of them is there.
func (s *spool) append(entries []Entry) ([]place, error) {
	s.writing.Lock()
	defer s.writing.Unlock()
	s.buf = s.buf[:0]
	ends := make([]int, len(entries))
	for i := range entries {
		s.buf = appendRecord(s.buf, &entries[i].Label, entries[i].Payload, time.Now())
		ends[i] = len(s.buf)
	}
	n := int64(len(s.buf))
	if !s.budget.take(n) {
		return nil, errFull
	}
	seg, err := s.writable(n)
	if err == nil {
		if _, err = s.file.Write(s.buf); err == nil {
			err = s.file.Sync()
		}
	}
	if err != nil {
		s.budget.used.Add(-n)
		s.setAside()
		return nil, fmt.Errorf("cannot write to the disk cache %s: %w", s.dir, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	places, from := make([]place, len(entries)), 0
	for i, end := range ends {
		places[i] = place{seg, seg.size + int64(from), end - from}
		from = end
	}
	seg.size += n
	seg.records += len(entries)
	return places, nil
}

// writable returns the live segment, a new one if it is full.
func (s *spool) writable(n int64) (*segment, error) {
	s.mu.Lock()
	seg := s.live
	full := seg != nil && seg.size+n > segmentBytes && seg.records > 0
	s.mu.Unlock()
	if full {
		s.sealLocked()
		seg = nil
	}
	if seg != nil {
		return seg, nil
	}
	return s.create()
}

func (s *spool) create() (*segment, error) {
	s.mu.Lock()
	for _, old := range slices.Clone(s.segments) {
		s.dropIfDone(old)
	}
	seg := &segment{id: s.nextID}
	s.mu.Unlock()
	header := durable.AppendFrame(nil, []byte(segmentMagic+s.format))
	f, err := durable.Replace(s.fs, s.path(seg, segmentSuffix), header)
	if err != nil {
		return nil, err
	}
	seg.size = int64(len(header))
	s.budget.used.Add(seg.size)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.file, s.live = f, seg
	s.nextID++ // not before: what an attempt leaves behind, the next replaces
	s.segments = append(s.segments, seg)
	return seg, nil
}

// setAside gives up the live segment after a failure: after one nothing is known
// about what a file's end holds. What was durable before stays.
func (s *spool) setAside() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.usable = time.Now().Add(brokenPause)
	seg := s.live
	if seg == nil {
		return
	}
	_ = s.file.Close()
	_ = s.fs.Truncate(s.path(seg, segmentSuffix), seg.size) // what is behind it was given back
	s.file, s.live = nil, nil
	s.dropIfDone(seg)
}

// seal closes the live segment for writing, so that it can be read as a whole.
func (s *spool) seal() {
	s.writing.Lock()
	defer s.writing.Unlock()
	s.sealLocked()
}

func (s *spool) sealLocked() {
	s.mu.Lock()
	seg, records := s.live, 0
	if seg != nil {
		records = seg.records
	}
	s.mu.Unlock()
	if seg == nil {
		return
	}
	// Every record is durable already: without its foot, damage at the end of the
	// segment would pass for what a crash has cut, and that is all.
	foot := appendFoot(nil, records)
	_, err := s.file.Write(foot)
	if err == nil {
		err = s.file.Sync()
	}
	_ = s.file.Close()
	s.file = nil
	s.mu.Lock()
	defer s.mu.Unlock()
	s.live = nil // not before: it may be read and deleted from now on
	if err == nil {
		seg.size += int64(len(foot))
		s.budget.used.Add(int64(len(foot)))
	}
	s.dropIfDone(seg)
}

// dropIfDone deletes a segment of which everything is finished.
func (s *spool) dropIfDone(seg *segment) {
	if seg == s.live || seg == s.reading || seg.records < 0 || seg.left() > 0 {
		return
	}
	s.closeFiles(seg)
	// The segment goes first: acknowledgements without it harm nothing.
	if err := s.fs.Remove(s.path(seg, segmentSuffix)); err != nil {
		return // it is tried again when the next is made
	}
	_ = s.fs.SyncDir(s.dir)
	_ = s.fs.Remove(s.path(seg, finishedSuffix))
	s.forget(seg)
	s.budget.used.Add(-seg.size)
}

func (s *spool) closeFiles(seg *segment) {
	if seg.reader != nil {
		_ = seg.reader.Close()
	}
	if seg.acks != nil {
		_ = seg.acks.Close()
	}
	seg.reader, seg.acks = nil, nil
}

func (s *spool) forget(seg *segment) {
	is := func(o *segment) bool { return o == seg }
	s.segments, s.aside = slices.DeleteFunc(s.segments, is), slices.DeleteFunc(s.aside, is)
}

// putAside forgets a segment whose file stays.
func (s *spool) putAside(seg *segment) {
	s.closeFiles(seg)
	s.forget(seg)
	s.aside = append(s.aside, seg)
}

// next returns the segment to load next, nil if there is none. It stays where it is
// until it is loaded.
func (s *spool) next(newestFirst bool) *segment {
	s.mu.Lock()
	defer s.mu.Unlock()
	var next *segment
	for _, seg := range s.segments {
		if seg.loaded || seg == s.live {
			continue
		}
		if next = seg; !newestFirst {
			break
		}
	}
	s.reading = next
	return next
}

// waiting reports whether there is something to load, or from when on.
func (s *spool) waiting(now time.Time) (ok bool, from time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	loaded, more := 0, false
	for _, seg := range s.segments {
		if seg.loaded && seg.left() > 0 {
			loaded++
		}
		more = more || !seg.loaded && (seg != s.live || seg.left() > 0)
	}
	if !more || loaded >= segmentsMax {
		return false, from
	}
	return !now.Before(s.readable), s.readable
}

// errAgain is in the error of a load that is to be tried again.
var errAgain = errors.New("it is tried again")

// again reports whether loading a segment is tried again after a failure that is
// not of its content.
func (s *spool) again(seg *segment, why error) bool {
	if why == nil || errors.Is(why, os.ErrNotExist) || errors.Is(why, durable.ErrTorn) || errors.Is(why, durable.ErrDamaged) {
		return false
	}
	seg.tries++
	if seg.tries >= triesMax {
		return false
	}
	s.closeFiles(seg)
	s.readable = time.Now().Add(brokenPause)
	return true
}

// load reads what a sealed segment has, and calls each for what is neither
// finished nor held, which is what the queue has in memory of it and will finish.
// A segment that cannot be used is put out of the way, and the error says so, or
// that it is tried again.
func (s *spool) load(seg *segment, held map[int64]bool, each func(*head, place)) (res scanResult, err error) {
	var found []foundRecord
	if err = s.open(seg); err == nil {
		res, err = scanSegment(limited{seg.reader, seg.size}, func(r foundRecord) { found = append(found, r) })
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.reading = nil
	if s.again(seg, err) {
		return scanResult{}, fmt.Errorf("cannot read the segment %d of the disk cache, %w: %w", seg.id, errAgain, err)
	}
	seg.loaded = true
	if err != nil || string(res.first) != segmentMagic+s.format {
		return res, s.passOver(seg, res.first, err)
	}
	seg.records, seg.finished = len(found), 0
	finished := s.finishedPlaces(seg)
	for _, at := range seg.early { // the note may have failed
		finished[at] = true
	}
	for i := range found {
		at := found[i].at
		switch {
		case finished[at]:
			seg.finished++
		case !held[at]:
			each(&found[i].head, place{seg, at, found[i].size})
		}
		delete(held, at)
	}
	for at := range held { // damaged, but in memory
		if !finished[at] {
			seg.records++
		}
	}
	seg.early = nil
	s.dropIfDone(seg)
	return res, nil
}

// open makes a segment readable. The size of one that this process has written is
// known: what may be behind it was given back.
func (s *spool) open(seg *segment) error {
	r, err := s.fs.Open(s.path(seg, segmentSuffix))
	if err != nil {
		return err
	}
	size, err := r.Size()
	s.mu.Lock()
	defer s.mu.Unlock()
	seg.reader = r
	if seg.records < 0 && err == nil {
		s.budget.used.Add(size - seg.size) // if it could not be opened at the start
		seg.size = size
	}
	return err
}

// passOver leaves a segment out that cannot be sent.
func (s *spool) passOver(seg *segment, first []byte, why error) error {
	name := s.path(seg, segmentSuffix)
	switch {
	case seg.reader == nil:
		s.putAside(seg)
		return fmt.Errorf("cannot open a segment of the disk cache; the next start tries again: %w", why)
	case why != nil && seg.size <= int64(frameBytes+len(segmentMagic)+len(s.format)):
		seg.records = 0 // a crash came before its first record
		s.dropIfDone(seg)
		return nil
	case why != nil:
		return s.quarantine(seg, why)
	}
	s.putAside(seg)
	return fmt.Errorf("cannot send what is in %s: it was written by another version, or for another type of output (%q); "+
		"give the output its former type, or start the version that wrote it, until the file is gone; or delete it", name, first)
}

// quarantine puts a segment that cannot be read out of the way.
func (s *spool) quarantine(seg *segment, why error) error {
	s.putAside(seg)
	bad := s.path(seg, badSuffix)
	if err := s.fs.Rename(s.path(seg, segmentSuffix), bad); err != nil {
		why = errors.Join(why, err)
	}
	return fmt.Errorf("cannot read a segment of the disk cache, it is kept as %s: %w", bad, why)
}

// limited is a reader of the part of a file that counts.
type limited struct {
	durable.Reader
	size int64
}

// Size implements durable.Reader.
func (l limited) Size() (int64, error) { return l.size, nil }

// read appends the payload of a record to dst. The head is valid even if the
// payload is damaged.
func (s *spool) read(dst []byte, p place) (h head, payload []byte, err error) {
	frames := make([]byte, p.size)
	if _, err := p.seg.reader.ReadAt(frames, p.at); err != nil {
		if !errors.Is(err, io.EOF) { // it may still be there
			err = fmt.Errorf("%w: %w", errAgain, err)
		}
		return h, dst, fmt.Errorf("cannot read a record of the disk cache: %w", err)
	}
	n := int(binary.LittleEndian.Uint32(frames)) + frameBytes
	if n > len(frames) {
		return h, dst, errHead
	}
	_, err = durable.ScanFrames(frames[:n], func(b []byte) (err error) { h, err = parseHead(b); return err })
	if err != nil {
		return h, dst, err
	}
	payload, err = h.decodeBody(dst, frames[n:])
	return h, payload, err
}

// empty reports whether nothing is left that is or will be sent.
func (s *spool) empty() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, seg := range s.segments {
		if seg.records < 0 || seg.left() > 0 {
			return false
		}
	}
	return true
}

// bytes is what lies on the disk.
func (s *spool) bytes() (sum int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, seg := range s.segments {
		sum += seg.size
	}
	return sum
}

// close closes what is open. The files stay.
func (s *spool) close() {
	s.seal()
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, seg := range append(s.segments, s.aside...) {
		if len(seg.notes) > 0 {
			s.note(seg)
		}
		s.closeFiles(seg)
		s.budget.used.Add(-seg.size)
	}
	s.segments, s.aside = nil, nil
}
