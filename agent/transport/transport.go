// Package transport is the one HTTP client of the agent: it signs, sends once,
// and says of every failure what class it is, so that its caller knows whether
// and when to try again.
//
// It promises that a request ends within its timeout, that no redirect is
// followed, that TLS is at least 1.2, that at most 64 KiB of a response, or what
// Config says, are read, and that every error of Post is a *Failure. It does not retry.
//
// It starts no goroutines of its own; net/http runs two for each connection
// until Close. Bodies are lent for the call.
package transport

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/wasmtail/wasmtail/internal/signature"
	"github.com/wasmtail/wasmtail/internal/telemetry"
)

const (
	// responseBytesMax is more than any answer to a write, and than any error.
	responseBytesMax = 64 << 10
	// idleConnections are kept open for each host: more than there are senders.
	idleConnections = 64
	// idleTimeout is shorter than that of common servers and balancers, 60 s,
	// so that a request seldom meets a connection that is just being closed.
	idleTimeout    = 30 * time.Second
	timeoutDefault = 10 * time.Second
	// connectTimeout bounds the dial and the TLS handshake, each.
	connectTimeout = 5 * time.Second
	// writeBufferBytes: bodies go to the kernel in pieces of this size.
	writeBufferBytes = 64 << 10
)

// Config of a client.
type Config struct {
	// Endpoint is scheme, host and optional port; without a scheme it is https.
	Endpoint string
	// Timeout bounds one attempt, from the dial to the end of the response, but
	// for what it waits for the wire. 0 means 10 s.
	Timeout time.Duration
	TLS     TLS
	// UserAgent is sent with every request.
	UserAgent string
	// Wire counts and limits what is written; nil for neither.
	Wire *Wire
	// ResponseBytesMax bounds what is read of an answer; 0 means 64 KiB.
	ResponseBytesMax int
}

// Request is one POST, or another method's.
type Request struct {
	// Method is POST if it is empty.
	Method string
	// Path is escaped, and starts with a slash. RawQuery is without its "?".
	Path, RawQuery string
	// Host, with optional port, takes the place of the endpoint's, for the
	// connection too. Empty: the endpoint's.
	Host string
	// Header is given away: Post adds to it. nil is an empty one.
	Header http.Header
	Body   []byte
	// Credentials sign the request, unless KeyID is empty. Signature.Now is
	// the time now, unless it is set.
	Credentials signature.Credentials
	Signature   signature.Options
	// Unsigned headers are added after signing.
	Unsigned http.Header
}

// Response of a receiver that answered with 2xx. The caller owns it.
type Response struct {
	Status int
	Header http.Header
	// Body is cut at the client's limit.
	Body []byte
}

// Client sends requests to one endpoint. Safe for concurrent use.
type Client struct {
	endpoint  url.URL
	transport *http.Transport
	signer    signature.Signer
	timeout   time.Duration
	userAgent string
	bodyMax   int64
}

// New returns a client. It reads the files of c.TLS, and does not connect. The
// proxy is that of the environment (HTTPS_PROXY, HTTP_PROXY, NO_PROXY).
func New(c Config) (*Client, error) {
	endpoint, err := ParseEndpoint(c.Endpoint)
	if err != nil {
		return nil, err
	}
	tlsConfig, err := c.TLS.Load()
	if err != nil {
		return nil, err
	}
	if c.Timeout <= 0 {
		c.Timeout = timeoutDefault
	}
	if c.Wire == nil {
		c.Wire = &Wire{}
	}
	if c.ResponseBytesMax <= 0 {
		c.ResponseBytesMax = responseBytesMax
	}
	dialer := net.Dialer{Timeout: connectTimeout, KeepAlive: 15 * time.Second}
	t := &http.Transport{
		Proxy:               http.ProxyFromEnvironment,
		DialContext:         dialWhole(c.Wire, dialer.DialContext),
		TLSClientConfig:     tlsConfig,
		TLSHandshakeTimeout: connectTimeout,
		// No HTTP/2: its flow control holds large uploads back, and one lost
		// packet all of them.
		ForceAttemptHTTP2:      false,
		MaxIdleConns:           2 * idleConnections,
		MaxIdleConnsPerHost:    idleConnections,
		IdleConnTimeout:        idleTimeout,
		DisableCompression:     true,
		WriteBufferSize:        writeBufferBytes,
		MaxResponseHeaderBytes: responseBytesMax,
	}
	return &Client{
		endpoint:  *endpoint,
		transport: t,
		timeout:   c.Timeout,
		userAgent: c.UserAgent,
		bodyMax:   int64(c.ResponseBytesMax),
	}, nil
}

// Close closes idle connections. Requests under way are not disturbed.
func (c *Client) Close() { c.transport.CloseIdleConnections() }

// ParseEndpoint reads an endpoint as Config has it.
func ParseEndpoint(s string) (*url.URL, error) {
	full := s
	if !strings.Contains(s, "://") {
		full = "https://" + s
	}
	u, err := url.Parse(full)
	switch {
	case err != nil || u.Hostname() == "":
		return nil, fmt.Errorf("cannot use endpoint %q: write it as https://host or https://host:port", s)
	case u.Scheme != "http" && u.Scheme != "https":
		return nil, fmt.Errorf("cannot use endpoint %q: the scheme must be https or http", s)
	case u.User != nil || u.RawQuery != "" || u.Fragment != "" || strings.Trim(u.Path, "/") != "":
		return nil, fmt.Errorf("cannot use endpoint %q: it must be a scheme, a host and a port, nothing else", s)
	}
	return &url.URL{Scheme: u.Scheme, Host: u.Host}, nil
}

// Post sends r once and returns the response if its status is 2xx. Every error
// is a *Failure. If ctx ended, it wraps the cause of that. When it returns,
// nothing reads r.Body any more.
func (c *Client) Post(ctx context.Context, r Request) (Response, error) {
	ends := deadline{timeout: c.timeout}
	ctx, cancel := ends.watch(ctx)
	sent := bodies{data: r.Body}
	defer func() {
		sent.open.Wait() // net/http may still write it after an early answer
		telemetry.CountWire(ctx, ends.bytes())
	}()
	defer cancel()
	req, err := c.request(ctx, r, &sent)
	if err != nil {
		return Response{}, &Failure{Class: Misconfigured, Err: err}
	}
	resp, err := c.transport.RoundTrip(req) // a redirect is an answer like any other
	if err != nil {
		return Response{}, networkFailure(ctx, err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, c.bodyMax))
	if err != nil {
		return Response{}, networkFailure(ctx, err)
	}
	if resp.StatusCode < 200 || resp.StatusCode > 299 {
		return Response{}, statusFailure(resp, body, time.Now())
	}
	return Response{Status: resp.StatusCode, Header: resp.Header, Body: body}, nil
}

func (c *Client) request(ctx context.Context, r Request, sent *bodies) (*http.Request, error) {
	u := c.endpoint
	path, err := url.PathUnescape(r.Path)
	if err != nil || !strings.HasPrefix(r.Path, "/") {
		return nil, fmt.Errorf("cannot make a request of path %q: it must be escaped and start with a slash", r.Path)
	}
	u.Path, u.RawPath, u.RawQuery = path, r.Path, r.RawQuery
	if r.Host != "" {
		u.Host = r.Host
	}
	header := r.Header
	if header == nil {
		header = make(http.Header)
	}
	if c.userAgent != "" {
		header.Set("User-Agent", c.userAgent)
	}
	req := (&http.Request{
		Method: cmp.Or(r.Method, http.MethodPost), URL: &u, Host: u.Host, Header: header,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		ContentLength: int64(len(r.Body)),
		Body:          http.NoBody,
	}).WithContext(ctx)
	if r.Credentials.KeyID != "" {
		if r.Signature.Now.IsZero() {
			r.Signature.Now = time.Now()
		}
		if err := c.signer.Sign(req, r.Body, r.Credentials, r.Signature); err != nil {
			return nil, err
		}
	}
	for name, values := range r.Unsigned {
		header[name] = values
	}
	if len(r.Body) > 0 {
		req.Body, _ = sent.next()
		// With GetBody, net/http tries again by itself when a kept connection
		// turns out to be closed before anything was written to it.
		req.GetBody = sent.next
	}
	return req, nil
}

func networkFailure(ctx context.Context, err error) *Failure {
	if cause := context.Cause(ctx); cause != nil && !errors.Is(err, cause) {
		err = fmt.Errorf("%w (%w)", cause, err)
	}
	f := &Failure{Class: Retry, Err: err}
	if isCertificate(err) {
		f.Class = Misconfigured
	}
	return f
}
