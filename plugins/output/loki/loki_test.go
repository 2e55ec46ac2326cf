package loki

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/golang/snappy"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"
	"google.golang.org/protobuf/types/known/timestamppb"

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

// push is what a push request says, by the schema that Loki publishes.
type push struct {
	Streams []struct {
		Labels  string
		Entries []entry
	}
}

type entry struct {
	Timestamp          time.Time
	Line               string
	StructuredMetadata []struct{ Name, Value string }
}

// schema describes Loki's push request to the protobuf library.
var schema = sync.OnceValue(func() protoreflect.MessageDescriptor {
	message := func(name string, fields ...*descriptorpb.FieldDescriptorProto) *descriptorpb.DescriptorProto {
		return &descriptorpb.DescriptorProto{Name: &name, Field: fields}
	}
	field := func(number int32, name, typ string) *descriptorpb.FieldDescriptorProto {
		f := &descriptorpb.FieldDescriptorProto{Name: &name, JsonName: &name, Number: &number}
		kind, label := descriptorpb.FieldDescriptorProto_TYPE_STRING, descriptorpb.FieldDescriptorProto_LABEL_OPTIONAL
		if typ != "" {
			kind = descriptorpb.FieldDescriptorProto_TYPE_MESSAGE
			f.TypeName = &typ
			if typ != ".google.protobuf.Timestamp" {
				label = descriptorpb.FieldDescriptorProto_LABEL_REPEATED
			}
		}
		f.Type, f.Label = &kind, &label
		return f
	}
	file, err := protodesc.NewFile(&descriptorpb.FileDescriptorProto{
		Name: proto.String("push.proto"), Syntax: proto.String("proto3"), Package: proto.String("p"),
		Dependency: []string{"google/protobuf/timestamp.proto"},
		MessageType: []*descriptorpb.DescriptorProto{
			message("Push", field(1, "streams", ".p.Stream")),
			message("Stream", field(1, "labels", ""), field(2, "entries", ".p.Entry")),
			message("Entry", field(1, "timestamp", ".google.protobuf.Timestamp"), field(2, "line", ""), field(3, "structuredMetadata", ".p.Pair")),
			message("Pair", field(1, "name", ""), field(2, "value", "")),
		},
	}, resolver{})
	if err != nil {
		panic("BUG: " + err.Error())
	}
	return file.Messages().ByName("Push")
})

type resolver struct{}

func (resolver) FindFileByPath(string) (protoreflect.FileDescriptor, error) {
	return timestamppb.File_google_protobuf_timestamp_proto, nil
}

func (resolver) FindDescriptorByName(protoreflect.FullName) (protoreflect.Descriptor, error) {
	return timestamppb.File_google_protobuf_timestamp_proto.Messages().Get(0), nil
}

func decode(t testing.TB, raw []byte) (p push) {
	t.Helper()
	m := dynamicpb.NewMessage(schema())
	require.NoError(t, proto.UnmarshalOptions{DiscardUnknown: false}.Unmarshal(raw, m))
	require.Empty(t, m.GetUnknown())
	text, err := protojson.Marshal(m)
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(text, &p))
	return p
}

func TestStreamsLinesAndMetadata(t *testing.T) {
	o := newOutput(t, "url: http://x\nlabels: {job: '{logstore}-\"q\"', host: '{host}'}\nlabel_fields: [level]\nmetadata_fields: [trace.id, none]\nstreams_max: 2")
	b := record.Get(&record.Origin{Path: "/a.log"})
	defer b.Release()
	b.ReadTime = specimen.ReadTime.UnixNano()
	b.Add([]byte("plain \xff line")).Marks = record.InvalidUTF8
	for _, level := range []string{"info", "warn", "info", "fatal", strings.Repeat("x", labelBytesMax+1)} {
		r := specimen.Add(b, "whole line", "level", level, "trace.id", "t1", "message", "hi")
		r.Time = time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC).UnixNano()
	}
	p, err := dispatch.Parse(specimen.Encode(t, o.NewEncoder("pipe", "nginx"), b))
	require.NoError(t, err)
	raw, err := p.Raw()
	require.NoError(t, err)
	specimen.Golden(t, "testdata/push.golden", raw)
	got := decode(t, raw)
	require.Len(t, got.Streams, 3)
	const common = `{host="host-1",job="nginx-\"q\""`
	require.Equal(t, common+"}", got.Streams[0].Labels)
	require.Equal(t, common+`,level="info"}`, got.Streams[1].Labels)
	require.Equal(t, common+`,level="warn"}`, got.Streams[2].Labels)
	plain := got.Streams[0].Entries[0]
	require.Equal(t, "plain \ufffd line", plain.Line)
	require.Equal(t, specimen.ReadTime, plain.Timestamp)
	require.Equal(t, "[{filename /a.log} {marks invalid_utf8}]", fmt.Sprint(plain.StructuredMetadata))
	require.Len(t, got.Streams[0].Entries, 3, "the one without fields, and those beyond the limits")
	require.Equal(t, "[{filename /a.log} {trace_id t1} {level fatal}]", fmt.Sprint(got.Streams[0].Entries[1].StructuredMetadata))
	info := got.Streams[1].Entries
	require.Len(t, info, 2)
	require.Equal(t, `{"level":"info","trace.id":"t1","message":"hi"}`, info[0].Line)
	require.Equal(t, time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC), info[0].Timestamp)
	require.Equal(t, "[{filename /a.log} {trace_id t1}]", fmt.Sprint(info[0].StructuredMetadata))

	items, err := format{}.Split(raw)
	require.NoError(t, err)
	require.Equal(t, raw, format{}.Join(nil, items))
}

func TestLines(t *testing.T) {
	for line, want := range map[string][]string{
		"raw": {"one", "two"}, "json": {`{"content":"one"}`, `{"a":"b"}`}, "auto": {"one", `{"a":"b"}`},
	} {
		o := newOutput(t, "url: http://x\nstructured_metadata: false\nline: "+line)
		b := record.Get(&record.Origin{Path: "/a.log"})
		b.Add([]byte("one")).Marks = record.Late
		specimen.Add(b, "two", "a", "b")
		p, err := dispatch.Parse(specimen.Encode(t, o.NewEncoder("pipe", "nginx"), b))
		require.NoError(t, err)
		b.Release()
		raw, err := p.Raw()
		require.NoError(t, err)
		got := decode(t, raw)
		require.Equal(t, `{host="host-1",job="nginx"}`, got.Streams[0].Labels)
		var lines []string
		for _, e := range got.Streams[0].Entries {
			lines = append(lines, e.Line)
			require.Empty(t, e.StructuredMetadata)
		}
		require.Equal(t, want, lines)
	}
}

// server is a Loki: it stores what it can of a request, once if it is equal, and
// answers 400 if there is something that it cannot store.
type server struct {
	t        testing.TB
	mu       sync.Mutex
	entries  map[string]int
	requests int
	header   http.Header
	refuse   func(e *entry) string
	status   int
	body     string
}

func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests++
	s.header = r.Header
	body, err := io.ReadAll(r.Body)
	if err != nil || r.URL.Path != "/loki/api/v1/push" || r.Header.Get("Content-Type") != "application/x-protobuf" || r.Header.Get("Content-Encoding") != "" {
		w.WriteHeader(http.StatusNotFound)
		return
	}
	if s.status != 0 {
		w.WriteHeader(s.status)
		_, _ = io.WriteString(w, s.body)
		return
	}
	raw, err := snappy.Decode(nil, body)
	require.NoError(s.t, err)
	var refused string
	for _, stream := range decode(s.t, raw).Streams {
		for i := range stream.Entries {
			e := &stream.Entries[i]
			if why := s.why(e); why != "" {
				refused = fmt.Sprintf("entry for stream '%s' has timestamp too old: %s: %s", stream.Labels, e.Timestamp, why)
				continue
			}
			s.entries[stream.Labels+e.Timestamp.String()+e.Line]++
		}
	}
	if refused != "" {
		w.WriteHeader(http.StatusBadRequest)
		_, _ = io.WriteString(w, refused)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

func (s *server) why(e *entry) string {
	if s.refuse == nil {
		return ""
	}
	return s.refuse(e)
}

func newServer(t testing.TB) (*server, *realserver.Lossy) {
	t.Helper()
	s := &server{t: t, entries: map[string]int{}}
	return s, realserver.LoseAnswers(t, "", s)
}

func TestTenantAndAnswers(t *testing.T) {
	s, front := newServer(t)
	o := newOutput(t, "url: "+front.URL+"\ntenant: team-{logstore}\nauth: {username: u, password: p}\nlabel_fields: [status]")
	require.NoError(t, o.Send(t.Context(), payload(t, o, 0, 300)))
	require.Len(t, s.entries, 300)
	require.Equal(t, "team-nginx", s.header.Get("X-Scope-OrgID"))
	require.Equal(t, "Basic dTpw", s.header.Get("Authorization"))
	for _, x := range []struct {
		status int
		body   string
		want   queue.Setback
		refuse bool
	}{
		{429, "Ingestion rate limit exceeded", queue.Setback{Scope: queue.Destination, Slower: true, After: time.Second}, false},
		{500, "", queue.Setback{}, false},
		{503, "", queue.Setback{}, false},
		{401, "no org id", queue.Setback{Scope: queue.Destination, After: 5 * time.Second}, false},
		{404, "", queue.Setback{Scope: queue.Destination, After: 30 * time.Second}, false},
		{400, "<html>a proxy</html>", queue.Setback{Scope: queue.Destination, After: 30 * time.Second}, false},
		{400, "stream 'x' includes structured metadata, but this feature is disallowed", queue.Setback{Scope: queue.Destination, After: 30 * time.Second}, false},
		{400, "max entry size exceeded", queue.Setback{}, true},
		{413, "", queue.Setback{}, true},
		{202, "", queue.Setback{}, false},
	} {
		s.status, s.body = x.status, x.body
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

func TestOldEntriesAreSingledOut(t *testing.T) {
	s, front := newServer(t)
	o := newOutput(t, "url: "+front.URL)
	s.refuse = func(e *entry) string {
		if strings.Contains(e.Line, `"n":"17"`) || strings.Contains(e.Line, `"n":"50"`) {
			return "oldest acceptable timestamp is: tomorrow"
		}
		return ""
	}
	err := o.Send(t.Context(), payload(t, o, 0, 100))
	var refused *pipeline.RejectedError
	require.ErrorAs(t, err, &refused)
	require.Len(t, s.entries, 98)
	var numbers []string
	for line := range strings.Lines(string(refused.Records)) {
		var x struct {
			Reason string
			Record struct {
				Time     time.Time
				Labels   string
				Line     string
				Metadata map[string]string
			}
		}
		require.NoError(t, json.Unmarshal([]byte(line), &x))
		require.Contains(t, x.Reason, "oldest acceptable")
		require.Equal(t, "/var/log/nginx/access.log", x.Record.Metadata["filename"])
		require.Equal(t, 2026, x.Record.Time.Year())
		var fields map[string]string
		require.NoError(t, json.Unmarshal([]byte(x.Record.Line), &fields))
		numbers = append(numbers, fields["n"])
	}
	require.Equal(t, []string{"17", "50"}, numbers)
}

// TestAnAnswerThatIsLost: one batch comes twice at most, and is equal.
func TestAnAnswerThatIsLost(t *testing.T) {
	s, front := newServer(t)
	o := newOutput(t, "url: "+front.URL)
	front.Lose.Store(1)
	first, second := payload(t, o, 0, 100), payload(t, o, 100, 100)
	require.Error(t, o.Send(t.Context(), first))
	require.NoError(t, o.Send(t.Context(), first))
	require.NoError(t, o.Send(t.Context(), second))
	require.Len(t, s.entries, 200)
	twice := 0
	for _, n := range s.entries {
		twice += n - 1
	}
	require.Equal(t, 100, twice)
}

func TestLargeBatchesGoInParts(t *testing.T) {
	s, front := newServer(t)
	o := newOutput(t, "url: "+front.URL+"\nraw_bytes_max: 64KiB\nlabel_fields: [n]\nstreams_max: 7")
	require.NoError(t, o.Send(t.Context(), payload(t, o, 0, 1000)))
	require.Len(t, s.entries, 1000)
	require.Greater(t, s.requests, 2)
	labels := map[string]bool{}
	for key := range s.entries {
		labels[key[:strings.IndexByte(key, '}')]] = true
	}
	require.Len(t, labels, 8)
}

func TestValidate(t *testing.T) {
	for settings, want := range map[string]string{
		"labels: {a-b: x}":                                 "labels.a-b",
		"labels: {a: '{what}'}":                            "{what}",
		"labels: {level: x}\nlabel_fields: [level]":        "both",
		"tenant: 'a b'":                                    "one word",
		"streams_max: 0":                                   "streams_max",
		"structured_metadata: false\nmetadata_fields: [a]": "structured_metadata is off",
		"label_fields: [a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,p]":  "15",
	} {
		_, err := specimen.OutputSettings[Config]("url: http://x\n" + settings)
		require.ErrorContains(t, err, strings.Replace(want, "both", "labels has it too", 1), settings)
	}
	for name, want := range map[string]string{"level": "level", "a.b-c": "a_b_c", "1st": "_1st", "": "_", "__name__": "f__name__", "ü": "_"} {
		require.Equal(t, want, labelName(name))
	}
}

// TestVictoriaLogs sends to a real server, which is killed in between.
func TestVictoriaLogs(t *testing.T) {
	s := realserver.VictoriaLogs(t)
	o := newOutput(t, "url: "+s.URL+"/insert\nlabel_fields: [status]\nmetadata_fields: [agent]")
	require.NoError(t, o.Send(t.Context(), payload(t, o, 0, 1000)))
	s.Settle()
	s.Kill()
	waiting := payload(t, o, 1000, 500)
	var retry *pipeline.RetryError
	require.ErrorAs(t, o.Send(t.Context(), waiting), &retry)
	s.Start()
	require.NoError(t, o.Send(t.Context(), waiting))

	rows := s.Query(`{host="host-1",job="nginx",status="200"} | sort by (_time)`)
	require.Len(t, rows, 1500)
	want := specimen.AccessLog(0, 1500)
	defer want.Release()
	for i, row := range rows {
		r := &want.Records[i]
		require.Equal(t, time.Unix(0, r.Time).UTC().Format(time.RFC3339Nano), row["_time"])
		require.Equal(t, strconv.Itoa(i), row["n"])
		require.Equal(t, string(r.Fields[2].Value), row["request"])
		require.Equal(t, "/var/log/nginx/access.log", row["filename"])
	}
	// At a wrong path nothing is given up.
	require.ErrorAs(t, newOutput(t, "url: "+s.URL+"/nowhere").Send(t.Context(), waiting), &retry)
}

func TestEncodeDoesNotAllocate(t *testing.T) {
	specimen.RequireNoAllocation(t, newOutput(t, "url: http://x\nlabel_fields: [level, status]\nmetadata_fields: [agent]").NewEncoder("pipe", "nginx"))
}

func BenchmarkEncode(b *testing.B) {
	specimen.BenchmarkEncode(b, newOutput(b, "url: http://x\nlabel_fields: [level]").NewEncoder("pipe", "nginx"))
}

// FuzzSplit: whatever a payload holds, it is cut without a panic, and put together
// again to the same records.
func FuzzSplit(f *testing.F) {
	f.Add([]byte("\x0a\x0c\x0a\x02{}\x12\x06\x0a\x02\x08\x01\x12\x00"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		items, err := format{}.Split(raw)
		if err != nil {
			return
		}
		for _, it := range items {
			require.True(t, json.Valid(format{}.Show(nil, it)))
		}
		again, err := format{}.Split(format{}.Join(nil, items))
		require.NoError(t, err)
		require.Len(t, again, len(items))
		require.True(t, slices.EqualFunc(items, again, func(a, b dispatch.Item) bool { return string(a.Record) == string(b.Record) }))
	})
}

func FuzzAnswer(f *testing.F) {
	f.Add(400, "entry too far behind")
	f.Fuzz(func(t *testing.T, status int, body string) {
		failure := &transport.Failure{Class: transport.Misconfigured, Status: status, Message: body, Body: []byte(body)}
		classify(failure)
		require.Equal(t, failure.Class == transport.BadData, status == 400 && failure.Advice == "" && failure.Class != transport.Misconfigured)
	})
}
