// Package checkpoint remembers how far each source is read and safe.
//
// It promises: a position moves only over bytes that were acknowledged, and
// over all of them from the start (an acknowledgement that overtook another
// waits); what Add returned, and what was saved, is found again after a crash;
// a damaged file leads to an older position or to none (Damaged, Lost), so that
// bytes are read again, never skipped.
// It does not promise that the last second is saved: a crash repeats it.
//
// On disk it is one log: a snapshot, then changes, each frame with a checksum.
// When the changes outgrow the snapshot, a new log is written beside it and the
// one before is kept. Saving costs in proportion to what has changed.
//
// Store.Run is the only goroutine. Store and Source are safe for concurrent
// use; no disk access happens under the lock that Done takes.
package checkpoint

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/wasmtail/wasmtail/internal/durable"
)

// Digest identifies a piece of content: the first half of its SHA-256.
type Digest [16]byte

// Sum returns the digest of p.
func Sum(p []byte) (d Digest) {
	h := sha256.Sum256(p)
	copy(d[:], h[:])
	return d
}

// MarkerBytesMax is how many bytes before a position its marker covers, fewer
// near the start of the source.
const MarkerBytesMax = 256

// HeadBytesMax is how many bytes at the start of a source its head covers once
// it is that long.
const HeadBytesMax = 1024

// Entry is what is remembered about one generation of a source.
type Entry struct {
	Pipeline   string
	Generation string // 16 lower-case hex digits, unique
	Path       string
	Dev, Ino   uint64
	// HeadLen bytes at the start of the source have the digest Head.
	HeadLen int
	Head    Digest
	// Acked is the position up to which every byte is acknowledged, and Marker
	// the digest of the min(Acked, MarkerBytesMax) bytes before it.
	Acked  int64
	Marker Digest
	// Size is the largest size seen.
	Size int64
	// Created is when the generation was first seen, Unix nanoseconds.
	Created int64
	// Finished says that nothing of it is to be read: it is known, so that it is
	// not taken for something new.
	Finished bool
	// Cursor says where Acked is in a source that is no file, in the words of its
	// input; at most CursorBytesMax. It is nil for files, and only for them.
	Cursor []byte
	// Format is what the source was found to be, in the words of its reader; "" if
	// that is not decided. At most FormatBytesMax bytes.
	Format string
}

const (
	// CursorBytesMax bounds a cursor.
	CursorBytesMax = 256 << 10
	// FormatBytesMax is how long the format of an entry may be.
	FormatBytesMax = 100
)

const (
	saveInterval   = time.Second
	prefix         = "checkpoint-"
	compactFactor  = 2       // the log is rewritten when it is this many snapshots long,
	compactSlack   = 1 << 20 // plus this.
	keptLogs       = 2
	snapshotMagic  = "wtc1"
	entriesInPlace = 64
)

// Store holds the entries of all pipelines of an agent.
type Store struct {
	fs  durable.FS
	dir string
	// Alarm is called, if set before Run, when saving begins to fail and, with
	// nil, when it works again.
	Alarm func(error)

	damaged error
	lost    bool

	mu      sync.Mutex
	sources map[string]*Source
	notes   map[string]map[string]bool
	dirty   []*Source

	disk     sync.Mutex // held while writing; taken before mu
	log      durable.File
	sequence uint64
	size     int64
	snapshot int64
	broken   bool
	failing  bool
}

// Open loads the checkpoints in dir, which it makes if needed. A damaged file is
// no error: see Damaged and Lost.
func Open(fs durable.FS, dir string) (*Store, error) {
	s := &Store{fs: fs, dir: dir, sources: map[string]*Source{}, notes: map[string]map[string]bool{}, broken: true}
	if err := fs.MkdirAll(dir); err != nil {
		return nil, fmt.Errorf("cannot make the checkpoint directory %s (give the agent a data_dir that it may write): %w", dir, err)
	}
	if err := s.load(); err != nil {
		return nil, err
	}
	return s, nil
}

// Damaged returns what was wrong with the files found by Open, nil if nothing.
func (s *Store) Damaged() error { return s.damaged }

// Lost reports whether there were checkpoints and none could be read: then
// files must be read from their start, whatever the configuration says.
func (s *Store) Lost() bool { return s.lost }

// load reads the newest log that has a whole snapshot.
func (s *Store) load() error {
	names, err := s.fs.List(s.dir)
	if err != nil {
		return fmt.Errorf("cannot list the checkpoint directory %s: %w", s.dir, err)
	}
	var logs []state
	found := false
	for _, name := range names {
		if _, ok := logSequence(name); !ok {
			continue
		}
		found = true
		data, err := s.fs.ReadFile(filepath.Join(s.dir, name))
		if err != nil {
			s.damage(name, err)
			continue
		}
		st, err := decodeLog(data)
		if err != nil && !(errors.Is(err, durable.ErrTorn) && st.whole) {
			s.damage(name, err)
		}
		if st.whole {
			logs = append(logs, st)
		}
		n, _ := logSequence(name)
		s.sequence = max(s.sequence, n, st.sequence)
	}
	s.lost = found && len(logs) == 0
	if len(logs) == 0 {
		return nil
	}
	sort.Slice(logs, func(i, j int) bool { return logs[i].sequence > logs[j].sequence })
	for generation, e := range logs[0].entries {
		s.sources[generation] = &Source{store: s, entry: *e, acked: e.Acked, marker: e.Marker, cursor: e.Cursor, durable: true}
	}
	s.notes = logs[0].notes
	return nil
}

func (s *Store) damage(name string, err error) {
	s.damaged = errors.Join(s.damaged, fmt.Errorf("cannot use all of %s: %w", filepath.Join(s.dir, name), err))
}

func logSequence(name string) (uint64, bool) {
	digits, ok := strings.CutPrefix(name, prefix)
	if !ok {
		return 0, false
	}
	n, err := strconv.ParseUint(digits, 10, 63)
	return n, err == nil
}

// Sources returns the sources of a pipeline, in no order.
func (s *Store) Sources(pipeline string) []*Source {
	s.mu.Lock()
	defer s.mu.Unlock()
	var found []*Source
	for _, src := range s.sources {
		if src.entry.Pipeline == pipeline {
			found = append(found, src)
		}
	}
	return found
}

// Noted reports whether note was added for the pipeline.
func (s *Store) Noted(pipeline, note string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.notes[pipeline][note]
}

// Notes returns what follows prefix in those notes of the pipeline that begin with
// it, in no order.
func (s *Store) Notes(pipeline, prefix string) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var found []string
	for note := range s.notes[pipeline] {
		if rest, ok := strings.CutPrefix(note, prefix); ok {
			found = append(found, rest)
		}
	}
	return found
}

// Pipelines returns the names that have entries or notes, in no order.
func (s *Store) Pipelines() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	seen := map[string]bool{}
	for name := range s.notes {
		seen[name] = true
	}
	for _, src := range s.sources {
		seen[src.entry.Pipeline] = true
	}
	names := make([]string, 0, len(seen))
	for name := range seen {
		names = append(names, name)
	}
	return names
}

// Add makes new sources, and notes of one pipeline, known and durable with one
// write. On error none of them is added.
func (s *Store) Add(entries []Entry, pipeline string, notes ...string) ([]*Source, error) {
	added := make([]*Source, len(entries))
	var frames []byte
	for i, e := range entries {
		added[i] = &Source{store: s, entry: e, acked: e.Acked, marker: e.Marker, cursor: e.Cursor, durable: true}
		frames = appendEntry(frames, &e)
	}
	for _, note := range notes {
		frames = appendNote(frames, pipeline, note)
	}
	s.disk.Lock()
	defer s.disk.Unlock()
	insert := func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		for _, src := range added {
			s.sources[src.entry.Generation] = src
		}
		for _, note := range notes {
			s.noteLocked(pipeline, note)
		}
	}
	if !s.broken {
		if err := s.append(frames); err != nil {
			return nil, s.report(err)
		}
		insert()
		return added, s.report(nil)
	}
	insert()
	if err := s.compact(); err != nil {
		s.mu.Lock()
		defer s.mu.Unlock()
		for _, src := range added {
			delete(s.sources, src.entry.Generation)
		}
		for _, note := range notes {
			delete(s.notes[pipeline], note)
		}
		return nil, s.report(err)
	}
	return added, s.report(nil)
}

func (s *Store) noteLocked(pipeline, note string) {
	if s.notes[pipeline] == nil {
		s.notes[pipeline] = map[string]bool{}
	}
	s.notes[pipeline][note] = true
}

// Run saves what has changed once a second until ctx ends. It does not save at
// its end: Close does.
func (s *Store) Run(ctx context.Context) {
	tick := time.NewTicker(saveInterval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			_ = s.Save() // reported by Alarm, tried again at the next tick
		}
	}
}

// Close saves what has changed and closes the log.
func (s *Store) Close() error {
	err := s.Save()
	s.disk.Lock()
	defer s.disk.Unlock()
	if s.log != nil {
		err = errors.Join(err, s.log.Close())
		s.log, s.broken = nil, true
	}
	return err
}

// Save makes every change so far durable. Without changes it costs nothing.
func (s *Store) Save() error {
	s.disk.Lock()
	defer s.disk.Unlock()
	frames := s.takeChanges()
	if len(frames) == 0 && !s.failing {
		return nil
	}
	if s.broken || s.size+int64(len(frames)) > compactFactor*s.snapshot+compactSlack {
		return s.report(s.compact())
	}
	return s.report(s.append(frames))
}

// takeChanges encodes the changed sources. What it took is safe even when the
// write fails: then the next write is a whole snapshot.
func (s *Store) takeChanges() (frames []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, src := range s.dirty {
		s.dirty[i] = nil
		frames = src.appendChangeLocked(frames)
	}
	s.dirty = s.dirty[:0]
	if cap(s.dirty) > entriesInPlace*16 {
		s.dirty = nil
	}
	return frames
}

// append writes frames to the log. After a failure nothing is known about the
// file's state, so it is not written again.
func (s *Store) append(frames []byte) error {
	_, err := s.log.Write(frames)
	if err == nil {
		err = s.log.Sync()
	}
	if err != nil {
		s.broken = true
		return fmt.Errorf("cannot save checkpoints to %s: %w", s.name(s.sequence), err)
	}
	s.size += int64(len(frames))
	return nil
}

func (s *Store) name(sequence uint64) string {
	return filepath.Join(s.dir, fmt.Sprintf("%s%020d", prefix, sequence))
}

// compact writes everything to a new log.
func (s *Store) compact() error {
	s.broken = true
	s.mu.Lock()
	data := s.appendSnapshotLocked(nil, s.sequence+1)
	s.mu.Unlock()
	log, err := durable.Replace(s.fs, s.name(s.sequence+1), data)
	if err != nil {
		return fmt.Errorf("cannot save checkpoints: %w", err)
	}
	if s.log != nil {
		_ = s.log.Close() // its content is superseded
	}
	s.sequence++
	s.log, s.size, s.snapshot, s.broken = log, int64(len(data)), int64(len(data)), false
	s.prune()
	return nil
}

// prune removes what is older than the kept logs. A failure leaves a file more.
func (s *Store) prune() {
	names, err := s.fs.List(s.dir)
	if err != nil {
		return
	}
	for _, name := range names {
		n, ok := logSequence(strings.TrimSuffix(name, durable.TempSuffix))
		if ok && (n+keptLogs <= s.sequence || strings.HasSuffix(name, durable.TempSuffix)) {
			_ = s.fs.Remove(filepath.Join(s.dir, name))
		}
	}
}

// report tells Alarm when saving starts or ceases to fail, and returns err.
func (s *Store) report(err error) error {
	if (err != nil) != s.failing {
		s.failing = err != nil
		if s.Alarm != nil {
			s.Alarm(err)
		}
	}
	if errors.Is(err, os.ErrPermission) {
		err = fmt.Errorf("%w (the agent's user must own %s)", err, s.dir)
	}
	return err
}
