package e2e

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wasmtail/wasmtail/agent"
	"github.com/wasmtail/wasmtail/internal/signature"
)

const (
	keyID     = "e2ekey"
	keySecret = "e2esecret"
	// patience is how long anything may take that should take a moment: the
	// machine may be busy with other tests.
	patience = 60 * time.Second
)

// bin is the folder of the built programs.
var bin string

func TestMain(m *testing.M) {
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "wasmtail-e2e")
		if err != nil {
			panic(err)
		}
		defer func() { _ = os.RemoveAll(dir) }()
		if err := os.Chmod(dir, 0o755); err != nil { // some tests run the programs as another user
			panic(err)
		}
		bin = dir
		for _, name := range []string{"wasmtail", "wasmtail-hub"} {
			cmd := exec.Command("go", "build", "-o", filepath.Join(dir, name), "./cmd/"+name)
			cmd.Dir = filepath.Join("..", "..")
			cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
			if out, err := cmd.CombinedOutput(); err != nil {
				fmt.Fprintf(os.Stderr, "cannot build %s: %v\n%s", name, err, out)
				return 1
			}
		}
		return m.Run()
	}())
}

// process is a program under test.
type process struct {
	t    *testing.T
	cmd  *exec.Cmd
	log  *logBuffer
	done chan struct{}
	err  error
}

// logBuffer keeps what a program said, for the report of a failed test.
type logBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

func start(t *testing.T, env []string, name string, args ...string) *process {
	t.Helper()
	return launch(t, program(env, name, args...))
}

// program is a built program that has not started.
func program(env []string, name string, args ...string) *exec.Cmd {
	cmd := exec.Command(filepath.Join(bin, name), args...)
	cmd.Env = append(os.Environ(), env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	return cmd
}

// launch starts a program, which ends with the test.
func launch(t *testing.T, cmd *exec.Cmd) *process {
	t.Helper()
	p := &process{t: t, cmd: cmd, log: &logBuffer{}, done: make(chan struct{})}
	p.cmd.Stdout, p.cmd.Stderr = p.log, p.log
	require.NoError(t, p.cmd.Start())
	go func() {
		defer close(p.done)
		p.err = p.cmd.Wait()
	}()
	t.Cleanup(func() {
		p.kill()
		if t.Failed() {
			text := p.log.String()
			t.Logf("%s said:\n%s", filepath.Base(cmd.Path), text[max(0, len(text)-8000):])
		}
	})
	return p
}

// kill ends the program at once, and the worker it has, as a loss of power would.
func (p *process) kill() {
	worker := p.worker()
	_ = p.cmd.Process.Signal(syscall.SIGSTOP) // it must not start another
	if worker != 0 {
		_ = syscall.Kill(worker, syscall.SIGKILL)
	}
	_ = p.cmd.Process.Kill()
	<-p.done
	deadline := time.Now().Add(patience)
	for alive(worker) {
		require.True(p.t, time.Now().Before(deadline), "the worker does not end after SIGKILL")
		runtime.Gosched()
	}
}

// alive reports whether a process runs. One that has ended and was not waited for
// does not.
func alive(pid int) bool {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err == nil && !strings.Contains(string(text), ") Z ")
}

const workerName = "wasmtail-worker"

// worker is the process that does the work of an agent, the child of the one that
// was started; 0 if there is none.
func (p *process) worker() int {
	lists, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", p.cmd.Process.Pid))
	for _, list := range lists {
		text, _ := os.ReadFile(list)
		for _, word := range strings.Fields(string(text)) {
			if comm, _ := os.ReadFile("/proc/" + word + "/comm"); strings.TrimSpace(string(comm)) == workerName {
				pid, _ := strconv.Atoi(word)
				return pid
			}
		}
	}
	return 0
}

// stop ends the program by SIGTERM and requires that it ends well and in time.
func (p *process) stop() {
	p.t.Helper()
	require.NoError(p.t, p.cmd.Process.Signal(syscall.SIGTERM))
	select {
	case <-p.done:
		require.NoError(p.t, p.err, "the program did not end well")
	case <-time.After(patience):
		require.Fail(p.t, "the program did not end after SIGTERM")
	}
}

func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer func() { _ = l.Close() }()
	return l.Addr().String()
}

// hub is a running hub and its folder, which survives restarts.
type hub struct {
	*process
	dir, addr string
	args, env []string
}

func newHub(t *testing.T, args ...string) *hub {
	t.Helper()
	env := []string{"WASMTAIL_HUB_KEY_ID=" + keyID, "WASMTAIL_HUB_KEY_SECRET=" + keySecret}
	return &hub{dir: t.TempDir(), addr: freePort(t), args: args, env: env}
}

func startHub(t *testing.T, args ...string) *hub {
	t.Helper()
	h := newHub(t, args...)
	h.start(t)
	return h
}

func (h *hub) start(t *testing.T) {
	t.Helper()
	args := append([]string{"--data-dir", h.dir, "--listen", h.addr}, h.args...)
	h.process = start(t, h.env, "wasmtail-hub", args...)
	h.eventually("the hub is ready", func() bool {
		resp, err := http.Get("http://" + h.addr + "/readyz")
		if err != nil {
			return false
		}
		_ = resp.Body.Close()
		return resp.StatusCode == http.StatusOK
	})
}

// eventually waits for a condition, and fails at once if the program ends.
func (p *process) eventually(what string, condition func() bool) {
	p.t.Helper()
	deadline := time.After(patience)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !condition() {
		select {
		case <-tick.C:
		case <-p.done:
			require.FailNow(p.t, "the program ended while the test waited until "+what, p.log.String())
		case <-deadline:
			require.FailNow(p.t, "in vain waited until "+what)
		}
	}
}

// get asks the hub's API, signed.
func (h *hub) get(path string, params url.Values) ([]byte, error) {
	req, err := http.NewRequestWithContext(context.Background(), http.MethodGet, "http://"+h.addr+path+"?"+params.Encode(), http.NoBody)
	if err != nil {
		return nil, err
	}
	err = signature.Sign(req, nil, signature.Credentials{KeyID: keyID, Secret: keySecret},
		signature.Options{Version: signature.V4, Region: "local", Now: time.Now()})
	if err != nil {
		return nil, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", resp.Status, body)
	}
	return body, err
}

// pageMax is the most records the hub gives at once.
const pageMax = 10_000

// records returns all records of a logstore, in any order. The fatal test is t.
func (h *hub) records(t *testing.T, logstore string) []map[string]string {
	t.Helper()
	var all []map[string]string
	for {
		body, err := h.get("/api/v1/query", url.Values{
			"logstore": {logstore}, "project": {"test"}, "limit": {strconv.Itoa(pageMax)}, "offset": {strconv.Itoa(len(all))},
			"start": {time.Now().Add(-24 * time.Hour).Format(time.RFC3339)}, "end": {time.Now().Add(time.Hour).Format(time.RFC3339)},
		})
		require.NoError(t, err)
		before := len(all)
		for line := range strings.Lines(string(body)) {
			r := map[string]string{}
			require.NoError(t, json.Unmarshal([]byte(line), &r))
			all = append(all, r)
		}
		if len(all)-before < pageMax {
			return all
		}
	}
}

// distinct counts the different lines of a logstore.
func (h *hub) distinct(t *testing.T, logstore string) int {
	t.Helper()
	lines := map[string]bool{}
	for _, r := range h.records(t, logstore) {
		lines[r["_msg"]] = true
	}
	return len(lines)
}

// ledgerTotals are the sums of the hub's ledger.
type ledgerTotals struct {
	ReadRecords  int64 `json:"read_records"`
	Parsed       int64 `json:"parsed"`
	Failed       int64 `json:"failed"`
	Filtered     int64 `json:"filtered"`
	Stored       int64 `json:"stored"`
	MissingBytes int64 `json:"missing_bytes"`
	ReadBytes    int64 `json:"read_bytes"`
}

func (h *hub) ledger() ledgerTotals {
	h.t.Helper()
	body, err := h.get("/api/v1/ledger", url.Values{"project": {"test"}})
	require.NoError(h.t, err)
	var l struct{ Totals ledgerTotals }
	require.NoError(h.t, json.Unmarshal(body, &l))
	return l.Totals
}

// agentProcess is a running agent and its configuration, which survive restarts.
type agentProcess struct {
	*process
	dir, config string
	env         []string
	as          *syscall.Credential // nil is the user of the test
}

// newAgent writes a configuration; pipelines is the YAML below that key.
func newAgent(t *testing.T, h *hub, pipelines string) *agentProcess {
	t.Helper()
	return newAgentIn(t, t.TempDir(), h.addr, pipelines)
}

// newAgentIn is newAgent in a folder, for the hub at an address.
func newAgentIn(t *testing.T, dir, hubAddr, pipelines string) *agentProcess {
	t.Helper()
	a := &agentProcess{dir: dir, config: filepath.Join(dir, "agent.yaml")}
	text := fmt.Sprintf(`version: 1
data_dir: ./state
limits: {cpu: 2, memory: 512MiB, bandwidth: 1GiB}
admin: {listen: "unix:./agent.sock"}
outputs:
  hub: {type: logservice, endpoint: "http://%s", region: local, project: test, access_key_id: %s, access_key_secret: %s}
  copy: {type: file, path: %s}
pipelines:
%s`, hubAddr, keyID, keySecret, filepath.Join(dir, "copy.jsonl"), pipelines)
	require.NoError(t, os.WriteFile(a.config, []byte(text), 0o600))
	return a
}

func (a *agentProcess) start(t *testing.T) {
	t.Helper()
	cmd := program(a.env, "wasmtail", "run", "-c", a.config)
	cmd.SysProcAttr.Credential = a.as
	a.process = launch(t, cmd)
	a.eventually("the agent is ready", func() bool {
		s, err := a.status()
		return err == nil && !slices.ContainsFunc(s.Pipelines, func(p agent.PipelineStatus) bool { return !p.Ready })
	})
}

// get asks the agent's admin address.
func (a *agentProcess) get(path string) (status int, body []byte, err error) {
	client := http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", filepath.Join(a.dir, "agent.sock"))
		},
	}}
	resp, err := client.Get("http://agent" + path)
	if err != nil {
		return 0, nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	body, err = io.ReadAll(resp.Body)
	return resp.StatusCode, body, err
}

func (a *agentProcess) status() (s agent.Status, err error) {
	_, body, err := a.get("/api/v1/status")
	if err != nil {
		return s, err
	}
	return s, json.Unmarshal(body, &s)
}

// byOffset sorts records by generation and place in it.
func byOffset(records []map[string]string) {
	place := func(r map[string]string) int64 {
		n, _ := strconv.ParseInt(r["__wt_offset__"], 10, 64)
		return n
	}
	slices.SortStableFunc(records, func(a, b map[string]string) int {
		return cmp.Or(strings.Compare(a["__wt_generation__"], b["__wt_generation__"]), cmp.Compare(place(a), place(b)))
	})
}

// latencyMax is how late a line may be, from its writing until a query finds
// it. The promise is a second.
const latencyMax = time.Second

// newestLag asks for the newest line of a logstore and returns its age. Lines
// begin with the time they were written, in nanoseconds.
func (h *hub) newestLag(logstore string) (lag time.Duration, found bool) {
	h.t.Helper()
	body, err := h.get("/api/v1/query", url.Values{
		"logstore": {logstore}, "project": {"test"}, "limit": {"1"},
		"start": {time.Now().Add(-time.Minute).Format(time.RFC3339)}, "end": {time.Now().Add(time.Minute).Format(time.RFC3339)},
	})
	now := time.Now()
	require.NoError(h.t, err)
	if len(body) == 0 {
		return 0, false
	}
	r := map[string]string{}
	require.NoError(h.t, json.Unmarshal(bytes.TrimSpace(body), &r))
	stamp, _, _ := strings.Cut(r["_msg"], " ")
	n, err := strconv.ParseInt(stamp, 10, 64)
	require.NoError(h.t, err)
	return now.Sub(time.Unix(0, n)), true
}
