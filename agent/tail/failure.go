package tail

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/wasmtail/wasmtail/internal/access"
)

// failure is a file or directory that cannot be read, or a name that is included
// and is no file.
type failure struct {
	code    Reason
	reason  string
	err     error
	fix     string
	entry   *dirEntry
	dir     *directory
	retryAt int64
	since   int64 // when it was met first,
	last    int64 // and last
}

// failed remembers f for the status, and reports whether that is news.
func (t *Tailer) failed(path string, f failure) bool {
	now := t.now()
	f.since, f.last, f.retryAt = now, now, now+retryInterval
	old := t.failures[path]
	known := old != nil && old.reason == f.reason
	if known {
		f.since = old.since
		if f.fix == "" {
			f.fix = old.fix
		}
	}
	if old != nil && f.entry == nil { // what has the name now is still to be opened
		f.entry, f.dir = old.entry, old.dir
	}
	t.failures[path] = &f
	return !known
}

// fail remembers that something could not be done to a path.
func (t *Tailer) fail(path, reason string, err error) {
	t.failEntry(path, failure{code: reasonOf(err), reason: reason, err: err})
}

func (t *Tailer) failEntry(path string, f failure) {
	if !t.failed(path, f) {
		return
	}
	err := f.err
	if fix := access.Explain(path, err).Fix; fix != "" {
		t.failures[path].fix = fix
		err = errors.Join(err, errors.New(fix))
	}
	t.alarm(f.reason, path, err)
}

// refuse remembers that a name is included and is not a file.
func (t *Tailer) refuse(d *directory, e *dirEntry, path string) {
	info, err := os.Stat(path)
	if err != nil {
		return // gone again: a later scan sees what became of it
	}
	reason, fix := Unfit(info.Mode(), path)
	if reason == "" {
		return
	}
	if t.failed(path, failure{code: NotRegular, reason: reason, fix: fix, entry: e, dir: d}) {
		t.alarm("a name that is included "+reason, path, errors.New(fix))
	}
}

// Unfit says what a name is if it is not a file, and what the user can do: then
// the reason is NotRegular. Both are "" for a regular file.
func Unfit(mode fs.FileMode, path string) (reason, fix string) {
	const exclude = "let the program write to a file, or add the path to exclude"
	switch {
	case mode.IsDir():
		return "is a folder, not a file: only files have lines", "write " + filepath.Join(path, "*") + " to follow the files in it"
	case mode&fs.ModeNamedPipe != 0:
		return "is a named pipe, not a file: what is read from it is gone and cannot be read again", exclude
	case mode&fs.ModeSocket != 0:
		return "is a socket, not a file: it cannot be read", exclude
	case mode&fs.ModeDevice != 0:
		return "is a device, not a file: it has no end and no positions", "add the path to exclude"
	}
	return "", ""
}

// meant reports whether a pattern was written for path as a file: one that ends
// in * or ** includes folders by chance.
func (t *Tailer) meant(path string) bool {
	for i := range t.patterns.include {
		p := t.patterns.include[i].pattern
		if strings.Trim(filepath.Base(p), "*") != "" && t.patterns.include[i].match(path) {
			return t.included(path)
		}
	}
	return false
}

// recovered forgets the failure of a name.
func (t *Tailer) recovered(path string) {
	if len(t.failures) > 0 {
		delete(t.failures, path)
	}
}

// readable forgets that g could not be read. What has its name can be another
// file, which could not be opened: that is remembered.
func (t *Tailer) readable(g *generation) {
	if len(t.failures) == 0 {
		return
	}
	if f := t.failures[g.path]; f != nil && f.entry == nil {
		delete(t.failures, g.path)
	}
}

// namesWait reports whether there are names that could not be opened for want of
// descriptors: what is behind one of them may be what seems to be gone.
func (t *Tailer) namesWait() bool {
	for _, f := range t.failures {
		if f.code == TooManyOpen && f.entry != nil {
			return true
		}
	}
	return false
}

// retryFailures tries again what could not be opened.
func (t *Tailer) retryFailures(now int64) {
	for path, f := range t.failures {
		if now < f.retryAt {
			continue
		}
		f.retryAt = now + retryInterval
		if f.code == TooManyFolders {
			t.retryFolder(path)
			continue
		}
		if f.entry == nil || f.dir == nil {
			if d := t.dirs[path]; d != nil {
				d.dirty = true
			} else if now-f.last > int64(time.Minute) {
				delete(t.failures, path)
			}
			continue
		}
		if f.dir.entries[f.entry.name] != f.entry {
			delete(t.failures, path)
			continue
		}
		if f.entry.gen != nil { // it was renamed here
			delete(t.failures, path)
			continue
		}
		t.entry(f.dir, f.entry)
	}
}

// retryFolder looks again at a folder for which there was no room, if there is
// some now.
func (t *Tailer) retryFolder(path string) {
	d := t.dirs[filepath.Dir(path)]
	switch {
	case d == nil:
		delete(t.failures, path) // nobody looks there any more
	case len(t.dirs) < t.config.DirsMax:
		delete(t.failures, path)
		if e := d.entries[filepath.Base(path)]; e != nil {
			e.ino, d.dirty = 0, true // the next scan takes it for new
		}
	}
}
