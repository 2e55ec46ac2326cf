package httpin

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"os"
	"slices"

	"github.com/golang/snappy"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zlib"
	"github.com/klauspost/compress/zstd"

	"github.com/wasmtail/wasmtail/internal/config"
)

const (
	// readStep is how much of a body of unknown length is read at a time, and paid for.
	readStep = 64 << 10
	// keptBytes is the largest buffer that is kept for the next request: those of most
	// senders are smaller, and what is kept is not paid for.
	keptBytes = 1 << 20
)

// buffers are memory of bodies, and what inflates them; they go from one request to the
// next.
type buffers struct {
	received, body []byte
	gzip           *gzip.Reader
	zstd           *zstd.Decoder
}

// keep takes a request's buffers back; what decoding has made of them is copied.
func (b *buffers) keep(q *request) {
	if cap(q.received) <= keptBytes {
		b.received = q.received[:0]
	}
	if cap(q.inflated) <= keptBytes {
		b.body = q.inflated[:0]
	}
}

// hold takes memory for so many bytes, which end gives back.
func (q *request) hold(n int64) error {
	if !q.in.memory.TryAcquire(n) {
		return errBusy
	}
	q.held += n
	return nil
}

func tooLarge(limit config.Size) error {
	return &problem{http.StatusRequestEntityTooLarge, "oversize", fmt.Sprintf("the request is larger than %s; send it in parts", limit)}
}

// read reads the body as it comes.
func (q *request) read(w http.ResponseWriter) error {
	limit := int64(q.in.c.MaxBody)
	if q.ContentLength > limit {
		return tooLarge(q.in.c.MaxBody)
	}
	in := http.MaxBytesReader(w, q.Body, limit)
	if n := q.ContentLength; n >= 0 {
		if err := q.hold(n); err != nil {
			return err
		}
		q.received = slices.Grow(q.scratch.received[:0], int(n))[:n]
		_, err := io.ReadFull(in, q.received)
		return q.readFailed(err)
	}
	for q.received = q.scratch.received[:0]; ; {
		if err := q.hold(readStep); err != nil {
			return err
		}
		at := len(q.received)
		q.received = slices.Grow(q.received, readStep)[:at+readStep]
		n, err := io.ReadFull(in, q.received[at:])
		q.received = q.received[:at+n]
		switch {
		case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
			return nil
		case err != nil:
			return q.readFailed(err)
		}
	}
}

func (q *request) readFailed(err error) error {
	var large *http.MaxBytesError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &large):
		return tooLarge(q.in.c.MaxBody)
	case errors.Is(err, os.ErrDeadlineExceeded):
		return &problem{http.StatusRequestTimeout, "idle", fmt.Sprintf("the request did not come within %s", q.in.c.BodyTimeout)}
	}
	return malformed("cannot read the request: %v", err)
}

// inflate undoes the encoding that the request names.
func (q *request) inflate() error {
	encoding := q.Header.Get("Content-Encoding")
	if isGroup(q.Request) { // it has a way of its own
		q.body = q.received
		return nil
	}
	if encoding == "" && q.URL.Path == lokiPath && !q.isJSON() {
		encoding = "snappy"
	}
	var from io.Reader
	var err error
	in := bytes.NewReader(q.received)
	switch encoding {
	case "", "identity":
		q.body = q.received
		return nil
	case "snappy":
		return q.unsnap()
	case "gzip":
		from, err = q.scratch.gunzip(in)
	case "deflate":
		from, err = zlib.NewReader(in)
	case "zstd":
		from, err = q.scratch.unzstd(in, uint64(q.in.c.MaxBody)+(1<<20))
	default:
		return &problem{http.StatusUnsupportedMediaType, "malformed", fmt.Sprintf("the Content-Encoding %.40q is not known here; there are gzip, zstd, deflate and snappy", encoding)}
	}
	if err != nil {
		return malformed("cannot inflate the request: %v", err)
	}
	return q.inflateFrom(from)
}

// gunzip returns a reader of what in has compressed.
func (b *buffers) gunzip(in io.Reader) (_ io.Reader, err error) {
	if b.gzip != nil {
		return b.gzip, b.gzip.Reset(in)
	}
	b.gzip, err = gzip.NewReader(in)
	return b.gzip, err
}

// unzstd returns a reader of what in has compressed, that takes no more memory than
// limit.
func (b *buffers) unzstd(in io.Reader, limit uint64) (_ io.Reader, err error) {
	if b.zstd != nil {
		return b.zstd, b.zstd.Reset(in)
	}
	b.zstd, err = zstd.NewReader(in, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(limit)) // starts no goroutine
	return b.zstd, err
}

// inflateFrom reads what comes out of an inflater, and pays for it as it comes: a small
// request can be a large one.
func (q *request) inflateFrom(from io.Reader) error {
	for q.inflated = q.scratch.body[:0]; ; {
		if err := q.hold(readStep); err != nil {
			return err
		}
		at := len(q.inflated)
		q.inflated = slices.Grow(q.inflated, readStep)[:at+readStep]
		n, err := io.ReadFull(from, q.inflated[at:])
		q.inflated = q.inflated[:at+n]
		q.body = q.inflated
		switch {
		case len(q.body) > int(q.in.c.MaxBody):
			return tooLarge(q.in.c.MaxBody)
		case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF) && n < readStep && endsWell(from):
			return nil
		case err != nil:
			return malformed("cannot inflate the request: %v", err)
		}
	}
}

// endsWell reports whether a reader has come to its end: ReadFull does not tell that
// from one that was cut off.
func endsWell(r io.Reader) bool {
	var one [1]byte
	n, err := r.Read(one[:])
	return n == 0 && errors.Is(err, io.EOF)
}

func (q *request) unsnap() error {
	n, err := snappy.DecodedLen(q.received)
	if err != nil {
		return malformed("cannot inflate the request: %v", err)
	}
	if n > int(q.in.c.MaxBody) {
		return tooLarge(q.in.c.MaxBody)
	}
	if err := q.hold(int64(n)); err != nil {
		return err
	}
	q.inflated = slices.Grow(q.scratch.body[:0], n)[:n]
	if q.body, err = snappy.Decode(q.inflated, q.received); err != nil {
		return malformed("cannot inflate the request: %v", err)
	}
	return nil
}

// isJSON reports whether the body is said to be JSON.
func (q *request) isJSON() bool {
	kind, _, _ := mime.ParseMediaType(q.Header.Get("Content-Type"))
	return kind == "application/json"
}
