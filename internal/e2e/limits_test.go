//go:build linux

package e2e

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/wasmtail/wasmtail/agent"
	"github.com/wasmtail/wasmtail/internal/loggroup"
)

// counter takes log groups and counts the numbers of their lines, which stand
// between two #, and the bytes on its connections.
type counter struct {
	net.Listener
	server *httptest.Server
	mu     sync.Mutex
	times  []uint8 // each line came
	lines  int     // different ones
	fault  error
	past   series // of bytes
}

func newCounter(t *testing.T, linesMax int) *counter {
	t.Helper()
	c := &counter{times: make([]uint8, linesMax)}
	c.server = httptest.NewUnstartedServer(http.HandlerFunc(c.serve))
	c.Listener = c.server.Listener
	c.server.Listener = c
	c.server.Start()
	t.Cleanup(c.server.Close)
	return c
}

func (c *counter) address() string { return strings.TrimPrefix(c.server.URL, "http://") }

// Accept implements net.Listener.
func (c *counter) Accept() (net.Conn, error) {
	conn, err := c.Listener.Accept()
	return countedConn{conn, c}, err
}

type countedConn struct {
	net.Conn
	c *counter
}

func (c countedConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.c.mu.Lock()
	defer c.c.mu.Unlock()
	c.c.past.grow(float64(n))
	return n, err
}

func (c *counter) serve(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("x-log-requestid", "1")
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return // the agent has gone, and sends it again
	}
	codec, err := loggroup.ParseCodec(r.Header.Get("x-log-compresstype"))
	var size int
	if err == nil {
		size, err = strconv.Atoi(r.Header.Get("x-log-bodyrawsize"))
	}
	var plain []byte
	if err == nil {
		plain, err = loggroup.Decompress(nil, body, codec, size)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if err != nil {
		c.fault = fmt.Errorf("cannot read a request: %w", err)
		return
	}
	for {
		_, after, ok := bytes.Cut(plain, []byte("#"))
		if !ok {
			return
		}
		plain = after
		if len(after) < 9 || after[8] != '#' {
			continue // the length of a field
		}
		if n, err := strconv.Atoi(string(after[:8])); err == nil && n < len(c.times) {
			if c.times[n] == 0 {
				c.lines++
			}
			c.times[n]++
			plain = after[9:]
		}
	}
}

func (c *counter) count() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.lines
}

// requireOnce requires that each of n lines came once.
func (c *counter) requireOnce(t *testing.T, n int) {
	t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	require.NoError(t, c.fault)
	missing, double := 0, 0
	for _, times := range c.times[:n] {
		if times == 0 {
			missing++
		}
		if times > 1 {
			double++
		}
	}
	require.Zero(t, missing, "lines are missing")
	require.Zero(t, double, "lines came twice")
	require.Equal(t, n, c.lines)
}

// series are the values of something that grows, by time.
type series struct {
	at    []time.Time
	total []float64
}

func (s *series) set(total float64) {
	s.at, s.total = append(s.at, time.Now()), append(s.total, total)
}

func (s *series) grow(by float64) {
	last := 0.0
	if len(s.total) > 0 {
		last = s.total[len(s.total)-1]
	}
	s.set(last + by)
}

// most is the largest growth within a second.
func (s *series) most() (most float64) {
	from := 0
	for i := range s.at {
		for s.at[i].Sub(s.at[from]) > time.Second {
			from++
		}
		most = max(most, s.total[i]-s.total[from])
	}
	return most
}

// mean is the growth in a second, on the average.
func (s *series) mean() float64 {
	last := len(s.at) - 1
	return (s.total[last] - s.total[0]) / s.at[last].Sub(s.at[0]).Seconds()
}

// workingPID is the process of a started agent that does the work: itself, or its
// child of the same program.
func (a *agentProcess) workingPID() int {
	a.t.Helper()
	pid := a.cmd.Process.Pid
	own, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", pid))
	require.NoError(a.t, err)
	lists, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	require.NoError(a.t, err)
	for _, list := range lists {
		text, _ := os.ReadFile(list) // a thread may have ended
		for _, child := range strings.Fields(string(text)) {
			if exe, err := os.Readlink("/proc/" + child + "/exe"); err == nil && exe == own {
				n, err := strconv.Atoi(child)
				require.NoError(a.t, err)
				return n
			}
		}
	}
	return pid
}

// cpuSeconds is what a process has used.
func cpuSeconds(t *testing.T, pid int) float64 {
	t.Helper()
	const processClock = 2 // CPUCLOCK_SCHED of Linux
	var ts unix.Timespec
	require.NoError(t, unix.ClockGettime(int32(^pid<<3|processClock), &ts))
	return float64(ts.Nano()) / 1e9
}

// watch samples something every 20 ms until it has for d, or until done.
func (a *agentProcess) watch(d time.Duration, sample func(), done func() bool) {
	a.t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for end := time.After(d); !done(); {
		sample()
		select {
		case <-tick.C:
		case <-end:
			return
		case <-a.done:
			require.FailNow(a.t, "the agent ended", a.log.String())
		}
	}
}

func never() bool { return false }

// limited is a new agent that sends to a counter under limits, which are the text
// between the braces.
func limited(t *testing.T, c *counter, limits, pipelines string) *agentProcess {
	t.Helper()
	a := newAgentIn(t, t.TempDir(), c.address(), pipelines)
	a.limit(t, limits)
	return a
}

// limit writes other limits into the configuration.
func (a *agentProcess) limit(t *testing.T, limits string) string {
	t.Helper()
	text, err := os.ReadFile(a.config)
	require.NoError(t, err)
	before, rest, ok := strings.Cut(string(text), "limits: {")
	require.True(t, ok)
	_, after, ok := strings.Cut(rest, "}\n")
	require.True(t, ok)
	changed := before + "limits: {" + limits + "}\n" + after
	require.NoError(t, os.WriteFile(a.config, []byte(changed), 0o600))
	return changed
}

// limitStatus is the state of one limit.
func (a *agentProcess) limitStatus(name string) agent.LimitStatus {
	a.t.Helper()
	s, err := a.status()
	require.NoError(a.t, err)
	for _, l := range s.Limits {
		if l.Name == name {
			return l
		}
	}
	require.Fail(a.t, "no limit "+name)
	return agent.LimitStatus{}
}

// numberedFile writes lines with the numbers from first on, of some 128 bytes.
func numberedFile(t *testing.T, path string, first, n int) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	require.NoError(t, err)
	defer func() { require.NoError(t, f.Close()) }()
	var text []byte
	for i := first; i < first+n; i++ {
		text = append(text, numberedLine(i)...)
		if len(text) > 1<<20 || i == first+n-1 {
			_, err := f.Write(text)
			require.NoError(t, err)
			text = text[:0]
		}
	}
}

func numberedLine(n int) string {
	return fmt.Sprintf("10.0.%d.%d - user%d [10/Oct/2024:13:00:00 +0000] \"GET /item/#%08d#/view?page=%d HTTP/1.1\" 200 %d \"Mozilla/5.0 (X11)\"\n",
		n/251%251, n%251, n%97, n, n%13, n*7919%100_000)
}

const accessPipeline = `  p:
    input: {type: files, include: [%q], start_at: beginning}
    processors:
      - {type: regex, pattern: '^(?P<ip>\S+) (?P<ident>\S+) (?P<user>\S+) \[(?P<when>[^\]]+)\] "(?P<method>\S+) (?P<path>\S+) (?P<protocol>[^"]+)" (?P<status>\d+) (?P<size>\d+) "(?P<agent>[^"]*)"$'}
    outputs: [hub]
    logstore: store
`

// TestLimitCPU_HoldsInEverySecond while far more is there to be read, and without
// the limit everything arrives.
func TestLimitCPU_HoldsInEverySecond(t *testing.T) {
	t.Parallel()
	const limit, files, perFile = 0.4, 4, 1_800_000
	c := newCounter(t, 10_000_000)
	dir := t.TempDir()
	for i := range files {
		numberedFile(t, filepath.Join(dir, fmt.Sprintf("%d.log", i)), i*perFile, perFile)
	}
	a := limited(t, c, fmt.Sprintf("cpu: %v, memory: 512MiB, bandwidth: 0", limit), fmt.Sprintf(accessPipeline, filepath.Join(dir, "*.log")))
	a.start(t)
	pid := a.workingPID()
	t.Logf("the start costs %.3f s", cpuSeconds(t, pid))
	a.watch(time.Second, func() {}, never)
	var used series
	growing, total := filepath.Join(dir, "growing.log"), files*perFile
	var slowed, waited float64
	a.watch(12*time.Second, func() {
		used.set(cpuSeconds(t, pid))
		if len(used.at)%10 == 0 {
			numberedFile(t, growing, total, 5000)
			total += 5000
		}
		if len(used.at)%50 == 0 {
			s := a.limitStatus("cpu")
			waited++
			if s.State == "slowed" {
				slowed++
			}
		}
	}, never)
	t.Logf("at most %.3f processors in a second, %.3f on the average; %d of %d lines", used.most(), used.mean(), c.count(), total)
	require.Less(t, c.count(), total, "there was not enough to do")
	require.LessOrEqual(t, used.most(), limit*1.1)
	require.GreaterOrEqual(t, slowed, waited/2, "status does not say so")
	require.Empty(t, a.rewrite(a.limit(t, "cpu: 0, memory: 512MiB, bandwidth: 0")).Error)
	a.eventually("all lines are there", func() bool { return c.count() == total })
	a.stop()
	c.requireOnce(t, total)
}

// hoarder is a parser that gives the line back, and takes 256 KiB of memory more
// for each line that asks for it.
const hoarder = `#include "wt.h"
static void setup(wt_setup *s) {
  wt_name(s, "line", "1.0.0");
  wt_field(s, "text", WT_STRING, "the line");
}
static wt_status parse(wt_row *r, wt_str line) {
  if (wt_len(line) && *line.p == 'm') {
    __SIZE_TYPE__ page = __builtin_wasm_memory_grow(0, 4);
    if (page != (__SIZE_TYPE__)-1) __builtin_memset((void *)(page << 16), 1, 4 << 16);
  }
  wt_put_str(r, 0, line);
  return WT_OK;
}
WT_PARSER(setup, parse)
`

// TestLimitMemory_Holds with many files, large batches, and a module that takes
// more and more memory.
func TestLimitMemory_Holds(t *testing.T) {
	t.Parallel()
	const limit, files, perFile, lines = 64 << 20, 60, 40_000, 40_000
	total := files*perFile + lines
	c := newCounter(t, total)
	dir, module := t.TempDir(), filepath.Join(t.TempDir(), "hoarder.wasm")
	buildSource(t, hoarder, module)
	for i := range files {
		numberedFile(t, filepath.Join(dir, fmt.Sprintf("%d.log", i)), i*perFile, perFile)
	}
	greedy := writeFile(t, "greedy.txt", "")
	a := limited(t, c, "cpu: 0, memory: 64MiB, bandwidth: 0", fmt.Sprintf("  many:\n    input: {type: files, include: [%q], start_at: beginning}\n    workers: 2\n    batch: {size: 5MiB}\n    outputs: [hub]\n    logstore: store\n",
		filepath.Join(dir, "*.log"))+modulePipeline("greedy", greedy, module, ", limits: {memory: 24MiB}")+development)
	a.start(t)
	pid := a.workingPID()
	for i := 0; i < lines; i += 1000 {
		var text strings.Builder
		for n := i; n < i+1000; n++ {
			what := "quiet"
			if n%100 == 0 {
				what = "more!"
			}
			fmt.Fprintf(&text, "%s #%08d#\n", what, files*perFile+n)
		}
		appendLines(t, greedy, text.String())
		a.eventually("the module has them", a.sent("greedy", i+1000))
	}
	a.eventually("all lines are there", func() bool { return c.count() == total })
	m, used := a.module("greedy"), a.limitStatus("memory")
	peak := highWater(t, pid)
	t.Logf("at most %d MiB resident; now %d MiB, reading has waited %.1f s; instances lost: %v", peak>>20, int64(used.Used)>>20, used.Waited, m.Lost)
	require.LessOrEqual(t, peak, int64(limit))
	a.stop()
	c.requireOnce(t, total)
}

// TestLimitBandwidth_HoldsInEverySecond as the receiver counts the bytes: that of
// the host, and that of one output.
func TestLimitBandwidth_HoldsInEverySecond(t *testing.T) {
	for name, limits := range map[string]string{"host": "bandwidth: 1MiB", "output": "bandwidth: 0, output_bandwidth: {hub: 1MiB}"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			const limit, total = 1 << 20, 900_000
			c := newCounter(t, total)
			path := filepath.Join(t.TempDir(), "app.log")
			numberedFile(t, path, 0, total)
			a := limited(t, c, "cpu: 2, memory: 512MiB, "+limits, pipelineYAML(path, "store"))
			a.start(t)
			a.watch(8*time.Second, func() {}, never)
			used := a.limitStatus("bandwidth")
			c.mu.Lock()
			most, mean := c.past.most(), c.past.mean()
			c.mu.Unlock()
			t.Logf("at most %.3f of the limit in a second, %.3f on the average; %d of %d lines", most/limit, mean/limit, c.count(), total)
			require.Less(t, c.count(), total, "there was not enough to do")
			require.LessOrEqual(t, most, limit*1.1)
			require.GreaterOrEqual(t, mean, limit*0.85)
			require.InDelta(t, mean, used.Used, limit*0.15)
			require.Equal(t, name == "host", used.State == "slowed", "the host's limit: %s", used.State)
			require.Empty(t, a.rewrite(a.limit(t, "cpu: 2, memory: 512MiB, bandwidth: 0")).Error)
			a.eventually("all lines are there", func() bool { return c.count() == total })
			_, metrics, err := a.get("/metrics")
			require.NoError(t, err)
			bytes := func(name string, labels ...string) float64 {
				n, err := strconv.ParseFloat(sample(t, string(metrics), name, labels...), 64)
				require.NoError(t, err)
				return n
			}
			all := bytes("wasmtail_wire_bytes_total", `output="hub"`)
			require.InEpsilon(t, all, bytes("wasmtail_pipeline_wire_bytes_total", `output="hub"`, `pipeline="p"`), 0.02, "the only pipeline took nearly all")
			a.stop()
			c.requireOnce(t, total)
		})
	}
}

// TestLimitOpenFiles_FilesTakeTurns: of many more files than the process may open,
// all of them written to and rotated, read or not, everything arrives once.
func TestLimitOpenFiles_FilesTakeTurns(t *testing.T) {
	t.Parallel()
	const allowed, files, rounds, perRound = 128, 300, 5, 20
	const total = files * rounds * perRound
	c := newCounter(t, total)
	dir := t.TempDir()
	a := limited(t, c, "cpu: 2, memory: 256MiB, bandwidth: 0", pipelineYAML(filepath.Join(dir, "*.log*"), "store"))
	cmd := program(nil, "wasmtail")
	cmd.Args = []string{"sh", "-c", fmt.Sprintf("ulimit -n %d && exec \"$0\" run -c \"$1\"", allowed), cmd.Path, a.config}
	cmd.Path = "/bin/sh"
	a.process = launch(t, cmd)
	a.eventually("the agent is ready", func() bool { _, err := a.status(); return err == nil })
	pid, next, most, near := a.workingPID(), 0, 0, false
	look := func() {
		used, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
		require.NoError(t, err)
		most = max(most, len(used))
		l := a.limitStatus("open_files")
		require.EqualValues(t, allowed, l.Limit)
		near = near || l.Used > allowed/2
	}
	for round := range rounds {
		for i := range files {
			path := filepath.Join(dir, fmt.Sprintf("%d.log", i))
			if round > 0 && round%2 == 0 {
				require.NoError(t, os.Rename(path, fmt.Sprintf("%s.%d", path, round)))
			}
			numberedFile(t, path, next, perRound)
			next += perRound
			if i%50 == 0 {
				look()
			}
		}
	}
	a.eventually("all lines are there", func() bool { look(); return c.count() == total })
	t.Logf("at most %d descriptors of %d", most, allowed)
	require.LessOrEqual(t, most, allowed)
	require.True(t, near, "the files fit")
	a.stop()
	c.requireOnce(t, total)
}
