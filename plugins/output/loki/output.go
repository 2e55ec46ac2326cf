// Package loki is the output that pushes records to Grafana Loki.
//
// It promises that Send returns nil only after the receiver has taken every record,
// and that those it refuses for good (too old, too long, out of order) are in the
// *pipeline.RejectedError, while the others are stored. Loki stores what it can of a
// request of which it refuses a part, and does not say which: what was stored then is
// pushed again, and Loki drops an entry that is equal in time, labels and line to one
// it has. Delivery is at least once.
//
// It starts no goroutines. An encoder belongs to one lane; Output is safe for
// concurrent use.
package loki

import (
	"context"
	"net/http"
	"strings"

	"github.com/wasmtail/wasmtail/agent/dispatch"
	"github.com/wasmtail/wasmtail/internal/placeholder"
)

// fieldLabel is a field, and the label or the metadata it becomes.
type fieldLabel struct{ field, label string }

// Output pushes payloads to one receiver.
type Output struct {
	config  Config
	env     dispatch.Env
	tenant  *placeholder.Template
	labels  map[string]*placeholder.Template
	streams streams
	labelFields,
	metadataFields []fieldLabel
	http   *dispatch.HTTP
	sender *dispatch.Sender
}

const pushPath = "/loki/api/v1/push"

// New returns an output. It does not connect.
func New(c Config, env dispatch.Env) (*Output, error) {
	address, err := dispatch.ParseAddress(c.URL)
	if err != nil {
		return nil, err
	}
	if !strings.HasSuffix(address.Path, "/push") {
		address.Path += pushPath
	}
	o := &Output{
		config: c, env: env, labels: map[string]*placeholder.Template{}, streams: streams{known: map[string]bool{}, max: c.StreamsMax},
		labelFields: fieldLabels(c.LabelFields), metadataFields: fieldLabels(c.MetadataFields),
	}
	if o.tenant, err = placeholder.Parse(c.Tenant, false); err != nil {
		return nil, err
	}
	labels := c.Labels
	if len(labels) == 0 {
		labels = map[string]string{"host": "{host}", "job": "{logstore}"}
	}
	for name, text := range labels {
		if o.labels[name], err = placeholder.Parse(text, false); err != nil {
			return nil, err
		}
	}
	o.http, err = dispatch.NewHTTP(dispatch.HTTPOptions{
		Env: env, Endpoint: address.Endpoint, Timeout: c.Timeout, TLS: c.TLS, Auth: c.Auth, Headers: c.Headers,
		ContentType: "application/x-protobuf", BareSnappy: true, Answer: answer, Classify: classify,
		Place: func(p *dispatch.Payload, h http.Header) (path, query string) {
			if p.Target != "" {
				h.Set("X-Scope-Orgid", p.Target)
			}
			return address.Path, address.Query
		},
	})
	if err != nil {
		return nil, err
	}
	o.sender = dispatch.NewSender(dispatch.Options{Name: "loki", Format: format{}, Post: o.http.Post, RawBytesMax: int(c.RawBytesMax)})
	return o, nil
}

func fieldLabels(fields []string) (list []fieldLabel) {
	for _, f := range fields {
		list = append(list, fieldLabel{f, labelName(f)})
	}
	return list
}

// Close closes idle connections.
func (o *Output) Close() error { return o.http.Close() }

// Send delivers one payload; see dispatch.Sender.
func (o *Output) Send(ctx context.Context, payload []byte) error { return o.sender.Send(ctx, payload) }
