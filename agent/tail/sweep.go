package tail

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/wasmtail/wasmtail/agent/checkpoint"
)

// Counters count what a tailer has met since it was started.
type Counters struct {
	// Resumed generations were continued from the checkpoint.
	Resumed int64
	// Truncated files were, and Recovered of their generations went on in a copy.
	Truncated, Recovered int64
	// Unpacked rotated files were read from their compressed copy.
	Unpacked int64
	// LostGenerations have lost LostBytes: see the alarms for the ranges.
	LostGenerations, LostBytes int64
}

// Loss is a range of a file that is gone before it was delivered.
type Loss struct {
	Path, Generation string
	Start, End       int64
	Reason           string
}

// sweep sees to files that are rotated, deleted or gone.
func (t *Tailer) sweep(now int64) {
	for i := len(t.active) - 1; i >= 0; i-- {
		t.sweepOne(t.active[i], now)
	}
	for i := len(t.quiet) - 1; i >= 0; i-- {
		t.sweepOne(t.quiet[i], now)
	}
	for _, g := range t.closed {
		t.sweepClosed(g, now)
	}
	t.closed = slices.DeleteFunc(t.closed, func(g *generation) bool { return g.listIndex == -2 })
	if now-t.orphanAt > orphanFor {
		t.sweepOrphans(now)
	}
	if len(t.ignored) > max(forgetFrom, t.ignoreMax) {
		t.sweepIgnored()
	}
}

// forgetFrom is from how many on it is asked what is still there of what is
// remembered by name or inode; then again at twice of what is left.
const forgetFrom = 1000

// sweepIgnored forgets the files that were found not to be ours and are gone.
func (t *Tailer) sweepIgnored() {
	there := make(map[identity]version, len(t.ignored))
	for _, d := range t.dirs {
		for _, e := range d.entries {
			id := identity{d.id.dev, e.ino}
			if v, ok := t.ignored[id]; ok {
				there[id] = v
			}
		}
	}
	t.ignored, t.ignoreMax = there, 2*len(there)
}

func (t *Tailer) sweepOne(g *generation, now int64) {
	if g.rotatedAt == 0 && g.goneSince == 0 && !g.spooled || g.source == nil || !g.isIdle() && !t.takeBack(g, now) {
		return
	}
	done := g.unread() == 0 && g.safe()
	still := now - max(g.grown, g.rotatedAt, g.goneSince)
	switch {
	case g.spooled && done && !g.finished:
		g.finished = true
		g.edit(func(e *checkpoint.Entry) { e.Finished = true })
		t.closeFD(g)
	case g.fd < 0 && g.goneSince > 0 && now-g.goneSince >= deletedClose:
		t.sweepGone(g, now, done)
	case g.fd < 0:
	case g.links == 0 && g.goneSince == 0:
		g.goneSince = now
	case g.links == 0 && done && still >= deletedClose:
		if t.check(g, now); g.fd < 0 || !g.isIdle() || g.unread() > 0 {
			return // its writer is not done with it
		}
		t.forgetID(g)
		t.unlist(g)
		t.closeFD(g)
		t.close(g, now)
	case g.links == 0 && !done && now-g.goneSince >= int64(t.config.DeletedReleaseAfter):
		t.loss(g, g.acked(), g.size, "deleted, and not read within deleted_release_after")
		t.forgetID(g)
		t.unlist(g)
		t.closeFD(g)
		t.close(g, now)
	case g.links > 0 && done && still >= int64(t.config.RotatedCloseAfter):
		t.closeFD(g) // its name and inode are known: it is opened again if it grows
	}
}

// underWay reports whether something of g was read and has no answer yet: it may
// still be delivered, and is not lost.
func (g *generation) underWay() bool {
	_, _, open := g.source.Position()
	return open > 0
}

// takeBack takes a generation away from its reader that was deleted and has waited
// there for longer than it may be held: an output that takes nothing holds readers
// up, and all that is queued behind.
func (t *Tailer) takeBack(g *generation, now int64) bool {
	if g.fd < 0 || now-g.asked < int64(lookAgain) && g.goneSince == 0 {
		return false
	}
	g.asked = now
	var st stat
	if t.statBuf.open(g.fd, &st) != nil || st.links > 0 {
		return false
	}
	g.links, g.size = 0, max(g.size, st.size)
	if g.goneSince == 0 {
		g.goneSince = now
	}
	return now-g.goneSince >= int64(t.config.DeletedReleaseAfter) && !g.underWay() && g.reader.withdraw(g)
}

// lookAgain is how often a file that waits for its reader is asked for its names.
const lookAgain = time.Second

// sweepGone gives up a closed file that has not been found under another name.
func (t *Tailer) sweepGone(g *generation, now int64, done bool) {
	if t.namesWait() {
		return
	}
	if !done {
		if _, _, open := g.source.Position(); open > 0 {
			return
		}
		t.loss(g, g.acked(), g.size, "deleted while it was closed")
	}
	t.forgetID(g)
	t.unlist(g)
	t.close(g, now)
}

// close remembers g, whose content is gone, until nothing of it is under way.
func (t *Tailer) close(g *generation, now int64) {
	t.unlist(g)
	g.setState(idle)
	g.drained.Store(true)
	t.release(g)
	if g.goneSince == 0 {
		g.goneSince = now
	}
	t.closed = append(t.closed, g)
}

func (t *Tailer) sweepClosed(g *generation, now int64) {
	if g.source == nil {
		return
	}
	acked, _, open := g.source.Position()
	if open > 0 || now-g.goneSince < ghostFor {
		return
	}
	if g.rewind.Load() && acked < g.read.Load() {
		t.loss(g, acked, g.read.Load(), "gone before it was acknowledged")
	}
	g.source.Forget()
	t.leaveFamily(g)
	g.listIndex = -2
}

// sweepOrphans gives up generations of the checkpoint that are nowhere, though
// the directory where they were can be read, or is gone from one that can.
func (t *Tailer) sweepOrphans(now int64) {
	t.orphanAt = now
	if t.namesWait() || slices.ContainsFunc(t.waiting, func(n *newcomer) bool { return n.st.size > 0 }) {
		return // one of them could be what is looked for
	}
	for _, list := range t.orphans {
		for _, src := range slices.Clone(list) {
			if e := src.Entry(); t.isGone(&e) {
				t.forgetOrphan(src, &e)
			}
		}
	}
}

func (t *Tailer) isGone(e *checkpoint.Entry) bool {
	var st stat
	if t.statBuf.path(e.Path, &st) == nil && st.id == (identity{e.Dev, e.Ino}) {
		return false // no pattern includes it any more
	}
	if d := t.dirs[filepath.Dir(e.Path)]; d != nil && d.present {
		return true
	}
	for dir := filepath.Dir(e.Path); dir != filepath.Dir(dir); dir = filepath.Dir(dir) {
		if d := t.dirs[dir]; d != nil {
			return d.present // else it is perhaps not mounted yet
		}
	}
	there := t.statBuf.path(filepath.Dir(e.Path), &st) == nil && st.dir
	if len(t.config.Keys) > 0 {
		return !there && t.goneFrom(filepath.Dir(e.Path)) // else its folder can be one that is still to be named
	}
	return there && !t.included(e.Path)
}

// mountDepth is how many elements a folder has, at least, that proves by being there
// that what lies below it is mounted: /var/lib/docker has three.
const mountDepth = 3

// goneFrom reports whether dir is gone from a folder that is there.
func (t *Tailer) goneFrom(dir string) bool {
	var st stat
	for ; strings.Count(dir, string(filepath.Separator)) > mountDepth; dir = filepath.Dir(dir) {
		if t.statBuf.path(filepath.Dir(dir), &st) == nil && st.dir {
			return true
		}
	}
	return false
}

func (t *Tailer) forgetOrphan(src *checkpoint.Source, e *checkpoint.Entry) {
	if !e.Finished && e.Acked < e.Size {
		t.counters.LostGenerations++
		t.counters.LostBytes += e.Size - e.Acked
		t.alarm("a file is gone that was not read to its end", e.Path,
			fmt.Errorf("generation %s: bytes %d to %d are lost", e.Generation, e.Acked, e.Size))
		t.config.Lost(Loss{Path: e.Path, Generation: e.Generation, Start: e.Acked, End: e.Size, Reason: "gone while the agent was not running"})
	}
	t.dropOrphan(identity{e.Dev, e.Ino}, src)
	src.Forget()
}

// loss reports bytes that are gone.
func (t *Tailer) loss(g *generation, from, to int64, why string) {
	t.counters.LostGenerations++
	t.counters.LostBytes += to - from
	t.alarm("bytes of a file are lost", g.path,
		fmt.Errorf("generation %s: bytes %d to %d: %s", g.origin.Generation, from, to, why))
	t.config.Lost(Loss{Path: g.path, Generation: g.origin.Generation, Start: from, End: to, Reason: why})
}

func (g *generation) acked() int64 {
	if g.source == nil {
		return g.read.Load()
	}
	acked, _, _ := g.source.Position()
	return acked
}

// safe0 is safe for a generation that may be unborn.
func (g *generation) safe0() bool { return g.source != nil && g.safe() }

// end forgets a closed generation whose file has another content now.
func (t *Tailer) end(g *generation) {
	t.forgetID(g)
	if g.dir != nil {
		if e := g.dir.entryOf(g); e != nil {
			e.gen = nil
		}
		g.dir = nil
	}
	if !g.safe0() {
		t.loss(g, g.acked(), g.size, "replaced while it was closed")
	}
	t.closeFD(g)
	t.close(g, t.now())
}

func (t *Tailer) forgetID(g *generation) {
	if t.byID[g.id] == g {
		delete(t.byID, g.id)
	}
}

func (t *Tailer) leaveFamily(g *generation) {
	family := slices.DeleteFunc(t.families[g.family], func(o *generation) bool { return o == g })
	if len(family) == 0 {
		delete(t.families, g.family)
		return
	}
	t.families[g.family] = family
}

// closeFD closes the file of g, which the watch goroutine owns.
func (t *Tailer) closeFD(g *generation) {
	if g.fd >= 0 {
		closeFile(g.fd)
		g.fd = -1
		t.open--
	}
}

// reopen opens a closed file that has grown, if it is still the same.
func (t *Tailer) reopen(g *generation) {
	if t.open >= t.config.OpenFilesMax && !t.makeRoom() {
		return
	}
	fd, err := t.openPath(g.path)
	if err != nil {
		t.fail(g.path, "cannot open the file", err)
		return
	}
	t.open++
	g.fd, g.atEnd = fd, false
	var st stat
	if err := t.statBuf.open(fd, &st); err != nil || st.id != g.id {
		t.closeFD(g)
		return
	}
	if g.finished { // what was a copy is written to
		g.unfinish()
	}
}

// makeRoom closes a quiet file that is read and safe. It is opened again when it
// grows.
func (t *Tailer) makeRoom() bool {
	for _, list := range [][]*generation{t.quiet, t.active} {
		for _, g := range list {
			if g.fd >= 0 && !g.spooled && g.links > 0 && g.dir != nil && g.isIdle() && g.unread() == 0 && g.safe0() {
				t.closeFD(g)
				return true
			}
		}
	}
	return false
}
