// Package receiver takes logs in as Log Service does: PutLogs, signed.
//
// It promises that it answers 200 only when the logs are durable in the ingest
// stream, that a request is taken whole or not at all, and that no request uses
// more memory than the limits say: the compressed body, its declared inflated
// size and the sum over all requests are bounded, and what does not fit is
// refused with ServerBusy. A body is never inflated beyond what was declared.
//
// A copy of a request that was taken is refused for as long as its date is
// valid. A client that sends a batch again signs it again; a header
// x-log-nonce, which the signature covers, makes that possible more than once a
// second.
//
// It starts no goroutines. A Receiver is an http.Handler.
package receiver

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sirupsen/logrus"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
	"golang.org/x/sync/semaphore"

	"github.com/wasmtail/wasmtail/hub/stream"
	"github.com/wasmtail/wasmtail/internal/loggroup"
)

// Publisher is where batches become durable.
type Publisher interface {
	Publish(ctx context.Context, b *stream.Batch) (repeat bool, err error)
	HasLogstore(project, logstore string) bool
	CreateLogstore(ctx context.Context, project, logstore string) error
}

// Options of a receiver. Zero limits mean the defaults.
type Options struct {
	Access  *Access
	Publish Publisher
	// BodyBytesMax bounds a body as it was sent, RawBytesMax its inflated size.
	BodyBytesMax, RawBytesMax int64
	// LogsMax bounds the logs of a request.
	LogsMax int
	// MemoryBytesMax bounds all bodies under way, sent and inflated.
	MemoryBytesMax int64
	// RefuseUnknownLogstores refuses a log store that does not exist, instead of
	// making it.
	RefuseUnknownLogstores bool
	Log                    logrus.FieldLogger
}

// The default limits.
const (
	BodyBytesMax   = 10 << 20
	RawBytesMax    = 10 << 20
	LogsMax        = 100_000
	MemoryBytesMax = 256 << 20
)

const (
	// readStep is how much of a body is read at a time, and paid for.
	readStep = 64 << 10
	// bodyTimeout is what a body may take, and bodyRateMin the rate in bytes per
	// second above which it may take longer.
	bodyTimeout = 20 * time.Second
	bodyRateMin = 64 << 10
	// publishTimeout bounds the wait for the stream.
	publishTimeout = 30 * time.Second
	busyRetry      = time.Second
	fullRetry      = 5 * time.Second
)

// Receiver is the PutLogs handler.
type Receiver struct {
	o       Options
	memory  *semaphore.Weighted
	replays *replays
	calls   sync.Pool // of *call
	counts  Counts
}

// Counts are numbers for monitoring.
type Counts struct {
	// Requests taken, repeated among them, and refused by the client's fault or
	// because the hub was busy.
	Accepted, Repeated, Refused, Busy atomic.Uint64
	// Logs and bytes taken: as sent, and inflated.
	Logs, BodyBytes, RawBytes atomic.Uint64
}

// New returns a receiver.
func New(o Options) *Receiver {
	setDefault(&o.BodyBytesMax, BodyBytesMax)
	setDefault(&o.RawBytesMax, RawBytesMax)
	setDefault(&o.MemoryBytesMax, MemoryBytesMax)
	setDefault(&o.LogsMax, LogsMax)
	if o.Log == nil {
		o.Log = logrus.StandardLogger()
	}
	r := &Receiver{o: o, memory: semaphore.NewWeighted(o.MemoryBytesMax)}
	// A request may be dated ahead: it stays valid for twice the window.
	r.replays = newReplays(2*clockWindow, r.now())
	r.calls.New = func() any { return &call{} }
	return r
}

func setDefault[T int | int64](v *T, d T) {
	if *v <= 0 {
		*v = d
	}
}

func (rc *Receiver) now() time.Time {
	if rc.o.Access.Now != nil {
		return rc.o.Access.Now()
	}
	return time.Now()
}

// Counts returns the counters.
func (rc *Receiver) Counts() *Counts { return &rc.counts }

// call is the memory of one request.
type call struct {
	body, raw []byte
	group     loggroup.Group
	id        stream.Identity
	codec     loggroup.Codec
	rawSize   int
	paid      int64
}

// keepBytes is the largest buffer that is kept for the next request.
const keepBytes = 4 << 20

func (c *call) reset() {
	if cap(c.body) > keepBytes {
		c.body = nil
	}
	if cap(c.raw) > keepBytes {
		c.raw = nil
	}
	c.body, c.raw, c.paid = c.body[:0], c.raw[:0], 0
}

// ServeHTTP takes one PutLogs request; its path has {logstore}.
func (rc *Receiver) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	requestID := Stamp(w)
	ctx := otel.GetTextMapPropagator().Extract(r.Context(), propagation.HeaderCarrier(r.Header))
	ctx, span := otel.Tracer("wasmtail/hub/receiver").Start(ctx, "hub.receive", trace.WithSpanKind(trace.SpanKindServer))
	defer span.End()
	c := rc.calls.Get().(*call)
	defer rc.calls.Put(c)
	c.reset()
	defer func() { rc.memory.Release(c.paid) }()
	e := rc.serve(ctx, c, w, r)
	span.SetAttributes(
		attribute.String("wasmtail.project", c.id.Project), attribute.String("wasmtail.logstore", c.id.Logstore),
		attribute.String("wasmtail.batch", c.id.BatchID()), attribute.Int("wasmtail.records", len(c.group.Logs)),
		attribute.String("wasmtail.request_id", requestID),
	)
	if e == nil {
		rc.counts.Accepted.Add(1)
		w.WriteHeader(http.StatusOK)
		return
	}
	span.SetStatus(codes.Error, e.Code)
	if e.Status >= http.StatusInternalServerError {
		rc.counts.Busy.Add(1)
	} else {
		rc.counts.Refused.Add(1)
	}
	Refuse(w, e)
}

// serve does the work; nil means that the logs are durable.
func (rc *Receiver) serve(ctx context.Context, c *call, w http.ResponseWriter, r *http.Request) *Error {
	c.id = stream.Identity{Logstore: r.PathValue("logstore"), Offsets: c.id.Offsets[:0], Ends: c.id.Ends[:0]}
	c.group.Logs = c.group.Logs[:0]
	project, e := rc.o.Access.Project(r)
	if e != nil {
		return e
	}
	c.id.Project = project
	if !ValidName(c.id.Logstore) {
		return bad("ParameterInvalid", "The log store's name is not valid: letters, digits, dash, dot and underscore, at most %d.", nameBytesMax)
	}
	if e := rc.headers(c, r); e != nil {
		return e
	}
	if e := rc.read(c, w, r); e != nil {
		return e
	}
	who, e := rc.o.Access.Verify(r, c.body, project)
	if e != nil {
		return e
	}
	key := replayKeyOf(who.KeyID, who.Signature)
	switch seen, full := rc.replays.claim(key, rc.now()); {
	case seen:
		return refuse(http.StatusUnauthorized, "SignatureNonceUsed", "A request with this signature was taken before: sign it again.")
	case full:
		return busy(busyRetry, "Too many requests to remember.")
	}
	if e = rc.take(ctx, c); e != nil {
		rc.replays.forget(key)
	}
	return e
}

// headers checks what can be refused before the body is read.
func (rc *Receiver) headers(c *call, r *http.Request) *Error {
	h := r.Header
	switch v := h.Get("x-log-apiversion"); {
	case v == "":
		return bad("MissingAPIVersion", "The header x-log-apiversion is missing.")
	case v != "0.6.0" && v != "0.4.0":
		return bad("InvalidAPIVersion", "The header x-log-apiversion must be 0.6.0.")
	}
	if h.Get("Authorization") == "" {
		return refuse(http.StatusUnauthorized, "Unauthorized", "The request is not signed: the header Authorization is missing.")
	}
	kind, _, _ := strings.Cut(h.Get("Content-Type"), ";")
	switch strings.TrimSpace(kind) {
	case "":
		return bad("MissingContentType", "The header Content-Type is missing.")
	case "application/x-protobuf":
	default:
		return refuse(http.StatusUnsupportedMediaType, "InvalidContentType", "The header Content-Type must be application/x-protobuf.")
	}
	if mode := h.Get("x-log-mode"); mode != "" {
		return bad("ParameterInvalid", "The header x-log-mode is not supported.")
	}
	if r.ContentLength < 0 {
		return refuse(http.StatusLengthRequired, "MissingContentLength", "The header Content-Length is missing.")
	}
	if r.ContentLength > rc.o.BodyBytesMax {
		return bad("PostBodyTooLarge", "The body has %d bytes; at most %d are taken.", r.ContentLength, rc.o.BodyBytesMax)
	}
	text := h.Get("x-log-bodyrawsize")
	if text == "" {
		return bad("MissingBodyRawSize", "The header x-log-bodyrawsize is missing.")
	}
	size, err := strconv.ParseInt(text, 10, 64)
	if err != nil || size < 0 {
		return bad("InvalidBodyRawSize", "The header x-log-bodyrawsize is not a number.")
	}
	if size > rc.o.RawBytesMax {
		return bad("PostBodyTooLarge", "The body has %d bytes inflated; at most %d are taken.", size, rc.o.RawBytesMax)
	}
	c.rawSize = int(size)
	if c.codec, err = loggroup.ParseCodec(h.Get("x-log-compresstype")); err != nil {
		return bad("InvalidCompressType", "The header x-log-compresstype must be lz4, zstd, deflate, snappy or absent.")
	}
	if c.codec == loggroup.None && size != r.ContentLength {
		return bad("InvalidBodyRawSize", "The header x-log-bodyrawsize is not the size of the body.")
	}
	return nil
}

// pay takes n bytes of the memory that all requests share.
func (rc *Receiver) pay(c *call, n int64) *Error {
	if !rc.memory.TryAcquire(n) {
		return busy(busyRetry, "Too many requests are under way.")
	}
	c.paid += n
	return nil
}

// read reads the body. It pays for what has come, not for what was announced,
// so that slow clients cannot hold the memory of others.
func (rc *Receiver) read(c *call, w http.ResponseWriter, r *http.Request) *Error {
	size := int(r.ContentLength)
	// Not every writer has deadlines; the server's own are there too.
	_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(bodyTimeout + time.Duration(size/bodyRateMin)*time.Second))
	body := http.MaxBytesReader(w, r.Body, rc.o.BodyBytesMax)
	for len(c.body) < size {
		step := min(readStep, size-len(c.body))
		if e := rc.pay(c, int64(step)); e != nil {
			return e
		}
		at := len(c.body)
		c.body = append(c.body, make([]byte, step)...)
		if _, err := io.ReadFull(body, c.body[at:]); err != nil {
			return bad("PostBodyInvalid", "The body ends before its Content-Length.")
		}
	}
	return nil
}

// take decodes the body and makes it durable.
func (rc *Receiver) take(ctx context.Context, c *call) *Error {
	if e := rc.pay(c, int64(c.rawSize)); e != nil {
		return e
	}
	raw, err := loggroup.Decompress(c.raw, c.body, c.codec, c.rawSize)
	if err != nil {
		return bad("PostBodyUncompressError", "The body cannot be inflated to x-log-bodyrawsize bytes: %v.", err)
	}
	c.raw = raw
	if err := c.group.Decode(raw); err != nil {
		return bad("PostBodyInvalid", "The body is not a valid LogGroup: %v.", err)
	}
	if e := rc.check(c); e != nil {
		return e
	}
	if err := stream.Identify(&c.id, &c.group); err != nil {
		return bad("PostBodyInvalid", "%v.", err)
	}
	if !rc.o.Publish.HasLogstore(c.id.Project, c.id.Logstore) {
		if rc.o.RefuseUnknownLogstores {
			return refuse(http.StatusNotFound, "LogStoreNotExist", "The log store %s does not exist.", c.id.Logstore)
		}
		if err := rc.o.Publish.CreateLogstore(ctx, c.id.Project, c.id.Logstore); err != nil {
			return rc.fault(err)
		}
	}
	return rc.publish(ctx, c)
}

// check looks for what is valid protobuf but no valid log.
func (rc *Receiver) check(c *call) *Error {
	if len(c.group.Logs) > rc.o.LogsMax {
		return bad("PostBodyTooLarge", "The body has %d logs; at most %d are taken.", len(c.group.Logs), rc.o.LogsMax)
	}
	for i := range c.group.Logs {
		for j := range c.group.Logs[i].Contents {
			if len(c.group.Logs[i].Contents[j].Key) == 0 {
				return bad("InvalidKey", "Log %d has an empty key.", i)
			}
		}
	}
	return nil
}

func (rc *Receiver) publish(ctx context.Context, c *call) *Error {
	carrier := propagation.MapCarrier{}
	if trace.SpanContextFromContext(ctx).IsSampled() {
		propagation.TraceContext{}.Inject(ctx, carrier)
	}
	ctx, cancel := context.WithTimeout(ctx, publishTimeout)
	defer cancel()
	repeat, err := rc.o.Publish.Publish(ctx, &stream.Batch{
		Identity: &c.id, Body: c.body, Codec: c.codec, RawSize: c.rawSize, TraceParent: carrier["traceparent"],
	})
	if err != nil {
		return rc.fault(err)
	}
	if repeat {
		rc.counts.Repeated.Add(1)
	}
	rc.counts.Logs.Add(uint64(len(c.group.Logs)))
	rc.counts.BodyBytes.Add(uint64(len(c.body)))
	rc.counts.RawBytes.Add(uint64(c.rawSize))
	return nil
}

// fault turns an error of the stream into an answer.
func (rc *Receiver) fault(err error) *Error {
	switch {
	case errors.Is(err, stream.ErrFull):
		return busy(fullRetry, "The ingest stream is full: the store is slower than the clients.")
	case errors.Is(err, stream.ErrNoLogstore):
		return refuse(http.StatusNotFound, "LogStoreNotExist", "The log store does not exist.")
	}
	rc.o.Log.WithError(err).Warn("cannot make a batch durable; the client will send it again")
	return &Error{
		Status: http.StatusInternalServerError, Code: "InternalServerError",
		Message: "The logs could not be made durable.", RetryAfter: busyRetry,
	}
}
