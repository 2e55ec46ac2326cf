package hub

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sirupsen/logrus"
	"github.com/stretchr/testify/require"

	"github.com/wasmtail/wasmtail/internal/loggroup"
	"github.com/wasmtail/wasmtail/internal/signature"
	"github.com/wasmtail/wasmtail/internal/specimen"
)

var credentials = signature.Credentials{KeyID: "testkey", Secret: "testsecret"}

const (
	testGeneration = specimen.Generation
	lineBytes      = specimen.LineBytes
)

// client speaks to a hub.
type client struct {
	t       *testing.T
	base    string
	login   string
	browser *http.Client
	nonce   int
	project string
}

// start runs a hub in this process until the test ends; stop ends it earlier.
func start(t *testing.T, o Options) (c *client, stop func()) {
	t.Helper()
	if o.DataDir == "" {
		o.DataDir = t.TempDir()
	}
	o.Listen = "127.0.0.1:0"
	o.KeyID, o.KeySecret = credentials.KeyID, credentials.Secret
	o.Log = logrus.New()
	o.Log.SetOutput(t.Output())
	ready := make(chan Address, 1)
	o.Ready = func(a Address) { ready <- a }
	ctx, cancel := context.WithCancel(context.Background())
	var run sync.WaitGroup
	ended := make(chan error, 1)
	run.Go(func() { ended <- Run(ctx, o) })
	stop = sync.OnceFunc(func() {
		cancel()
		run.Wait()
	})
	t.Cleanup(stop)
	select {
	case a := <-ready:
		return newClient(t, a.URL, a.LoginURL), stop
	case err := <-ended:
		require.NoError(t, err)
		t.Fatal("the hub ended")
	case <-time.After(30 * time.Second):
		t.Fatal("the hub does not start")
	}
	return nil, nil
}

func newClient(t *testing.T, base, login string) *client {
	jar, err := cookiejar.New(nil)
	require.NoError(t, err)
	return &client{t: t, base: base, login: login, browser: &http.Client{Jar: jar}, project: "proj"}
}

// payload is the LogGroup of lines [first, last) of the test file.
func payload(first, last int) []byte {
	return specimen.Group(int64(first*lineBytes), int64(last*lineBytes), specimen.Lines(first, last)...)
}

// put is a PutLogs request, signed.
func (c *client) put(raw []byte) *http.Request {
	return c.request(loggroup.NewCompressor(loggroup.Snappy).Append(nil, raw), len(raw), "snappy", signature.Options{Version: signature.V4, Region: "local", Now: time.Now()})
}

func (c *client) request(body []byte, rawSize int, codec string, o signature.Options) *http.Request {
	r, err := http.NewRequest(http.MethodPost, c.base+"/logstores/web/shards/lb", bytes.NewReader(body))
	require.NoError(c.t, err)
	c.nonce++
	r.Header.Set("Content-Type", "application/x-protobuf")
	r.Header.Set("x-log-project", c.project)
	r.Header.Set("x-log-bodyrawsize", strconv.Itoa(rawSize))
	r.Header.Set("x-log-nonce", strconv.Itoa(c.nonce))
	if codec != "" {
		r.Header.Set("x-log-compresstype", codec)
	}
	require.NoError(c.t, signature.Sign(r, body, credentials, o))
	return r
}

// do sends a request and returns the status and, of a refusal, the code.
func (c *client) do(r *http.Request) (status int, code string) {
	c.t.Helper()
	resp, err := http.DefaultClient.Do(r)
	require.NoError(c.t, err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	require.NoError(c.t, err)
	require.NotEmpty(c.t, resp.Header.Get("x-log-requestid"))
	require.NotEmpty(c.t, resp.Header.Get("x-log-time"))
	if resp.StatusCode == http.StatusOK {
		return resp.StatusCode, ""
	}
	var e struct {
		ErrorCode, ErrorMessage string
	}
	require.NoError(c.t, json.Unmarshal(body, &e), "%s", body)
	require.NotEmpty(c.t, e.ErrorMessage)
	return resp.StatusCode, e.ErrorCode
}

func (c *client) mustPut(first, last int) {
	c.t.Helper()
	status, code := c.do(c.put(payload(first, last)))
	require.Equal(c.t, http.StatusOK, status, code)
}

// get is a call of the API in a session.
func (c *client) get(path string, params url.Values) (int, []byte) {
	c.t.Helper()
	if c.login != "" {
		resp, err := c.browser.Get(c.login)
		require.NoError(c.t, err)
		require.NoError(c.t, resp.Body.Close())
		c.login = ""
	}
	params.Set("project", c.project)
	resp, err := c.browser.Get(c.base + "/api/v1/" + path + "?" + params.Encode())
	require.NoError(c.t, err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	require.NoError(c.t, err)
	return resp.StatusCode, body
}

func (c *client) getJSON(path string, params url.Values, into any) {
	c.t.Helper()
	status, body := c.get(path, params)
	require.Equal(c.t, http.StatusOK, status, "%s", body)
	require.NoError(c.t, json.Unmarshal(body, into), "%s", body)
}

// records runs a query.
func (c *client) records(params url.Values) (out []map[string]string) {
	c.t.Helper()
	status, body := c.get("query", params)
	require.Equal(c.t, http.StatusOK, status, "%s", body)
	for line := range strings.Lines(string(body)) {
		m := map[string]string{}
		require.NoError(c.t, json.Unmarshal([]byte(line), &m), "%s", line)
		out = append(out, m)
	}
	return out
}

func (c *client) waitFor(n int) []map[string]string {
	c.t.Helper()
	var got []map[string]string
	require.Eventually(c.t, func() bool {
		got = c.records(url.Values{"limit": {"10000"}})
		return len(got) >= n
	}, 20*time.Second, 50*time.Millisecond)
	require.Len(c.t, got, n)
	return got
}

func TestHub_ASignedPutIsFound(t *testing.T) {
	t.Parallel()
	c, _ := start(t, Options{})
	c.mustPut(0, 5)
	got := c.waitFor(5)
	first := got[len(got)-1]
	require.Equal(t, "line 0000", first["_msg"])
	require.Equal(t, "line 0000", first["content"])
	require.Equal(t, "web", first["_logstore"])
	require.Equal(t, "host1", first["__hostname__"])
	require.Equal(t, "/var/log/app.log", first["__path__"])
	require.Equal(t, testGeneration, first["__wt_generation__"])
	require.Equal(t, "0", first["__wt_offset__"])
	require.Equal(t, "t", first["__topic__"])
	require.NotContains(t, first, "__wt_seq__")
	require.NotContains(t, first, "_stream")
	for i := range 4 {
		require.GreaterOrEqual(t, got[i]["_time"], got[i+1]["_time"], "newest first")
	}
	require.Len(t, c.records(url.Values{"query": {"line"}, "limit": {"2"}, "offset": {"4"}}), 1)
	require.Len(t, c.records(url.Values{"query": {`"line 0003"`}}), 1)
	require.Empty(t, c.records(url.Values{"logstore": {"other"}}))
	require.Len(t, c.records(url.Values{"query": {"* | stats count() n"}}), 1)

	c.project = "elsewhere"
	require.Empty(t, c.records(url.Values{}), "another project sees nothing")
}

func TestHub_TheAPIAnswers(t *testing.T) {
	t.Parallel()
	c, _ := start(t, Options{})
	c.mustPut(0, 50)
	c.waitFor(50)
	c.mustPut(60, 70)
	c.waitFor(60)

	var hits struct {
		Hits []struct {
			Fields     map[string]string
			Timestamps []time.Time
			Values     []int
			Total      int
		}
	}
	c.getJSON("hits", url.Values{"step": {"1s"}, "field": {"_logstore"}}, &hits)
	require.Len(t, hits.Hits, 1)
	require.Equal(t, 60, hits.Hits[0].Total)
	require.Equal(t, map[string]string{"_logstore": "web"}, hits.Hits[0].Fields)
	require.Len(t, hits.Hits[0].Values, len(hits.Hits[0].Timestamps))

	var facets struct {
		Facets []struct {
			Field  string
			Values []struct {
				Value string
				Hits  int
			}
		}
	}
	c.getJSON("facets", url.Values{}, &facets)
	require.NotEmpty(t, facets.Facets)

	var status map[string]any
	c.getJSON("status", url.Values{}, &status)
	require.Equal(t, "embedded", status["store"])

	for _, bad := range []url.Values{
		{"query": {"("}}, {"start": {"yesterday"}}, {"limit": {"0"}}, {"limit": {"x"}}, {"logstore": {"a b"}}, {"start": {"20"}, "end": {"10"}},
	} {
		code, body := c.get("query", bad)
		require.Equal(t, http.StatusBadRequest, code, "%v: %s", bad, body)
		require.Contains(t, string(body), `"error"`)
	}
}

func TestHub_ContextAndLedgerFollowTheFile(t *testing.T) {
	t.Parallel()
	c, _ := start(t, Options{})
	c.mustPut(0, 50)
	c.mustPut(60, 70)
	c.waitFor(60)
	var around struct{ Records []map[string]string }
	c.getJSON("context", url.Values{"generation": {testGeneration}, "offset": {"200"}, "before": {"2"}, "after": {"3"}}, &around)
	require.Len(t, around.Records, 6)
	for i, want := range []string{"180", "190", "200", "210", "220", "230"} {
		require.Equal(t, want, around.Records[i]["__wt_offset__"])
	}

	var stores struct {
		Logstores []struct {
			Project, Logstore string
			Records           int
		}
	}
	c.getJSON("logstores", url.Values{}, &stores)
	require.Len(t, stores.Logstores, 1)
	require.Equal(t, 60, stores.Logstores[0].Records)

	var ledger struct {
		Totals      map[string]int64
		Generations []struct {
			Agent, Path, Generation string
			ReadBytes               int64 `json:"read_bytes"`
			Ranges, Missing         [][2]int64
			Stored                  int64
		}
	}
	c.getJSON("ledger", url.Values{}, &ledger)
	require.Len(t, ledger.Generations, 1)
	require.Equal(t, [][2]int64{{0, 500}, {600, 700}}, ledger.Generations[0].Ranges)
	require.Equal(t, [][2]int64{{500, 600}}, ledger.Generations[0].Missing)
	require.EqualValues(t, 60, ledger.Totals["stored"])
	require.EqualValues(t, 60, ledger.Totals["read_records"])
	require.EqualValues(t, 100, ledger.Totals["missing_bytes"])
}

func TestHub_TheLedgerIsAskedForSomeOfIt(t *testing.T) {
	t.Parallel()
	c, _ := start(t, Options{})
	c.mustPut(0, 50)
	c.mustPut(0, 50)
	c.waitFor(50)
	count := func(params url.Values) int {
		var l struct {
			Count       int
			Generations []struct {
				Agent, Path, Generation, Logstore string
				Start, End                        int64
				Complete                          bool
				DoubleBytes                       int64 `json:"double_bytes"`
				First, Last                       time.Time
			}
			Truncated bool
		}
		c.getJSON("ledger", params, &l)
		require.Len(t, l.Generations, l.Count)
		require.False(t, l.Truncated)
		for _, g := range l.Generations {
			require.Equal(t, testGeneration, g.Generation)
			require.Equal(t, specimen.Agent, g.Agent)
			require.Equal(t, "web", g.Logstore)
			require.EqualValues(t, 500, g.End)
			require.EqualValues(t, 500, g.DoubleBytes)
			require.True(t, g.Complete)
			require.False(t, g.First.IsZero() || g.Last.Before(g.First))
		}
		return l.Count
	}
	var named struct{ Generations []struct{ Path string } }
	c.getJSON("ledger", url.Values{}, &named)
	path := named.Generations[0].Path
	for _, want := range []struct {
		n      int
		params url.Values
	}{
		{1, url.Values{}},
		{1, url.Values{"agent": {specimen.Agent}, "generation": {testGeneration}, "logstore": {"web"}, "path": {path}}},
		{1, url.Values{"path": {path[:len(path)-1] + "*"}}},
		{0, url.Values{"path": {"/nowhere/*"}}},
		{0, url.Values{"agent": {"other"}}},
		{0, url.Values{"generation": {"other"}}},
		{0, url.Values{"logstore": {"other"}}},
	} {
		require.Equal(t, want.n, count(want.params), want.params)
	}
	for _, params := range []url.Values{
		{"path": {"/a/[b"}},
		{"path": {strings.Repeat("x", 5000)}},
		{"limit": {"0"}},
		{"limit": {"10001"}},
		{"offset": {"-1"}},
	} {
		status, body := c.get("ledger", params)
		require.Equal(t, http.StatusBadRequest, status)
		require.Contains(t, string(body), "InvalidParameter")
	}
}

func TestHub_NothingIsShownWithoutASession(t *testing.T) {
	t.Parallel()
	c, _ := start(t, Options{})
	for _, path := range []string{"query", "hits", "facets", "tail", "context", "logstores", "ledger", "status"} {
		resp, err := http.Get(c.base + "/api/v1/" + path)
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close())
		require.Equal(t, http.StatusUnauthorized, resp.StatusCode, path)
		require.Equal(t, "nosniff", resp.Header.Get("X-Content-Type-Options"))
		require.Contains(t, resp.Header.Get("Content-Security-Policy"), "default-src 'none'")
	}
	login := c.login
	status, _ := c.get("status", url.Values{})
	require.Equal(t, http.StatusOK, status)
	resp, err := http.Get(login)
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	require.Equal(t, http.StatusUnauthorized, resp.StatusCode, "a link works once")
	for _, path := range []string{"/", "/livez", "/readyz", "/metrics"} {
		resp, err := http.Get(c.base + path)
		require.NoError(t, err)
		body, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close())
		require.Equal(t, http.StatusOK, resp.StatusCode, path)
		require.NotEmpty(t, body)
		if path == "/metrics" {
			require.Contains(t, string(body), "wasmtail_hub_receive_requests_total")
		}
	}
	r, err := http.NewRequest(http.MethodGet, c.base+"/api/v1/status?project=proj", http.NoBody)
	require.NoError(t, err)
	r.Header.Set("x-log-bodyrawsize", "0")
	require.NoError(t, signature.Sign(r, nil, credentials, signature.Options{Version: signature.V4, Region: "local", Now: time.Now()}))
	resp, err = http.DefaultClient.Do(r)
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	require.Equal(t, http.StatusOK, resp.StatusCode, "a signed request is as good")
}

func TestHub_Refusals(t *testing.T) {
	t.Parallel()
	c, _ := start(t, Options{})
	raw := payload(0, 3)
	at := func(d time.Duration) signature.Options {
		return signature.Options{Version: signature.V4, Region: "local", Now: time.Now().Add(d)}
	}
	packed, ok := loggroup.NewCompressor(loggroup.Snappy).Append(nil, raw), at(0)
	edit := func(f func(r *http.Request)) *http.Request {
		r := c.put(raw)
		f(r)
		return r
	}
	without := func(name string) *http.Request { return edit(func(r *http.Request) { r.Header.Del(name) }) }
	replay := c.put(raw)
	replayed := replay.Clone(context.Background())
	replayed.Body = io.NopCloser(bytes.NewReader(packed))
	status, _ := c.do(replay)
	require.Equal(t, http.StatusOK, status)
	flipped := append(bytes.Clone(packed[:len(packed)-1]), packed[len(packed)-1]^1)
	cases := []struct {
		name   string
		r      *http.Request
		status int
		code   string
	}{
		{"replay", replayed, 401, "SignatureNonceUsed"},
		{"wrong secret", func() *http.Request {
			r := c.put(raw)
			require.NoError(t, signature.Sign(r, packed, signature.Credentials{KeyID: credentials.KeyID, Secret: "no"}, ok))
			return r
		}(), 401, "SignatureNotMatch"},
		{"unknown key", func() *http.Request {
			r := c.put(raw)
			require.NoError(t, signature.Sign(r, packed, signature.Credentials{KeyID: "nobody", Secret: "no"}, ok))
			return r
		}(), 401, "InvalidAccessKeyId"},
		{"flipped bit", edit(func(r *http.Request) { r.Body = io.NopCloser(bytes.NewReader(flipped)) }), 401, "SignatureNotMatch"},
		{"changed header", edit(func(r *http.Request) { r.Header.Set("x-log-project", "other") }), 401, "SignatureNotMatch"},
		{"not signed", without("Authorization"), 401, "Unauthorized"},
		{"clock ahead", c.request(packed, len(raw), "snappy", at(20*time.Minute)), 400, "RequestTimeTooSkewed"},
		{"clock behind", c.request(packed, len(raw), "snappy", at(-20*time.Minute)), 400, "RequestTimeExpired"},
		{"version 1", c.request(packed, len(raw), "snappy", signature.Options{Version: signature.V1, Now: time.Now()}), 401, "Unauthorized"},
		{"no api version", without("x-log-apiversion"), 400, "MissingAPIVersion"},
		{"bad api version", edit(func(r *http.Request) { r.Header.Set("x-log-apiversion", "9") }), 400, "InvalidAPIVersion"},
		{"no content type", without("Content-Type"), 400, "MissingContentType"},
		{"bad content type", edit(func(r *http.Request) { r.Header.Set("Content-Type", "text/plain") }), 415, "InvalidContentType"},
		{"no raw size", without("x-log-bodyrawsize"), 400, "MissingBodyRawSize"},
		{"bad raw size", c.request(packed, -1, "snappy", ok), 400, "InvalidBodyRawSize"},
		{"raw size too small", c.request(packed, len(raw)-1, "snappy", ok), 400, "PostBodyUncompressError"},
		{"raw size too large", c.request(packed, len(raw)+1, "snappy", ok), 400, "PostBodyUncompressError"},
		{"declared too large", c.request(packed, 11<<20, "snappy", ok), 400, "PostBodyTooLarge"},
		{"body too large", c.request(make([]byte, 10<<20+1), 10<<20+1, "", ok), 400, "PostBodyTooLarge"},
		{"bad compression", c.request(packed, len(raw), "brotli", ok), 400, "InvalidCompressType"},
		{"wrong compression", c.request(packed, len(raw), "zstd", ok), 400, "PostBodyUncompressError"},
		{"malformed", c.request([]byte("\xff\xff\xff"), 3, "", ok), 400, "PostBodyInvalid"},
		{"bad tags", c.request(bytes.Replace(raw, []byte("0-30"), []byte("0-19"), 1), len(raw), "", ok), 400, "PostBodyInvalid"},
		{"bad project", edit(func(r *http.Request) { r.Header.Set("x-log-project", "no good") }), 400, "ParameterInvalid"},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			status, code := c.do(tc.r)
			require.Equal(t, tc.code, code)
			require.Equal(t, tc.status, status)
		})
	}
	c.waitFor(3)
}

func TestHub_KeysAreBoundToProjects(t *testing.T) {
	t.Parallel()
	c, stop := start(t, Options{RefuseUnknownLogstores: true})
	status, code := c.do(c.put(payload(0, 1)))
	require.Equal(t, http.StatusNotFound, status)
	require.Equal(t, "LogStoreNotExist", code)
	stop()
}

func TestHub_VersionOneWhenAllowed(t *testing.T) {
	t.Parallel()
	c, _ := start(t, Options{AllowV1: true})
	raw := payload(0, 3)
	status, code := c.do(c.request(raw, len(raw), "", signature.Options{Version: signature.V1, Now: time.Now()}))
	require.Equal(t, http.StatusOK, status, code)
	c.waitFor(3)
}

func TestHub_ARestartKeepsRecords(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	c, stop := start(t, Options{DataDir: dir})
	c.mustPut(0, 10)
	stop()
	c, _ = start(t, Options{DataDir: dir})
	c.mustPut(0, 10)
	c.mustPut(5, 15)
	c.waitFor(15)
}

func TestHub_TailShowsNewRecords(t *testing.T) {
	t.Parallel()
	c, _ := start(t, Options{})
	_, _ = c.get("status", url.Values{})
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, c.base+"/api/v1/tail?project=proj", http.NoBody)
	require.NoError(t, err)
	resp, err := c.browser.Do(r)
	require.NoError(t, err)
	defer resp.Body.Close()
	require.Equal(t, "text/event-stream", resp.Header.Get("Content-Type"))
	c.mustPut(0, 3)
	var seen strings.Builder
	buf := make([]byte, 4096)
	for !strings.Contains(seen.String(), "line 0002") {
		n, err := resp.Body.Read(buf)
		require.NoError(t, err, seen.String())
		seen.Write(buf[:n])
	}
	require.Contains(t, seen.String(), "event: logs\ndata: [")
	require.Less(t, strings.Index(seen.String(), "line 0000"), strings.Index(seen.String(), "line 0002"))
}

func TestHub_GetLogs(t *testing.T) {
	t.Parallel()
	c, _ := start(t, Options{})
	c.mustPut(0, 10)
	c.waitFor(10)
	now := time.Now().Unix()
	call := func(method, path string, body []byte) (*http.Response, []byte) {
		r, err := http.NewRequest(method, c.base+path, bytes.NewReader(body))
		require.NoError(t, err)
		r.Header.Set("x-log-project", c.project)
		r.Header.Set("x-log-bodyrawsize", strconv.Itoa(len(body)))
		if len(body) > 0 {
			r.Header.Set("Content-Type", "application/json")
		}
		require.NoError(t, signature.Sign(r, body, credentials, signature.Options{Version: signature.V4, Region: "local", Now: time.Now()}))
		resp, err := http.DefaultClient.Do(r)
		require.NoError(t, err)
		defer resp.Body.Close()
		answer, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		require.NotEmpty(t, resp.Header.Get("x-log-requestid"))
		return resp, answer
	}
	span := fmt.Sprintf("&from=%d&to=%d", now-600, now+60)
	resp, body := call(http.MethodGet, "/logstores/web?type=log&line=4&reverse=true"+span, nil)
	require.Equal(t, http.StatusOK, resp.StatusCode, "%s", body)
	require.Equal(t, "Complete", resp.Header.Get("x-log-progress"))
	var logs []map[string]string
	require.NoError(t, json.Unmarshal(body, &logs))
	require.Len(t, logs, 4)
	require.Equal(t, "line 0009", logs[0]["content"])
	require.Equal(t, "10.0.0.1", logs[0]["__source__"])
	require.Equal(t, "/var/log/app.log", logs[0]["__tag__:__path__"])
	require.NotContains(t, logs[0], "_msg")

	resp, body = call(http.MethodGet, "/logstores/web?type=histogram"+span, nil)
	require.Equal(t, http.StatusOK, resp.StatusCode, "%s", body)
	require.Equal(t, "10", resp.Header.Get("x-log-count"))

	resp, body = call(http.MethodPost, "/logstores/web/logs", fmt.Appendf(nil, `{"from":%d,"to":%d,"query":"line","line":100}`, now-600, now+60))
	require.Equal(t, http.StatusOK, resp.StatusCode, "%s", body)
	var v3 struct {
		Meta struct {
			Progress string
			Count    int
		}
		Data []map[string]string
	}
	require.NoError(t, json.Unmarshal(body, &v3))
	require.Equal(t, 10, v3.Meta.Count)
	require.Equal(t, "line 0000", v3.Data[0]["content"])

	resp, _ = call(http.MethodGet, "/logstores/nowhere?type=log"+span, nil)
	require.Equal(t, http.StatusNotFound, resp.StatusCode)
}
