package realserver

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/wasmtail/wasmtail/internal/durable"
)

// Tables is a ClickHouse.
type Tables struct {
	// URL is its address, without a path.
	URL string

	t      testing.TB
	config string
	cmd    *exec.Cmd
}

// clickHouseServer is what Debian calls it.
const clickHouseServer = "clickhouse-server"

// ClickHouse starts one, and fails the test where it is not installed.
func ClickHouse(t testing.TB) *Tables {
	t.Helper()
	_, err := exec.LookPath(clickHouseServer)
	require(t, err, "cannot find "+clickHouseServer+": install Debian's package of that name")
	var ports []string
	for range 2 {
		l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
		require(t, err, "cannot find a port")
		defer l.Close()
		_, port, err := net.SplitHostPort(l.Addr().String())
		require(t, err, "cannot read a port")
		ports = append(ports, port)
	}
	dir := t.TempDir()
	s := &Tables{URL: "http://127.0.0.1:" + ports[0], t: t, config: filepath.Join(dir, "config.xml")}
	for name, text := range map[string]string{
		"config.xml": fmt.Sprintf(`<yandex><logger><level>warning</level><console>1</console></logger><listen_host>127.0.0.1</listen_host>
<http_port>%s</http_port><tcp_port>%s</tcp_port><path>%s/data/</path><tmp_path>%[3]s/tmp/</tmp_path><users_config>users.xml</users_config>
<default_profile>default</default_profile><default_database>default</default_database><mark_cache_size>5368709120</mark_cache_size></yandex>`, ports[0], ports[1], dir),
		"users.xml": `<yandex><profiles><default/></profiles><quotas><default/></quotas><users><default><password></password>
<networks><ip>::/0</ip></networks><profile>default</profile><quota>default</quota></default></users></yandex>`,
	} {
		require(t, durable.WriteFile(durable.OS{}, filepath.Join(dir, name), []byte(text)), "cannot write "+name)
	}
	return s
}

// Start starts it, and waits until it answers. It runs until the test ends.
func (s *Tables) Start() {
	s.t.Helper()
	s.cmd = exec.CommandContext(context.WithoutCancel(s.t.Context()), clickHouseServer, "--config-file="+s.config) //nolint:gosec // of constants
	s.cmd.Dir = filepath.Dir(s.config)
	require(s.t, s.cmd.Start(), "cannot start a server")
	cmd := s.cmd
	s.t.Cleanup(func() {
		_ = cmd.Process.Kill() // it may have ended
		_ = cmd.Wait()
	})
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for ends := time.Now().Add(patience); ; <-tick.C {
		if _, err := s.query("SELECT 1"); err == nil {
			return
		} else if time.Now().After(ends) {
			require(s.t, err, "waited in vain for the server to answer")
		}
	}
}

// Kill ends it at once.
func (s *Tables) Kill() {
	_ = s.cmd.Process.Kill() // it may have ended
	_ = s.cmd.Wait()
}

// Query runs a statement, and returns its answer as text.
func (s *Tables) Query(statement string) string {
	s.t.Helper()
	text, err := s.query(statement)
	require(s.t, err, "cannot query")
	return text
}

func (s *Tables) query(statement string) (string, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(s.t.Context()), 10*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.URL+"/", strings.NewReader(statement))
	if err != nil {
		return "", err
	}
	resp, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(req) //nolint:forbidigo // for tests
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", resp.Status, text)
	}
	return string(text), err
}
