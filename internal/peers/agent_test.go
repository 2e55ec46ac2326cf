//go:build linux

package peers

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// agentPath is the built agent.
func agentPath(t *testing.T) string {
	t.Helper()
	path := os.Getenv("PEERS_AGENT")
	if path == "" {
		path = filepath.Join("..", "..", "bin", "wasmtail")
	}
	path, err := filepath.Abs(path)
	require.NoError(t, err)
	_, err = os.Stat(path)
	require.NoError(t, err, "build the agent with `make build`")
	return path
}

// agent is our agent as it comes, but for the limits of CPU and bandwidth,
// which would only make it wait. Requests are signed (version 4) and carry the
// tags of the ledger.
func agent(binary, codec string) contender {
	c := contender{name: "wasmtail " + codec, sink: logServiceSink}
	c.prepare = func(t *testing.T, s site) command {
		t.Helper()
		path := s.write(t, "agent.yaml", agentConfig(s, codec, "1s"))
		return command{argv: []string{binary, "run", "--no-supervisor", "-c", path}}
	}
	if folder := os.Getenv("PEERS_PROFILE"); folder != "" {
		c.profile = func(t *testing.T, s site) func() {
			t.Helper()
			return profileAgent(t, s, filepath.Join(folder, s.workload.name+"-"+codec+".pprof"))
		}
	}
	return c
}

func agentConfig(s site, codec, batchWait string) string {
	var b strings.Builder
	fmt.Fprintf(&b, `version: 1
data_dir: ./state
limits: {cpu: 0, bandwidth: 0}
admin: {listen: "unix:./agent.sock"}
log: {level: warn}
outputs:
  sink:
    type: logservice
    endpoint: http://%s
    region: local
    project: local
    access_key_id: %s
    access_key_secret: %s
    compression: %s
pipelines:
  %s:
    outputs: [sink]
    batch: {wait: %s}
    input:
      type: files
      include: ['%s/*.log']
`, s.sink, keyID, keySecret, codec, s.workload.name, batchWait, s.watch)
	switch s.workload.name {
	case nginx.name:
		fmt.Fprintf(&b, "    processors:\n      - {type: regex, pattern: '%s'}\n", nginxPattern)
	case multiline.name:
		fmt.Fprintf(&b, "      multiline: {start: '%s', timeout: 1s}\n", javaStart)
	case jsonLines.name:
		fmt.Fprintf(&b, "    processors:\n      - {type: json}\n")
	}
	return b.String()
}

// profileSeconds is how long a profile takes. It should be longer than the
// measurement: time in which nothing happens does not show in it.
const profileSeconds = 20

// profileAgent records a CPU profile over the admin socket. It costs some CPU
// time itself, so figures of such a run are not for comparison.
func profileAgent(t *testing.T, s site, to string) (wait func()) {
	t.Helper()
	client := &http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", filepath.Join(s.dir, "agent.sock"))
		},
	}}
	done := make(chan error, 1) // one result, which nobody may wait for
	go func() {
		done <- func() error {
			resp, err := client.Get(fmt.Sprintf("http://agent/debug/pprof/profile?seconds=%d", profileSeconds))
			if err != nil {
				return err
			}
			defer resp.Body.Close()
			file, err := os.Create(to)
			if err != nil {
				return err
			}
			defer file.Close()
			_, err = io.Copy(file, resp.Body)
			return err
		}()
	}()
	return func() { require.NoError(t, <-done, "cannot record a profile") }
}
