package regex

import (
	"bytes"
	"context"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wasmtail/wasmtail/internal/config"
	"github.com/wasmtail/wasmtail/internal/record"
	"github.com/wasmtail/wasmtail/internal/specimen"
)

const (
	combined = `^(?P<remote_addr>\S+) \S+ (?P<remote_user>\S+) \[(?P<time_local>[^\]]+)\] "(?P<method>\S+) (?P<uri>\S+) (?P<protocol>[^"]+)" (?P<status>\d+) (?P<bytes>\d+) "(?P<referer>[^"]*)" "(?P<agent>[^"]*)"$`
	line     = `203.0.113.195 - frank [10/Oct/2025:13:55:36 +0000] "GET /shop/items?category=books&sort=price&page=3 HTTP/1.1" 200 23261 "https://www.example.com/shop/index.html" "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36"`
)

func newProcessor(t testing.TB, c Config) *Processor {
	t.Helper()
	return specimen.Make[*Processor](t, New, c)
}

// process returns the fields of one record made of the line, as name=value.
func process(t *testing.T, c Config, line string, more ...record.Field) []string {
	t.Helper()
	b := record.Get(&record.Origin{})
	defer b.Release()
	r := b.Add([]byte(line))
	r.Fields = append(r.Fields, more...)
	require.NoError(t, newProcessor(t, c).Process(context.Background(), b))
	return strings.Split(specimen.Show(&b.Records[0]), "|")
}

func TestProcess_NamedGroupsBecomeFields(t *testing.T) {
	for _, c := range []struct {
		name   string
		config Config
		line   string
		more   []record.Field
		want   []string
	}{
		{"groups in order of the pattern", Config{Pattern: `(?P<b>\w+) (?P<a>\w+)`}, "x y", nil, []string{"b=x", "a=y"}},
		{"groups without a name are ignored", Config{Pattern: `(\w+) (?<a>\w+)`}, "x y", nil, []string{"a=y"}},
		{"a group that took no part makes no field", Config{Pattern: `(?P<a>\w+)(?: (?P<b>\w+))?$`}, "x", nil, []string{"a=x"}},
		{"a group that matched nothing makes an empty field", Config{Pattern: `^(?P<a>\w*) (?P<b>\w+)`}, " y", nil, []string{"a=", "b=y"}},
		{"the pattern may match anywhere", Config{Pattern: `id=(?P<id>\d+)`}, "a id=7 b", nil, []string{"id=7"}},
		{"the source is kept on demand", Config{Pattern: `(?P<a>\d+)`, KeepSource: true}, "x 1", nil, []string{"content=x 1", "a=1"}},
		{"a group can be named like the source", Config{Pattern: `: (?P<content>.*)`}, "x: y", nil, []string{"content=y"}},
		{"no match", Config{Pattern: `(?P<a>\d+)`}, "x", nil, []string{"__raw_log__=x", "__error__=regex: no match"}},
		{"no match, and its own reason", Config{Pattern: `(?P<a>\d+)`, Reason: "shop: no number"}, "x", nil, []string{"__raw_log__=x", "__error__=shop: no number"}},
		{"no match with the source kept", Config{Pattern: `(?P<a>\d+)`, KeepSource: true}, "x", nil, []string{"content=x", "__raw_log__=x", "__error__=regex: no match"}},
		{"another field", Config{Pattern: `(?P<a>\d+)`, Field: "message"}, "x", []record.Field{specimen.Field("message", "5"), specimen.Field("z", "1")}, []string{"content=x", "z=1", "a=5"}},
		{"no such field", Config{Pattern: `(?P<a>\d+)`, Field: "message"}, "x", nil, []string{"content=x", "__raw_log__=x", "__error__=regex: no such field"}},
		{"a new value replaces an old one", Config{Pattern: `(?P<a>\d+)(?P<b>x)?`}, "5", []record.Field{specimen.Field("a", "old"), specimen.Field("b", "old")}, []string{"b=old", "a=5"}},
		{"an empty line", Config{Pattern: `^(?P<a>.*)$`}, "", nil, []string{"a="}},
		{"the standard engine", Config{Pattern: `^(?:a*|b)*(?P<a>c)`}, "aabc", nil, []string{"a=c"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			require.Equal(t, c.want, process(t, c.config, c.line, c.more...))
		})
	}
}

func TestProcess_PassesOverFailedRecords(t *testing.T) {
	b := record.Get(&record.Origin{})
	defer b.Release()
	b.Fail(b.Add([]byte("5")), -1, []byte("earlier reason"))
	require.NoError(t, newProcessor(t, Config{Pattern: `(?P<a>\d+)`}).Process(context.Background(), b))
	reason, _ := b.Records[0].Field(record.Error)
	require.Equal(t, "earlier reason", string(reason))
	_, at := b.Records[0].Field("a")
	require.Equal(t, -1, at)
}

func TestValidate_SaysWhatToDo(t *testing.T) {
	for _, c := range []struct {
		config    Config
		key, want string
	}{
		{Config{}, "pattern", "is empty"},
		{Config{Pattern: `(?P<a>x`}, "pattern", `close the group with ")"`},
		{Config{Pattern: `(?P<a>x)(?=y)`}, "pattern", "look-ahead"},
		{Config{Pattern: `(x) y`}, "pattern", "no named group"},
		{Config{Pattern: `(?P<a>x)(?P<a>y)`}, "pattern", "two groups named a"},
		{Config{Pattern: `(?P<__raw_log__>x)`}, "pattern", "reserved"},
		{Config{Pattern: `(?P<content>x)`, KeepSource: true}, "pattern", "rename the group"},
	} {
		config.Defaults(&c.config)
		var got []string
		c.config.Validate(func(key, problem string) { got = append(got, key+" "+problem) })
		require.Len(t, got, 1, c.config.Pattern)
		require.Contains(t, got[0], c.want)
		require.True(t, strings.HasPrefix(got[0], c.key+" "), got[0])
		_, err := New(c.config)
		require.Error(t, err)
	}
	var keys []string
	(&Config{Pattern: "("}).Validate(func(key, _ string) { keys = append(keys, key) })
	require.Equal(t, []string{"field", "pattern"}, keys)
}

func TestProcess_DoesNotAllocate(t *testing.T) {
	p := newProcessor(t, Config{Pattern: combined})
	good, bad := []byte(line), []byte("no such line")
	specimen.DoesNotAllocate(t, p.Process, func(b *record.Batch) {
		for range 50 {
			b.Add(good)
			b.Add(bad)
		}
	})
}

// FuzzProcess checks that each record has what the standard library finds, or
// has failed with its line kept.
func FuzzProcess(f *testing.F) {
	f.Add(combined, []byte(line), false)
	f.Add(combined, []byte(line[:100]), true)
	f.Add(`(?P<a>\d+)(?: (?P<b>x))?`, []byte("12 x"), false)
	f.Add(`(?P<content>.*?)=(?P<v>.*)`, []byte("a=b=c"), false)
	f.Fuzz(func(t *testing.T, expr string, in []byte, keep bool) {
		c := Config{Pattern: expr, Field: record.Content, KeepSource: keep}
		valid := true
		c.Validate(func(string, string) { valid = false })
		if !valid || len(in) > 1<<16 {
			return
		}
		made, err := New(c)
		require.NoError(t, err)
		b := record.Get(&record.Origin{})
		defer b.Release()
		r := b.Add(in)
		require.NoError(t, made.Process(context.Background(), b))
		checkRecord(t, regexp.MustCompile(expr), r, in, keep)
	})
}

func checkRecord(t *testing.T, std *regexp.Regexp, r *record.Record, in []byte, keep bool) {
	require.True(t, bytes.Equal(in, r.Raw), "the line changed")
	want := std.FindSubmatch(in)
	if want == nil {
		raw, _ := r.Field(record.RawLog)
		require.True(t, bytes.Equal(in, raw), "the line is not kept")
		require.NotZero(t, r.Marks&record.Failed)
		return
	}
	require.Zero(t, r.Marks&record.Failed)
	rest := r.Fields
	if keep {
		require.Equal(t, record.Content, string(rest[0].Name))
		rest = rest[1:]
	}
	for i, name := range std.SubexpNames() {
		if name == "" || want[i] == nil {
			continue
		}
		require.NotEmpty(t, rest)
		require.Equal(t, name, string(rest[0].Name))
		require.True(t, bytes.Equal(want[i], rest[0].Value), "field %s is %q, want %q", name, rest[0].Value, want[i])
		rest = rest[1:]
	}
	require.Empty(t, rest)
}

func BenchmarkProcess(b *testing.B) {
	for _, c := range []struct{ name, expr, line string }{
		{"nginx", combined, line},
		{"java", `^(?P<time>\d{4}-\d{2}-\d{2} \d{2}:\d{2}:\d{2}[.,]\d{3})\s+(?P<level>[A-Z]+)\s+\[(?P<thread>[^\]]*)\]\s+(?P<logger>\S+)\s+-\s+(?P<message>.*)$`, `2025-03-14 09:26:53.589 ERROR [http-nio-8080-exec-10] c.e.shop.CartController - Cannot add item 4711: java.lang.IllegalStateException: no stock`},
		{"no match", combined, line[:len(line)-1]},
	} {
		b.Run(c.name, func(b *testing.B) {
			text := []byte(c.line)
			specimen.Measure(b, newProcessor(b, Config{Pattern: c.expr}).Process, func(b *record.Batch) {
				for range 1000 {
					b.Add(text)
				}
			})
		})
	}
}
