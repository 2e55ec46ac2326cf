package transport

import (
	"context"
	"io"
	"net"
	"sync"
	"sync/atomic"
)

// body is a request body that a conn writes in one call, where net/http would
// copy it in pieces of 32 KiB.
type body struct {
	left   []byte
	closed sync.Once
	done   func()
}

// Read implements io.Reader, for TLS and for the part that shares a packet with
// the header.
func (b *body) Read(p []byte) (int, error) {
	if len(b.left) == 0 {
		return 0, io.EOF
	}
	n := copy(p, b.left)
	b.left = b.left[n:]
	return n, nil
}

// Close implements io.Closer. net/http calls it when it reads no more, which can
// be after the answer.
func (b *body) Close() error {
	b.closed.Do(b.done)
	return nil
}

// bodies are the bodies that were made for one request: one for each attempt of
// net/http.
type bodies struct {
	data []byte
	open sync.WaitGroup
}

func (b *bodies) next() (io.ReadCloser, error) {
	b.open.Add(1)
	return &body{left: b.data, done: b.open.Done}, nil
}

// conn is a connection that takes a body whole, and writes no faster than its
// wire allows.
type conn struct {
	net.Conn
	wire   *Wire
	closed context.Context //nolint:containedctx // it ends the wait of a Write when the connection is closed
	close  context.CancelFunc
	paused atomic.Int64 // nanoseconds that Write has waited for the wire
	wrote  atomic.Int64 // bytes, in all
}

// ReadFrom implements io.ReaderFrom. net/http calls it with a body behind a
// LimitedReader.
func (c *conn) ReadFrom(r io.Reader) (int64, error) {
	if l, ok := r.(*io.LimitedReader); ok {
		if b, ok := l.R.(*body); ok && int64(len(b.left)) <= l.N {
			n, err := c.Write(b.left)
			b.left = b.left[n:]
			l.N -= int64(n)
			return int64(n), err
		}
	}
	return io.Copy(struct{ io.Writer }{c}, r)
}

// Write implements io.Writer.
func (c *conn) Write(p []byte) (written int, err error) {
	for {
		n, waited, err := c.wire.wait(c.closed, len(p)-written)
		c.paused.Add(int64(waited))
		if err != nil {
			return written, err
		}
		n, err = c.Conn.Write(p[written : written+n])
		c.wire.bytes.Add(int64(n))
		c.wrote.Add(int64(n))
		if written += n; err != nil || written == len(p) {
			return written, err
		}
	}
}

// Close implements net.Conn.
func (c *conn) Close() error {
	c.close()
	return c.Conn.Close()
}

func dialWhole(wire *Wire, dial func(context.Context, string, string) (net.Conn, error)) func(context.Context, string, string) (net.Conn, error) {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		c, err := dial(ctx, network, address)
		if err != nil {
			return nil, err
		}
		closed, stop := context.WithCancel(context.Background())
		return &conn{Conn: c, wire: wire, closed: closed, close: stop}, nil
	}
}
