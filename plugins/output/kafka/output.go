// Package kafka is the output that produces records to Kafka.
//
// It promises that Send returns nil only after the leaders of the partitions have
// written every record, and with them all replicas that are in sync; that the records
// of one file are in order, as long as they have one key; and that records which the
// cluster will never take, because they are too large, are in the
// *pipeline.RejectedError. While the process lives the idempotent producer lets the
// brokers drop what comes twice; after a crash the batches that were under way may be
// there twice.
//
// The client runs goroutines from the first Send until Close. An encoder belongs to
// one lane; Output is safe for concurrent use.
package kafka

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"hash/maphash"
	"net"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl/plain"
	"github.com/twmb/franz-go/pkg/sasl/scram"

	"github.com/wasmtail/wasmtail/agent/dispatch"
	"github.com/wasmtail/wasmtail/internal/placeholder"
)

// Output produces to one cluster.
type Output struct {
	config  Config
	env     dispatch.Env
	topic   *placeholder.Template
	options []kgo.Opt
	sender  *dispatch.Sender
	trouble trouble
	seed    maphash.Seed

	mu      sync.Mutex
	client  *kgo.Client // nil until the first Send, and after Close
	flights map[uint64]*flight
}

const (
	// linger lets the records of a payload travel together.
	linger = 5 * time.Millisecond
	// bufferedMax is more than payloads have together that are under way.
	bufferedMax = 1 << 20
	// requestTimeout is how long a broker may take to have a batch replicated.
	requestTimeout = 10 * time.Second
)

// New returns an output. It does not connect.
func New(c Config, env dispatch.Env) (*Output, error) {
	o := &Output{config: c, env: env, seed: maphash.MakeSeed(), flights: map[uint64]*flight{}}
	var err error
	if o.topic, err = placeholder.Parse(c.Topic, false); err != nil {
		return nil, err
	}
	dial, err := o.dialer()
	if err != nil {
		return nil, err
	}
	o.options = []kgo.Opt{
		kgo.SeedBrokers(c.Brokers...), kgo.ClientID("wasmtail"), kgo.SoftwareNameAndVersion("wasmtail", softwareVersion(env.Version)),
		kgo.Dialer(dial), kgo.WithLogger(&o.trouble), kgo.WithHooks(&o.trouble), kgo.DisableClientMetrics(),
		kgo.RequiredAcks(kgo.AllISRAcks()), kgo.ProducerBatchMaxBytes(int32(c.BatchBytesMax)), kgo.ProducerLinger(linger),
		kgo.ProduceRequestTimeout(requestTimeout), kgo.MaxBufferedRecords(bufferedMax), kgo.ProducerBatchCompression(compressions[c.Compression]...),
		kgo.MetadataMinAge(time.Second),
	}
	if c.CreateTopics {
		o.options = append(o.options, kgo.AllowAutoTopicCreation())
	}
	o.options = append(o.options, saslOptions(&c.SASL)...)
	if err := kgo.ValidateOpts(o.options...); err != nil {
		return nil, fmt.Errorf("cannot use the settings of kafka: %w", err)
	}
	o.sender = dispatch.NewSender(dispatch.Options{Name: "kafka", Format: format{}, Post: o.post})
	return o, nil
}

// compressions are the codecs by name. Brokers before 2.1 do not know zstd: the
// client then takes the next.
var compressions = map[string][]kgo.CompressionCodec{
	"zstd": {kgo.ZstdCompression(), kgo.SnappyCompression()}, "lz4": {kgo.Lz4Compression()}, "snappy": {kgo.SnappyCompression()},
	"gzip": {kgo.GzipCompression()}, "none": {kgo.NoCompression()},
}

// softwareVersion is a version that Kafka takes as one.
func softwareVersion(v string) string {
	for _, c := range []byte(v) {
		if (c < '0' || c > '9') && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && c != '.' && c != '-' {
			return "unknown"
		}
	}
	if v == "" || v[0] == '.' || v[0] == '-' || v[len(v)-1] == '.' || v[len(v)-1] == '-' {
		return "unknown"
	}
	return v
}

// dialer connects through the wire, with TLS if it is to be.
func (o *Output) dialer() (func(context.Context, string, string) (net.Conn, error), error) {
	if !o.config.UseTLS {
		return o.env.Wire.Dial, nil
	}
	settings, err := o.config.TLS.Load()
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := o.env.Wire.Dial(ctx, network, address)
		if err != nil {
			return nil, err
		}
		own := settings.Clone()
		if own.ServerName, _, err = net.SplitHostPort(address); err != nil {
			own.ServerName = address
		}
		secure := tls.Client(conn, own)
		if err := secure.HandshakeContext(ctx); err != nil {
			return nil, errors.Join(err, conn.Close())
		}
		return secure, nil
	}, nil
}

func saslOptions(s *SASL) []kgo.Opt {
	keys := s.keys()
	switch s.Mechanism {
	case "plain":
		return []kgo.Opt{kgo.SASL(plain.Plain(func(context.Context) (plain.Auth, error) {
			name, password, err := keys.User(time.Now())
			return plain.Auth{User: name, Pass: password}, err
		}))}
	case "scram-sha-256", "scram-sha-512":
		auth := func(context.Context) (scram.Auth, error) {
			name, password, err := keys.User(time.Now())
			return scram.Auth{User: name, Pass: password}, err
		}
		if s.Mechanism == "scram-sha-256" {
			return []kgo.Opt{kgo.SASL(scram.Sha256(auth))}
		}
		return []kgo.Opt{kgo.SASL(scram.Sha512(auth))}
	}
	return nil
}

// connected returns the client, made by the first call.
func (o *Output) connected() (*kgo.Client, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.client == nil {
		client, err := kgo.NewClient(o.options...)
		if err != nil {
			return nil, fmt.Errorf("cannot make a client of kafka: %w", err)
		}
		o.client = client
	}
	return o.client, nil
}

// Close ends the client. A Send after it makes another.
func (o *Output) Close() error {
	o.mu.Lock()
	client := o.client
	o.client = nil
	o.mu.Unlock()
	if client != nil {
		client.Close()
	}
	return nil
}

// Send delivers one payload; see dispatch.Sender.
func (o *Output) Send(ctx context.Context, payload []byte) error { return o.sender.Send(ctx, payload) }
