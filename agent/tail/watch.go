package tail

import (
	"slices"
	"time"

	"github.com/wasmtail/wasmtail/agent/checkpoint"
)

const (
	// activeFor is how long a file stays among the active after it last grew.
	activeFor = int64(5 * time.Second)
	// rewindPause is how long to wait before bytes that were not acknowledged are
	// read again.
	rewindPause = int64(time.Second)
	// deletedClose is how long a deleted file is held open after it is read and
	// safe: its writer could still have it open.
	deletedClose = int64(5 * time.Second)
	// ghostFor is how long a generation that is gone is remembered, so that its
	// compressed copy is known when it appears.
	ghostFor = int64(time.Minute)
	// orphanFor is how long a generation of the checkpoint is looked for.
	orphanFor = int64(30 * time.Second)
	// sweepInterval is how often what is closed or gone is seen to.
	sweepInterval = int64(time.Second)
)

// tick looks for changes once.
func (t *Tailer) tick() {
	now := t.now()
	for _, g := range t.takeReports() {
		t.handleReport(g, now)
	}
	t.lookAround(now)
	t.settleAll(now)
	t.checkActive(now)
	t.checkWritten(now)
	t.checkQuiet(now)
	if now >= t.nextSweep {
		t.nextSweep = now + sweepInterval
		t.sweep(now)
		t.retryFailures(now)
		t.balances(now)
	}
	t.commit()
	t.firstScan = false
	t.patterns.settled()
	if len(t.pending)+len(t.notes) == 0 && !t.looked.Load() {
		t.looked.Store(true)
	}
	if p := t.published.Load(); p == nil || *p != t.counters {
		c := t.counters
		t.published.Store(&c)
	}
}

// commit makes new generations durable with one write, and lets them be read.
func (t *Tailer) commit() {
	if t.firstScan {
		for i := range t.patterns.include[:t.fixed.include] {
			if p := t.patterns.include[i].pattern; !t.store.Noted(t.config.Pipeline, p) {
				t.notes = append(t.notes, p, sinceNote(p, t.started))
			}
		}
		for _, key := range t.config.Keys {
			if !t.known[key] {
				t.notes = append(t.notes, key, sinceNote(key, t.started))
			}
		}
	}
	t.saveHeads()
	if len(t.pending) == 0 && len(t.notes) == 0 {
		return
	}
	entries := make([]checkpoint.Entry, len(t.pending))
	for i, g := range t.pending {
		entries[i] = checkpoint.Entry{
			Pipeline: t.config.Pipeline, Generation: g.origin.Generation, Path: g.path,
			Dev: g.id.dev, Ino: g.id.ino, HeadLen: g.head.n, Head: g.head.sum,
			Acked: g.read.Load(), Marker: g.marker, Size: g.size, Created: g.seen, Finished: g.finished,
		}
	}
	sources, err := t.store.Add(entries, t.config.Pipeline, t.notes...)
	if err != nil {
		t.alarm("new files wait until the checkpoint can be saved", "", err)
		return
	}
	for i, g := range t.pending {
		g.source = sources[i]
		g.setState(idle)
	}
	for _, g := range t.pending { // one can wait for another
		t.plan(g, t.now())
	}
	t.pending, t.notes = t.pending[:0], t.notes[:0]
}

// handleReport sees to a generation that its reader could not go on with.
func (t *Tailer) handleReport(g *generation, now int64) {
	switch err := g.readErr; {
	case err == nil:
		t.truncated(g, now)
	case stale(err):
		t.lose(g, err)
	default:
		t.fail(g.path, "cannot read the file", err)
		g.retryAt, g.atEnd = now+retryInterval, false
		g.setState(idle)
		t.activate(g)
	}
}

// lose gives up an open file that can no longer be used, and looks for it again
// under its name.
func (t *Tailer) lose(g *generation, err error) {
	t.alarm("an open file became unusable; it is opened again", g.path, err)
	t.forgetID(g)
	t.closeFD(g)
	t.unlist(g)
	t.leaveFamily(g)
	g.setState(idle)
	g.drained.Store(true) // nobody waits for it any more
	t.release(g)
	if d := g.dir; d != nil {
		if e := d.entryOf(g); e != nil {
			e.gen, e.ino = nil, 0
		}
		g.dir = nil
		d.dirty = true
	}
	if g.source == nil { // it has no checkpoint yet, and needs none any more
		t.pending = slices.DeleteFunc(t.pending, func(o *generation) bool { return o == g })
		return
	}
	t.orphans[g.id] = append(t.orphans[g.id], g.source)
	t.orphanAt = t.now()
}

// checkActive looks at the files that have grown lately.
func (t *Tailer) checkActive(now int64) {
	for i := len(t.active) - 1; i >= 0; i-- {
		g := t.active[i]
		if !g.isIdle() {
			continue
		}
		t.check(g, now)
		if g.active && now-g.grown > activeFor && g.unread() == 0 && g.safe0() {
			t.calm(g)
		}
	}
}

// check asks for the size of one file and plans what is to be done.
func (t *Tailer) check(g *generation, now int64) {
	g.asked = now
	if _, packed := uncompressed(g.path); g.spooled || g.finished && packed {
		t.plan(g, now)
		return
	}
	var st stat
	var err error
	if g.fd >= 0 {
		err = t.statBuf.open(g.fd, &st)
	} else {
		err = t.statBuf.path(g.path, &st)
	}
	if err != nil || st.id != g.id {
		if g.fd >= 0 && err != nil && stale(err) && g.isIdle() {
			t.lose(g, err)
		} else if g.fd < 0 && g.goneSince == 0 && g.dir == nil {
			g.goneSince = now
		}
		return
	}
	g.links = st.links
	if st.size != g.size || st.mtime != g.mtime {
		if st.size != g.size {
			g.grown = now
		}
		g.changed = now
		g.size, g.mtime = st.size, st.mtime
		if g.fd < 0 {
			t.reopen(g)
		}
		t.activate(g)
		t.planChanged(g, now)
		return
	}
	t.plan(g, now)
}

// planChanged queues a file that has changed in any way: even one of the same
// size may have another content.
func (t *Tailer) planChanged(g *generation, now int64) {
	g.noteLag(now)
	if g.rewind.Load() {
		t.plan(g, now)
	} else if g.isIdle() && g.source != nil && g.fd >= 0 && now >= g.retryAt {
		g.atEnd = false
		t.queue(g)
	}
}

// plan queues g if there is something to do.
func (t *Tailer) plan(g *generation, now int64) {
	g.noteLag(now)
	if g.fd < 0 && g.dir != nil && g.unread() > 0 && now >= g.retryAt && g.isIdle() {
		g.retryAt = now + int64(time.Second)
		t.reopen(g) // it has grown while there was no room for it
		return
	}
	if g.source == nil || g.fd < 0 || g.finished || !g.isIdle() || now < g.retryAt {
		return
	}
	if g.readErr == nil {
		t.readable(g)
	}
	if g.rewind.Load() {
		if g.rewindAt == 0 {
			g.rewindAt = now + rewindPause
		}
		if now >= g.rewindAt {
			g.rewindAt, g.atEnd = 0, false
			t.queue(g)
		}
		return
	}
	if g.unread() == 0 {
		return
	}
	switch {
	case !g.atEnd || g.size > g.end: // it can have grown while it was read
		t.queue(g)
	case g.held.until > 0:
		if now >= g.held.until {
			t.queue(g)
		}
	case now-g.grown >= t.config.restFor(g) && g.flushAt != g.size:
		before := g.flushAt
		g.flushAt = g.size
		if !t.queue(g) {
			g.flushAt = before
		}
	}
}

// queue gives g to its reader, as soon as its head is durable. It reports false
// if that cannot be now.
func (t *Tailer) queue(g *generation) bool {
	g.mu.Lock()
	wasIdle := g.state == idle
	g.mu.Unlock()
	if !wasIdle || g.headless {
		return false
	}
	if g.head.n == 0 && g.size > 0 {
		g.headless = true
		t.headless = append(t.headless, g)
		return true
	}
	return t.schedule(g)
}

// schedule gives g to its reader, and before it the older generation for which it
// waits. It reports false if that one cannot be read now; then g is planned again
// in the next tick.
func (t *Tailer) schedule(g *generation) bool {
	if t.holds(g) {
		return false
	}
	if older := g.older.Load(); older != nil && !older.drained.Load() && older.isIdle() {
		switch {
		case older.finished || older.fd < 0:
			older.drained.Store(true) // it was read to its end
		case older.source == nil, older.rewind.Load(), older.headless, t.now() < older.retryAt:
			return false
		default:
			older.held.end()
			if !t.queue(older) {
				return false
			}
		}
	}
	g.reader.schedule(g)
	return true
}

// saveHeads makes the first signatures of files durable that were empty when
// their generation was made, with one write, and queues them. Without that a
// crash right after the first batch could not tell the file from another one.
func (t *Tailer) saveHeads() {
	if len(t.headless) == 0 {
		return
	}
	for _, g := range t.headless {
		if g.fd < 0 {
			continue
		}
		head, err := headOf(g.fd, g.size, t.head[:])
		if err != nil {
			continue // the reader meets the same error, and reports it
		}
		g.mu.Lock()
		g.head = head
		g.mu.Unlock()
		g.source.Edit(func(e *checkpoint.Entry) { e.HeadLen, e.Head = head.n, head.sum })
	}
	if err := t.store.Save(); err != nil {
		t.alarm("files that have begun to grow wait until the checkpoint can be saved", "", err)
		return
	}
	for _, g := range t.headless {
		g.headless = false
		if g.fd >= 0 && g.isIdle() {
			t.schedule(g)
		}
	}
	t.headless = t.headless[:0]
}

// activate moves g to the active files.
func (t *Tailer) activate(g *generation) {
	if g.active {
		return
	}
	t.unlist(g)
	g.active, g.listIndex = true, len(t.active)
	t.active = append(t.active, g)
}

// calm moves g to the quiet files.
func (t *Tailer) calm(g *generation) {
	t.unlist(g)
	g.active, g.listIndex = false, len(t.quiet)
	t.quiet = append(t.quiet, g)
}

// unlist takes g from its list.
func (t *Tailer) unlist(g *generation) {
	list := &t.quiet
	if g.active {
		list = &t.active
	}
	i, last := g.listIndex, len(*list)-1
	if i < 0 || i > last || (*list)[i] != g {
		return
	}
	(*list)[i] = (*list)[last]
	(*list)[i].listIndex = i
	(*list)[last] = nil
	*list = (*list)[:last]
	g.listIndex, g.active = -1, false
}

// truncated finds out what became of a generation whose bytes before the
// position are no longer there. The open file goes to a new generation; if its
// old content was copied away, the generation goes on in the copy.
func (t *Tailer) truncated(g *generation, now int64) {
	var st stat
	read, marker, _ := g.progress()
	if g.fd < 0 || g.spooled {
		t.fail(g.path, "cannot read the unpacked file", errTruncated)
		g.retryAt = now + retryInterval
		g.setState(idle)
		return
	}
	if err := t.statBuf.open(g.fd, &st); err != nil {
		g.setState(idle)
		return
	}
	if g.dir != nil {
		t.scan(g.dir, now)
	}
	c := t.findCopy(g, read, marker)
	n := &newcomer{
		fd: g.fd, st: st, path: g.path, family: g.family, included: g.included,
		dir: g.dir, grown: now, sibling: g.path != g.family,
	}
	if g.dir != nil {
		if e := g.dir.entryOf(g); e != nil {
			e.gen, n.entry, n.ino = nil, e, e.ino
		}
	}
	known := g.size
	g.fd, g.dir = -1, nil
	t.forgetID(g)
	t.counters.Truncated++
	b := t.begin(n, 0, false)
	if c != nil && c.st.size >= read {
		t.moveTo(g, c, now)
		if g.unread() > 0 {
			b.older.Store(g)
		}
		return
	}
	if c != nil {
		t.begin(c, c.st.size, true) // a copy of less than what is read
	} else if known > read {
		t.loss(g, read, known, "truncated before it was read")
	}
	t.close(g, now)
}

// moveTo lets g go on in its copy.
func (t *Tailer) moveTo(g *generation, c *newcomer, now int64) {
	g.takeOver(c)
	g.rotatedAt, g.grown, g.atEnd, g.goneSince = now, now, false, 0
	g.drained.Store(false)
	g.older.Store(nil)
	t.byID[g.id] = g
	if c.named() {
		g.nameIn(c.dir, c.entry)
	}
	g.setState(idle)
	t.activate(g)
	t.plan(g, now)
	t.counters.Recovered++
}

// findCopy takes the best copy of g's content from the newcomers: one that has
// all that was read, or else one that was seen to be a copy of its beginning.
func (t *Tailer) findCopy(g *generation, read int64, marker checkpoint.Digest) *newcomer {
	_, _, head := g.progress()
	if head.n == 0 {
		return nil
	}
	var best *newcomer
	for _, list := range [][]*newcomer{t.newcomers, t.waiting} {
		for _, c := range list {
			if c.fd < 0 || c.packed || !c.sibling || c.family != g.family || t.byID[c.st.id] != nil {
				continue
			}
			if err := t.statBuf.open(c.fd, &c.st); err != nil {
				continue
			}
			switch {
			case c.st.size < read: // the head of g can be longer than all of it
				if c.copyOf == g && (best == nil || best.st.size < c.st.size) {
					best = c // another that begins like g is shorter
				}
			case sameHead(c.fd, head, t.head[:]) && sameMarker(c.fd, read, marker, t.head[:]):
				best = c
			}
		}
	}
	if best != nil {
		t.newcomers = without(t.newcomers, best)
		t.waiting = without(t.waiting, best)
	}
	return best
}

func without(list []*newcomer, n *newcomer) []*newcomer {
	for i := range list {
		if list[i] == n {
			return append(list[:i:i], list[i+1:]...)
		}
	}
	return list
}

func (d *directory) entryOf(g *generation) *dirEntry {
	for _, e := range d.entries {
		if e.gen == g {
			return e
		}
	}
	return nil
}
