package tail

import (
	"path/filepath"
	"time"
)

const (
	// quietInterval is how often each quiet file is visited when there are many;
	// fewFiles are visited in every tick.
	quietInterval = int64(time.Second)
	fewFiles      = 500
	// A visit asks for the size of the file, unless the kernel gives hints of
	// writes to it: then it is asked every quietLater when it has been quiet for
	// quietFor, and every quietLongest when for quietLong.
	quietFor     = int64(10 * time.Second)
	quietLater   = int64(2 * time.Second)
	quietLong    = int64(30 * time.Second)
	quietLongest = int64(5 * time.Second)
)

// checkQuiet visits some of the quiet files, all of them every quietInterval.
func (t *Tailer) checkQuiet(now int64) {
	n := len(t.quiet)
	if n > fewFiles {
		n = min(n, n*int(t.config.Linger)/int(quietInterval)+1)
	}
	for range n {
		if len(t.quiet) == 0 {
			return
		}
		if t.cursor >= len(t.quiet) {
			t.cursor = 0
		}
		g := t.quiet[t.cursor]
		t.cursor++
		if t.due(g, now) {
			t.check(g, now)
		}
	}
}

// due reports whether a quiet file is to be asked for its size now.
func (t *Tailer) due(g *generation, now int64) bool {
	interval := quietLongest
	switch quiet := now - g.grown; {
	case quiet < quietFor:
		return true
	case quiet < quietLong:
		interval = quietLater
	}
	// The next visit is a little more than quietInterval away.
	return now-g.asked > interval-quietInterval/2 || g.asked <= t.hintsLost || !g.hinted() || g.rewind.Load()
}

// hinted reports whether the kernel tells of writes to g: it does under the name
// that was opened for writing, if that is in a directory with hints. It never
// tells of what is written through a mapping.
func (g *generation) hinted() bool {
	return g.dir != nil && g.dir.hinted && g.links == 1 && !g.linked && g.id.dev == g.dir.id.dev
}

// checkWritten asks for the sizes of the quiet files to which something was
// written. The active ones are asked in every tick.
func (t *Tailer) checkWritten(now int64) {
	written := t.hints.takeWritten(t.written)
	for path := range written {
		if g := t.generationAt(path); g != nil && t.isQuiet(g) {
			t.check(g, now)
		}
	}
	clear(written)
	t.written = written
}

// generationAt returns the generation with the name path, or of the file that is
// known to have that name, or nil.
func (t *Tailer) generationAt(path string) *generation {
	d := t.dirs[filepath.Dir(path)]
	if d == nil {
		return nil
	}
	e := d.entries[filepath.Base(path)]
	if e == nil {
		return nil
	}
	if e.gen != nil {
		return e.gen
	}
	return t.byID[identity{d.id.dev, e.ino}] // a hard link, or the target of a symbolic one
}

func (t *Tailer) isQuiet(g *generation) bool {
	return !g.active && g.listIndex >= 0 && g.listIndex < len(t.quiet) && t.quiet[g.listIndex] == g
}
