// Package httpout is the output that posts records as JSON objects by HTTP.
//
// It promises that Send returns nil only after the receiver has answered with a
// status of 2xx, and that records which it refuses for good are looked for and are in
// the *pipeline.RejectedError. Delivery is at least once: when an answer is lost, one
// batch is sent twice. Records can have an id by which a receiver may tell.
//
// It starts no goroutines. An encoder belongs to one lane; Output is safe for
// concurrent use.
package httpout

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/wasmtail/wasmtail/agent/dispatch"
	"github.com/wasmtail/wasmtail/agent/pipeline"
	"github.com/wasmtail/wasmtail/agent/transport"
	"github.com/wasmtail/wasmtail/internal/jsonline"
	"github.com/wasmtail/wasmtail/internal/placeholder"
	"github.com/wasmtail/wasmtail/internal/record"
)

// Output posts payloads to one receiver.
type Output struct {
	config  Config
	env     dispatch.Env
	codec   dispatch.Codec
	place   *place
	headers map[string]*placeholder.Template
	http    *dispatch.HTTP
	sender  *dispatch.Sender
}

// New returns an output. It does not connect.
func New(c Config, env dispatch.Env) (*Output, error) {
	o := &Output{config: c, env: env, headers: map[string]*placeholder.Template{}}
	var err error
	if o.place, err = newPlace(&c); err != nil {
		return nil, err
	}
	if o.codec, err = dispatch.ParseCodec(c.Compression); err != nil {
		return nil, err
	}
	for name, value := range c.Headers {
		if o.headers[name], err = placeholder.Parse(value.Reveal(), false); err != nil {
			return nil, fmt.Errorf("cannot use the header %s: it has braces that are no placeholder", name)
		}
	}
	contentType := c.ContentType
	var f dispatch.Format = lines{}
	if c.Format == "json_array" {
		f = array{}
		if contentType == "" {
			contentType = "application/json"
		}
	} else if contentType == "" {
		contentType = "application/x-ndjson"
	}
	o.http, err = dispatch.NewHTTP(dispatch.HTTPOptions{
		Env: env, Endpoint: o.place.endpoint, Timeout: c.Timeout, TLS: c.TLS, Auth: c.Auth,
		ContentType: contentType, Place: o.aim, Answer: answer, Classify: o.classify,
	})
	if err != nil {
		return nil, err
	}
	o.sender = dispatch.NewSender(dispatch.Options{Name: "http", Format: f, Post: o.http.Post, RawBytesMax: int(c.RawBytesMax)})
	return o, nil
}

// aim makes a payload's path, query and headers. Its target is the pipeline and the
// log store: what they make of a URL may hold secrets, which have no place in the
// queue.
func (o *Output) aim(p *dispatch.Payload, h http.Header) (path, query string) {
	name, logstore, _ := strings.Cut(p.Target, "/")
	v := placeholder.Values{Logstore: logstore, Pipeline: name, Host: o.env.Hostname}
	for name, value := range o.headers {
		h.Set(name, value.Fill(v, time.Time{}))
	}
	return o.place.fill(v)
}

// answer: any 2xx is the receiver's word, but for that of a ClickHouse which has
// failed after it had begun to answer.
func answer(r *transport.Response, _ int) (v dispatch.Verdict, err error) {
	if code := r.Header.Get("X-Clickhouse-Exception-Code"); code != "" && code != "0" {
		return v, &transport.Failure{Status: r.Status, Code: "X-ClickHouse-Exception-Code " + transport.Clean(code, 20), Message: transport.Clean(string(r.Body[:min(len(r.Body), 400)]), 200)}
	}
	return v, nil
}

func (o *Output) classify(f *transport.Failure) {
	if slices.Contains(o.config.RefusedStatuses, f.Status) && !dispatch.IsMisplaced(f) {
		f.Class, f.Advice = transport.BadData, ""
	}
}

// Close closes idle connections.
func (o *Output) Close() error { return o.http.Close() }

// Send delivers one payload; see dispatch.Sender.
func (o *Output) Send(ctx context.Context, payload []byte) error { return o.sender.Send(ctx, payload) }

// NewEncoder returns an encoder for one lane.
func (o *Output) NewEncoder(pipelineName, logstore string) pipeline.Encoder {
	w := jsonline.New(o.config.Keys.Names(), jsonline.Source{Agent: o.env.AgentID, Host: o.env.Hostname, Pipeline: pipelineName, Logstore: logstore})
	isArray := o.config.Format == "json_array"
	return &dispatch.Encoder{Codec: o.codec, Agent: o.env.AgentID, Target: pipelineName + "/" + logstore, Write: func(dst []byte, b *record.Batch) []byte {
		w.Start(b)
		if isArray {
			dst = append(dst, '[')
		}
		for i := range b.Records {
			dst = w.Append(dst, &b.Records[i])
			if isArray && i < len(b.Records)-1 {
				dst = append(dst, ',')
			}
			if !isArray || i < len(b.Records)-1 {
				dst = append(dst, '\n')
			}
		}
		if isArray {
			dst = append(dst, ']')
		}
		return dst
	}}
}

// lines cuts bodies of an object on each line.
type lines struct{}

// Split implements dispatch.Format.
func (lines) Split(raw []byte) (items []dispatch.Item, err error) {
	for line := range bytes.Lines(raw) {
		items = append(items, dispatch.Item{Record: bytes.TrimSuffix(line, []byte("\n"))})
	}
	return items, nil
}

// Join implements dispatch.Format.
func (lines) Join(dst []byte, items []dispatch.Item) []byte {
	for _, it := range items {
		dst = append(append(dst, it.Record...), '\n')
	}
	return dst
}

// Show implements dispatch.Format.
func (lines) Show(dst []byte, it dispatch.Item) []byte { return append(dst, it.Record...) }

// array cuts bodies of an array, which has its line breaks between its objects.
type array struct{ lines }

var errArray = errors.New("cannot read the payload: it is no array")

// Split implements dispatch.Format.
func (array) Split(raw []byte) (items []dispatch.Item, err error) {
	if len(raw) < 2 || raw[0] != '[' || raw[len(raw)-1] != ']' {
		return nil, errArray
	}
	for line := range bytes.Lines(raw[1 : len(raw)-1]) {
		items = append(items, dispatch.Item{Record: bytes.TrimSuffix(line, []byte(",\n"))})
	}
	return items, nil
}

// Join implements dispatch.Format.
func (array) Join(dst []byte, items []dispatch.Item) []byte {
	dst = append(dst, '[')
	for i, it := range items {
		if i > 0 {
			dst = append(dst, ",\n"...)
		}
		dst = append(dst, it.Record...)
	}
	return append(dst, ']')
}
