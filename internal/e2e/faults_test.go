package e2e

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// faultProxy stands in front of a hub and does to requests what networks,
// balancers and overloaded receivers do.
type faultProxy struct {
	*httptest.Server
	t      *testing.T
	hub    string
	calm   atomic.Bool // from now on it only forwards
	mu     sync.Mutex
	random *rand.Rand
	done   map[string]int // how often each fault was done
}

// answerTimeout is how long the agent waits for an answer in these tests.
const answerTimeout = 500 * time.Millisecond

// proxyFaults are what it does instead of forwarding.
var proxyFaults = map[string]func(p *faultProxy, w http.ResponseWriter, r *http.Request){
	"closes at once": func(_ *faultProxy, w http.ResponseWriter, _ *http.Request) { hangUp(w) },
	"resets half way": func(_ *faultProxy, w http.ResponseWriter, r *http.Request) {
		_, _ = io.CopyN(io.Discard, r.Body, r.ContentLength/2)
		hangUp(w)
	},
	"stalls":             func(_ *faultProxy, w http.ResponseWriter, r *http.Request) { stall(w, r) },
	"answers bit by bit": func(_ *faultProxy, w http.ResponseWriter, r *http.Request) { trickle(w, r) },
	"stores, then resets": func(p *faultProxy, w http.ResponseWriter, r *http.Request) {
		p.forward(httptest.NewRecorder(), r)
		hangUp(w)
	},
	"stores, then stalls": func(p *faultProxy, w http.ResponseWriter, r *http.Request) {
		p.forward(httptest.NewRecorder(), r)
		stall(w, r)
	},
	"answers without a request id": func(_ *faultProxy, w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusOK) },
	"redirects": func(_ *faultProxy, w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "/elsewhere", http.StatusFound)
	},
}

// proxyAnswers are failures by status and code. Those that a person has to mend
// come with a Retry-After, so that the test need not wait for half a minute.
var proxyAnswers = []struct {
	status int
	code   string
}{
	{500, "InternalServerError"},
	{502, ""},
	{503, "ServerBusy"},
	{504, ""},
	{429, ""},
	{408, ""},
	{403, "WriteQuotaExceed"},
	{403, "ShardWriteQuotaExceed"},
	{403, "ProjectForbidden"},
	{401, "Unauthorized"},
	{401, "SignatureNotMatch"},
	{403, "InvalidAccessKeyId"},
	{400, "RequestTimeExpired"},
	{404, "LogStoreNotExist"},
	{404, "ProjectNotExist"},
	{404, ""},
	{400, "ShardNotExist"},
	{400, "PostBodyTooLarge"},
	{413, ""},
	{400, "PostBodyUncompressError"},
	{400, "MissingDate"},
	{418, ""},
}

func init() {
	for _, a := range proxyAnswers {
		proxyFaults[fmt.Sprintf("answers %d %s", a.status, a.code)] = func(_ *faultProxy, w http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			w.Header().Set("x-log-requestid", "1")
			w.Header().Set("Retry-After", "1")
			w.WriteHeader(a.status)
			_, _ = fmt.Fprintf(w, `{"errorCode":%q,"errorMessage":"by the proxy"}`, a.code)
		}
	}
}

// hangUp closes the connection of a request, so that the peer sees a reset.
func hangUp(w http.ResponseWriter) {
	h, ok := w.(http.Hijacker)
	if !ok {
		return // of an answer that nobody was to get
	}
	c, _, err := h.Hijack()
	if err != nil {
		return
	}
	if tcp, ok := c.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	_ = c.Close()
}

// stall keeps a request until its sender has given up. A server does not learn
// that while it has not read the whole body.
func stall(w http.ResponseWriter, r *http.Request) {
	select {
	case <-r.Context().Done():
	case <-time.After(4 * answerTimeout):
		hangUp(w)
	}
}

// trickle sends a byte of an answer now and then, for longer than anybody waits.
func trickle(w http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body)
	tick := time.NewTicker(answerTimeout / 4)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			_, _ = io.WriteString(w, " ")
			w.(http.Flusher).Flush()
		case <-r.Context().Done():
			return
		}
	}
}

func newFaultProxy(t *testing.T, hub string) *faultProxy {
	p := &faultProxy{t: t, hub: hub, random: rand.New(rand.NewPCG(1, 2)), done: map[string]int{}}
	p.Server = httptest.NewServer(p)
	t.Cleanup(func() {
		p.Close()
		if t.Failed() {
			t.Logf("faults: %v", p.done)
		}
	})
	return p
}

// ServeHTTP implements http.Handler: each fault by turns, and between two of them
// as many requests pass.
func (p *faultProxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	fault := p.pick()
	if fault == "" {
		p.forward(w, r)
		return
	}
	proxyFaults[fault](p, w, r)
}

func (p *faultProxy) pick() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.calm.Load() || p.random.IntN(3) == 0 {
		return ""
	}
	var rarest []string
	for name := range proxyFaults {
		switch {
		case len(rarest) == 0 || p.done[name] < p.done[rarest[0]]:
			rarest = []string{name}
		case p.done[name] == p.done[rarest[0]]:
			rarest = append(rarest, name)
		}
	}
	name := rarest[p.random.IntN(len(rarest))]
	p.done[name]++
	return name
}

// undone is how many faults were not done yet.
func (p *faultProxy) undone() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(proxyFaults) - len(p.done)
}

func (p *faultProxy) forward(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	out, err := http.NewRequest(r.Method, "http://"+p.hub+r.URL.RequestURI(), bytes.NewReader(body))
	if err != nil {
		return
	}
	out.Header, out.Host = r.Header.Clone(), r.Host
	resp, err := http.DefaultTransport.RoundTrip(out)
	if err != nil {
		hangUp(w)
		return
	}
	defer func() { _ = resp.Body.Close() }()
	for name, values := range resp.Header {
		w.Header()[name] = values
	}
	w.WriteHeader(resp.StatusCode)
	_, _ = io.Copy(w, resp.Body)
}

// TestEveryFaultOfTheWayToTheHub: whatever happens to requests, every line is at
// the hub once. The agent is killed, too, while answers are outstanding.
func TestEveryFaultOfTheWayToTheHub(t *testing.T) {
	t.Parallel()
	h := startHub(t)
	p := newFaultProxy(t, h.addr)
	w := newWriter(t)
	a := newAgentIn(t, t.TempDir(), strings.TrimPrefix(p.URL, "http://"), pipelineYAML(w.path, "store"))
	text, err := os.ReadFile(a.config)
	require.NoError(t, err)
	text = bytes.Replace(text, []byte("type: logservice,"), fmt.Appendf(nil, "type: logservice, timeout: %s,", answerTimeout), 1)
	require.NoError(t, os.WriteFile(a.config, text, 0o600))
	a.start(t)
	for _, left := range []int{len(proxyFaults) / 2, 0} {
		round := 0
		a.eventually("faults were done", func() bool {
			w.write(10)
			if round++; round%50 == 0 {
				rotations[0].rotate(w)
			}
			return p.undone() <= left
		})
		a.kill() // answers are outstanding, or an attempt waits
		w.write(100)
		a.start(t)
	}
	p.calm.Store(true)
	a.requireAll(h, "store", w.lines)
	require.NoDirExists(t, a.dir+"/state/rejected", "nothing of it was bad for good")
	a.stop()
}
