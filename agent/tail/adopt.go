package tail

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"hash/fnv"
	"io/fs"
	"path/filepath"
	"slices"
	"sort"
	"syscall"
	"time"

	"github.com/wasmtail/wasmtail/agent/checkpoint"
	"github.com/wasmtail/wasmtail/internal/record"
)

const (
	// packSettle is how long a compressed file is left alone after it last grew.
	packSettle = int64(2 * time.Second)
	// clockSlack is by how much the time of a file may lie behind the clock.
	clockSlack = int64(20 * time.Millisecond)
)

// newcomer is an open file of which it is not known yet what it is.
type newcomer struct {
	fd       int
	st       stat
	path     string
	family   string
	included bool
	sibling  bool // its name is that of a rotated file
	packed   bool
	dir      *directory
	entry    *dirEntry
	ino      uint64      // of entry
	grown    int64       // when it was last seen to change
	copyOf   *generation // found to be a copy of its beginning
	retryAt  int64       // when to unpack it again after an error
}

// file sees to a regular file with a new name or inode.
func (t *Tailer) file(d *directory, e *dirEntry, path string) {
	if e.link == nil {
		if g := t.byID[identity{d.id.dev, e.ino}]; g != nil && g.fd >= 0 && !g.spooled {
			t.recovered(path)
			t.attach(g, d, e, path)
			return
		}
	}
	n := &newcomer{fd: -1, path: path, dir: d, entry: e, ino: e.ino, included: t.included(path)}
	n.family, n.sibling, n.packed = t.familyOf(d, e.name, path)
	if n.packed && !n.sibling || !n.included && !n.sibling {
		return
	}
	if d.targets[e.name] != "" && !n.included {
		return // followed under the name of its link
	}
	t.openNewcomer(n)
}

// familyOf returns the path that name had before it was rotated, and whether it
// was.
func (t *Tailer) familyOf(d *directory, name, path string) (family string, sibling, packed bool) {
	plain, packed := uncompressed(name)
	known := func(base string) bool {
		basePath := filepath.Join(d.path, base)
		if link := d.targets[base]; link != "" {
			family, sibling = link, true
			return true
		}
		if !t.included(basePath) {
			return false
		}
		if t.included(path) && d.entries[base] == nil && len(t.families[basePath]) == 0 && !t.orphanFamily(basePath) {
			return false // a file of its own, with a number in its name
		}
		family, sibling = basePath, true
		return true
	}
	if packed && known(plain) {
		return family, true, true
	}
	rotationBases(plain, known)
	if !sibling {
		family = path
	}
	return family, sibling, packed
}

func (t *Tailer) orphanFamily(path string) bool {
	for _, list := range t.orphans {
		for _, src := range list {
			if src.Entry().Path == path {
				return true
			}
		}
	}
	return false
}

func (t *Tailer) openNewcomer(n *newcomer) {
	if len(t.byID) >= t.config.FilesMax {
		t.alarm("more files than max_files: some are not read", "", nil)
		t.failed(n.path, failure{code: TooManyFiles, reason: "more files than max_files", fix: "raise max_files of the input, or make its patterns narrower", entry: n.entry, dir: n.dir})
		return
	}
	if t.open >= t.config.OpenFilesMax && !t.makeRoom() {
		t.alarm("too many open files: some wait until others are read; raise LimitNOFILE", n.path, nil)
		t.failed(n.path, failure{code: TooManyOpen, reason: "too many open files", fix: "raise limits.open_files, and LimitNOFILE of the service", entry: n.entry, dir: n.dir})
		return
	}
	fd, err := t.openPath(n.path)
	if err != nil {
		t.openFailed(n, err)
		return
	}
	t.open++
	n.fd = fd
	if err := t.statBuf.open(fd, &n.st); err != nil || !n.st.regular {
		t.drop(n)
		return
	}
	delete(t.failures, n.path)
	if v, ok := t.ignored[n.st.id]; ok && !n.included && v == (version{n.st.size, n.st.mtime}) {
		t.drop(n)
		return
	}
	delete(t.ignored, n.st.id)
	if g := t.byID[n.st.id]; g != nil && t.rejoin(g, n) {
		return
	}
	n.grown = t.now()
	for _, list := range [][]*newcomer{t.waiting, t.newcomers} {
		for _, other := range list {
			if other.fd >= 0 && other.st.id == n.st.id { // it was renamed while it waited
				other.path, other.dir, other.entry, other.ino = n.path, n.dir, n.entry, n.ino
				other.family, other.sibling, other.included = n.family, n.sibling, n.included
				t.drop(n)
				return
			}
		}
	}
	t.newcomers = append(t.newcomers, n)
}

func (t *Tailer) openFailed(n *newcomer, err error) {
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ELOOP), errors.Is(err, syscall.ENXIO):
		// Gone again, or nothing to read: a later scan sees what became of it.
		n.entry.ino = 0
	default:
		t.failEntry(n.path, failure{code: reasonOf(err), reason: "cannot open the file", err: err, entry: n.entry, dir: n.dir})
	}
}

// rejoin finds n to be a generation that is known: another name of an open one,
// or a closed one, if the content is still the same.
func (t *Tailer) rejoin(g *generation, n *newcomer) bool {
	if g.fd >= 0 && !g.spooled {
		t.attach(g, n.dir, n.entry, n.path)
		t.drop(n)
		return true
	}
	read, marker, head := g.progress()
	same := g.spooled || g.finished && n.st.size == g.size && n.st.mtime == g.mtime ||
		n.st.size >= read && sameHead(n.fd, head, t.head[:]) && sameMarker(n.fd, read, marker, t.head[:])
	if !same {
		t.end(g)
		return false
	}
	t.attach(g, n.dir, n.entry, n.path)
	if g.finished && n.live() {
		g.unfinish()
	}
	if !g.finished && !g.spooled && g.isIdle() {
		g.fd, n.fd = n.fd, -1
		g.atEnd = false
		t.activate(g)
		return true
	}
	t.drop(n)
	return true
}

// drop closes a newcomer.
func (t *Tailer) drop(n *newcomer) {
	if n.fd >= 0 {
		closeFile(n.fd)
		t.open--
		n.fd = -1
	}
}

// ignore closes a newcomer that is not ours, and remembers how it looks.
func (t *Tailer) ignore(n *newcomer) {
	t.ignored[n.st.id] = version{n.st.size, n.st.mtime}
	t.drop(n)
}

// settleAll decides on newcomers, and on those that wait.
func (t *Tailer) settleAll(now int64) {
	list := append(t.waiting, t.newcomers...)
	t.waiting, t.newcomers = nil, nil
	sort.SliceStable(list, func(i, j int) bool {
		if list[i].sibling != list[j].sibling {
			return list[j].sibling // what could be a copy comes after its original
		}
		return list[i].sibling && list[i].st.mtime < list[j].st.mtime
	})
	rotated := slices.IndexFunc(list, func(n *newcomer) bool { return n.sibling })
	if rotated < 0 {
		rotated = len(list)
	}
	for _, part := range [][]*newcomer{list[:rotated], list[rotated:]} {
		part = slices.DeleteFunc(part, func(n *newcomer) bool { return n.fd < 0 || t.resumeByID(n) })
		for _, n := range part {
			if n.fd >= 0 && !t.settle(n, now) {
				t.waiting = append(t.waiting, n)
			}
		}
	}
}

// resumeByID continues what the checkpoint knows by device and inode.
func (t *Tailer) resumeByID(n *newcomer) bool {
	if n.packed {
		return false
	}
	var best candidate
	for _, src := range t.orphans[n.st.id] {
		e := src.Entry()
		if e.HeadLen == 0 && e.Acked == 0 && !(t.firstScan && e.Path == n.path) {
			continue // it was empty: nothing says that this is not another file with its inode
		}
		best.consider(t, n, src, &e)
	}
	if best.src != nil && n.sibling && n.st.size > best.acked && (t.followed(n) || t.hasMore(n, best.acked)) {
		return false // a copy of another, that has the inode of one that is gone
	}
	return best.resume(t, n)
}

// hasMore reports whether n has what was read of another file of its family,
// beyond acked.
func (t *Tailer) hasMore(n *newcomer, acked int64) bool {
	for _, list := range t.orphans {
		for _, src := range list {
			e := src.Entry()
			if e.Acked > acked && t.orphanOf(&e, n.family) && t.matches(n, &e) {
				return true
			}
		}
	}
	return false
}

// candidate is what of the checkpoint a newcomer can be. Several can begin like
// it, as one that has only the first line of all: the one of which most was read
// is it.
type candidate struct {
	src   *checkpoint.Source
	acked int64
}

func (c *candidate) consider(t *Tailer, n *newcomer, src *checkpoint.Source, e *checkpoint.Entry) {
	if (c.src == nil || e.Acked > c.acked) && t.matches(n, e) {
		c.src, c.acked = src, e.Acked
	}
}

func (c *candidate) resume(t *Tailer, n *newcomer) bool {
	if c.src == nil {
		return false
	}
	t.resume(n, c.src)
	return true
}

// matches reports whether the content of n is that of e up to its position.
func (t *Tailer) matches(n *newcomer, e *checkpoint.Entry) bool {
	return n.st.size >= e.Acked &&
		sameHead(n.fd, signature{e.HeadLen, e.Head}, t.head[:]) &&
		sameMarker(n.fd, e.Acked, e.Marker, t.head[:])
}

// resumeByContent continues a generation that is not where it was: copied and
// truncated, or moved across file systems, or on a file system that was mounted
// again under another device number.
func (t *Tailer) resumeByContent(n *newcomer) bool {
	var best candidate
	for _, list := range t.orphans {
		for _, src := range list {
			e := src.Entry()
			remounted := e.Path == n.path && e.Ino == n.st.id.ino
			moved := n.sibling && t.orphanOf(&e, n.family)
			if !remounted && !moved || e.HeadLen == 0 {
				continue
			}
			// A full head is enough to be sure, and so are the bytes before a
			// position that lies further in. With less than that, something must
			// say that there is a copy.
			sure := e.HeadLen == checkpoint.HeadBytesMax || e.Acked >= checkpoint.MarkerBytesMax
			if !sure && (e.Acked == 0 || t.byID[identity{e.Dev, e.Ino}] == nil && !remounted) {
				continue
			}
			best.consider(t, n, src, &e)
		}
	}
	if best.src != nil && n.st.size > best.acked && t.followed(n) {
		return false
	}
	return best.resume(t, n)
}

// orphanOf reports whether an entry is of that family.
func (t *Tailer) orphanOf(e *checkpoint.Entry, family string) bool {
	if e.Path == family {
		return true
	}
	if filepath.Dir(e.Path) != filepath.Dir(family) {
		return false
	}
	plain, _ := uncompressed(filepath.Base(e.Path))
	found := plain == filepath.Base(family)
	rotationBases(plain, func(base string) bool {
		found = found || base == filepath.Base(family)
		return found
	})
	return found
}

// settle decides what n is, if that can be said already.
func (t *Tailer) settle(n *newcomer, now int64) bool {
	before := n.st
	if err := t.statBuf.open(n.fd, &n.st); err != nil {
		t.drop(n)
		return true
	}
	if n.st.size != before.size || n.st.mtime != before.mtime {
		n.grown = now
	}
	if g := t.byID[n.st.id]; g != nil && t.rejoin(g, n) {
		return true // two names were found in one scan
	}
	if n.packed {
		return t.settlePacked(n, now)
	}
	if t.resumeByContent(n) {
		return true
	}
	if n.sibling && t.olderThanFamily(n) && !n.included {
		t.ignore(n)
		return true
	}
	if n.sibling && n.st.size == 0 && !n.included {
		if n.st.links == 0 {
			t.drop(n)
			return true
		}
		return false
	}
	if n.sibling && n.st.size > 0 && (!t.firstScan || t.noted(n.family)) {
		if done, waits := t.settleCopy(n, now); done || waits {
			return done
		}
	}
	t.begin(n, t.startOf(n), false)
	return true
}

// olderThanFamily reports whether n was last written before its file was first
// looked for, or followed: then it is history, not something that was missed.
func (t *Tailer) olderThanFamily(n *newcomer) bool {
	born := t.lookedForSince(n.family)
	for _, g := range t.families[n.family] {
		born = min(born, g.seen)
	}
	for _, list := range t.orphans {
		for _, src := range list {
			if e := src.Entry(); t.orphanOf(&e, n.family) {
				born = min(born, e.Created)
			}
		}
	}
	return n.st.mtime < born-clockSlack
}

// startOf returns where to begin with a file that is not known.
func (t *Tailer) startOf(n *newcomer) int64 {
	if !t.firstScan && !t.patterns.early(n.path) || t.store.Lost() || t.noted(n.path) || !n.included {
		return 0
	}
	s := t.config.Start
	switch s.Kind {
	case StartBeginning:
		return 0
	case StartSince:
		if n.st.mtime >= s.Since.UnixNano() {
			return 0
		}
	case StartLast:
		return t.lineAfter(n, n.st.size-s.Bytes)
	case StartEnd:
	}
	return n.st.size
}

// noted reports whether a pattern that path matches was there at an earlier
// start: then the file has appeared since.
func (t *Tailer) noted(path string) bool {
	for i := range t.patterns.include {
		g := &t.patterns.include[i]
		if g.match(path) && (g.dir != "" && t.known[g.key] || g.dir == "" && t.store.Noted(t.config.Pipeline, g.pattern)) {
			return true
		}
	}
	return false
}

// lineAfter returns the start of the first line at or after off.
func (t *Tailer) lineAfter(n *newcomer, off int64) int64 {
	if off <= 0 {
		return 0
	}
	buf := make([]byte, 64<<10)
	for at := off - 1; at < off+int64(t.config.RecordBytesMax); {
		got, err := readAt(n.fd, buf, at)
		if err != nil || got == 0 {
			return off
		}
		for i, c := range buf[:got] {
			if c == '\n' {
				return at + int64(i) + 1
			}
		}
		at += int64(got)
	}
	return off
}

// begin makes n a new generation, read up to start.
func (t *Tailer) begin(n *newcomer, start int64, finished bool) *generation {
	g := t.generation(n)
	g.finished = finished
	g.read.Store(start)
	size := n.st.size
	if size > 0 && !n.packed {
		g.head, _ = headOf(g.fd, size, t.head[:])
	}
	if start > 0 && !n.packed {
		marker, err := markerOf(g.fd, start, t.head[:])
		if err != nil {
			g.read.Store(0) // truncated in this moment: it is a new file
		}
		g.marker = marker
	}
	var random [8]byte
	_, _ = rand.Read(random[:]) // never fails
	g.origin = &record.Origin{
		Generation: hex.EncodeToString(random[:]), Path: g.path, Source: sourceOf(g.family), Ledger: &record.Ledger{},
	}
	g.copied, g.start, g.base = finished, g.read.Load(), g.read.Load()
	if g.start > 0 && !finished {
		t.notes = append(t.notes, lateNote(g.origin.Generation), beganNote(g.origin.Generation, g.start))
	}
	g.state = unborn
	t.pending = append(t.pending, g)
	t.follow(g, n)
	return g
}

// resume continues a generation of the checkpoint.
func (t *Tailer) resume(n *newcomer, src *checkpoint.Source) {
	e := src.Entry()
	id := identity{e.Dev, e.Ino}
	t.dropOrphan(id, src)
	g := t.generation(n)
	g.source, g.finished, g.seen = src, e.Finished, e.Created
	g.read.Store(e.Acked)
	g.marker, g.head = e.Marker, signature{e.HeadLen, e.Head}
	t.recall(g, e.Format)
	g.start, g.base = Began(t.store, t.config.Pipeline, e.Generation, e.Acked), e.Acked
	g.copied = e.Finished && (!n.packed || e.HeadLen == 0) // what was unpacked has a head
	g.origin = &record.Origin{
		Generation: e.Generation, Path: e.Path, Source: sourceOf(g.family), Ledger: &record.Ledger{},
	}
	if e.Path != n.path || id != n.st.id {
		g.edit(func(e *checkpoint.Entry) { e.Path, e.Dev, e.Ino = n.path, n.st.id.dev, n.st.id.ino })
	}
	if g.finished && (n.live() || e.Acked < n.st.size && !n.packed) { // it has grown after all
		g.unfinish()
	}
	t.follow(g, n)
	t.counters.Resumed++
}

// live reports whether n has the name that a program writes to: a copy that was moved
// there, or a new file that looks like one, is kept open like any other.
func (n *newcomer) live() bool { return !n.sibling && !n.packed }

func (t *Tailer) dropOrphan(id identity, src *checkpoint.Source) {
	list := t.orphans[id]
	for i := range list {
		if list[i] == src {
			t.orphans[id] = append(list[:i:i], list[i+1:]...)
			break
		}
	}
	if len(t.orphans[id]) == 0 {
		delete(t.orphans, id)
	}
}

// generation makes the generation of n, which gives its open file away.
func (t *Tailer) generation(n *newcomer) *generation {
	now := t.now()
	g := &generation{
		fd: n.fd, id: n.st.id, path: n.path, family: n.family, included: n.included,
		size: n.st.size, mtime: n.st.mtime, links: n.st.links,
		seen: now, grown: now, changed: now, flushAt: -1, headers: headers{from: -1},
	}
	n.fd = -1
	g.reader = t.readers[sourceOf(n.family)%uint64(len(t.readers))]
	return g
}

// follow puts a generation in its place.
func (t *Tailer) follow(g *generation, n *newcomer) {
	t.byID[g.id] = g
	if n.named() {
		g.nameIn(n.dir, n.entry)
	} else {
		g.goneSince = t.now()
	}
	if n.sibling && g.rotatedAt == 0 {
		g.rotatedAt = t.now()
	}
	t.queueUp(g, n)
	g.listIndex = -1
	t.activate(g)
	if g.finished {
		t.closeFD(g)
	}
}

// named reports whether the name under which n was found is still its own.
func (n *newcomer) named() bool {
	e := n.entry
	return e != nil && n.dir != nil && e.gen == nil && e.ino == n.ino && n.dir.entries[e.name] == e
}

// queueUp orders g among the generations of its family: what was rotated comes
// first.
func (t *Tailer) queueUp(g *generation, n *newcomer) {
	family := t.families[g.family]
	t.families[g.family] = append(family, g)
	if g.finished {
		return
	}
	for _, o := range slices.Backward(family) {
		if o.finished || o.drained.Load() || n.sibling && o.path == g.family || o.waitsFor(g) {
			continue
		}
		g.older.Store(o)
		break
	}
	for _, other := range family {
		if !n.sibling || other.path != g.family || other.read.Load() > 0 || g.waitsFor(other) {
			continue
		}
		if last := other.older.Load(); last == nil || g.waitsFor(last) {
			other.older.Store(g)
		}
	}
}

// waitsFor reports whether g is read only after other.
func (g *generation) waitsFor(other *generation) bool {
	for ; g != nil; g = g.older.Load() {
		if g == other {
			return true
		}
	}
	return false
}

// sourceOf numbers a path, the same in every run.
func sourceOf(path string) uint64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte(path))
	return h.Sum64()
}

func (t *Tailer) now() int64 { return t.config.Now().UnixNano() }
