package otlp

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"go.opentelemetry.io/otel/propagation"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	_ "google.golang.org/grpc/encoding/gzip" // the compressor of that name
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/wasmtail/wasmtail/agent/dispatch"
	"github.com/wasmtail/wasmtail/agent/transport"
	"github.com/wasmtail/wasmtail/internal/protofield"
)

const exportMethod = "/opentelemetry.proto.collector.logs.v1.LogsService/Export"

// client makes requests by gRPC. Safe for concurrent use.
type client struct {
	conn    *grpc.ClientConn
	keys    *dispatch.Keys
	headers metadata.MD
	timeout time.Duration
	options []grpc.CallOption
}

// timeoutDefault is for configurations that set it to 0.
const timeoutDefault = 10 * time.Second

// newClient returns a client. It does not connect.
func newClient(c *Config, endpoint string, env *dispatch.Env) (*client, error) {
	scheme, host, _ := strings.Cut(endpoint, "://")
	secure := insecure.NewCredentials()
	if scheme == "https" {
		t, err := c.TLS.Load()
		if err != nil {
			return nil, err
		}
		secure = credentials.NewTLS(withH2(t))
	}
	if !strings.Contains(host[strings.LastIndexByte(host, ']')+1:], ":") {
		host += ":4317"
	}
	conn, err := grpc.NewClient("passthrough:///"+host, grpc.WithTransportCredentials(secure), grpc.WithUserAgent(env.UserAgent()),
		grpc.WithContextDialer(func(ctx context.Context, address string) (net.Conn, error) { return env.Wire.Dial(ctx, "tcp", address) }),
		grpc.WithDisableServiceConfig(), grpc.WithDisableRetry())
	if err != nil {
		return nil, fmt.Errorf("cannot make a client of %s: %w", endpoint, err)
	}
	g := &client{conn: conn, keys: dispatch.NewKeys(c.Auth), headers: metadata.MD{}, timeout: c.Timeout, options: []grpc.CallOption{grpc.ForceCodecV2(raw{})}}
	if g.timeout <= 0 {
		g.timeout = timeoutDefault
	}
	for name, value := range c.Headers {
		g.headers.Set(name, value.Reveal())
	}
	if c.Compression == "gzip" {
		g.options = append(g.options, grpc.UseCompressor("gzip"))
	}
	return g, nil
}

func withH2(t *tls.Config) *tls.Config {
	t.NextProtos = []string{"h2"}
	return t
}

// raw is the codec of messages that are bytes already.
type raw struct{}

// Marshal implements encoding.CodecV2. The bytes are lent until the call ends.
func (raw) Marshal(v any) (mem.BufferSlice, error) {
	return mem.BufferSlice{mem.SliceBuffer(*v.(*[]byte))}, nil
}

// Unmarshal implements encoding.CodecV2.
func (raw) Unmarshal(data mem.BufferSlice, v any) error {
	*v.(*[]byte) = data.Materialize()
	return nil
}

// Name implements encoding.CodecV2.
func (raw) Name() string { return "proto" }

// post makes one request; see dispatch.Options.
func (g *client) post(ctx context.Context, p *dispatch.Payload) (v dispatch.Verdict, err error) {
	key, err := g.keys.Authorization(time.Now())
	if err != nil {
		return v, &transport.Failure{Class: transport.Auth, Status: 401, Err: err}
	}
	headers := g.headers.Copy()
	if key != "" {
		headers.Set("authorization", key)
	}
	carrier := propagation.MapCarrier{}
	propagation.TraceContext{}.Inject(ctx, carrier)
	for name, value := range carrier {
		headers.Set(name, value)
	}
	ctx, cancel := context.WithTimeout(metadata.NewOutgoingContext(ctx, headers), g.timeout)
	defer cancel()
	var response []byte
	// gRPC may still read the message when the call has ended early.
	body := append([]byte{}, p.Body...)
	if err := g.conn.Invoke(ctx, exportMethod, &body, &response, g.options...); err != nil {
		return v, failure(err)
	}
	if v, err = partial(response); err != nil {
		return v, &transport.Failure{Message: "the answer cannot be read: " + err.Error()}
	}
	return v, nil
}

// failure takes the protocol's word on which codes to try again; see classify.
func failure(err error) *transport.Failure {
	s, ok := status.FromError(err)
	if !ok {
		return &transport.Failure{Err: err}
	}
	message := transport.Clean(s.Message(), messageBytesMax)
	f := &transport.Failure{Err: fmt.Errorf("the receiver answered %s: %s", s.Code(), message)}
	delay, told := retryDelay(s)
	f.RetryAfter = delay
	switch s.Code() {
	case codes.Canceled, codes.DeadlineExceeded, codes.Aborted, codes.OutOfRange, codes.Unavailable, codes.DataLoss:
		if isCertificate(message) {
			f.Class = transport.Misconfigured
		}
	case codes.ResourceExhausted:
		f.Class = transport.TooLarge
		if told || !strings.Contains(message, "larger than") {
			f.Class = transport.Quota
		}
	case codes.Unauthenticated, codes.PermissionDenied:
		f.Class, f.Advice = transport.Auth, "; check auth and headers"
	case codes.Unimplemented, codes.NotFound:
		f.Class, f.Advice = transport.Misconfigured, "; check url and protocol"
	case codes.InvalidArgument:
		f.Class = transport.BadData
	case codes.Unknown, codes.Internal:
		f.Class = transport.Rejected
		if isTransport(message) { // said by our end about the connection
			f.Class = transport.Retry
		}
	default:
		f.Class = transport.Rejected
	}
	return f
}

// isTransport is true for messages that the gRPC library makes itself.
func isTransport(message string) bool {
	for _, part := range []string{"stream terminated by RST_STREAM", "unexpected HTTP status code", "malformed header", "transport:", "EOF"} {
		if strings.Contains(message, part) {
			return true
		}
	}
	return false
}

// isCertificate is true if the receiver could not prove who it is: only a change of
// settings heals that.
func isCertificate(message string) bool {
	return strings.Contains(message, "x509:") || strings.Contains(message, "certificate")
}

// retryInfo is the type of a status' detail, and what its fields are.
const (
	retryInfo       = "google.rpc.RetryInfo"
	retryInfoDelay  = 1
	durationSeconds = 1
	durationNanos   = 2
	retryAfterMax   = 10 * time.Minute
)

// retryDelay is the pause that a receiver asks for, and whether it asks.
func retryDelay(s *status.Status) (delay time.Duration, told bool) {
	for _, detail := range s.Proto().GetDetails() {
		if !strings.HasSuffix(detail.GetTypeUrl(), "/"+retryInfo) {
			continue
		}
		told = true
		err := protofield.Each(protofield.Find(detail.GetValue(), retryInfoDelay), func(f protofield.Field) error {
			switch {
			case int64(f.Value) < 0:
				return errors.New("a negative pause")
			case f.Number == durationSeconds:
				delay += time.Duration(min(f.Value, uint64(retryAfterMax/time.Second))) * time.Second
			case f.Number == durationNanos:
				delay += time.Duration(min(f.Value, uint64(time.Second)))
			}
			return nil
		})
		if err != nil {
			delay = 0
		}
	}
	return min(delay, retryAfterMax), told
}
