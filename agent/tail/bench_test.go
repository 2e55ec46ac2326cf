package tail

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/sirupsen/logrus"
	"github.com/stretchr/testify/require"

	"github.com/wasmtail/wasmtail/agent/checkpoint"
	"github.com/wasmtail/wasmtail/internal/durable"
)

// counting is a Sink that only counts.
type counting struct{ records, bytes int64 }

func (c *counting) Lines(_ context.Context, l *Lines, done func(bool)) error {
	c.records += int64(len(l.Lines))
	c.bytes += l.End - l.Start
	done(true)
	return nil
}

func benchTailer(tb testing.TB, config Config) *Tailer {
	store, err := checkpoint.Open(durable.NewMem(), "/s")
	require.NoError(tb, err)
	log := logrus.New()
	log.SetOutput(os.Stderr)
	t, err := New(config, store, log)
	require.NoError(tb, err)
	t.start()
	tb.Cleanup(t.stop)
	return t
}

func drain(t *Tailer, to Sink) {
	for t.readers[0].step(context.Background(), to) {
	}
}

func BenchmarkFollow(b *testing.B) {
	const size = 64 << 20
	line := append(bytes.Repeat([]byte("x"), 511), '\n')
	path := filepath.Join(b.TempDir(), "app.log")
	require.NoError(b, os.WriteFile(path, bytes.Repeat(line, size/len(line)), 0o644))
	t := benchTailer(b, Config{Pipeline: "p", Include: []string{path}, Start: Start{Kind: StartBeginning}})
	t.tick()
	g := t.families[path][0]
	b.SetBytes(size)
	b.ReportAllocs()
	for b.Loop() {
		var c counting
		g.read.Store(0)
		g.marker, g.frame, g.atEnd = checkpoint.Digest{}, frameState{}, false
		t.readers[0].schedule(g)
		drain(t, &c)
		if c.bytes != size || c.records != size/512 {
			b.Fatalf("read %d bytes, %d records", c.bytes, c.records)
		}
	}
}

func manyFiles(tb testing.TB, n int) (*Tailer, *counting, string) {
	dir := tb.TempDir()
	for i := range n {
		require.NoError(tb, os.WriteFile(filepath.Join(dir, fmt.Sprintf("app%d.log", i)), []byte("one line\n"), 0o644))
	}
	now := time.Now()
	t := benchTailer(tb, Config{
		Pipeline: "p", Include: []string{filepath.Join(dir, "*.log")}, Start: Start{Kind: StartBeginning},
		Now: func() time.Time { return now }, OpenFilesMax: n + 100,
	})
	c := &counting{}
	for range 60 { // until all are quiet, and the directory is trusted
		t.tick()
		drain(t, c)
		now = now.Add(200 * time.Millisecond)
	}
	require.EqualValues(tb, n, c.records)
	require.Empty(tb, t.active)
	tb.Cleanup(func() { now = now.Add(time.Hour) })
	t.config.Now = func() time.Time { now = now.Add(200 * time.Millisecond); return now }
	return t, c, dir
}

// BenchmarkQuietFiles is the cost of one second with 10,000 files that have been
// quiet for long, where the kernel gives hints of writes and where it does not.
func BenchmarkQuietFiles(b *testing.B) {
	for name, hinted := range map[string]bool{"hinted": true, "asked every second": false} {
		b.Run(name, func(b *testing.B) {
			t, _, _ := manyFiles(b, 10_000)
			if !hinted {
				noHints(t)
			}
			for range 5 * 30 { // until all have been quiet for long
				t.tick()
			}
			b.ReportAllocs()
			for b.Loop() {
				for range 5 {
					t.tick()
				}
			}
		})
	}
}

func noHints(t *Tailer) {
	for _, d := range t.dirs {
		d.hinted = false
	}
}

func TestTick_QuietFilesDoNotAllocate(t *testing.T) {
	tailer, _, _ := manyFiles(t, 2_000)
	n := testing.AllocsPerRun(50, func() {
		for range 5 {
			tailer.tick()
		}
	})
	if n > 40 {
		t.Fatalf("a second with 2,000 quiet files allocates %v times", n)
	}
}
