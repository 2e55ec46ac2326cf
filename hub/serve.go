package hub

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	stdlog "log"
	"net"
	"net/http"
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
