package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wasmtail/wasmtail/agent"
	"github.com/wasmtail/wasmtail/agent/tail"
)

// output returns the state of the agent's output hub.
func (a *agentProcess) output() (o agent.OutputStatus) {
	s, err := a.status()
	if err != nil {
		return o
	}
	for i := range s.Outputs {
		if s.Outputs[i].Name == "hub" {
			return s.Outputs[i]
		}
	}
	return o
}

// settled reports whether all of the log that exists is acknowledged: delivered,
// or safe on the disk.
func (a *agentProcess) settled(w *writer) bool {
	s, err := a.status()
	if err != nil {
		return false
	}
	acked := map[uint64]int64{} // by inode
	for _, f := range s.Pipelines[0].Files {
		if f.Acked < f.Size {
			return false // it may be deleted
		}
		acked[f.Inode] = f.Acked
	}
	names, err := filepath.Glob(w.path + "*")
	require.NoError(w.t, err)
	for _, name := range names {
		info, err := os.Stat(name)
		require.NoError(w.t, err)
		if acked[info.Sys().(*syscall.Stat_t).Ino] < info.Size() {
			return false
		}
	}
	return true
}

// follows reports whether the agent has opened the file that is written.
func (a *agentProcess) follows(w *writer) bool {
	info, err := w.f.Stat()
	require.NoError(w.t, err)
	s, err := a.status()
	return err == nil && slices.ContainsFunc(s.Pipelines[0].Files, func(f tail.FileStatus) bool {
		return f.Inode == info.Sys().(*syscall.Stat_t).Ino
	})
}

// TestAnOutageThatFilesDoNotOutlive: while the hub is away, logs are rotated and
// deleted, and the agent is stopped and killed. What it had stored is delivered.
func TestAnOutageThatFilesDoNotOutlive(t *testing.T) {
	t.Parallel()
	h := startHub(t)
	w := newWriter(t)
	a := newAgent(t, h, pipelineYAML(w.path, "store"))
	a.start(t)
	w.write(1000)
	a.eventually("it is delivered", func() bool { return a.settled(w) })
	h.kill()
	for round := range 9 {
		w.write(4000)
		a.eventually("it is open", func() bool { return a.follows(w) }) // a deleted file is followed, an unknown one cannot be
		w.rename(w.path, w.path+".1")                                   // over the one before, which is gone then
		w.open(w.path)
		if round%3 < 2 {
			continue
		}
		a.eventually("it is on the disk", func() bool { return a.settled(w) && a.output().DiskBytes > 0 })
		if round == 5 {
			a.stop()
		} else {
			a.kill()
		}
		require.NoError(t, os.Remove(w.path+".1"))
		a.start(t)
	}
	a.eventually("status says why", func() bool { return strings.Contains(a.output().Error, "refused") })
	h.start(t)
	a.requireAll(h, "store", w.lines)
	a.eventually("nothing is left on the disk", func() bool { return a.output().DiskBytes == 0 })
	a.stop()
	left, err := filepath.Glob(filepath.Join(a.dir, "state", "cache", "hub", "*"))
	require.NoError(t, err)
	require.Empty(t, left)
	a.start(t)
	a.requireAll(h, "store", w.lines)
}

// TestADiskThatIsFullOrReadOnly keeps reading from going on, loses nothing, and
// stops nothing else: the state folder lies on a small disk of its own.
func TestADiskThatIsFullOrReadOnly(t *testing.T) {
	t.Parallel()
	h := startHub(t)
	w := newWriter(t)
	a := newAgent(t, h, pipelineYAML(w.path, "store"))
	state := filepath.Join(a.dir, "state")
	mount(t, state, "size=1m")
	a.start(t)
	w.write(1000)
	a.eventually("it is delivered", func() bool { return a.settled(w) })
	h.kill()
	var noise strings.Builder // of which snappy saves little
	for i := range 400_000 {
		fmt.Fprintf(&noise, "%x", (i*2654435761)>>7&0xffff)
	}
	for i := range 8 { // three times what memory and disk hold together
		for range 20 {
			_, err := fmt.Fprintf(w.f, "%08d %s\n", w.lines, noise.String()[i*1000:i*1000+100_000])
			require.NoError(t, err)
			w.lines++
		}
		w.shift()
		w.rename(w.path, w.path+".1")
		w.open(w.path)
	}
	a.eventually("the disk is full", func() bool { return strings.Contains(a.log.String(), "no space left") })
	require.False(t, a.settled(w), "the rest waits in its files")

	h.start(t)
	a.requireAll(h, "store", w.lines)
	w.write(1000)
	a.requireAll(h, "store", w.lines)
	a.stop()

	remount(t, state, "ro")
	a.process = start(t, nil, "wasmtail", "run", "-c", a.config)
	<-a.done
	require.Error(t, a.err)
	require.Contains(t, a.log.String(), "read-only")
	remount(t, state, "rw")
	a.start(t)
	a.requireAll(h, "store", w.lines)
	a.stop()
}

// mount makes a small file system, which needs root.
func mount(t *testing.T, dir, options string) {
	t.Helper()
	require.NoError(t, os.MkdirAll(dir, 0o700))
	out, err := exec.Command("mount", "-t", "tmpfs", "-o", options, "tmpfs", dir).CombinedOutput()
	require.NoError(t, err, "%s", out)
	t.Cleanup(func() { _ = exec.Command("umount", "-l", dir).Run() })
}

func remount(t *testing.T, dir, how string) {
	t.Helper()
	out, err := exec.Command("mount", "-o", "remount,"+how, dir).CombinedOutput()
	require.NoError(t, err, "%s", out)
}
