package syslog

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sirupsen/logrus"
	"github.com/stretchr/testify/require"

	"github.com/wasmtail/wasmtail/agent/pipeline"
	"github.com/wasmtail/wasmtail/internal/config"
	"github.com/wasmtail/wasmtail/internal/record"
)

const patience = 20 * time.Second

// sink is a pipeline that keeps or counts what it is given.
type sink struct {
	mu      sync.Mutex
	records []map[string]string
	counted atomic.Int64
	keep    bool
	gate    chan struct{} // nil, or no batch is taken before it is closed
}

func (s *sink) emit(ctx context.Context, d pipeline.Delivery) error {
	if s.gate != nil {
		select {
		case <-s.gate:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	if s.keep {
		s.mu.Lock()
		for i := range d.Batch.Records {
			r := &d.Batch.Records[i]
			fields := map[string]string{"raw": string(r.Raw), "marks": string(r.Marks.AppendText(nil)), "at": when(r.Time)}
			for _, f := range r.Fields {
				fields[string(f.Name)] = string(f.Value)
			}
			s.records = append(s.records, fields)
		}
		s.mu.Unlock()
	}
	s.counted.Add(int64(len(d.Batch.Records)))
	d.Batch.Release()
	d.Done(nil)
	return nil
}

// column returns a field of all records so far.
func (s *sink) column(name string) (values []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range s.records {
		values = append(values, r[name])
	}
	return values
}

// rig is an input that runs.
type rig struct {
	t    testing.TB
	in   *Input
	sink *sink
	stop func()
}

func start(t testing.TB, c Config, s *sink) *rig {
	t.Helper()
	config.Defaults(&c)
	c.TimeZone = "UTC"
	c.Validate(func(key, problem string) { t.Errorf("%s %s", key, problem) })
	log := logrus.New()
	log.SetOutput(io.Discard)
	in, err := New(c, Env{Pipeline: "p", Lanes: 2, BatchBytes: 512 << 10, Linger: 20 * time.Millisecond, Log: log})
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- in.Run(ctx, s.emit) }()
	r := &rig{t: t, in: in, sink: s}
	r.stop = sync.OnceFunc(func() {
		cancel()
		require.ErrorIs(t, <-ended, context.Canceled)
	})
	t.Cleanup(r.stop)
	r.until("it listens", in.Ready)
	return r
}

func (r *rig) until(what string, condition func() bool) {
	r.t.Helper()
	deadline := time.After(patience)
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for !condition() {
		select {
		case <-tick.C:
		case <-deadline:
			require.FailNow(r.t, "in vain waited until "+what, "%d records, %+v", r.sink.counted.Load(), r.in.Streams())
		}
	}
}

func (r *rig) address(i int) string { return *r.in.listeners[i].bound.Load() }

func (r *rig) dial(i int) net.Conn {
	r.t.Helper()
	a := r.in.listeners[i].address
	nc, err := net.Dial(a.network(), r.address(i))
	require.NoError(r.t, err)
	r.t.Cleanup(func() { _ = nc.Close() })
	return nc
}

func (r *rig) dropped(i int) int64 { return r.in.Streams()[i].Dropped }

func write(t testing.TB, w io.Writer, text string) {
	t.Helper()
	_, err := io.WriteString(w, text)
	require.NoError(t, err)
}

func TestInput_TakesMessagesFromEverywhere(t *testing.T) {
	dir := t.TempDir()
	stale, err := net.Listen("unix", filepath.Join(dir, "s"))
	require.NoError(t, err)
	stale.(*net.UnixListener).SetUnlinkOnClose(false)
	require.NoError(t, stale.Close())
	r := start(t, Config{Listen: []string{"udp://127.0.0.1:0", "tcp://127.0.0.1:0", "unix://" + dir + "/s", "unixgram://" + dir + "/d"}, SocketMode: "0600"}, &sink{keep: true})
	write(t, r.dial(0), `<165>1 2003-10-11T22:14:15.003Z host app 12 ID [a@1 x="\"1\""] udp`+"\n")
	write(t, r.dial(1), "11 <13>tcp\n\n\n\n\n7 <13>tcp")
	write(t, r.dial(2), "<13>Oct 11 22:14:15 prog[7]: unix\x00<13>second\x00")
	write(t, r.dial(3), "not for us")
	r.until("all are there", func() bool { return r.sink.counted.Load() == 6 })
	require.ElementsMatch(t, []string{"udp", "tcp", "tcp", "unix", "second", ""}, r.sink.column("message"))
	r.sink.mu.Lock()
	defer r.sink.mu.Unlock()
	for _, found := range r.sink.records {
		switch found["message"] {
		case "udp":
			require.Equal(t, map[string]string{
				"raw": `<165>1 2003-10-11T22:14:15.003Z host app 12 ID [a@1 x="\"1\""] udp`, "marks": "", "at": "2003-10-11T22:14:15.003Z",
				"time": "2003-10-11T22:14:15.003Z", "priority": "165", "facility": "local4", "severity": "notice", "hostname": "host", "program": "app",
				"pid": "12", "msgid": "ID", "sd.a@1.x": `"1"`, "message": "udp", "peer": "127.0.0.1",
			}, found)
		case "":
			require.Equal(t, map[string]string{
				"raw": "not for us", "marks": "failed", "at": "", "content": "not for us", "__raw_log__": "not for us", "__error__": string(errNoPriority),
			}, found)
		}
	}
	info, err := os.Stat(dir + "/s")
	require.NoError(t, err)
	require.EqualValues(t, 0o600, info.Mode().Perm())
}

func TestInput_LongMessagesComeInPieces(t *testing.T) {
	r := start(t, Config{Listen: []string{"udp://127.0.0.1:0", "tcp://127.0.0.1:0"}, MaxMessageSize: 1000}, &sink{keep: true})
	long := "<13>" + strings.Repeat("é", 1200)
	write(t, r.dial(0), long)
	r.until("three pieces are there", func() bool { return r.sink.counted.Load() == 3 })
	require.Equal(t, long, strings.Join(r.sink.column("raw"), ""))
	require.Equal(t, []string{"split", "split", "split"}, r.sink.column("marks"))
	nc := r.dial(1)
	write(t, nc, long+"\n<13>whole\n<13>cut off")
	require.NoError(t, nc.Close())
	r.until("the others are, too", func() bool { return r.sink.counted.Load() == 8 })
	require.Equal(t, long+"<13>whole<13>cut off", strings.Join(r.sink.column("raw")[3:], ""))
	require.Equal(t, []string{"split", "split", "split", "", "partial"}, r.sink.column("marks")[3:])
}

func TestInput_EndsConnectionsThatHoldItUp(t *testing.T) {
	r := start(t, Config{Listen: []string{"tcp://127.0.0.1:0"}, IdleTimeout: time.Second, MaxConnections: 2}, &sink{keep: true})
	slow, wrong := r.dial(0), r.dial(0)
	r.until("both are served", func() bool { return r.in.Streams()[0].Peers == 2 })
	closed := func(nc net.Conn) {
		_ = nc.SetReadDeadline(time.Now().Add(patience))
		_, err := nc.Read(make([]byte, 1))
		var timeout net.Error
		require.False(t, err == nil || errors.As(err, &timeout) && timeout.Timeout(), "it is still open: %v", err)
	}
	closed(r.dial(0)) // one too many
	require.EqualValues(t, 1, r.dropped(0))
	write(t, wrong, "3 abcdef")
	closed(wrong)
	begun := time.Now()
	tick := time.NewTicker(100 * time.Millisecond) // ten times as fast as the limit
	defer tick.Stop()
	for range tick.C {
		if _, err := io.WriteString(slow, "x"); err != nil {
			break
		}
		require.Less(t, time.Since(begun), patience)
	}
	r.until("its beginning is there", func() bool { return r.sink.counted.Load() == 3 })
	require.EqualValues(t, 3, r.dropped(0))
	require.Contains(t, strings.Join(r.sink.column("marks"), " "), "partial,failed")
}

func TestInput_DoesNotReadConnectionsWhileThereIsNoRoom(t *testing.T) {
	s := &sink{gate: make(chan struct{})}
	r := start(t, Config{Listen: []string{"tcp://127.0.0.1:0"}, IdleTimeout: time.Second}, s)
	nc := r.dial(0)
	line := "<13>" + strings.Repeat("x", 1000) + "\n"
	block := strings.Repeat(line, 64)
	sent := 0
	for { // until the kernel takes no more
		require.NoError(t, nc.SetWriteDeadline(time.Now().Add(300*time.Millisecond)))
		n, err := io.WriteString(nc, block)
		sent += n
		if err != nil {
			break
		}
		require.Less(t, sent, 200<<20, "nothing holds the sender back")
	}
	require.Zero(t, s.counted.Load())
	close(s.gate)
	require.NoError(t, nc.SetWriteDeadline(time.Now().Add(patience)))
	write(t, nc, line[sent%len(line):])
	want := int64(sent/len(line) + 1)
	r.until("all are there", func() bool { return s.counted.Load() == want })
}

func TestInput_GivesOnWhatWasTakenWhenItStops(t *testing.T) {
	r := start(t, Config{Listen: []string{"tcp://127.0.0.1:0", "udp://127.0.0.1:0"}}, &sink{})
	tcp, udp := r.dial(0), r.dial(1)
	const each = 500
	for i := range each {
		write(t, tcp, fmt.Sprintf("<13>message %d\n", i))
		write(t, udp, fmt.Sprintf("<13>message %d\n", i))
	}
	r.stop()
	require.EqualValues(t, 2*each, r.sink.counted.Load())
}

// certificate makes an authority and a certificate from it, in files.
func certificate(t *testing.T) (ca, cert, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	require.NoError(t, err)
	secret, err := x509.MarshalPKCS8PrivateKey(private)
	require.NoError(t, err)
	dir := t.TempDir()
	cert, key = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	require.NoError(t, os.WriteFile(cert, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600))
	require.NoError(t, os.WriteFile(key, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret}), 0o600))
	return cert, cert, key
}

func TestInput_TLSTakesOnlyWhomItTrusts(t *testing.T) {
	ca, cert, key := certificate(t)
	r := start(t, Config{Listen: []string{"tls://127.0.0.1:0"}, TLS: TLS{CertFile: cert, KeyFile: key, ClientCAFile: ca, MinVersion: "1.2"}}, &sink{keep: true})
	pair, err := tls.LoadX509KeyPair(cert, key)
	require.NoError(t, err)
	try := func(c *tls.Config) error {
		c.InsecureSkipVerify = true
		nc, err := tls.Dial("tcp", r.address(0), c)
		if err != nil {
			return err
		}
		defer func() { _ = nc.Close() }()
		if _, err := io.WriteString(nc, "9 <13>hello"); err != nil {
			return err
		}
		if err := nc.CloseWrite(); err != nil {
			return err
		}
		_, err = nc.Read(make([]byte, 1))
		return err
	}
	require.ErrorIs(t, try(&tls.Config{Certificates: []tls.Certificate{pair}}), io.EOF)
	require.ErrorIs(t, try(&tls.Config{Certificates: []tls.Certificate{pair}, MaxVersion: tls.VersionTLS12}), io.EOF)
	require.ErrorContains(t, try(&tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11}), "version")
	refused := try(&tls.Config{}) // as an alert, or by the end of the connection while it is written to
	require.Error(t, refused)
	require.NotErrorIs(t, refused, io.EOF)
	plain := r.dial(0)
	write(t, plain, "<13>not encrypted\n")
	r.until("the others are refused", func() bool { return r.dropped(0) == 3 })
	r.until("two are taken", func() bool { return r.sink.counted.Load() == 2 })
	require.Equal(t, []string{"hello", "hello"}, r.sink.column("message"))
}

func TestInput_TriesAgainWhenAnAddressIsTaken(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	c := Config{Listen: []string{"tcp://" + taken.Addr().String()}}
	config.Defaults(&c)
	log := logrus.New()
	log.SetOutput(io.Discard)
	in, err := New(c, Env{Pipeline: "p", Log: log})
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	s := &sink{}
	go func() { ended <- in.Run(ctx, s.emit) }()
	r := &rig{t: t, in: in, sink: s}
	r.until("the status says so", func() bool { l := in.Streams(); return len(l) == 1 && strings.Contains(l[0].Error, "in use") })
	require.NoError(t, taken.Close())
	r.until("it listens", in.Ready)
	require.Empty(t, in.Streams()[0].Error)
	cancel()
	require.ErrorIs(t, <-ended, context.Canceled)
}

func TestDesk_DoesNotAllocateForAMessage(t *testing.T) {
	s := &sink{}
	r := start(t, Config{Listen: []string{"udp://127.0.0.1:0"}}, s)
	l := r.in.listeners[0]
	d := l.desks[1]
	from := sender{address: []byte("127.0.0.1")}
	one := func() {
		d.take(t.Context())
		from.forget()
		d.add(frame{bytes: []byte(lines5424[2])}, &from, record.Mark(0))
		if d.batcher.Full() {
			_ = d.flush(t.Context())
		}
		d.leave()
	}
	for range 10_000 {
		one()
	}
	require.LessOrEqual(t, testing.AllocsPerRun(20_000, one), 0.0, "a batch may, a message must not")
}

// flood sends messages as fast as the network takes them, but no more than ahead of
// what has arrived, and returns how many a second arrived.
func flood(t testing.TB, r *rig, nc net.Conn, messages, ahead int) float64 {
	t.Helper()
	line := "<34>1 2003-10-11T22:14:15.003Z mymachine.example.com su 77 ID47 - 'su root' failed for lonvick on /dev/pts/8\n"
	w := bufio.NewWriterSize(nc, 64<<10)
	begin, before := time.Now(), r.sink.counted.Load()
	for i := range messages {
		var err error
		if ahead == 0 {
			_, err = w.WriteString(line)
		} else {
			if i%64 == 0 && int64(i)-(r.sink.counted.Load()-before) > int64(ahead) {
				r.until("some have arrived", func() bool { return int64(i)-(r.sink.counted.Load()-before) <= int64(ahead) })
			}
			_, err = io.WriteString(nc, line)
		}
		require.NoError(t, err)
	}
	require.NoError(t, w.Flush())
	r.until("all have arrived", func() bool { return r.sink.counted.Load()-before >= int64(messages) || r.dropped(0) > 0 })
	require.Zero(t, r.dropped(0), "messages are lost")
	require.EqualValues(t, messages, r.sink.counted.Load()-before)
	return float64(messages) / time.Since(begin).Seconds()
}

// udpAhead is how many datagrams of a hundred bytes fit into the receive buffer with
// room to spare: the system counts some 800 bytes for each, and keeps twice as many
// bytes as it says.
func udpAhead(r *rig) int { return int(r.in.listeners[0].granted.Load() / 1000) }

func TestInput_LosesNothingOnLoopback(t *testing.T) {
	for scheme, messages := range map[string]int{"tcp": 200_000, "udp": 50_000} {
		r := start(t, Config{Listen: []string{scheme + "://127.0.0.1:0"}}, &sink{})
		t.Logf("%s: %.0f messages a second, receive buffer %d bytes", scheme, flood(t, r, r.dial(0), messages, udpAhead(r)), r.in.listeners[0].granted.Load())
		r.stop()
	}
}

func TestInput_CountsDatagramsThatTheSystemDrops(t *testing.T) {
	s := &sink{gate: make(chan struct{})}
	r := start(t, Config{Listen: []string{"udp://127.0.0.1:0"}, ReceiveBuffer: 4096}, s)
	nc := r.dial(0)
	line := "<13>" + strings.Repeat("x", 500)
	sent := int64(0)
	for range 20_000 {
		write(t, nc, line)
		sent++
	}
	close(s.gate)
	r.until("each is delivered or counted", func() bool { // the system tells with the next one that it takes
		write(t, nc, line)
		sent++
		return s.counted.Load()+r.dropped(0) >= sent-1 && r.dropped(0) > 0
	})
	r.until("the last has come, too", func() bool { return s.counted.Load()+r.dropped(0) == sent })
}

func BenchmarkInput(b *testing.B) {
	for _, scheme := range []string{"tcp", "udp"} {
		b.Run(scheme, func(b *testing.B) {
			r := start(b, Config{Listen: []string{scheme + "://127.0.0.1:0"}}, &sink{})
			nc := r.dial(0)
			b.ResetTimer()
			b.ReportMetric(flood(b, r, nc, b.N, udpAhead(r)), "messages/s")
			b.StopTimer()
			r.stop()
		})
	}
}

func TestInput_TakesWhatLoggerSends(t *testing.T) {
	logger, err := exec.LookPath("logger")
	require.NoError(t, err, "install bsdutils")
	dir := t.TempDir()
	r := start(t, Config{Listen: []string{"udp://127.0.0.1:0", "tcp://127.0.0.1:0", "unixgram://" + dir + "/d"}}, &sink{keep: true})
	_, udp, err := net.SplitHostPort(r.address(0))
	require.NoError(t, err)
	_, tcp, err := net.SplitHostPort(r.address(1))
	require.NoError(t, err)
	ways := [][]string{
		{"-n", "127.0.0.1", "-d", "-P", udp, "--rfc3164"},
		{"-n", "127.0.0.1", "-d", "-P", udp, "--rfc5424"},
		{"-n", "127.0.0.1", "-T", "-P", tcp, "--rfc3164"},
		{"-n", "127.0.0.1", "-T", "-P", tcp, "--rfc5424", "--octet-count", "--msgid", "M"},
		{"-u", dir + "/d"},
	}
	for i, way := range ways {
		out, err := exec.Command(logger, append(way, "--socket-errors=on", "-t", "tester", "-i", "-p", "local3.warning", fmt.Sprintf("hello %d", i))...).CombinedOutput()
		require.NoError(t, err, "%s", out)
	}
	r.until("all are there", func() bool { return r.sink.counted.Load() == int64(len(ways)) })
	require.ElementsMatch(t, []string{"hello 0", "hello 1", "hello 2", "hello 3", "hello 4"}, r.sink.column("message"))
	for _, found := range r.sink.records {
		require.Equal(t, []string{"", "tester", "local3", "warning"}, []string{found["marks"], found["program"], found["facility"], found["severity"]}, found)
		at, err := time.Parse(time.RFC3339Nano, found["at"])
		require.NoError(t, err)
		require.WithinDuration(t, time.Now(), at, 14*time.Hour, "local times have no zone: %v", found)
	}
}
