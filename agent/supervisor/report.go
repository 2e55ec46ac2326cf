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
	// causeBytes are kept of how a dump begins, which says what happened and
	// where, however long the dump is.
	causeBytes = 16 << 10
	// reportsMax are kept, the newest.
	reportsMax = 10
	reportsDir = "crashes"
)

// causes begin the first line that a program in Go writes when it ends by a fault
// or by a signal that asks where it is.
var causes = [][]byte{
	[]byte("panic: "), []byte("fatal error: "), []byte("runtime: "), []byte("SIGQUIT: "), []byte("SIGABRT: "), []byte("SIGSEGV: "), []byte("SIGBUS: "),
}

// tail passes on what a worker writes, in whole lines, and keeps its end. One
// goroutine writes.
type tail struct {
	out io.Writer

	mu    sync.Mutex
	open  []byte // a line that has no end yet
	last  []byte
	cause []byte // how the dump begins, if one has begun
	since int    // the bytes since then
}

// Write implements io.Writer. What cannot be passed on is kept all the same.
func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	t.open = append(t.open, p...)
	n := bytes.LastIndexByte(t.open, '\n') + 1
	if n == 0 && len(t.open) > tailBytes {
		n = len(t.open)
	}
	lines := bytes.Clone(t.open[:n])
	t.open = append(t.open[:0], t.open[n:]...)
	t.keepLocked(lines)
	t.mu.Unlock()
	if n > 0 {
		_, _ = t.out.Write(lines)
	}
	return len(p), nil
}

// end passes on a last line that has no end.
func (t *tail) end() {
	t.mu.Lock()
	open := len(t.open) > 0
	t.mu.Unlock()
	if open {
		_, _ = t.Write([]byte{'\n'})
	}
}

func (t *tail) keepLocked(lines []byte) {
	if t.last = append(t.last, lines...); len(t.last) > 2*tailBytes {
		t.last = append(t.last[:0], t.last[len(t.last)-tailBytes:]...)
	}
	if t.since == 0 {
		lines = lines[causeAt(lines):]
	}
	t.since += len(lines)
	t.cause = append(t.cause, lines[:min(len(lines), causeBytes-len(t.cause))]...)
}

// causeAt is where a dump begins in whole lines, or their end.
func causeAt(lines []byte) (at int) {
	for line := range bytes.Lines(lines) {
		for _, cause := range causes {
			if bytes.HasPrefix(line, cause) {
				return at
			}
		}
		at += len(line)
	}
	return at
}

// hasDump reports whether a dump has begun.
func (t *tail) hasDump() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.since > 0
}

// text is what a report says: the last whole lines, after the beginning of a dump
// if they do not reach back so far.
func (t *tail) text() []byte {
	t.mu.Lock()
	defer t.mu.Unlock()
	last := t.last
	if len(last) > tailBytes {
		last = last[len(last)-tailBytes:]
		if i := bytes.IndexByte(last, '\n'); i >= 0 {
			last = last[i+1:]
		}
	}
	var b bytes.Buffer
	if t.since > len(last) {
		fmt.Fprintf(&b, "How its dump begins:\n\n%s\n", t.cause)
	}
	b.WriteString("What it wrote last:\n\n")
	b.Write(last)
	return b.Bytes()
}

// report keeps what is known about the unexpected end of a worker, and says where.
func (s *supervisor) report(w *worker) {
	now := time.Now().UTC()
	var b bytes.Buffer
	fmt.Fprintf(&b, "wasmtail %s: the worker %d ended: %s\n", s.Version, w.pid(), w.cmd.ProcessState)
	if w.why != "" {
		fmt.Fprintf(&b, "why: %s\n", w.why)
	}
	fmt.Fprintf(&b, "at: %s, after %s\nrestarts before: %d\n\n", now.Format(time.RFC3339Nano), w.ran.Round(time.Millisecond), s.restarts)
	b.Write(w.tail.text())
	path := filepath.Join(s.Dir, reportsDir, fmt.Sprintf("%s-%d.txt", now.Format("20060102T150405.000Z"), w.pid()))
	if err := keepReport(path, b.Bytes()); err != nil {
		s.Log.WithField("pid", w.pid()).WithError(err).Error("the report of a crash cannot be kept")
		return
	}
	w.report = path
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
