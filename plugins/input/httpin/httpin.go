// Package httpin takes records in over HTTP, in the formats that senders have: JSON
// and plain lines, and the requests of Loki, Elasticsearch, OpenTelemetry and Log
// Service.
//
// It promises that a request is answered with success only when each of its records
// was delivered by all outputs of the pipeline, put aside as refused, or is safe on
// the disk; that a request which cannot be read leaves nothing, but for bulk requests,
// which are answered item by item; and that what is under way stays within its
// memory: more is answered with 429. A sender that gets no answer, or 503, and sends
// again may deliver twice: requests have no identity.
//
// Run starts a goroutine for each connection, by net/http, and waits for them.
// Streams and Ready are safe for concurrent use.
package httpin

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sirupsen/logrus"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	"golang.org/x/net/netutil"
	"golang.org/x/sync/semaphore"

	"github.com/wasmtail/wasmtail/agent/intake"
	"github.com/wasmtail/wasmtail/agent/pipeline"
	"github.com/wasmtail/wasmtail/internal/signature"
	"github.com/wasmtail/wasmtail/internal/telemetry"
)

// Env is what the agent lends the input.
type Env struct {
	Pipeline string
	// BatchBytes bounds the bytes of a batch.
	BatchBytes int
	Log        logrus.FieldLogger
}

// Input is the http input of one pipeline.
type Input struct {
	c        Config
	env      Env
	tls      *tls.Config
	tokens   []string
	verifier *signature.Verifier // nil without an access key
	memory   *semaphore.Weighted
	drops    metric.Int64Counter

	stream  atomic.Pointer[intake.Stream]
	bound   atomic.Pointer[string] // where it listens, nil while it does not
	failure atomic.Pointer[string]
	peers   atomic.Int64
	dropped atomic.Int64
	turn    atomic.Uint64
	scratch sync.Pool // of *scratch
}

// New returns an input. It reads the files of its settings, and listens in Run.
func New(c Config, env Env) (*Input, error) {
	in := &Input{c: c, env: env, memory: semaphore.NewWeighted(int64(c.MaxMemory))}
	var err error
	if in.tls, err = c.TLS.load(); err != nil {
		return nil, err
	}
	if in.tokens, err = loadTokens(c.TokensFile); err != nil {
		return nil, err
	}
	if in.drops, err = telemetry.InputDropped.Counter(); err != nil {
		return nil, fmt.Errorf("cannot make the metrics of the http input: %w", err)
	}
	if c.AccessKeyID != "" {
		in.verifier = &signature.Verifier{Secret: func(id string) (string, bool) {
			return c.AccessKeySecret.Reveal(), id == c.AccessKeyID
		}}
	}
	if env.Log == nil {
		in.env.Log = logrus.StandardLogger()
	}
	return in, nil
}

const (
	// headerTimeout is how long a sender may take for the head of a request.
	headerTimeout = 10 * time.Second
	// listenPause is how long to wait before an address is tried again.
	listenPause = time.Second
	// drainTimeout bounds the requests under way when the input ends.
	drainTimeout = 5 * time.Second
)

// Run listens until ctx ends. It is called once.
func (in *Input) Run(ctx context.Context, emit pipeline.Emit) error {
	if err := in.openStream(emit); err != nil {
		return err
	}
	listener := in.listen(ctx)
	if listener == nil {
		return context.Cause(ctx)
	}
	server := &http.Server{
		Handler: in.handler(), ReadHeaderTimeout: headerTimeout, IdleTimeout: in.c.IdleTimeout, MaxHeaderBytes: 32 << 10,
		ErrorLog: log.New(io.Discard, "", 0), ConnState: in.count, BaseContext: func(net.Listener) context.Context { return context.WithoutCancel(ctx) },
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	var failed error
	select {
	case <-ctx.Done():
		failed = context.Cause(ctx)
	case err := <-served:
		failed = fmt.Errorf("cannot serve %s: %w", in.c.Listen, err)
	}
	in.bound.Store(nil)
	drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainTimeout)
	defer cancel()
	if err := server.Shutdown(drain); err != nil {
		_ = server.Close() // a sender that does not end
	}
	return failed
}

func (in *Input) openStream(emit pipeline.Emit) error {
	stream, err := intake.Open(intake.Config{
		Pipeline: in.env.Pipeline, Name: "http " + in.c.Listen, BatchBytes: in.env.BatchBytes, Linger: time.Second, Emit: emit,
	})
	if err != nil {
		return err
	}
	in.stream.Store(stream)
	return nil
}

// listen waits until the address can be had; nil when ctx ends first.
func (in *Input) listen(ctx context.Context) net.Listener {
	for told := false; ; {
		listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", in.c.Listen)
		if err == nil {
			address := listener.Addr().String()
			in.bound.Store(&address)
			in.failure.Store(nil)
			listener = netutil.LimitListener(listener, in.c.MaxConnections)
			if in.tls != nil {
				listener = tls.NewListener(listener, in.tls)
			}
			return listener
		}
		text := err.Error()
		in.failure.Store(&text)
		if !told && ctx.Err() == nil {
			told = true
			in.env.Log.WithError(err).Errorf("cannot listen on %s; trying again until it can be had", in.c.Listen)
		}
		timer := time.NewTimer(listenPause)
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil
		case <-timer.C:
		}
	}
}

func (in *Input) count(_ net.Conn, state http.ConnState) {
	switch state {
	case http.StateNew:
		in.peers.Add(1)
	case http.StateClosed, http.StateHijacked:
		in.peers.Add(-1)
	}
}

// Ready implements agent.Starter.
func (in *Input) Ready() bool { return in.bound.Load() != nil }

// Address is where it listens, "" while it does not.
func (in *Input) Address() string {
	if a := in.bound.Load(); a != nil {
		return *a
	}
	return ""
}

// Streams implements agent.StreamLister.
func (in *Input) Streams() []intake.Status {
	s := in.stream.Load()
	if s == nil {
		return nil
	}
	st := s.Status()
	st.Peers, st.Dropped = int(in.peers.Load()), in.dropped.Load()
	if f := in.failure.Load(); f != nil {
		st.Error = *f
	}
	return []intake.Status{st}
}

// drop counts a request that was not taken.
func (in *Input) drop(ctx context.Context, reason string) {
	in.dropped.Add(1)
	in.drops.Add(ctx, 1, metric.WithAttributes(attribute.String("pipeline", in.env.Pipeline), attribute.String("reason", reason)))
}

// problem is why a request was not taken.
type problem struct {
	status int
	reason string // of the metric
	text   string
}

// Error implements error.
func (p *problem) Error() string { return p.text }

func malformed(format string, args ...any) error {
	return &problem{http.StatusBadRequest, "malformed", fmt.Sprintf(format, args...)}
}

var errBusy = &problem{http.StatusTooManyRequests, "full", "there is no room for more now; try again"}

// asProblem is err as a problem.
func asProblem(err error) *problem {
	var p *problem
	if errors.As(err, &p) {
		return p
	}
	return &problem{http.StatusInternalServerError, "malformed", err.Error()}
}
