// Package elasticsearch is the output that sends records as bulk requests to
// Elasticsearch, OpenSearch, and what speaks like them.
//
// It promises that Send returns nil only after the receiver has said of each record
// that it is stored; that one which is sent again, after an answer was lost or the
// process has died, is not stored twice in an index; and that those the receiver
// refuses for good, by its mappings, are in the *pipeline.RejectedError, while the
// others of the batch are stored. Records that it has no room for now are sent again
// by themselves.
//
// It starts no goroutines. An encoder belongs to one lane; Output is safe for
// concurrent use.
package elasticsearch

import (
	"context"
	"net/http"
	"net/url"
	"strings"

	"github.com/wasmtail/wasmtail/agent/dispatch"
	"github.com/wasmtail/wasmtail/internal/placeholder"
)

// Output sends payloads to one receiver.
type Output struct {
	env    dispatch.Env
	index  *placeholder.Template
	codec  dispatch.Codec
	http   *dispatch.HTTP
	sender *dispatch.Sender
}

// recordsMax bounds the records of a request, and with them the answer; its largest
// has some 700 bytes for each.
const (
	recordsMax       = 10_000
	responseBytesMax = 8 << 20
)

// New returns an output. It does not connect.
func New(c Config, env dispatch.Env) (*Output, error) {
	address, err := dispatch.ParseAddress(c.URL)
	if err != nil {
		return nil, err
	}
	address.Path = strings.TrimSuffix(address.Path, "/_bulk")
	o := &Output{env: env}
	if o.index, err = placeholder.Parse(c.Index, true); err != nil {
		return nil, err
	}
	if o.codec, err = dispatch.ParseCodec(c.Compression); err != nil {
		return nil, err
	}
	query := filter
	if c.IngestPipeline != "" {
		query += "&pipeline=" + url.QueryEscape(c.IngestPipeline)
	}
	o.http, err = dispatch.NewHTTP(dispatch.HTTPOptions{
		Env: env, Endpoint: address.Endpoint, Timeout: c.Timeout, TLS: c.TLS, Auth: c.Auth, Headers: c.Headers,
		ContentType: "application/x-ndjson", ResponseBytesMax: responseBytesMax,
		Place:  func(*dispatch.Payload, http.Header) (path, rawQuery string) { return address.Path + "/_bulk", query },
		Answer: verdict, Classify: classify,
	})
	if err != nil {
		return nil, err
	}
	o.sender = dispatch.NewSender(dispatch.Options{
		Name: "elasticsearch", Format: format{}, Post: o.http.Post, RawBytesMax: int(c.RawBytesMax), RecordsMax: recordsMax,
	})
	return o, nil
}

// Close closes idle connections.
func (o *Output) Close() error { return o.http.Close() }

// Send delivers one payload; see dispatch.Sender.
func (o *Output) Send(ctx context.Context, payload []byte) error { return o.sender.Send(ctx, payload) }
