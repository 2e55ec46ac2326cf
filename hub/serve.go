package hub

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	stdlog "log"
	"net"
	"net/http"
	"runtime"
	"runtime/debug"
	"strconv"
	"time"

	"github.com/sirupsen/logrus"
)

const (
	// readHeaderTimeout, and the read timeout of a body in the receiver, keep
	// slow clients from holding connections.
	readHeaderTimeout = 10 * time.Second
	readTimeout       = 3 * time.Minute
	writeTimeout      = 3 * time.Minute
	idleTimeout       = 2 * time.Minute
	headerBytesMax    = 64 << 10
	// statsTimeout bounds what a scrape waits for the stream.
	statsTimeout = 2 * time.Second
)

// serverTLS puts TLS in front of a listener.
func serverTLS(certFile, keyFile string, l net.Listener) (net.Listener, error) {
	cert, err := tls.LoadX509KeyPair(certFile, keyFile)
	if err != nil {
		return nil, fmt.Errorf("cannot load the TLS certificate: %w", err)
	}
	return tls.NewListener(l, &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12}), nil
}

// server is the one HTTP server of the hub.
func (p *parts) server() *http.Server {
	mux := http.NewServeMux()
	mux.Handle("POST /logstores/{logstore}", p.receive)
	mux.Handle("POST /logstores/{logstore}/shards/lb", p.receive)
	mux.Handle("POST /logstores/{logstore}/shards/route", p.receive)
	p.console.Register(mux)
	mux.HandleFunc("GET /livez", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "ok\n") })
	mux.HandleFunc("GET /readyz", p.ready)
	mux.HandleFunc("GET /metrics", p.metrics)
	return &http.Server{
		Handler:           mux,
		ReadHeaderTimeout: readHeaderTimeout, ReadTimeout: readTimeout, WriteTimeout: writeTimeout, IdleTimeout: idleTimeout,
		MaxHeaderBytes: headerBytesMax,
		ErrorLog:       stdlog.New(debugLog{p.o.Log}, "", 0),
	}
}

// debugLog takes what the HTTP server says about its clients: they come and go.
type debugLog struct{ log *logrus.Logger }

func (d debugLog) Write(text []byte) (int, error) {
	d.log.Debug(string(text))
	return len(text), nil
}

// ready says whether the hub can take logs and answer queries.
func (p *parts) ready(w http.ResponseWriter, _ *http.Request) {
	if p.engine != nil && p.engine.Usage().Full {
		w.WriteHeader(http.StatusServiceUnavailable)
		_, _ = io.WriteString(w, "the disk of the store is full\n")
		return
	}
	_, _ = io.WriteString(w, "ok\n")
}

// ingest returns the numbers of the status.
func (p *parts) ingest() map[string]any {
	ctx, cancel := context.WithTimeout(context.Background(), statsTimeout)
	defer cancel()
	st, c := p.stream.Stats(ctx), p.receive.Counts()
	m := map[string]any{
		"requests": c.Accepted.Load(), "repeated": st.Repeated, "refused": c.Refused.Load(), "busy": c.Busy.Load(),
		"records": c.Logs.Load(), "body_bytes": c.BodyBytes.Load(), "raw_bytes": c.RawBytes.Load(),
		"stored_records": st.Rows, "waiting_batches": st.Waiting, "waiting_bytes": st.WaitingBytes,
		"lag_seconds": st.Lag.Seconds(),
	}
	if p.engine != nil {
		u := p.engine.Usage()
		m["store_records"], m["store_disk_bytes"], m["store_raw_bytes"] = u.Rows, u.DiskBytes, u.RawBytes
	}
	return m
}

// metrics writes the numbers for Prometheus.
func (p *parts) metrics(w http.ResponseWriter, _ *http.Request) {
	ctx, cancel := context.WithTimeout(context.Background(), statsTimeout)
	defer cancel()
	st, c := p.stream.Stats(ctx), p.receive.Counts()
	w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
	m := metricWriter{w: w}
	m.counter("receive_requests_total", "Requests by outcome.", `outcome="success"`, c.Accepted.Load())
	m.more("receive_requests_total", `outcome="refused"`, c.Refused.Load())
	m.more("receive_requests_total", `outcome="busy"`, c.Busy.Load())
	m.counter("receive_records_total", "Records taken.", "", c.Logs.Load())
	m.counter("receive_body_bytes_total", "Bytes of bodies taken, as sent.", "", c.BodyBytes.Load())
	m.counter("receive_raw_bytes_total", "Bytes of bodies taken, inflated.", "", c.RawBytes.Load())
	m.counter("stream_batches_total", "Batches made durable.", "", st.Published)
	m.counter("stream_repeated_batches_total", "Batches that had been taken before.", "", st.Repeated)
	m.counter("stream_full_total", "Batches refused because the stream was full.", "", st.Full)
	m.counter("store_records_total", "Records written to the store.", "", st.Rows)
	m.counter("store_bytes_total", "Bytes of records written to the store.", "", st.RowBytes)
	m.counter("store_recovered_records_total", "Records found in the store after a crash.", "", st.Recovered)
	m.counter("store_cut_records_total", "Records of partly repeated batches that were left out.", "", st.Cut)
	m.counter("store_restarts_total", "Times the consumer started over after a fault of the store.", "", st.Restarts)
	m.counter("stream_undecodable_total", "Batches of the stream that could not be decoded.", "", st.Undecodable)
	m.gauge("stream_waiting_batches", "Batches not yet written to the store.", float64(st.Waiting))
	m.gauge("stream_bytes", "Bytes in the ingest stream.", float64(st.WaitingBytes))
	m.gauge("store_lag_seconds", "Age of the batch last written to the store.", st.Lag.Seconds())
	if p.engine != nil {
		u := p.engine.Usage()
		m.gauge("store_records", "Records in the store.", float64(u.Rows))
		m.gauge("store_disk_bytes", "Disk space of the store.", float64(u.DiskBytes))
		m.counter("store_dropped_records_total", "Records that the store did not keep, by their time.", "", u.Dropped)
	}
	var mem runtime.MemStats
	runtime.ReadMemStats(&mem)
	m.gauge("heap_bytes", "Bytes of the heap in use.", float64(mem.HeapInuse))
	m.gauge("goroutines", "Goroutines.", float64(runtime.NumGoroutine()))
	m.gaugeWith("build_info", "The version.", `version=`+strconv.Quote(p.o.Version)+`,go=`+strconv.Quote(runtime.Version())+`,module=`+strconv.Quote(module()), 1)
}

func module() string {
	if info, ok := debug.ReadBuildInfo(); ok {
		return info.Main.Path
	}
	return ""
}

// metricWriter writes the text form of Prometheus.
type metricWriter struct{ w io.Writer }

const metricPrefix = "wasmtail_hub_"

func (m metricWriter) head(name, kind, help string) {
	fmt.Fprintf(m.w, "# HELP %s%s %s\n# TYPE %s%s %s\n", metricPrefix, name, help, metricPrefix, name, kind)
}

func (m metricWriter) counter(name, help, labels string, v uint64) {
	m.head(name, "counter", help)
	m.more(name, labels, v)
}

func (m metricWriter) more(name, labels string, v uint64) {
	if labels != "" {
		labels = "{" + labels + "}"
	}
	fmt.Fprintf(m.w, "%s%s%s %d\n", metricPrefix, name, labels, v)
}

func (m metricWriter) gauge(name, help string, v float64) { m.gaugeWith(name, help, "", v) }

func (m metricWriter) gaugeWith(name, help, labels string, v float64) {
	m.head(name, "gauge", help)
	if labels != "" {
		labels = "{" + labels + "}"
	}
	fmt.Fprintf(m.w, "%s%s%s %g\n", metricPrefix, name, labels, v)
}
