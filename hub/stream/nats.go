package stream

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Names in the server.
const (
	streamName   = "WASMTAIL_INGEST"
	subject      = "wasmtail.ingest"
	ledgerBucket = "WASMTAIL_LEDGER"
	stateBucket  = "WASMTAIL_STATE"
)

const (
	// messageBytesMax is the largest message: a compressed group of 10 MiB and
	// its headers.
	messageBytesMax = 12 << 20
	// readyTimeout bounds the start of the server inside the process: it reads
	// its files first.
	readyTimeout = time.Minute
	// duplicateWindow is how long the stream itself remembers message ids. The
	// ledger remembers for ever what has been stored; between the two lies what
	// waits in the stream, and that is read before it is acknowledged.
	duplicateWindow = 10 * time.Minute
	// ledgerRoom is disk space beside the stream's, for the buckets.
	ledgerRoom = 4 << 30
)

// bus is the connection to JetStream, and the server if it is inside.
type bus struct {
	server *server.Server
	conn   *nats.Conn
	js     jetstream.JetStream
	stream jetstream.Stream
	ledger jetstream.KeyValue
	state  jetstream.KeyValue
}

// openBus starts the server inside the process, or connects to url, and makes
// the stream and the buckets.
func openBus(ctx context.Context, o *Options) (b *bus, err error) {
	b = &bus{}
	defer func() {
		if err != nil {
			b.close()
		}
	}()
	if o.URL == "" {
		err = b.startServer(o)
	} else {
		b.conn, err = nats.Connect(o.URL, nats.Name("wasmtail-hub"), nats.MaxReconnects(-1), nats.RetryOnFailedConnect(false))
	}
	if err != nil {
		return nil, fmt.Errorf("cannot connect to the ingest stream's server: %w", err)
	}
	if b.js, err = jetstream.New(b.conn); err != nil {
		return nil, fmt.Errorf("cannot use the ingest stream's server: %w", err)
	}
	if err = b.open(ctx, o); err != nil {
		return nil, err
	}
	return b, nil
}

// startServer starts a server that listens nowhere and writes every message to
// disk before it confirms it.
func (b *bus) startServer(o *Options) error {
	if err := os.MkdirAll(o.Dir, 0o700); err != nil {
		return fmt.Errorf("cannot create its directory: %w", err)
	}
	srv, err := server.NewServer(&server.Options{
		ServerName: "wasmtail-hub", DontListen: true, NoSigs: true, NoLog: true,
		JetStream: true, StoreDir: o.Dir, SyncAlways: true,
		JetStreamMaxStore: o.DiskBytesMax + ledgerRoom, JetStreamMaxMemory: 64 << 20,
		MaxPayload: messageBytesMax, MaxPending: 4 * messageBytesMax,
		StreamMaxBufferedSize: 8 * messageBytesMax,
	})
	if err != nil {
		return fmt.Errorf("cannot set it up: %w", err)
	}
	b.server = srv
	srv.Start()
	if !srv.ReadyForConnections(readyTimeout) {
		return errors.New("it does not start: is its directory writable?")
	}
	if !srv.JetStreamEnabled() {
		return fmt.Errorf("it cannot use its directory %s", o.Dir)
	}
	b.conn, err = nats.Connect("", nats.InProcessServer(srv), nats.Name("wasmtail-hub"))
	return err
}

// open makes the stream and the buckets, or finds them.
func (b *bus) open(ctx context.Context, o *Options) (err error) {
	b.stream, err = b.js.Stream(ctx, streamName)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		b.stream, err = b.js.CreateStream(ctx, jetstream.StreamConfig{
			Name: streamName, Subjects: []string{subject},
			Storage: jetstream.FileStorage, Retention: jetstream.LimitsPolicy, Discard: jetstream.DiscardNew,
			MaxBytes: o.DiskBytesMax, MaxMsgSize: messageBytesMax,
			Duplicates: duplicateWindow, Replicas: o.Replicas,
			// Numbers begin at the clock, so that a stream made anew never repeats
			// those of one that is gone: records in the store carry them.
			FirstSeq: uint64(time.Now().UnixMicro()),
		})
	}
	if err != nil {
		return fmt.Errorf("cannot open the ingest stream: %w", err)
	}
	for _, k := range []struct {
		name string
		dst  *jetstream.KeyValue
	}{{ledgerBucket, &b.ledger}, {stateBucket, &b.state}} {
		*k.dst, err = b.js.KeyValue(ctx, k.name)
		if errors.Is(err, jetstream.ErrBucketNotFound) {
			*k.dst, err = b.js.CreateKeyValue(ctx, jetstream.KeyValueConfig{
				Bucket: k.name, History: 1, Storage: jetstream.FileStorage, Replicas: o.Replicas,
			})
		}
		if err != nil {
			return fmt.Errorf("cannot open the bucket %s: %w", k.name, err)
		}
	}
	return nil
}

func (b *bus) close() {
	if b.conn != nil {
		b.conn.Close()
	}
	if b.server != nil {
		b.server.Shutdown()
		b.server.WaitForShutdown()
	}
}
