package tail

import "sync"

// Estate keeps the files that a tailer had open when it ended, for the next tailer
// of the same pipeline: what was deleted before it was read is nowhere else. Safe
// for concurrent use.
type Estate struct {
	mu    sync.Mutex
	files map[string][]heirloom // by pipeline
}

// heirloom is an open file and the generation that it is.
type heirloom struct {
	fd                       int
	generation, path, family string
}

func (e *Estate) leave(pipeline string, h heirloom) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.files == nil {
		e.files = make(map[string][]heirloom)
	}
	e.files[pipeline] = append(e.files[pipeline], h)
}

func (e *Estate) take(pipeline string) []heirloom {
	e.mu.Lock()
	defer e.mu.Unlock()
	files := e.files[pipeline]
	delete(e.files, pipeline)
	return files
}

// Close closes the files of all pipelines but those that has is true for: no tailer
// will come for them.
func (e *Estate) Close(has func(pipeline string) bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for pipeline, files := range e.files {
		if has(pipeline) {
			continue
		}
		for _, h := range files {
			closeFile(h.fd)
		}
		delete(e.files, pipeline)
	}
}

// bequeath leaves what is open to the next tailer. Nothing runs any more.
func (t *Tailer) bequeath() {
	if t.config.Estate == nil {
		return
	}
	for _, g := range t.byID {
		if g.fd < 0 || g.spooled || g.finished || g.source == nil {
			continue
		}
		t.config.Estate.leave(t.config.Pipeline, heirloom{g.fd, g.origin.Generation, g.path, g.family})
		g.fd = -1
		t.open--
	}
}

// inherit goes on with the open files of the tailer before. Their names are found
// by the first scan, if they have any.
func (t *Tailer) inherit() {
	if t.config.Estate == nil {
		return
	}
	for _, h := range t.config.Estate.take(t.config.Pipeline) {
		n := &newcomer{fd: h.fd, path: h.path, family: h.family, sibling: h.path != h.family, included: t.included(h.path), grown: t.now()}
		t.open++
		if err := t.statBuf.open(n.fd, &n.st); err != nil || len(t.config.Keys) == 0 && !t.included(h.family) || t.open > t.config.OpenFilesMax && n.st.links > 0 {
			t.drop(n)
			continue
		}
		for _, src := range t.orphans[n.st.id] {
			if e := src.Entry(); e.Generation == h.generation && t.matches(n, &e) {
				t.resume(n, src)
				break
			}
		}
		t.drop(n) // unless it was resumed
	}
}
