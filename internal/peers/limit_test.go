//go:build linux

package peers

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// onlyByName skips a test that measures, unless it was asked for by its name:
// its figures mean nothing while other tests run.
func onlyByName(t *testing.T) {
	t.Helper()
	if f := flag.Lookup("test.run"); f == nil || !strings.Contains(f.Value.String(), t.Name()) {
		t.Skipf("run with -run %s", t.Name())
	}
}

// TestLimit: for raw lines the whole agent reaches most of the rate of a
// program that only does what cannot be left out, and costs next to nothing
// while nothing happens.
func TestLimit(t *testing.T) {
	onlyByName(t)
	binary := agentPath(t)
	pinSelf(t)
	t.Run("rate", func(t *testing.T) {
		file := newCorpus(t, t.TempDir(), raw, 2*corpusBytes(t)) // long: starting is not what is measured
		var all []*measurement
		var bars []bar
		for _, codec := range []string{"snappy", "none"} {
			all = append(all, &measurement{corpus: file, contender: limit(codec)}, &measurement{corpus: file, contender: agent(binary, codec)})
			bars = append(bars, bar{raw.name, "wasmtail " + codec, regexp.MustCompile("^limit " + codec), 0.70})
		}
		for _, codec := range []string{"lz4", "zstd"} { // to know, without a bar
			all = append(all, &measurement{corpus: file, contender: limit(codec)}, &measurement{corpus: file, contender: agent(binary, codec)})
		}
		checkBars(t, measureAll(t, envInt(t, "PEERS_RUNS", 3), all), bars)
	})
	t.Run("idle", func(t *testing.T) { testIdle(t, binary) })
	t.Run("quiet files", func(t *testing.T) { testQuietFiles(t, binary) })
}

// idleWindow is how long an idle agent is watched. A tick of CPU time is then
// 0.05 % of a core.
const idleWindow = 20 * time.Second

// idleCost is the share of a core and the resident memory of a process.
func idleCost(t *testing.T, p *child) (share float64, resident int64) {
	t.Helper()
	before, err := p.cpu()
	require.NoError(t, err)
	began := time.Now()
	require.NoError(t, p.wait(t.Context(), idleWindow))
	after, err := p.cpu()
	require.NoError(t, err)
	share = (after - before).Seconds() / time.Since(began).Seconds()
	resident, err = p.memory("VmRSS")
	require.NoError(t, err)
	return share, resident
}

func idleSite(t *testing.T) (site, *sink) {
	t.Helper()
	s := site{dir: t.TempDir(), workload: raw}
	s.watch = filepath.Join(s.dir, "watch")
	require.NoError(t, os.Mkdir(s.watch, 0o700))
	to := newSink(t, logServiceSink, raw, 1)
	s.sink = to.address
	return s, to
}

// testIdle: with nothing to read, less than half a percent of a core and 40 MiB.
func testIdle(t *testing.T, binary string) {
	s, _ := idleSite(t)
	path := s.write(t, "agent.yaml", agentConfig(s, "snappy", "1s"))
	p := start(t, s.dir, command{argv: []string{binary, "run", "--no-supervisor", "-c", path}})
	require.NoError(t, p.idle(t.Context()))
	share, resident := idleCost(t, p)
	t.Logf("idle: %.2f %% of a core, %.1f MiB", 100*share, float64(resident)/(1<<20))
	require.Less(t, share, 0.005)
	require.Less(t, resident, int64(40<<20))
}

// testQuietFiles: with 10,000 files that nobody writes to, less than two percent
// of a core, and a new file among them is delivered within a second. For that
// the batch may wait for 100 ms only.
func testQuietFiles(t *testing.T, binary string) {
	s, to := idleSite(t)
	line := appendRaw(nil, 0, newRand())
	for i := range 10_000 {
		path := filepath.Join(s.watch, fmt.Sprintf("quiet-%05d.log", i))
		require.NoError(t, os.WriteFile(path, fmt.Appendf(nil, "file %d %s", i, line), 0o600))
	}
	path := s.write(t, "agent.yaml", agentConfig(s, "snappy", "100ms"))
	p := start(t, s.dir, command{argv: []string{binary, "run", "--no-supervisor", "-c", path}})
	require.NoError(t, p.idle(t.Context()))
	share, resident := idleCost(t, p)
	t.Logf("10,000 quiet files: %.2f %% of a core, %.1f MiB", 100*share, float64(resident)/(1<<20))

	began := time.Now()
	require.NoError(t, os.WriteFile(filepath.Join(s.watch, "new.log"), line, 0o600))
	select {
	case <-to.done:
	case <-time.After(30 * time.Second):
		require.FailNow(t, "the new file does not arrive", p.tail())
	}
	delay := time.Unix(0, to.last.Load()).Sub(began)
	t.Logf("10,000 quiet files: a new file is delivered after %d ms", delay.Milliseconds())
	require.EqualValues(t, 1, to.records.Load(), "the quiet files were there before")
	require.Less(t, share, 0.02)
	require.Less(t, delay, time.Second)
}
