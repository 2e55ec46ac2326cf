package hub

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"runtime"
	"runtime/debug"
	"strconv"

	"github.com/wasmtail/wasmtail/internal/telemetry"
)

// metrics writes the numbers for Prometheus.
func (p *parts) metrics(w http.ResponseWriter, _ *http.Request) {
	var m metricWriter
	p.ingestMetrics(&m)
	if p.engine != nil {
		u := p.engine.Usage()
		m.write(&telemetry.HubStoreRecords, "", float64(u.Rows))
		m.write(&telemetry.HubStoreDisk, "", float64(u.DiskBytes))
		m.write(&telemetry.HubDropped, "", float64(u.Dropped))
	}
	var mem runtime.MemStats
	runtime.ReadMemStats(&mem)
	m.write(&telemetry.HubHeap, "", float64(mem.HeapInuse))
	m.write(&telemetry.HubGoroutines, "", float64(runtime.NumGoroutine()))
	m.write(&telemetry.HubBuild, fmt.Sprintf("version=%q,go=%q,module=%q", p.o.Version, runtime.Version(), module()), 1)
	w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
	_, _ = w.Write(m.text.Bytes())
}

// ingestMetrics writes what the receiver and the stream count.
func (p *parts) ingestMetrics(m *metricWriter) {
	ctx, cancel := context.WithTimeout(context.Background(), statsTimeout)
	defer cancel()
	st, c := p.stream.Stats(ctx), p.receive.Counts()
	m.write(&telemetry.HubRequests, `outcome="success"`, float64(c.Accepted.Load()))
	m.write(&telemetry.HubRequests, `outcome="refused"`, float64(c.Refused.Load()))
	m.write(&telemetry.HubRequests, `outcome="busy"`, float64(c.Busy.Load()))
	for _, s := range []struct {
		metric *telemetry.Metric
		value  float64
	}{
		{&telemetry.HubRecords, float64(c.Logs.Load())},
		{&telemetry.HubBodyBytes, float64(c.BodyBytes.Load())},
		{&telemetry.HubRawBytes, float64(c.RawBytes.Load())},
		{&telemetry.HubBatches, float64(st.Published)},
		{&telemetry.HubRepeated, float64(st.Repeated)},
		{&telemetry.HubStreamFull, float64(st.Full)},
		{&telemetry.HubUndecodable, float64(st.Undecodable)},
		{&telemetry.HubWaiting, float64(st.Waiting)},
		{&telemetry.HubStreamBytes, float64(st.WaitingBytes)},
		{&telemetry.HubStored, float64(st.Rows)},
		{&telemetry.HubStoredBytes, float64(st.RowBytes)},
		{&telemetry.HubRecovered, float64(st.Recovered)},
		{&telemetry.HubCut, float64(st.Cut)},
		{&telemetry.HubRestarts, float64(st.Restarts)},
		{&telemetry.HubLag, st.Lag.Seconds()},
	} {
		m.write(s.metric, "", s.value)
	}
}

func module() string {
	if info, ok := debug.ReadBuildInfo(); ok {
		return info.Main.Path
	}
	return ""
}

// metricWriter writes the text form of Prometheus. The samples of one metric
// follow each other.
type metricWriter struct {
	text bytes.Buffer
	last *telemetry.Metric
}

func (w *metricWriter) write(m *telemetry.Metric, labels string, value float64) {
	if m != w.last {
		w.last = m
		fmt.Fprintf(&w.text, "# HELP %s %s\n# TYPE %s %s\n", m.Name, m.Help, m.Name, m.Kind)
	}
	w.text.WriteString(m.Name)
	if labels != "" {
		fmt.Fprintf(&w.text, "{%s}", labels)
	}
	fmt.Fprintf(&w.text, " %s\n", strconv.FormatFloat(value, 'f', -1, 64))
}
