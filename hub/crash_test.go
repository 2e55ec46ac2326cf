package hub

import (
	"bufio"
	"context"
	"encoding/json"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wasmtail/wasmtail/internal/loggroup"
	"github.com/wasmtail/wasmtail/internal/signature"
)

// build builds a command into the test's directory.
func build(t *testing.T, pkg, name string) string {
	t.Helper()
	bin := filepath.Join(t.TempDir(), name)
	out, err := exec.Command("go", "build", "-o", bin, pkg).CombinedOutput()
	require.NoError(t, err, "cannot build %s: %s", pkg, out)
	return bin
}

// process is a hub of its own.
type process struct {
	cmd *exec.Cmd
	*client
}

// spawn starts the built hub.
func spawn(t *testing.T, bin, dir string, args ...string) *process {
	t.Helper()
	cmd := exec.Command(bin, append([]string{"--data-dir", dir, "--listen", "127.0.0.1:0"}, args...)...)
	cmd.Env = append(os.Environ(), "WASMTAIL_HUB_KEY_ID="+credentials.KeyID, "WASMTAIL_HUB_KEY_SECRET="+credentials.Secret)
	cmd.Stderr = t.Output()
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	t.Cleanup(func() { _ = cmd.Process.Kill() })
	line, err := bufio.NewReader(out).ReadBytes('\n')
	require.NoError(t, err, "the hub ended before it was ready")
	var a struct{ URL, Login string }
	require.NoError(t, json.Unmarshal(line, &a))
	return &process{cmd, newClient(t, a.URL, a.Login)}
}

// kill ends the process as a power cut would, but for the disk's cache.
func (p *process) kill() {
	p.t.Helper()
	require.NoError(p.t, p.cmd.Process.Kill())
	_ = p.cmd.Wait()
}

// send sends lines [first, last) as an agent does, and reports whether the hub
// took them.
func (p *process) send(ctx context.Context, first, last int) bool {
	raw := payload(first, last)
	body := loggroup.NewCompressor(loggroup.Snappy).Append(nil, raw)
	r := p.request(body, len(raw), "snappy", signature.Options{Version: signature.V4, Region: "local", Now: time.Now()}).WithContext(ctx)
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		return false
	}
	_ = resp.Body.Close()
	return resp.StatusCode == http.StatusOK
}

// TestHub_KillsLoseAndRepeatNothing kills the hub at random moments under load.
// The sender goes back to its last safe position, and cuts batches anew there.
func TestHub_KillsLoseAndRepeatNothing(t *testing.T) {
	if testing.Short() {
		t.Skip("builds and kills processes")
	}
	rounds := 6
	if s := os.Getenv("CRASH_ROUNDS"); s != "" {
		n, err := strconv.Atoi(s)
		require.NoError(t, err)
		rounds = n
	}
	bin := build(t, "github.com/wasmtail/wasmtail/cmd/wasmtail-hub", "wasmtail-hub")
	dir := t.TempDir()
	sent := 0 // lines that the hub has taken
	for round := range rounds {
		p := spawn(t, bin, dir)
		life := time.Duration(500+rand.IntN(4500)) * time.Millisecond
		ctx, cancel := context.WithTimeout(context.Background(), life)
		sent = max(0, sent-rand.IntN(30)) // the sender's own checkpoint lags
		for ctx.Err() == nil {
			n := 1 + rand.IntN(40)
			if p.send(ctx, sent, sent+n) {
				sent += n
			}
		}
		p.kill()
		cancel()
		t.Logf("round %d: killed after %s, %d lines taken", round, life, sent)
	}
	p := spawn(t, bin, dir)
	var stats []map[string]string
	q := url.Values{"query": {`* | stats count() n, count_uniq(__wt_offset__) u`}, "start": {strconv.FormatInt(time.Now().Add(-time.Hour).Unix(), 10)}}
	require.Eventually(t, func() bool {
		stats = p.records(q)
		n, _ := strconv.Atoi(stats[0]["n"])
		return n >= sent
	}, 60*time.Second, 100*time.Millisecond, "%v of %d", stats, sent)
	// Lines that were taken without the sender hearing of it may be there too.
	n, err := strconv.Atoi(stats[0]["n"])
	require.NoError(t, err)
	require.Equal(t, stats[0]["u"], stats[0]["n"], "no line twice")
	require.LessOrEqual(t, n, sent+40)
	var ledger struct {
		Totals      map[string]int64
		Generations []struct{ Ranges, Missing [][2]int64 }
	}
	p.getJSON("ledger", url.Values{}, &ledger)
	require.Len(t, ledger.Generations, 1)
	require.Empty(t, ledger.Generations[0].Missing)
	require.EqualValues(t, n*lineBytes, ledger.Generations[0].Ranges[0][1])
	require.EqualValues(t, n, ledger.Totals["stored"])
	require.NoError(t, p.cmd.Process.Signal(os.Interrupt))
	require.NoError(t, p.cmd.Wait(), "an orderly end")
}
