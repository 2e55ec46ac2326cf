package elasticsearch

import (
	"compress/gzip"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wasmtail/wasmtail/agent/dispatch"
	"github.com/wasmtail/wasmtail/agent/pipeline"
	"github.com/wasmtail/wasmtail/agent/queue"
	"github.com/wasmtail/wasmtail/agent/transport"
	"github.com/wasmtail/wasmtail/internal/realserver"
	"github.com/wasmtail/wasmtail/internal/record"
	"github.com/wasmtail/wasmtail/internal/specimen"
)

var testEnv = dispatch.Env{AgentID: specimen.Agent, Hostname: "Host-1", Version: "1.2.3"}

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

// cluster is an Elasticsearch: it takes bulk requests, and has one rule for each
// index and id.
type cluster struct {
	mu       sync.Mutex
	docs     map[string]map[string]any // by index and id
	stored   int
	requests int
	sizes    []int
	header   http.Header
	query    string
	// refuse may answer for a document, with a status that is not 0, and whole for a
	// request.
	refuse func(doc map[string]any) (status int, kind, reason string)
	whole  func(documents, rawBytes int) (status int, body string)
}

func (c *cluster) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.requests++
	c.header, c.query = r.Header, r.URL.RawQuery
	if r.URL.Path != "/es/_bulk" || r.Method != http.MethodPost || r.Header.Get("Content-Type") != "application/x-ndjson" {
		w.WriteHeader(http.StatusNotFound)
		return
	}
	var body io.Reader = r.Body
	if r.Header.Get("Content-Encoding") == "gzip" {
		z, err := gzip.NewReader(r.Body)
		if err != nil {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		body = z
	}
	raw, err := io.ReadAll(body)
	if err != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	lines := strings.Split(strings.TrimSuffix(string(raw), "\n"), "\n")
	c.sizes = append(c.sizes, len(lines)/2)
	if c.whole != nil {
		if status, text := c.whole(len(lines)/2, len(raw)); status != 0 {
			w.WriteHeader(status)
			_, _ = io.WriteString(w, text)
			return
		}
	}
	var items []any
	failed := false
	for i := 0; i+1 < len(lines); i += 2 {
		item, ok := c.create(lines[i], lines[i+1])
		failed = failed || !ok
		items = append(items, map[string]any{"create": item})
	}
	_ = json.NewEncoder(w).Encode(map[string]any{"took": 1, "errors": failed, "items": items})
}

func (c *cluster) create(action, text string) (item map[string]any, ok bool) {
	var a struct {
		Create struct {
			Index string `json:"_index"`
			ID    string `json:"_id"`
		} `json:"create"`
	}
	var doc map[string]any
	if json.Unmarshal([]byte(action), &a) != nil || json.Unmarshal([]byte(text), &doc) != nil || a.Create.ID == "" {
		return map[string]any{"status": 400, "error": map[string]any{"type": "parse_exception", "reason": "no JSON"}}, false
	}
	if c.refuse != nil {
		if status, kind, reason := c.refuse(doc); status != 0 {
			return map[string]any{"status": status, "error": map[string]any{"type": kind, "reason": reason, "caused_by": map[string]any{"reason": "cause"}}}, false
		}
	}
	key := a.Create.Index + "/" + a.Create.ID
	if _, exists := c.docs[key]; exists {
		return map[string]any{"status": 409, "error": map[string]any{"type": "version_conflict_engine_exception", "reason": "document already exists"}}, false
	}
	c.docs[key] = doc
	c.stored++
	return map[string]any{"_index": a.Create.Index, "status": 201}, true
}

func newCluster(t testing.TB) (*cluster, *realserver.Lossy) {
	t.Helper()
	c := &cluster{docs: map[string]map[string]any{}}
	return c, realserver.LoseAnswers(t, "", c)
}

// numbers are the records that are stored.
func (c *cluster) numbers(t testing.TB) map[int]bool {
	t.Helper()
	got := map[int]bool{}
	for _, doc := range c.docs {
		n, err := strconv.Atoi(doc["n"].(string))
		require.NoError(t, err)
		require.False(t, got[n], "record %d is there twice", n)
		got[n] = true
	}
	return got
}

func TestGolden(t *testing.T) {
	o := newOutput(t, "url: http://es\ncompression: none")
	b := specimen.AccessLog(3599, 2) // the second is of the next hour
	defer b.Release()
	r := b.Add([]byte("odd \xff line"))
	r.Offset, r.Marks = 1<<40, record.InvalidUTF8
	b.Fail(r, 0, []byte("regex: no match"))
	r = b.Add([]byte("plain"))
	r.Offset, r.Time = 1<<40, time.Date(2025, 12, 31, 23, 59, 59, 0, time.UTC).UnixNano()
	r.Fields = append(r.Fields, specimen.Field("host", "web"), specimen.Field("_id", "x"), specimen.Field("message", "forged"))
	p, err := dispatch.Parse(specimen.Encode(t, o.NewEncoder("pipe", "nginx"), b))
	require.NoError(t, err)
	require.Equal(t, specimen.Agent+"/"+specimen.Generation+"/921344-921856", p.Batch)
	specimen.Golden(t, "testdata/bulk.golden", p.Body)
	items, err := format{}.Split(p.Body)
	require.NoError(t, err)
	require.Len(t, items, 4)
	require.Equal(t, string(p.Body), string(format{}.Join(nil, items)))
}

func TestStoresAndAuthenticates(t *testing.T) {
	key := t.TempDir() + "/key"
	require.NoError(t, os.WriteFile(key, []byte("a2V5\n"), 0o600))
	for settings, want := range map[string]string{
		"auth: {username: u, password: p}":                  "Basic dTpw",
		"auth: {scheme: ApiKey, token_file: '" + key + "'}": "ApiKey a2V5",
		"compression: none":                                 "",
	} {
		c, front := newCluster(t)
		o := newOutput(t, "url: "+front.URL+"/es/\ningest_pipeline: a&b\nheaders: {X-Tenant: web}\n"+settings)
		require.NoError(t, o.Send(t.Context(), payload(t, o, 0, 500)))
		require.Len(t, c.numbers(t), 500)
		require.Equal(t, want, c.header.Get("Authorization"))
		require.Equal(t, "web", c.header.Get("X-Tenant"))
		require.Contains(t, c.query, "pipeline=a%26b")
		for key, doc := range c.docs {
			require.True(t, strings.HasPrefix(key, "wasmtail-nginx-2026.11.25/"), key)
			require.Equal(t, "/var/log/nginx/access.log", doc["log.file.path"])
		}
	}
}

// TestAnAnswerThatIsLost: the records are stored, nobody hears of it, and the batch
// comes again, this time in another cut: each is there once.
func TestAnAnswerThatIsLost(t *testing.T) {
	c, front := newCluster(t)
	o := newOutput(t, "url: "+front.URL+"/es/_bulk")
	front.Lose.Store(1)
	err := o.Send(t.Context(), payload(t, o, 0, 100))
	var retry *pipeline.RetryError
	require.ErrorAs(t, err, &retry)
	require.Equal(t, 100, c.stored)
	require.NoError(t, o.Send(t.Context(), payload(t, o, 0, 70)))
	require.NoError(t, o.Send(t.Context(), payload(t, o, 70, 70)))
	require.Equal(t, 140, c.stored)
	require.Len(t, c.numbers(t), 140)
}

func TestRecordsAreJudgedOneByOne(t *testing.T) {
	c, front := newCluster(t)
	o := newOutput(t, "url: "+front.URL+"/es")
	busy := true
	c.refuse = func(doc map[string]any) (status int, kind, reason string) {
		switch n, _ := strconv.Atoi(doc["n"].(string)); {
		case n%10 == 3:
			return 400, "document_parsing_exception", "failed to parse field [status]"
		case n%10 == 7 && busy:
			return 429, "es_rejected_execution_exception", "queue is full"
		}
		return 0, "", ""
	}
	data := payload(t, o, 0, 100)
	err := o.Send(t.Context(), data)
	var retry *pipeline.RetryError
	require.ErrorAs(t, err, &retry)
	require.NotErrorIs(t, err, pipeline.ErrRejected)
	require.Equal(t, queue.Setback{Scope: queue.Destination, After: time.Second, Slower: true}, retry.Setback)
	require.Equal(t, 80, c.stored)

	require.Error(t, o.Send(t.Context(), data))
	require.Equal(t, []int{100, 10}, c.sizes, "only those that there was no room for")
	busy = false
	err = o.Send(t.Context(), data)
	var refused *pipeline.RejectedError
	require.ErrorAs(t, err, &refused)
	require.Equal(t, []int{100, 10, 10}, c.sizes)
	require.Len(t, c.numbers(t), 90)
	lines := 0
	for line := range strings.Lines(string(refused.Records)) {
		var r struct {
			Batch, Reason string
			Record        struct {
				Action   map[string]any
				Document map[string]any
			}
		}
		require.NoError(t, json.Unmarshal([]byte(line), &r))
		require.Equal(t, "the receiver answered 400 document_parsing_exception: failed to parse field [status] (cause)", r.Reason)
		require.Equal(t, strconv.Itoa(10*lines+3), r.Record.Document["n"])
		require.NotEmpty(t, r.Record.Action["create"])
		lines++
	}
	require.Equal(t, 10, lines)
	require.NoError(t, o.Send(t.Context(), payload(t, o, 100, 2)), "nothing is left of it")
}

func TestWhatIsNotAboutRecordsIsKept(t *testing.T) {
	c, front := newCluster(t)
	o := newOutput(t, "url: "+front.URL+"/es")
	for _, x := range []struct {
		status int
		reason string
		after  time.Duration
	}{
		{400, "pipeline with id [geoip] does not exist", 30 * time.Second},
		{403, "index read-only / allow delete (api)", 30 * time.Second},
		{404, "no such index", 30 * time.Second},
		{503, "primary shard is not active", 0},
	} {
		c.refuse = func(map[string]any) (status int, kind, reason string) { return x.status, "some_exception", x.reason }
		err := o.Send(t.Context(), payload(t, o, 0, 3))
		var retry *pipeline.RetryError
		require.ErrorAs(t, err, &retry, x.reason)
		require.Equal(t, x.after, retry.After, x.reason)
		require.ErrorContains(t, err, x.reason)
	}
}

func TestWholeRequests(t *testing.T) {
	c, front := newCluster(t)
	o := newOutput(t, "url: "+front.URL+"/es")
	for _, x := range []struct {
		status  int
		body    string
		after   time.Duration
		refused bool
	}{
		{401, `{"error":{"type":"security_exception","reason":"missing authentication"},"status":401}`, 5 * time.Second, false},
		{403, `{"error":{"type":"security_exception","reason":"action is unauthorized"},"status":403}`, 30 * time.Second, false},
		{400, `<html>nginx</html>`, 30 * time.Second, false},
		{400, `{"error":{"type":"illegal_argument_exception","reason":"malformed action"},"status":400}`, 0, true},
		{429, `{"error":{"type":"circuit_breaking_exception","reason":"data too large"},"status":429}`, time.Second, false},
		{502, `bad gateway`, 0, false},
		{200, `{}`, 0, false},
		{200, ``, 0, false},
		{200, `{"errors":true,"items":[]}`, 0, false},
	} {
		c.whole = func(int, int) (int, string) { return x.status, x.body }
		err := o.Send(t.Context(), payload(t, o, 0, 1))
		require.Error(t, err)
		require.Equal(t, x.refused, errors.Is(err, pipeline.ErrRejected), "%v", err)
		var retry *pipeline.RetryError
		if !x.refused {
			require.ErrorAs(t, err, &retry)
			require.Equal(t, x.after, retry.After, "%v", err)
		}
	}
}

// TestTooLargeForTheReceiver: the receiver's limit is below ours, and above.
func TestTooLargeForTheReceiver(t *testing.T) {
	c, front := newCluster(t)
	c.whole = func(_, rawBytes int) (int, string) {
		if rawBytes > 30_000 {
			return http.StatusRequestEntityTooLarge, ""
		}
		return 0, ""
	}
	o := newOutput(t, "url: "+front.URL+"/es\nraw_bytes_max: 64KiB")
	require.NoError(t, o.Send(t.Context(), payload(t, o, 0, 1000)))
	require.Len(t, c.numbers(t), 1000)
	require.Equal(t, 1000, c.stored)
	c.whole = nil
	before := c.requests
	require.NoError(t, o.Send(t.Context(), payload(t, o, 1000, 10_001)))
	require.Len(t, c.numbers(t), 11_001)
	require.Greater(t, c.requests-before, 10)
}

func TestValidate(t *testing.T) {
	for settings, want := range map[string]string{
		"url: ftp://x":                                     "scheme",
		"url: https://u:secretword@x":                      "auth",
		"url: https://x?a=b":                               "query",
		"url: https://x\nindex: Upper":                     "lower case",
		"url: https://x\nindex: -a":                        "begin with",
		"url: https://x\nindex: 'a b'":                     "spaces",
		"url: https://x\nindex: '{what}'":                  "{what}",
		"url: https://x\nauth: {password: x}":              "username",
		"url: https://x\nheaders: {Content-Length: '1'}":   "headers.Content-Length",
		"url: https://x\nraw_bytes_max: 1KiB":              "raw_bytes_max",
		"url: https://x\ncompression: zstd":                "compression",
		"url: https://x\nauth: {username: u, token: word}": "give one",
	} {
		_, err := specimen.OutputSettings[Config](settings)
		require.ErrorContains(t, err, want, settings)
		require.NotContains(t, err.Error(), "secretword")
	}
}

// TestVictoriaLogs sends to a real server, which is killed in between. What arrives
// is compared with what was sent.
func TestVictoriaLogs(t *testing.T) {
	s := realserver.VictoriaLogs(t)
	o := newOutput(t, "url: "+s.URL+"/insert/elasticsearch\nheaders: {VL-Msg-Field: request, VL-Time-Field: '@timestamp', VL-Stream-Fields: host.name}")
	require.NoError(t, o.Send(t.Context(), payload(t, o, 0, 1000)))
	s.Settle()
	s.Kill()
	waiting := payload(t, o, 1000, 500)
	var retry *pipeline.RetryError
	require.ErrorAs(t, o.Send(t.Context(), waiting), &retry)
	require.Zero(t, retry.Setback)
	s.Start()
	require.NoError(t, o.Send(t.Context(), waiting))

	rows := s.Query(`host.name:="Host-1" | sort by (_time)`)
	require.Len(t, rows, 1500)
	want := specimen.AccessLog(0, 1500)
	defer want.Release()
	for i, row := range rows {
		r := &want.Records[i]
		require.Equal(t, time.Unix(0, r.Time).UTC().Format(time.RFC3339Nano), row["_time"])
		require.Equal(t, string(r.Fields[0].Value), row["n"])
		require.Equal(t, string(r.Fields[2].Value), row["_msg"])
		require.Equal(t, "nginx", row["wasmtail.logstore"])
		require.Equal(t, strconv.FormatInt(r.Offset, 10), row["log.offset"])
	}
}

func TestEncodeDoesNotAllocate(t *testing.T) {
	for _, compression := range []string{"none", "gzip"} {
		specimen.RequireNoAllocation(t, newOutput(t, "url: http://x\ncompression: "+compression).NewEncoder("pipe", "nginx"))
	}
}

func BenchmarkEncode(b *testing.B) {
	for _, compression := range []string{"none", "gzip"} {
		b.Run(compression, func(b *testing.B) {
			specimen.BenchmarkEncode(b, newOutput(b, "url: http://x\ncompression: "+compression).NewEncoder("pipe", "nginx"))
		})
	}
}

// FuzzAnswer: whatever a receiver says, each record is accounted for.
func FuzzAnswer(f *testing.F) {
	f.Add(`{"errors":true,"items":[{"create":{"status":201}},{"create":{"status":400,"error":{"type":"a","reason":"b"}}},{"index":{"status":429,"error":"x"}}]}`, 3)
	f.Add(`{"errors":false}`, 3)
	f.Add(`{"errors":1,"items":[1,null,{"create":[]}]}`, 3)
	f.Fuzz(func(t *testing.T, body string, records int) {
		v, err := verdict(&transport.Response{Status: 200, Body: []byte(body)}, records)
		if err != nil {
			var failure *transport.Failure
			require.ErrorAs(t, err, &failure)
			return
		}
		require.LessOrEqual(t, len(v.Again)+len(v.Refused), max(records, 0))
		if len(v.Again) > 0 {
			require.NotNil(t, v.Why)
		}
		classify(&transport.Failure{Status: 400, Body: []byte(body)})
	})
}

func FuzzSplit(f *testing.F) {
	f.Add("{\"create\":{}}\n{}\n")
	f.Fuzz(func(t *testing.T, raw string) {
		items, err := format{}.Split([]byte(raw))
		if err == nil {
			require.Equal(t, raw, string(format{}.Join(nil, items)))
		}
	})
}
