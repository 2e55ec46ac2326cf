package httpout

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/stretchr/testify/require"

	"github.com/wasmtail/wasmtail/agent/dispatch"
	"github.com/wasmtail/wasmtail/agent/pipeline"
	"github.com/wasmtail/wasmtail/agent/queue"
	"github.com/wasmtail/wasmtail/agent/transport"
	"github.com/wasmtail/wasmtail/internal/realserver"
	"github.com/wasmtail/wasmtail/internal/record"
	"github.com/wasmtail/wasmtail/internal/specimen"
)

var testEnv = dispatch.Env{AgentID: specimen.Agent, Hostname: "host 1", Version: "1.2.3"}

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

// server takes JSON, lines or an array.
type server struct {
	mu       sync.Mutex
	rows     []map[string]any
	requests int
	uri      string
	header   http.Header
	status   int
	body     string
	answer   http.Header
	refuse   func(row map[string]any) bool
}

func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests++
	s.uri, s.header = r.RequestURI, r.Header
	for name, values := range s.answer {
		w.Header()[name] = values
	}
	if s.status != 0 {
		w.WriteHeader(s.status)
		_, _ = io.WriteString(w, s.body)
		return
	}
	rows, err := readRows(r)
	for _, row := range rows {
		if s.refuse != nil && s.refuse(row) {
			err = errors.New("a bad row")
		}
	}
	if err != nil {
		w.WriteHeader(http.StatusBadRequest)
		_, _ = io.WriteString(w, err.Error())
		return
	}
	s.rows = append(s.rows, rows...)
	w.WriteHeader(http.StatusAccepted)
}

func readRows(r *http.Request) (rows []map[string]any, err error) {
	var body io.Reader = r.Body
	switch r.Header.Get("Content-Encoding") {
	case "gzip":
		if body, err = gzip.NewReader(r.Body); err != nil {
			return nil, err
		}
	case "zstd":
		z, err := zstd.NewReader(r.Body)
		if err != nil {
			return nil, err
		}
		defer z.Close()
		body = z
	}
	raw, err := io.ReadAll(body)
	if err != nil {
		return nil, err
	}
	if bytes.HasPrefix(raw, []byte("[")) {
		err = json.Unmarshal(raw, &rows)
		return rows, err
	}
	d := json.NewDecoder(bytes.NewReader(raw))
	for {
		var row map[string]any
		if err := d.Decode(&row); errors.Is(err, io.EOF) {
			return rows, nil
		} else if err != nil {
			return nil, err
		}
		rows = append(rows, row)
	}
}

func newServer(t testing.TB) (*server, *realserver.Lossy) {
	t.Helper()
	s := &server{}
	return s, realserver.LoseAnswers(t, "", s)
}

func TestGolden(t *testing.T) {
	b := specimen.AccessLog(7, 2)
	defer b.Release()
	b.Add([]byte("plain")).Marks = record.Partial
	b.Fail(b.Add([]byte("odd")), 0, []byte("why"))
	specimen.Add(b, "x", "time", "forged", "id", "forged")
	for _, format := range []string{"json_lines", "json_array"} {
		o := newOutput(t, "url: http://x\ncompression: none\nkeys: {id: id, time_format: unix_ms, pipeline: pipeline}\nformat: "+format)
		p, err := dispatch.Parse(specimen.Encode(t, o.NewEncoder("pipe", "nginx"), b))
		require.NoError(t, err)
		specimen.Golden(t, "testdata/"+format+".golden", p.Body)
		var f dispatch.Format = lines{}
		if format == "json_array" {
			f = array{}
		}
		items, err := f.Split(p.Body)
		require.NoError(t, err)
		require.Len(t, items, 5)
		require.Equal(t, string(p.Body), string(f.Join(nil, items)))
	}
}

func TestFormsOfRequests(t *testing.T) {
	for _, compression := range []string{"gzip", "zstd", "none"} {
		for format, contentType := range map[string]string{"json_lines": "application/x-ndjson", "json_array": "application/json"} {
			s, front := newServer(t)
			o := newOutput(t, "url: '"+front.URL+"/in/{logstore}/{host}?a={pipeline}'\nquery: {query: 'INSERT INTO t.{logstore} FORMAT JSONEachRow', b: '&'}\n"+
				"headers: {X-Source: 'from {pipeline}'}\nauth: {token: word}\nformat: "+format+"\ncompression: "+compression+"\nraw_bytes_max: 64KiB")
			require.NoError(t, o.Send(t.Context(), payload(t, o, 0, 500)))
			require.Len(t, s.rows, 500)
			require.Greater(t, s.requests, 1)
			for i, row := range s.rows {
				require.Equal(t, strconv.Itoa(i), row["n"])
				require.Equal(t, "host 1", row["host"])
				require.Equal(t, "/var/log/nginx/access.log", row["path"])
			}
			require.Equal(t, "/in/nginx/host+1?a=pipe&b=%26&query=INSERT+INTO+t.nginx+FORMAT+JSONEachRow", s.uri)
			require.Equal(t, "from pipe", s.header.Get("X-Source"))
			require.Equal(t, "Bearer word", s.header.Get("Authorization"))
			require.Equal(t, contentType, s.header.Get("Content-Type"))
		}
	}
}

func TestAnswers(t *testing.T) {
	s, front := newServer(t)
	o := newOutput(t, "url: "+front.URL)
	for _, x := range []struct {
		status int
		body   string
		want   queue.Setback
		refuse bool
	}{
		{429, "", queue.Setback{Scope: queue.Destination, Slower: true, After: time.Second}, false},
		{500, "", queue.Setback{}, false},
		{403, "", queue.Setback{Scope: queue.Destination, After: 30 * time.Second}, false},
		{404, "", queue.Setback{Scope: queue.Destination, After: 30 * time.Second}, false},
		{301, "", queue.Setback{Scope: queue.Destination, After: 30 * time.Second}, false},
		{400, "<!DOCTYPE html>", queue.Setback{Scope: queue.Destination, After: 30 * time.Second}, false},
		{400, "Code: 27. DB::Exception: Cannot parse input", queue.Setback{}, true},
		{422, "", queue.Setback{}, true},
		{413, "", queue.Setback{}, true},
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
	s.status, s.answer = 503, http.Header{"Retry-After": {"7"}}
	var retry *pipeline.RetryError
	require.ErrorAs(t, o.Send(t.Context(), payload(t, o, 0, 1)), &retry)
	require.Equal(t, queue.Setback{After: 7 * time.Second}, retry.Setback)
	s.status, s.answer = 200, http.Header{"X-Clickhouse-Exception-Code": {"27"}}
	require.ErrorContains(t, o.Send(t.Context(), payload(t, o, 0, 1)), "Exception-Code 27")
	s.status, s.answer = 204, nil
	require.NoError(t, o.Send(t.Context(), payload(t, o, 0, 1)))
}

func TestBadRecordsAreSingledOut(t *testing.T) {
	for _, format := range []string{"json_lines", "json_array"} {
		s, front := newServer(t)
		s.refuse = func(row map[string]any) bool { return row["n"] == "13" }
		o := newOutput(t, "url: "+front.URL+"\nformat: "+format)
		var refused *pipeline.RejectedError
		require.ErrorAs(t, o.Send(t.Context(), payload(t, o, 0, 100)), &refused)
		require.Len(t, s.rows, 99)
		var x struct{ Record map[string]string }
		require.NoError(t, json.Unmarshal(refused.Records, &x))
		require.Equal(t, "13", x.Record["n"])
	}
}

// TestAnAnswerThatIsLost: one batch comes twice at most, with the same ids.
func TestAnAnswerThatIsLost(t *testing.T) {
	s, front := newServer(t)
	o := newOutput(t, "url: "+front.URL+"\nkeys: {id: id}")
	front.Lose.Store(1)
	first, second := payload(t, o, 0, 100), payload(t, o, 100, 100)
	require.Error(t, o.Send(t.Context(), first))
	require.NoError(t, o.Send(t.Context(), first))
	require.NoError(t, o.Send(t.Context(), second))
	require.Len(t, s.rows, 300)
	ids := map[any]bool{}
	for _, row := range s.rows {
		ids[row["id"]] = true
	}
	require.Len(t, ids, 200)
}

func TestValidate(t *testing.T) {
	for settings, want := range map[string]string{
		"url: 'http://{host}/a'":                            "path and the query only",
		"url: 'http://x{host}/a'":                           "path and the query only",
		"url: 'http://u:p@x/{host}'":                        "auth",
		"url: 'http://x/a b'":                               "spaces",
		"url: http://x\nheaders: {X-Key: 'a{secretword}b'}": "headers.X-Key",
		"url: 'http://x/{what}'":                            "{what}",
		"url: 'http://x/%zz'":                               "cannot use",
		"url: http://x\nquery: {a: '{b}'}":                  "{b}",
		"url: http://x\nrefused_statuses: [429]":            "429",
		"url: http://x\nkeys: {time: a, path: a}":           "is the name of time too",
	} {
		_, err := specimen.OutputSettings[Config](settings)
		require.ErrorContains(t, err, want, settings)
		require.NotContains(t, err.Error(), "secretword")
	}
}

// TestVictoriaLogs sends to a real server, which is killed in between.
func TestVictoriaLogs(t *testing.T) {
	s := realserver.VictoriaLogs(t)
	for _, compression := range []string{"gzip"} {
		o := newOutput(t, "url: '"+s.URL+"/insert/jsonline'\nquery: {_time_field: time, _msg_field: request, _stream_fields: 'logstore'}\n"+
			"keys: {logstore: logstore}\ncompression: "+compression)
		encoder := o.NewEncoder("pipe", compression)
		send := func(first, n int) error {
			b := specimen.AccessLog(first, n)
			defer b.Release()
			return o.Send(t.Context(), specimen.Encode(t, encoder, b))
		}
		require.NoError(t, send(0, 1000))
		s.Settle()
		s.Kill()
		var retry *pipeline.RetryError
		require.ErrorAs(t, send(1000, 500), &retry)
		s.Start()
		require.NoError(t, send(1000, 500))
		rows := s.Query(`{logstore="` + compression + `"} | sort by (_time)`)
		require.Len(t, rows, 1500)
		want := specimen.AccessLog(0, 1500)
		for i, row := range rows {
			r := &want.Records[i]
			require.Equal(t, time.Unix(0, r.Time).UTC().Format(time.RFC3339Nano), row["_time"])
			require.Equal(t, strconv.Itoa(i), row["n"])
			require.Equal(t, string(r.Fields[2].Value), row["_msg"])
		}
		want.Release()
	}
}

// TestClickHouse inserts into a real server, where there is one, which is killed in
// between.
func TestClickHouse(t *testing.T) {
	s := realserver.ClickHouse(t)
	s.Start()
	s.Query("CREATE TABLE nginx (time Int64, n UInt32, status UInt16, request String, path String) ENGINE = MergeTree ORDER BY n PARTITION BY tuple()")
	o := newOutput(t, "url: "+s.URL+"/\nrefused_statuses: [400, 422, 500]\nkeys: {time_format: unix_ns}\n"+
		"query: {query: 'INSERT INTO {logstore} FORMAT JSONEachRow', input_format_skip_unknown_fields: '1'}")
	require.NoError(t, o.Send(t.Context(), payload(t, o, 0, 1000)))
	s.Kill()
	waiting := payload(t, o, 1000, 500)
	var retry *pipeline.RetryError
	require.ErrorAs(t, o.Send(t.Context(), waiting), &retry)
	s.Start()
	require.NoError(t, o.Send(t.Context(), waiting))
	require.Equal(t, "1500\t1500\t0\t1499\t200\n", s.Query("SELECT count(), uniqExact(n), min(n), max(n), max(status) FROM nginx"))
	want := specimen.AccessLog(1499, 1)
	defer want.Release()
	require.Equal(t, strconv.FormatInt(want.Records[0].Time, 10)+"\t"+string(want.Records[0].Fields[2].Value)+"\n", s.Query("SELECT time, request FROM nginx WHERE n = 1499"))

	// A row that is not of the table's types is put aside, and the others are there.
	b := specimen.AccessLog(1500, 20)
	defer b.Release()
	b.Records[7].Fields[3].Value = []byte("no number")
	var refused *pipeline.RejectedError
	require.ErrorAs(t, o.Send(t.Context(), specimen.Encode(t, o.NewEncoder("pipe", "nginx"), b)), &refused)
	require.Contains(t, string(refused.Records), `"n":"1507"`)
	require.Equal(t, "1519\t1519\n", s.Query("SELECT count(), uniqExact(n) FROM nginx"))
}

func TestEncodeDoesNotAllocate(t *testing.T) {
	for _, compression := range []string{"none", "gzip", "zstd"} {
		specimen.RequireNoAllocation(t, newOutput(t, "url: http://x\ncompression: "+compression).NewEncoder("pipe", "nginx"))
	}
}

func BenchmarkEncode(b *testing.B) {
	for _, compression := range []string{"none", "gzip", "zstd"} {
		b.Run(compression, func(b *testing.B) {
			specimen.BenchmarkEncode(b, newOutput(b, "url: http://x\ncompression: "+compression).NewEncoder("pipe", "nginx"))
		})
	}
}

func FuzzSplit(f *testing.F) {
	f.Add("{}\n{}\n")
	f.Add("[{},\n{}]")
	f.Fuzz(func(t *testing.T, raw string) {
		for _, format := range []dispatch.Format{lines{}, array{}} {
			items, err := format.Split([]byte(raw))
			if err != nil {
				continue
			}
			again, err := format.Split(format.Join(nil, items))
			require.NoError(t, err)
			require.LessOrEqual(t, len(again), len(items)+1)
		}
		_, _ = answer(&transport.Response{Status: 200, Header: http.Header{"X-Clickhouse-Exception-Code": {raw}}, Body: []byte(raw)}, 1)
		_, _ = newPlace(&Config{URL: strings.ToValidUTF8(raw, "")})
	})
}
