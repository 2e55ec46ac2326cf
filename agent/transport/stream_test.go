package transport_test

import (
	"bufio"
	"context"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wasmtail/wasmtail/agent/transport"
)

func stream(ctx context.Context, c *transport.Client) (*bufio.Scanner, func(), error) {
	body, err := c.Stream(ctx, transport.Request{Method: http.MethodGet, Path: "/watch"})
	if err != nil {
		return nil, nil, err
	}
	return bufio.NewScanner(body), func() { _ = body.Close() }, nil
}

// TestStreamOutlivesTheTimeout: the answer goes on for longer than the timeout, and
// ends with the context or when it is closed.
func TestStreamOutlivesTheTimeout(t *testing.T) {
	lines, gone := make(chan string), make(chan struct{}, 2) // one for each request
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		defer func() { gone <- struct{}{} }()
		w.WriteHeader(http.StatusOK)
		_ = http.NewResponseController(w).Flush()
		for {
			select {
			case line := <-lines:
				_, _ = w.Write([]byte(line + "\n"))
				_ = http.NewResponseController(w).Flush()
			case <-r.Context().Done():
				return
			}
		}
	})
	const timeout = 300 * time.Millisecond
	c := client(t, transport.Config{Endpoint: s.URL, Timeout: timeout})
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	began := time.Now()
	got, end, err := stream(ctx, c)
	require.NoError(t, err)
	defer end()
	require.Eventually(t, func() bool { return time.Since(began) > 2*timeout }, 5*time.Second, 10*time.Millisecond)
	for _, line := range []string{"one", "two"} {
		lines <- line
		require.True(t, got.Scan())
		require.Equal(t, line, got.Text())
	}
	cancel()
	require.False(t, got.Scan())
	require.Error(t, got.Err())
	<-gone

	_, end, err = stream(context.Background(), c)
	require.NoError(t, err)
	end()
	<-gone // the server has noticed
}

func TestStreamFailures(t *testing.T) {
	released := make(chan struct{})
	defer close(released)
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/watch" {
			http.Error(w, "expired", http.StatusGone)
			return
		}
		select {
		case <-released:
		case <-r.Context().Done():
		}
	})
	c := client(t, transport.Config{Endpoint: s.URL, Timeout: 200 * time.Millisecond})
	_, _, err := stream(context.Background(), c)
	var f *transport.Failure
	require.ErrorAs(t, err, &f)
	require.Equal(t, http.StatusGone, f.Status)

	_, err = c.Stream(context.Background(), transport.Request{Method: http.MethodGet, Path: "/slow"})
	require.ErrorAs(t, err, &f)
	require.Contains(t, err.Error(), "no answer within the timeout")
	require.Equal(t, transport.Retry, f.Class)

	_, err = c.Stream(context.Background(), transport.Request{Path: "/x", Body: []byte("x")})
	require.ErrorAs(t, err, &f)
	require.Equal(t, transport.Misconfigured, f.Class)
}
