package e2e

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestAnAgentThatReadsStandardInputEndsWithIt(t *testing.T) {
	t.Parallel()
	var lines strings.Builder
	for i := range 5000 {
		fmt.Fprintf(&lines, "line %d\n", i)
	}
	for _, flags := range [][]string{nil, {"--no-supervisor"}} {
		dir := t.TempDir()
		config := filepath.Join(dir, "agent.yaml")
		require.NoError(t, os.WriteFile(config, []byte(`version: 1
admin: {listen: ""}
outputs:
  out: {type: file, path: `+dir+`/out}
pipelines:
  import: {input: {type: stdin}, outputs: [out], logstore: import}
`), 0o600))
		cmd := program(nil, "wasmtail", append([]string{"run", "-c", config}, flags...)...)
		cmd.Stdin = strings.NewReader(lines.String())
		got := finish(t, cmd)
		require.Zero(t, got.code, got.stderr)
		out, err := os.ReadFile(filepath.Join(dir, "out"))
		require.NoError(t, err)
		for i, line := range strings.Split(strings.TrimSpace(string(out)), "\n") {
			require.Contains(t, line, fmt.Sprintf(`"line %d"`, i))
		}
		require.Equal(t, 5000, strings.Count(string(out), "\n"))
	}
}

// TestSyslogAfterAKill shows what holds without acknowledgements: what was delivered
// before a kill is there once, and so is what is sent over a new connection.
func TestSyslogAfterAKill(t *testing.T) {
	t.Parallel()
	dir, addr := t.TempDir(), freePort(t)
	config := filepath.Join(dir, "agent.yaml")
	require.NoError(t, os.WriteFile(config, []byte(`version: 1
admin: {listen: ""}
outputs:
  out: {type: file, path: `+dir+`/out}
pipelines:
  syslog: {input: {type: syslog, listen: ['tcp://`+addr+`']}, outputs: [out]}
`), 0o600))
	count := func(text string) int {
		out, _ := os.ReadFile(filepath.Join(dir, "out"))
		return strings.Count(string(out), text)
	}
	dial := func() (nc net.Conn) {
		require.Eventually(t, func() (ok bool) {
			c, err := net.Dial("tcp", addr)
			nc = c
			return err == nil
		}, patience, 10*time.Millisecond)
		return nc
	}
	send := func(nc net.Conn, from, to int) {
		for i := from; i < to; i++ {
			if _, err := fmt.Fprintf(nc, "<13>Jan  1 00:00:00 host app: message %d.\n", i); err != nil {
				return // it was killed
			}
		}
	}
	first := start(t, nil, "wasmtail", "run", "-c", config)
	nc := dial()
	send(nc, 0, 1000)
	require.Eventually(t, func() bool { return count(`:"message `) == 1000 }, patience, 10*time.Millisecond)
	send(nc, 1000, 2000)
	first.kill()
	send(nc, 2000, 3000)
	start(t, nil, "wasmtail", "run", "-c", config)
	nc = dial()
	send(nc, 3000, 4000)
	require.Eventually(t, func() bool { return count(`:"message 3999."`) > 0 }, patience, 10*time.Millisecond)
	lost := 0
	for i := range 4000 {
		switch n := count(fmt.Sprintf(`:"message %d."`, i)); {
		case i < 1000 || i >= 3000:
			require.Equal(t, 1, n, i)
		case n == 0:
			lost++
		default:
			require.Equal(t, 1, n, "message %d came twice", i)
		}
	}
	t.Logf("%d of the 2000 messages sent around the kill are lost", lost)
}
