package e2e

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wasmtail/wasmtail/internal/realserver"
)

// orders writes lines of JSON, numbered from one on.
type orders struct {
	t    *testing.T
	path string
	n    int
}

var orderStart = time.Date(2026, 3, 12, 8, 15, 0, 0, time.UTC)

// write appends lines.
func (o *orders) write(n int) {
	o.t.Helper()
	f, err := os.OpenFile(o.path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	require.NoError(o.t, err)
	for range n {
		o.n++
		at := orderStart.Add(time.Duration(o.n) * time.Millisecond).Format(time.RFC3339Nano)
		_, err = fmt.Fprintf(f, `{"time":%q,"level":"warn","message":"order %d is paid","n":"%d","trace_id":"4bf92f3577b34da6a3ce929d%08x"}`+"\n", at, o.n, o.n, o.n)
		require.NoError(o.t, err)
	}
	require.NoError(o.t, f.Close())
}

// arrived counts the lines of a copy by which output they came, after it has looked
// at what is in each: nothing may be lost on the way.
func (o *orders) arrived(copyPath string) map[string]map[int]int {
	o.t.Helper()
	seen, ids := map[string]map[int]int{"http": {}, "grpc": {}}, map[string]any{}
	f, err := os.Open(copyPath)
	if os.IsNotExist(err) {
		return seen
	}
	require.NoError(o.t, err)
	defer func() { _ = f.Close() }()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		var r map[string]any
		if json.Unmarshal(lines.Bytes(), &r) != nil {
			break // it is being written
		}
		var n int
		_, err := fmt.Sscan(fmt.Sprint(r["n"]), &n)
		require.NoError(o.t, err, "%s", lines.Text())
		want := map[string]any{
			"content": fmt.Sprintf("order %d is paid", n), "severity_text": "warn", "severity_number": "13",
			"trace_id": fmt.Sprintf("4bf92f3577b34da6a3ce929d%08x", n), "service.name": "shop", "deployment.environment.name": "e2e",
			"log.file.path": o.path, "otel.scope.name": "github.com/wasmtail/wasmtail/plugins/output/otlp",
		}
		for key, value := range want {
			require.Equal(o.t, value, r[key], "%s of %s", key, lines.Text())
		}
		require.NotEmpty(o.t, r["log.record.uid"])
		which := fmt.Sprint(r["via"], n)
		if id, again := ids[which]; again {
			require.Equal(o.t, id, r["log.record.uid"], "a line that is there twice has two ids")
		}
		ids[which] = r["log.record.uid"]
		at, err := time.Parse(time.RFC3339Nano, fmt.Sprint(r["__time__"]))
		require.NoError(o.t, err, lines.Text())
		require.Equal(o.t, orderStart.Add(time.Duration(n)*time.Millisecond), at.UTC())
		seen[fmt.Sprint(r["via"])][n]++
	}
	return seen
}

// TestThroughACollector: records go by OTLP, over HTTP and over gRPC, to an
// OpenTelemetry Collector, which sends them on to the http input of another agent. The
// Collector is killed and started again, and so is the agent that sends.
func TestThroughACollector(t *testing.T) {
	t.Parallel()
	address := freePort(t)
	collector := realserver.Collector(t, fmt.Sprintf(`endpoint: "http://%s", sending_queue: {enabled: false}, retry_on_failure: {enabled: true, initial_interval: 50ms, max_interval: 200ms}`, address))
	collector.Start()
	receiver := newAgentIn(t, t.TempDir(), "127.0.0.1:1", fmt.Sprintf("  in:\n    input: {type: http, listen: %q}\n    outputs: [copy]\n    logstore: store\n", address))
	receiver.start(t)

	o := &orders{t: t, path: filepath.Join(t.TempDir(), "orders.log")}
	pipelines := ""
	for _, via := range []string{"http", "grpc"} {
		pipelines += fmt.Sprintf(`  %[1]s:
    input: {type: files, include: [%[2]q], start_at: beginning}
    processors: [{type: json}, {type: time, field: time, format: iso8601, keep_source: false}]
    outputs: [%[1]s]
    logstore: shop
`, via, o.path)
	}
	sender := newAgentIn(t, t.TempDir(), "127.0.0.1:1", pipelines)
	text, err := os.ReadFile(sender.config)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(sender.config, []byte(strings.Replace(string(text), "outputs:\n", fmt.Sprintf(`outputs:
  http: {type: otlp, url: "http://%s", resource: {deployment.environment.name: e2e, via: http}, timeout: 5s}
  grpc: {type: otlp, protocol: grpc, url: "http://%s", resource: {deployment.environment.name: e2e, via: grpc}, timeout: 5s}
`, collector.HTTP, collector.GRPC), 1)), 0o600))
	o.write(3000)
	sender.start(t)

	everything := func() bool {
		for _, seen := range o.arrived(filepath.Join(receiver.dir, "copy.jsonl")) {
			if len(seen) < o.n {
				return false
			}
		}
		return true
	}
	receiver.eventually("the first lines are there", everything)
	collector.Kill()
	o.write(2000)
	sender.eventually("both outputs say that the Collector is away", func() bool {
		s, err := sender.status()
		require.NoError(t, err)
		away := 0
		for _, out := range s.Outputs {
			if out.Error != "" {
				away++
			}
		}
		return away == 2
	})
	sender.kill()
	o.write(1000)
	collector.Start()
	sender.start(t)
	receiver.eventually("everything is there", everything)
	o.write(1000)
	collector.Kill() // perhaps with requests that it has not sent on yet
	collector.Start()
	receiver.eventually("everything is there again", everything)
	for via, seen := range o.arrived(filepath.Join(receiver.dir, "copy.jsonl")) {
		double := 0
		for _, n := range seen {
			double += n - 1
		}
		t.Logf("%d lines by %s, %d of them double", len(seen), via, double)
		require.LessOrEqual(t, double, 4000, "only what was under way may be there twice")
	}
}
