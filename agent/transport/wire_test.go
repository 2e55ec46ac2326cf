package transport

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/time/rate"
)

// meter is a listener that notes when how many bytes came in.
type meter struct {
	net.Listener
	mu   sync.Mutex
	at   []time.Time
	size []int
}

type meteredConn struct {
	net.Conn
	m *meter
}

func (m *meter) Accept() (net.Conn, error) {
	c, err := m.Listener.Accept()
	return meteredConn{c, m}, err
}

func (c meteredConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.m.mu.Lock()
	defer c.m.mu.Unlock()
	c.m.at, c.m.size = append(c.m.at, time.Now()), append(c.m.size, n)
	return n, err
}

// most is the largest number of bytes within any second.
func (m *meter) most() (most int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	from, sum := 0, 0
	for i := range m.at {
		for sum += m.size[i]; m.at[i].Sub(m.at[from]) >= time.Second; from++ {
			sum -= m.size[from]
		}
		most = max(most, sum)
	}
	return most
}

// TestWire_KeepsTheLimit in every second, for all connections together, and
// without a time-out of requests that it makes long.
func TestWire_KeepsTheLimit(t *testing.T) {
	const limit = 1 << 20
	l := rate.NewLimiter(limit, limit/20)
	for _, encrypted := range []bool{false, true} {
		s := httptest.NewUnstartedServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { _, _ = io.Copy(io.Discard, r.Body) }))
		m := &meter{Listener: s.Listener}
		s.Listener = m
		config := Config{Timeout: 500 * time.Millisecond, Wire: NewWire(l)}
		if encrypted {
			s.StartTLS()
			config.TLS.InsecureSkipVerify = true
		} else {
			s.Start()
		}
		config.Endpoint = s.URL
		c, err := New(config)
		require.NoError(t, err)
		var senders sync.WaitGroup
		began := time.Now()
		for range 4 {
			senders.Go(func() {
				_, err := c.Post(context.Background(), Request{Path: "/", Body: bytes.Repeat([]byte("x"), limit*3/4)})
				if err != nil {
					t.Errorf("a limited upload took %s and ended: %v", time.Since(began), err)
				}
			})
		}
		senders.Wait()
		c.Close()
		s.Close()
		require.Greater(t, time.Since(began), 2900*time.Millisecond)
		require.LessOrEqual(t, m.most(), limit*11/10)
		require.InDelta(t, 3*limit, config.Wire.Bytes(), limit/20)
	}
}

// TestWire_DoesNotExcuseAReceiverThatStalls: the time-out counts while nothing is
// waited for but the receiver.
func TestWire_DoesNotExcuseAReceiverThatStalls(t *testing.T) {
	stall := make(chan struct{})
	s := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-stall }))
	defer s.Close()
	defer close(stall)
	c, err := New(Config{Endpoint: s.URL, Timeout: 300 * time.Millisecond, Wire: NewWire(rate.NewLimiter(1<<20, 1<<16))})
	require.NoError(t, err)
	defer c.Close()
	began := time.Now()
	_, err = c.Post(context.Background(), Request{Path: "/", Body: make([]byte, 1<<19)})
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.Less(t, time.Since(began), 5*time.Second)
}
