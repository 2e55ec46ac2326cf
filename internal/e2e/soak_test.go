package e2e

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// lasting is how long a test goes on: short, but for who asks for more.
func lasting(t *testing.T, env string, short time.Duration) time.Duration {
	text := os.Getenv(env)
	if text == "" {
		return short
	}
	d, err := time.ParseDuration(text)
	require.NoError(t, err, env)
	return d
}

// stream writes numbered lines at a rate, rotates, and deletes what is old.
type stream struct {
	*writer
	agent  *agentProcess
	kept   int           // rotated files that are not deleted
	every  time.Duration // between rotations
	oldest int           // the number of the oldest rotated file there is
	bytes  int64
}

const soakLine = 1000

// run writes until the time is over. What it deletes was acknowledged.
func (s *stream) run(d time.Duration, bytesPerSecond int) {
	const step = 20 * time.Millisecond
	perStep := max(1, bytesPerSecond/soakLine/int(time.Second/step))
	tick := time.NewTicker(step)
	defer tick.Stop()
	end, rotate := time.Now().Add(d), time.Now().Add(s.every)
	var text strings.Builder
	for now := range tick.C {
		if now.After(end) {
			return
		}
		text.Reset()
		for range perStep {
			fmt.Fprintf(&text, "%010d %s\n", s.lines, strings.Repeat(noise(s.lines%500, (soakLine-12)/19), 19))
			s.lines++
		}
		n, err := s.f.WriteString(text.String())
		require.NoError(s.t, err)
		s.bytes += int64(n)
		if now.After(rotate) {
			rotate = now.Add(s.every)
			s.rotation++
			s.rename(s.path, fmt.Sprintf("%s.%d", s.path, s.rotation))
			s.open(s.path)
			s.clear()
		}
	}
}

// clear deletes rotated files of which all is acknowledged, but for some.
func (s *stream) clear() {
	st, err := s.agent.status()
	if err != nil {
		return // it is being started again
	}
	acked := map[uint64]int64{}
	for _, f := range st.Pipelines[0].Files {
		acked[f.Inode] = f.Acked
	}
	for ; s.oldest+s.kept < s.rotation; s.oldest++ {
		name := fmt.Sprintf("%s.%d", s.path, s.oldest+1)
		info, err := os.Stat(name)
		require.NoError(s.t, err)
		if n, known := acked[info.Sys().(*syscall.Stat_t).Ino]; !known || n < info.Size() {
			return
		}
		require.NoError(s.t, os.Remove(name))
	}
}

// distinctMax is up to how many lines the store is asked for the different ones:
// it keeps all of them in memory for that. Of more the ledger tells.
const distinctMax = 300_000

// count asks the store how many records it has, and how many different lines.
func (h *hub) count(t *testing.T, logstore string, distinct bool) (records, lines int) {
	t.Helper()
	what := "count() n"
	if distinct {
		what += ", count_uniq(_msg) u"
	}
	body, err := h.get("/api/v1/query", url.Values{
		"logstore": {logstore}, "project": {"test"}, "query": {"* | stats " + what},
		"start": {time.Now().Add(-24 * time.Hour).Format(time.RFC3339)}, "end": {time.Now().Add(time.Hour).Format(time.RFC3339)},
	})
	require.NoError(t, err)
	var row struct{ N, U string }
	require.NoError(t, json.Unmarshal(body, &row), "%s", body)
	records, err = strconv.Atoi(row.N)
	require.NoError(t, err)
	lines, _ = strconv.Atoi(row.U)
	return records, lines
}

// requireCounts waits until the hub has every line of a stream, and requires that
// it has none twice, and that its ledger says the same.
func (s *stream) requireCounts(h *hub, logstore string, within time.Duration) {
	s.t.Helper()
	deadline := time.Now().Add(within)
	records := 0
	for ; records < s.lines && time.Now().Before(deadline); <-time.After(100 * time.Millisecond) {
		records, _ = h.count(s.t, logstore, false)
	}
	require.Equal(s.t, s.lines, records)
	if s.lines <= distinctMax {
		_, distinct := h.count(s.t, logstore, true)
		require.Equal(s.t, s.lines, distinct, "as many are missing as are there twice")
	}
	s.agent.eventually("the ledger adds up", func() bool { return h.ledger().Stored == int64(s.lines) })
	l := h.ledger()
	require.Zero(s.t, l.MissingBytes)
	s.t.Logf("written %d lines, %d bytes · read %d · parsed %d · failed %d · filtered %d · stored %d · missing 0 · double 0",
		s.lines, s.bytes, l.ReadRecords, l.Parsed, l.Failed, l.Filtered, l.Stored)
}

// TestTheHubIsAwayWhileLogsAreWrittenAndDeleted at ten megabytes a second, with
// the state folder on a small disk of its own. WASMTAIL_OUTAGE=10m makes it long.
func TestTheHubIsAwayWhileLogsAreWrittenAndDeleted(t *testing.T) {
	t.Parallel()
	outage := lasting(t, "WASMTAIL_OUTAGE", 8*time.Second)
	h := startHub(t)
	s := &stream{writer: newWriter(t), kept: 3, every: time.Second}
	a := newAgent(t, h, pipelineYAML(s.path, "store"))
	s.agent = a
	mount(t, filepath.Join(a.dir, "state"), "size=1100m")
	a.start(t)
	s.run(2*time.Second, 10_000_000)
	h.kill()
	s.run(outage, 10_000_000)
	onDisk := a.output().DiskBytes
	require.Positive(t, onDisk)
	require.Positive(t, s.oldest, "files are deleted during the outage")
	h.start(t)
	healed := time.Now()
	s.run(2*time.Second, 10_000_000)
	s.requireCounts(h, "store", patience+outage)
	t.Logf("away for %s: %d MB written, %d rotations, %d deleted; %d MB were on the disk, delivered %s after the hub was back",
		outage, s.bytes/1e6, s.rotation, s.oldest, onDisk/1e6, time.Since(healed).Round(time.Second))
	a.eventually("the disk is free again", func() bool { return a.output().DiskBytes == 0 })
	_, err := os.Stat(filepath.Join(a.dir, "state", "losses.jsonl"))
	require.ErrorIs(t, err, os.ErrNotExist, "nothing was lost")
	a.stop()
}

// TestSoak does everything at once for a while, and then counts:
// WASMTAIL_SOAK=10m, or make soak TIME=10m.
func TestSoak(t *testing.T) {
	t.Parallel()
	d := lasting(t, "WASMTAIL_SOAK", 15*time.Second)
	h := startHub(t)
	p := newFaultProxy(t, h.addr)
	s := &stream{writer: newWriter(t), kept: 5, every: 500 * time.Millisecond}
	a := newAgentIn(t, t.TempDir(), strings.TrimPrefix(p.URL, "http://"), pipelineYAML(s.path, "store"))
	s.agent = a
	text, err := os.ReadFile(a.config)
	require.NoError(t, err)
	text = []byte(strings.Replace(string(text), "type: logservice,", fmt.Sprintf("type: logservice, timeout: %s,", answerTimeout), 1))
	require.NoError(t, os.WriteFile(a.config, text, 0o600))
	a.start(t)
	random := rand.New(rand.NewPCG(7, uint64(d)))
	var hubAway atomic.Bool
	events := map[string]func(){
		"worker killed": func() { _ = syscall.Kill(a.worker(), syscall.SIGKILL) },
		"agent killed":  func() { a.kill(); a.start(t) },
		"agent stopped": func() { a.stop(); a.start(t) },
		"reload":        func() { require.NoError(t, a.cmd.Process.Signal(syscall.SIGHUP)) },
		"hub killed":    func() { h.kill(); hubAway.Store(true) },
		"hub stopped":   func() { h.stop(); hubAway.Store(true) },
		"quiet":         func() { p.calm.Store(!p.calm.Load()) },
		"twenty rotations": func() {
			for range 20 {
				s.rotation++
				s.rename(s.path, fmt.Sprintf("%s.%d", s.path, s.rotation))
				s.open(s.path)
				s.run(time.Millisecond, 0)
			}
		},
	}
	names := make([]string, 0, len(events))
	for name := range events {
		names = append(names, name)
	}
	slices.Sort(names)
	done := map[string]int{}
	for end := time.Now().Add(d); time.Now().Before(end); {
		s.run(time.Duration(200+random.IntN(1500))*time.Millisecond, 3_000_000)
		name := names[random.IntN(len(names))]
		if hubAway.Load() {
			if name = "hub back"; random.IntN(3) > 0 {
				continue
			}
			h.start(t)
			hubAway.Store(false)
		} else {
			events[name]()
		}
		done[name]++
	}
	if hubAway.Load() {
		h.start(t)
	}
	p.calm.Store(true)
	s.requireCounts(h, "store", patience+d)
	t.Logf("%s: %v; faults of requests: %v", d, done, p.done)
	a.stop()
}
