package transport

import (
	"context"
	"crypto/tls"
	"net"
	"net/http/httptrace"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"
)

// Wire counts the bytes that connections write, and keeps them below limits
// (promise P55): bytes as they leave, with TLS and headers. Safe for concurrent
// use; the zero value counts only.
type Wire struct {
	limits []*rate.Limiter
	bytes  atomic.Int64
}

// NewWire returns a wire that keeps all of the limits: that of the host, which
// other wires share, and its own. Each must have a burst of at least one byte.
func NewWire(limits ...*rate.Limiter) *Wire { return &Wire{limits: limits} }

// Bytes is how many were written.
func (w *Wire) Bytes() int64 { return w.bytes.Load() }

// Dial connects for a protocol other than HTTP, by TCP: what is written counts,
// and is limited, all the same. w may be nil.
func (w *Wire) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	if w == nil {
		w = &Wire{}
	}
	dialer := net.Dialer{Timeout: connectTimeout, KeepAlive: 15 * time.Second}
	return dialWhole(w, dialer.DialContext)(ctx, network, address)
}

// wait returns how many of n bytes may be written now, and how long it waited
// for that.
func (w *Wire) wait(ctx context.Context, n int) (allowed int, waited time.Duration, err error) {
	limited := false
	for _, l := range w.limits {
		if l.Limit() != rate.Inf {
			limited = true
			n = min(n, max(1, l.Burst()/2)) // small pieces make an even flow
		}
	}
	if !limited {
		return n, 0, nil
	}
	began := time.Now()
	for _, l := range w.limits {
		if l.Limit() == rate.Inf {
			continue
		}
		if err := l.WaitN(ctx, n); err != nil {
			return 0, time.Since(began), err
		}
	}
	return n, time.Since(began), nil
}

// deadline ends a request that takes longer than its timeout. What the request
// waits for the wire does not count: a limit makes uploads long, not wrong.
type deadline struct {
	timeout time.Duration
	on      atomic.Pointer[conn] // the connection it uses
	before  atomic.Int64         // what that had waited for earlier requests,
	wrote   atomic.Int64         // and written
	given   time.Duration        // by which the timer was put off
	timer   *time.Timer
}

// watch returns a context that ends with the deadline, and the function that
// frees it.
func (d *deadline) watch(ctx context.Context) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotConn: func(i httptrace.GotConnInfo) {
		under := i.Conn
		if t, ok := under.(*tls.Conn); ok {
			under = t.NetConn()
		}
		if c, ok := under.(*conn); ok {
			d.before.Store(c.paused.Load())
			d.wrote.Store(c.wrote.Load())
			d.on.Store(c)
		}
	}})
	d.timer = time.AfterFunc(time.Hour, func() {
		if waited := d.waited(); waited > d.given {
			more := waited - d.given
			d.given = waited
			d.timer.Reset(more)
			return
		}
		cancel(context.DeadlineExceeded)
	})
	d.timer.Reset(d.timeout) // only now, since its function uses it
	return ctx, func() {
		d.timer.Stop()
		cancel(nil)
	}
}

// waited is how long the request has waited for the wire. A wait that has not
// ended is counted when it has.
func (d *deadline) waited() time.Duration {
	if c := d.on.Load(); c != nil {
		return time.Duration(c.paused.Load() - d.before.Load())
	}
	return 0
}

// bytes is what the request has written to its connection, with TLS and headers.
func (d *deadline) bytes() int64 {
	if c := d.on.Load(); c != nil {
		return c.wrote.Load() - d.wrote.Load()
	}
	return 0
}
