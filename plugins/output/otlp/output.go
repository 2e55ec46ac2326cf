// Package otlp is the output that speaks the OpenTelemetry protocol, by HTTP with
// protobuf, and by gRPC.
//
// It promises that Send returns nil only after the receiver has taken every record,
// and that those it refuses for good are in the *pipeline.RejectedError; where it says
// only how many, all of the request are, so that none is lost. What is tried again is
// what the protocol lists (OTLP 1.x, "Failures"). Delivery is at least once: when an
// answer is lost, one batch is sent twice, with the same `log.record.uid` in each
// record.
//
// It starts no goroutines of its own; gRPC runs some for each connection until Close.
// An encoder belongs to one lane; Output is safe for concurrent use.
package otlp

import (
	"context"
	"io"
	"net/http"
	"strings"

	"github.com/wasmtail/wasmtail/agent/dispatch"
	"github.com/wasmtail/wasmtail/internal/placeholder"
)

// Output sends payloads to one receiver.
type Output struct {
	env              dispatch.Env
	codec            dispatch.Codec
	service          *placeholder.Template
	resource         map[string]*placeholder.Template
	messages, levels []string
	closer           io.Closer
	sender           *dispatch.Sender
}

const logsPath = "/v1/logs"

// New returns an output. It does not connect.
func New(c Config, env dispatch.Env) (*Output, error) {
	address, err := dispatch.ParseAddress(c.URL)
	if err != nil {
		return nil, err
	}
	o := &Output{env: env, resource: map[string]*placeholder.Template{}, messages: c.MessageFields, levels: c.SeverityFields}
	if o.service, err = placeholder.Parse(c.ServiceName, false); err != nil {
		return nil, err
	}
	for name, value := range c.Resource {
		if o.resource[name], err = placeholder.Parse(value, false); err != nil {
			return nil, err
		}
	}
	options := dispatch.Options{Name: "otlp", Format: format{}, RawBytesMax: int(c.RawBytesMax)}
	if c.Protocol == "grpc" { // it compresses by itself
		client, err := newClient(&c, address.Endpoint, &env)
		if err != nil {
			return nil, err
		}
		o.closer, options.Post = client.conn, client.post
		o.sender = dispatch.NewSender(options)
		return o, nil
	}
	if o.codec, err = dispatch.ParseCodec(c.Compression); err != nil {
		return nil, err
	}
	if !strings.HasSuffix(address.Path, logsPath) {
		address.Path += logsPath
	}
	h, err := dispatch.NewHTTP(dispatch.HTTPOptions{
		Env: env, Endpoint: address.Endpoint, Timeout: c.Timeout, TLS: c.TLS, Auth: c.Auth, Headers: c.Headers,
		ContentType: "application/x-protobuf", Answer: answer, Classify: classify,
		Place: func(*dispatch.Payload, http.Header) (path, query string) { return address.Path, address.Query },
	})
	if err != nil {
		return nil, err
	}
	o.closer, options.Post = h, h.Post
	o.sender = dispatch.NewSender(options)
	return o, nil
}

// Close closes connections.
func (o *Output) Close() error { return o.closer.Close() }

// Send delivers one payload; see dispatch.Sender.
func (o *Output) Send(ctx context.Context, payload []byte) error { return o.sender.Send(ctx, payload) }
