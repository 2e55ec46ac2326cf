package transport

import (
	"context"
	"io"
	"net"
	"sync"
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

// conn is a connection that takes a body whole.
type conn struct{ net.Conn }

// ReadFrom implements io.ReaderFrom. net/http calls it with a body behind a
// LimitedReader.
func (c conn) ReadFrom(r io.Reader) (int64, error) {
	if l, ok := r.(*io.LimitedReader); ok {
		if b, ok := l.R.(*body); ok && int64(len(b.left)) <= l.N {
			n, err := c.Write(b.left)
			b.left = b.left[n:]
			l.N -= int64(n)
			return int64(n), err
		}
	}
	return io.Copy(struct{ io.Writer }{c.Conn}, r)
}

func dialWhole(dial func(context.Context, string, string) (net.Conn, error)) func(context.Context, string, string) (net.Conn, error) {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		c, err := dial(ctx, network, address)
		if err != nil {
			return nil, err
		}
		return conn{c}, nil
	}
}
