package transport

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"
)

// errNoHeader ends an attempt whose answer does not begin.
var errNoHeader = errors.New("no answer within the timeout")

// Stream sends r once and returns the body of an answer with 2xx as it comes, however
// long that takes: it ends with ctx, or when the caller closes it, which it must. The
// timeout of the client is for the time until the answer begins. Every error is a
// *Failure. What is read of the body is not bounded.
func (c *Client) Stream(ctx context.Context, r Request) (io.ReadCloser, error) {
	if len(r.Body) > 0 {
		return nil, &Failure{Class: Misconfigured, Err: fmt.Errorf("cannot send a body to %s and read a stream", r.Path)}
	}
	ctx, cancel := context.WithCancelCause(ctx)
	slow := time.AfterFunc(c.timeout, func() { cancel(errNoHeader) })
	req, err := c.request(ctx, r, &bodies{})
	if err != nil {
		slow.Stop()
		cancel(nil)
		return nil, &Failure{Class: Misconfigured, Err: err}
	}
	resp, err := c.transport.RoundTrip(req)
	if !slow.Stop() && err == nil { // it has begun just too late
		err = errNoHeader
		_ = resp.Body.Close()
	}
	if err != nil {
		failure := networkFailure(ctx, err)
		cancel(nil)
		return nil, failure
	}
	if resp.StatusCode < http.StatusOK || resp.StatusCode > 299 {
		defer cancel(nil)
		defer func() { _ = resp.Body.Close() }()
		late := time.AfterFunc(c.timeout, func() { cancel(errNoHeader) })
		defer late.Stop()
		body, err := io.ReadAll(io.LimitReader(resp.Body, c.bodyMax))
		if err != nil {
			return nil, networkFailure(ctx, err)
		}
		return nil, statusFailure(resp, body, time.Now())
	}
	return &stream{ReadCloser: resp.Body, cancel: cancel}, nil
}

// stream is the body of an answer. Closing it ends the request.
type stream struct {
	io.ReadCloser
	cancel context.CancelCauseFunc
}

// Close implements io.Closer.
func (s *stream) Close() error {
	s.cancel(nil)
	return s.ReadCloser.Close()
}
