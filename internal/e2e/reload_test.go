package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wasmtail/wasmtail/agent"
)

// configure writes the agent's pipelines anew and asks it to read them. It returns
// when the agent has said what it thinks of them.
func (a *agentProcess) configure(pipelines string) agent.ConfigStatus {
	a.t.Helper()
	text, err := os.ReadFile(a.config)
	require.NoError(a.t, err)
	head, _, ok := strings.Cut(string(text), "pipelines:\n")
	require.True(a.t, ok)
	return a.rewrite(head + "pipelines:\n" + pipelines)
}

// rewrite is configure for the whole file.
func (a *agentProcess) rewrite(text string) (c agent.ConfigStatus) {
	a.t.Helper()
	before, err := a.status()
	require.NoError(a.t, err)
	require.NoError(a.t, os.WriteFile(a.config, []byte(text), 0o600))
	require.NoError(a.t, a.cmd.Process.Signal(syscall.SIGHUP))
	a.eventually("the configuration was read again", func() bool {
		s, err := a.status()
		c = s.Config
		return err == nil && (!c.LoadedAt.Equal(before.Config.LoadedAt) || !c.RefusedAt.Equal(before.Config.RefusedAt))
	})
	return c
}

// writeLines appends numbered lines to two files until it is told to stop, and
// says how many.
func writeLines(t *testing.T, stop <-chan struct{}, paths ...string) <-chan int {
	t.Helper()
	var files []*os.File
	for _, path := range paths {
		f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
		require.NoError(t, err)
		files = append(files, f)
	}
	total := make(chan int, 1)
	go func() {
		n := 0
		defer func() { total <- n }()
		tick := time.NewTicker(20 * time.Millisecond) // some 2,500 lines a second
		defer tick.Stop()
		for {
			select {
			case <-stop:
				return
			case <-tick.C:
			}
			var text strings.Builder
			for range 50 {
				fmt.Fprintf(&text, "%d line\n", n)
				n++
			}
			for _, f := range files {
				_, _ = f.WriteString(text.String()) // the count of lines tells of a fault
			}
		}
	}()
	return total
}

const reloadPipelines = `  steady:
    input: {type: files, include: [%q], start_at: beginning}
    outputs: [hub, copy]
    logstore: steady
  changing:
    input: {type: files, include: [%q], start_at: beginning}
    processors:
      - {type: fields, add: {version: "%d"}}
    outputs: [hub]
    logstore: changing
`

// TestAReloadChangesOnlyWhatIsDifferent changes one of two pipelines while lines
// are written, then asks for what cannot be.
func TestAReloadChangesOnlyWhatIsDifferent(t *testing.T) {
	t.Parallel()
	h := startHub(t)
	dir := t.TempDir()
	one, two := filepath.Join(dir, "one.log"), filepath.Join(dir, "two.log")
	pipelines := func(version int) string { return fmt.Sprintf(reloadPipelines, one, two, version) }
	stop := make(chan struct{})
	total := writeLines(t, stop, one, two)
	a := newAgent(t, h, pipelines(0))
	a.start(t)
	const versions = 8
	for v := 1; v <= versions; v++ {
		require.Empty(t, a.configure(pipelines(v)).Error)
		a.eventually("the new version delivers", func() bool {
			s, err := a.status()
			return err == nil && len(s.Pipelines[0].Files) == 1 && s.Pipelines[0].Files[0].Acknowledged > 0
		})
	}
	good, err := os.ReadFile(a.config)
	require.NoError(t, err)
	for text, want := range map[string]string{
		"version: 1\npipelines: [": "agent.yaml",
		strings.Replace(string(good), "data_dir: ./state", "data_dir: ./other", 1): "cannot change data_dir while the agent runs",
		strings.Replace(string(good), "type: fields", "type: fieldz", 1):           "fieldz",
		strings.Replace(string(good), "outputs: [hub]", "outputs: [nowhere]", 1):   "nowhere",
		strings.Replace(string(good), "memory: 512MiB", "memory: 1MiB", 1):         "less than 32MiB",
	} {
		require.Contains(t, a.rewrite(text).Error, want)
	}
	close(stop)
	n := <-total
	a.eventually("every line is there", func() bool {
		l := h.ledger()
		return l.Stored >= int64(2*n) && h.distinct(t, "changing") >= n
	})

	last := -1
	records := h.records(t, "changing")
	byOffset(records)
	require.Equal(t, n, len(records)) //nolint:testifylint // a failure should not print them all
	for i, r := range records {
		require.Equal(t, fmt.Sprintf("%d line", i), r["_msg"])
		var v int
		_, err := fmt.Sscan(r["version"], &v)
		require.NoError(t, err)
		require.GreaterOrEqual(t, v, last, "an older version came after a newer one")
		last = v
	}
	require.Equal(t, versions, last)
	s, err := a.status()
	require.NoError(t, err)
	for _, p := range s.Pipelines { // the ledger of a process begins with the pipeline
		if p.Name == "steady" {
			require.EqualValues(t, n, p.Files[0].Parsed, "it was touched")
		} else {
			require.Less(t, p.Files[0].Parsed, int64(n))
		}
	}
	a.requireCopy(n)
	require.Zero(t, h.ledger().MissingBytes)
	a.stop()
}

// TestAReloadChangesAModuleOnlyForOneThatServes changes the pin and the file of a
// module.
func TestAReloadChangesAModuleOnlyForOneThatServes(t *testing.T) {
	t.Parallel()
	h := startHub(t)
	dir := t.TempDir()
	first, second := filepath.Join(dir, "nginx.wasm"), filepath.Join(dir, "logfmt.wasm")
	firstSum, secondSum := buildParser(t, "nginx/c", first), buildParser(t, "logfmt/c", second)
	path := writeFile(t, "app.log", "")
	pipelines := func(module, sum string) string {
		return fmt.Sprintf("  p:\n    input: {type: files, include: [%q], start_at: beginning}\n    processors:\n      - {type: wasm, module: %q, sha256: %s}\n    outputs: [hub]\n    logstore: store\n", path, module, sum)
	}
	const access = `10.0.0.1 - - [10/Oct/2024:13:00:00 +0000] "GET / HTTP/1.1" 200 5 "-" "x"` + "\n"
	count := func(field string) (n int) {
		for _, r := range h.records(t, "store") {
			if r[field] != "" {
				n++
			}
		}
		return n
	}
	a := newAgent(t, h, pipelines(first, firstSum))
	a.start(t)
	appendLines(t, path, access)
	a.eventually("the first module parses", func() bool { return count("remote_addr") == 1 })

	require.Contains(t, a.configure(pipelines(second, firstSum)).Error, "cannot change a module: wasm#1 of pipeline p: cannot use module "+second+": its sha256 is "+secondSum)
	require.Contains(t, a.configure(pipelines(second+".gone", firstSum)).Error, "cannot open the module")
	appendLines(t, path, access)
	a.eventually("the first goes on", func() bool { return count("remote_addr") == 2 })

	require.Empty(t, a.configure(pipelines(second, secondSum)).Error)
	appendLines(t, path, "user=ann action=login\n")
	a.eventually("the second parses", func() bool { return count("user") == 1 })
	s, err := a.status()
	require.NoError(t, err)
	require.Len(t, s.Modules, 1)
	require.Equal(t, secondSum, s.Modules[0].SHA256)
	require.EqualValues(t, 3, s.Modules[0].Lines)
	require.Len(t, h.records(t, "store"), 3)
	a.stop()
}

// TestAReloadWhileTheHubIsAway does not wait for it for ever, and loses nothing.
func TestAReloadWhileTheHubIsAway(t *testing.T) {
	t.Parallel()
	h := startHub(t)
	dir := t.TempDir()
	one, two := filepath.Join(dir, "one.log"), filepath.Join(dir, "two.log")
	a := newAgent(t, h, fmt.Sprintf(reloadPipelines, one, two, 0))
	a.start(t)
	h.kill()
	stop := make(chan struct{})
	total := writeLines(t, stop, one, two)
	a.eventually("both pipelines wait for the hub", func() bool {
		s, err := a.status()
		return err == nil && len(s.Pipelines[0].Files) == 1 && s.Pipelines[0].Files[0].Parsed > 0 && len(s.Pipelines[1].Files) == 1 && s.Pipelines[1].Files[0].Parsed > 0
	})
	require.Empty(t, a.configure(fmt.Sprintf(reloadPipelines, one, two, 1)).Error)
	close(stop)
	n := <-total
	h.start(t)
	a.eventually("every line is there", func() bool {
		return h.distinct(t, "steady") >= n && h.distinct(t, "changing") >= n
	})
	require.Equal(t, n, len(h.records(t, "changing")))
	require.Zero(t, h.ledger().MissingBytes)
	a.requireCopy(n)
	a.stop()
}

// TestADeletedFileOutlivesTheChangeOfItsPipeline while the hub is away and nothing
// may go to the disk: the file is nowhere but in the hands of the agent.
func TestADeletedFileOutlivesTheChangeOfItsPipeline(t *testing.T) {
	t.Parallel()
	h := newHub(t)
	w := newWriter(t)
	pipeline := func(version string) string {
		return fmt.Sprintf("  p:\n    input: {type: files, include: [%q], start_at: beginning}\n"+
			"    processors: [{type: fields, add: {version: %q}}]\n    outputs: [hub]\n    logstore: store\n", w.path, version)
	}
	a := newAgent(t, h, pipeline("1"))
	text, err := os.ReadFile(a.config)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(a.config, []byte(strings.Replace(string(text), "limits: {", "limits: {disk: 0, ", 1)), 0o600))
	w.write(300)
	a.start(t)
	require.NoError(t, os.Remove(w.path))
	w.write(100)
	a.eventually("the agent knows that the file is deleted", func() bool {
		s, err := a.status()
		return err == nil && len(s.Pipelines[0].Files) == 1 && s.Pipelines[0].Files[0].State == "deleted"
	})
	require.Empty(t, a.configure(pipeline("2")).Error)
	w.write(100) // its writer has it open still
	h.start(t)
	a.requireAll(h, "store", w.lines)
	s, err := a.status()
	require.NoError(t, err)
	require.Zero(t, s.Lost.Bytes)
	a.stop()
}
