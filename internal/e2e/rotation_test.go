package e2e

import (
	"compress/gzip"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// writer is a program that logs: it writes numbered lines, rotates as a real
// one does, and keeps the ledger of what it wrote.
type writer struct {
	t        *testing.T
	path     string // what the agent is told to follow
	f        *os.File
	lines    int
	rotation int
}

func newWriter(t *testing.T) *writer {
	t.Helper()
	w := &writer{t: t, path: filepath.Join(t.TempDir(), "app.log")}
	w.open(w.path)
	t.Cleanup(func() { _ = w.f.Close() })
	return w
}

func (w *writer) open(path string) {
	w.t.Helper()
	if w.f != nil {
		require.NoError(w.t, w.f.Close())
	}
	var err error
	w.f, err = os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	require.NoError(w.t, err)
}

// write writes n lines, in several calls that do not end at line ends.
func (w *writer) write(n int) {
	w.t.Helper()
	var text strings.Builder
	for range n {
		fmt.Fprintf(&text, "%08d %s\n", w.lines, strings.Repeat("payload ", 1+w.lines%20))
		w.lines++
	}
	for s := text.String(); s != ""; {
		k := min(len(s), 3001)
		_, err := w.f.WriteString(s[:k])
		require.NoError(w.t, err)
		s = s[k:]
	}
}

func (w *writer) rename(from, to string) {
	w.t.Helper()
	require.NoError(w.t, os.Rename(from, to))
}

// shift renames app.log.N to app.log.N+1, down to app.log.1 to app.log.2.
func (w *writer) shift() {
	for i := w.rotation; i > 0; i-- {
		for _, ext := range []string{"", ".gz"} {
			from := w.path + "." + strconv.Itoa(i) + ext
			if _, err := os.Stat(from); err == nil {
				w.rename(from, w.path+"."+strconv.Itoa(i+1)+ext)
			}
		}
	}
	w.rotation++
}

// rotations are the ways in which logs are rotated. A way that is not lossless
// destroys bytes, or takes them out of sight, if nobody has opened the file
// before: the test then waits until the agent has.
var rotations = []struct {
	name     string
	lossless bool
	rotate   func(w *writer)
}{
	{"rename", true, func(w *writer) {
		w.shift()
		w.rename(w.path, w.path+".1")
		w.write(3) // a writer that has not noticed yet
		w.open(w.path)
	}},
	{"dated", true, func(w *writer) {
		w.rotation++
		w.rename(w.path, fmt.Sprintf("%s-202603%02d", w.path, w.rotation))
		w.open(w.path)
	}},
	{"copytruncate", true, func(w *writer) {
		w.shift()
		w.copyTo(w.path + ".1")
		require.NoError(w.t, w.f.Truncate(0))
	}},
	{"delete and recreate", false, func(w *writer) {
		require.NoError(w.t, os.Remove(w.path))
		w.open(w.path)
	}},
	{"symlink switch", false, func(w *writer) {
		w.rotation++
		target := fmt.Sprintf("%s.target%d", w.path, w.rotation)
		w.open(target)
		if w.rotation == 1 { // the first switch turns the file itself into a link
			w.rename(w.path, w.path+".target0")
		}
		link := w.path + ".newlink"
		require.NoError(w.t, os.Symlink(target, link))
		w.rename(link, w.path)
	}},
	{"compress at once", true, func(w *writer) {
		w.shift()
		w.rename(w.path, w.path+".1")
		w.open(w.path)
		w.gzip(w.path + ".1")
	}},
	{"twenty at once", true, func(w *writer) {
		for range 20 {
			w.shift()
			w.rename(w.path, w.path+".1")
			w.open(w.path)
			w.write(5)
		}
	}},
	{"logrotate create", true, func(w *writer) { w.logrotate("create"); w.open(w.path) }},
	{"logrotate copytruncate", true, func(w *writer) { w.logrotate("copytruncate") }},
	{"logrotate compress", true, func(w *writer) { w.logrotate("create\n compress"); w.open(w.path) }},
	{"logrotate delaycompress", true, func(w *writer) { w.logrotate("create\n compress\n delaycompress"); w.open(w.path) }},
	{"logrotate dateext", true, func(w *writer) {
		w.rotation++
		w.logrotate(fmt.Sprintf("create\n dateext\n dateformat -%%Y%%m%%d-%d", w.rotation))
		w.open(w.path)
	}},
}

func (w *writer) copyTo(path string) {
	w.t.Helper()
	data, err := os.ReadFile(w.path)
	require.NoError(w.t, err)
	require.NoError(w.t, os.WriteFile(path, data, 0o600))
}

func (w *writer) gzip(path string) {
	w.t.Helper()
	in, err := os.Open(path)
	require.NoError(w.t, err)
	out, err := os.Create(path + ".gz")
	require.NoError(w.t, err)
	z := gzip.NewWriter(out)
	_, err = io.Copy(z, in)
	require.NoError(w.t, err)
	require.NoError(w.t, z.Close())
	require.NoError(w.t, out.Close())
	require.NoError(w.t, in.Close())
	require.NoError(w.t, os.Remove(path))
}

// logrotate runs Debian's.
func (w *writer) logrotate(how string) {
	w.t.Helper()
	conf := filepath.Join(filepath.Dir(w.path), "..", filepath.Base(filepath.Dir(w.path))+".conf")
	text := fmt.Sprintf("%s {\n rotate 100\n %s\n}\n", w.path, how)
	require.NoError(w.t, os.WriteFile(conf, []byte(text), 0o600))
	out, err := exec.Command("/usr/sbin/logrotate", "-f", "-s", conf+".state", conf).CombinedOutput()
	require.NoError(w.t, err, "%s", out)
}

// faults are what happens in the middle. While the agent is away only lossless
// rotations go on.
var faults = []struct {
	name  string
	apply func(t *testing.T, h *hub, a *agentProcess, meanwhile func())
}{
	{"no fault", func(_ *testing.T, _ *hub, _ *agentProcess, meanwhile func()) { meanwhile() }},
	{"agent restarted", func(t *testing.T, _ *hub, a *agentProcess, meanwhile func()) {
		a.stop()
		meanwhile()
		a.start(t)
	}},
	{"agent killed", func(t *testing.T, _ *hub, a *agentProcess, meanwhile func()) {
		a.kill()
		meanwhile()
		a.start(t)
	}},
}

func TestNoLineIsLostOrDoubledInAnyRotation(t *testing.T) {
	h := startHub(t)
	for i, rotation := range rotations {
		for j, fault := range faults {
			t.Run(rotation.name+"/"+fault.name, func(t *testing.T) {
				t.Parallel()
				logstore := fmt.Sprintf("store-%d-%d", i, j)
				w := newWriter(t)
				a := newAgent(t, h, pipelineYAML(w.path, logstore))
				w.write(500)
				a.start(t)
				for round := range 4 {
					w.write(300)
					if !rotation.lossless {
						a.requireAll(h, logstore, w.lines)
					}
					rotation.rotate(w)
					w.write(300)
					if round == 2 {
						if !rotation.lossless { // what is deleted unread dies with the agent
							a.requireAll(h, logstore, w.lines)
						}
						fault.apply(t, h, a, func() {
							w.write(200)
							if rotation.lossless {
								rotation.rotate(w)
								w.write(200)
								rotation.rotate(w)
							}
							w.write(200)
						})
					}
				}
				a.requireAll(h, logstore, w.lines)
				a.stop()
			})
		}
	}
}

func pipelineYAML(path, logstore string) string {
	return fmt.Sprintf(`  p:
    input: {type: files, include: [%q], start_at: beginning, partial_timeout: 20s}
    outputs: [hub]
    logstore: %s
`, path, logstore)
}

// requireAll waits until the hub has all lines, and requires each of them just
// once, in order within each generation.
func (a *agentProcess) requireAll(h *hub, logstore string, lines int) {
	t := a.t
	t.Helper()
	a.eventually(fmt.Sprintf("the hub has all %d lines", lines), func() bool { return h.distinct(t, logstore) >= lines })
	seen := make([]int, lines)
	last := map[string]struct{ offset, line int }{}
	records := h.records(t, logstore)
	byOffset(records)
	for _, r := range records {
		number, _, _ := strings.Cut(r["_msg"], " ")
		n, err := strconv.Atoi(number)
		require.NoError(t, err, "a torn line: %q", r["_msg"])
		seen[n]++
		offset, err := strconv.Atoi(r["__wt_offset__"])
		require.NoError(t, err)
		generation := r["__wt_generation__"]
		if before, ok := last[generation]; ok {
			require.Greater(t, n, before.line, "generation %s is out of order at offset %d", generation, offset)
		}
		last[generation] = struct{ offset, line int }{offset, n}
	}
	missing, double := 0, 0
	for _, count := range seen {
		switch {
		case count == 0:
			missing++
		case count > 1:
			double++
		}
	}
	if missing+double > 0 {
		describe(t, records, seen)
	}
	require.Zero(t, missing, "missing lines of %d", lines)
	require.Zero(t, double, "lines that are there twice, of %d", lines)
}

// describe logs which runs of lines are missing or double, and where each
// generation has its lines.
func describe(t *testing.T, records []map[string]string, seen []int) {
	t.Helper()
	for from := 0; from < len(seen); {
		to := from
		for to < len(seen) && seen[to] == seen[from] {
			to++
		}
		t.Logf("lines %d to %d are there %d times", from, to-1, seen[from])
		from = to
	}
	for i, r := range records {
		line, _, _ := strings.Cut(r["_msg"], " ")
		if i == 0 || records[i-1]["__wt_generation__"] != r["__wt_generation__"] {
			t.Logf("generation %s of %s begins at %s with line %s", r["__wt_generation__"], filepath.Base(r["__path__"]), r["__wt_offset__"], line)
		}
	}
}
