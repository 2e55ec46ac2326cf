// Package realserver builds and runs servers that outputs are tested against. It is
// used by tests only.
//
// A server runs until the test ends, or until it is killed; it can be started again
// with what it had on its disk, at the same address.
package realserver

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/wasmtail/wasmtail/internal/durable"
)

const victoriaLogs = "github.com/VictoriaMetrics/VictoriaMetrics/app/victoria-logs"

// Build returns the path of a command of a required module. What it requires beyond
// this module goes into a copy of go.mod. The toolchain keeps the command in its
// cache, so that only the first test that ever needs it waits for the linker.
func Build(t testing.TB, pkg string) string {
	t.Helper()
	dir, root := t.TempDir(), moduleRoot(t)
	for _, f := range []string{"go.mod", "go.sum"} {
		data, err := os.ReadFile(filepath.Join(root, f))
		require(t, err, "cannot read "+f)
		require(t, durable.WriteFile(durable.OS{}, filepath.Join(dir, f), data), "cannot copy "+f)
	}
	return link(t, root, "-mod=mod", "-modfile="+filepath.Join(dir, "go.mod"), pkg)
}

// link returns the path of a command, built in a folder; args are what go run and go
// build are given, the package last. Nothing of C is linked, as in the agent, so that
// the cache has many of its parts.
func link(t testing.TB, dir string, args ...string) string {
	t.Helper()
	pkg := args[len(args)-1]
	tool := func(args ...string) ([]byte, error) {
		cmd := exec.CommandContext(t.Context(), "go", args...) //nolint:gosec // of constants
		cmd.Dir, cmd.Env = dir, append(os.Environ(), "CGO_ENABLED=0")
		cmd.Stderr = t.Output()
		return cmd.Output()
	}
	// The command that go run starts is given to echo. What was just linked lies in
	// a folder that is gone by then; the second time it is in the cache.
	for range 2 {
		out, err := tool(append([]string{"run", "-exec", "echo"}, args...)...)
		require(t, err, "cannot build "+pkg)
		bin := strings.TrimSpace(string(out))
		if _, err := os.Stat(bin); err == nil {
			return bin
		}
	}
	bin := filepath.Join(t.TempDir(), "server")
	_, err := tool(append([]string{"build", "-o", bin}, args...)...)
	require(t, err, "cannot build "+pkg)
	return bin
}

func moduleRoot(t testing.TB) string {
	t.Helper()
	dir, err := os.Getwd()
	require(t, err, "cannot find the module")
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir
		}
		if filepath.Dir(dir) == dir {
			t.Error("no go.mod above the test")
			t.FailNow()
		}
		dir = filepath.Dir(dir)
	}
}

// patience is how long anything may take that should take a moment: the machine may
// be busy with other tests.
const patience = time.Minute

// Logs is a VictoriaLogs.
type Logs struct {
	// URL is its address, without a path.
	URL string

	t    testing.TB
	bin  string
	args []string
	cmd  *exec.Cmd
}

// VictoriaLogs starts one.
func VictoriaLogs(t testing.TB) *Logs {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require(t, err, "cannot find a port")
	addr := l.Addr().String()
	require(t, l.Close(), "cannot free a port")
	s := &Logs{URL: "http://" + addr, t: t, bin: Build(t, victoriaLogs)}
	s.args = []string{
		"-httpListenAddr=" + addr, "-loggerLevel=ERROR", "-storageDataPath=" + t.TempDir(), "-retentionPeriod=100y",
		"-inmemoryDataFlushInterval=1s", "-futureRetention=100y",
	}
	s.Start()
	t.Cleanup(func() {
		if s.cmd != nil {
			s.Kill()
		}
	})
	return s
}

// Start starts it, and waits until it answers.
func (s *Logs) Start() {
	s.t.Helper()
	s.cmd = exec.CommandContext(context.WithoutCancel(s.t.Context()), s.bin, s.args...) //nolint:gosec // of constants
	s.cmd.Stderr = s.t.Output()
	require(s.t, s.cmd.Start(), "cannot start a server")
	s.wait("the server to answer", func() bool { _, err := s.get("/health", nil); return err == nil })
}

// Kill ends it at once, with what it had only in memory.
func (s *Logs) Kill() {
	s.t.Helper()
	_ = s.cmd.Process.Kill() // it may have ended
	_ = s.cmd.Wait()
	s.cmd = nil
}

func (s *Logs) get(path string, query url.Values) (string, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(s.t.Context()), 10*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.URL+path+"?"+query.Encode(), http.NoBody)
	if err != nil {
		return "", err
	}
	resp, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(req) //nolint:forbidigo // for tests
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	var b strings.Builder
	_, err = bufio.NewReader(resp.Body).WriteTo(&b)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s answers %s: %s", path, resp.Status, b.String())
	}
	return b.String(), err
}

var inMemory = regexp.MustCompile(`(?m)^vl_storage_rows\{type="storage/inmemory"\} (\d+)$`)

// Settle waits until all it has taken is on its disk, so that it survives Kill.
func (s *Logs) Settle() {
	s.t.Helper()
	_, err := s.get("/internal/force_flush", nil) // from buffers to parts, which the metric counts
	require(s.t, err, "cannot flush")
	s.wait("rows to reach the disk", func() bool {
		text, err := s.get("/metrics", nil)
		require(s.t, err, "cannot read the metrics")
		m := inMemory.FindStringSubmatch(text)
		if m == nil {
			s.t.Error("no metric tells how many rows are in memory")
			s.t.FailNow()
		}
		return m[1] == "0"
	})
}

// wait waits for a condition.
func (s *Logs) wait(what string, met func() bool) {
	s.t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for ends := time.Now().Add(patience); !met(); <-tick.C {
		if time.Now().After(ends) {
			s.t.Error("waited in vain for " + what)
			s.t.FailNow()
		}
	}
}

// require ends the test if there is an error.
func require(t testing.TB, err error, what string) {
	t.Helper()
	if err != nil {
		t.Errorf("%s: %v", what, err)
		t.FailNow()
	}
}

// Query returns the rows that a query finds, as it shows them.
func (s *Logs) Query(query string) (rows []map[string]string) {
	s.t.Helper()
	_, err := s.get("/internal/force_flush", nil)
	require(s.t, err, "cannot flush")
	text, err := s.get("/select/logsql/query", url.Values{"query": {query}})
	require(s.t, err, "cannot query")
	for line := range strings.Lines(text) {
		var row map[string]string
		require(s.t, json.Unmarshal([]byte(line), &row), "cannot read a row")
		rows = append(rows, row)
	}
	return rows
}
