package realserver

import (
	"context"
	"fmt"
	"net"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/wasmtail/wasmtail/internal/durable"
)

// Relay is an OpenTelemetry Collector that sends on the logs that it receives.
type Relay struct {
	// HTTP and GRPC are the addresses at which it receives, without a scheme.
	HTTP, GRPC string

	t      testing.TB
	bin    string
	config string
	cmd    *exec.Cmd
}

// Collector starts one. exporter is what its exporter of OTLP/HTTP is set to, in YAML
// as it stands between braces; metadata of the sender's requests is not passed on.
func Collector(t testing.TB, exporter string) *Relay {
	t.Helper()
	var addresses []string
	for range 2 {
		l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
		require(t, err, "cannot find a port")
		defer l.Close()
		addresses = append(addresses, l.Addr().String())
	}
	r := &Relay{HTTP: addresses[0], GRPC: addresses[1], t: t, config: filepath.Join(t.TempDir(), "collector.yaml")}
	r.bin = link(t, filepath.Join(moduleRoot(t), "internal", "realserver", "collector"), ".")
	require(t, durable.WriteFile(durable.OS{}, r.config, fmt.Appendf(nil, `receivers: {otlp: {protocols: {http: {endpoint: %q}, grpc: {endpoint: %q}}}}
exporters: {otlp_http: {%s}}
service: {pipelines: {logs: {receivers: [otlp], exporters: [otlp_http]}}}
`, r.HTTP, r.GRPC, exporter)), "cannot write the Collector's configuration")
	return r
}

// Start starts it, and waits until it receives. It runs until the test ends.
func (r *Relay) Start() {
	r.t.Helper()
	r.cmd = exec.CommandContext(context.WithoutCancel(r.t.Context()), r.bin, "--config=file:"+r.config) //nolint:gosec // of constants
	r.cmd.Stderr = r.t.Output()
	r.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	require(r.t, r.cmd.Start(), "cannot start a Collector")
	r.t.Cleanup(r.Kill)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for ends := time.Now().Add(patience); !r.listens(); <-tick.C {
		if time.Now().After(ends) {
			r.t.Error("waited in vain for the Collector to listen")
			r.t.FailNow()
		}
	}
}

func (r *Relay) listens() bool {
	for _, address := range []string{r.HTTP, r.GRPC} {
		conn, err := (&net.Dialer{Timeout: time.Second}).DialContext(r.t.Context(), "tcp", address)
		if err != nil {
			return false
		}
		_ = conn.Close() // nothing was said
	}
	return true
}

// Kill ends it at once, with what it had in its queue.
func (r *Relay) Kill() {
	if r.cmd == nil {
		return
	}
	_ = r.cmd.Process.Kill() // it may have ended
	_ = r.cmd.Wait()
	r.cmd = nil
}
