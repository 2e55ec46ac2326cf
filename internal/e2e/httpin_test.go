package e2e

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestWhatAnHTTPSenderWasPromisedIsThere: the agent is killed between requests and
// answers, and the hub is away for a while. What was answered with success is at the
// hub; where the disk cache takes it, that goes on while the hub is away.
func TestWhatAnHTTPSenderWasPromisedIsThere(t *testing.T) {
	t.Parallel()
	h := startHub(t)
	address := freePort(t)
	a := newAgent(t, h, fmt.Sprintf(`  p:
    input: {type: http, listen: %q}
    outputs: [hub]
    logstore: store
`, address))
	a.start(t)
	promised, sent := map[string]bool{}, 0
	post := func() bool {
		var body strings.Builder
		var lines []string
		for range 10 {
			line := fmt.Sprintf("%08d", sent)
			fmt.Fprintf(&body, "{\"message\":%q}\n", line)
			lines = append(lines, line)
			sent++
		}
		resp, err := http.Post("http://"+address+"/v1/jsonl", "application/x-ndjson", strings.NewReader(body.String()))
		if err != nil {
			return false
		}
		_ = resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			return false
		}
		for _, line := range lines {
			promised[line] = true
		}
		return true
	}
	for round := range 4 {
		sending := make(chan struct{})
		go func() {
			defer close(sending)
			for failures := 0; failures < 3; { // the agent is killed meanwhile
				if !post() {
					failures++
				}
			}
		}()
		a.eventually("requests are answered", func() bool { return h.distinct(t, "store") > round*20 })
		a.kill()
		<-sending
		a.start(t)
	}
	h.kill()
	before := len(promised)
	a.eventually("the disk cache takes it", post)
	require.Greater(t, len(promised), before)
	h.start(t)
	a.eventually("everything that was promised is there", func() bool {
		there := map[string]bool{}
		for _, r := range h.records(t, "store") {
			there[r["message"]] = true
			there[r["_msg"]] = true
		}
		for line := range promised {
			if !there[line] {
				return false
			}
		}
		return true
	})
	t.Logf("%d lines were sent, %d promised", sent, len(promised))
	a.stop()
}
