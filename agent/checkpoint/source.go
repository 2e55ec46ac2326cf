package checkpoint

import "slices"

// Source is one generation of a source and its open spans. Safe for concurrent
// use.
type Source struct {
	store *Store

	// Guarded by store.mu.
	entry   Entry // Acked, Marker and Cursor as last saved or taken for saving
	acked   int64
	marker  Digest
	cursor  []byte
	ahead   []interval // acknowledged, beyond a gap; sorted, disjoint
	open    int
	durable bool // the log has the entry
	changed bool // the whole entry must be written
	queued  bool
	gone    bool
}

type interval struct {
	start, end int64
	marker     Digest
	cursor     []byte
}

// Entry returns what would be saved now.
func (src *Source) Entry() Entry {
	src.store.mu.Lock()
	defer src.store.mu.Unlock()
	e := src.entry
	e.Acked, e.Marker, e.Cursor = src.acked, src.marker, src.cursor
	return e
}

// Position returns the acknowledged position, its marker, and how many spans
// are open.
func (src *Source) Position() (acked int64, marker Digest, open int) {
	src.store.mu.Lock()
	defer src.store.mu.Unlock()
	return src.acked, src.marker, src.open
}

// Edit changes the entry; the change is durable with the next save. Acked, Marker
// and Cursor may not be changed by it.
func (src *Source) Edit(edit func(*Entry)) {
	src.store.mu.Lock()
	defer src.store.mu.Unlock()
	edit(&src.entry)
	src.changed = true
	src.queueLocked()
}

// Forget removes the source. Spans that are still open are closed in vain.
func (src *Source) Forget() {
	s := src.store
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.sources, src.entry.Generation)
	src.gone, src.ahead = true, nil
	src.queueLocked()
}

func (src *Source) queueLocked() {
	if !src.queued {
		src.queued = true
		src.store.dirty = append(src.store.dirty, src)
	}
}

// Begin opens the span [start, end) of the source; marker is that of end. The
// returned function closes it and is called exactly once, from any goroutine:
// with true when the bytes are safe, with false when they must be read again.
// It does not block.
func (src *Source) Begin(start, end int64, marker Digest) func(acknowledged bool) {
	return src.begin(interval{start: start, end: end, marker: marker})
}

// BeginCursor is Begin for a source that is no file: cursor, which it keeps, says
// where end is.
func (src *Source) BeginCursor(start, end int64, cursor []byte) func(acknowledged bool) {
	return src.begin(interval{start: start, end: end, cursor: cursor})
}

// MoveCursor replaces the cursor, which it keeps, of a source that is acknowledged
// up to at and has no open span; it is false, and changes nothing, for another. The
// bytes are counted as before: what lies between the two cursors has none.
func (src *Source) MoveCursor(at int64, cursor []byte) bool {
	src.store.mu.Lock()
	defer src.store.mu.Unlock()
	if src.gone || src.open > 0 || src.acked != at {
		return false
	}
	src.cursor, src.changed = cursor, true
	src.queueLocked()
	return true
}

func (src *Source) begin(iv interval) func(acknowledged bool) {
	src.store.mu.Lock()
	src.open++
	src.store.mu.Unlock()
	return func(acknowledged bool) {
		src.store.mu.Lock()
		defer src.store.mu.Unlock()
		src.open--
		if acknowledged && !src.gone {
			src.closeLocked(iv)
		}
	}
}

func (src *Source) closeLocked(iv interval) {
	if iv.end <= src.acked {
		return
	}
	if iv.start > src.acked {
		src.insertLocked(iv)
		return
	}
	src.acked, src.marker, src.cursor = iv.end, iv.marker, iv.cursor
	n := 0
	for n < len(src.ahead) && src.ahead[n].start <= src.acked {
		if src.ahead[n].end > src.acked {
			src.acked, src.marker, src.cursor = src.ahead[n].end, src.ahead[n].marker, src.ahead[n].cursor
		}
		n++
	}
	src.ahead = slices.Delete(src.ahead, 0, n)
	src.queueLocked()
}

// insertLocked merges iv into the intervals beyond the gap.
func (src *Source) insertLocked(iv interval) {
	i, _ := slices.BinarySearchFunc(src.ahead, iv.start, func(a interval, start int64) int {
		if a.end < start {
			return -1
		}
		return 1
	})
	j := i
	for j < len(src.ahead) && src.ahead[j].start <= iv.end {
		iv.start = min(iv.start, src.ahead[j].start)
		if src.ahead[j].end > iv.end {
			iv.end, iv.marker, iv.cursor = src.ahead[j].end, src.ahead[j].marker, src.ahead[j].cursor
		}
		j++
	}
	src.ahead = slices.Replace(src.ahead, i, j, iv)
}
