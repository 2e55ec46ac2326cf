package hub

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// buildModule builds a command of a required module. Its own requirements that
// ours lack go into a copy of go.mod.
func buildModule(t *testing.T, pkg, name string) string {
	t.Helper()
	dir := t.TempDir()
	for _, f := range []string{"go.mod", "go.sum"} {
		data, err := os.ReadFile(filepath.Join("..", f))
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(filepath.Join(dir, f), data, 0o600))
	}
	bin := filepath.Join(dir, name)
	out, err := exec.Command("go", "build", "-mod=mod", "-modfile="+filepath.Join(dir, "go.mod"), "-o", bin, pkg).CombinedOutput()
	require.NoError(t, err, "cannot build %s: %s", pkg, out)
	return bin
}

// freeAddress returns an address that nobody listens on.
func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	return l.Addr().String()
}

// server is a process that serves HTTP.
type server struct {
	t    *testing.T
	bin  string
	args []string
	addr string
	cmd  *exec.Cmd
}

func (s *server) start() {
	s.t.Helper()
	s.cmd = exec.Command(s.bin, s.args...)
	s.cmd.Stderr = s.t.Output()
	require.NoError(s.t, s.cmd.Start())
	cmd := s.cmd
	s.t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	require.Eventually(s.t, func() bool {
		c, err := net.DialTimeout("tcp", s.addr, time.Second)
		if err != nil {
			return false
		}
		return c.Close() == nil
	}, 30*time.Second, 50*time.Millisecond, "%s does not listen", s.bin)
}

func (s *server) kill() {
	s.t.Helper()
	require.NoError(s.t, s.cmd.Process.Kill())
	_ = s.cmd.Wait()
}

// victoriaLogs starts two storage nodes, and one node that inserts and selects.
func victoriaLogs(t *testing.T) (front *server, nodes []*server) {
	bin := buildModule(t, "github.com/VictoriaMetrics/VictoriaMetrics/app/victoria-logs", "victoria-logs")
	args := func(addr string) []string {
		return []string{"-httpListenAddr=" + addr, "-loggerLevel=WARN", "-storageDataPath=" + t.TempDir(), "-retentionPeriod=40d", "-inmemoryDataFlushInterval=1s"}
	}
	front = &server{t: t, bin: bin, addr: freeAddress(t)}
	front.args = args(front.addr)
	for range 2 {
		n := &server{t: t, bin: bin, addr: freeAddress(t)}
		n.args = args(n.addr)
		n.start()
		nodes = append(nodes, n)
		front.args = append(front.args, "-storageNode="+n.addr)
	}
	front.start()
	return front, nodes
}

func TestHub_StoresInAVictoriaLogsCluster(t *testing.T) {
	if testing.Short() {
		t.Skip("builds and runs a cluster")
	}
	front, nodes := victoriaLogs(t)
	dir := t.TempDir()
	o := Options{DataDir: dir, StoreURL: "http://" + front.addr, StoreSettle: 5 * time.Second}
	c, stop := start(t, o)
	c.mustPut(0, 100)
	c.mustPut(50, 150)
	c.waitFor(150)
	c.project = "other"
	require.Empty(t, c.records(url.Values{}))
	c.project = "proj"

	var status map[string]any
	c.getJSON("status", url.Values{}, &status)
	require.Equal(t, "cluster", status["store"])
	var hits struct{ Hits []struct{ Total int } }
	c.getJSON("hits", url.Values{"step": {"10s"}}, &hits)
	require.Equal(t, 150, hits.Hits[0].Total)
	var facets struct{ Facets []struct{ Field string } }
	c.getJSON("facets", url.Values{}, &facets)
	require.NotEmpty(t, facets.Facets)

	// A node that dies with rows in memory: they are written again.
	c.mustPut(150, 400)
	for _, n := range nodes {
		n.kill()
	}
	for _, n := range nodes {
		n.start()
	}
	require.Eventually(t, func() bool { return len(c.records(url.Values{"limit": {"1000"}})) == 400 }, 90*time.Second, 500*time.Millisecond)
	stop()

	c, _ = start(t, o)
	c.mustPut(380, 410)
	require.Eventually(t, func() bool { return len(c.records(url.Values{"limit": {"1000"}})) >= 410 }, 60*time.Second, 200*time.Millisecond)
	got := c.records(url.Values{"query": {"* | stats count() n, count_uniq(__wt_offset__) u"}})
	require.Equal(t, "410", got[0]["n"])
	require.Equal(t, "410", got[0]["u"])
}

func TestHub_TakesInOverANATSServer(t *testing.T) {
	if testing.Short() {
		t.Skip("builds and runs a server")
	}
	bin := buildModule(t, "github.com/nats-io/nats-server/v2", "nats-server")
	n := &server{t: t, bin: bin, addr: freeAddress(t)}
	host, port, err := net.SplitHostPort(n.addr)
	require.NoError(t, err)
	conf := filepath.Join(t.TempDir(), "nats.conf")
	text := fmt.Sprintf("host: %q\nport: %s\nmax_payload: 16MB\nmax_pending: 64MB\njetstream { store_dir: %q, sync_interval: always }\n", host, port, t.TempDir())
	require.NoError(t, os.WriteFile(conf, []byte(text), 0o600))
	n.args = []string{"-c", conf}
	n.start()
	dir := t.TempDir()
	o := Options{DataDir: dir, NATSURL: "nats://" + n.addr}
	c, stop := start(t, o)
	c.mustPut(0, 100)
	c.mustPut(50, 150)
	c.waitFor(150)

	// While the server is away nothing is taken; afterwards it goes on.
	n.kill()
	r := c.put(payload(150, 200))
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	resp, err := http.DefaultClient.Do(r.WithContext(ctx))
	cancel()
	if err == nil {
		require.NoError(t, resp.Body.Close())
		require.Equal(t, http.StatusInternalServerError, resp.StatusCode)
	}
	n.start()
	require.Eventually(t, func() bool {
		status, _ := c.do(c.put(payload(150, 200)))
		return status == http.StatusOK
	}, 60*time.Second, 500*time.Millisecond)
	c.waitFor(200)
	stop()
	c, _ = start(t, o)
	c.mustPut(0, 210)
	c.waitFor(210)
}
