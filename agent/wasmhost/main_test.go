package wasmhost

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/sirupsen/logrus"
	"github.com/stretchr/testify/require"

	"github.com/wasmtail/wasmtail/internal/record"
	"github.com/wasmtail/wasmtail/internal/toolchain"
)

// compileEnv makes the test binary the process that compiles modules.
const compileEnv = "WASMHOST_TEST_COMPILE"

func TestMain(m *testing.M) {
	if os.Getenv(compileEnv) != "" {
		if err := CompileChild(os.Stdin, os.Args[len(os.Args)-1]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	code := m.Run()
	_ = os.RemoveAll(buildDir)
	os.Exit(code)
}

var (
	buildMu  sync.Mutex
	buildDir string
	built    = map[string]string{}
)

// module builds a project once and returns the module's path.
func module(t testing.TB, dir string) string {
	t.Helper()
	buildMu.Lock()
	defer buildMu.Unlock()
	if path := built[dir]; path != "" {
		return path
	}
	if buildDir == "" {
		var err error
		buildDir, err = os.MkdirTemp("", "wasmhost-test-")
		require.NoError(t, err)
	}
	p, err := toolchain.Load(dir)
	require.NoError(t, err)
	out := filepath.Join(buildDir, fmt.Sprintf("%d.wasm", len(built)))
	require.NoError(t, p.Build(context.Background(), toolchain.Options{SDKDir: "../../sdk", Output: out}))
	built[dir] = out
	return out
}

// alone is called by tests of one goroutine that compile many modules, which takes
// minutes with the race detector and shows it nothing. They run without it.
func alone(t *testing.T) {
	t.Helper()
	if slowly > 1 {
		t.Skip("has one goroutine: `make test` runs it without the race detector")
	}
}

func guest(t testing.TB) string { t.Helper(); return module(t, "testdata/guest") }

// open returns a host that compiles in this process, and what it logs.
func open(t testing.TB, change ...func(*Options)) (*Host, *syncBuffer) {
	t.Helper()
	said := &syncBuffer{}
	log := logrus.New()
	log.SetOutput(said)
	log.SetLevel(logrus.DebugLevel)
	o := Options{Dir: t.TempDir(), Log: log}
	for _, c := range change {
		c(&o)
	}
	h, err := Open(o)
	require.NoError(t, err)
	t.Cleanup(h.Close)
	return h, said
}

// syncBuffer is a log that several goroutines write.
type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// lane is a parser and what it made of lines.
type lane struct {
	t      testing.TB
	m      *Module
	p      *Parser
	origin *record.Origin
	at     int64
}

func newLane(t testing.TB, s Spec, change ...func(*Options)) *lane {
	t.Helper()
	h, _ := open(t, change...)
	return laneOf(t, h, s)
}

func laneOf(t testing.TB, h *Host, s Spec) *lane {
	t.Helper()
	if s.Pipeline == "" {
		s.Pipeline = "p"
	}
	if s.Stage == "" {
		s.Stage = "wasm#1"
	}
	m, err := h.Module(context.Background(), s)
	require.NoError(t, err)
	l := &lane{t: t, m: m, p: m.NewParser(), origin: &record.Origin{Path: "/var/log/app.log", Source: 1, Ledger: &record.Ledger{}}}
	t.Cleanup(l.p.Close)
	return l
}

// batch puts lines into a batch as the input does: together in the arena.
func (l *lane) batch(lines ...string) *record.Batch {
	b := record.Get(l.origin)
	b.Start = l.at
	raw := b.Copy([]byte(strings.Join(lines, "\n") + "\n"))
	at := 0
	for _, line := range lines {
		r := b.AddOwn(raw[at : at+len(line) : at+len(line)])
		r.Offset, r.Size = l.at, int64(len(line))+1
		at += len(line) + 1
		l.at += r.Size
	}
	b.End = l.at
	return b
}

// parse returns what comes out for lines, one text each record.
func (l *lane) parse(lines ...string) []string {
	l.t.Helper()
	b := l.batch(lines...)
	defer b.Release()
	require.NoError(l.t, l.p.Process(context.Background(), b))
	return texts(b)
}

func texts(b *record.Batch) []string {
	out := []string{}
	for i := range b.Records {
		out = append(out, text(&b.Records[i]))
	}
	return out
}

func text(r *record.Record) string {
	var s strings.Builder
	for i, f := range r.Fields {
		if i > 0 {
			s.WriteByte(' ')
		}
		fmt.Fprintf(&s, "%s=%s", f.Name, f.Value)
	}
	if r.Time != 0 {
		fmt.Fprintf(&s, " time=%d", r.Time)
	}
	if r.Route != 0 {
		fmt.Fprintf(&s, " route=%d", r.Route)
	}
	if m := r.Marks &^ record.Failed; m != 0 {
		fmt.Fprintf(&s, " marks=%s", m.AppendText(nil))
	}
	return s.String()
}

// raw is what a line looks like that is kept for a reason.
func raw(line, reason string) string { return "__raw_log__=" + line + " __error__=" + reason }

func quiet() logrus.FieldLogger {
	log := logrus.New()
	log.SetOutput(io.Discard)
	return log
}
