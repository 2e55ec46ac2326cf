package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestRotationsFasterThanAnybodyLooks: 200 of them 50 ms apart, of which the
// oldest are deleted after a second, and then twenty within a tenth of one.
func TestRotationsFasterThanAnybodyLooks(t *testing.T) {
	t.Parallel()
	const kept = 20
	h := startHub(t)
	w := newWriter(t)
	a := newAgent(t, h, pipelineYAML(w.path, "store"))
	a.start(t)
	w.write(10)
	rotate := func() {
		w.rotation++
		w.rename(w.path, fmt.Sprintf("%s.%d", w.path, w.rotation))
		w.open(w.path)
		w.write(20)
	}
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for range 200 {
		<-tick.C
		rotate()
		if old := w.rotation - kept; old > 0 {
			require.NoError(t, os.Remove(fmt.Sprintf("%s.%d", w.path, old)))
		}
	}
	began := time.Now()
	for range 20 {
		rotate()
	}
	t.Logf("twenty rotations took %s", time.Since(began))
	a.requireAll(h, "store", w.lines)
	require.Zero(t, h.ledger().MissingBytes)
	a.stop()
}

// TestAThousandFilesRotatedAtTheSameMoment, as a rotation at midnight does.
func TestAThousandFilesRotatedAtTheSameMoment(t *testing.T) {
	t.Parallel()
	const files, rounds = 1000, 3
	h := startHub(t)
	dir := t.TempDir()
	a := newAgent(t, h, fmt.Sprintf(`  p:
    input: {type: files, include: [%q], start_at: beginning, partial_timeout: 20s}
    outputs: [hub]
    logstore: store
`, filepath.Join(dir, "*.log")))
	name := func(i int) string { return filepath.Join(dir, fmt.Sprintf("%04d.log", i)) }
	open := make([]*os.File, files)
	write := func(round int) {
		for i := range open {
			_, err := fmt.Fprintf(open[i], "file %d round %d before\nfile %d round %d after\n", i, round, i, round)
			require.NoError(t, err)
		}
	}
	create := func() {
		for i := range open {
			var err error
			open[i], err = os.OpenFile(name(i), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
			require.NoError(t, err)
		}
	}
	create()
	a.start(t)
	write(0)
	for round := 1; round < rounds; round++ {
		a.eventually("all is delivered", func() bool { return h.distinct(t, "store") >= files*2*round })
		for i := range open {
			require.NoError(t, os.Rename(name(i), fmt.Sprintf("%s.%d", name(i), round)))
		}
		for i := range open { // lines of a writer that has not noticed
			_, err := fmt.Fprintf(open[i], "file %d round %d late\n", i, round)
			require.NoError(t, err)
			require.NoError(t, open[i].Close())
		}
		create()
		write(round)
	}
	const lines = files * (2*rounds + rounds - 1)
	a.eventually("all is delivered", func() bool { return h.distinct(t, "store") >= lines })
	require.Len(t, h.records(t, "store"), lines, "nothing is there twice")
	require.Zero(t, h.ledger().MissingBytes)
	for i := range open {
		require.NoError(t, open[i].Close())
	}
	a.stop()
}

// TestDamagedStateNeverStopsTheAgent: whatever became of the files in its folder,
// the agent starts, says so, and delivers every line. Lines may come again: what
// is not known to be delivered is delivered.
func TestDamagedStateNeverStopsTheAgent(t *testing.T) {
	t.Parallel()
	h := startHub(t)
	w := newWriter(t)
	a := newAgent(t, h, pipelineYAML(w.path, "store"))
	a.start(t)
	w.write(500)
	a.eventually("it is delivered", func() bool { return h.distinct(t, "store") == w.lines })
	h.kill()
	w.write(500)
	a.eventually("there is a disk cache", func() bool { return a.output().DiskBytes > 0 })
	a.kill()
	damages := map[string]func([]byte) []byte{
		"truncated":   func(b []byte) []byte { return b[:len(b)/2] },
		"empty":       func([]byte) []byte { return nil },
		"zeros":       func(b []byte) []byte { return make([]byte, len(b)) },
		"torn zeros":  func(b []byte) []byte { return append(b, make([]byte, 4096)...) },
		"one bit":     func(b []byte) []byte { b[len(b)*2/3] ^= 4; return b },
		"other bytes": func(b []byte) []byte { return []byte(fmt.Sprintf("%0*d", len(b), 7)) },
	}
	state := filepath.Join(a.dir, "state")
	for what, damage := range damages {
		saved := t.TempDir()
		require.NoError(t, os.CopyFS(filepath.Join(saved, "state"), os.DirFS(state)))
		damaged := 0
		require.NoError(t, filepath.WalkDir(state, func(path string, d os.DirEntry, err error) error {
			if err != nil || !d.Type().IsRegular() {
				return err
			}
			text, err := os.ReadFile(path)
			if err != nil || len(text) == 0 {
				return err
			}
			damaged++
			return os.WriteFile(path, damage(text), 0o600)
		}))
		require.Greater(t, damaged, 2, "checkpoints, disk cache and identity")
		a.start(t)
		w.write(10)
		a.eventually("it works after "+what, func() bool { return a.settled(w) })
		a.kill()
		require.NoError(t, os.RemoveAll(state))
		require.NoError(t, os.CopyFS(state, os.DirFS(filepath.Join(saved, "state"))))
	}
	h.start(t)
	a.start(t)
	a.eventually("every line is there", func() bool { return h.distinct(t, "store") == w.lines })
	a.stop()
}
