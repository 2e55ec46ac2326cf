package e2e

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wasmtail/wasmtail/internal/config"
)

// gauge is a receiver that measures what comes: how late the lines are that begin with
// "live" and the time they were written, and how fast the requests without any come.
type gauge struct {
	server *httptest.Server

	mu          sync.Mutex
	lags        waits
	bytes       int64 // of the requests without live lines,
	first, last time.Time
}

func newGauge(t *testing.T) *gauge {
	g := &gauge{}
	g.server = httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		came := time.Now()
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return // it was sent by what was killed
		}
		g.take(body, came)
	}))
	t.Cleanup(g.server.Close)
	return g
}

const liveMark = `"live `

func (g *gauge) take(body []byte, came time.Time) {
	now := time.Now()
	var lags []time.Duration
	for rest := body; ; {
		at := bytes.Index(rest, []byte(liveMark))
		if at < 0 {
			break
		}
		rest = rest[at+len(liveMark):]
		if stamp, err := strconv.ParseInt(string(rest[:max(0, bytes.IndexByte(rest, ' '))]), 10, 64); err == nil {
			lags = append(lags, now.Sub(time.Unix(0, stamp)))
		}
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.lags = append(g.lags, lags...); len(lags) > 0 {
		return
	}
	if g.bytes == 0 {
		g.first = came
	}
	g.bytes, g.last = g.bytes+int64(len(body)), now
}

// reset forgets everything.
func (g *gauge) reset() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.bytes, g.lags = 0, nil
}

// rate is how many bytes without live lines came in a second.
func (g *gauge) rate() float64 {
	g.mu.Lock()
	defer g.mu.Unlock()
	return float64(g.bytes) / g.last.Sub(g.first).Seconds()
}

// waits are how late the live lines were.
func (g *gauge) waits() waits {
	g.mu.Lock()
	defer g.mu.Unlock()
	w := slices.Clone(g.lags)
	slices.Sort(w)
	return w
}

// historyFile writes lines of 200 bytes that are like those of an access log.
func historyFile(t *testing.T, size int64) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "history.log")
	f, err := os.Create(path)
	require.NoError(t, err)
	w := bufio.NewWriterSize(f, 1<<20)
	for n := int64(0); n < size; n += 200 {
		line := fmt.Sprintf(`10.0.%d.%d - - [12/Mar/2026:08:15:02 +0000] "GET /items/%d?page=%d HTTP/1.1" 200 %d "-" "Mozilla/5.0 (X11; Linux x86_64)"`, n%256, n/256%256, n, n%17, n%100_000)
		_, _ = fmt.Fprintf(w, "%-199s\n", line)
	}
	require.NoError(t, w.Flush())
	require.NoError(t, f.Close())
	return path
}

// liveLines appends a line every ten milliseconds until stop is closed: the time, in
// nanoseconds, after a mark.
func liveLines(t *testing.T, path, mark string, stop <-chan struct{}) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		t.Error(err)
		return
	}
	defer func() { _ = f.Close() }()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-stop:
			return
		case <-tick.C:
			if _, err := fmt.Fprintf(f, "%s%d line\n", mark, time.Now().UnixNano()); err != nil {
				t.Error(err)
				return
			}
		}
	}
}

// agent is one whose pipeline reads files and sends to the gauge.
func (g *gauge) agent(t *testing.T, include string) *agentProcess {
	t.Helper()
	a := newAgentIn(t, t.TempDir(), "127.0.0.1:1", fmt.Sprintf("  p:\n    input: {type: files, include: [%q], start_at: beginning}\n    outputs: [gauge]\n    logstore: store\n", include))
	text, err := os.ReadFile(a.config)
	require.NoError(t, err)
	output := fmt.Sprintf("outputs:\n  gauge: {type: http, url: %q, compression: none}\n", g.server.URL)
	require.NoError(t, os.WriteFile(a.config, []byte(strings.Replace(string(text), "outputs:\n", output, 1)), 0o600))
	return a
}

// byAgent is how fast an agent brings a file, that has nothing else to do.
func (g *gauge) byAgent(t *testing.T, path string) float64 {
	t.Helper()
	g.reset()
	info, err := os.Stat(path)
	require.NoError(t, err)
	a := g.agent(t, path)
	a.start(t)
	a.eventually("the agent has read the file", func() bool {
		s, err := a.status()
		require.NoError(t, err)
		return len(s.Pipelines[0].Files) == 1 && s.Pipelines[0].Files[0].Acked == info.Size()
	})
	a.stop()
	return g.rate()
}

// importBytes is how much is imported; WASMTAIL_IMPORT=1GiB makes the measurement that
// the bars are for, the fastest of four: a smaller one is over before it runs at full
// speed, and not alone on the machine.
func importBytes(t *testing.T) (size int64, rounds int, share float64) {
	text := os.Getenv("WASMTAIL_IMPORT")
	if text == "" {
		return 48 << 20, 1, 0.4
	}
	n, err := config.ParseSize(text)
	require.NoError(t, err)
	return int64(n), 4, 0.9
}

// TestAnImportLetsLiveLinesPass: an import runs at full speed through the pipeline of
// an agent that follows a file. Live lines come within a second, and the import is as
// fast as an agent that reads the same file and has nothing else to do.
func TestAnImportLetsLiveLinesPass(t *testing.T) {
	size, rounds, share := importBytes(t)
	g := newGauge(t)
	old := historyFile(t, size)
	live := filepath.Join(t.TempDir(), "live.log")
	require.NoError(t, os.WriteFile(live, nil, 0o600))
	a := g.agent(t, live)
	a.start(t)

	var byAgent, byImport float64
	for range rounds {
		byAgent = max(byAgent, g.byAgent(t, old))
		stop, written := make(chan struct{}), make(chan struct{})
		go func() {
			defer close(written)
			liveLines(t, live, "live ", stop)
		}()
		g.reset()
		a.eventually("live lines come", func() bool { return len(g.waits()) >= 100 })
		before := g.waits()
		g.reset()
		done := wasmtail(t, "import", "-c", a.config, "--yes", old)
		close(stop)
		<-written
		require.Zero(t, done.code, done.stderr)
		byImport = max(byImport, g.rate())
		during := g.waits()
		t.Logf("beside an import of %d MiB at %.0f MB/s: %s; before: %s", size>>20, g.rate()/1e6, during, before)
		require.Less(t, during.at(0.99), latencyMax)
		require.NoError(t, os.RemoveAll(filepath.Join(a.dir, "state", "import")))
	}
	a.stop()
	t.Logf("the import beside live lines brought %.0f MB/s, an agent with nothing else to do %.0f", byImport/1e6, byAgent/1e6)
	require.Greater(t, byImport, share*byAgent, "the import is slower than the agent alone")
}

// TestLiveLinesAreFoundBesideAnImport: the same into a hub, which has to store what is
// imported on the same processors, and is asked over and over for the newest live line.
func TestLiveLinesAreFoundBesideAnImport(t *testing.T) {
	size, rounds, _ := importBytes(t)
	h := startHub(t)
	old, live := historyFile(t, size), filepath.Join(t.TempDir(), "live.log")
	require.NoError(t, os.WriteFile(live, nil, 0o600))
	pipelines := strings.Replace(pipelineYAML(live, "live"), "  p:", "  live:", 1) + strings.Replace(pipelineYAML(old+".none", "old"), "  p:", "  old:", 1)
	a := newAgent(t, h, pipelines)
	a.start(t)
	stop, written := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(written)
		liveLines(t, live, "", stop)
	}()
	a.eventually("live lines are found", func() bool { _, found := h.newestLag("live"); return found })
	before := lagsOf(h, "live", time.After(3*time.Second))
	began := time.Now()
	p := start(t, nil, "wasmtail", "import", "-c", a.config, "--pipeline", "old", "--yes", old)
	during := lagsOf(h, "live", p.done)
	took := time.Since(began)
	close(stop)
	<-written
	require.NoError(t, p.err)
	t.Logf("the newest line beside an import of %d MiB at %.0f MB/s: %s; before: %s", size>>20, float64(size)/1e6/took.Seconds(), during, before)
	if rounds > 1 {
		require.Less(t, during.at(0.99), latencyMax)
	}
	a.stop()
}

// waits are how late lines were, in order.
type waits []time.Duration

func (w waits) at(share float64) time.Duration { return w[int(share*float64(len(w)-1))] }

func (w waits) String() string {
	return fmt.Sprintf("p50 %s, p99 %s, worst %s of %d", w.at(0.5), w.at(0.99), w.at(1), len(w))
}

// lagsOf asks for the newest line over and over until a channel is ready.
func lagsOf[T any](h *hub, logstore string, until <-chan T) (w waits) {
	h.t.Helper()
	for {
		lag, found := h.newestLag(logstore)
		require.True(h.t, found)
		w = append(w, lag)
		select {
		case <-until:
			slices.Sort(w)
			return w
		default:
		}
	}
}
