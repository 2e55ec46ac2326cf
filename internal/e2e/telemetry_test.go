package e2e

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/wasmtail/wasmtail/internal/telemetry"
)

// span is what the test looks at of a span.
type span struct {
	service, name, trace, id, parent string
}

// traceReceiver takes OTLP over HTTP, as a trace store does.
type traceReceiver struct {
	*httptest.Server
	mu    sync.Mutex
	spans []span
	err   error
}

func newTraceReceiver(t *testing.T) *traceReceiver {
	t.Helper()
	c := &traceReceiver{}
	c.Server = httptest.NewServer(http.HandlerFunc(c.receive))
	t.Cleanup(c.Close)
	return c
}

func (c *traceReceiver) receive(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	spans, decodeErr := decodeSpans(body)
	if r.URL.Path != "/v1/traces" || r.Header.Get("Content-Type") != "application/x-protobuf" {
		err = errors.Join(err, fmt.Errorf("not a request of a trace exporter: %s, %s", r.URL.Path, r.Header.Get("Content-Type")))
	}
	c.mu.Lock()
	c.spans = append(c.spans, spans...)
	c.err = errors.Join(c.err, err, decodeErr)
	c.mu.Unlock()
	w.Header().Set("Content-Type", "application/x-protobuf")
}

func (c *traceReceiver) received(t *testing.T) []span {
	t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	require.NoError(t, c.err)
	return append([]span(nil), c.spans...)
}

// messages calls each with the fields of a protobuf message that have bytes.
func messages(data []byte, each func(n protowire.Number, value []byte) error) error {
	for len(data) > 0 {
		n, kind, size := protowire.ConsumeField(data)
		if size < 0 {
			return protowire.ParseError(size)
		}
		if kind == protowire.BytesType {
			value, _ := protowire.ConsumeBytes(data[protowire.SizeTag(n):size])
			if err := each(n, value); err != nil {
				return err
			}
		}
		data = data[size:]
	}
	return nil
}

// decodeSpans reads an ExportTraceServiceRequest: resource_spans (1), each with
// a resource (1) and scope_spans (2) that have spans (2).
func decodeSpans(data []byte) (all []span, err error) {
	return all, messages(data, func(_ protowire.Number, resourceSpans []byte) error {
		service, from := "", len(all)
		err := messages(resourceSpans, func(n protowire.Number, value []byte) error {
			switch n {
			case 1:
				return decodeService(value, &service)
			case 2:
				return messages(value, func(n protowire.Number, value []byte) error {
					if n != 2 {
						return nil
					}
					s, err := decodeSpan(value)
					all = append(all, s)
					return err
				})
			}
			return nil
		})
		for i := range all[from:] {
			all[from+i].service = service
		}
		return err
	})
}

// decodeService finds service.name among a resource's attributes (1), which
// have a key (1) and a value (2) with a string (1).
func decodeService(resource []byte, service *string) error {
	return messages(resource, func(n protowire.Number, attribute []byte) error {
		if n != 1 {
			return nil
		}
		key := ""
		return messages(attribute, func(n protowire.Number, value []byte) error {
			if n == 1 {
				key = string(value)
				return nil
			}
			if key != "service.name" {
				return nil
			}
			return messages(value, func(_ protowire.Number, text []byte) error {
				*service = string(text)
				return nil
			})
		})
	})
}

// decodeSpan reads trace_id (1), span_id (2), parent_span_id (4) and name (5).
func decodeSpan(data []byte) (s span, err error) {
	return s, messages(data, func(n protowire.Number, value []byte) error {
		switch n {
		case 1:
			s.trace = hex.EncodeToString(value)
		case 2:
			s.id = hex.EncodeToString(value)
		case 4:
			s.parent = hex.EncodeToString(value)
		case 5:
			s.name = string(value)
		}
		return nil
	})
}

// wantTrace are the spans of a batch, each with its parent.
var wantTrace = map[string]string{
	"wasmtail batch":           "",
	"wasmtail read":            "wasmtail batch",
	"wasmtail process regex#1": "wasmtail batch",
	"wasmtail encode hub":      "wasmtail batch",
	"wasmtail logservice.send": "wasmtail encode hub",
	"wasmtail-hub hub.receive": "wasmtail logservice.send",
	"wasmtail-hub hub.store":   "wasmtail-hub hub.receive",
}

// traces returns, for each trace, its spans with the parent of each.
func traces(spans []span) map[string]map[string]string {
	names := map[string]string{"": ""}
	for _, s := range spans {
		names[s.trace+s.id] = s.service + " " + s.name
	}
	all := map[string]map[string]string{}
	for _, s := range spans {
		if all[s.trace] == nil {
			all[s.trace] = map[string]string{}
		}
		parent := ""
		if s.parent != "" {
			parent = names[s.trace+s.parent]
			if parent == "" {
				parent = "unknown"
			}
		}
		all[s.trace][s.service+" "+s.name] = parent
	}
	return all
}

const regexPipeline = `  p:
    input: {type: files, include: [%q], start_at: beginning}
    processors:
      - {type: regex, pattern: '^(?P<n>\d+) (?P<word>\w+)$'}
    outputs: [hub]
    logstore: store
`

func TestOneTraceLeadsFromTheFileToTheStore(t *testing.T) {
	t.Parallel()
	c := newTraceReceiver(t)
	env := []string{"OTEL_EXPORTER_OTLP_ENDPOINT=" + c.URL, "OTEL_BSP_SCHEDULE_DELAY=100"}
	h := newHub(t)
	h.env = append(h.env, env...)
	h.start(t)
	path := writeFile(t, "app.log", "1 one\n2 two\nnothing\n")
	a := newAgent(t, h, fmt.Sprintf(regexPipeline, path))
	a.env = env
	a.start(t)
	a.eventually("the hub has the lines", func() bool { return len(h.records(t, "store")) == 3 })
	a.stop() // both send what they have when they stop
	h.stop()
	spans := c.received(t)
	all := traces(spans)
	require.NotEmpty(t, all, "no spans came")
	for id, got := range all {
		require.Equal(t, wantTrace, got, "trace %s", id)
	}
	ids := map[string]bool{}
	for _, s := range spans {
		require.False(t, ids[s.id], "span %s came twice", s.id)
		ids[s.id] = true
	}
}

func TestWithoutACollectorNothingChanges(t *testing.T) {
	t.Parallel()
	env := []string{"OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:1", "OTEL_BSP_SCHEDULE_DELAY=100"}
	h := newHub(t)
	h.env = append(h.env, env...)
	h.start(t)
	a := newAgent(t, h, fmt.Sprintf(regexPipeline, writeFile(t, "app.log", "1 one\n")))
	a.env = env
	a.start(t)
	a.eventually("the hub has the line", func() bool { return len(h.records(t, "store")) == 1 })
	a.stop()
	h.stop()
}

// sample is the value of a metric with these labels, in any order; labels that
// are not asked for do not matter.
func sample(t *testing.T, metrics, name string, labels ...string) string {
	t.Helper()
	for _, m := range regexp.MustCompile(`(?m)^`+name+`(?:\{(.*)\})? (\S+)$`).FindAllStringSubmatch(metrics, -1) {
		has := true
		for _, label := range labels {
			has = has && strings.Contains(","+m[1]+",", ","+label+",")
		}
		if has {
			return m[2]
		}
	}
	require.Fail(t, "no such metric", "%s %v in\n%s", name, labels, metrics)
	return ""
}

func TestMetricsSayWhatHappened(t *testing.T) {
	t.Parallel()
	h := startHub(t)
	lines := "1 one\n2 two\nnothing\n"
	// The second pipeline has a module that is not there, and the others servers that
	// are not: their metrics are.
	a := newAgent(t, h, fmt.Sprintf(regexPipeline, writeFile(t, "app.log", lines))+`  q:
    input: {type: files, include: [/nonexistent/*.log]}
    processors: [{type: wasm, module: /nonexistent/parser.wasm}]
    outputs: [hub]
    logstore: store
  r:
    input: {type: mysql, address: "127.0.0.1:1", user: u, password: p, query: "SELECT * FROM t WHERE id > ? ORDER BY id LIMIT 10", checkpoint: {column: id}}
    outputs: [hub]
    logstore: store
  s:
    input: {type: containers, pods: /nonexistent, docker: "", kubernetes: {api: true, node: n, url: "http://127.0.0.1:1", token_file: "", ca_file: ""}}
    outputs: [hub]
    logstore: store
modules: {development: true}
`)
	a.start(t)
	a.eventually("everything is acknowledged and stored", func() bool {
		s, err := a.status()
		require.NoError(t, err)
		files := s.Pipelines[0].Files
		return len(files) == 1 && files[0].Acked == int64(len(lines)) && len(h.records(t, "store")) == 3
	})
	status, body, err := a.get("/metrics")
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, status)
	metrics := string(body)
	require.Equal(t, "2", sample(t, metrics, "wasmtail_component_received_events_total", `pipeline="p"`, `outcome="parsed"`))
	require.Equal(t, "1", sample(t, metrics, "wasmtail_component_received_events_total", `pipeline="p"`, `outcome="failed"`))
	require.Equal(t, fmt.Sprint(len(lines)), sample(t, metrics, "wasmtail_component_received_bytes_total", `pipeline="p"`))
	require.NotEqual(t, "0", sample(t, metrics, "wasmtail_component_sent_bytes_total", `output="hub"`, `outcome="success"`))
	require.Equal(t, "0", sample(t, metrics, "wasmtail_buffer_bytes", `output="hub"`))
	require.NotEqual(t, "0", sample(t, metrics, "wasmtail_ack_latency_seconds_count", `output="hub"`, `outcome="success"`))
	require.NotEmpty(t, sample(t, metrics, "wasmtail_ack_latency_seconds_bucket", `output="hub"`, `le="+Inf"`))

	h.eventually("the hub has counted them", func() bool {
		status, text := h.plain(t, "/metrics")
		require.Equal(t, http.StatusOK, status)
		require.NotEqual(t, "0", sample(t, text, "wasmtail_hub_receive_requests_total", `outcome="success"`))
		require.Equal(t, "0", sample(t, text, "wasmtail_hub_receive_requests_total", `outcome="refused"`))
		require.Equal(t, "3", sample(t, text, "wasmtail_hub_receive_records_total"))
		for _, name := range []string{"receive_raw_bytes_total", "stream_batches_total", "stream_waiting_batches", "store_lag_seconds", "build_info"} {
			require.NotEmpty(t, sample(t, text, "wasmtail_hub_"+name))
		}
		return sample(t, text, "wasmtail_hub_store_records_total") == "3"
	})
	requireDocumented(t, telemetry.Agent, metrics)
	_, text := h.plain(t, "/metrics")
	requireDocumented(t, telemetry.Hub, text)
	a.stop()
}

var (
	typeRE   = regexp.MustCompile(`(?m)^# TYPE (wasmtail_\S+) (\S+)$`)
	sampleRE = regexp.MustCompile(`(?m)^(wasmtail_[a-z_]+?)(?:_bucket|_sum|_count)?(?:\{(.*)\})? \S+$`)
	labelRE  = regexp.MustCompile(`(?:^|,)([a-z_]+)="`)
)

// requireDocumented checks that a program shows the metrics that are declared,
// of these kinds and with these labels, and no others of ours.
func requireDocumented(t *testing.T, declared []*telemetry.Metric, text string) {
	t.Helper()
	kinds, labels := map[string]string{}, map[string][]string{}
	for _, m := range typeRE.FindAllStringSubmatch(text, -1) {
		kinds[m[1]] = m[2]
	}
	for _, m := range sampleRE.FindAllStringSubmatch(text, -1) {
		name := m[1]
		if _, ok := kinds[name]; !ok {
			continue
		}
		labels[name] = append(labels[name], "")
		for _, l := range labelRE.FindAllStringSubmatch(m[2], -1) {
			if l[1] != "le" {
				labels[name] = append(labels[name], l[1])
			}
		}
	}
	for _, m := range declared {
		require.Equal(t, string(m.Kind), kinds[m.Name], "%s in\n%s", m.Name, text)
		want := []string{""}
		for _, l := range m.Labels {
			want = append(want, l.Name)
		}
		slices.Sort(want)
		slices.Sort(labels[m.Name])
		require.Equal(t, want, slices.Compact(labels[m.Name]), "labels of %s", m.Name)
		delete(kinds, m.Name)
	}
	require.Empty(t, kinds, "shown and not declared")
}

// plain asks the hub without a signature.
func (h *hub) plain(t *testing.T, path string) (status int, text string) {
	t.Helper()
	resp, err := http.Get("http://" + h.addr + path)
	require.NoError(t, err)
	body, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	return resp.StatusCode, string(body)
}

func TestReadinessFollowsTheHub(t *testing.T) {
	t.Parallel()
	h := startHub(t)
	for _, path := range []string{"/livez", "/readyz"} {
		status, text := h.plain(t, path)
		require.Equal(t, http.StatusOK, status)
		require.Equal(t, "ok\n", text)
	}
	path := filepath.Join(t.TempDir(), "app.log")
	a := newAgent(t, h, fmt.Sprintf(regexPipeline, path))
	a.start(t)
	ready := func(want int) func() bool {
		return func() bool {
			status, _, err := a.get("/livez")
			require.NoError(t, err)
			require.Equal(t, http.StatusOK, status, "an agent that waits for its hub lives")
			status, _, err = a.get("/readyz")
			require.NoError(t, err)
			return status == want
		}
	}
	require.True(t, ready(http.StatusOK)())
	h.stop()
	require.NoError(t, os.WriteFile(path, []byte("1 one\n"), 0o600))
	a.eventually("the agent says that its hub is away", ready(http.StatusServiceUnavailable))
	_, verbose, err := a.get("/readyz?verbose")
	require.NoError(t, err)
	require.Regexp(t, `(?m)^output hub: failing since \S+: .*connection refused`, string(verbose))
	got := wasmtail(t, "status", "-c", a.config)
	require.Zero(t, got.code)
	require.Regexp(t, `output hub \(logservice\) FAILS since \d\d:\d\d:\d\d: .*connection refused`, got.stdout)
	h.start(t)
	a.eventually("the agent is ready again", ready(http.StatusOK))
	a.eventually("the hub has the line", func() bool { return len(h.records(t, "store")) == 1 })
	a.stop()
}
