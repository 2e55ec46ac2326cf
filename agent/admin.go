package agent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/pprof"
	"os"
	"strings"
	"time"

	"github.com/wasmtail/wasmtail/internal/telemetry"
)

// adminServer is the agent's own HTTP address: read-only, without a password,
// meant for the loopback interface or a socket file.
type adminServer struct {
	listener net.Listener
	server   *http.Server
	done     chan struct{}
}

// listenAdmin starts the admin server; with an empty address it is off.
func (a *agent) listenAdmin() (*adminServer, error) {
	address := a.o.File.Admin.Listen
	if address == "" {
		return &adminServer{}, nil
	}
	network := "tcp"
	if path, ok := strings.CutPrefix(address, "unix:"); ok {
		network, address = "unix", path
		// The state folder's lock says that no other agent uses this socket.
		if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
			return nil, fmt.Errorf("cannot replace the admin socket: %w", err)
		}
	}
	listener, err := (&net.ListenConfig{}).Listen(context.Background(), network, address)
	if err != nil {
		return nil, fmt.Errorf("cannot listen on admin address %s: %w; choose another with admin.listen", address, err)
	}
	if network == "unix" {
		//nolint:gosec // the group may ask: what the socket shows is read-only
		if err := os.Chmod(address, 0o660); err != nil {
			return nil, errors.Join(fmt.Errorf("cannot set the mode of the admin socket: %w", err), listener.Close())
		}
	}
	s := &adminServer{listener: listener, done: make(chan struct{}), server: &http.Server{
		Handler: a.adminHandler(), ReadHeaderTimeout: 5 * time.Second, IdleTimeout: time.Minute, MaxHeaderBytes: 16 << 10,
	}}
	go func() {
		defer close(s.done)
		_ = s.server.Serve(listener) // ends with close
	}()
	return s, nil
}

func (s *adminServer) addr() string {
	if s.listener == nil {
		return ""
	}
	return s.listener.Addr().String()
}

func (s *adminServer) close() error {
	if s.listener == nil {
		return nil
	}
	err := s.server.Close()
	<-s.done
	return err
}

func (a *agent) adminHandler() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", telemetry.MetricsHandler())
	mux.HandleFunc("GET /livez", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("ok\n")) })
	mux.HandleFunc("GET /readyz", a.serveReady)
	mux.HandleFunc("GET /api/v1/status", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(a.status())
	})
	mux.HandleFunc("GET /debug/pprof/", pprof.Index)
	mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	return mux
}

// serveReady answers 200 while every input is ready and every output delivers, else
// 503; with ?verbose it names them.
func (a *agent) serveReady(w http.ResponseWriter, r *http.Request) {
	s := a.status()
	status := http.StatusOK
	var text strings.Builder
	for _, p := range s.Pipelines {
		if !p.Ready {
			status = http.StatusServiceUnavailable
			fmt.Fprintf(&text, "pipeline %s: its input is starting\n", p.Name)
			continue
		}
		fmt.Fprintf(&text, "pipeline %s: ok\n", p.Name)
	}
	for _, o := range s.Outputs {
		if o.Error != "" {
			status = http.StatusServiceUnavailable
			fmt.Fprintf(&text, "output %s: failing since %s: %s\n", o.Name, o.FailingSince.Format(time.RFC3339), o.Error)
			continue
		}
		fmt.Fprintf(&text, "output %s: ok\n", o.Name)
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(status)
	if r.URL.Query().Has("verbose") {
		_, _ = w.Write([]byte(text.String()))
		return
	}
	if status == http.StatusOK {
		_, _ = w.Write([]byte("ok\n"))
		return
	}
	_, _ = w.Write([]byte("an input is starting, or an output does not deliver; see ?verbose\n"))
}
