package realserver

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
)

// Lossy stands in front of an HTTP server and loses answers on demand: the server
// has taken the request, and its client does not learn of it.
type Lossy struct {
	// URL takes the place of the server's.
	URL string
	// Lose is how many of the next answers are lost.
	Lose atomic.Int32

	mu       sync.Mutex
	requests int
}

// LoseAnswers puts one in front of a server. handler is the server itself; nil for
// the one at the address.
func LoseAnswers(t testing.TB, address string, handler http.Handler) *Lossy {
	t.Helper()
	l := &Lossy{}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		l.mu.Lock()
		l.requests++
		l.mu.Unlock()
		answer := httptest.NewRecorder()
		if handler != nil {
			handler.ServeHTTP(answer, r)
		} else if err := forward(answer, r, address); err != nil {
			panic(http.ErrAbortHandler)
		}
		if l.Lose.Add(-1) >= 0 {
			panic(http.ErrAbortHandler)
		}
		l.Lose.Store(0)
		for name, values := range answer.Header() {
			w.Header()[name] = values
		}
		w.WriteHeader(answer.Code)
		_, _ = w.Write(answer.Body.Bytes()) // a client that is gone needs no answer
	}))
	t.Cleanup(s.Close)
	l.URL = s.URL
	return l
}

// Requests is how many have come.
func (l *Lossy) Requests() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.requests
}

func forward(to *httptest.ResponseRecorder, r *http.Request, address string) error {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(r.Context(), r.Method, address+r.URL.RequestURI(), bytes.NewReader(body)) //nolint:gosec // the address is the test's
	if err != nil {
		return err
	}
	req.Header = r.Header
	resp, err := (&http.Transport{DisableKeepAlives: true, DisableCompression: true}).RoundTrip(req) //nolint:forbidigo // for tests
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	to.Code = resp.StatusCode
	for name, values := range resp.Header {
		to.Header()[name] = values
	}
	_, err = io.Copy(to.Body, resp.Body)
	return err
}
