package syslog

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// startRsyslog runs rsyslogd, which passes what comes to the returned socket on over
// TCP.
func startRsyslog(t *testing.T, port, action string) (socket string) {
	t.Helper()
	program := "/usr/sbin/rsyslogd"
	_, err := os.Stat(program)
	require.NoError(t, err, "install rsyslog")
	dir := t.TempDir()
	socket = filepath.Join(dir, "in")
	conf := fmt.Sprintf(`global(workDirectory=%q)
module(load="imuxsock" SysSock.Use="off")
input(type="imuxsock" Socket=%q RateLimit.Interval="0")
action(type="omfwd" target="127.0.0.1" port=%q protocol="tcp" action.resumeRetryCount="-1" action.resumeInterval="1" queue.type="linkedList" %s)
`, dir, socket, port, action)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "conf"), []byte(conf), 0o600))
	var out strings.Builder
	cmd := exec.Command(program, "-n", "-f", filepath.Join(dir, "conf"), "-i", filepath.Join(dir, "pid"))
	cmd.Stdout, cmd.Stderr = &out, &out
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if t.Failed() {
			t.Log(out.String())
		}
	})
	return socket
}

// say gives numbered messages to a socket, as logger(1) does.
func say(t *testing.T, socket string, from, to int) {
	t.Helper()
	nc, err := net.Dial("unixgram", socket)
	require.NoError(t, err)
	defer func() { _ = nc.Close() }()
	for i := from; i < to; i++ {
		write(t, nc, fmt.Sprintf("<150>Jan  1 00:00:00 teller[9]: message %d", i))
	}
}

func exists(path string) func() bool {
	return func() bool {
		_, err := os.Stat(path)
		return err == nil
	}
}

func TestInput_TakesWhatRsyslogSendsOnce(t *testing.T) {
	for name, action := range map[string]string{
		"lines, RFC 3164":  `template="RSYSLOG_TraditionalForwardFormat"`,
		"counted, RFC5424": `TCP_Framing="octet-counted" template="RSYSLOG_SyslogProtocol23Format"`,
	} {
		t.Run(name, func(t *testing.T) {
			r := start(t, Config{Listen: []string{"tcp://127.0.0.1:0"}}, &sink{keep: true})
			_, port, err := net.SplitHostPort(r.address(0))
			require.NoError(t, err)
			socket := startRsyslog(t, port, action)
			r.until("rsyslogd listens", exists(socket))
			const messages = 2000
			say(t, socket, 0, messages)
			r.until("all are there", func() bool { return r.sink.counted.Load() >= messages })
			for i, text := range r.sink.column("message") {
				require.Equal(t, fmt.Sprintf("message %d", i), strings.TrimSpace(text))
			}
			require.Equal(t, "teller9local2info", r.sink.records[0]["program"]+r.sink.records[0]["pid"]+r.sink.records[0]["facility"]+r.sink.records[0]["severity"])
		})
	}
}

// TestInput_RsyslogGoesOnAfterARestart shows what syslog over TCP leaves open: what the
// sender's system had taken when the connection ended is known to nobody.
func TestInput_RsyslogGoesOnAfterARestart(t *testing.T) {
	s := &sink{keep: true}
	r := start(t, Config{Listen: []string{"tcp://127.0.0.1:0"}}, s)
	bound := r.address(0)
	_, port, err := net.SplitHostPort(bound)
	require.NoError(t, err)
	socket := startRsyslog(t, port, "")
	r.until("rsyslogd listens", exists(socket))
	say(t, socket, 0, 1000)
	r.until("some are there", func() bool { return s.counted.Load() == 1000 })
	r.stop()
	say(t, socket, 1000, 2000)
	r = start(t, Config{Listen: []string{"tcp://" + bound}}, s)
	say(t, socket, 2000, 2001)
	seen := map[string]bool{}
	r.until("the last is there", func() bool {
		for _, text := range s.column("message") {
			seen[strings.TrimSpace(text)] = true
		}
		return seen["message 2000"]
	})
	for i := range 1000 {
		require.True(t, seen[fmt.Sprintf("message %d", i)], i)
	}
	t.Logf("%d of 2001 messages arrived; %d records", len(seen), s.counted.Load())
}
