package e2e

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wasmtail/wasmtail/internal/loggroup"
	"github.com/wasmtail/wasmtail/internal/record"
	"github.com/wasmtail/wasmtail/internal/signature"
)

const (
	bodyMax = 10 << 20 // what the hub takes, as sent and inflated
	refused = "refused"
)

// logGroup is a batch of one line, of a sender that is no agent.
func logGroup(line string) []byte {
	b := record.Get(&record.Origin{Ledger: &record.Ledger{}})
	defer b.Release()
	b.Add([]byte(line))
	return loggroup.Append(nil, b, &loggroup.Header{})
}

// putLogs is one PutLogs request: what it says of itself, who signs it, and when.
type putLogs struct {
	body    []byte
	rawSize int
	codec   string
	key     signature.Credentials
	late    time.Duration
	version signature.Version
	// before changes the request before it is signed, after does afterwards.
	before, after func(r *http.Request)
}

// good is a request that the hub takes. Each is different from all others.
func good(line string) putLogs {
	raw := logGroup(line)
	return putLogs{
		body: loggroup.NewCompressor(loggroup.LZ4).Append(nil, raw), rawSize: len(raw), codec: "lz4",
		key: signature.Credentials{KeyID: keyID, Secret: keySecret}, version: signature.V4,
	}
}

func (p *putLogs) request(t *testing.T, h *hub) *http.Request {
	t.Helper()
	r, err := http.NewRequest(http.MethodPost, "http://"+h.addr+"/logstores/"+refused+"/shards/lb", bytes.NewReader(p.body))
	require.NoError(t, err)
	r.Header.Set("Content-Type", "application/x-protobuf")
	r.Header.Set("x-log-project", "test")
	r.Header.Set("x-log-bodyrawsize", strconv.Itoa(p.rawSize))
	if p.codec != "" {
		r.Header.Set("x-log-compresstype", p.codec)
	}
	if p.before != nil {
		p.before(r)
	}
	require.NoError(t, signature.Sign(r, p.body, p.key, signature.Options{Version: p.version, Region: "local", Now: time.Now().Add(p.late)}))
	if p.after != nil {
		p.after(r)
	}
	return r
}

// answer is what a Log Service client sees.
type answer struct {
	status int
	code   string
}

// read takes an answer apart, and requires what every answer has.
func read(t *testing.T, resp *http.Response) answer {
	t.Helper()
	body, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	require.NotEmpty(t, resp.Header.Get("x-log-requestid"))
	require.NotEmpty(t, resp.Header.Get("x-log-time"))
	if resp.StatusCode == http.StatusOK {
		require.Empty(t, body)
		return answer{resp.StatusCode, ""}
	}
	require.Equal(t, "application/json", resp.Header.Get("Content-Type"))
	var e struct{ ErrorCode, ErrorMessage string }
	require.NoError(t, json.Unmarshal(body, &e), "%s", body)
	require.NotEmpty(t, e.ErrorMessage)
	require.NotContains(t, string(body), keySecret)
	return answer{resp.StatusCode, e.ErrorCode}
}

func (p *putLogs) send(t *testing.T, h *hub) answer {
	t.Helper()
	resp, err := http.DefaultClient.Do(p.request(t, h))
	require.NoError(t, err)
	return read(t, resp)
}

func flipBit(b []byte) []byte {
	b = bytes.Clone(b)
	b[len(b)/2] ^= 0x10
	return b
}

// flipBodyBit changes what is sent after it was signed.
func flipBodyBit(r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	r.Body = io.NopCloser(bytes.NewReader(flipBit(body)))
	r.GetBody = nil
}

// unasked asks before the body is sent, which is too large to be sent in vain.
func unasked(r *http.Request) { r.Header.Set("Expect", "100-continue") }

func without(name string) func(*http.Request) {
	return func(r *http.Request) { r.Header.Del(name) }
}

func with(name, value string) func(*http.Request) {
	return func(r *http.Request) { r.Header.Set(name, value) }
}

// refusals are requests that the hub must not take, each one step from a good
// one.
var refusals = []struct {
	name string
	edit func(p *putLogs)
	want answer
}{
	{"unknown key", func(p *putLogs) { p.key.KeyID = "stranger" }, answer{401, "InvalidAccessKeyId"}},
	{"wrong secret", func(p *putLogs) { p.key.Secret += "x" }, answer{401, "SignatureNotMatch"}},
	{"not signed", func(p *putLogs) { p.after = without("Authorization") }, answer{401, "Unauthorized"}},
	{"a scheme nobody knows", func(p *putLogs) { p.after = with("Authorization", "Bearer x") }, answer{401, "Unauthorized"}},
	{"version 1", func(p *putLogs) { p.version = signature.V1 }, answer{401, "Unauthorized"}},
	{"one bit of the body", func(p *putLogs) { p.after = flipBodyBit }, answer{401, "SignatureNotMatch"}},
	{"one bit of the body and a hash for it", func(p *putLogs) {
		p.after = func(r *http.Request) {
			other := putLogs{body: flipBit(p.body), key: signature.Credentials{KeyID: "x", Secret: "x"}, version: signature.V4}
			flipBodyBit(r)
			forged, _ := http.NewRequest(http.MethodPost, r.URL.String(), http.NoBody)
			_ = signature.Sign(forged, other.body, other.key, signature.Options{Version: signature.V4, Region: "local", Now: time.Now()})
			r.Header.Set("x-log-content-sha256", forged.Header.Get("x-log-content-sha256"))
		}
	}, answer{401, "SignatureNotMatch"}},
	{"another logstore", func(p *putLogs) {
		p.after = func(r *http.Request) { r.URL.Path = "/logstores/other/shards/lb" }
	}, answer{401, "SignatureNotMatch"}},
	{"another project", func(p *putLogs) { p.after = with("x-log-project", "other") }, answer{401, "SignatureNotMatch"}},
	{"another host", func(p *putLogs) { p.after = func(r *http.Request) { r.Host = "hub.example.com" } }, answer{401, "SignatureNotMatch"}},
	{"clock ahead", func(p *putLogs) { p.late = 16 * time.Minute }, answer{400, "RequestTimeTooSkewed"}},
	{"clock behind", func(p *putLogs) { p.late = -16 * time.Minute }, answer{400, "RequestTimeExpired"}},
	{"body too large", func(p *putLogs) {
		p.body, p.rawSize, p.codec, p.before = make([]byte, bodyMax+1), bodyMax+1, "", unasked
	}, answer{400, "PostBodyTooLarge"}},
	{"declared too large", func(p *putLogs) { p.rawSize = bodyMax + 1 }, answer{400, "PostBodyTooLarge"}},
	{"declared one less", func(p *putLogs) { p.rawSize-- }, answer{400, "PostBodyUncompressError"}},
	{"declared one more", func(p *putLogs) { p.rawSize++ }, answer{400, "PostBodyUncompressError"}},
	{"declared another size than the body's", func(p *putLogs) { p.codec = "" }, answer{400, "InvalidBodyRawSize"}},
	{"a size that is no number", func(p *putLogs) { p.before = with("x-log-bodyrawsize", "many") }, answer{400, "InvalidBodyRawSize"}},
	{"no size", func(p *putLogs) { p.before = without("x-log-bodyrawsize") }, answer{400, "MissingBodyRawSize"}},
	{"more than it says", func(p *putLogs) { // inflates to 8 MiB
		p.body = loggroup.NewCompressor(loggroup.Zstd).Append(nil, make([]byte, 8<<20))
		p.codec, p.rawSize = "zstd", 100
	}, answer{400, "PostBodyUncompressError"}},
	{"unknown compression", func(p *putLogs) { p.codec = "brotli" }, answer{400, "InvalidCompressType"}},
	{"another compression", func(p *putLogs) { p.codec = "zstd" }, answer{400, "PostBodyUncompressError"}},
	{"malformed protobuf", func(p *putLogs) { p.body, p.rawSize, p.codec = []byte("\xff\xff\xff"), 3, "" }, answer{400, "PostBodyInvalid"}},
	{"cut protobuf", func(p *putLogs) {
		p.body = logGroup("a line")
		p.body = p.body[:len(p.body)-1]
		p.rawSize, p.codec = len(p.body), ""
	}, answer{400, "PostBodyInvalid"}},
	{"no version of the API", func(p *putLogs) { p.after = without("x-log-apiversion") }, answer{400, "MissingAPIVersion"}},
	{"no type", func(p *putLogs) { p.before = without("Content-Type") }, answer{400, "MissingContentType"}},
	{"another type", func(p *putLogs) { p.before = with("Content-Type", "application/json") }, answer{415, "InvalidContentType"}},
	{"no length", func(p *putLogs) {
		p.after = func(r *http.Request) { r.ContentLength = -1 }
	}, answer{411, "MissingContentLength"}},
	{"a project that cannot be", func(p *putLogs) { p.before = with("x-log-project", "../x") }, answer{400, "ParameterInvalid"}},
}

// TestTheHubRefusesEachInItsWay sends what must be refused to the built hub,
// and after each a good line: all of those are there in the end, and nothing
// else.
func TestTheHubRefusesEachInItsWay(t *testing.T) {
	t.Parallel()
	h := startHub(t)
	var taken []string
	accept := func(t *testing.T, line string) {
		t.Helper()
		p := good(line)
		require.Equal(t, answer{200, ""}, p.send(t, h))
		taken = append(taken, line)
	}
	accept(t, "the first")
	for _, tc := range refusals {
		t.Run(tc.name, func(t *testing.T) {
			p := good("refused: " + tc.name)
			tc.edit(&p)
			require.Equal(t, tc.want, p.send(t, h))
			accept(t, "after "+tc.name)
		})
	}
	t.Run("replay", func(t *testing.T) {
		p := good("once")
		first := p.request(t, h)
		taken = append(taken, "once")
		for _, want := range []answer{{200, ""}, {401, "SignatureNonceUsed"}, {401, "SignatureNonceUsed"}} {
			again := first.Clone(t.Context())
			again.Body = io.NopCloser(bytes.NewReader(p.body))
			resp, err := http.DefaultClient.Do(again)
			require.NoError(t, err)
			require.Equal(t, want, read(t, resp))
		}
		accept(t, "after replay")
	})
	t.Run("cut body", func(t *testing.T) {
		p := good("refused: cut body")
		require.Equal(t, answer{400, "PostBodyInvalid"}, p.sendPart(t, h))
		accept(t, "after cut body")
	})
	h.eventually("the good lines are stored", func() bool { return len(h.records(t, refused)) >= len(taken) })
	var stored []string
	for _, r := range h.records(t, refused) {
		stored = append(stored, r["_msg"])
	}
	require.ElementsMatch(t, taken, stored)
	body, err := h.get("/api/v1/logstores", url.Values{})
	require.NoError(t, err)
	require.NotContains(t, string(body), `"other"`, "a refused request made a log store")
	h.stop()
}

// sendPart sends a request without the last byte of its body, and ends.
func (p *putLogs) sendPart(t *testing.T, h *hub) answer {
	t.Helper()
	var wire bytes.Buffer
	require.NoError(t, p.request(t, h).Write(&wire))
	conn, err := net.Dial("tcp", h.addr)
	require.NoError(t, err)
	defer func() { _ = conn.Close() }()
	require.NoError(t, conn.SetDeadline(time.Now().Add(patience)))
	_, err = conn.Write(wire.Bytes()[:wire.Len()-1])
	require.NoError(t, err)
	require.NoError(t, conn.(*net.TCPConn).CloseWrite())
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	require.NoError(t, err)
	return read(t, resp)
}

// TestTheHubsErrorsAreCounted looks at the outcomes that a scrape sees.
func TestTheHubsErrorsAreCounted(t *testing.T) {
	t.Parallel()
	h := startHub(t)
	p := good("a line")
	require.Equal(t, answer{200, ""}, p.send(t, h))
	p.key.Secret = "wrong"
	require.Equal(t, answer{401, "SignatureNotMatch"}, p.send(t, h))
	resp, err := http.Get("http://" + h.addr + "/metrics")
	require.NoError(t, err)
	text, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	for _, want := range []string{`{outcome="success"} 1`, `{outcome="refused"} 1`, `{outcome="busy"} 0`} {
		require.Contains(t, strings.Split(string(text), "\n"), "wasmtail_hub_receive_requests_total"+want)
	}
}

// TestAQueryThatNeedsTooMuchMemoryIsRefused, and the hub goes on.
func TestAQueryThatNeedsTooMuchMemoryIsRefused(t *testing.T) {
	t.Parallel()
	h := startHub(t, "--memory", "16MiB")
	w := newWriter(t)
	a := newAgent(t, h, pipelineYAML(w.path, "store"))
	w.write(120_000)
	a.start(t)
	count := func(pipe string) (string, error) {
		body, err := h.get("/api/v1/query", url.Values{
			"logstore": {"store"}, "project": {"test"}, "query": {"* | " + pipe},
			"start": {time.Now().Add(-24 * time.Hour).Format(time.RFC3339)}, "end": {time.Now().Add(time.Hour).Format(time.RFC3339)},
		})
		return string(body), err
	}
	a.eventually("all lines are there", func() bool {
		body, err := count("stats count() n")
		return err == nil && strings.Contains(body, `"120000"`)
	})
	body, err := count("stats count_uniq(_msg) n")
	require.Contains(t, fmt.Sprint(body, err), "memory")
	_, err = count("stats count() n")
	require.NoError(t, err)
	a.stop()
	h.stop()
}
