package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// verifiedFile is what `wasmtail verify -o json` says about one file.
type verifiedFile struct {
	File        string
	Bytes       int64
	Lines       int64
	Complete    bool
	Generations []verifiedGeneration
	Problem     string
}

type verifiedGeneration struct {
	Pipeline, Output, Generation, Problem     string
	Logstores                                 []string
	Complete                                  bool
	From, To                                  int64
	Records, Parsed, Failed, Filtered, Stored int64
	Missing, Waiting                          []missingBytes
	Double                                    []struct {
		Offset, Line int64
		Times        int
	}
	CutBytes int64 `json:"cut_bytes"`
}

type missingBytes struct {
	From, To  int64
	FirstLine int64 `json:"first_line"`
	LastLine  int64 `json:"last_line"`
}

// verify runs `wasmtail verify` on files and requires an exit code.
func (a *agentProcess) verify(t *testing.T, code int, args ...string) []verifiedFile {
	t.Helper()
	got := wasmtail(t, append([]string{"verify", "--json", "-c", a.config}, args...)...)
	require.Equal(t, code, got.code, "%s%s", got.stdout, got.stderr)
	var answer struct {
		Complete bool
		Files    []verifiedFile
	}
	require.NoError(t, json.Unmarshal([]byte(got.stdout), &answer), got.stdout)
	require.Equal(t, code == 0, answer.Complete)
	return answer.Files
}

// contentOf is what a file has.
func contentOf(t *testing.T, path string) (text string, lines int64) {
	t.Helper()
	data, err := os.ReadFile(path)
	require.NoError(t, err)
	return string(data), int64(strings.Count(string(data), "\n"))
}

const longWait = "--wait=60s"

func TestVerifyProvesThatRotatedFilesAreComplete(t *testing.T) {
	t.Parallel()
	h := startHub(t)
	w := newWriter(t)
	a := newAgent(t, h, pipelineYAML(w.path, "store"))
	w.write(500)
	a.start(t)
	a.requireAll(h, "store", w.lines)
	w.logrotate("create")
	w.open(w.path)
	w.write(300)
	w.shift()
	w.rename(w.path, w.path+".1")
	w.write(7) // a writer that has not noticed yet
	w.open(w.path)
	w.write(200)
	a.requireAll(h, "store", w.lines)

	files := []string{w.path, w.path + ".1", w.path + ".2"}
	if _, err := os.Stat(files[2]); err != nil { // logrotate made .1 after the shift
		files = files[:2]
	}
	requireComplete := func(files ...string) {
		t.Helper()
		for i, f := range a.verify(t, 0, append([]string{longWait}, files...)...) {
			require.Equal(t, files[i], f.File)
			require.Len(t, f.Generations, 1)
			g := f.Generations[0]
			require.Equal(t, f.Bytes, g.To)
			require.Zero(t, g.From)
			require.Equal(t, f.Lines, g.Records)
			require.Equal(t, f.Lines, g.Stored)
			require.Empty(t, g.Missing)
			require.Empty(t, g.Double)
			if !strings.HasSuffix(f.File, ".gz") {
				text, lines := contentOf(t, f.File)
				require.EqualValues(t, len(text), f.Bytes)
				require.Equal(t, lines, f.Lines)
			}
		}
	}
	requireComplete(files...)

	a.requireBalance(t)

	text, lines := contentOf(t, w.path)
	got := wasmtail(t, "verify", "-c", a.config, w.path)
	require.Equal(t, outcome{0, fmt.Sprintf("%s · %d bytes · %d lines\n  p → hub/store · generation %s\n  complete: bytes 0–%d, %d records, 0 missing, 0 double\n",
		w.path, len(text), lines, a.verify(t, 0, w.path)[0].Generations[0].Generation, len(text), lines), ""}, got)

	w.gzip(w.path + ".1") // known by its content for a while after the original is gone
	requireComplete(w.path + ".1.gz")
	a.stop()
	requireComplete(w.path, w.path+".1.gz")

	strange := writeFile(t, "strange.log", "x\n")
	f := a.verify(t, 1, strange)[0]
	require.Contains(t, f.Problem, "the agent does not know it; wasmtail why "+strange)
	require.Equal(t, 70, wasmtail(t, "verify", "-c", a.config, strange+"none").code)
	require.Equal(t, 2, wasmtail(t, "verify", "-c", a.config).code)
}

// requireBalance requires that the sums of every file agree: of an agent that has
// delivered all, and has read nothing twice.
func (a *agentProcess) requireBalance(t *testing.T) {
	t.Helper()
	s, err := a.status()
	require.NoError(t, err)
	for _, p := range s.Pipelines {
		for _, f := range p.Files {
			require.Empty(t, f.Mismatch)
			require.Equal(t, f.Framed+f.Reshaped, f.Parsed+f.Failed+f.Filtered)
			require.Equal(t, f.Framed, f.Acknowledged)
			require.Equal(t, f.Read, f.ParsedBytes+f.FailedBytes+f.FilteredBytes)
			require.Equal(t, f.Read, f.AcknowledgedBytes)
			require.Equal(t, f.Size, f.Read)
		}
	}
	_, metrics, err := a.get("/metrics")
	require.NoError(t, err)
	for line := range strings.Lines(string(metrics)) {
		if strings.HasPrefix(line, "wasmtail_ledger_mismatch_total{") {
			require.True(t, strings.HasSuffix(line, " 0\n"), line)
		}
	}
}

// move stops a hub and starts it with another folder at the same address.
func (h *hub) move(t *testing.T, dir string) {
	t.Helper()
	h.stop()
	h.dir = dir
	h.start(t)
}

func TestVerifyNamesExactlyWhatTheHubLacks(t *testing.T) {
	t.Parallel()
	h := startHub(t)
	w := newWriter(t)
	a := newAgent(t, h, pipelineYAML(w.path, "store"))
	a.start(t)
	first, second := h.dir, t.TempDir()
	size := func() int64 {
		info, err := os.Stat(w.path)
		require.NoError(t, err)
		return info.Size()
	}
	delivered := func(bytes int64) {
		t.Helper()
		a.eventually("the ledger has it", func() bool { return h.ledger().ReadBytes == bytes })
		a.eventually("the agent knows", func() bool {
			s, err := a.status()
			require.NoError(t, err)
			return s.Pipelines[0].Files[0].Acked == size()
		})
	}
	w.write(100)
	delivered(size())
	from := size()
	h.move(t, second) // an empty hub
	w.write(50)
	to := size()
	delivered(to - from)

	f := a.verify(t, 1, "--wait=0s", w.path)[0]
	require.Equal(t, []missingBytes{{0, from, 1, 100}}, f.Generations[0].Missing)
	require.EqualValues(t, 50, f.Generations[0].Records)
	require.Empty(t, f.Generations[0].Waiting)

	h.move(t, first) // which lacks what the other has
	w.write(25)
	delivered(size() - (to - from))
	f = a.verify(t, 1, "--wait=0s", w.path)[0]
	g := f.Generations[0]
	require.Equal(t, []missingBytes{{from, to, 101, 150}}, g.Missing)
	require.EqualValues(t, 125, g.Records)
	require.False(t, g.Complete)
	got := wasmtail(t, "verify", "--wait=0s", "-c", a.config, w.path)
	require.Equal(t, 1, got.code)
	require.Contains(t, got.stdout, fmt.Sprintf(`
  NOT COMPLETE: bytes 0–%d, 125 records, %d bytes missing, 0 double
  └ missing: bytes %d–%d · lines 101–150
`, size(), to-from, from, to))
	require.Equal(t, "wasmtail: 1 of 1 file(s) are not complete at the hub\n", got.stderr)

	a.stop()
	end := size()
	w.write(2) // of which nobody knows
	f = a.verify(t, 1, "--wait=0s", w.path)[0]
	require.Equal(t, []missingBytes{{from, to, 101, 150}}, f.Generations[0].Missing)
	require.Equal(t, []missingBytes{{end, size(), 176, 177}}, f.Generations[0].Waiting)

	require.NoError(t, os.RemoveAll(filepath.Join(a.dir, "state")))
	f = a.verify(t, 1, "--wait=0s", w.path)[0]
	require.Contains(t, f.Problem, "its state cannot be read")
	h.stop()
}

func TestVerifyTellsWhatIsOnlyLate(t *testing.T) {
	t.Parallel()
	h := startHub(t)
	w := newWriter(t)
	a := newAgent(t, h, pipelineYAML(w.path, "store"))
	a.start(t)
	w.write(10)
	require.True(t, a.verify(t, 0, longWait, w.path)[0].Complete)
	a.stop()
	info, err := os.Stat(w.path)
	require.NoError(t, err)
	w.write(5)
	f := a.verify(t, 75, "--wait=0s", w.path)[0]
	require.Len(t, f.Generations[0].Waiting, 1)
	require.Equal(t, info.Size(), f.Generations[0].Waiting[0].From)
	require.EqualValues(t, 11, f.Generations[0].Waiting[0].FirstLine)
	h.stop()
	got := wasmtail(t, "verify", "-c", a.config, w.path)
	require.Equal(t, 69, got.code)
	require.Contains(t, got.stderr, "is wasmtail-hub running there?")
}

// What lies in the disk cache was acknowledged to the file, and is not missing.
func TestVerifyTellsWhatIsInTheDiskCache(t *testing.T) {
	t.Parallel()
	h := startHub(t)
	w := newWriter(t)
	a := newAgentIn(t, t.TempDir(), freePort(t), pipelineYAML(w.path, "store")) // nobody is there
	w.write(200)
	a.start(t)
	a.eventually("the file is safe on the disk", func() bool {
		s, err := a.status()
		require.NoError(t, err)
		files := s.Pipelines[0].Files
		return len(files) == 1 && files[0].Acked > 0 && files[0].Lag == 0 && s.Outputs[1].DiskBytes > 0
	})
	info, err := os.Stat(w.path)
	require.NoError(t, err)
	for range 2 { // with the agent, and without
		f := a.verify(t, 75, "--wait=0s", "--hub=http://"+h.addr, w.path)[0]
		require.Empty(t, f.Generations[0].Missing)
		require.Len(t, f.Generations[0].Waiting, 1)
		require.EqualValues(t, info.Size(), f.Generations[0].Waiting[0].To)
		a.kill()
	}
}

// copyFolder copies the files of a folder, and those below it.
func copyFolder(t *testing.T, from, to string) {
	t.Helper()
	require.NoError(t, os.RemoveAll(to))
	require.NoError(t, os.CopyFS(to, os.DirFS(from)))
	require.NoError(t, os.Chmod(to, 0o700))
}

// An agent that lost what it had saved sends everything again: the hub cuts it
// off, but for a line that had come without its end.
func TestVerifyTellsWhatCameTwice(t *testing.T) {
	t.Parallel()
	h := startHub(t)
	w := newWriter(t)
	a := newAgent(t, h, strings.Replace(pipelineYAML(w.path, "store"), "20s", "300ms", 1))
	state, old := filepath.Join(a.dir, "state"), filepath.Join(a.dir, "old")
	w.write(1)
	a.start(t)
	require.True(t, a.verify(t, 0, longWait, w.path)[0].Complete)
	a.stop()
	copyFolder(t, state, old)

	a.start(t)
	w.write(1000)
	require.True(t, a.verify(t, 0, longWait, w.path)[0].Complete)
	a.stop()
	copyFolder(t, old, state)
	a.start(t)
	w.write(3)
	f := a.verify(t, 0, longWait, w.path)[0]
	g := f.Generations[0]
	require.EqualValues(t, 1004, g.Records)
	require.Empty(t, g.Double, "what came twice is stored once")
	require.Positive(t, g.CutBytes)
	got := wasmtail(t, "verify", "-c", a.config, w.path)
	require.Zero(t, got.code, got.stderr)
	require.Contains(t, got.stdout, fmt.Sprintf("complete: bytes 0–%d, 1004 records, 0 missing, 0 double\n  └ %d bytes came again and were cut off", f.Bytes, g.CutBytes))

	a.stop()
	copyFolder(t, state, old)
	at := f.Bytes
	_, err := w.f.WriteString("half")
	require.NoError(t, err)
	a.start(t)
	require.True(t, a.verify(t, 0, longWait, w.path)[0].Complete)
	a.stop()
	copyFolder(t, old, state)
	_, err = w.f.WriteString(" of a line\n")
	require.NoError(t, err)
	a.start(t)
	a.eventually("the hub has the whole line", func() bool { return h.ledger().Stored == 1006 })
	g = a.verify(t, 1, "--wait=1s", w.path)[0].Generations[0]
	require.Empty(t, g.Missing)
	require.Len(t, g.Double, 1)
	require.Equal(t, at, g.Double[0].Offset)
	require.EqualValues(t, 1005, g.Double[0].Line)
	require.Equal(t, 2, g.Double[0].Times)
	a.stop()
}

func TestVerifyKnowsWhatStartAtPassedOver(t *testing.T) {
	t.Parallel()
	h := startHub(t)
	w := newWriter(t)
	a := newAgent(t, h, strings.Replace(pipelineYAML(w.path, "store"), "beginning", "end", 1))
	w.write(10)
	info, err := os.Stat(w.path)
	require.NoError(t, err)
	a.start(t)
	g := a.verify(t, 0, longWait, w.path)[0].Generations[0]
	require.Equal(t, []int64{info.Size(), info.Size(), 0}, []int64{g.From, g.To, g.Records})
	w.write(5)
	for range 2 { // in the run that knows it, and in one that does not
		g = a.verify(t, 0, longWait, w.path)[0].Generations[0]
		require.Equal(t, []int64{info.Size(), 5}, []int64{g.From, g.Records})
		a.stop()
		a.start(t)
	}
	a.stop()
	got := wasmtail(t, "verify", "-c", a.config, w.path)
	require.Zero(t, got.code, got.stderr)
	require.Contains(t, got.stdout, fmt.Sprintf("└ bytes 0–%d were there before the agent began: start_at passed over them", info.Size()))

	h.move(t, t.TempDir())
	g = a.verify(t, 1, "--wait=0s", w.path)[0].Generations[0]
	require.Len(t, g.Missing, 1)
	require.Contains(t, g.Problem, "start_at passed over the beginning of the file")
}

func TestVerifyOfAFileThatGrows(t *testing.T) {
	t.Parallel()
	h := startHub(t)
	w := newWriter(t)
	a := newAgent(t, h, pipelineYAML(w.path, "store"))
	w.write(100)
	a.start(t)
	stop := make(chan struct{})
	var writing sync.WaitGroup
	writing.Go(func() {
		for tick := time.NewTicker(2 * time.Millisecond); ; <-tick.C {
			select {
			case <-stop:
				tick.Stop()
				return
			default:
				w.write(1)
			}
		}
	})
	for range 5 {
		f := a.verify(t, 0, longWait, w.path)[0]
		require.GreaterOrEqual(t, f.Generations[0].Records, f.Lines)
	}
	close(stop)
	writing.Wait()
	f := a.verify(t, 0, longWait, w.path)[0]
	require.EqualValues(t, w.lines, f.Lines)
	require.Equal(t, f.Lines, f.Generations[0].Records)
	a.stop()
	require.NoError(t, w.f.Truncate(f.Bytes/2))
	got := a.verify(t, 1, "--wait=0s", w.path)[0]
	require.NotEmpty(t, got.Problem, "it is not what the agent knew")
}
