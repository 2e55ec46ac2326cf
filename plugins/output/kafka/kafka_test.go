package kafka

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"encoding/pem"
	"errors"
	"net"
	"net/http/httptest"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"go.uber.org/goleak"

	"github.com/wasmtail/wasmtail/agent/dispatch"
	"github.com/wasmtail/wasmtail/agent/pipeline"
	"github.com/wasmtail/wasmtail/agent/queue"
	"github.com/wasmtail/wasmtail/agent/transport"
	"github.com/wasmtail/wasmtail/internal/record"
	"github.com/wasmtail/wasmtail/internal/specimen"
)

var testEnv = dispatch.Env{AgentID: specimen.Agent, Hostname: "host-1", Version: "1.2.3"}

func newOutput(t testing.TB, c *kfake.Cluster, settings string) *Output {
	t.Helper()
	brokers := "127.0.0.1:1"
	if c != nil {
		brokers = strings.Join(c.ListenAddrs(), ",")
	}
	s, err := specimen.OutputSettings[Config]("brokers: [" + brokers + "]\n" + settings)
	require.NoError(t, err)
	o, err := New(s, testEnv)
	require.NoError(t, err)
	t.Cleanup(func() { _ = o.Close() })
	return o
}

func payload(t testing.TB, o *Output, first, n int) []byte {
	t.Helper()
	b := specimen.AccessLog(first, n)
	defer b.Release()
	return specimen.Encode(t, o.NewEncoder("pipe", "nginx"), b)
}

func cluster(t testing.TB, options ...kfake.Opt) *kfake.Cluster {
	t.Helper()
	c, err := kfake.NewCluster(append([]kfake.Opt{kfake.NumBrokers(2), kfake.SeedTopics(4, "nginx")}, options...)...)
	require.NoError(t, err)
	t.Cleanup(c.Close)
	return c
}

// consume reads n records, and fails if there are more.
func consume(t testing.TB, c *kfake.Cluster, n int, options ...kgo.Opt) (got []*kgo.Record) {
	t.Helper()
	client, err := kgo.NewClient(append([]kgo.Opt{
		kgo.SeedBrokers(c.ListenAddrs()...), kgo.ConsumeTopics("nginx"), kgo.FetchMaxWait(100 * time.Millisecond),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
	}, options...)...)
	require.NoError(t, err)
	defer client.Close()
	for deadline := time.Now().Add(20 * time.Second); ; {
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		fetches := client.PollFetches(ctx)
		cancel()
		got = append(got, fetches.Records()...)
		if len(got) >= n && fetches.Empty() || time.Now().After(deadline) {
			require.Len(t, got, n)
			return got
		}
	}
}

// deliver sends a payload until it is taken: on a busy machine that may need more than
// one attempt.
func deliver(t testing.TB, o *Output, data []byte) {
	t.Helper()
	for err := o.Send(t.Context(), data); err != nil; err = o.Send(t.Context(), data) {
		var retry *pipeline.RetryError
		require.ErrorAs(t, err, &retry)
		require.NoError(t, t.Context().Err())
	}
}

// number is the number of a record that AccessLog has made.
func number(t testing.TB, r *kgo.Record) int {
	t.Helper()
	var fields map[string]any
	require.NoError(t, json.Unmarshal(r.Value, &fields))
	n, err := strconv.Atoi(fields["n"].(string))
	require.NoError(t, err)
	return n
}

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestGolden(t *testing.T) {
	o := newOutput(t, nil, "topic: 'logs.{logstore}'\nkey_field: ip\nkeys: {id: id}")
	b := specimen.AccessLog(7, 2)
	defer b.Release()
	b.Add([]byte("plain")).Time = -5
	p, err := dispatch.Parse(specimen.Encode(t, o.NewEncoder("pipe", "nginx"), b))
	require.NoError(t, err)
	require.Equal(t, "logs.nginx", p.Target)
	raw, err := p.Raw()
	require.NoError(t, err)
	specimen.Golden(t, "testdata/body.golden", raw)
	items, err := format{}.Split(raw)
	require.NoError(t, err)
	require.Len(t, items, 3)
	require.Equal(t, raw, format{}.Join(nil, items))
	m, _, err := parse(items[2].Record)
	require.NoError(t, err)
	require.Equal(t, "host-1:/var/log/nginx/access.log", string(m.key))
	require.Equal(t, specimen.ReadTime.Truncate(time.Millisecond), m.at)
	m, _, err = parse(items[0].Record)
	require.NoError(t, err)
	require.Equal(t, "203.0.113.9", string(m.key))
}

// TestAFileStaysInOrder: one file is one partition, whatever the compression.
func TestAFileStaysInOrder(t *testing.T) {
	for _, compression := range []string{"zstd", "lz4", "snappy", "gzip", "none"} {
		c := cluster(t)
		o := newOutput(t, c, "compression: "+compression+"\nbatch_bytes_max: 64KiB")
		for i := range 5 {
			require.NoError(t, o.Send(t.Context(), payload(t, o, i*500, 500)))
		}
		for i, r := range consume(t, c, 2500) {
			require.Equal(t, i, number(t, r))
			require.Equal(t, "host-1:/var/log/nginx/access.log", string(r.Key))
			require.Equal(t, specimen.ReadTime.Add(-time.Hour+time.Duration(i)*time.Second).Truncate(time.Millisecond), r.Timestamp.UTC())
		}
		require.NoError(t, o.Close())
		c.Close()
	}
}

func TestKeysAndFormats(t *testing.T) {
	c := cluster(t)
	o := newOutput(t, c, "format: raw\nkey: none\nkey_field: user")
	b := record.Get(&record.Origin{Path: "/a"})
	defer b.Release()
	b.ReadTime = specimen.ReadTime.UnixNano()
	specimen.Add(b, "line \xff one", "user", "u1")
	specimen.Add(b, "", "x", "y")
	require.NoError(t, o.Send(t.Context(), specimen.Encode(t, o.NewEncoder("pipe", "nginx"), b)))
	seen := map[string]string{}
	for _, r := range consume(t, c, 2) {
		seen[string(r.Value)] = string(r.Key)
		require.Equal(t, len(r.Value) == 0, r.Key == nil)
	}
	require.Equal(t, map[string]string{"line \xff one": "u1", "": ""}, seen)
}

// lossyListener closes a connection instead of writing an answer to it.
type lossyListener struct {
	net.Listener
	lose *atomic.Int32
}

type lossyConn struct {
	net.Conn
	lose *atomic.Int32
}

func (l lossyListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	return lossyConn{c, l.lose}, err
}

func (c lossyConn) Write(p []byte) (int, error) {
	if c.lose.Add(-1) >= 0 {
		_ = c.Close()
		return 0, net.ErrClosed
	}
	c.lose.Store(0)
	return c.Conn.Write(p)
}

// TestAnAnswerThatIsLost: the broker has written the records, and the connection
// breaks. The producer sends them again under the same numbers, so none is there
// twice.
func TestAnAnswerThatIsLost(t *testing.T) {
	var lose atomic.Int32
	c := cluster(t, kfake.ListenFn(func(network, address string) (net.Listener, error) {
		l, err := new(net.ListenConfig).Listen(context.Background(), network, address)
		return lossyListener{l, &lose}, err
	}))
	o := newOutput(t, c, "timeout: 5s")
	deliver(t, o, payload(t, o, 0, 10))
	lost := 0
	c.ControlKey(kmsg.Produce.Int16(), func(kmsg.Request) (kmsg.Response, error, bool) {
		c.DropControl() // once
		lost++
		lose.Store(1)
		return nil, nil, false
	})
	data := payload(t, o, 10, 100)
	deliver(t, o, data)
	require.Equal(t, 1, lost)
	for i, r := range consume(t, c, 110) {
		require.Equal(t, i, number(t, r))
	}
}

// TestBrokersThatDoNotAnswer: an attempt ends in time, and the next one waits for what
// it has sent, and sends it no second time.
func TestBrokersThatDoNotAnswer(t *testing.T) {
	c := cluster(t)
	o := newOutput(t, c, "timeout: 1s")
	deliver(t, o, payload(t, o, 0, 10))
	hang := make(chan struct{})
	c.ControlKey(kmsg.Produce.Int16(), func(kmsg.Request) (kmsg.Response, error, bool) {
		c.DropControl()
		c.SleepControl(func() { <-hang })
		return nil, nil, false
	})
	data := payload(t, o, 10, 100)
	var retry *pipeline.RetryError
	err := o.Send(t.Context(), data)
	require.ErrorAs(t, err, &retry)
	require.Zero(t, retry.Setback, "%v", err)
	stopped, cancel := context.WithCancelCause(t.Context())
	cancel(errors.New("the agent is stopped"))
	require.ErrorContains(t, o.Send(stopped, data), "the agent is stopped")
	close(hang)
	deliver(t, o, data)
	require.Empty(t, o.flights)
	consume(t, c, 110)
}

func TestRecordsThatAreTooLarge(t *testing.T) {
	for name, settings := range map[string]string{"for the client": "batch_bytes_max: 16KiB", "for the broker": "batch_bytes_max: 1MiB"} {
		c := cluster(t, kfake.BrokerConfigs(map[string]string{"message.max.bytes": "20000"}))
		o := newOutput(t, c, "compression: none\n"+settings)
		b := specimen.AccessLog(0, 50)
		b.Records[7].Fields[2].Value = b.Copy([]byte(strings.Repeat("x", 30_000)))
		data := specimen.Encode(t, o.NewEncoder("pipe", "nginx"), b)
		b.Release()
		err := o.Send(t.Context(), data)
		var refused *pipeline.RejectedError
		require.ErrorAs(t, err, &refused, name)
		require.ErrorContains(t, err, "1 of the 50 records", name)
		require.Len(t, consume(t, c, 49), 49)
		var line struct {
			Target, Reason string
			Record         struct {
				Value map[string]string
				Key   string
			}
		}
		require.NoError(t, json.Unmarshal(refused.Records, &line))
		require.Equal(t, "7", line.Record.Value["n"])
		require.Equal(t, "nginx", line.Target)
		require.Contains(t, line.Reason, "MESSAGE_TOO_LARGE")
		require.NoError(t, o.Close())
		c.Close()
	}
}

func TestTroubleOfTheCluster(t *testing.T) {
	c := cluster(t)
	o := newOutput(t, c, "timeout: 1s\ntopic: unknown")
	err := o.Send(t.Context(), payload(t, o, 0, 3))
	var retry *pipeline.RetryError
	require.ErrorAs(t, err, &retry)
	require.Equal(t, queue.Setback{Scope: queue.Destination, After: 30 * time.Second}, retry.Setback, "%v", err)
	require.ErrorContains(t, err, "create the topic")

	o = newOutput(t, nil, "timeout: 1s")
	err = o.Send(t.Context(), payload(t, o, 0, 3))
	require.ErrorAs(t, err, &retry)
	require.Zero(t, retry.Setback, "%v", err)
	require.ErrorContains(t, err, "connection refused")

	for kafkaErr, want := range map[*kerr.Error]transport.Class{
		kerr.TopicAuthorizationFailed: transport.Auth, kerr.NotEnoughReplicas: transport.Retry, kerr.PolicyViolation: transport.Misconfigured,
	} {
		require.Equal(t, want, newOutput(t, nil, "").explain(kafkaErr).Class)
	}
}

func TestTLSAndSASL(t *testing.T) {
	pair := httptest.NewTLSServer(nil)
	defer pair.Close()
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(dir+"/ca.pem", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: pair.Certificate().Raw}), 0o600))
	require.NoError(t, os.WriteFile(dir+"/password", []byte("secretword\n"), 0o600))
	for mechanism, method := range map[string]string{"plain": "PLAIN", "scram-sha-256": "SCRAM-SHA-256", "scram-sha-512": "SCRAM-SHA-512"} {
		c := cluster(t, kfake.EnableSASL(), kfake.Superuser(method, "u", "secretword"), kfake.TLS(&tls.Config{Certificates: pair.TLS.Certificates, MinVersion: tls.VersionTLS12}))
		settings := "use_tls: true\ntimeout: 5s\ntls: {ca_file: " + dir + "/ca.pem}\nsasl: {mechanism: " + mechanism + ", username: u, "
		o := newOutput(t, c, settings+"password_file: "+dir+"/password}")
		require.NoError(t, o.Send(t.Context(), payload(t, o, 0, 10)), mechanism)
		require.NoError(t, o.Close())
		if mechanism != "plain" {
			continue
		}
		o = newOutput(t, c, strings.Replace(settings, "5s", "1s", 1)+"password: other}")
		err := o.Send(t.Context(), payload(t, o, 0, 10))
		var retry *pipeline.RetryError
		require.ErrorAs(t, err, &retry)
		require.Equal(t, queue.Destination, retry.Scope, "%v", err)
		require.NotContains(t, err.Error(), "other")
		require.NoError(t, o.Close())
	}
}

func TestBytesAreCounted(t *testing.T) {
	c := cluster(t)
	s, err := specimen.OutputSettings[Config]("brokers: [" + strings.Join(c.ListenAddrs(), ",") + "]\ncompression: none")
	require.NoError(t, err)
	env := testEnv
	env.Wire = transport.NewWire()
	o, err := New(s, env)
	require.NoError(t, err)
	require.NoError(t, o.Send(t.Context(), payload(t, o, 0, 500)))
	require.Greater(t, env.Wire.Bytes(), int64(50_000))
	require.NoError(t, o.Close())
	require.NoError(t, o.Send(t.Context(), payload(t, o, 500, 5)), "it is opened again")
	require.NoError(t, o.Close())
}

func TestValidate(t *testing.T) {
	for settings, want := range map[string]string{
		"brokers: [a]":                          "brokers[0]",
		"topic: 'a b'":                          "topic",
		"topic: '{what}'":                       "{what}",
		"sasl: {username: u}":                   "mechanism",
		"sasl: {mechanism: plain, username: u}": "password",
		"tls: {ca_file: /x}":                    "use_tls",
		"timeout: 10ms":                         "timeout",
		"batch_bytes_max: 1KiB":                 "batch_bytes_max",
	} {
		text := settings
		if !strings.HasPrefix(settings, "brokers") {
			text = "brokers: [a:1]\n" + settings
		}
		_, err := specimen.OutputSettings[Config](text)
		require.ErrorContains(t, err, want, settings)
	}
	for version, want := range map[string]string{"1.2.3": "1.2.3", "": "unknown", "v1+dirty": "unknown", "-1": "unknown"} {
		require.Equal(t, want, softwareVersion(version))
	}
}

func TestEncodeDoesNotAllocate(t *testing.T) {
	specimen.RequireNoAllocation(t, newOutput(t, nil, "").NewEncoder("pipe", "nginx"))
}

func BenchmarkEncode(b *testing.B) {
	specimen.BenchmarkEncode(b, newOutput(b, nil, "").NewEncoder("pipe", "nginx"))
}

func FuzzSplit(f *testing.F) {
	f.Add([]byte("\x02\x00\x01x\x02\x02k\x00"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		items, err := format{}.Split(raw)
		if err != nil {
			return
		}
		require.Equal(t, string(raw), string(format{}.Join(nil, items)))
		for _, it := range items {
			require.True(t, json.Valid(format{}.Show(nil, it)))
		}
	})
}
