package otlp

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/stretchr/testify/require"
	collector "go.opentelemetry.io/proto/otlp/collector/logs/v1"
	common "go.opentelemetry.io/proto/otlp/common/v1"
	logs "go.opentelemetry.io/proto/otlp/logs/v1"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/wasmtail/wasmtail/agent/dispatch"
	"github.com/wasmtail/wasmtail/agent/pipeline"
	"github.com/wasmtail/wasmtail/agent/queue"
	"github.com/wasmtail/wasmtail/agent/transport"
	"github.com/wasmtail/wasmtail/internal/realserver"
	"github.com/wasmtail/wasmtail/internal/record"
	"github.com/wasmtail/wasmtail/internal/specimen"
)

var testEnv = dispatch.Env{AgentID: specimen.Agent, Hostname: "host-1", Version: "1.2.3"}

func newOutput(t testing.TB, settings string) *Output {
	t.Helper()
	c, err := specimen.OutputSettings[Config](settings)
	require.NoError(t, err)
	o, err := New(c, testEnv)
	require.NoError(t, err)
	t.Cleanup(func() { _ = o.Close() })
	return o
}

func payload(t testing.TB, o *Output, first, n int) []byte {
	t.Helper()
	b := specimen.AccessLog(first, n)
	defer b.Release()
	return specimen.Encode(t, o.NewEncoder("pipe", "nginx"), b)
}

func decode(t testing.TB, data []byte) *collector.ExportLogsServiceRequest {
	t.Helper()
	p, err := dispatch.Parse(data)
	require.NoError(t, err)
	raw, err := p.Raw()
	require.NoError(t, err)
	var request collector.ExportLogsServiceRequest
	require.NoError(t, proto.Unmarshal(raw, &request))
	return &request
}

// show writes attributes as key=value.
func show(list []*common.KeyValue) string {
	var all []string
	for _, kv := range list {
		all = append(all, kv.Key+"="+text(kv.Value))
	}
	return strings.Join(all, "|")
}

func text(v *common.AnyValue) string {
	switch x := v.GetValue().(type) {
	case *common.AnyValue_StringValue:
		return x.StringValue
	case *common.AnyValue_IntValue:
		return strconv.FormatInt(x.IntValue, 10)
	case *common.AnyValue_KvlistValue:
		return "{" + show(x.KvlistValue.Values) + "}"
	}
	return "?"
}

func TestRecordModel(t *testing.T) {
	o := newOutput(t, "url: http://x\nservice_name: 'svc-{logstore}'\nresource: {a.b: '{pipeline}'}\ncompression: none")
	b := record.Get(&record.Origin{Path: "/var/log/a.log", Generation: specimen.Generation})
	defer b.Release()
	b.ReadTime = specimen.ReadTime.UnixNano()
	b.Add([]byte("plain \xff line")).Marks = record.InvalidUTF8 | record.Partial
	const trace, span = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
	r := specimen.Add(b, "x", "msg", "hello", "level", "WARNING", "trace_id", trace, "span_id", strings.ToUpper(span), "log.file.path", "forged", "k", "1", "k", "2")
	r.Time, r.Offset = 1_767_323_045_000_000_007, 77
	specimen.Add(b, "x", "ip", "203.0.113.9", "severity", "odd", "trace_id", "none", "traceparent", "00-"+trace+"-"+span+"-01").Offset = 77
	b.Fail(specimen.Add(b, "broken", "content", "broken"), 0, []byte("regex: no match"))
	data := specimen.Encode(t, o.NewEncoder("pipe", "nginx"), b)
	p, err := dispatch.Parse(data)
	require.NoError(t, err)
	specimen.Golden(t, "testdata/request.golden", p.Body)

	request := decode(t, data)
	require.Len(t, request.ResourceLogs, 1)
	rl := request.ResourceLogs[0]
	require.Equal(t, "service.name=svc-nginx|host.name=host-1|wasmtail.pipeline=pipe|wasmtail.logstore=nginx|a.b=pipe", show(rl.Resource.Attributes))
	require.Equal(t, schemaURL, rl.SchemaUrl)
	require.Len(t, rl.ScopeLogs, 1)
	require.Equal(t, "1.2.3", rl.ScopeLogs[0].Scope.Version)
	list := rl.ScopeLogs[0].LogRecords
	require.Len(t, list, 4)
	const file = "log.file.path=/var/log/a.log|log.file.name=a.log|log.record.uid=H4OY1PDp4SO478G-qA83eg."
	for i, want := range []struct {
		body, attributes, severity string
		number                     logs.SeverityNumber
		trace, span                string
		flags                      uint32
	}{
		{"plain \ufffd line", file + "0|wasmtail.file.offset=0|wasmtail.marks=partial,invalid_utf8", "", 0, "", "", 0},
		{"hello", "fields.log.file.path=forged|k=1|k_2=2|" + file + "25|wasmtail.file.offset=77", "WARNING", 13, trace, span, 0},
		{"{ip=203.0.113.9|trace_id=none}", file + "25.1|wasmtail.file.offset=77", "odd", 0, trace, span, 1},
		{"broken", "wasmtail.parse.error=regex: no match|" + file + "0|wasmtail.file.offset=0|wasmtail.marks=failed", "", 0, "", "", 0},
	} {
		got := list[i]
		require.Equal(t, want.body, text(got.Body), i)
		require.Equal(t, want.attributes, show(got.Attributes), i)
		require.Equal(t, want.severity, got.SeverityText, i)
		require.Equal(t, want.number, got.SeverityNumber, i)
		require.Equal(t, want.trace, hex.EncodeToString(got.TraceId), i)
		require.Equal(t, want.span, hex.EncodeToString(got.SpanId), i)
		require.Equal(t, want.flags, got.Flags, i)
		require.Equal(t, uint64(b.Records[i].Time), got.TimeUnixNano, "0 if it is not known")
		require.Equal(t, uint64(b.ReadTime), got.ObservedTimeUnixNano)
		require.Empty(t, got.ProtoReflect().GetUnknown())
	}
	items, err := format{}.Split(p.Body)
	require.NoError(t, err)
	require.Equal(t, p.Body, format{}.Join(nil, items))
}

func TestSeverity(t *testing.T) {
	for word, want := range map[string]uint64{
		"TRACE": 1, "debug": 5, "Info": 9, "notice": 10, "warn": 13, "ERROR": 17, "crit": 18, "alert": 19, "fatal": 21, "3": 17, "30": 9, "": 0, "what": 0, "a very long word": 0, "E": 17,
	} {
		require.Equal(t, want, severity([]byte(word)), word)
	}
}

// store takes records, by HTTP and by gRPC.
type store struct {
	collector.UnimplementedLogsServiceServer
	t        testing.TB
	mu       sync.Mutex
	uids     map[string]int
	requests int
	header   map[string][]string
	// answers of the next requests, instead of taking them.
	status   int
	body     []byte
	err      error
	loseNext bool
	partial  *collector.ExportLogsPartialSuccess
	refuse   string // the value of n of a record that makes a request invalid
}

func (s *store) take(request *collector.ExportLogsServiceRequest) (ok bool) {
	var list []*logs.LogRecord
	for _, rl := range request.ResourceLogs {
		for _, sl := range rl.ScopeLogs {
			list = append(list, sl.LogRecords...)
		}
	}
	for _, r := range list {
		if s.refuse != "" && strings.Contains(text(r.Body), "{n="+s.refuse+"|") {
			return false
		}
	}
	for _, r := range list {
		for _, kv := range r.Attributes {
			if kv.Key == attributeUID {
				s.uids[text(kv.Value)]++
			}
		}
	}
	return true
}

func (s *store) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests++
	s.header = r.Header
	if r.URL.Path != "/v1/logs" || r.Header.Get("Content-Type") != "application/x-protobuf" {
		w.WriteHeader(http.StatusNotFound)
		return
	}
	if s.status != 0 {
		w.WriteHeader(s.status)
		_, _ = w.Write(s.body)
		return
	}
	var body io.Reader = r.Body
	if r.Header.Get("Content-Encoding") == "gzip" {
		z, err := gzip.NewReader(r.Body)
		require.NoError(s.t, err)
		body = z
	}
	raw, err := io.ReadAll(body)
	require.NoError(s.t, err)
	var request collector.ExportLogsServiceRequest
	require.NoError(s.t, proto.Unmarshal(raw, &request))
	w.Header().Set("Content-Type", "application/x-protobuf")
	if !s.take(&request) {
		w.WriteHeader(http.StatusBadRequest)
		text, err := proto.Marshal(status.New(codes.InvalidArgument, "a bad record").Proto())
		require.NoError(s.t, err)
		_, _ = w.Write(text)
		return
	}
	answer, err := proto.Marshal(&collector.ExportLogsServiceResponse{PartialSuccess: s.partial})
	require.NoError(s.t, err)
	_, _ = w.Write(answer)
}

func (s *store) Export(ctx context.Context, request *collector.ExportLogsServiceRequest) (*collector.ExportLogsServiceResponse, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests++
	s.header, _ = metadata.FromIncomingContext(ctx)
	if s.err != nil {
		return nil, s.err
	}
	if !s.take(request) {
		return nil, status.Error(codes.InvalidArgument, "a bad record")
	}
	if s.loseNext {
		s.loseNext = false
		return nil, status.Error(codes.Unavailable, "the answer is lost")
	}
	return &collector.ExportLogsServiceResponse{PartialSuccess: s.partial}, nil
}

func newHTTP(t testing.TB) (*store, *realserver.Lossy) {
	t.Helper()
	s := &store{t: t, uids: map[string]int{}}
	return s, realserver.LoseAnswers(t, "", s)
}

func newGRPC(t testing.TB, options ...grpc.ServerOption) (s *store, url string) {
	t.Helper()
	s = &store{t: t, uids: map[string]int{}}
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	server := grpc.NewServer(options...)
	collector.RegisterLogsServiceServer(server, s)
	var serving sync.WaitGroup
	serving.Go(func() { _ = server.Serve(l) })
	t.Cleanup(func() {
		server.Stop()
		serving.Wait()
	})
	return s, "protocol: grpc\nurl: http://" + l.Addr().String()
}

func TestBothProtocols(t *testing.T) {
	for _, protocol := range []string{"http", "grpc"} {
		for _, compression := range []string{"gzip", "none"} {
			s, front := newHTTP(t)
			url := "url: " + front.URL
			if protocol == "grpc" {
				s, url = newGRPC(t)
			}
			wire := transport.NewWire()
			c, err := specimen.OutputSettings[Config](url + "\ncompression: " + compression + "\nheaders: {X-Tenant: web}\nauth: {token: word}\nraw_bytes_max: 64KiB")
			require.NoError(t, err)
			env := testEnv
			env.Wire = wire
			o, err := New(c, env)
			require.NoError(t, err)
			require.NoError(t, o.Send(t.Context(), payload(t, o, 0, 1000)))
			require.Len(t, s.uids, 1000)
			require.Greater(t, s.requests, 1)
			header := http.Header{}
			for name, values := range s.header {
				header[http.CanonicalHeaderKey(name)] = values
			}
			require.Equal(t, "Bearer word", header.Get("Authorization"))
			require.Equal(t, "web", header.Get("X-Tenant"))
			require.Contains(t, header.Get("User-Agent"), "wasmtail/1.2.3")
			require.Positive(t, wire.Bytes())

			// One bad record is found and put aside.
			s.refuse = "1007"
			var refused *pipeline.RejectedError
			require.ErrorAs(t, o.Send(t.Context(), payload(t, o, 1000, 100)), &refused)
			require.Len(t, s.uids, 1099)
			var line struct {
				Reason string
				Record struct {
					Body map[string]any `json:"body"`
				}
			}
			require.NoError(t, json.Unmarshal(refused.Records, &line))
			require.Contains(t, line.Reason, "a bad record")
			require.Contains(t, fmt.Sprint(line.Record.Body), "1007")
			s.refuse = ""

			// A number without names: none of them is lost.
			s.partial = &collector.ExportLogsPartialSuccess{RejectedLogRecords: 2, ErrorMessage: "too old"}
			err = o.Send(t.Context(), payload(t, o, 2000, 10))
			require.ErrorAs(t, err, &refused)
			require.ErrorContains(t, err, "cannot send 2 of the 10 records")
			require.ErrorContains(t, err, "too old")
			require.Equal(t, 10, strings.Count(string(refused.Records), "\n"))
			s.partial = &collector.ExportLogsPartialSuccess{ErrorMessage: "only a warning"}
			require.NoError(t, o.Send(t.Context(), payload(t, o, 3000, 10)))
			require.NoError(t, o.Close())
		}
	}
}

func TestAnAnswerThatIsLost(t *testing.T) {
	for _, protocol := range []string{"http", "grpc"} {
		s, front := newHTTP(t)
		url := "url: " + front.URL
		if protocol == "grpc" {
			s, url = newGRPC(t)
		}
		o := newOutput(t, url)
		s.loseNext = true
		front.Lose.Store(1)
		first, second := payload(t, o, 0, 100), payload(t, o, 100, 100)
		require.Error(t, o.Send(t.Context(), first))
		require.NoError(t, o.Send(t.Context(), first))
		require.NoError(t, o.Send(t.Context(), second))
		require.Len(t, s.uids, 200)
		twice := 0
		for _, n := range s.uids {
			twice += n - 1
		}
		require.Equal(t, 100, twice)
	}
}

func TestStatusesOfHTTP(t *testing.T) {
	s, front := newHTTP(t)
	o := newOutput(t, "url: "+front.URL+"/v1/logs")
	misconfigured := queue.Setback{Scope: queue.Destination, After: 30 * time.Second}
	for _, x := range []struct {
		status int
		body   string
		want   queue.Setback
		refuse bool
	}{
		{429, "", queue.Setback{Scope: queue.Destination, Slower: true, After: time.Second}, false},
		{502, "", queue.Setback{}, false},
		{503, "", queue.Setback{}, false},
		{504, "", queue.Setback{}, false},
		{400, "\x08\x03\x12\x03bad", queue.Setback{}, true},
		{500, "", queue.Setback{}, true},
		{501, "", queue.Setback{}, true},
		{413, "", queue.Setback{}, true},
		{401, "", queue.Setback{Scope: queue.Destination, After: 5 * time.Second}, false},
		{403, "", misconfigured, false},
		{404, "", misconfigured, false},
		{400, "unsupported path requested", misconfigured, false},
		{200, "<html>a proxy</html>", queue.Setback{}, false},
		{200, "\x0a\xff", queue.Setback{}, false},
		{206, "", queue.Setback{}, false},
	} {
		s.status, s.body = x.status, []byte(x.body)
		before := s.requests
		err := o.Send(t.Context(), payload(t, o, 0, 1))
		require.Error(t, err)
		require.Equal(t, before+1, s.requests)
		require.Equal(t, x.refuse, errors.Is(err, pipeline.ErrRejected), "%v", err)
		if !x.refuse {
			var retry *pipeline.RetryError
			require.ErrorAs(t, err, &retry)
			require.Equal(t, x.want, retry.Setback, "%v", err)
		}
	}
	for _, body := range []string{"", "{}", `{"partialSuccess":{}}`} {
		s.status, s.body = 200, []byte(body)
		require.NoError(t, o.Send(t.Context(), payload(t, o, 0, 1)))
	}
	s.body = []byte(`{"partialSuccess":{"rejectedLogRecords":"1","errorMessage":"why"}}`)
	require.ErrorContains(t, o.Send(t.Context(), payload(t, o, 0, 1)), "why")
}

func TestCodesOfGRPC(t *testing.T) {
	s, url := newGRPC(t)
	o := newOutput(t, url)
	told, err := status.New(codes.ResourceExhausted, "slow down").WithDetails(&errdetails.RetryInfo{RetryDelay: durationpb.New(1500 * time.Millisecond)})
	require.NoError(t, err)
	later, err := status.New(codes.Unavailable, "later").WithDetails(&errdetails.BadRequest{}, &errdetails.RetryInfo{RetryDelay: durationpb.New(7 * time.Second)})
	require.NoError(t, err)
	misconfigured := queue.Setback{Scope: queue.Destination, After: 30 * time.Second}
	for _, x := range []struct {
		status *status.Status
		want   queue.Setback
		refuse bool
	}{
		{told, queue.Setback{Scope: queue.Destination, Slower: true, After: 1500 * time.Millisecond}, false},
		{later, queue.Setback{After: 7 * time.Second}, false},
		{status.New(codes.ResourceExhausted, "quota"), queue.Setback{Scope: queue.Destination, Slower: true, After: time.Second}, false},
		{status.New(codes.Unavailable, ""), queue.Setback{}, false},
		{status.New(codes.Aborted, ""), queue.Setback{}, false},
		{status.New(codes.DataLoss, ""), queue.Setback{}, false},
		{status.New(codes.OutOfRange, ""), queue.Setback{}, false},
		{status.New(codes.Canceled, ""), queue.Setback{}, false},
		{status.New(codes.DeadlineExceeded, ""), queue.Setback{}, false},
		{status.New(codes.InvalidArgument, ""), queue.Setback{}, true},
		{status.New(codes.Internal, ""), queue.Setback{}, true},
		{status.New(codes.Unknown, ""), queue.Setback{}, true},
		{status.New(codes.FailedPrecondition, ""), queue.Setback{}, true},
		{status.New(codes.Unauthenticated, ""), misconfigured, false},
		{status.New(codes.PermissionDenied, ""), misconfigured, false},
		{status.New(codes.Unimplemented, ""), misconfigured, false},
	} {
		s.err = x.status.Err()
		err := o.Send(t.Context(), payload(t, o, 0, 1))
		require.Error(t, err)
		require.Equal(t, x.refuse, errors.Is(err, pipeline.ErrRejected), "%v", err)
		if !x.refuse {
			var retry *pipeline.RetryError
			require.ErrorAs(t, err, &retry)
			require.Equal(t, x.want, retry.Setback, "%v", err)
		}
	}
}

// TestMessagesLargerThanTheReceiverTakes: gRPC has a limit of its own, which its
// server tells of by a code that means something else too.
func TestMessagesLargerThanTheReceiverTakes(t *testing.T) {
	s, url := newGRPC(t, grpc.MaxRecvMsgSize(100_000))
	o := newOutput(t, url)
	require.NoError(t, o.Send(t.Context(), payload(t, o, 0, 1000)))
	require.Len(t, s.uids, 1000)
}

func TestAReceiverThatIsAway(t *testing.T) {
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	address := l.Addr().String()
	require.NoError(t, l.Close())
	for _, settings := range []string{"url: http://" + address, "protocol: grpc\nurl: http://" + address} {
		o := newOutput(t, settings)
		var retry *pipeline.RetryError
		require.ErrorAs(t, o.Send(t.Context(), payload(t, o, 0, 1)), &retry)
		require.Zero(t, retry.Setback)
	}
	// A receiver that speaks something else takes nothing.
	_, front := newHTTP(t)
	o := newOutput(t, "protocol: grpc\ntimeout: 1s\nurl: "+front.URL)
	var retry *pipeline.RetryError
	require.ErrorAs(t, o.Send(t.Context(), payload(t, o, 0, 1)), &retry)
}

func TestGRPCOverTLS(t *testing.T) {
	pair := httptest.NewTLSServer(nil)
	defer pair.Close()
	ca := t.TempDir() + "/ca.pem"
	require.NoError(t, os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: pair.Certificate().Raw}), 0o600))
	s, url := newGRPC(t, grpc.Creds(credentials.NewServerTLSFromCert(&pair.TLS.Certificates[0])))
	url = strings.Replace(url, "http:", "https:", 1)
	require.NoError(t, newOutput(t, url+"\ntls: {ca_file: "+ca+"}").Send(t.Context(), payload(t, newOutput(t, url), 0, 10)))
	require.Len(t, s.uids, 10)
	o := newOutput(t, url)
	err := o.Send(t.Context(), payload(t, o, 0, 1))
	var retry *pipeline.RetryError
	require.ErrorAs(t, err, &retry)
	require.Equal(t, 30*time.Second, retry.After, "someone must set ca_file: %v", err)
}

func TestValidate(t *testing.T) {
	for settings, want := range map[string]string{
		"url: http://x/a\nprotocol: grpc":                    "path",
		"url: http://x\nresource: {host.name: x}":            "set by the agent",
		"url: http://x\nservice_name: '{x}'":                 "{x}",
		"url: http://x\nprotocol: grpc\nheaders: {a-bin: x}": "headers.a-bin",
		"url: http://x\ncompression: zstd":                   "compression",
	} {
		_, err := specimen.OutputSettings[Config](settings)
		require.ErrorContains(t, err, want, settings)
	}
}

// TestVictoriaLogs sends to a real server, which is killed in between.
func TestVictoriaLogs(t *testing.T) {
	s := realserver.VictoriaLogs(t)
	o := newOutput(t, "url: "+s.URL+"/insert/opentelemetry\nheaders: {VL-Msg-Field: request}")
	require.NoError(t, o.Send(t.Context(), payload(t, o, 0, 1000)))
	s.Settle()
	s.Kill()
	waiting := payload(t, o, 1000, 500)
	var retry *pipeline.RetryError
	require.ErrorAs(t, o.Send(t.Context(), waiting), &retry)
	s.Start()
	require.NoError(t, o.Send(t.Context(), waiting))
	rows := s.Query(`{service.name="nginx",host.name="host-1"} | sort by (_time)`)
	require.Len(t, rows, 1500)
	want := specimen.AccessLog(0, 1500)
	defer want.Release()
	for i, row := range rows {
		r := &want.Records[i]
		require.Equal(t, time.Unix(0, r.Time).UTC().Format(time.RFC3339Nano), row["_time"])
		require.Equal(t, strconv.Itoa(i), row["n"])
		require.Equal(t, string(r.Fields[2].Value), row["_msg"])
		require.Equal(t, "access.log", row["log.file.name"])
		require.Equal(t, "info", row["severity"])
	}
	require.ErrorAs(t, newOutput(t, "url: "+s.URL+"/nowhere").Send(t.Context(), waiting), &retry)
}

func TestEncodeDoesNotAllocate(t *testing.T) {
	specimen.RequireNoAllocation(t, newOutput(t, "url: http://x").NewEncoder("pipe", "nginx"))
	specimen.RequireNoAllocation(t, newOutput(t, "url: http://x\nprotocol: grpc\nmessage_fields: [request]").NewEncoder("pipe", "nginx"))
}

func BenchmarkEncode(b *testing.B) {
	for _, compression := range []string{"none", "gzip"} {
		b.Run(compression, func(b *testing.B) {
			specimen.BenchmarkEncode(b, newOutput(b, "url: http://x\ncompression: "+compression).NewEncoder("pipe", "nginx"))
		})
	}
}

func FuzzAnswer(f *testing.F) {
	f.Add([]byte("\x0a\x07\x08\x02\x12\x03why"), 200)
	f.Add([]byte(`{"partialSuccess":{"rejectedLogRecords":"1","errorMessage":"why"}}`), 200)
	f.Add([]byte("\x08\x03\x12\x03bad"), 400)
	f.Fuzz(func(t *testing.T, body []byte, status int) {
		v, err := answer(&transport.Response{Status: status, Body: body}, 3)
		require.True(t, err != nil || v.Unnamed >= 0 && len(v.UnnamedReason) < 1000)
		classify(&transport.Failure{Status: status, Body: body})
	})
}

func FuzzSplit(f *testing.F) {
	o := newOutput(f, "url: http://x\ncompression: none")
	p, err := dispatch.Parse(payload(f, o, 0, 2))
	require.NoError(f, err)
	f.Add(p.Body)
	f.Fuzz(func(t *testing.T, raw []byte) {
		items, err := format{}.Split(raw)
		if err != nil {
			return
		}
		again, err := format{}.Split(format{}.Join(nil, items))
		require.NoError(t, err)
		require.Len(t, again, len(items))
		for i := range items {
			require.Equal(t, string(items[i].Record), string(again[i].Record))
			require.True(t, json.Valid(format{}.Show(nil, items[i])))
		}
	})
}
