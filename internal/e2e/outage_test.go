package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
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
	for range 8 { // three times what memory and disk hold together
		for range 20 {
			_, err := fmt.Fprintf(w.f, "%08d %s\n", w.lines, noise(w.lines, 100_000))
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

// TestWhatABoundForcesOutIsReportedExactly: the disk cache is full, and deleted
// files are held for a second only. What is missing at the hub is what the agent
// says it has lost, byte by byte.
func TestWhatABoundForcesOutIsReportedExactly(t *testing.T) {
	t.Parallel()
	h := startHub(t)
	w := newWriter(t)
	a := newAgent(t, h, strings.Replace(pipelineYAML(w.path, "store"), "partial_timeout: 20s", "partial_timeout: 20s, deleted_release_after: 1s", 1))
	text, err := os.ReadFile(a.config)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(a.config, bytes.Replace(text, []byte("limits: {"), []byte("limits: {disk: 16MiB, "), 1), 0o600))
	a.start(t)
	w.write(1000)
	a.eventually("it is delivered", func() bool { return a.settled(w) })
	h.kill()
	const rounds = 30
	for range rounds {
		for range 20 {
			_, err := fmt.Fprintf(w.f, "%08d %s\n", w.lines, noise(w.lines, 100_000))
			require.NoError(t, err)
			w.lines++
		}
		a.eventually("it is open", func() bool { return a.follows(w) })
		w.rename(w.path, w.path+".1") // over the one before
		w.open(w.path)
	}
	a.eventually("what is deleted is given up, but for what a reader has in its hands", func() bool {
		s, err := a.status()
		held := 0
		for _, f := range s.Pipelines[0].Files {
			if f.State == "deleted" {
				held++
			}
		}
		return err == nil && s.Lost.Ranges > 2 && held <= 1
	})
	h.start(t)
	a.eventually("the rest is delivered", func() bool { return a.settled(w) && a.output().DiskBytes == 0 })
	a.stop()

	lost := map[string][][2]int64{} // by generation
	losses, err := os.ReadFile(filepath.Join(a.dir, "state", "losses.jsonl"))
	require.NoError(t, err)
	var lostBytes int64
	for line := range strings.Lines(string(losses)) {
		var l agent.Loss
		require.NoError(t, json.Unmarshal([]byte(line), &l))
		lost[l.Generation] = append(lost[l.Generation], [2]int64{l.Start, l.End})
		lostBytes += l.End - l.Start
	}
	h.eventually("the store has what the hub took", func() bool {
		sum := lostBytes
		for _, r := range h.records(t, "store") {
			sum += int64(len(r["_msg"])) + 1
		}
		return sum >= written(w.lines)
	})
	there := map[int]bool{}
	var thereBytes int64
	both := 0 // said to be lost, and there all the same: what a lane had in its hands
	for _, r := range h.records(t, "store") {
		number, _, _ := strings.Cut(r["_msg"], " ")
		n, err := strconv.Atoi(number)
		require.NoError(t, err)
		require.False(t, there[n], "line %d is there twice", n)
		there[n] = true
		thereBytes += int64(len(r["_msg"])) + 1
		at, err := strconv.ParseInt(r["__wt_offset__"], 10, 64)
		require.NoError(t, err)
		for _, gap := range lost[r["__wt_generation__"]] {
			if gap[0] <= at && at < gap[1] {
				both++
				lostBytes -= int64(len(r["_msg"])) + 1
			}
		}
	}
	require.Less(t, len(there), w.lines, "the bounds forced nothing out")
	require.LessOrEqual(t, both, 12, "more than two batches are said to be lost and are there")
	require.Equal(t, written(w.lines), thereBytes+lostBytes, "what is there and what is said to be lost are all that was written")
}

// noise is text of which compression saves little, another for each seed.
func noise(seed, n int) string {
	random := rand.New(rand.NewPCG(uint64(seed), 1))
	b := make([]byte, n)
	for i := range b {
		b[i] = 'a' + byte(random.IntN(26))
	}
	return string(b)
}

// written is how many bytes the lines of the test above have.
func written(lines int) (bytes int64) {
	for i := range 1000 {
		bytes += int64(9 + len("payload ")*(1+i%20) + 1)
	}
	return bytes + int64(lines-1000)*(9+100_000+1)
}
