package e2e

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sort"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestAHubThatRestartsInTheMiddleGetsEverythingOnce(t *testing.T) {
	for _, how := range []string{"stopped", "killed"} {
		t.Run(how, func(t *testing.T) {
			t.Parallel()
			h := startHub(t)
			w := newWriter(t)
			a := newAgent(t, h, pipelineYAML(w.path, "store"))
			a.start(t)
			for range 3 {
				w.write(2000)
				if how == "stopped" {
					h.stop()
				} else {
					h.kill()
				}
				w.write(1000)
				rotations[0].rotate(w)
				w.write(1000)
				h.start(t)
			}
			a.requireAll(h, "store", w.lines)
			// The ledger catches up with the store a moment later.
			a.eventually("the ledger adds up", func() bool {
				l := h.ledger()
				return l.Stored == int64(w.lines) && l.ReadRecords == l.Parsed+l.Failed+l.Filtered
			})
			require.Zero(t, h.ledger().MissingBytes)
		})
	}
}

func TestAnOutputThatFailsDoesNotHarmTheOther(t *testing.T) {
	h := startHub(t)
	w := newWriter(t)
	var failing atomic.Bool
	failing.Store(true)
	refuser := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) {
		rw.Header().Set("x-log-requestid", "1")
		if failing.Load() {
			rw.WriteHeader(http.StatusInternalServerError)
			_, _ = rw.Write([]byte(`{"errorCode":"InternalServerError","errorMessage":"test"}`))
		}
	}))
	defer refuser.Close()
	a := newAgent(t, h, fmt.Sprintf(`  p:
    input: {type: files, include: [%q], start_at: beginning}
    outputs: [copy, refuser, hub]
    logstore: store
`, w.path))
	text, err := os.ReadFile(a.config)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(a.config, []byte(strings.Replace(string(text), "outputs:\n", fmt.Sprintf(
		"outputs:\n  refuser: {type: logservice, endpoint: %q, region: local, project: test, access_key_id: k, access_key_secret: s}\n", refuser.URL,
	), 1)), 0o600))
	a.start(t)
	w.write(5000)
	rotations[0].rotate(w)
	a.requireAll(h, "store", w.lines)
	s, err := a.status()
	require.NoError(t, err)
	for _, o := range s.Outputs {
		require.Equal(t, o.Name == "refuser", o.Error != "", "output %s: %q", o.Name, o.Error)
	}
	for _, f := range s.Pipelines[0].Files {
		require.Zero(t, f.Acked, "acknowledged although one output has nothing")
	}
	failing.Store(false)
	a.eventually("everything is acknowledged", func() bool {
		s, err := a.status()
		require.NoError(t, err)
		for _, f := range s.Pipelines[0].Files {
			if f.Lag > 0 {
				return false
			}
		}
		return true
	})
	a.requireAll(h, "store", w.lines)
	a.requireCopy(w.lines)
}

// requireCopy requires that the file output has each line once, in order.
func (a *agentProcess) requireCopy(lines int) {
	t := a.t
	t.Helper()
	f, err := os.Open(filepath.Join(a.dir, "copy.jsonl"))
	require.NoError(t, err)
	defer func() { _ = f.Close() }()
	in := bufio.NewScanner(f)
	in.Buffer(nil, 1<<20)
	seen := 0
	for in.Scan() {
		r := map[string]any{}
		require.NoError(t, json.Unmarshal(in.Bytes(), &r))
		number, _, _ := strings.Cut(r["content"].(string), " ")
		n, err := strconv.Atoi(number)
		require.NoError(t, err)
		require.Equal(t, seen, n, "the copy is out of order")
		seen++
	}
	require.Equal(t, lines, seen)
}

// TestLinesAreSearchableWithinASecond writes 10 MB/s for ten seconds and asks
// the hub over and over for the newest line.
func TestLinesAreSearchableWithinASecond(t *testing.T) {
	const perTick, size = 400, 500 // every 20 ms: 10 MB/s
	h := startHub(t)
	path := filepath.Join(t.TempDir(), "app.log")
	f, err := os.Create(path)
	require.NoError(t, err)
	defer func() { _ = f.Close() }()
	a := newAgent(t, h, pipelineYAML(path, "store"))
	a.start(t)

	written := make(chan int, 1)
	go func() {
		defer close(written)
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		var buf []byte
		for range 500 {
			<-tick.C
			buf = buf[:0]
			for range perTick {
				n := len(buf)
				buf = strconv.AppendInt(buf, time.Now().UnixNano(), 10)
				for len(buf) < n+size-1 {
					buf = append(buf, " payload"...)
				}
				buf = append(buf[:n+size-1], '\n')
			}
			if _, err := f.Write(buf); err != nil {
				return
			}
		}
	}()
	var lags []time.Duration
	for running := true; running; {
		select {
		case _, running = <-written:
		default:
		}
		if lag, found := h.newestLag("store"); found {
			lags = append(lags, lag)
		} else {
			require.Empty(t, lags, "lines were found before, and now there are none")
		}
	}
	sort.Slice(lags, func(i, j int) bool { return lags[i] < lags[j] })
	p50, p99 := lags[len(lags)/2], lags[len(lags)*99/100]
	t.Logf("from write to searchable at 10 MB/s: p50 %s, p99 %s, max %s over %d questions", p50, p99, lags[len(lags)-1], len(lags))
	require.Less(t, p99, latencyMax)
}
