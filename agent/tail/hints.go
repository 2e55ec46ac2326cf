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
	// hintEventsMax ends a round of a storm that does not end by itself.
	hintEventsMax = 4096
)

// hints tells the watch goroutine which directories have changed. Hints may be
// missing, late or too many; nothing depends on them but the delay.
type hints struct {
	watcher *fsnotify.Watcher // nil where the system has none to give
	failure error             // why not
	wake    chan<- struct{}

	mu       sync.Mutex
	dirty    map[string]bool
	overflow bool
}

func newHints(wake chan<- struct{}) *hints {
	h := &hints{wake: wake, dirty: map[string]bool{}}
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
		noted := true
		select {
		case <-ctx.Done():
			return
		case e := <-h.watcher.Events:
			noted = h.round(e, timer)
		case <-h.watcher.Errors: // an overflow, or a watch that broke: look everywhere
			h.note("", true)
		}
		if noted {
			select {
			case h.wake <- struct{}{}:
			default:
			}
		}
		timer.Reset(hintPause)
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
	}
}

// round takes the events that wait, the first of which is e, and reports
// whether any of them matters.
func (h *hints) round(e fsnotify.Event, timer *time.Timer) (noted bool) {
	for range hintEventsMax {
		// Growth is seen by asking the open files.
		if e.Op&^(fsnotify.Write|fsnotify.Chmod) != 0 {
			h.note(e.Name, false)
			noted = true
		}
		timer.Reset(hintQuiet)
		select {
		case e = <-h.watcher.Events:
		case <-timer.C:
			return noted
		}
	}
	return noted
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
