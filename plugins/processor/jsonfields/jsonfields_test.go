package jsonfields

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/valyala/fastjson"

	"github.com/wasmtail/wasmtail/internal/jsonscan"
	"github.com/wasmtail/wasmtail/internal/record"
	"github.com/wasmtail/wasmtail/internal/specimen"
)

func newProcessor(tb testing.TB, c Config) *Processor {
	tb.Helper()
	return specimen.Make[*Processor](tb, New, c)
}

func TestProcess(t *testing.T) {
	const nested = `{"a":{"b":{"c":1,"d":{}},"e":[{"f":2}]},"g":{"h":"x\ny"}}`
	for _, c := range []struct {
		config     Config
		text, want string
	}{
		{Config{}, `{"level":"info","n":1.50,"ok":true,"no":false,"nil":null}`, "level=info|n=1.50|ok=true|no=false|nil=null"},
		{Config{}, "\t{ \"a\" : \"b\" , \"c\" : [ 1 , 2 ] }\r\n", "a=b|c=[ 1 , 2 ]"},
		{Config{}, `{}`, ""},
		{Config{}, `{"a\"b\u00e9":"tab\t\ud83d\ude00\ud83d end \/"}`, "a\"bé=tab\t😀\ufffd end /"},
		{Config{}, `{"":""}`, "="},
		{Config{}, nested, `a={"b":{"c":1,"d":{}},"e":[{"f":2}]}|g={"h":"x\ny"}`},
		{Config{Flatten: true}, nested, "a.b.c=1|a.b.d={}|a.e=[{\"f\":2}]|g.h=x\ny"},
		{Config{Flatten: true, MaxDepth: 1}, nested, "a.b={\"c\":1,\"d\":{}}|a.e=[{\"f\":2}]|g.h=x\ny"},
		{Config{Flatten: true, Separator: "_", Prefix: "j_"}, nested, "j_a_b_c=1|j_a_b_d={}|j_a_e=[{\"f\":2}]|j_g_h=x\ny"},
		{Config{Prefix: "json."}, `{"a":1}`, "json.a=1"},
		{Config{KeepSource: true}, `{"a":1}`, `content={"a":1}|a=1`},
		{Config{}, `{"a":1,"b":2,"a":3}`, "a=3|b=2"},
		{Config{OnDuplicate: "first"}, `{"a":1,"b":2,"a":3}`, "a=1|b=2"},
		{Config{OnDuplicate: "keep"}, `{"a":1,"b":2,"a":3}`, "a=1|b=2|a=3"},
		{Config{}, `{"content":"inner"}`, "content=inner"},
		{Config{}, "{\"bytes\":\"\xff\x7f\"}", "bytes=\xff\x7f"},
	} {
		b := record.Get(&record.Origin{})
		r := b.Add([]byte(c.text))
		require.NoError(t, newProcessor(t, c.config).Process(t.Context(), b))
		require.Equal(t, c.want, specimen.Show(r), c.text)
		b.Release()
	}
}

func TestProcess_Faults(t *testing.T) {
	p := newProcessor(t, Config{})
	for text, reason := range map[string]string{
		``:                        "json: ends too early",
		`  `:                      "json: ends too early",
		`plain text`:              "json: not an object",
		`[1]`:                     "json: not an object",
		`null`:                    "json: not an object",
		`{`:                       "json: ends too early",
		`{"a`:                     "json: ends too early",
		`{"a"`:                    "json: ends too early",
		`{"a":`:                   "json: ends too early",
		`{"a":tru`:                "json: ends too early",
		`{"a":-`:                  "json: ends too early",
		`{"a":"\`:                 "json: ends too early",
		`{"a":"\u12`:              "json: ends too early",
		`{"a":1`:                  "json: ends too early",
		`{"a":[1,`:                "json: ends too early",
		`{"a":1,}`:                "json: invalid syntax",
		`{a:1}`:                   "json: invalid syntax",
		`{"a":01}`:                "json: invalid syntax",
		`{"a":1.}`:                "json: invalid syntax",
		`{"a":1e}`:                "json: invalid syntax",
		`{"a":+1}`:                "json: invalid syntax",
		`{"a":"\x"}`:              "json: invalid syntax",
		`{"a":"\u12g4"}`:          "json: invalid syntax",
		"{\"a\":\"\n\"}":          "json: invalid syntax",
		`{"a":[1,]}`:              "json: invalid syntax",
		`{"a":[1}}`:               "json: invalid syntax",
		`{"a":{"b"}}`:             "json: invalid syntax",
		`{"a" 1}`:                 "json: invalid syntax",
		`{"a":1} {"b":2}`:         "json: text after the object",
		`{"a":1}x`:                "json: text after the object",
		deep(jsonscan.NestingMax): "json: nested too deeply",
		`{"a":` + deep(20) + "}":  "",
	} {
		b := record.Get(&record.Origin{})
		r := b.Add([]byte(text))
		require.NoError(t, p.Process(t.Context(), b))
		if reason == "" {
			require.Zero(t, r.Marks)
		} else {
			require.Equal(t, specimen.Failed(text, reason), specimen.Show(r))
		}
		b.Release()
	}
}

func deep(n int) string { return strings.Repeat(`{"a":`, n) + "{}" + strings.Repeat("}", n) }

func TestProcess_OtherFieldsAndFailedRecords(t *testing.T) {
	p := newProcessor(t, Config{Field: "body"})
	b := record.Get(&record.Origin{})
	defer b.Release()
	b.Add([]byte("line"))
	for range 3 {
		specimen.Add(b, "line", "ip", "::1", "body", `{"a":1,"ip":"::2"}`, "z", "9")
	}
	b.Records[2].Fields[1].Value = []byte("{")
	b.Fail(&b.Records[3], -1, []byte("earlier"))
	require.NoError(t, p.Process(t.Context(), b))
	require.Equal(t, "content=line|__raw_log__=line|__error__=json: no such field", specimen.Show(&b.Records[0]))
	require.Equal(t, "ip=::2|z=9|a=1", specimen.Show(&b.Records[1]))
	require.Equal(t, "ip=::1|z=9|__raw_log__=line|__error__=json: ends too early", specimen.Show(&b.Records[2]))
	require.Contains(t, specimen.Show(&b.Records[3]), "__error__=earlier")
}

func TestValidate_ReportsEveryFault(t *testing.T) {
	var keys []string
	(&Config{MaxDepth: 101, OnDuplicate: "x"}).Validate(func(key, _ string) { keys = append(keys, key) })
	require.Equal(t, []string{"field", "max_depth", "on_duplicate"}, keys)
	_, err := New(Config{})
	require.ErrorContains(t, err, "cannot set up the json processor")
}

var line = []byte(`{"time":"2026-11-23T03:36:22.123456Z","level":"info","logger":"http.access","msg":"handled request",` +
	`"remote_ip":"203.0.113.45","remote_port":"51234","method":"GET","host":"shop.example.com","uri":"/api/v1/items?page=2",` +
	`"proto":"HTTP/2.0","status":200,"size":10542,"duration":0.012345678,"user_agent":"Mozilla/5.0 (X11; Linux x86_64)",` +
	`"trace_id":"4bf92f3577b34da6","ok":true,"user":null}`)

func TestProcess_DoesNotAllocate(t *testing.T) {
	p := newProcessor(t, Config{Flatten: true})
	escaped := []byte(`{"a":{"b\n":"c\td"}}`)
	specimen.DoesNotAllocate(t, p.Process, func(b *record.Batch) {
		for range 50 {
			b.Add(line)
			b.Add(escaped)
			b.Add(line[1:])
		}
	})
}

func BenchmarkProcess(b *testing.B) {
	p := newProcessor(b, Config{})
	specimen.Measure(b, p.Process, func(b *record.Batch) {
		for range 1000 {
			b.Add(line)
		}
	})
}

// BenchmarkParse is the work of BenchmarkFastjson: one line again and again,
// whose fields stay in one list.
func BenchmarkParse(b *testing.B) {
	p := newProcessor(b, Config{})
	batch := record.Get(&record.Origin{})
	defer batch.Release()
	r := batch.Add(line)
	p.batch = batch
	b.SetBytes(int64(len(line)) * 1000)
	b.ReportAllocs()
	for b.Loop() {
		for range 1000 {
			p.list.Start(r, 0)
			if reason := p.parse(line); reason != nil {
				b.Fatal(string(reason))
			}
		}
	}
}

// BenchmarkFastjson is the library's way with nothing copied, for comparison:
// its values are only valid until the next line.
func BenchmarkFastjson(b *testing.B) {
	var parser fastjson.Parser
	var fields []record.Field
	visit := func(key []byte, v *fastjson.Value) {
		var value []byte
		if v.Type() == fastjson.TypeString {
			value, _ = v.StringBytes()
		}
		fields = append(fields, record.Field{Name: key, Value: value})
	}
	b.SetBytes(int64(len(line)) * 1000)
	b.ReportAllocs()
	for b.Loop() {
		for range 1000 {
			v, err := parser.ParseBytes(line)
			if err != nil {
				b.Fatal(err)
			}
			fields = fields[:0]
			o, _ := v.Object()
			o.Visit(visit)
		}
	}
}

// FuzzProcess compares with encoding/json: what is valid, and what the
// outermost members say.
func FuzzProcess(f *testing.F) {
	f.Add(string(line))
	f.Add(`{"a":{"b":[1,2,{"c":"\ud83d\ude00\ud800"}]},"a":"x\u0000y"}`)
	f.Add(`{"a":-0.5e+10,"b":[],"c":{}, "d" : [[[]]] }`)
	f.Fuzz(func(t *testing.T, text string) {
		if strings.Count(text, "{")+strings.Count(text, "[") >= jsonscan.NestingMax {
			return
		}
		p := newProcessor(t, Config{OnDuplicate: "keep"})
		b := record.Get(&record.Origin{})
		defer b.Release()
		r := b.Add([]byte(text))
		require.NoError(t, p.Process(t.Context(), b))
		object := strings.HasPrefix(strings.TrimLeft(text, " \t\r\n"), "{")
		ok := r.Marks&record.Failed == 0
		require.Equal(t, json.Valid([]byte(text)) && object, ok, "%q", text)

		flat := newProcessor(t, Config{Flatten: true})
		second := record.Get(&record.Origin{})
		defer second.Release()
		rf := second.Add([]byte(text))
		require.NoError(t, flat.Process(t.Context(), second))
		require.Equal(t, ok, rf.Marks&record.Failed == 0, "%q", text)
		if ok {
			checkMembers(t, text, r.Fields)
		}
	})
}

func checkMembers(t *testing.T, text string, fields []record.Field) {
	t.Helper()
	d := json.NewDecoder(strings.NewReader(text))
	_, err := d.Token()
	require.NoError(t, err)
	for _, f := range fields {
		key, err := d.Token()
		require.NoError(t, err)
		require.Equal(t, key.(string), valid(f.Name), "%q", text)
		var raw json.RawMessage
		require.NoError(t, d.Decode(&raw))
		want := string(bytes.TrimSpace(raw))
		if strings.HasPrefix(want, `"`) {
			require.NoError(t, json.Unmarshal(raw, &want))
			require.Equal(t, want, valid(f.Value), "%q", text)
			continue
		}
		require.Equal(t, want, string(f.Value), "%q", text)
	}
	require.False(t, d.More())
}

// valid replaces each invalid byte as encoding/json does.
func valid(b []byte) string { return string([]rune(string(b))) }
