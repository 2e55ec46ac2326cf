package supervisor

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/wasmtail/wasmtail/internal/durable"
)

const (
	// tailBytes of what a worker wrote are kept for a report: a dump of some
	// hundred goroutines.
	tailBytes = 64 << 10
	// reportsMax are kept, the newest.
	reportsMax = 10
	reportsDir = "crashes"
)

// tail passes a worker's output on and keeps its end.
type tail struct {
	out io.Writer

	mu   sync.Mutex
	last []byte
}

// Write implements io.Writer. What cannot be passed on is kept all the same.
func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	_, _ = t.out.Write(p)
	if t.last = append(t.last, p...); len(t.last) > 2*tailBytes {
		t.last = append(t.last[:0], t.last[len(t.last)-tailBytes:]...)
	}
	return len(p), nil
}

// lines are the last whole lines.
func (t *tail) lines() []byte {
	t.mu.Lock()
	defer t.mu.Unlock()
	b := t.last
	if len(b) > tailBytes {
		b = b[len(b)-tailBytes:]
		if i := bytes.IndexByte(b, '\n'); i >= 0 {
			b = b[i+1:]
		}
	}
	return bytes.Clone(b)
}

// report keeps what is known about the unexpected end of a worker.
func (s *supervisor) report(w *worker, pause time.Duration) {
	now := time.Now().UTC()
	log := s.Log.WithField("pid", w.cmd.Process.Pid)
	var b bytes.Buffer
	fmt.Fprintf(&b, "wasmtail %s: the worker %d ended: %s\n", s.Version, w.cmd.Process.Pid, w.cmd.ProcessState)
	if w.why != "" {
		fmt.Fprintf(&b, "why: %s\n", w.why)
	}
	fmt.Fprintf(&b, "at: %s, after %s\nrestarts before: %d\n\nWhat it wrote last:\n\n", now.Format(time.RFC3339Nano),
		time.Since(w.started).Round(time.Millisecond), s.restarts)
	b.Write(w.tail.lines())
	path := filepath.Join(s.Dir, reportsDir, fmt.Sprintf("%s-%d.txt", now.Format("20060102T150405.000Z"), w.cmd.Process.Pid))
	if err := keepReport(path, b.Bytes()); err != nil {
		log.WithError(err).Error("the report of a crash cannot be kept")
	} else {
		log = log.WithField("report", path)
	}
	log.WithField("state", w.cmd.ProcessState.String()).Errorf("the worker ended; it is started again in %s", pause)
}

func keepReport(path string, text []byte) error {
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("cannot make the folder of crash reports: %w", err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("cannot read the folder of crash reports: %w", err)
	}
	var old []string
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), ".txt") {
			old = append(old, e.Name())
		}
	}
	slices.Sort(old)
	for len(old) >= reportsMax {
		err = errors.Join(err, os.Remove(filepath.Join(dir, old[0])))
		old = old[1:]
	}
	return errors.Join(err, durable.WriteFile(durable.OS{}, path, text))
}
