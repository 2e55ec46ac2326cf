package tail

import (
	"errors"
	"maps"
	"os"
	"path/filepath"
	"time"
)

const (
	// dirInterval is how often directories are looked at without a hint.
	dirInterval = int64(time.Second)
	// dirFresh is how long after a change a directory is read again although its
	// time has not changed: the clock of file times is coarse.
	dirFresh = int64(2 * time.Second)
	// dirTrust is how long the time of a directory is believed: network file
	// systems cache it.
	dirTrust = int64(30 * time.Second)
	// retryInterval is how long to wait before something that failed is tried
	// again.
	retryInterval = int64(5 * time.Second)
)

// directory is a directory in which files can match, or in which the target of
// a symbolic link is rotated.
type directory struct {
	path    string
	id      identity
	depth   int // below the fixed part of its pattern
	root    bool
	present bool
	scanned int64 // when it was read last, 0 for never
	changed int64 // when it was last seen to change
	mtime   int64
	dirty   bool
	hinted  bool // the kernel tells of every write(2) to a file in it
	sealed  bool // no symbolic link is followed
	epoch   uint32
	entries map[string]*dirEntry
	links   []*dirEntry       // symbolic links to look at again
	targets map[string]string // name of a link's target here: the link's path
}

// dirEntry is one name in a directory.
type dirEntry struct {
	name  string
	ino   uint64
	gen   *generation
	link  *linkTarget
	epoch uint32
	kind  entryKind
}

type linkTarget struct {
	id   identity
	path string
}

func (t *Tailer) addDir(path string, depth int, root bool) *directory {
	if d := t.dirs[path]; d != nil {
		d.root = d.root || root
		d.depth = min(d.depth, depth)
		return d
	}
	if len(t.dirs) >= t.config.DirsMax {
		t.alarm("too many directories: some are not watched; make the patterns narrower", path, nil)
		t.failed(path, failure{
			code: TooManyFolders, reason: "more folders than are watched: what lies in it is not read",
			fix: "make the patterns of include narrower, or exclude folders",
		})
		return nil
	}
	d := &directory{path: path, depth: depth, root: root, entries: map[string]*dirEntry{}, dirty: true, sealed: t.patterns.seals(path)}
	t.dirs[path] = d
	return d
}

// lookAround scans the directories that have changed.
func (t *Tailer) lookAround(now int64) {
	t.takeFolders()
	if t.firstScan {
		for i := range t.patterns.include {
			t.addDir(t.patterns.include[i].base, 0, true)
		}
	}
	all := t.hints.take(func(dir string) {
		if d := t.dirs[dir]; d != nil {
			d.dirty = true
		}
	})
	if all {
		t.hintsLost = now
	}
	periodic := now >= t.nextDirs || all || t.firstScan
	if periodic {
		t.nextDirs = now + dirInterval
	}
	for progress := true; progress; { // scans can add directories
		progress = false
		for _, d := range t.dirs {
			if !d.dirty && !(periodic && d.scanned != now && t.dirChanged(d, now)) && !(all && d.scanned != now) {
				continue
			}
			t.scan(d, now)
			progress = true
		}
	}
	if periodic {
		for _, d := range t.dirs {
			for _, e := range d.links {
				t.followLink(d, e)
			}
		}
		t.reattach(now)
	}
}

// dirChanged asks whether d must be read.
func (t *Tailer) dirChanged(d *directory, now int64) bool {
	var st stat
	if err := t.statBuf.path(d.path, &st); err != nil || !st.dir {
		return d.present
	}
	if st.id != d.id || st.mtime != d.mtime {
		d.changed = now
		return true
	}
	return now-d.changed < dirFresh || now-d.scanned > dirTrust
}

// scan reads d and sees to every name that has come, gone or changed its inode.
func (t *Tailer) scan(d *directory, now int64) {
	d.dirty, d.scanned = false, now
	if !t.enter(d, now) {
		t.leave(d)
		return
	}
	d.epoch++
	seen, links := 0, false
	var changed []*dirEntry
	err := t.readDir(d.path, func(name []byte, ino uint64, kind entryKind) {
		e := d.entries[string(name)]
		if e != nil && e.epoch == d.epoch {
			return
		}
		seen++
		links = links || kind == kindLink || kind == kindUnknown
		if e == nil {
			e = &dirEntry{name: string(name)}
			d.entries[e.name] = e
		}
		e.epoch = d.epoch
		if e.ino != ino || e.kind != kind {
			e.ino, e.kind = ino, kind
			changed = append(changed, e)
		}
	})
	if err != nil {
		for _, e := range changed {
			e.ino = 0 // the next scan sees to it
		}
		t.fail(d.path, "cannot read the directory", err)
		return
	}
	delete(t.failures, d.path)
	for _, e := range changed {
		t.detach(e)
	}
	if seen < len(d.entries) {
		for name, e := range d.entries {
			if e.epoch != d.epoch {
				t.detach(e)
				delete(d.entries, name)
				if len(t.failures) > 0 {
					delete(t.failures, filepath.Join(d.path, name))
				}
			}
		}
	}
	d.links = d.links[:0]
	for _, e := range changed {
		t.entry(d, e)
	}
	if links {
		for _, e := range d.entries {
			if e.link != nil {
				d.links = append(d.links, e)
			}
		}
	}
	t.reattach(now)
}

// enter notes the state of d before it is read, and asks for hints about it.
func (t *Tailer) enter(d *directory, now int64) bool {
	var st stat
	if err := t.statBuf.path(d.path, &st); err != nil || !st.dir {
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			t.fail(d.path, "cannot look into the directory", err)
		}
		return false
	}
	if d.sealed && !t.isSealed(d.path) {
		return false
	}
	if !d.present || st.id != d.id {
		err := t.hints.watch(d.path)
		d.hinted = err == nil && !d.sealed && localDir(d.path)
		if err != nil {
			t.alarm("no change notices for a directory: it is polled instead; raise fs.inotify.max_user_watches", "", err)
		}
		d.present = true
		// A change between the first stat and the watch would give no hint.
		_ = t.statBuf.path(d.path, &st)
	}
	if st.mtime != d.mtime {
		d.changed = now
	}
	d.id, d.mtime = st.id, st.mtime
	return true
}

// leave forgets the content of a directory that is no longer there.
func (t *Tailer) leave(d *directory) {
	for name, e := range d.entries {
		t.detach(e)
		delete(d.entries, name)
	}
	d.links = nil
	t.hints.unwatch(d.path)
	d.present = false
	if !d.root {
		delete(t.dirs, d.path)
	}
	t.reattach(d.scanned)
}

// entry sees to a name that is new or has a new inode.
func (t *Tailer) entry(d *directory, e *dirEntry) {
	path := filepath.Join(d.path, e.name)
	kind := e.kind
	if kind == kindUnknown {
		kind = t.kindOf(path)
	}
	switch kind {
	case kindDir:
		t.descend(d, path)
		if t.meant(path) {
			t.refuse(d, e, path)
		}
	case kindLink:
		if d.sealed {
			t.refuseLink(d, e, path)
			return
		}
		e.link = &linkTarget{}
		t.followLink(d, e)
	case kindFile:
		t.file(d, e, path)
	default:
		if t.included(path) {
			t.refuse(d, e, path)
		}
	}
}

func (t *Tailer) kindOf(path string) entryKind {
	info, err := os.Lstat(path)
	switch {
	case err != nil:
		return kindOther
	case info.IsDir():
		return kindDir
	case info.Mode().IsRegular():
		return kindFile
	case info.Mode()&os.ModeSymlink != 0:
		return kindLink
	}
	return kindOther
}

// descend watches a subdirectory if a match can lie in it.
func (t *Tailer) descend(d *directory, path string) {
	possible := false
	for i := range t.patterns.include {
		possible = possible || t.patterns.include[i].below(path)
	}
	if !possible || t.excludedDir(path) {
		return
	}
	if d.depth >= t.config.DirDepthMax {
		t.alarm("directories are nested deeper than max_depth: what lies below is not read", path, nil)
		return
	}
	t.addDir(path, d.depth+1, false)
}

// followLink looks where a symbolic link points now.
func (t *Tailer) followLink(d *directory, e *dirEntry) {
	path := filepath.Join(d.path, e.name)
	var st stat
	if err := t.statBuf.path(path, &st); err != nil {
		return // dangling, for now
	}
	if st.id == e.link.id {
		return
	}
	switch {
	case st.dir:
		if !t.loops(d, st.id) {
			e.link.id = st.id
			t.descend(d, path)
			if t.meant(path) {
				t.refuse(d, e, path)
			}
		}
	case st.regular && t.included(path):
		real, err := filepath.EvalSymlinks(path)
		if err != nil {
			return
		}
		e.link.id, e.link.path = st.id, real
		t.detach(e)
		t.target(real, path)
		t.file(d, e, path)
	case !st.regular && t.included(path):
		e.link.id = st.id
		t.detach(e)
		t.refuse(d, e, path)
	}
}

// loops reports whether a directory with that identity is d, one above it, or
// another that is watched: then it is not entered again.
func (t *Tailer) loops(d *directory, id identity) bool {
	if t.statBuf.above(d.path, id) {
		return true
	}
	for _, other := range t.dirs {
		if other.present && other.id == id && len(other.targets) == 0 {
			return true
		}
	}
	return false
}

// target watches the directory of a link's target, in which it is rotated.
func (t *Tailer) target(real, link string) {
	d := t.addDir(filepath.Dir(real), t.config.DirDepthMax, false)
	if d == nil {
		return
	}
	if d.targets == nil {
		d.targets = map[string]string{}
	}
	if len(d.targets) >= forgetFrom {
		maps.DeleteFunc(d.targets, func(name, _ string) bool { return d.entries[name] == nil })
	}
	d.targets[filepath.Base(real)] = link
}

// detach takes the generation from a name that is not its own any more.
func (t *Tailer) detach(e *dirEntry) {
	if g := e.gen; g != nil {
		e.gen, g.dir = nil, nil
		t.detached = append(t.detached, g)
	}
}

// reattach looks for the new place of what has lost its name.
func (t *Tailer) reattach(now int64) {
	detached := t.detached
	t.detached = nil
	for _, g := range detached {
		if g.dir != nil || g.fd < 0 && g.goneSince > 0 {
			continue
		}
		g.goneSince = now
		if g.fd < 0 || !g.isIdle() && g.fd < 0 {
			continue
		}
		path := pathOf(g.fd)
		if path == "" || g.spooled {
			continue
		}
		if d := t.dirs[filepath.Dir(path)]; d != nil {
			if e := d.entries[filepath.Base(path)]; e != nil && e.gen == nil && e.ino == g.id.ino {
				t.attach(g, d, e, path)
				continue
			}
		}
		g.rename(path, now)
	}
}

// attach gives a generation the name e in d. A generation that has a name keeps
// it: the other is a hard link.
func (t *Tailer) attach(g *generation, d *directory, e *dirEntry, path string) {
	if g.dir != nil {
		return
	}
	g.nameIn(d, e)
	g.goneSince = 0
	g.rename(path, d.scanned)
}

func (t *Tailer) included(path string) bool {
	why, _ := t.patterns.name(path)
	return why == ""
}

func (t *Tailer) excludedDir(path string) bool { return t.patterns.excludes(path) != "" }

// above reports whether dir, or a directory above it, has that identity.
func (b *statBuffer) above(dir string, id identity) bool {
	for ; ; dir = filepath.Dir(dir) {
		var st stat
		if err := b.path(dir, &st); err == nil && st.id == id {
			return true
		}
		if dir == filepath.Dir(dir) {
			return false
		}
	}
}
