package wasmhost

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/fsnotify/fsnotify"
)

const (
	// watchEvery is how often files are looked at anyway: hints may be missing,
	// as on network file systems.
	watchEvery = 5 * time.Second
	// watchPause lets a file be written to its end before it is read.
	watchPause = 200 * time.Millisecond
)

// Run takes new versions of modules and tables into service until ctx ends. The
// file system's hints say when to look, a look every few seconds finds what they
// miss.
func (h *Host) Run(ctx context.Context) {
	watcher, err := fsnotify.NewWatcher()
	var events chan fsnotify.Event
	var faults chan error
	if err != nil {
		h.o.Log.WithError(err).Warn("no hints about changed modules; they are looked at every few seconds")
	} else {
		events, faults = watcher.Events, watcher.Errors
		defer func() { _ = watcher.Close() }()
	}
	ticker := time.NewTicker(watchEvery)
	defer ticker.Stop()
	pause := time.NewTimer(0)
	defer pause.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case e := <-events:
			if h.concerns(e.Name) {
				pause.Reset(watchPause)
			}
		case err := <-faults: // such as an overflow: the next look finds what was missed
			h.o.Log.WithError(err).Debug("a hint of changed modules was missed")
		case <-h.changed:
			pause.Reset(0)
		case <-ticker.C:
			h.look(ctx)
		case <-pause.C:
			h.addWatches(watcher)
			h.look(ctx)
		}
	}
}

func (h *Host) list() []*Module {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.modules)
}

// files are those whose change matters to a module.
func (m *Module) files() []string {
	files := []string{m.spec.Path, m.spec.Path + SignatureSuffix}
	for _, t := range m.spec.Tables {
		files = append(files, t.Path)
	}
	return files
}

// concerns reports whether a path is one of a module's files. A folder is
// watched, not the file: a new version is mostly renamed into place.
func (h *Host) concerns(path string) bool {
	path = filepath.Clean(path)
	return slices.ContainsFunc(h.list(), func(m *Module) bool {
		return slices.ContainsFunc(m.files(), func(f string) bool { return filepath.Clean(f) == path })
	})
}

func (h *Host) addWatches(watcher *fsnotify.Watcher) {
	if watcher == nil {
		return
	}
	for _, m := range h.list() {
		for _, f := range m.files() {
			_ = watcher.Add(filepath.Dir(f)) // the look every few seconds stands in for it
		}
	}
}

// look takes what has changed into service.
func (h *Host) look(ctx context.Context) {
	for _, m := range h.list() {
		for _, t := range m.spec.Tables {
			log := m.spec.log.WithField("table", t.Name)
			if read, err := t.refresh(); err != nil {
				log.WithError(err).Error("a table cannot be read again; its old content stays in use")
			} else if read {
				log.Info("a table was read again")
			}
		}
		if m.changedOnDisk() {
			m.reload(ctx)
		}
	}
}

// stamps are those of the module and its signature.
func (s *Spec) stamps() [2]fileStamp {
	return [2]fileStamp{stampOf(s.Path), stampOf(s.Path + SignatureSuffix)}
}

// stampOf is the zero stamp for a file that is not there.
func stampOf(path string) fileStamp {
	info, err := os.Stat(path)
	if err != nil {
		return fileStamp{}
	}
	return fileStamp{info.Size(), info.ModTime()}
}
