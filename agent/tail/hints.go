package tail

import (
	"context"
	"path/filepath"
	"sync"
	"time"

	"github.com/fsnotify/fsnotify"
)

const (
	// hintPause is how long nothing is taken after a round of events. While
	// nobody takes them they gather in the kernel, which merges equal ones: a
	// busy file, or a storm of rotations, costs one round per pause.
	hintPause = 50 * time.Millisecond
	// hintQuiet ends a round: no event has come for this long.
	hintQuiet = time.Millisecond
	// hintEventsMax and hintRound end a round of a storm that does not end by
	// itself.
	hintEventsMax = 4096
	hintRound     = 10 * time.Millisecond
	// writePause is how long a file is not named again after it was: a busy one
	// is looked at anyway.
	writePause = time.Second
	// latelyMax bounds what is remembered of that.
	latelyMax = 4096
)

// hints tells the watch goroutine which directories have changed, and which files
// were written. Hints may be missing, late or too many; nothing depends on them
// but the delay.
type hints struct {
	watcher *fsnotify.Watcher // nil where the system has none to give
	failure error             // why not
	wake    chan<- struct{}   // a directory has changed
	wroteTo chan<- struct{}   // a file was written

	mu       sync.Mutex
	dirty    map[string]bool
	written  map[string]bool
	lately   map[string]time.Time // when a file was last named
	overflow bool
}

func newHints(wake, wrote chan<- struct{}) *hints {
	h := &hints{
		wake: wake, wroteTo: wrote,
		dirty: map[string]bool{}, written: map[string]bool{}, lately: map[string]time.Time{},
	}
	h.watcher, h.failure = fsnotify.NewWatcher()
	return h
}

// watch asks for hints about dir, anew if there was another directory of that
// name. The error says that there will be none.
func (h *hints) watch(dir string) error {
	if h.watcher == nil {
		return h.failure
	}
	_ = h.watcher.Remove(dir) // an error says that it was not watched
	return h.watcher.Add(dir)
}

func (h *hints) unwatch(dir string) {
	if h.watcher != nil {
		_ = h.watcher.Remove(dir) // an error says that it was not watched
	}
}

// take calls each for every directory with hints; all says to look everywhere.
func (h *hints) take(each func(dir string)) (all bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for dir := range h.dirty {
		each(dir)
	}
	clear(h.dirty)
	all, h.overflow = h.overflow, false
	return all
}

// run takes events until ctx ends.
func (h *hints) run(ctx context.Context) {
	if h.watcher == nil {
		return
	}
	timer := time.NewTimer(hintPause)
	defer timer.Stop()
	for {
		dirs, files := true, false
		select {
		case <-ctx.Done():
			return
		case e := <-h.watcher.Events:
			dirs, files = h.round(e, timer)
		case <-h.watcher.Errors: //nolint:errcheck // whatever it is, an overflow, or a watch that broke: look everywhere
			h.note("", true)
		}
		if dirs {
			nudge(h.wake)
		}
		if files {
			nudge(h.wroteTo)
		}
		timer.Reset(hintPause)
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
	}
}

func nudge(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// round takes the events that wait, the first of which is e, and reports
// whether any of them matters for a directory, and for a file.
func (h *hints) round(e fsnotify.Event, timer *time.Timer) (dirs, files bool) {
	begun := time.Now()
	now := begun
	for range hintEventsMax {
		if e.Op&^(fsnotify.Write|fsnotify.Chmod) != 0 {
			h.note(e.Name, false)
			dirs = true
		}
		if e.Op.Has(fsnotify.Write) && h.wrote(e.Name, now) {
			files = true
		}
		timer.Reset(hintQuiet)
		select {
		case e = <-h.watcher.Events:
		case <-timer.C:
			return dirs, files
		}
		if now = time.Now(); now.Sub(begun) > hintRound {
			break
		}
	}
	return dirs, files
}

// wrote remembers that the file path was written, and reports whether that is
// news.
func (h *hints) wrote(path string, now time.Time) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if last, ok := h.lately[path]; ok && now.Sub(last) < writePause {
		return false
	}
	if len(h.lately) >= latelyMax {
		clear(h.lately)
	}
	h.lately[path] = now
	h.written[path] = true
	return true
}

// takeWritten returns the names of the files that were written since it was last
// called, and takes an empty map for those to come.
func (h *hints) takeWritten(empty map[string]bool) map[string]bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.written) == 0 {
		return empty
	}
	taken := h.written
	h.written = empty
	return taken
}

// note remembers that something happened to the name path, which can be in a
// watched directory or be one.
func (h *hints) note(path string, overflow bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.overflow = h.overflow || overflow
	if path != "" {
		h.dirty[path] = true
		h.dirty[filepath.Dir(path)] = true
	}
}

func (h *hints) close() {
	if h.watcher != nil {
		_ = h.watcher.Close()
	}
}
