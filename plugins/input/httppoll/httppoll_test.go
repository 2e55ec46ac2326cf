package httppoll

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wasmtail/wasmtail/agent/intake"
	"github.com/wasmtail/wasmtail/agent/pipeline"
	"github.com/wasmtail/wasmtail/internal/config"
)

// poll asks handler until it has made n records, and returns them.
func poll(t *testing.T, n int, handler http.Handler, edit func(*Config)) []map[string]string {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	return pollURL(t, n, server.URL+"/health?x=1", edit)
}

func pollURL(t *testing.T, n int, url string, edit func(*Config)) (records []map[string]string) {
	t.Helper()
	var c Config
	config.Defaults(&c)
	c.URLs, c.Interval = []string{url}, 100*time.Millisecond
	if edit != nil {
		edit(&c)
	}
	c.Validate(func(key, problem string) { t.Errorf("%s %s", key, problem) })
	in, err := New(c, Env{Pipeline: "p", Version: "test", BatchBytes: 1 << 20})
	require.NoError(t, err)
	var mu sync.Mutex
	ctx, cancel := context.WithCancelCause(context.Background())
	defer cancel(nil)
	err = in.Run(ctx, func(_ context.Context, d pipeline.Delivery) error {
		mu.Lock()
		defer mu.Unlock()
		for i := range d.Batch.Records {
			fields := map[string]string{}
			for _, f := range d.Batch.Records[i].Fields {
				fields[string(f.Name)] = string(f.Value)
			}
			require.NotZero(t, d.Batch.Records[i].Time)
			records = append(records, fields)
		}
		d.Batch.Release()
		d.Done(nil)
		if len(records) == n {
			cancel(errors.New("enough"))
		}
		return nil
	})
	require.ErrorContains(t, err, "enough")
	require.Len(t, in.Streams(), 1)
	return records
}

func TestAnswersAreRecords(t *testing.T) {
	got := poll(t, 2, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		user, password, _ := r.BasicAuth()
		_, _ = io.WriteString(w, r.Method+" "+r.URL.String()+" "+r.Header.Get("X-Y")+" "+user+password+" up")
	}), func(c *Config) {
		c.Match, c.Headers, c.User, c.Password = `\bup$`, map[string]config.Secret{"X-Y": "z"}, "u", "p"
	})[1]
	require.Equal(t, "GET /health?x=1 z up up", got["content"])
	require.Equal(t, "200", got["status"])
	require.Equal(t, "true", got["match"])
	require.Equal(t, "GET", got["method"])
	require.True(t, strings.HasSuffix(got["url"], "/health?x=1"))
	require.Equal(t, strconv.Itoa(len(got["content"])), got["body_bytes"])
	took, err := strconv.ParseFloat(got["took_ms"], 64)
	require.NoError(t, err)
	require.Positive(t, took)
}

func TestWhatIsNoSuccessIsARecordToo(t *testing.T) {
	got := poll(t, 1, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, "broken", http.StatusInternalServerError)
	}), func(c *Config) { c.Match = "fine" })[0]
	require.Equal(t, "500", got["status"])
	require.Equal(t, "broken\n", got["content"])
	require.Equal(t, "false", got["match"])

	got = poll(t, 1, http.RedirectHandler("/elsewhere", http.StatusFound), nil)[0]
	require.Equal(t, "302", got["status"], "a redirect is an answer")

	got = pollURL(t, 1, "http://127.0.0.1:1/", nil)[0]
	require.Contains(t, got["error"], "refused")
	require.NotContains(t, got, "status")
}

func TestASlowAnswerEndsWithTheTimeout(t *testing.T) {
	release := make(chan struct{})
	got := poll(t, 3, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-release:
		case <-r.Context().Done():
		}
	}), func(c *Config) { c.Timeout = 150 * time.Millisecond })
	close(release)
	for _, r := range got {
		require.NotEmpty(t, r["error"])
	}
}

func TestAHugeBodyIsCut(t *testing.T) {
	var sent atomic.Int64
	got := poll(t, 1, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		piece := []byte(strings.Repeat("x", 1<<20))
		for range 100 {
			n, err := w.Write(piece)
			if sent.Add(int64(n)); err != nil {
				return
			}
		}
	}), func(c *Config) { c.MaxBody = 1000 })[0]
	require.Equal(t, strings.Repeat("x", 1000), got["content"])
	require.Equal(t, "true", got["body_cut"])
	require.Less(t, sent.Load(), int64(50<<20), "it was read to its end")
}

func TestCertificatesAreVerified(t *testing.T) {
	server := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer server.Close()
	require.Contains(t, pollURL(t, 1, server.URL, nil)[0]["error"], "certificate")
	require.Equal(t, "200", pollURL(t, 1, server.URL, func(c *Config) { c.TLS.InsecureSkipVerify = true })[0]["status"])
}

func TestConfig_Faults(t *testing.T) {
	for want, edit := range map[string]func(*Config){
		"urls":         func(c *Config) { c.URLs = nil },
		"urls[0]":      func(c *Config) { c.URLs = []string{"host:80"} },
		"urls[1]":      func(c *Config) { c.URLs = append(c.URLs, c.URLs[0]) },
		"interval":     func(c *Config) { c.Interval = 0 },
		"timeout":      func(c *Config) { c.Timeout = 0 },
		"max_body":     func(c *Config) { c.MaxBody = 0 },
		"match":        func(c *Config) { c.Match = "(" },
		"request_body": func(c *Config) { c.RequestBody = "x" },
		"user":         func(c *Config) { c.User = "u" },
		"tls.key_file": func(c *Config) { c.TLS.CertFile = "/x" },
	} {
		var c Config
		config.Defaults(&c)
		c.URLs = []string{"http://h/"}
		edit(&c)
		var got []string
		c.Validate(func(key, _ string) { got = append(got, key) })
		require.Equal(t, []string{want}, got)
	}
}

// FuzzAdd: whatever an answer is, its record says it, and no field is lost.
func FuzzAdd(f *testing.F) {
	f.Add(200, []byte("up"), false, "")
	f.Add(500, []byte("\xff\x00"), true, "")
	f.Add(0, []byte{}, false, "refused")
	var c Config
	config.Defaults(&c)
	c.URLs, c.Match = []string{"http://h/"}, "up|\\xff"
	in, err := New(c, Env{Pipeline: "p"})
	require.NoError(f, err)
	got := map[string]string{}
	stream, err := intake.Open(intake.Config{Pipeline: "p", Name: "x", BatchBytes: 1 << 20, Emit: func(_ context.Context, d pipeline.Delivery) error {
		clear(got)
		for _, field := range d.Batch.Records[0].Fields {
			got[string(field.Name)] = string(field.Value)
		}
		d.Batch.Release()
		d.Done(nil)
		return nil
	}})
	require.NoError(f, err)
	f.Fuzz(func(t *testing.T, status int, body []byte, more bool, failure string) {
		a := answer{status: status, body: body, more: more}
		if failure != "" {
			a = answer{err: errors.New(failure)}
		}
		b := stream.Batcher(0)
		in.polled[0].add(b, &a)
		require.NoError(t, b.Flush(t.Context(), nil, nil))
		if failure != "" {
			require.Equal(t, failure, got["error"])
			return
		}
		require.Equal(t, string(body), got["content"])
		require.Equal(t, strconv.Itoa(status), got["status"])
		require.Equal(t, more, got["body_cut"] == "true")
		require.Contains(t, got, "match")
	})
}
