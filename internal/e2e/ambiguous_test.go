package e2e

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wasmtail/wasmtail/internal/loggroup"
)

// forgetful is a receiver of the Log Service protocol that is no hub: it stores
// whatever comes. Of some requests the answer is lost.
type forgetful struct {
	t *testing.T

	mu     sync.Mutex
	got    int
	stored map[string]int // how often each line is there

	lost, lostLines int // answers, and the lines of their batches
}

func (s *forgetful) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return // the agent was killed while it sent
	}
	var g loggroup.Group
	codec, err := loggroup.ParseCodec(r.Header.Get("x-log-compresstype"))
	if err == nil {
		var size int
		if size, err = strconv.Atoi(r.Header.Get("x-log-bodyrawsize")); err == nil {
			if body, err = loggroup.Decompress(nil, body, codec, size); err == nil {
				err = g.Decode(body)
			}
		}
	}
	if err != nil {
		s.t.Errorf("a request that cannot be read: %v", err)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range g.Logs {
		for _, c := range g.Logs[i].Contents {
			if string(c.Key) == "content" {
				number, _, _ := strings.Cut(string(c.Value), " ")
				s.stored[number]++
			}
		}
	}
	s.got++
	if s.got%3 == 0 { // it is stored, and nobody hears of it
		s.lost++
		s.lostLines += len(g.Logs)
		panic(http.ErrAbortHandler)
	}
	w.Header().Set("x-log-requestid", "1")
}

// TestALostAnswerRepeatsOneBatchAtMost: a receiver that does not know a batch again
// gets one twice for each answer that was lost, and no other.
func TestALostAnswerRepeatsOneBatchAtMost(t *testing.T) {
	t.Parallel()
	s := &forgetful{t: t, stored: map[string]int{}}
	receiver := httptest.NewServer(s)
	defer receiver.Close()
	w := newWriter(t)
	a := newAgentIn(t, t.TempDir(), strings.TrimPrefix(receiver.URL, "http://"), pipelineYAML(w.path, "store"))
	a.start(t)
	for range 20 {
		w.write(100)
		rotations[0].rotate(w)
		a.eventually("all lines have come", func() bool {
			s.mu.Lock()
			defer s.mu.Unlock()
			return len(s.stored) == w.lines
		})
	}
	a.stop()
	s.mu.Lock()
	defer s.mu.Unlock()
	require.Positive(t, s.lost)
	require.Len(t, s.stored, w.lines)
	repeats := map[int]int{}
	for i := range w.lines {
		repeats[s.stored[fmt.Sprintf("%08d", i)]]++
	}
	t.Logf("%d requests, %d answers lost; lines by how often they are there: %v", s.got, s.lost, repeats)
	again := 0
	for times, lines := range repeats {
		again += (times - 1) * lines
	}
	require.LessOrEqual(t, again, s.lostLines, "more came again than the batches whose answers were lost")
}
