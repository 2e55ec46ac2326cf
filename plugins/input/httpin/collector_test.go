package httpin

import (
	"bytes"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	collector "go.opentelemetry.io/proto/otlp/collector/logs/v1"
	logs "go.opentelemetry.io/proto/otlp/logs/v1"
	"google.golang.org/protobuf/proto"

	"github.com/wasmtail/wasmtail/internal/config"
	"github.com/wasmtail/wasmtail/internal/realserver"
)

const (
	exportRecords = 200 // of one request to the Collector
	exportBytes   = 300 // of each record's body, at least
)

// export sends a Collector records that are numbered from n×exportRecords on, and is
// false if it does not take them.
func export(t *testing.T, relay *realserver.Relay, n int) bool {
	request := &collector.ExportLogsServiceRequest{ResourceLogs: []*logs.ResourceLogs{{ScopeLogs: []*logs.ScopeLogs{{}}}}}
	scope := request.ResourceLogs[0].ScopeLogs[0]
	for i := range exportRecords {
		scope.LogRecords = append(scope.LogRecords, &logs.LogRecord{Body: textValue(fmt.Sprintf("%d %s", n*exportRecords+i, strings.Repeat("x", exportBytes)))})
	}
	body, err := proto.Marshal(request)
	require.NoError(t, err)
	resp, err := http.Post("http://"+relay.HTTP+"/v1/logs", "application/x-protobuf", bytes.NewReader(body))
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	return resp.StatusCode == http.StatusOK
}

// tally counts the different records that have come.
type tally struct {
	s    *session
	at   int // what was looked at
	seen map[int]bool
}

// count looks at what is new, while others may add to it: what it looks at again and
// again would hold up the pipeline.
func (c *tally) count() int {
	c.s.mu.Lock()
	fresh := c.s.records[c.at:len(c.s.records):len(c.s.records)]
	c.at += len(fresh)
	c.s.mu.Unlock()
	for _, r := range fresh {
		var n int
		if _, err := fmt.Sscanf(r, "content=%d ", &n); err == nil {
			c.seen[n] = true
		}
	}
	return len(c.seen)
}

// TestACollectorWaitsAsLongAsItIsTold: a Collector that would try again every few
// milliseconds gets 429 with Retry-After, and keeps to it.
func TestACollectorWaitsAsLongAsItIsTold(t *testing.T) {
	s := listen(t, func(c *Config) { c.BusyAfter = 20 * time.Millisecond })
	come := tally{s: s, seen: map[int]bool{}}
	relay := realserver.Collector(t, fmt.Sprintf("endpoint: %q, sending_queue: {num_consumers: 1}, retry_on_failure: {initial_interval: 5ms, max_interval: 10ms, max_elapsed_time: 0s}", s.url))
	relay.Start()
	s.set(func() { s.full = true })
	require.True(t, export(t, relay, 0), "it has a queue")
	refused := func(n int64) time.Time {
		require.Eventually(t, func() bool { return s.in.Streams()[0].Dropped >= n }, time.Minute, time.Millisecond, "%d requests are refused", n)
		return time.Now()
	}
	first, fourth := refused(1), refused(4)
	require.GreaterOrEqual(t, fourth.Sub(first), 2700*time.Millisecond, "three times a second; polling and pauses of the test take a little off")
	s.set(func() { s.full = false })
	require.Eventually(t, func() bool { return come.count() == exportRecords }, time.Minute, time.Millisecond)
}

// TestACollectorLosesNothingUnderPressure: it sends more at once than there is memory
// for, to a pipeline that has no room now and then and once delivers nothing.
func TestACollectorLosesNothingUnderPressure(t *testing.T) {
	s := listen(t, func(c *Config) {
		c.MaxBody, c.MaxMemory = 64*config.KiB, 160*config.KiB
		c.BusyAfter, c.AckTimeout = 100*time.Millisecond, time.Second
	})
	come := tally{s: s, seen: map[int]bool{}}
	relay := realserver.Collector(t, fmt.Sprintf(`endpoint: %q, sending_queue: {num_consumers: 6, queue_size: 1000, block_on_overflow: true},
  compression: none, retry_on_failure: {initial_interval: 5ms, max_interval: 10ms, max_elapsed_time: 0s}`, s.url))
	relay.Start()
	const requests = 60
	var senders sync.WaitGroup
	for sender := range 4 {
		senders.Go(func() {
			for n := sender; n < requests; n += 4 {
				if !export(t, relay, n) {
					t.Errorf("the Collector does not take request %d", n)
				}
			}
		})
	}
	for i := range 10 {
		s.set(func() { s.full, s.hold = i%2 == 0, i == 3 })
		before := s.in.Streams()[0].Dropped
		require.Eventually(t, func() bool {
			return s.in.Streams()[0].Dropped > before || come.count() == requests*exportRecords
		}, time.Minute, time.Millisecond)
	}
	s.set(func() { s.full, s.hold = false, false })
	senders.Wait()
	// Six wake at a time, for two of whom there is memory; the others wait a second more.
	require.Eventually(t, func() bool { return come.count() == requests*exportRecords }, 3*time.Minute, 10*time.Millisecond)
	require.Greater(t, s.in.Streams()[0].Dropped, int64(3))
	require.Eventually(t, func() bool { return s.in.memory.TryAcquire(int64(s.in.c.MaxMemory)) }, time.Minute, time.Millisecond, "memory is given back")
	t.Logf("%d requests were refused, and none of %d records is missing; %d came", s.in.Streams()[0].Dropped, requests*exportRecords, len(s.records))
}
