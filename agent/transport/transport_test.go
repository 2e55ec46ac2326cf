package transport_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wasmtail/wasmtail/agent/transport"
	"github.com/wasmtail/wasmtail/internal/signature"
)

func client(t testing.TB, c transport.Config) *transport.Client {
	t.Helper()
	cl, err := transport.New(c)
	require.NoError(t, err)
	t.Cleanup(cl.Close)
	return cl
}

func serve(t testing.TB, h http.HandlerFunc) *httptest.Server {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s
}

// post sends a small request and returns the failure.
func post(t testing.TB, c *transport.Client) *transport.Failure {
	t.Helper()
	_, err := c.Post(context.Background(), transport.Request{Path: "/x", Body: []byte("body")})
	var f *transport.Failure
	require.ErrorAs(t, err, &f)
	return f
}

func TestPostSignsAndSends(t *testing.T) {
	v := &signature.Verifier{Secret: func(string) (string, bool) { return "s", true }}
	body := bytes.Repeat([]byte("0123456789abcdef"), 20_000)
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		got, _ := io.ReadAll(r.Body)
		if _, err := v.Verify(r, got); err != nil || !bytes.Equal(got, body) {
			http.Error(w, fmt.Sprint(err), http.StatusBadRequest)
			return
		}
		if r.URL.EscapedPath() != "/logstores/a%2Fb/shards/lb" || r.Header.Get("User-Agent") != "ua" || r.Header.Get("traceparent") != "tp" {
			http.Error(w, r.URL.String(), http.StatusBadRequest)
			return
		}
		w.Header().Set("x-log-requestid", "1")
		_, _ = io.WriteString(w, "fine")
	})
	c := client(t, transport.Config{Endpoint: s.URL, UserAgent: "ua"})
	for range 3 {
		resp, err := c.Post(context.Background(), transport.Request{
			Path: "/logstores/a%2Fb/shards/lb", RawQuery: "key=1", Body: body,
			Header:      http.Header{"X-Log-Bodyrawsize": {"1"}},
			Credentials: signature.Credentials{KeyID: "k", Secret: "s"},
			Signature:   signature.Options{Version: signature.V4, Region: "r"},
			Unsigned:    http.Header{"Traceparent": {"tp"}},
		})
		require.NoError(t, err)
		require.Equal(t, 200, resp.Status)
		require.Equal(t, "fine", string(resp.Body))
		require.Equal(t, "1", resp.Header.Get("x-log-requestid"))
	}
}

func TestConnectionsAreKept(t *testing.T) {
	var connections atomic.Int32
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	s.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			connections.Add(1)
		}
	}
	s.Start()
	defer s.Close()
	c := client(t, transport.Config{Endpoint: s.URL})
	for range 20 {
		_, err := c.Post(context.Background(), transport.Request{Path: "/", Body: []byte("x")})
		require.NoError(t, err)
	}
	require.EqualValues(t, 1, connections.Load())
}

func TestClasses(t *testing.T) {
	type answer struct {
		status int
		code   string
	}
	for want, answers := range map[transport.Class][]answer{
		transport.Retry: {
			{500, "InternalServerError"},
			{502, "ServerBusy"},
			{503, "ServerBusy"},
			{504, ""},
			{503, ""},
			{408, ""},
			{400, "ShardNotExist"},
			{400, "LogStoreWithoutShard"},
			{401, "SignatureNonceUsed"},
		},
		transport.Quota:    {{403, "WriteQuotaExceed"}, {403, "ShardWriteQuotaExceed"}, {403, "ReadQuotaExceed"}, {429, ""}},
		transport.Auth:     {{401, "Unauthorized"}, {401, "InvalidAccessKeyId"}, {401, "SignatureNotMatch"}, {401, "SecurityTokenExpired"}, {403, ""}, {407, ""}},
		transport.Clock:    {{400, "RequestTimeTooSkewed"}, {400, "RequestTimeExpired"}, {400, "InvalidRequestTime"}},
		transport.TooLarge: {{400, "PostBodyTooLarge"}, {413, ""}},
		transport.BadData: {
			{400, "PostBodyInvalid"}, {400, "InvalidTimestamp"}, {400, "InvalidKey"}, {400, "InvalidEncoding"}, {400, "ParameterInvalid"},
		},
		transport.Rejected: {
			{400, "PostBodyUncompressError"}, {400, "InvalidCompressType"}, {400, "InvalidBodyRawSize"}, {400, "InvalidSequenceId"},
		},
		transport.Misconfigured: {
			{404, "LogStoreNotExist"},
			{404, "logstorenotexist"},
			{404, "ProjectNotExist"},
			{404, ""},
			{403, "ProjectForbidden"},
			{403, "ProjectQuotaExceed"},
			{400, "MissingContentType"},
			{400, "MissingBodyRawSize"},
			{400, "MissingHost"},
			{400, "MissingDate"},
			{400, "InvalidDateFormat"},
			{400, "MissingAPIVersion"},
			{400, "InvalidAPIVersion"},
			{400, "MissAccessKeyId"},
			{400, "MissingSignatureMethod"},
			{400, "InvalidSignatureMethod"},
			{411, "MissingContentLength"},
			{415, "InvalidContentType"},
			{400, ""},
			{400, "NeverHeardOf"},
			{301, ""},
			{302, ""},
			{307, ""},
			{405, ""},
		},
	} {
		for _, a := range answers {
			t.Run(fmt.Sprintf("%s %d %s", want, a.status, a.code), func(t *testing.T) {
				s := serve(t, func(w http.ResponseWriter, _ *http.Request) {
					w.Header().Set("x-log-requestid", "R1")
					w.Header().Set("x-log-time", "1767323045")
					w.Header().Set("Location", "http://127.0.0.1:1/elsewhere")
					w.WriteHeader(a.status)
					if a.code != "" {
						fmt.Fprintf(w, `{"errorCode":%q,"errorMessage":"for a reason\u001b[31m"}`, a.code)
					}
				})
				f := post(t, client(t, transport.Config{Endpoint: s.URL}))
				require.Equal(t, want, f.Class)
				require.Equal(t, a.status, f.Status)
				require.Equal(t, a.code, f.Code)
				require.Equal(t, "R1", f.RequestID)
				require.EqualValues(t, 1767323045, f.ServerTime.Unix())
				require.NotContains(t, f.Error(), "\x1b")
				require.Contains(t, f.Error(), fmt.Sprint(a.status))
			})
		}
	}
}

func TestRetryAfter(t *testing.T) {
	for header, want := range map[string]time.Duration{
		"7": 7 * time.Second, "": 0, "-3": 0, "soon": 0, "99999999999": 10 * time.Minute,
		"Mon, 02 Jan 2006 15:04:05 GMT": 0,
	} {
		s := serve(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Retry-After", header)
			w.WriteHeader(503)
		})
		require.Equal(t, want, post(t, client(t, transport.Config{Endpoint: s.URL})).RetryAfter, header)
	}
	s := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", time.Now().Add(90*time.Second).UTC().Format(http.TimeFormat))
		w.WriteHeader(503)
	})
	require.InDelta(t, 88, post(t, client(t, transport.Config{Endpoint: s.URL})).RetryAfter.Seconds(), 5)
}

func TestServerTimeOfDate(t *testing.T) {
	h := http.Header{"Date": {"Fri, 02 Jan 2026 03:04:05 GMT"}}
	require.EqualValues(t, 1767323045, transport.ServerTime(h).Unix())
	h.Set("x-log-time", "1767323046")
	require.EqualValues(t, 1767323046, transport.ServerTime(h).Unix())
	h.Set("x-log-time", "no")
	h.Set("Date", "no")
	require.True(t, transport.ServerTime(h).IsZero())
}

func TestRedirectsAreNotFollowed(t *testing.T) {
	var followed atomic.Bool
	target := serve(t, func(http.ResponseWriter, *http.Request) { followed.Store(true) })
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, target.URL, http.StatusTemporaryRedirect)
	})
	f := post(t, client(t, transport.Config{Endpoint: s.URL}))
	require.Equal(t, 307, f.Status)
	require.False(t, followed.Load())
}

func TestResetMidway(t *testing.T) {
	s := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "1000")
		_, _ = io.WriteString(w, "half")
		_ = http.NewResponseController(w).Flush()
		conn, _, err := http.NewResponseController(w).Hijack()
		if err == nil {
			_ = conn.(*net.TCPConn).SetLinger(0)
			_ = conn.Close()
		}
	})
	f := post(t, client(t, transport.Config{Endpoint: s.URL}))
	require.Equal(t, transport.Retry, f.Class)
	require.Zero(t, f.Status)
	require.Error(t, f.Err)
}

func TestNobodyListens(t *testing.T) {
	s := serve(t, func(http.ResponseWriter, *http.Request) {})
	s.Close()
	require.Equal(t, transport.Retry, post(t, client(t, transport.Config{Endpoint: s.URL})).Class)
}

func TestStallEndsWithTheTimeout(t *testing.T) {
	stop := make(chan struct{})
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		_ = http.NewResponseController(w).Flush()
		<-stop
	})
	defer close(stop)
	f := post(t, client(t, transport.Config{Endpoint: s.URL, Timeout: 50 * time.Millisecond}))
	require.Equal(t, transport.Retry, f.Class)
	require.ErrorIs(t, f, context.DeadlineExceeded)
}

func TestCallerCanStop(t *testing.T) {
	arrived, stop := make(chan struct{}), make(chan struct{})
	s := serve(t, func(http.ResponseWriter, *http.Request) {
		close(arrived)
		<-stop
	})
	defer close(stop)
	ctx, cancel := context.WithCancelCause(context.Background())
	reason := errors.New("the agent stops")
	go func() {
		<-arrived
		cancel(reason)
	}()
	_, err := client(t, transport.Config{Endpoint: s.URL}).Post(ctx, transport.Request{Path: "/"})
	require.ErrorIs(t, err, reason)
}

func TestLongAnswersAreCut(t *testing.T) {
	s := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		for range 1000 {
			if _, err := w.Write(make([]byte, 1000)); err != nil {
				return
			}
		}
	})
	resp, err := client(t, transport.Config{Endpoint: s.URL}).Post(context.Background(), transport.Request{Path: "/"})
	require.NoError(t, err)
	require.Len(t, resp.Body, 64<<10)
}

func TestHostTakesTheEndpointsPlace(t *testing.T) {
	s := serve(t, func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, r.Host) })
	c := client(t, transport.Config{Endpoint: "http://192.0.2.1:1"})
	host := strings.TrimPrefix(s.URL, "http://")
	resp, err := c.Post(context.Background(), transport.Request{Path: "/", Host: host})
	require.NoError(t, err)
	require.Equal(t, host, string(resp.Body))
}

func tlsServer(t *testing.T, edit func(*tls.Config)) (url string, ca transport.TLS) {
	t.Helper()
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.TLS = new(tls.Config)
	if edit != nil {
		edit(s.TLS)
	}
	s.StartTLS()
	t.Cleanup(s.Close)
	file := filepath.Join(t.TempDir(), "ca.pem")
	block := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})
	require.NoError(t, os.WriteFile(file, block, 0o600))
	return s.URL, transport.TLS{CAFile: file}
}

func TestTLS(t *testing.T) {
	url, ca := tlsServer(t, nil)
	_, err := client(t, transport.Config{Endpoint: url, TLS: ca}).Post(context.Background(), transport.Request{Path: "/"})
	require.NoError(t, err)
	_, err = client(t, transport.Config{Endpoint: url, TLS: transport.TLS{InsecureSkipVerify: true}}).Post(context.Background(), transport.Request{Path: "/"})
	require.NoError(t, err)

	for _, other := range []transport.TLS{{}, {CAFile: otherCA(t)}} { // {}: the system's authorities
		f := post(t, client(t, transport.Config{Endpoint: url, TLS: other}))
		require.Equal(t, transport.Misconfigured, f.Class)
		var unknown x509.UnknownAuthorityError
		require.ErrorAs(t, f, &unknown)
	}
}

// otherCA returns the file of an authority that has signed nothing.
func otherCA(t *testing.T) string {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), IsCA: true, BasicConstraintsValid: true, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	require.NoError(t, err)
	file := filepath.Join(t.TempDir(), "other.pem")
	require.NoError(t, os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600))
	return file
}

func TestTLSOlderThan12IsRefused(t *testing.T) {
	url, ca := tlsServer(t, func(c *tls.Config) {
		c.MinVersion, c.MaxVersion = tls.VersionTLS10, tls.VersionTLS11
	})
	f := post(t, client(t, transport.Config{Endpoint: url, TLS: ca}))
	require.Zero(t, f.Status)
	require.ErrorContains(t, f, "protocol version")
}

func TestTLSFilesAreChecked(t *testing.T) {
	empty := filepath.Join(t.TempDir(), "empty.pem")
	require.NoError(t, os.WriteFile(empty, nil, 0o600))
	for _, c := range []transport.TLS{
		{CAFile: "/does/not/exist"},
		{CAFile: empty},
		{CertFile: empty, KeyFile: empty},
	} {
		_, err := transport.New(transport.Config{Endpoint: "https://h", TLS: c})
		require.Error(t, err)
	}
	var problems []string
	report := func(key, _ string) { problems = append(problems, key) }
	(&transport.TLS{CertFile: "a"}).Validate(report)
	(&transport.TLS{KeyFile: "a"}).Validate(report)
	(&transport.TLS{CAFile: "a", InsecureSkipVerify: true}).Validate(report)
	(&transport.TLS{CAFile: "a"}).Validate(report)
	require.Equal(t, []string{"key_file", "cert_file", "insecure_skip_verify"}, problems)
}

func TestEndpoints(t *testing.T) {
	for s, want := range map[string]string{
		"example.com": "https://example.com", "http://127.0.0.1:7070": "http://127.0.0.1:7070",
		"https://h/": "https://h", "127.0.0.1:7070": "https://127.0.0.1:7070", "http://[::1]:80": "http://[::1]:80",
	} {
		u, err := transport.ParseEndpoint(s)
		require.NoError(t, err)
		require.Equal(t, want, u.String())
	}
	for _, s := range []string{"", "ftp://h", "https://", "https://h/path", "https://u:p@h", "https://h?x=1", "http://h:port"} {
		_, err := transport.ParseEndpoint(s)
		require.Error(t, err, s)
	}
}

func TestBadPath(t *testing.T) {
	c := client(t, transport.Config{Endpoint: "http://127.0.0.1:1"})
	for _, path := range []string{"", "x", "/%zz"} {
		_, err := c.Post(context.Background(), transport.Request{Path: path})
		var f *transport.Failure
		require.ErrorAs(t, err, &f)
		require.Equal(t, transport.Misconfigured, f.Class)
	}
}

func BenchmarkPost(b *testing.B) {
	s := serve(b, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("x-log-requestid", "1")
	})
	c := client(b, transport.Config{Endpoint: s.URL})
	body := make([]byte, 128<<10)
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		_, err := c.Post(context.Background(), transport.Request{
			Path: "/logstores/a/shards/lb", Body: body,
			Credentials: signature.Credentials{KeyID: "k", Secret: "s"},
			Signature:   signature.Options{Version: signature.V4, Region: "r"},
		})
		if err != nil {
			b.Fatal(err)
		}
	}
}
