package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// packWith compresses a file as a rotation would, with the program of that name.
func packWith(t *testing.T, path, tool, ext string, args ...string) {
	t.Helper()
	old, err := os.Stat(path)
	require.NoError(t, err)
	out, err := exec.Command(tool, append(args, path)...).CombinedOutput()
	require.NoError(t, err, "%s", out)
	require.NoError(t, os.Chtimes(path+ext, old.ModTime(), old.ModTime()))
}

// TestImportOfHistory: five rotated files, four of them compressed, and the
// beginning of a file that the agent follows at its end. The import is killed twice,
// while new lines are written; everything is at the hub once.
func TestImportOfHistory(t *testing.T) {
	t.Parallel()
	h := startHub(t)
	w := newWriter(t)
	long := time.Now().Add(-time.Hour)
	for i := 5; i > 0; i-- {
		w.write(4000)
		old := fmt.Sprintf("%s.%d", w.path, i)
		w.rename(w.path, old)
		w.open(w.path)
		at := long.Add(-time.Duration(i) * time.Minute)
		require.NoError(t, os.Chtimes(old, at, at))
	}
	packWith(t, w.path+".2", "gzip", ".gz")
	packWith(t, w.path+".3", "zstd", ".zst", "-q", "--rm")
	packWith(t, w.path+".4", "bzip2", ".bz2")
	packWith(t, w.path+".5", "xz", ".xz")
	w.write(3000)
	require.NoError(t, w.f.Sync())
	history := w.lines
	a := newAgent(t, h, strings.Replace(pipelineYAML(w.path, "store"), "beginning", "end", 1))
	a.start(t)
	w.write(500)
	a.eventually("the agent has what is new", func() bool { return h.distinct(t, "store") == w.lines-history })

	pattern := w.path + "*"
	plan := wasmtail(t, "import", "-c", a.config, pattern)
	require.Zero(t, plan.code, plan.stderr)
	require.Contains(t, plan.stdout, "Nothing is done yet: --yes begins.")
	require.Contains(t, plan.stdout, "where the agent began")
	require.Equal(t, 6, strings.Count(plan.stdout, "import  "), plan.stdout)
	require.Equal(t, w.lines-history, h.distinct(t, "store"), "the plan alone changes nothing")

	args := []string{"import", "-c", a.config, "--yes", "--rate", "192KiB", "-o", "json", pattern}
	p := start(t, nil, "wasmtail", args...)
	before := h.distinct(t, "store")
	p.eventually("it has brought something", func() bool { return h.distinct(t, "store") > before+500 })
	require.NoError(t, p.cmd.Process.Signal(syscall.SIGINT))
	<-p.done
	require.Equal(t, 75, p.cmd.ProcessState.ExitCode())
	require.Contains(t, a.shown(t), "the same command goes on")
	for kill := range 2 {
		p := start(t, nil, "wasmtail", args...)
		before := h.distinct(t, "store")
		p.eventually("it has brought something", func() bool { return h.distinct(t, "store") > before+1000 })
		if kill == 0 {
			busy := wasmtail(t, args...)
			require.Equal(t, 75, busy.code, "two imports through one pipeline: %s", busy.stderr)
			p.eventually("the agent shows it", func() bool { return strings.Contains(a.shown(t), ") running, at most 192 KiB/s") })
		}
		p.kill()
		w.write(100)
	}
	done := wasmtail(t, "import", "-c", a.config, "--yes", pattern)
	require.Zero(t, done.code, done.stderr)
	require.Contains(t, done.stdout, "100 %")
	shown := a.shown(t)
	require.Contains(t, shown, "import p ("+pattern+") finished at ")
	require.Contains(t, shown, "100 %")
	a.requireAllOnce(h, "store", w.lines)
	require.True(t, a.verify(t, 0, longWait, w.path)[0].Complete, "the import and the agent have one generation together")

	again := wasmtail(t, "import", "-c", a.config, "--yes", pattern)
	require.Zero(t, again.code, again.stderr)
	a.requireAllOnce(h, "store", w.lines)
	a.stop()

	require.Contains(t, wasmtail(t, "status", "-c", a.config).stdout, ") finished at ", "the agent is not needed for it")

	torn, err := os.ReadFile(w.path + ".2.gz")
	require.NoError(t, err)
	cut := filepath.Join(filepath.Dir(w.path), "cut.gz")
	require.NoError(t, os.WriteFile(cut, torn[:len(torn)/2], 0o600))
	failed := wasmtail(t, "import", "-c", a.config, "--yes", cut)
	require.Equal(t, 1, failed.code, failed.stderr)
	require.Regexp(t, `\) FAILED at .*\n.*\n.*cannot import .*cut.gz: `, wasmtail(t, "status", "-c", a.config).stdout)

	bad := filepath.Join(filepath.Dir(w.path), "bad.gz")
	require.NoError(t, os.WriteFile(bad, []byte("no gzip"), 0o600))
	failed = wasmtail(t, "import", "-c", a.config, "--yes", bad)
	require.Equal(t, 1, failed.code)
	require.Contains(t, failed.stdout, "bad.gz")
	require.Contains(t, failed.stderr, "cannot read 1 file")
	require.Equal(t, 2, wasmtail(t, "import", "-c", a.config, "--yes", bad+"x").code)
}

// shown is what the command status prints.
func (a *agentProcess) shown(t *testing.T) string {
	t.Helper()
	r := wasmtail(t, "status", "-c", a.config)
	require.Zero(t, r.code, r.stderr)
	return r.stdout
}

// requireAllOnce waits until the hub has all lines, and requires each just once.
func (a *agentProcess) requireAllOnce(h *hub, logstore string, lines int) {
	t := a.t
	t.Helper()
	a.eventually(fmt.Sprintf("the hub has all %d lines", lines), func() bool { return h.distinct(t, logstore) >= lines })
	require.Len(t, h.records(t, logstore), lines)
}
