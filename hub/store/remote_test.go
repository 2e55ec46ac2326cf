package store

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// dialTest returns a store behind a server that answers inserts by insert, and
// says to every query that it has so many rows.
func dialTest(t *testing.T, has *atomic.Int64, insert http.HandlerFunc) *Remote {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/internal/insert") {
			insert(w, r)
			return
		}
		_, _ = fmt.Fprintf(w, "{\"rows\":\"%d\"}\n", has.Load())
	}))
	t.Cleanup(server.Close)
	r, err := Dial(RemoteOptions{InsertURL: server.URL, Settle: time.Millisecond, SeqField: "__wt_seq__", Timeout: 200 * time.Millisecond})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, r.Close()) })
	return r
}

func TestRemote_RowsThatWereRefusedAndWrittenAgainAreExpectedOnce(t *testing.T) {
	var has, calls atomic.Int64
	r := dialTest(t, &has, func(w http.ResponseWriter, _ *http.Request) {
		if calls.Add(1) == 1 {
			http.Error(w, "not now", http.StatusServiceUnavailable)
		}
	})
	rows := NewRows()
	defer rows.Release()
	addRows(rows, "p/web", lines{0, 10})
	require.ErrorContains(t, r.Write(t.Context(), rows), "not now")
	require.NoError(t, r.Write(t.Context(), rows))
	settled, err := r.Seal(t.Context())
	require.NoError(t, err)
	has.Store(10)
	require.NoError(t, settled(t.Context()))

	require.NoError(t, r.Write(t.Context(), rows))
	settled, err = r.Seal(t.Context())
	require.NoError(t, err)
	has.Store(9)
	require.ErrorIs(t, settled(t.Context()), ErrIncomplete)
}

func TestRemote_AServerThatDoesNotAnswerIsGivenUp(t *testing.T) {
	var has atomic.Int64
	r := dialTest(t, &has, func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		<-r.Context().Done()
	})
	rows := NewRows()
	defer rows.Release()
	addRows(rows, "p/web", lines{0, 10})
	failed := make(chan error, 1)
	go func() { failed <- r.Write(context.Background(), rows) }()
	select {
	case err := <-failed:
		require.ErrorIs(t, err, context.DeadlineExceeded)
	case <-time.After(20 * time.Second):
		t.Fatal("the write still waits")
	}
}
