//go:build linux

package peers

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wasmtail/wasmtail/internal/loggroup"
	"github.com/wasmtail/wasmtail/internal/signature"
)

// sink counts and checks what arrives for one measurement. Its counting is safe
// for concurrent use.
type sink struct {
	address  string // host:port
	workload workload
	want     int64

	records, bytes atomic.Int64
	last           atomic.Int64 // when the last record arrived, Unix nanoseconds
	done           chan struct{}

	mu    sync.Mutex
	fault error // the first one
}

// sinkKind says how records arrive.
type sinkKind func(*testing.T, *sink)

// newSink starts to listen; it stops when the test ends.
func newSink(t *testing.T, kind sinkKind, w workload, want int64) *sink {
	t.Helper()
	s := &sink{workload: w, want: want, done: make(chan struct{})}
	kind(t, s)
	return s
}

// add counts records, and bytes of the unparsed ones.
func (s *sink) add(records, size int64) {
	s.bytes.Add(size)
	s.last.Store(time.Now().UnixNano())
	n := s.records.Add(records)
	if records > 0 && n >= s.want && n-records < s.want {
		close(s.done)
	}
}

// fail keeps the first fault for the end of the measurement.
func (s *sink) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fault == nil {
		s.fault = err
	}
}

// check says whether what arrived is the corpus, exactly.
func (s *sink) check(c corpus) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fault != nil {
		return s.fault
	}
	if n := s.records.Load(); n != s.want {
		return fmt.Errorf("%d records arrived, want %d", n, s.want)
	}
	if n, want := s.bytes.Load(), c.bytes-c.records; s.workload.fields == 0 && n != want {
		return fmt.Errorf("%d bytes of records arrived, want %d", n, want)
	}
	return nil
}

func (s *sink) serve(t *testing.T, h http.HandlerFunc) {
	t.Helper()
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	s.address = strings.TrimPrefix(server.URL, "http://")
}

// The key the agent signs with.
const keyID, keySecret = "peers", "a secret of no value"

// body reads a request into memory that is used again.
type body struct{ wire, plain []byte }

func (b *body) read(r *http.Request) error {
	if r.ContentLength < 0 || r.ContentLength > 64<<20 {
		return fmt.Errorf("a request has %d bytes", r.ContentLength)
	}
	if int64(cap(b.wire)) < r.ContentLength {
		b.wire = make([]byte, r.ContentLength)
	}
	b.wire = b.wire[:r.ContentLength]
	_, err := io.ReadFull(r.Body, b.wire)
	return err
}

// logServiceSink takes log groups as Log Service does. It checks every
// signature, for which each request must be hashed here too.
func logServiceSink(t *testing.T, s *sink) {
	t.Helper()
	verifier := &signature.Verifier{Secret: func(id string) (string, bool) { return keySecret, id == keyID }}
	s.serve(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("x-log-requestid", "1")
		s.takeGroup(r, func(wire []byte) error {
			_, err := verifier.Verify(r, wire)
			return err
		})
	})
}

// limitSink takes log groups that are hashed but not signed.
func limitSink(t *testing.T, s *sink) {
	t.Helper()
	s.serve(t, func(_ http.ResponseWriter, r *http.Request) {
		s.takeGroup(r, func([]byte) error { return nil })
	})
}

type groupReader struct {
	body
	group loggroup.Group
}

var groupReaders = sync.Pool{New: func() any { return new(groupReader) }}

func (s *sink) takeGroup(r *http.Request, verify func([]byte) error) {
	g := groupReaders.Get().(*groupReader)
	defer groupReaders.Put(g)
	err := g.read(r)
	if err == nil {
		err = verify(g.wire)
	}
	var codec loggroup.Codec
	var size int
	if err == nil {
		codec, err = loggroup.ParseCodec(r.Header.Get("x-log-compresstype"))
	}
	if err == nil {
		size, err = strconv.Atoi(r.Header.Get("x-log-bodyrawsize"))
	}
	if err == nil {
		g.plain, err = loggroup.Decompress(g.plain, g.wire, codec, size)
	}
	if err == nil {
		err = g.group.Decode(g.plain)
	}
	if err != nil {
		s.fail(fmt.Errorf("cannot read a request: %w", err))
		return
	}
	s.addGroup(&g.group)
}

func (s *sink) addGroup(g *loggroup.Group) {
	var size int64
	for i := range g.Logs {
		contents := g.Logs[i].Contents
		if s.workload.fields > 0 {
			if len(contents) != s.workload.fields {
				s.fail(fmt.Errorf("a record has %d fields, want %d: %q", len(contents), s.workload.fields, contents))
			}
			continue
		}
		if len(contents) != 1 {
			s.fail(fmt.Errorf("a record has %d fields, want 1: %q", len(contents), contents))
			continue
		}
		size += int64(len(contents[0].Value))
	}
	s.add(int64(len(g.Logs)), size)
}

// tcpSink takes records that end with delimiter, and hands every 512th to
// sample.
func tcpSink(delimiter byte, sample func([]byte) error) sinkKind {
	return func(t *testing.T, s *sink) {
		t.Helper()
		l, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(t, err)
		s.address = l.Addr().String()
		var connections sync.WaitGroup
		var open sync.Map
		connections.Go(func() {
			for {
				c, err := l.Accept()
				if err != nil {
					return
				}
				open.Store(c, nil)
				connections.Go(func() {
					defer c.Close()
					s.takeFrames(c, delimiter, sample)
				})
			}
		})
		t.Cleanup(func() {
			_ = l.Close()
			open.Range(func(c, _ any) bool { _ = c.(net.Conn).Close(); return true })
			connections.Wait()
		})
	}
}

func (s *sink) takeFrames(c net.Conn, delimiter byte, sample func([]byte) error) {
	buf := make([]byte, 1<<20)
	have := 0
	for seen := 0; ; {
		n, err := c.Read(buf[have:])
		have += n
		at, records := 0, 0
		for {
			end := bytes.IndexByte(buf[at:have], delimiter)
			if end < 0 {
				break
			}
			if seen%512 == 0 {
				if err := sample(buf[at : at+end]); err != nil {
					s.fail(err)
				}
			}
			seen++
			records++
			at += end + 1
		}
		s.add(int64(records), int64(at-records))
		have = copy(buf, buf[at:have])
		if have == len(buf) {
			s.fail(errors.New("a record is longer than a megabyte"))
			return
		}
		if err != nil {
			return
		}
	}
}
