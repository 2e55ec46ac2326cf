package httpin

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/golang/snappy"
	"github.com/klauspost/compress/zstd"
	"github.com/sirupsen/logrus"
	"github.com/stretchr/testify/require"
	collector "go.opentelemetry.io/proto/otlp/collector/logs/v1"
	common "go.opentelemetry.io/proto/otlp/common/v1"
	logs "go.opentelemetry.io/proto/otlp/logs/v1"
	resource "go.opentelemetry.io/proto/otlp/resource/v1"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/wasmtail/wasmtail/agent/pipeline"
	"github.com/wasmtail/wasmtail/internal/config"
	"github.com/wasmtail/wasmtail/internal/loggroup"
	"github.com/wasmtail/wasmtail/internal/signature"
)

// session is a running input, and the pipeline behind it.
type session struct {
	t   *testing.T
	in  *Input
	url string

	mu      sync.Mutex
	full    bool  // the pipeline takes nothing
	hold    bool  // it takes, and does not deliver
	outcome error // of deliveries
	records []string
	times   []int64
}

func (s *session) emit(ctx context.Context, d pipeline.Delivery) error {
	s.mu.Lock()
	full := s.full
	s.mu.Unlock()
	if full {
		<-ctx.Done()
		return context.Cause(ctx)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range d.Batch.Records {
		r := &d.Batch.Records[i]
		var fields []string
		for _, f := range r.Fields {
			fields = append(fields, string(f.Name)+"="+string(f.Value))
		}
		s.records = append(s.records, strings.Join(fields, "|"))
		s.times = append(s.times, r.Time)
	}
	d.Batch.Release()
	if !s.hold {
		d.Done(s.outcome)
	}
	return nil
}

func (s *session) set(change func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change()
}

func (s *session) take() (records []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	records, s.records = s.records, nil
	return records
}

func listen(t *testing.T, edit func(*Config)) *session {
	t.Helper()
	var c Config
	config.Defaults(&c)
	c.Listen = "127.0.0.1:0"
	if edit != nil {
		edit(&c)
	}
	c.Validate(func(key, problem string) { t.Errorf("%s %s", key, problem) })
	in, err := New(c, Env{Pipeline: "p", BatchBytes: 1 << 10, Log: logrus.New()})
	require.NoError(t, err)
	s := &session{t: t, in: in}
	ctx, cancel := context.WithCancelCause(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- in.Run(ctx, s.emit) }()
	t.Cleanup(func() {
		cancel(errors.New("the test is over"))
		require.ErrorContains(t, <-ended, "the test is over")
	})
	require.Eventually(t, in.Ready, 10*time.Second, time.Millisecond)
	s.url = "http://" + in.Address()
	return s
}

// post sends a body, and returns status and text of the answer.
func (s *session) post(path, body string, headers ...string) (int, string) {
	s.t.Helper()
	req, err := http.NewRequest(http.MethodPost, s.url+path, strings.NewReader(body))
	require.NoError(s.t, err)
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	return s.do(req)
}

func (s *session) do(req *http.Request) (int, string) {
	s.t.Helper()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true, DisableCompression: true}}
	resp, err := client.Do(req)
	require.NoError(s.t, err)
	text, err := io.ReadAll(resp.Body)
	require.NoError(s.t, err)
	require.NoError(s.t, resp.Body.Close())
	return resp.StatusCode, string(text)
}

func TestJSON_LinesArrayAndOneObject(t *testing.T) {
	s := listen(t, nil)
	for name, c := range map[string]struct {
		body string
		want []string
	}{
		"lines":           {"{\"a\":1,\"b\":\"x\\ny\"}\n\n{\"a\":null,\"c\":{\"d\":[1,2]}}", []string{"a=1|b=x\ny", `c={"d":[1,2]}`}},
		"an array":        {`[{"a":"1"},{"a":true}]`, []string{"a=1", "a=true"}},
		"one over lines":  {"{\n  \"a\": 1,\n  \"b\": 2\n}\n", []string{"a=1|b=2"}},
		"nothing":         {" \n", nil},
		"an empty object": {"{}", []string{"content={}"}},
	} {
		t.Run(name, func(t *testing.T) {
			status, text := s.post("/", c.body)
			require.Equal(t, 200, status, text)
			require.Equal(t, fmt.Sprintf("{\"records\":%d}\n", len(c.want)), text)
			require.Equal(t, c.want, s.take())
		})
	}
	for name, body := range map[string]string{
		"no JSON": "{\"a\":1}\n{\"a\":\n", "no object": "{\"a\":1}\n7\n", "an item": `[{"a":1},2]`, "half an array": `[{"a":1}`,
	} {
		t.Run(name, func(t *testing.T) {
			status, text := s.post("/v1/jsonl", body)
			require.Equal(t, 400, status)
			require.NotEmpty(t, text)
			require.Empty(t, s.take(), "a part of it was taken")
		})
	}
	require.EqualValues(t, 4, s.in.Streams()[0].Dropped)
}

func TestJSON_Times(t *testing.T) {
	s := listen(t, nil)
	want := time.Date(2026, 3, 12, 8, 15, 2, 500_000_000, time.UTC).UnixNano()
	for _, body := range []string{
		`{"time":"2026-03-12T08:15:02.5Z"}`, `{"@timestamp":"2026-03-12T10:15:02.500+02:00","time":"2001-01-01"}`, `{"ts":1773303302.5}`, `{"timestamp":1773303302500}`, `{"time":"1773303302500"}`,
	} {
		status, text := s.post("/", body)
		require.Equal(t, 200, status, text)
		require.Equal(t, want, s.times[len(s.times)-1], body)
	}
	_, _ = s.post("/", `{"time":"noon"}`)
	require.Zero(t, s.times[len(s.times)-1])
}

func TestText_Lines(t *testing.T) {
	s := listen(t, nil)
	status, _ := s.post("/v1/text", "one\r\ntwo\n\nfour")
	require.Equal(t, 200, status)
	require.Equal(t, []string{"content=one", "content=two", "content=", "content=four"}, s.take())
}

func TestEncodings(t *testing.T) {
	s := listen(t, func(c *Config) { c.MaxBody = 64 * config.KiB })
	pack := map[string]func(string) string{
		"gzip": func(text string) string {
			var b bytes.Buffer
			z := gzip.NewWriter(&b)
			_, _ = z.Write([]byte(text))
			_ = z.Close()
			return b.String()
		},
		"zstd": func(text string) string {
			z, _ := zstd.NewWriter(nil)
			return string(z.EncodeAll([]byte(text), nil))
		},
		"snappy": func(text string) string { return string(snappy.Encode(nil, []byte(text))) },
	}
	for encoding, compress := range pack {
		status, text := s.post("/v1/text", compress("one\ntwo"), "Content-Encoding", encoding)
		require.Equal(t, 200, status, text)
		require.Equal(t, []string{"content=one", "content=two"}, s.take())
		bomb := compress(strings.Repeat("a", 1<<20))
		require.Less(t, len(bomb), 60<<10)
		status, _ = s.post("/v1/text", bomb, "Content-Encoding", encoding)
		require.Equal(t, 413, status, encoding)
		status, _ = s.post("/v1/text", "damaged", "Content-Encoding", encoding)
		require.Equal(t, 400, status, encoding)
		half := compress(strings.Repeat("abcdefghij", 100))
		status, _ = s.post("/v1/text", half[:len(half)-5], "Content-Encoding", encoding)
		require.Equal(t, 400, status, "%s that was cut off", encoding)
	}
	status, _ := s.post("/v1/text", "x", "Content-Encoding", "br")
	require.Equal(t, 415, status)
	status, _ = s.post("/v1/text", strings.Repeat("a", 65<<10))
	require.Equal(t, 413, status)
	require.Empty(t, s.take())
	require.True(t, s.in.memory.TryAcquire(int64(s.in.c.MaxMemory)), "memory is given back")
	s.in.memory.Release(int64(s.in.c.MaxMemory))
}

// lokiPush makes a push request of one stream.
func lokiPush(labels string, lines ...string) []byte {
	var stream []byte
	stream = protowire.AppendBytes(protowire.AppendTag(stream, 1, protowire.BytesType), []byte(labels))
	for i, line := range lines {
		var at, entry, meta []byte
		at = protowire.AppendVarint(protowire.AppendTag(at, 1, protowire.VarintType), 1773303302)
		at = protowire.AppendVarint(protowire.AppendTag(at, 2, protowire.VarintType), uint64(i))
		entry = protowire.AppendBytes(protowire.AppendTag(entry, 1, protowire.BytesType), at)
		entry = protowire.AppendBytes(protowire.AppendTag(entry, 2, protowire.BytesType), []byte(line))
		meta = protowire.AppendBytes(protowire.AppendTag(meta, 1, protowire.BytesType), []byte("pid"))
		meta = protowire.AppendBytes(protowire.AppendTag(meta, 2, protowire.BytesType), []byte("7"))
		entry = protowire.AppendBytes(protowire.AppendTag(entry, 3, protowire.BytesType), meta)
		stream = protowire.AppendBytes(protowire.AppendTag(stream, 2, protowire.BytesType), entry)
	}
	return protowire.AppendBytes(protowire.AppendTag(nil, 1, protowire.BytesType), stream)
}

func TestLoki(t *testing.T) {
	s := listen(t, nil)
	status, text := s.post(lokiPath, string(snappy.Encode(nil, lokiPush(`{app="shop", level="a\"b"}`, "one", "two"))), "Content-Type", "application/x-protobuf")
	require.Equal(t, 204, status, text)
	require.Equal(t, []string{`content=one|app=shop|level=a"b|pid=7`, `content=two|app=shop|level=a"b|pid=7`}, s.take())
	require.Equal(t, []int64{1773303302e9, 1773303302e9 + 1}, s.times)
	status, text = s.post(lokiPath, `{"streams":[{"stream":{"app":"shop"},"values":[["1773303302000000007","three",{"pid":"8"}],["1","four"]]}]}`, "Content-Type", "application/json")
	require.Equal(t, 204, status, text)
	require.Equal(t, []string{"content=three|app=shop|pid=8", "content=four|app=shop"}, s.take())
	for _, bad := range []string{`{app=shop}`, `{app="shop"`, `app`, `{app="shop" x}`, `{="`} {
		status, _ = s.post(lokiPath, string(snappy.Encode(nil, lokiPush(bad, "one"))))
		require.Equal(t, 400, status, bad)
	}
	status, _ = s.post(lokiPath, `{"streams":[{"values":[["noon","x"]]}]}`, "Content-Type", "application/json")
	require.Equal(t, 400, status)
	require.Empty(t, s.take())
}

func TestBulk_IsAnsweredItemByItem(t *testing.T) {
	s := listen(t, nil)
	body := `{"create":{"_index":"web"}}
{"message":"one","@timestamp":"2026-03-12T08:15:02Z"}
{"index":{}}
{"message":"two"}
{"delete":{"_index":"web","_id":"1"}}
{"update":{"_id":"1"}}
{"doc":{}}
{"index":{}}
no json
{"index":{}}
{"message":"three"}
`
	status, text := s.post("/logs/_bulk", body, "Content-Type", "application/x-ndjson")
	require.Equal(t, 200, status, text)
	var answer struct {
		Errors bool
		Items  []map[string]struct {
			Index  string `json:"_index"`
			Status int
		}
	}
	require.NoError(t, json.Unmarshal([]byte(text), &answer))
	require.True(t, answer.Errors)
	var got []string
	for _, item := range answer.Items {
		for action, it := range item {
			got = append(got, fmt.Sprint(action, " ", it.Index, " ", it.Status))
		}
	}
	require.Equal(t, []string{"create web 201", "index logs 201", "delete web 400", "update logs 400", "index logs 400", "index logs 201"}, got)
	require.Equal(t, []string{"_index=web|message=one|@timestamp=2026-03-12T08:15:02Z", "_index=logs|message=two", "_index=logs|message=three"}, s.take())
	status, _ = s.post("/_bulk", "{\"index\":{}}\n")
	require.Equal(t, 400, status)
	status, _ = s.post("/_bulk", "{\"noop\":{}}\n{}\n")
	require.Equal(t, 400, status)
	req, err := http.NewRequest(http.MethodGet, s.url+"/", http.NoBody)
	require.NoError(t, err)
	status, text = s.do(req)
	require.Equal(t, 200, status)
	require.Contains(t, text, "You Know, for Search")
}

func textValue(s string) *common.AnyValue {
	return &common.AnyValue{Value: &common.AnyValue_StringValue{StringValue: s}}
}

func TestOTLP_ProtobufAndJSONAreTheSame(t *testing.T) {
	s := listen(t, nil)
	request := &collector.ExportLogsServiceRequest{ResourceLogs: []*logs.ResourceLogs{{
		Resource: &resource.Resource{Attributes: []*common.KeyValue{{Key: "service.name", Value: textValue("shop")}}},
		ScopeLogs: []*logs.ScopeLogs{{Scope: &common.InstrumentationScope{Name: "cart"}, LogRecords: []*logs.LogRecord{
			{
				TimeUnixNano: 1773303302500000000, SeverityNumber: 9, SeverityText: "INFO", Body: textValue("paid"),
				Attributes: []*common.KeyValue{
					{Key: "n", Value: &common.AnyValue{Value: &common.AnyValue_IntValue{IntValue: 1 << 60}}},
					{Key: "list", Value: &common.AnyValue{Value: &common.AnyValue_ArrayValue{ArrayValue: &common.ArrayValue{Values: []*common.AnyValue{textValue("a"), {Value: &common.AnyValue_BoolValue{BoolValue: true}}}}}}},
					{Key: "map", Value: &common.AnyValue{Value: &common.AnyValue_KvlistValue{KvlistValue: &common.KeyValueList{Values: []*common.KeyValue{{Key: "x", Value: &common.AnyValue{Value: &common.AnyValue_DoubleValue{DoubleValue: 1.5}}}}}}}},
				},
			},
			{ObservedTimeUnixNano: 7, Body: textValue("")},
		}}},
	}}}
	want := []string{
		`content=paid|severity_number=9|severity_text=INFO|n=1152921504606846976|list=["a",true]|map={"x":1.5}|service.name=shop|otel.scope.name=cart`,
		`content=|service.name=shop|otel.scope.name=cart`,
	}
	body, err := proto.Marshal(request)
	require.NoError(t, err)
	status, answer := s.post("/v1/logs", string(body), "Content-Type", "application/x-protobuf")
	require.Equal(t, 200, status, answer)
	require.Empty(t, answer)
	require.Equal(t, want, s.take())
	require.Equal(t, []int64{1773303302500000000, 7}, s.times)
	body, err = protojson.MarshalOptions{UseEnumNumbers: true}.Marshal(request)
	require.NoError(t, err)
	status, answer = s.post("/v1/logs", string(body), "Content-Type", "application/json")
	require.Equal(t, 200, status, answer)
	require.Equal(t, want, s.take())
	status, _ = s.post("/v1/logs", "\x0a\xff", "Content-Type", "application/x-protobuf")
	require.Equal(t, 400, status)
}

func TestLogService_SignedGroups(t *testing.T) {
	s := listen(t, func(c *Config) { c.AccessKeyID, c.AccessKeySecret = "key", "secret" })
	raw := loggroup.AppendGroup(nil, &loggroup.Group{
		Topic: []byte("top"), Source: []byte("10.0.0.1"), Tags: []loggroup.Pair{{Key: []byte("env"), Value: []byte("prod")}},
		Logs: []loggroup.Log{{Time: 1773303302, TimeNS: 5, Contents: []loggroup.Pair{{Key: []byte("a"), Value: []byte("1")}}}},
	})
	body := loggroup.NewCompressor(loggroup.LZ4).Append(nil, raw)
	put := func(secret string) (int, string) {
		req, err := http.NewRequest(http.MethodPost, s.url+"/logstores/web/shards/lb", bytes.NewReader(body))
		require.NoError(t, err)
		req.Header.Set("x-log-compresstype", "lz4")
		req.Header.Set("x-log-bodyrawsize", strconv.Itoa(len(raw)))
		req.Header.Set("Content-Type", "application/x-protobuf")
		require.NoError(t, signature.Sign(req, body, signature.Credentials{KeyID: "key", Secret: secret}, signature.Options{Version: signature.V4, Region: "local", Now: time.Now()}))
		return s.do(req)
	}
	status, answer := put("secret")
	require.Equal(t, 200, status, answer)
	require.Equal(t, []string{"a=1|__topic__=top|__source__=10.0.0.1|__tag__:env=prod"}, s.take())
	status, answer = put("wrong")
	require.Equal(t, 401, status)
	require.Contains(t, answer, "Unauthorized")
	status, _ = s.post("/", `{"a":1}`)
	require.Equal(t, 401, status, "the key is asked for elsewhere, too")
	require.Empty(t, s.take())
}

func TestAuth_TokensAndPasswords(t *testing.T) {
	tokens := filepath.Join(t.TempDir(), "tokens")
	require.NoError(t, os.WriteFile(tokens, []byte("# senders\none\ntwo\n"), 0o600))
	s := listen(t, func(c *Config) { c.TokensFile, c.User, c.Password = tokens, "u", "p" })
	for header, want := range map[string]int{
		"": 401, "Bearer one": 200, "Bearer two": 200, "ApiKey two": 200, "Bearer three": 401, "Bearer ": 401, "Basic dTpw": 200, "Basic dTpx": 401, "one": 401,
	} {
		status, _ := s.post("/", `{"a":1}`, "Authorization", header)
		require.Equal(t, want, status, header)
	}
	status, _ := s.post("/_bulk", "")
	require.Equal(t, 401, status)
}

func TestDelivery_DecidesTheAnswer(t *testing.T) {
	hasty := listen(t, func(c *Config) { c.BusyAfter, c.AckTimeout = 50*time.Millisecond, 300*time.Millisecond })
	hasty.set(func() { hasty.full = true })
	status, _ := hasty.post("/", `{"a":1}`)
	require.Equal(t, 429, status)
	hasty.set(func() { hasty.full, hasty.hold = false, true })
	status, _ = hasty.post("/", `{"a":1}`)
	require.Equal(t, 503, status, "taken, and not delivered in time")
	s := listen(t, nil)
	s.set(func() { s.outcome = errors.New("stopped") })
	status, _ = s.post("/", `{"a":1}`)
	require.Equal(t, 503, status)
	s.set(func() { s.outcome = fmt.Errorf("%w: too odd", pipeline.ErrRejected) })
	status, _ = s.post("/", `{"a":1}`)
	require.Equal(t, 200, status, "put aside is an end")
	s.set(func() { s.outcome = nil })
	many := strings.Repeat(`{"a":"`+strings.Repeat("x", 300)+"\"}\n", 50) // many batches
	s.take()
	status, _ = s.post("/", many)
	require.Equal(t, 200, status)
	require.Len(t, s.take(), 50)
	require.True(t, s.in.memory.TryAcquire(int64(s.in.c.MaxMemory)))
	status, _ = s.post("/", `{"a":1}`)
	require.Equal(t, 429, status, "no memory")
	s.in.memory.Release(int64(s.in.c.MaxMemory))
}

func TestSlowSendersAreEnded(t *testing.T) {
	s := listen(t, func(c *Config) { c.BodyTimeout, c.MaxConnections = 200*time.Millisecond, 2 })
	conn, err := net.Dial("tcp", s.in.Address())
	require.NoError(t, err)
	defer func() { _ = conn.Close() }()
	_, err = conn.Write([]byte("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{"))
	require.NoError(t, err)
	require.NoError(t, conn.SetReadDeadline(time.Now().Add(20*time.Second)))
	answer, err := io.ReadAll(conn)
	require.NoError(t, err)
	require.Contains(t, string(answer), "408 Request Timeout")
	require.Empty(t, s.take())
	status, _ := s.post("/", `{"a":1}`)
	require.Equal(t, 200, status)
}

func TestTLS_OlderThan12IsRefused(t *testing.T) {
	dir := t.TempDir()
	cert, key := filepath.Join(dir, "c.pem"), filepath.Join(dir, "k.pem")
	out, err := exec.Command("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", key, "-out", cert, "-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1").CombinedOutput()
	require.NoError(t, err, "%s", out)
	s := listen(t, func(c *Config) { c.TLS.CertFile, c.TLS.KeyFile = cert, key })
	for version, want := range map[uint16]bool{tls.VersionTLS11: false, tls.VersionTLS12: true, tls.VersionTLS13: true} {
		conn, err := tls.Dial("tcp", s.in.Address(), &tls.Config{InsecureSkipVerify: true, MinVersion: version, MaxVersion: version})
		require.Equal(t, want, err == nil, "%x: %v", version, err)
		if err == nil {
			require.NoError(t, conn.Close())
		}
	}
}

func TestCurlSpeaksToIt(t *testing.T) {
	s := listen(t, nil)
	file := filepath.Join(t.TempDir(), "lines")
	require.NoError(t, os.WriteFile(file, []byte("{\"a\":1}\n{\"a\":2}\n"), 0o600))
	out, err := exec.Command("curl", "-sS", "--fail-with-body", "-H", "Transfer-Encoding: chunked", "--data-binary", "@"+file, s.url+"/v1/jsonl").CombinedOutput()
	require.NoError(t, err, "%s", out)
	require.Equal(t, "{\"records\":2}\n", string(out))
	require.Equal(t, []string{"a=1", "a=2"}, s.take())
}

func TestConfig_Faults(t *testing.T) {
	for want, edit := range map[string]func(*Config){
		"listen":             func(c *Config) { c.Listen = "0.0.0.0:80" },
		"tls":                func(c *Config) { c.TLS.CertFile = "/x" },
		"tls.client_ca_file": func(c *Config) { c.TLS.ClientCAFile = "/x" },
		"user":               func(c *Config) { c.User = "u" },
		"access_key_id":      func(c *Config) { c.AccessKeySecret = "s" },
		"max_body":           func(c *Config) { c.MaxBody = 1 },
		"max_memory":         func(c *Config) { c.MaxMemory = c.MaxBody },
		"max_connections":    func(c *Config) { c.MaxConnections = 0 },
		"idle_timeout":       func(c *Config) { c.IdleTimeout = 0 },
	} {
		var c Config
		config.Defaults(&c)
		edit(&c)
		var got []string
		c.Validate(func(key, _ string) { got = append(got, key) })
		require.Equal(t, []string{want}, got)
	}
	var c Config
	config.Defaults(&c)
	c.TokensFile = filepath.Join(t.TempDir(), "none")
	_, err := New(c, Env{})
	require.ErrorContains(t, err, "cannot read the tokens")
}

// offline is an input without a network, whose pipeline takes everything.
func offline(t testing.TB) *Input {
	t.Helper()
	var c Config
	config.Defaults(&c)
	c.MaxBody, c.MaxMemory = config.MiB, 8*config.MiB
	in, err := New(c, Env{Pipeline: "p", BatchBytes: 1 << 20})
	require.NoError(t, err)
	require.NoError(t, in.openStream(takeAll))
	return in
}

// FuzzDecode: whatever is sent, each protocol answers.
func FuzzDecode(f *testing.F) {
	paths := []string{"/", "/v1/text", lokiPath, "/_bulk", "/v1/logs", "/logstores/x/shards/lb"}
	for i, body := range []string{
		"{\"a\":1}\n[1]", "x\ny", string(lokiPush(`{a="b"}`, "x")), "{\"index\":{}}\n{\"a\":1}\n", "\x0a\x00", "\x0a\x02\x08\x01",
		`{"streams":[{"stream":{"a":"b"},"values":[["1","x",{"c":"d"}]]}]}`, `{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"body":{"kvlistValue":{"values":[{"key":"a"}]}}}]}]}]}`,
	} {
		for path := range paths {
			f.Add(path, i%2 == 0, body)
		}
	}
	handler := offline(f).handler()
	f.Fuzz(func(t *testing.T, path int, isJSON bool, body string) {
		req, err := http.NewRequest(http.MethodPost, paths[uint(path)%uint(len(paths))], strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Encoding", "identity")
		if isJSON {
			req.Header.Set("Content-Type", "application/json")
		}
		req.Header.Set("x-log-bodyrawsize", strconv.Itoa(len(body)))
		w := &answerOf{header: http.Header{}}
		handler.ServeHTTP(w, req)
		if w.status >= 500 {
			t.Fatalf("answered %d", w.status)
		}
	})
}

// answerOf keeps the status of an answer.
type answerOf struct {
	header http.Header
	status int
}

func (a *answerOf) Header() http.Header         { return a.header }
func (a *answerOf) Write(p []byte) (int, error) { return len(p), nil }
func (a *answerOf) WriteHeader(status int)      { a.status = status }
