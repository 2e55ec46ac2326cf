package e2e

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
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

// TestTheJournalAfterKills follows a journal of systemd that is written to while the
// agent is killed: no entry is missing.
func TestTheJournalAfterKills(t *testing.T) {
	t.Parallel()
	journal := t.TempDir()
	entries := 0
	write := func(n int) {
		var export strings.Builder
		for range n {
			fmt.Fprintf(&export, "_BOOT_ID=0123456789abcdef0123456789abcdef\n_MACHINE_ID=0123456789abcdef0123456789abcdef\n__REALTIME_TIMESTAMP=%d\nMESSAGE=entry %d\n\n", 1700000000000000+entries, entries)
			entries++
		}
		cmd := exec.Command("/usr/lib/systemd/systemd-journal-remote", "-o", filepath.Join(journal, "test.journal"), "-")
		cmd.Stdin = strings.NewReader(export.String())
		out, err := cmd.CombinedOutput()
		require.NoError(t, err, "install systemd-journal-remote: %s", out)
	}
	page := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "fine") }))
	defer page.Close()
	write(500)
	h := startHub(t)
	a := newAgent(t, h, `
  journal:
    input: {type: journald, directory: `+journal+`, start_at: beginning}
    outputs: [hub]
    logstore: journal
  polls:
    input: {type: http_poll, urls: ["`+page.URL+`"], interval: 1s}
    outputs: [hub]
    logstore: polls
`)
	a.start(t)
	h.eventually("the first are there", func() bool { return len(h.records(t, "journal")) >= 500 })
	for range 4 {
		write(300)
		before := len(h.records(t, "journal"))
		h.eventually("some of them are there", func() bool { return len(h.records(t, "journal")) > before })
		write(100)
		a.kill()
		write(100)
		a.start(t)
	}
	// What was delivered and not yet noted comes twice: its place is another, since
	// other entries may have come between by then.
	h.eventually("all are there", func() bool { return h.distinct(t, "journal") >= entries })
	t.Logf("%d of %d entries are there twice", len(h.records(t, "journal"))-entries, entries)
	polls := len(h.records(t, "polls"))
	require.Positive(t, polls)
	h.eventually("it is asked on", func() bool { return len(h.records(t, "polls")) > polls })
}
