// Package hub is wasmtail-hub: it takes logs in as Log Service does, keeps them
// and shows them.
//
// Run is the whole program but for flags and signals. It owns every goroutine
// of the hub and has ended them when it returns. One data directory belongs to
// one running hub.
package hub

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/wasmtail/wasmtail/hub/console"
	"github.com/wasmtail/wasmtail/hub/receiver"
	"github.com/wasmtail/wasmtail/hub/store"
	"github.com/wasmtail/wasmtail/hub/stream"
	"github.com/wasmtail/wasmtail/internal/durable"
)

// Options of a hub. What is zero has the default that its comment names.
type Options struct {
	// Version is shown in the status.
	Version string
	// DataDir holds all state; it is created with mode 0700. "./hub-state".
	DataDir string
	// Listen is the address for clients and the console. "127.0.0.1:7070".
	Listen string
	// TLSCert and TLSKey are PEM files; both or none.
	TLSCert, TLSKey string
	// Endpoint is the hub's own host name: what stands before it in a request's
	// Host is the project.
	Endpoint string
	// DefaultProject is meant by requests that name none. "default".
	DefaultProject string
	// KeyID and KeySecret are one more access key, for all projects.
	KeyID, KeySecret string
	// KeyFile holds the access keys. "<DataDir>/keys.yaml".
	KeyFile string
	// AllowV1 accepts signatures of version 1; AllowUnhashedBody accepts bodies
	// that the signature does not cover.
	AllowV1, AllowUnhashedBody bool
	// RefuseUnknownLogstores refuses log stores that do not exist.
	RefuseUnknownLogstores bool
	// LoginTokenFile, if set, always holds the token for the next login: the link
	// is /login?token= and the token.
	LoginTokenFile string
	// StoreURL is a VictoriaLogs server to write to, SelectURL one to query, if
	// another; empty: the store is inside.
	StoreURL, SelectURL string
	// StoreSettle is how long the servers of StoreURL may hold rows in memory
	// only. 12 seconds.
	StoreSettle time.Duration
	// NATSURL is a NATS server or cluster; empty: it is inside. Replicas is how
	// many of a cluster's servers hold each batch. 1.
	NATSURL  string
	Replicas int
	// Retention is the age at which records are deleted. 30 days.
	Retention time.Duration
	// DiskBytesMax bounds the store inside; 0 means no bound.
	DiskBytesMax int64
	// MemoryBytesMax bounds the caches of the store inside, and what queries hold; a
	// quarter of the machine's memory.
	MemoryBytesMax int64
	// QueueBytesMax bounds what waits for the store. 8 GiB.
	QueueBytesMax int64
	// RawBytesMax bounds a request's inflated size. 10 MiB.
	RawBytesMax int64
	Log         *logrus.Logger
	// Ready is told where the hub listens, and the link for the first login. It
	// may be nil.
	Ready func(Address)
}

// Address says where a running hub is.
type Address struct {
	URL, LoginURL string
	// Key is the access key that was made at this start, nil if there was one.
	Key *receiver.Key
}

const (
	defaultRetention = 30 * 24 * time.Hour
	defaultSettle    = 12 * time.Second
	// remoteVisible is how long VictoriaLogs takes to show rows, and a second for
	// the node that forwards them.
	remoteVisible = 2500 * time.Millisecond
	// freeBytesMin is kept free on the store's disk.
	freeBytesMin = 64 << 20
	// drainTimeout bounds the requests under way at shutdown.
	drainTimeout = 10 * time.Second
)

func (o *Options) defaults() {
	set(&o.DataDir, "hub-state")
	set(&o.Listen, "127.0.0.1:7070")
	set(&o.DefaultProject, "default")
	set(&o.KeyFile, filepath.Join(o.DataDir, "keys.yaml"))
	set(&o.StoreSettle, defaultSettle)
	set(&o.Retention, defaultRetention)
	set(&o.QueueBytesMax, 8<<30)
	set(&o.Version, "dev")
	if o.Log == nil {
		o.Log = logrus.StandardLogger()
	}
}

func set[T comparable](v *T, def T) {
	var zero T
	if *v == zero {
		*v = def
	}
}

// parts are the rooms of a running hub.
type parts struct {
	o       Options
	engine  *store.Engine // nil if the store is elsewhere
	remote  *store.Remote // nil if it is inside
	stream  *stream.Stream
	access  *receiver.Access
	made    *receiver.Key
	receive *receiver.Receiver
	console *console.Console
	session *console.Sessions
	base    string // the hub's address as a URL
	tokens  sync.Mutex
}

// Run runs a hub until ctx ends. It returns nil after an orderly end.
func Run(ctx context.Context, o Options) error {
	o.defaults()
	p, err := open(ctx, o)
	if err != nil {
		return err
	}
	defer p.close()
	listener, err := p.listen(ctx)
	if err != nil {
		return err
	}
	address := Address{URL: p.base, LoginURL: p.login(), Key: p.made}
	server := p.server()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	// The consumer outlives the server, so that it saves what was taken last.
	consumeCtx, stopConsumer := context.WithCancel(context.WithoutCancel(ctx))
	var running sync.WaitGroup
	defer running.Wait()
	defer stopConsumer()
	running.Go(func() {
		if err := p.stream.Run(consumeCtx); err != nil {
			o.Log.WithError(err).Warn("the consumer did not end in order; the next start reads its last messages again")
		}
	})
	running.Go(func() {
		err := server.Serve(listener)
		if !errors.Is(err, http.ErrServerClosed) {
			cancel(fmt.Errorf("cannot serve %s: %w", o.Listen, err))
		}
	})
	if o.Ready != nil {
		o.Ready(address)
	}
	<-ctx.Done()
	o.Log.Info("stopping")
	drain, done := context.WithTimeout(context.WithoutCancel(ctx), drainTimeout)
	defer done()
	if err := server.Shutdown(drain); err != nil {
		_ = server.Close() // tails never end by themselves
	}
	if err := context.Cause(ctx); !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}

// open makes the rooms.
func open(ctx context.Context, o Options) (p *parts, err error) {
	p = &parts{o: o, session: console.NewSessions(nil)}
	defer func() {
		if err != nil {
			p.close()
		}
	}()
	if err := os.MkdirAll(o.DataDir, 0o700); err != nil {
		return nil, fmt.Errorf("cannot create the data directory: %w", err)
	}
	if err := p.openAccess(); err != nil {
		return nil, err
	}
	streamOptions := stream.Options{
		Dir: filepath.Join(o.DataDir, "stream"), URL: o.NATSURL, Replicas: o.Replicas,
		DiskBytesMax: o.QueueBytesMax, Retention: o.Retention, Log: o.Log,
	}
	if o.StoreURL == "" {
		if err := p.openEngine(); err != nil {
			return nil, err
		}
		streamOptions.Writer, streamOptions.Querier = p.engine, p.engine
	} else {
		p.remote, err = store.Dial(store.RemoteOptions{
			InsertURL: o.StoreURL, SelectURL: o.SelectURL, Settle: o.StoreSettle, SeqField: stream.FieldSeq,
		})
		if err != nil {
			return nil, err
		}
		streamOptions.Writer, streamOptions.Querier = p.remote, p.remote
		streamOptions.VisibleAfter = remoteVisible
	}
	if p.stream, err = stream.Open(ctx, streamOptions); err != nil {
		return nil, err
	}
	p.receive = receiver.New(receiver.Options{
		Access: p.access, Publish: p.stream, RawBytesMax: o.RawBytesMax,
		RefuseUnknownLogstores: o.RefuseUnknownLogstores, Log: o.Log,
	})
	p.console, err = console.New(console.Options{
		Querier: streamOptions.Querier, Stream: p.stream, Access: p.access, Sessions: p.session,
		LoggedIn: p.nextLogin, Version: o.Version, Store: p.storeKind(), Ingest: p.ingest, Log: o.Log,
	})
	return p, err
}

// openEngine opens the store inside.
func (p *parts) openEngine() (err error) {
	if err := p.mendStore(); err != nil {
		return err
	}
	p.engine, err = store.Open(store.Options{
		Dir: p.storeDir(), Retention: p.o.Retention,
		DiskBytesMax: p.o.DiskBytesMax, FreeBytesMin: freeBytesMin, MemoryBytesMax: p.o.MemoryBytesMax,
	})
	if errors.Is(err, store.ErrDamaged) {
		return p.reportDamage(err)
	}
	return err
}

func (p *parts) storeKind() string {
	if p.remote != nil {
		return "cluster"
	}
	return "embedded"
}

// openAccess reads or makes the access keys.
func (p *parts) openAccess() error {
	var extra []receiver.Key
	if p.o.KeyID != "" || p.o.KeySecret != "" {
		extra = append(extra, receiver.Key{ID: p.o.KeyID, Secret: p.o.KeySecret, Projects: []string{receiver.AllProjects}})
	}
	keys, made, err := receiver.LoadKeys(p.o.KeyFile, extra...)
	if err != nil {
		return err
	}
	p.made = made
	p.access = &receiver.Access{
		Keys: keys, AllowV1: p.o.AllowV1, AllowUnhashedBody: p.o.AllowUnhashedBody,
		DefaultProject: p.o.DefaultProject, Endpoint: p.o.Endpoint,
	}
	return nil
}

// close ends the rooms, the last opened first.
func (p *parts) close() {
	if p.stream != nil {
		p.stream.Close()
	}
	var err error
	if p.engine != nil {
		err = p.engine.Close()
	}
	if p.remote != nil {
		err = errors.Join(err, p.remote.Close())
	}
	if err != nil {
		p.o.Log.WithError(err).Error("cannot close the store")
	}
}

// listen opens the port, and learns the hub's address.
func (p *parts) listen(ctx context.Context) (net.Listener, error) {
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", p.o.Listen)
	if err != nil {
		return nil, fmt.Errorf("cannot listen on %s: %w; choose another address with --listen", p.o.Listen, err)
	}
	scheme := "http"
	if p.o.TLSCert != "" || p.o.TLSKey != "" {
		scheme = "https"
		tls, err := serverTLS(p.o.TLSCert, p.o.TLSKey, l)
		if err != nil {
			return nil, errors.Join(err, l.Close())
		}
		l = tls
	}
	host, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		return nil, errors.Join(err, l.Close())
	}
	if ip := net.ParseIP(host); ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	p.base = scheme + "://" + net.JoinHostPort(host, port)
	return l, nil
}

// login makes the token for the next login, puts it into its file, and returns
// the link.
func (p *parts) login() string {
	p.tokens.Lock()
	defer p.tokens.Unlock()
	token := p.session.Token()
	if p.o.LoginTokenFile != "" {
		if err := durable.WriteFile(durable.OS{}, p.o.LoginTokenFile, []byte(token+"\n")); err != nil {
			p.o.Log.WithError(err).Error("cannot write the login token")
		}
	}
	return p.base + "/login?token=" + url.QueryEscape(token)
}

// nextLogin is called when a token has been used up. Without a file there is
// nowhere to say the next one: a restart makes one.
func (p *parts) nextLogin() {
	if p.o.LoginTokenFile != "" {
		p.login()
	}
}
