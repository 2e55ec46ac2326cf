package tail

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"testing"
	"time"

	"github.com/sirupsen/logrus"
	"github.com/stretchr/testify/require"

	"github.com/wasmtail/wasmtail/agent/checkpoint"
	"github.com/wasmtail/wasmtail/internal/durable"
	"github.com/wasmtail/wasmtail/internal/record"
)

// testingT is what the rig needs of *testing.T and *rapid.T.
type testingT interface {
	require.TestingT
	Helper()
	Fatalf(string, ...any)
	Logf(string, ...any)
}

// rig runs a tailer step by step, on real files, with a clock of its own.
type rig struct {
	t      testingT
	dir    string
	config Config
	fs     *durable.Mem
	store  *checkpoint.Store
	tailer *Tailer
	now    time.Time
	got    *collector
	log    *logrus.Logger
	logged *bytes.Buffer
	deaf   bool // no hints of writes arrive
}

// collector is a Sink. It keeps what it was given, by generation.
type collector struct {
	records map[string][]got // by generation
	order   []string         // every record in the order of delivery,
	formats []string         // and the format of its file,
	headers []string         // and the header of its lines
	paths   map[string]string
	hold    bool // keep acknowledgements back
	open    []func(bool)
	calls   int
	sizeMax int64
}

type got struct {
	text         string
	offset, size int64
	marks        record.Mark
}

func (c *collector) Lines(_ context.Context, l *Lines, done func(bool)) error {
	c.calls++
	g := l.Origin.Generation
	c.paths[g] = l.Origin.Path
	c.sizeMax = max(c.sizeMax, l.End-l.Start)
	for _, line := range l.Lines {
		c.records[g] = append(c.records[g], got{string(line.Bytes), line.Offset, line.Size, line.Marks})
		c.order, c.formats = append(c.order, string(line.Bytes)), append(c.formats, l.Format)
		c.headers = append(c.headers, string(l.Header))
	}
	if c.hold {
		c.open = append(c.open, done)
		return nil
	}
	done(true)
	return nil
}

func (c *collector) release(ok bool) {
	for _, done := range c.open {
		done(ok)
	}
	c.open = nil
}

func newCollector() *collector {
	return &collector{records: map[string][]got{}, paths: map[string]string{}}
}

func newRig(t testingT, dir string, edit func(*Config)) *rig {
	r := &rig{t: t, dir: dir, fs: durable.NewMem(), now: time.Now().Add(-24 * time.Hour), got: newCollector(), logged: &bytes.Buffer{}}
	r.log = logrus.New()
	r.log.SetOutput(r.logged)
	r.config = Config{
		Pipeline: "p", Include: []string{filepath.Join(dir, "app.log")}, Start: Start{Kind: StartBeginning},
		Now: func() time.Time { return r.now }, SpoolDir: os.TempDir(),
	}
	if edit != nil {
		edit(&r.config)
	}
	r.begin()
	return r
}

func (r *rig) begin() {
	r.t.Helper()
	var err error
	r.store, err = checkpoint.Open(r.fs, "/state")
	require.NoError(r.t, err)
	r.tailer, err = New(r.config, r.store, r.log)
	require.NoError(r.t, err)
	r.tailer.start()
}

// step lets time pass and does all that is then to do.
func (r *rig) step(d time.Duration) {
	r.t.Helper()
	r.now = r.now.Add(d)
	for range 500 {
		for _, dir := range r.tailer.dirs {
			dir.dirty = true // the test is faster than the clock of file times
		}
		r.tailer.tick()
		worked := false
		for _, reader := range r.tailer.readers {
			for reader.step(context.Background(), r.got) {
				worked = true
			}
		}
		r.tailer.reportMu.Lock()
		reports := len(r.tailer.reports)
		r.tailer.reportMu.Unlock()
		if !worked && reports == 0 {
			return
		}
	}
	r.t.Fatalf("the tailer does not come to rest: %+v\n%s", r.tailer.status(), r.logged)
}

// settle is time enough for everything but long timeouts.
func (r *rig) settle() {
	for range 4 {
		r.step(2 * time.Second)
	}
}

// stop ends the tailer in order. crash forgets what was not saved.
func (r *rig) stop() {
	r.tailer.stop()
	require.NoError(r.t, r.store.Close())
}

func (r *rig) restart() {
	r.stop()
	r.begin()
}

func (r *rig) crash(pick func(int) int) {
	r.tailer.stop()
	r.fs.Restart(pick)
	r.got.open = nil
	r.begin()
}

func (r *rig) path(name string) string { return filepath.Join(r.dir, name) }

func (r *rig) write(name, text string) {
	r.t.Helper()
	f, err := os.OpenFile(r.path(name), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	require.NoError(r.t, err)
	_, err = f.WriteString(text)
	require.NoError(r.t, err)
	require.NoError(r.t, f.Close())
	r.wrote(name)
}

// wrote gives the hint that the kernel would give.
func (r *rig) wrote(name string) {
	if !r.deaf {
		r.tailer.hints.wrote(r.path(name), r.now)
	}
}

func (r *rig) rename(from, to string) {
	r.t.Helper()
	require.NoError(r.t, os.Rename(r.path(from), r.path(to)))
}

func (r *rig) copy(from, to string) {
	r.t.Helper()
	data, err := os.ReadFile(r.path(from))
	require.NoError(r.t, err)
	require.NoError(r.t, os.WriteFile(r.path(to), data, 0o644))
	r.wrote(to)
}

func (r *rig) truncate(name string) {
	r.t.Helper()
	require.NoError(r.t, os.Truncate(r.path(name), 0))
	r.wrote(name)
}

func (r *rig) remove(name string) {
	r.t.Helper()
	require.NoError(r.t, os.Remove(r.path(name)))
}

// lines are numbered lines [from, to).
func lines(from, to int) string {
	var b strings.Builder
	for i := from; i < to; i++ {
		fmt.Fprintf(&b, "line %06d\n", i)
	}
	return b.String()
}

// all returns every record delivered, sorted.
func (r *rig) all() []string {
	list := append([]string(nil), r.got.order...)
	sort.Strings(list)
	return list
}

// wantLines checks that exactly the lines [0, n) were delivered, once each.
func (r *rig) wantLines(n int) {
	r.t.Helper()
	got, want := r.all(), strings.Split(strings.TrimSuffix(lines(0, n), "\n"), "\n")
	if n == 0 {
		want = nil
	}
	if !equal(got, want) {
		r.t.Fatalf("delivered %d records, want lines 0 to %d once each\nmissing %v\nsurplus %v\n%s", len(got), n, minus(want, got), minus(got, want), r.logged)
	}
}

func equal(a, b []string) bool {
	return strings.Join(a, "\n") == strings.Join(b, "\n") && len(a) == len(b)
}

func minus(a, b []string) (rest []string) {
	count := map[string]int{}
	for _, s := range b {
		count[s]++
	}
	for _, s := range a {
		if count[s]--; count[s] < 0 {
			rest = append(rest, s)
		}
	}
	if len(rest) > 20 {
		rest = append(rest[:20], "...")
	}
	return rest
}

func dirOf(t testing.TB) string {
	t.Helper()
	dir, err := filepath.EvalSymlinks(t.TempDir())
	require.NoError(t, err)
	return dir
}

var errTest = errors.New("test")
