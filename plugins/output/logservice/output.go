// Package logservice is the output that speaks the Log Service protocol: to the
// hub, and to Log Service itself.
//
// It promises that Send returns nil only after the receiver has answered with
// success and a request id, and that a batch it splits, because the receiver
// refused it as a whole, loses none of its records: those that are refused by
// themselves are in the *pipeline.RejectedError that Send returns. Delivery is at
// least once: after an error, parts of a payload may have been stored.
//
// It starts no goroutines. An encoder belongs to one lane; Output is safe for
// concurrent use.
package logservice

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"runtime"
	"strconv"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"github.com/wasmtail/wasmtail/agent/pipeline"
	"github.com/wasmtail/wasmtail/agent/queue"
	"github.com/wasmtail/wasmtail/agent/transport"
	"github.com/wasmtail/wasmtail/internal/loggroup"
	"github.com/wasmtail/wasmtail/internal/signature"
)

// Env is what the output must know about the agent.
type Env struct {
	AgentID, Hostname, Version string
	// Wire counts and limits what is written; nil for neither.
	Wire *transport.Wire
}

// Pauses for failures that do not heal within seconds, when the receiver names
// none itself.
const (
	pauseQuota     = 3 * time.Second
	pausePerson    = 30 * time.Second // someone must change a key or a setting
	pauseForbidden = 60 * time.Second // an account without money or rights
	pauseKey       = 5 * time.Second  // a file with a new key is on its way
)

// Output sends payloads to one project.
type Output struct {
	config  Config
	env     Env
	client  *transport.Client
	tracer  trace.Tracer
	keys    *keySource
	options signature.Options
	host    string // empty: the endpoint's
	wanted  loggroup.Codec

	// clockOffset, in nanoseconds, is added to this host's time when signing.
	clockOffset atomic.Int64
	// codecRefused: the receiver does not know the wanted codec.
	codecRefused atomic.Bool
}

// New returns an output. It does not connect.
func New(c Config, env Env) (*Output, error) {
	endpoint, err := transport.ParseEndpoint(c.Endpoint)
	if err != nil {
		return nil, err
	}
	codec, err := loggroup.ParseCodec(c.Compression)
	if err != nil {
		return nil, err
	}
	client, err := transport.New(transport.Config{
		Endpoint: c.Endpoint, Timeout: c.Timeout, TLS: c.TLS, Wire: env.Wire,
		UserAgent: fmt.Sprintf("wasmtail/%s (%s; %s)", env.Version, runtime.GOOS, runtime.GOARCH),
	})
	if err != nil {
		return nil, err
	}
	o := &Output{
		config: c, env: env, client: client, wanted: codec,
		tracer:  otel.Tracer("github.com/wasmtail/wasmtail/plugins/output/logservice"),
		keys:    newKeySource(&c),
		options: signature.Options{Version: signature.V4, Region: c.region(endpoint)},
	}
	if c.Signature == "v1" {
		o.options.Version = signature.V1
	}
	if !c.isPathStyle(endpoint) {
		o.host = c.Project + "." + endpoint.Host
	}
	return o, nil
}

// Close closes idle connections.
func (o *Output) Close() error {
	o.client.Close()
	return nil
}

// codec is the wanted one until the receiver refuses it, then the one that
// every receiver of the protocol knows.
func (o *Output) codec() loggroup.Codec {
	if o.codecRefused.Load() {
		return loggroup.LZ4
	}
	return o.wanted
}

// Send delivers one payload. One attempt is one request, except when the
// receiver refuses the batch for its compression, its size or one of its
// records: then it is sent again uncompressed, or in parts. The error wraps
// pipeline.ErrRejected when no retry can save the payload, and otherwise is a
// *pipeline.RetryError around a *transport.Failure.
func (o *Output) Send(ctx context.Context, data []byte) error {
	p, err := parsePayload(data)
	if err != nil {
		return &pipeline.RejectedError{Err: err}
	}
	if p.traceparent != "" {
		carrier := propagation.MapCarrier{traceparentName: p.traceparent}
		ctx = propagation.TraceContext{}.Extract(ctx, carrier)
	}
	ctx, span := o.tracer.Start(ctx, "logservice.send", trace.WithSpanKind(trace.SpanKindClient))
	defer span.End()
	if span.IsRecording() {
		span.SetAttributes(
			attribute.String("logstore", p.logstore), attribute.String("batch", p.batchID), attribute.String("codec", p.codec.String()),
			attribute.Int("records", p.records), attribute.Int("bytes", len(p.body)), attribute.Int("raw_bytes", p.rawBytes),
		)
	}
	if err := o.deliver(ctx, &p); err != nil {
		span.SetStatus(codes.Error, err.Error())
		return err
	}
	return nil
}

// deliver sends p as it is, and if need be in another form.
func (o *Output) deliver(ctx context.Context, p *payload) error {
	if p.records == 0 && !o.config.Ledger {
		return nil // there is nothing to say
	}
	if p.rawBytes > int(o.config.RawBytesMax) && p.records > 1 {
		return o.sendParts(ctx, p)
	}
	err := o.post(ctx, p)
	var f *transport.Failure
	if !errors.As(err, &f) {
		return err
	}
	switch {
	case f.Class == transport.Rejected && p.codec != loggroup.None:
		if f.Code == codeCompressType {
			o.codecRefused.Store(true)
		}
		plain, errInflate := o.uncompressed(p)
		if errInflate != nil {
			return o.rejected(p, errInflate)
		}
		return o.deliver(ctx, plain)
	case (f.Class == transport.BadData || f.Class == transport.TooLarge) && p.records > 1:
		return o.sendParts(ctx, p)
	case f.Class == transport.BadData && p.records == 0:
		return nil // a receiver without a ledger, which wants no empty groups
	}
	return o.explain(p, f)
}

const (
	codeCompressType = "InvalidCompressType"
	codeStored       = "InvalidSequenceId"
)

// explain turns a failure into what the pipeline acts on.
func (o *Output) explain(p *payload, f *transport.Failure) error {
	switch f.Class {
	case transport.Rejected, transport.BadData, transport.TooLarge:
		return o.rejected(p, f)
	}
	s := queue.Setback{After: f.RetryAfter}
	switch f.Class {
	case transport.Quota:
		s.Scope, s.Slower = queue.Destination, true
		if s.After == 0 {
			s.After = pauseQuota
		}
	case transport.Auth, transport.Misconfigured:
		s.Scope = queue.Destination
		if s.After == 0 {
			s.After = pausePerson
			if f.Class == transport.Auth && o.config.CredentialsFile != "" {
				s.After = pauseKey
			}
			if f.Status == http.StatusForbidden && f.Class == transport.Misconfigured {
				s.After = pauseForbidden
			}
		}
	}
	return &pipeline.RetryError{Setback: s, Err: fmt.Errorf("cannot send batch %s: %w", p.batchID, f)}
}

// uncompressed returns p with its body inflated.
func (o *Output) uncompressed(p *payload) (*payload, error) {
	raw, err := loggroup.Decompress(nil, p.body, p.codec, p.rawBytes)
	if err != nil {
		return nil, err
	}
	plain := *p
	plain.codec, plain.body = loggroup.None, raw
	return &plain, nil
}

// post makes one request. Its error, if any, wraps a *transport.Failure.
func (o *Output) post(ctx context.Context, p *payload) error {
	header := http.Header{
		"Content-Type":      {"application/x-protobuf"},
		"X-Log-Bodyrawsize": {strconv.Itoa(p.rawBytes)},
		// The receiver refuses a signature it has seen, and the time in it has
		// one second's resolution: two attempts within a second must differ.
		"X-Log-Nonce": {strconv.FormatUint(rand.Uint64(), 36)}, //nolint:gosec // it has to differ, not to be hard to guess
	}
	if p.codec != loggroup.None {
		header["X-Log-Compresstype"] = []string{p.codec.String()}
	}
	if o.host == "" {
		header["X-Log-Project"] = []string{o.config.Project}
	}
	options := o.options
	options.Now = time.Now().Add(time.Duration(o.clockOffset.Load()))
	key, err := o.keys.current(time.Now())
	if err != nil {
		return &transport.Failure{Class: transport.Auth, Err: err}
	}
	unsigned := http.Header{}
	propagation.TraceContext{}.Inject(ctx, propagation.HeaderCarrier(unsigned))

	resp, err := o.client.Post(ctx, transport.Request{
		Path: "/logstores/" + url.PathEscape(p.logstore) + "/shards/lb", Host: o.host,
		Header: header, Body: p.body, Unsigned: unsigned,
		Credentials: key, Signature: options,
	})
	if err == nil {
		if resp.Header.Get("x-log-requestid") == "" {
			return &transport.Failure{
				Class: transport.Retry, Status: resp.Status,
				Message: "the answer has no x-log-requestid, so it is not the receiver's: is there a proxy in between?",
			}
		}
		return nil
	}
	var f *transport.Failure
	if errors.As(err, &f) {
		if f.Code == codeStored {
			return nil
		}
		o.learnClock(f)
	}
	return err
}

// codeSignature may mean a wrong secret, and a wrong clock as well.
const codeSignature = "SignatureNotMatch"

// learnClock takes over the receiver's time if that may be why it refused.
func (o *Output) learnClock(f *transport.Failure) {
	if f.ServerTime.IsZero() || f.Class != transport.Clock && f.Code != codeSignature {
		return
	}
	offset := time.Until(f.ServerTime)
	if f.Code == codeSignature {
		if (offset - time.Duration(o.clockOffset.Load())).Abs() < time.Minute {
			return // it is the secret
		}
		f.Class = transport.Clock // it is tried again at once
	}
	o.clockOffset.Store(int64(offset))
}
