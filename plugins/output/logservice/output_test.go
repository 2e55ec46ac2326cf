package logservice

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/wasmtail/wasmtail/agent/pipeline"
	"github.com/wasmtail/wasmtail/agent/transport"
	"github.com/wasmtail/wasmtail/internal/config"
	"github.com/wasmtail/wasmtail/internal/loggroup"
	"github.com/wasmtail/wasmtail/internal/record"
	"github.com/wasmtail/wasmtail/internal/signature"
)

var testEnv = Env{AgentID: strings.Repeat("a1", 16), Hostname: "host-1", Version: "1.2.3"}

// stored is one request the receiver has taken.
type stored struct {
	path, project, codec, traceparent string
	group                             loggroup.Group
}

// receiver is a Log Service that keeps what it takes.
type receiver struct {
	*httptest.Server
	clock func() time.Time
	// refuse may answer a request itself: with a status that is not 0.
	refuse func(s *stored, rawBytes int) (status int, code string)
	// codecs that are known; nil knows all.
	codecs map[string]bool

	mu       sync.Mutex
	requests int
	taken    []*stored
}

func newReceiver(t testing.TB) *receiver {
	t.Helper()
	r := &receiver{clock: time.Now}
	r.Server = httptest.NewServer(r)
	t.Cleanup(r.Close)
	return r
}

func (r *receiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.requests++
	w.Header().Set("x-log-time", strconv.FormatInt(r.clock().Unix(), 10))
	w.Header().Set("x-log-requestid", "ID")
	s, status, code, err := r.take(req)
	if err != nil {
		w.WriteHeader(status)
		_ = json.NewEncoder(w).Encode(map[string]string{"errorCode": code, "errorMessage": err.Error()})
		return
	}
	r.taken = append(r.taken, s)
}

func (r *receiver) take(req *http.Request) (s *stored, status int, code string, err error) {
	body, err := io.ReadAll(req.Body)
	if err != nil {
		return nil, 400, "PostBodyInvalid", err
	}
	v := signature.Verifier{
		Secret:  func(id string) (string, bool) { return "secret", id == "key" },
		AllowV1: true, Now: r.clock,
	}
	if _, err := v.Verify(req, body); err != nil {
		var refused *signature.Error
		errors.As(err, &refused)
		return nil, refused.Status, refused.Code, err
	}
	name := req.Header.Get("x-log-compresstype")
	if r.codecs != nil && !r.codecs[name] {
		return nil, 400, "InvalidCompressType", errors.New(name)
	}
	codec, err := loggroup.ParseCodec(name)
	if err != nil {
		return nil, 400, "InvalidCompressType", err
	}
	rawBytes, err := strconv.Atoi(req.Header.Get("x-log-bodyrawsize"))
	if err != nil {
		return nil, 400, "InvalidBodyRawSize", err
	}
	raw, err := loggroup.Decompress(nil, body, codec, rawBytes)
	if err != nil {
		return nil, 400, "PostBodyUncompressError", err
	}
	s = &stored{
		path: req.URL.Path, project: req.Header.Get("x-log-project"), codec: name,
		traceparent: req.Header.Get("traceparent"),
	}
	if err := s.group.Decode(raw); err != nil {
		return nil, 400, "PostBodyInvalid", err
	}
	if r.refuse != nil {
		if status, code := r.refuse(s, rawBytes); status != 0 {
			return nil, status, code, errors.New("refused by the test")
		}
	}
	return s, 0, "", nil
}

func (r *receiver) output(t testing.TB, edit func(*Config)) *Output {
	t.Helper()
	c := Config{Endpoint: r.URL, Project: "p1", AccessKeyID: "key", AccessKeySecret: "secret"}
	config.Defaults(&c)
	if edit != nil {
		edit(&c)
	}
	o, err := New(c, testEnv)
	require.NoError(t, err)
	t.Cleanup(func() { _ = o.Close() })
	return o
}

// testBatch has lines at gaps, as if some had been filtered.
func testBatch(lines ...string) *record.Batch {
	b := record.Get(&record.Origin{Generation: "00112233445566aa", Path: "/var/log/app.log"})
	b.Start, b.ReadTime = 1000, 1_767_323_045_000_000_007
	offset := b.Start
	for i, line := range lines {
		r := b.Add([]byte(line))
		r.Offset, r.Size = offset, int64(len(line))+1
		r.Time = int64(i) * 1_500_000_000
		offset += r.Size + int64(i%2)*5
	}
	b.End = offset + 10
	b.Filtered = 3
	return b
}

func encode(t testing.TB, o *Output, b *record.Batch) []byte {
	t.Helper()
	p, err := o.NewEncoder("pipe", "store 1").Encode(context.Background(), nil, b)
	require.NoError(t, err)
	return p
}

func TestEveryCodecAndSignature(t *testing.T) {
	lines := make([]string, 500)
	for i := range lines {
		lines[i] = fmt.Sprintf("line %d of the test, with some text that repeats", i)
	}
	for _, version := range []string{"v4", "v1"} {
		for _, codec := range []string{"none", "lz4", "zstd", "deflate", "snappy"} {
			t.Run(version+" "+codec, func(t *testing.T) {
				r := newReceiver(t)
				o := r.output(t, func(c *Config) {
					c.Signature, c.Compression, c.Topic, c.Source = version, codec, "topic", "10.0.0.1"
				})
				b := testBatch(lines...)
				b.Fail(&b.Records[7], -1, []byte("regex: no match"))
				b.Records[8].Marks |= record.NUL
				require.NoError(t, o.Send(context.Background(), encode(t, o, b)))
				require.Len(t, r.taken, 1)
				s := r.taken[0]
				require.Equal(t, "/logstores/store 1/shards/lb", s.path)
				require.Equal(t, "p1", s.project)
				requireRecords(t, b, &s.group)
				g := &s.group
				require.Equal(t, "topic", string(g.Topic))
				require.Equal(t, "10.0.0.1", string(g.Source))
				for tag, want := range map[string]string{
					"__path__": "/var/log/app.log", "__hostname__": "host-1", "__wt_agent__": testEnv.AgentID,
					"__wt_pipeline__": "pipe", "__wt_generation__": "00112233445566aa",
					"__wt_range__": fmt.Sprintf("%d-%d", b.Start, b.End), "__wt_counts__": "499,1,3",
				} {
					require.Equal(t, want, string(g.Tag(tag)), tag)
				}
			})
		}
	}
}

// requireRecords compares what arrived with the batch.
func requireRecords(t *testing.T, b *record.Batch, g *loggroup.Group) {
	t.Helper()
	require.Len(t, g.Logs, len(b.Records))
	offsets, err := loggroup.ParseOffsets(nil, g.Tag(loggroup.TagOffsets))
	require.NoError(t, err)
	require.Len(t, offsets, len(b.Records))
	for i := range b.Records {
		r, l := &b.Records[i], &g.Logs[i]
		require.Equal(t, r.Offset, b.Start+offsets[i])
		want := r.Time
		if want == 0 {
			want = b.ReadTime
		}
		require.Equal(t, want, int64(l.Time)*1e9+int64(l.TimeNS))
		fields := r.Fields
		if r.Marks != 0 {
			fields = append(fields[:len(fields):len(fields)], record.Field{Name: []byte("__marks__"), Value: r.Marks.AppendText(nil)})
		}
		require.Len(t, l.Contents, len(fields))
		for j, f := range fields {
			require.Equal(t, string(f.Name), string(l.Contents[j].Key))
			require.Equal(t, string(f.Value), string(l.Contents[j].Value))
		}
	}
}

func TestWithoutLedger(t *testing.T) {
	r := newReceiver(t)
	o := r.output(t, func(c *Config) { c.Ledger = false })
	b := testBatch("a", "b")
	require.NoError(t, o.Send(context.Background(), encode(t, o, b)))
	require.Len(t, r.taken[0].group.Tags, 2)
	require.Equal(t, "/var/log/app.log", string(r.taken[0].group.Tag("__path__")))
}

func TestABatchOfWhichAllIsFilteredIsSent(t *testing.T) {
	r := newReceiver(t)
	o := r.output(t, nil)
	require.NoError(t, o.Send(context.Background(), encode(t, o, testBatch())))
	require.Equal(t, "1000-1010", string(r.taken[0].group.Tag("__wt_range__")))
	require.Equal(t, "0,0,3", string(r.taken[0].group.Tag("__wt_counts__")))

	r.refuse = func(*stored, int) (int, string) { return 400, "PostBodyInvalid" }
	require.NoError(t, o.Send(context.Background(), encode(t, o, testBatch())), "no record is lost")
	o = r.output(t, func(c *Config) { c.Ledger = false })
	before := r.requests
	require.NoError(t, o.Send(context.Background(), encode(t, o, testBatch())))
	require.Equal(t, before, r.requests)
}

func TestProjectInTheHost(t *testing.T) {
	c := Config{Endpoint: "https://cn-hangzhou-intranet.log.aliyuncs.com", Project: "p1", AccessKeyID: "k", AccessKeySecret: "s"}
	config.Defaults(&c)
	o, err := New(c, testEnv)
	require.NoError(t, err)
	require.Equal(t, "p1.cn-hangzhou-intranet.log.aliyuncs.com", o.host)
	require.Equal(t, "cn-hangzhou", o.options.Region)
	c.PathStyle = true
	o, err = New(c, testEnv)
	require.NoError(t, err)
	require.Empty(t, o.host)
}

func TestFailuresForThePipeline(t *testing.T) {
	r := newReceiver(t)
	o := r.output(t, nil)
	payload := encode(t, o, testBatch("one record"))
	for _, c := range []struct {
		status int
		code   string
		reject bool
		after  time.Duration
	}{
		{500, "InternalServerError", false, 0},
		{503, "ServerBusy", false, 0},
		{403, "WriteQuotaExceed", false, 3 * time.Second},
		{403, "ProjectForbidden", false, time.Minute},
		{404, "LogStoreNotExist", false, 30 * time.Second},
		{401, "Unauthorized", false, 30 * time.Second},
		{400, "MissingDate", false, 30 * time.Second},
		{400, "PostBodyInvalid", true, 0},
		{400, "PostBodyTooLarge", true, 0}, // it has one record
		{400, "PostBodyUncompressError", true, 0},
	} {
		r.refuse = func(*stored, int) (int, string) { return c.status, c.code }
		err := o.Send(context.Background(), payload)
		var f *transport.Failure
		require.ErrorAs(t, err, &f, c.code)
		require.Equal(t, c.code, f.Code)
		require.Equal(t, c.reject, errors.Is(err, pipeline.ErrRejected), c.code)
		var retry *pipeline.RetryError
		require.Equal(t, !c.reject, errors.As(err, &retry), c.code)
		if retry != nil {
			require.Equal(t, c.after, retry.After, c.code)
		}
	}
	r.refuse = func(*stored, int) (int, string) { return 400, "InvalidSequenceId" }
	require.NoError(t, o.Send(context.Background(), payload), "it is stored already")
}

func TestSuccessNeedsARequestID(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer s.Close()
	r := &receiver{Server: s}
	o := r.output(t, nil)
	err := o.Send(context.Background(), encode(t, o, testBatch("x")))
	var retry *pipeline.RetryError
	require.ErrorAs(t, err, &retry)
	require.ErrorContains(t, err, "proxy")
}

func TestClockIsLearnt(t *testing.T) {
	for _, version := range []string{"v1", "v4"} {
		for _, ahead := range []time.Duration{5 * time.Hour, -5 * time.Hour} {
			r := newReceiver(t)
			r.clock = func() time.Time { return time.Now().Add(ahead) }
			o := r.output(t, func(c *Config) { c.Signature = version })
			payload := encode(t, o, testBatch("x"))
			err := o.Send(context.Background(), payload)
			var f *transport.Failure
			require.ErrorAs(t, err, &f)
			require.Equal(t, transport.Clock, f.Class)
			require.NoError(t, o.Send(context.Background(), payload))
			r.clock = time.Now // the clock was put right
			require.Error(t, o.Send(context.Background(), payload))
			require.NoError(t, o.Send(context.Background(), payload))
		}
	}
}

func TestReceiverThatDoesNotKnowTheCodec(t *testing.T) {
	r := newReceiver(t)
	r.codecs = map[string]bool{"": true, "lz4": true}
	o := r.output(t, nil)
	e := o.NewEncoder("pipe", "store")
	b := testBatch("a", "b", "c")
	for _, want := range []string{"", "lz4"} {
		p, err := e.Encode(context.Background(), nil, b)
		require.NoError(t, err)
		require.NoError(t, o.Send(context.Background(), p))
		s := r.taken[len(r.taken)-1]
		require.Equal(t, want, s.codec)
		requireRecords(t, b, &s.group)
	}
	require.Equal(t, 3, r.requests)
}

// TestBadRecordsAreSingledOut: the receiver refuses requests with a bad record,
// and all other records arrive, once each, with ranges that make up the whole.
func TestBadRecordsAreSingledOut(t *testing.T) {
	for _, bad := range [][]int{{}, {0}, {99}, {50}, {0, 99}, {49, 50}, {3, 4, 5}} {
		r := newReceiver(t)
		r.refuse = func(s *stored, _ int) (int, string) {
			for _, l := range s.group.Logs {
				if strings.HasPrefix(string(l.Contents[0].Value), "bad") {
					return 400, "PostBodyInvalid"
				}
			}
			return 0, ""
		}
		lines := make([]string, 100)
		for i := range lines {
			lines[i] = "good " + strconv.Itoa(i)
		}
		for _, i := range bad {
			lines[i] = "bad " + strconv.Itoa(i)
		}
		o := r.output(t, nil)
		b := testBatch(lines...)
		b.Fail(&b.Records[20], -1, []byte("reason"))
		err := o.Send(context.Background(), encode(t, o, b))
		require.Equal(t, len(bad) > 0, errors.Is(err, pipeline.ErrRejected), "%v", err)
		var got []string
		counts := [3]int{}
		for _, s := range r.taken {
			offsets, err := loggroup.ParseOffsets(nil, s.group.Tag(loggroup.TagOffsets))
			require.NoError(t, err)
			ends, err := loggroup.ParseOffsets(nil, s.group.Tag(loggroup.TagEnds))
			require.NoError(t, err)
			var start, end int64
			_, err = fmt.Sscanf(string(s.group.Tag(loggroup.TagRange)), "%d-%d", &start, &end)
			require.NoError(t, err)
			var c [3]int
			_, err = fmt.Sscanf(string(s.group.Tag(loggroup.TagCounts)), "%d,%d,%d", &c[0], &c[1], &c[2])
			require.NoError(t, err)
			for i := range counts {
				counts[i] += c[i]
			}
			for i, l := range s.group.Logs {
				got = append(got, string(l.Contents[0].Value))
				n, _ := strconv.Atoi(strings.Fields(string(l.Contents[0].Value))[1])
				require.Equal(t, b.Records[n].Offset, start+offsets[i])
				require.Less(t, b.Records[n].Offset, end)
				_, told := slices.BinarySearch(ends, b.Records[n].Offset+b.Records[n].Size-start)
				require.Equal(t, n%2 == 1, told, "bytes that no record holds come after record %d", n)
			}
		}
		require.Len(t, got, 100-len(bad))
		var refused []int
		if rejected := (*pipeline.RejectedError)(nil); errors.As(err, &rejected) {
			for line := range strings.Lines(string(rejected.Records)) {
				var r refusedRecord
				require.NoError(t, json.Unmarshal([]byte(line), &r))
				require.Contains(t, r.Reason, "PostBodyInvalid")
				require.Equal(t, "/var/log/app.log", r.Tags["__path__"])
				n, err := strconv.Atoi(strings.TrimPrefix(r.Record["content"], "bad "))
				require.NoError(t, err)
				refused = append(refused, n)
			}
		}
		require.ElementsMatch(t, bad, refused, "those that were refused, and no others, are given back")
		require.Equal(t, 99-len(bad), counts[0])
		require.Equal(t, 1, counts[1])
		require.LessOrEqual(t, r.requests, 2*partsMax)
	}
}

func TestNothingButBadRecordsEnds(t *testing.T) {
	r := newReceiver(t)
	r.refuse = func(*stored, int) (int, string) { return 400, "InvalidTimestamp" }
	o := r.output(t, nil)
	err := o.Send(context.Background(), encode(t, o, testBatch(make([]string, 1000)...)))
	require.ErrorIs(t, err, pipeline.ErrRejected)
	require.LessOrEqual(t, r.requests, partsMax+1)
}

func TestLargeBatchesGoInParts(t *testing.T) {
	r := newReceiver(t)
	const rawMax = 64 << 10
	r.refuse = func(_ *stored, rawBytes int) (int, string) {
		if rawBytes > rawMax {
			return 400, "PostBodyTooLarge"
		}
		return 0, ""
	}
	lines := make([]string, 300)
	for i := range lines {
		lines[i] = strconv.Itoa(i) + " " + strings.Repeat("x", 1000)
	}
	for _, limit := range []config.Size{rawMax, 8 << 20} { // known beforehand, or told by the receiver
		r.taken = nil
		o := r.output(t, func(c *Config) { c.RawBytesMax = limit })
		require.NoError(t, o.Send(context.Background(), encode(t, o, testBatch(lines...))))
		n := 0
		for _, s := range r.taken {
			n += len(s.group.Logs)
		}
		require.Equal(t, 300, n)
	}
}

func TestAFailureBetweenPartsIsTriedAgain(t *testing.T) {
	r := newReceiver(t)
	r.refuse = func(s *stored, _ int) (int, string) {
		if len(s.group.Logs) > 5 {
			return 400, "PostBodyTooLarge"
		}
		if len(r.taken) > 0 {
			return 503, "ServerBusy"
		}
		return 0, ""
	}
	o := r.output(t, nil)
	err := o.Send(context.Background(), encode(t, o, testBatch(make([]string, 10)...)))
	var retry *pipeline.RetryError
	require.ErrorAs(t, err, &retry)
	require.NotErrorIs(t, err, pipeline.ErrRejected)
}

func TestForeignPayloadsAreRejected(t *testing.T) {
	r := newReceiver(t)
	o := r.output(t, nil)
	good := encode(t, o, testBatch("x"))
	newer := append([]byte(nil), good...)
	newer[2] = 9
	for _, p := range [][]byte{nil, []byte("WL"), []byte(strings.Repeat("x", 40)), good[:18], newer} {
		require.ErrorIs(t, o.Send(context.Background(), p), pipeline.ErrRejected)
	}
}

func FuzzSendPayload(f *testing.F) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(400) }))
	defer s.Close()
	r := &receiver{Server: s}
	o := r.output(f, nil)
	f.Add(encode(f, o, testBatch("x", "y")))
	f.Fuzz(func(t *testing.T, data []byte) {
		p, err := parsePayload(data)
		if err != nil {
			return
		}
		again := append(appendPayloadHeader(nil, &p), p.body...)
		q, err := parsePayload(again)
		require.NoError(t, err)
		require.Equal(t, p, q)
	})
}

func TestTraceGoesWithTheBatch(t *testing.T) {
	spans := tracetest.NewSpanRecorder()
	provider := trace.NewTracerProvider(trace.WithSpanProcessor(spans))
	before := otel.GetTracerProvider()
	otel.SetTracerProvider(provider)
	defer otel.SetTracerProvider(before)
	r := newReceiver(t)
	o := r.output(t, nil)
	ctx, parent := provider.Tracer("test").Start(context.Background(), "lane")
	payload, err := o.NewEncoder("pipe", "store").Encode(ctx, nil, testBatch("x"))
	require.NoError(t, err)
	parent.End()
	require.NoError(t, o.Send(context.Background(), payload))
	ended := spans.Ended()
	send := ended[len(ended)-1]
	require.Equal(t, "logservice.send", send.Name())
	require.Equal(t, parent.SpanContext().SpanID(), send.Parent().SpanID())
	require.Contains(t, r.taken[0].traceparent, send.SpanContext().TraceID().String())
	require.Contains(t, r.taken[0].traceparent, send.SpanContext().SpanID().String())
}

func TestConfigIsChecked(t *testing.T) {
	check := func(edit func(*Config)) (keys []string) {
		c := Config{Endpoint: "https://h", Project: "p", AccessKeyID: "k", AccessKeySecret: "s"}
		config.Defaults(&c)
		edit(&c)
		c.Validate(func(key, _ string) { keys = append(keys, key) })
		return keys
	}
	require.Empty(t, check(func(*Config) {}))
	require.Equal(t, []string{"endpoint", "project", "access_key_id", "timeout", "raw_bytes_max"}, check(func(c *Config) {
		c.Endpoint, c.Project, c.AccessKeyID, c.Timeout, c.RawBytesMax = "ftp://x", "a.b", "a:b", -1, 1
	}))
}

func TestEncodeAllocatesForTheBatchOnly(t *testing.T) {
	r := newReceiver(t)
	o := r.output(t, nil)
	e := o.NewEncoder("pipe", "store")
	var dst []byte
	cost := func(records int) float64 {
		b := testBatch(make([]string, records)...)
		defer b.Release()
		run := func() {
			var err error
			if dst, err = e.Encode(context.Background(), dst[:0], b); err != nil {
				t.Fatal(err)
			}
		}
		run()
		return testing.AllocsPerRun(50, run)
	}
	require.LessOrEqual(t, cost(1000), cost(1)+1)
	require.LessOrEqual(t, cost(1), 6.0)
}

// TestAWrongClockMayLookLikeAWrongSecret: some receivers check the signature
// first.
func TestAWrongClockMayLookLikeAWrongSecret(t *testing.T) {
	r := newReceiver(t)
	r.clock = func() time.Time { return time.Now().Add(time.Hour) }
	skewed := true
	r.refuse = func(*stored, int) (int, string) { return 0, "" }
	r.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if skewed {
			skewed = false
			w.Header().Set("x-log-time", strconv.FormatInt(r.clock().Unix(), 10))
			w.WriteHeader(http.StatusUnauthorized)
			_, _ = io.WriteString(w, `{"errorCode":"SignatureNotMatch","errorMessage":"no"}`)
			return
		}
		r.ServeHTTP(w, req)
	})
	o := r.output(t, nil)
	payload := encode(t, o, testBatch("x"))
	var retry *pipeline.RetryError
	require.ErrorAs(t, o.Send(context.Background(), payload), &retry)
	require.Zero(t, retry.Setback, "at once")
	require.NoError(t, o.Send(context.Background(), payload))
}

// TestRefusedRecordsKeepTheirBytes, whatever they are.
func TestRefusedRecordsKeepTheirBytes(t *testing.T) {
	r := newReceiver(t)
	r.refuse = func(*stored, int) (int, string) { return 400, "InvalidEncoding" }
	o := r.output(t, nil)
	err := o.Send(context.Background(), encode(t, o, testBatch("caf\xe9 \x00")))
	var rejected *pipeline.RejectedError
	require.ErrorAs(t, err, &rejected)
	var line refusedRecord
	require.NoError(t, json.Unmarshal(rejected.Records, &line))
	require.Equal(t, []string{"content"}, line.Base64)
	require.Equal(t, "Y2Fm6SAA", line.Record["content"])
}
