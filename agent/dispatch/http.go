package dispatch

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"runtime"
	"strings"
	"time"

	"go.opentelemetry.io/otel/propagation"

	"github.com/wasmtail/wasmtail/agent/transport"
	"github.com/wasmtail/wasmtail/internal/config"
)

// Env is what an output must know about the agent.
type Env struct {
	AgentID, Hostname, Version string
	// Wire counts and limits what is written; nil for neither.
	Wire *transport.Wire
}

// UserAgent is how the agent names itself to receivers.
func (e *Env) UserAgent() string {
	return fmt.Sprintf("wasmtail/%s (%s; %s)", e.Version, runtime.GOOS, runtime.GOARCH)
}

// Address is a URL in parts: the endpoint that transport wants, and the escaped path
// and the query that follow it.
type Address struct{ Endpoint, Path, Query string }

// ParseAddress reads a URL with an optional path and query; without a scheme it is
// https. A slash at its end does not count.
func ParseAddress(s string) (a Address, err error) {
	full := s
	if !strings.Contains(s, "://") {
		full = "https://" + s
	}
	u, err := url.Parse(full)
	if err != nil || u.Hostname() == "" {
		return a, fmt.Errorf("cannot use %q: write it as https://host:port, with a path if there is one", withoutUser(s))
	}
	if u.User != nil {
		return a, fmt.Errorf("cannot use %q: it must not hold a user or a password: they go into auth", withoutUser(s))
	}
	if u.Fragment != "" {
		return a, fmt.Errorf("cannot use %q: it must not hold a #", s)
	}
	endpoint, err := transport.ParseEndpoint(u.Scheme + "://" + u.Host)
	if err != nil {
		return a, err
	}
	return Address{Endpoint: endpoint.String(), Path: strings.TrimRight(u.EscapedPath(), "/"), Query: u.RawQuery}, nil
}

// withoutUser is a URL for an error: what may be a password is left out.
func withoutUser(s string) string {
	if at := strings.LastIndexByte(s, '@'); at >= 0 {
		return "…" + s[at:]
	}
	return s
}

// HTTPOptions are what an HTTP is made of.
type HTTPOptions struct {
	Env      Env
	Endpoint string
	Timeout  time.Duration
	TLS      transport.TLS
	Auth     Auth
	// Headers of each request.
	Headers map[string]config.Secret
	// ContentType is that of all bodies. With BareSnappy, snappy is a part of it
	// and not a Content-Encoding.
	ContentType string
	BareSnappy  bool
	// Place is the escaped path and the query of a payload's request, to whose
	// headers it may add.
	Place func(p *Payload, h http.Header) (path, query string)
	// Answer reads what the receiver says about the records of a request; nil:
	// each status of 2xx says that it has all. Its errors wrap a
	// *transport.Failure.
	Answer func(r *transport.Response, records int) (Verdict, error)
	// Classify may change the class of a failure and say what to do; nil for not.
	Classify func(f *transport.Failure)
	// ResponseBytesMax bounds what is read of an answer; 0 means 64 KiB.
	ResponseBytesMax int
}

// HTTP makes requests of payloads. Safe for concurrent use.
type HTTP struct {
	o      HTTPOptions
	client *transport.Client
	keys   *Keys
	header http.Header
}

// NewHTTP returns an HTTP. It reads the files of TLS, and does not connect.
func NewHTTP(o HTTPOptions) (*HTTP, error) {
	client, err := transport.New(transport.Config{
		Endpoint: o.Endpoint, Timeout: o.Timeout, TLS: o.TLS, Wire: o.Env.Wire, UserAgent: o.Env.UserAgent(), ResponseBytesMax: o.ResponseBytesMax,
	})
	if err != nil {
		return nil, err
	}
	h := &HTTP{o: o, client: client, keys: NewKeys(o.Auth), header: http.Header{"Content-Type": {o.ContentType}}}
	for name, value := range o.Headers {
		h.header.Set(name, value.Reveal())
	}
	return h, nil
}

// Close closes idle connections.
func (h *HTTP) Close() error {
	h.client.Close()
	return nil
}

// Post makes one request; see Options.Post.
func (h *HTTP) Post(ctx context.Context, p *Payload) (v Verdict, err error) {
	header := h.header.Clone()
	if p.Codec != None && (p.Codec != Snappy || !h.o.BareSnappy) {
		header.Set("Content-Encoding", p.Codec.String())
	}
	key, err := h.keys.Authorization(time.Now())
	if err != nil {
		return v, &transport.Failure{Class: transport.Auth, Status: http.StatusUnauthorized, Err: err}
	}
	if key != "" {
		header.Set("Authorization", key)
	}
	propagation.TraceContext{}.Inject(ctx, propagation.HeaderCarrier(header))
	path, query := h.o.Place(p, header)
	resp, err := h.client.Post(ctx, transport.Request{Path: path, RawQuery: query, Header: header, Body: p.Body})
	if err == nil && h.o.Answer != nil {
		return h.o.Answer(&resp, p.Records)
	}
	if f, ok := err.(*transport.Failure); ok { //nolint:errorlint // Post returns no other
		if f.Advice == "" && f.Class == transport.Misconfigured && f.Status != 0 {
			f.Advice = "; check the address, and what the receiver says"
		}
		if h.o.Classify != nil {
			h.o.Classify(f)
		}
	}
	return v, err
}

// IsMisplaced is true for answers that tell of a wrong address more than of wrong
// data, whatever their status says: no record is to be refused for them.
func IsMisplaced(f *transport.Failure) bool {
	start := strings.ToLower(string(f.Body[:min(len(f.Body), 200)]))
	return strings.Contains(start, "<html") || strings.Contains(start, "<!doctype") || strings.Contains(start, "unsupported path")
}

// CheckHeaders reports headers that a request cannot have, or that the output sets
// itself.
func CheckHeaders(headers map[string]config.Secret, report func(key, problem string)) {
	for name, value := range headers {
		switch canonical := http.CanonicalHeaderKey(name); {
		case name == "" || strings.ContainsFunc(name, isNoToken):
			report("headers."+name, "is no name of a header")
		case canonical == "Content-Length" || canonical == "Content-Encoding" || canonical == "Host" || canonical == "Transfer-Encoding" || canonical == "Traceparent":
			report("headers."+name, "is set by the agent itself")
		case strings.ContainsFunc(value.Reveal(), func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f }):
			report("headers."+name, "must not hold control characters")
		}
	}
}

// isNoToken is true for characters that RFC 9110 keeps out of the names of headers.
func isNoToken(r rune) bool {
	return (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && !strings.ContainsRune("!#$%&'*+-.^_`|~", r)
}
