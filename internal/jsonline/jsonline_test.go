package jsonline

import (
	"bytes"
	"encoding/json"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/wasmtail/wasmtail/internal/record"
)

func TestEscapeAgreesWithTheStandardLibrary(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		parts := rapid.SliceOf(rapid.OneOf(
			rapid.SliceOfN(rapid.Byte(), 0, 20),
			rapid.Map(rapid.String(), func(s string) []byte { return []byte(s) }),
			rapid.Just([]byte("plain text of some length")),
		)).Draw(t, "parts")
		s := bytes.Join(parts, nil)
		out := append(append([]byte{'"'}, AppendEscaped(nil, s)...), '"')
		require.True(t, utf8.Valid(out))
		var got string
		require.NoError(t, json.Unmarshal(out, &got))
		want := make([]rune, 0, len(s))
		for _, r := range string(s) {
			want = append(want, r)
		}
		require.Equal(t, string(want), got)
	})
}

func testNames() Names {
	return Names{
		Time: "@timestamp", Seen: "event.created", Message: "message", Original: "event.original", Error: "parse.error", Marks: "marks",
		Path: "path", Offset: "offset", ID: "id", Host: "host", Pipeline: "pipeline", Logstore: "store", Generation: "generation",
		Prefix: "fields.", Taken: []string{"log"},
	}
}

func objects(t testing.TB, w *Writer, b *record.Batch) (lines []string) {
	t.Helper()
	w.Start(b)
	for i := range b.Records {
		line := w.Append([]byte("before "), &b.Records[i])
		require.True(t, bytes.HasPrefix(line, []byte("before ")))
		lines = append(lines, string(line[7:]))
	}
	return lines
}

func field(name, value string) record.Field {
	return record.Field{Name: []byte(name), Value: []byte(value)}
}

func TestNamesAndOrder(t *testing.T) {
	b := record.Get(&record.Origin{Path: "/a.log", Generation: "00aa"})
	defer b.Release()
	b.ReadTime = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC).UnixNano()
	r := b.Add([]byte("line"))
	r.Offset, r.Marks = 7, record.Partial
	r.Fields = append(r.Fields, field("message", "m"), field("path", "forged"), field("log", "l"), field("x", "1"), field("x", "2"), field("x", "3"), field("", "empty"))
	r = b.Add([]byte("odd"))
	r.Time = b.ReadTime + 6
	b.Fail(r, 0, []byte("why"))
	got := objects(t, New(testNames(), Source{Agent: "agent", Host: "h", Pipeline: "p", Logstore: "s"}), b)
	const tail = `"path":"/a.log","host":"h","pipeline":"p","store":"s","generation":"00aa","event.created":"2026-01-02T03:04:05Z"}`
	require.Equal(t, []string{
		`{"@timestamp":"2026-01-02T03:04:05Z","offset":7,"id":"72tHhhe0ZF3DXfOkQZr3kQ.7","message":"line","fields.message":"m","fields.path":"forged",` +
			`"fields.log":"l","x":"1","x_2":"2","x_3":"3","":"empty","marks":"partial",` + tail,
		`{"@timestamp":"2026-01-02T03:04:05.000000006Z","offset":0,"id":"72tHhhe0ZF3DXfOkQZr3kQ.0","event.original":"odd","parse.error":"why","marks":"failed",` + tail,
	}, got)
	require.Equal(t, []string{
		`{"content":"line","message":"m","path":"forged","log":"l","x":"1","x_2":"2","x_3":"3","":"empty"}`,
		`{"__raw_log__":"odd","__error__":"why"}`,
	}, objects(t, New(Names{}, Source{}), b))
}

func TestTimes(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 60_000_000, time.UTC).UnixNano()
	for format, want := range map[TimeFormat]string{
		RFC3339: `"2026-01-02T03:04:05.06Z"`, Unix: "1767323045.06", UnixMillis: "1767323045060", UnixNanos: "1767323045060000000", "": `"2026-01-02T03:04:05.06Z"`,
	} {
		require.Equal(t, want, string(AppendTime(nil, at, format)))
	}
	require.Equal(t, "0", string(AppendTime(nil, 0, Unix)))
	require.Equal(t, "-1.5", string(AppendTime(nil, -1_500_000_000, Unix)))
}

func FuzzWriter(f *testing.F) {
	f.Add([]byte("content"), []byte("a \"line\"\x00 \xc3\x28"), []byte("x"), int64(0), uint16(5))
	f.Fuzz(func(t *testing.T, name, value, second []byte, at int64, marks uint16) {
		b := record.Get(&record.Origin{Path: string(value)})
		defer b.Release()
		r := b.Add(value)
		r.Fields = append(r.Fields, record.Field{Name: name, Value: value}, record.Field{Name: second, Value: name})
		r.Time, r.Offset, r.Marks = at, at, record.Mark(marks&63)
		for _, w := range []*Writer{New(testNames(), Source{Agent: "a", Host: string(name)}), New(Names{Format: Unix, Time: "t"}, Source{})} {
			line := objects(t, w, b)[0]
			require.NotContains(t, line, "\n")
			require.True(t, utf8.ValidString(line))
			var object map[string]any
			require.NoError(t, json.Unmarshal([]byte(line), &object), "%q", line)
		}
	})
}

func specimen() *record.Batch {
	b := record.Get(&record.Origin{Path: "/var/log/nginx/access.log", Generation: "00112233445566aa"})
	b.ReadTime = 1_767_323_045_000_000_007
	for i := range 2000 {
		r := b.Add([]byte("203.0.113.9"))
		r.Offset = int64(i) * 180
		r.Fields = b.AllocFields(8)
		for _, pair := range [][2]string{
			{"ip", "203.0.113.9"},
			{"request", "GET /shop/item?id=8124&from=\"list\" HTTP/1.1"},
			{"status", "200"},
			{"bytes", "5123"},
			{"referrer", "https://example.com/shop"},
			{"agent", "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36"},
			{"time", "02/Jan/2026:03:04:05 +0000"},
		} {
			r.Fields = append(r.Fields, record.Field{Name: b.Copy([]byte(pair[0])), Value: b.Copy([]byte(pair[1]))})
		}
	}
	return b
}

func TestWriterDoesNotAllocate(t *testing.T) {
	b, w := specimen(), New(testNames(), Source{Agent: "a"})
	var dst []byte
	run := func() {
		w.Start(b)
		dst = dst[:0]
		for i := range b.Records {
			dst = w.Append(dst, &b.Records[i])
		}
	}
	run()
	require.LessOrEqual(t, testing.AllocsPerRun(20, run), 2.0)
}

func BenchmarkWriter(b *testing.B) {
	batch, w := specimen(), New(testNames(), Source{Agent: "a"})
	var dst []byte
	b.ReportAllocs()
	for b.Loop() {
		w.Start(batch)
		dst = dst[:0]
		for i := range batch.Records {
			dst = w.Append(dst, &batch.Records[i])
		}
	}
	b.SetBytes(int64(len(dst)))
}
