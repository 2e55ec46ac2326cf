package keyvalue

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/wasmtail/wasmtail/internal/record"
	"github.com/wasmtail/wasmtail/internal/specimen"
)

func newProcessor(tb testing.TB, c Config) *Processor {
	tb.Helper()
	return specimen.Make[*Processor](tb, New, c)
}

func open() Config { return Config{Quote: "none", Values: "open"} }

func TestProcess(t *testing.T) {
	for _, c := range []struct {
		config     Config
		text, want string
	}{
		{Config{}, `level=info msg="two words" done`, "level=info|msg=two words|done=true"},
		{Config{}, ` a=1  b=` + "\t" + `c="" d==x=y `, "a=1|b=|c=|d==x=y"},
		{Config{}, `a="x\"y\\z\n\u00e9\ud83d\ude00\q\ud83dx\u12"`, "a=x\"y\\z\né😀\\q\ufffdx\\u12"},
		{Config{}, `a=it"s b=x"y"`, `a=it"s|b=x"y"`},
		{Config{BareKeys: "empty"}, "x a=1", "x=|a=1"},
		{Config{BareKeys: "drop"}, "x a=1 y", "a=1"},
		{Config{BareKeys: "fail"}, "x a=1 y", "fail: keyvalue: key without a value"},
		{Config{}, "plain words", "fail: keyvalue: no pair of key and value"},
		{Config{}, "", "fail: keyvalue: no pair of key and value"},
		{Config{}, "=1", "fail: keyvalue: empty key"},
		{Config{}, `a="x`, "fail: keyvalue: quote is not closed"},
		{Config{}, `a="x\"`, "fail: keyvalue: quote is not closed"},
		{Config{}, `a="x\`, "fail: keyvalue: quote is not closed"},
		{Config{}, `a="x"b=1`, "fail: keyvalue: text after a closing quote"},
		{Config{Quote: "none"}, `a="x y"`, `a="x|y"=true`},
		{Config{Quote: "'"}, `a='x y' b="z"`, `a=x y|b="z"`},
		{Config{PairSeparator: ";"}, `a=1; b = "2;3" ;; c= x y;`, "a=1|b=2;3|c=x y"},
		{Config{PairSeparator: ", ", KeyValueSeparator: ": "}, `a: 1, b: x,y, c: `, "a=1|b=x,y|c="},
		{Config{KeyValueSeparator: ": "}, `a: 1 b: 2`, "a=1|b=2"},
		{Config{PairSeparator: "&"}, `q=a=b&page=2&flag`, "q=a=b|page=2|flag=true"},
		{Config{Prefix: "kv_"}, "a=1 b", "kv_a=1|kv_b=true"},
		{Config{KeepSource: true}, "a=1", "content=a=1|a=1"},
		{Config{}, "a=1 b=2 a=3", "a=3|b=2"},
		{Config{OnDuplicate: "first"}, "a=1 b=2 a=3", "a=1|b=2"},
		{Config{OnDuplicate: "keep"}, "a=1 b=2 a=3", "a=1|b=2|a=3"},
		{open(), `src=192.0.2.7 msg=two words act=blocked by rule 7 `, "src=192.0.2.7|msg=two words|act=blocked by rule 7"},
		{open(), `a=x=y url=http://h/?q=1&r=2 b= c=\\ d\=1 e\|f\n g\h`, "a=x=y|url=http://h/?q=1&r=2|b=|c=\\ d=1 e|f\n g\\h"},
		{open(), `ad.x[0]=1 2 é=3 k=4`, "ad.x[0]=1 2 é=3|k=4"},
		{open(), `bare a=1 2`, "bare=true|a=1 2"},
		{open(), `a=ends with \`, `a=ends with \`},
		{open(), "", ""},
		{open(), "words", "fail: keyvalue: no pair of key and value"},
	} {
		b := record.Get(&record.Origin{})
		r := b.Add([]byte(c.text))
		require.NoError(t, newProcessor(t, c.config).Process(t.Context(), b))
		want := c.want
		if reason, failed := strings.CutPrefix(want, "fail: "); failed {
			want = specimen.Failed(c.text, reason)
		}
		require.Equal(t, want, specimen.Show(r), "%q", c.text)
		b.Release()
	}
}

func TestProcess_ARecordNamesItsSeparator(t *testing.T) {
	p := newProcessor(t, Config{Field: "kv", SeparatorField: "by", Quote: "none", PairSeparator: "\t"})
	for _, c := range []struct{ by, text, want string }{
		{"^", "a=1 2^b=3", "a=1 2|b=3"},
		{"x5e", "a=1 2^b=3", "a=1 2|b=3"},
		{"0x5E", "a=1^b=3", "a=1|b=3"},
		{"x09", "a=1 2\tb=3", "a=1 2|b=3"},
		{"\t", "a=1 2\tb=3", "a=1 2|b=3"},
		{"", "a=1 2\tb=3", "a=1 2|b=3"},
		{"-", "a=1 2\tb=3", "a=1 2\tb=3"},
		{"¦", "a=1¦b=3", "a=1|b=3"},
		{"xa6", "a=1¦b=3", "a=1|b=3"},
		{" ", "a=1  b=3", "a=1|b=3"},
		{"x", "axb=3", "a=true|b=3"},
		{"=", "a=1", "fail"},
		{"x3d", "a=1", "fail"},
		{"xyz", "a=1", "fail"},
		{"x0", "a=1", "fail"},
		{"^^", "a=1", "fail"},
		{"x110000", "a=1", "fail"},
		{"0x", "a=1", "fail"},
		{"\xff", "a=1", "fail"},
		{"xd800", "a=1", "fail"},
	} {
		b := record.Get(&record.Origin{})
		specimen.Add(b, "line", "by", c.by, "kv", c.text)
		specimen.Add(b, "line", "kv", "c=1 2\td=3")
		require.NoError(t, p.Process(t.Context(), b))
		got := specimen.Show(&b.Records[0])
		if c.want == "fail" {
			require.Contains(t, got, "__error__=keyvalue: the separator field is neither", "%q", c.by)
		} else {
			require.Equal(t, c.want, got, "%q", c.by)
		}
		require.Equal(t, "c=1 2|d=3", specimen.Show(&b.Records[1]), "a record without the field")
		b.Release()
	}
}

func TestProcess_OtherFieldsAndFailedRecords(t *testing.T) {
	p := newProcessor(t, Config{Field: "kv"})
	b := record.Get(&record.Origin{})
	defer b.Release()
	b.Add([]byte("line"))
	for range 2 {
		specimen.Add(b, "line", "ip", "::1", "kv", "a=1 ip=::2", "z", "9")
	}
	b.Fail(&b.Records[2], -1, []byte("earlier"))
	require.NoError(t, p.Process(t.Context(), b))
	require.Equal(t, "content=line|__raw_log__=line|__error__=keyvalue: no such field", specimen.Show(&b.Records[0]))
	require.Equal(t, "ip=::2|z=9|a=1", specimen.Show(&b.Records[1]))
	require.Contains(t, specimen.Show(&b.Records[2]), "__error__=earlier")
}

func TestValidate_ReportsEveryFault(t *testing.T) {
	var keys []string
	report := func(key, _ string) { keys = append(keys, key) }
	(&Config{Quote: `\`, BareKeys: "x", OnDuplicate: "x"}).Validate(report)
	require.Equal(t, []string{"field", "pair_separator", "key_value_separator", "quote", "bare_keys", "on_duplicate"}, keys)
	keys = nil
	(&Config{Field: "f", PairSeparator: `"`, KeyValueSeparator: `"`}).Validate(report)
	require.Equal(t, []string{"key_value_separator", "quote"}, keys)
	keys = nil
	(&Config{Field: "f", PairSeparator: " ", KeyValueSeparator: "=", SeparatorField: "f"}).Validate(report)
	(&Config{Field: "f", PairSeparator: " ", KeyValueSeparator: "=", SeparatorField: "s", Quote: "none", Values: "open"}).Validate(report)
	require.Equal(t, []string{"separator_field", "separator_field"}, keys)
	keys = nil
	(&Config{Field: "f", PairSeparator: ";", KeyValueSeparator: "=", Quote: "none", Values: "open"}).Validate(report)
	(&Config{Field: "f", PairSeparator: " ", KeyValueSeparator: "=", Quote: `"`, Values: "open"}).Validate(report)
	(&Config{Field: "f", PairSeparator: " ", KeyValueSeparator: "=", Quote: `"`, Values: "x"}).Validate(report)
	require.Equal(t, []string{"values", "values", "values"}, keys)
	_, err := New(Config{})
	require.ErrorContains(t, err, "cannot set up the keyvalue processor")
}

// TestProcess_ReadsOpenValues writes pairs as CEF wants them, and reads them back.
func TestProcess_ReadsOpenValues(t *testing.T) {
	p := newProcessor(t, Config{Quote: "none", Values: "open", OnDuplicate: "keep"})
	escapes := strings.NewReplacer("\\", "\\\\", "=", "\\=", "\n", "\\n", "\r", "\\r")
	rapid.Check(t, func(t *rapid.T) {
		var line, want []string
		for range rapid.IntRange(1, 8).Draw(t, "pairs") {
			key := rapid.StringMatching(`[a-zA-Z0-9_.]{1,8}`).Draw(t, "key")
			value := strings.Trim(rapid.StringOf(rapid.RuneFrom([]rune(`ab=\"|é `+"\n\r"))).Draw(t, "value"), " ")
			line, want = append(line, key+"="+escapes.Replace(value)), append(want, key+"="+value)
		}
		b := record.Get(&record.Origin{})
		defer b.Release()
		r := b.Add([]byte(strings.Join(line, " ")))
		if err := p.Process(t.Context(), b); err != nil {
			t.Fatal(err)
		}
		if got := specimen.Show(r); got != strings.Join(want, "|") {
			t.Fatalf("%q reads %q, want %q", r.Raw, got, want)
		}
	})
}

// TestProcess_ReadsWhatWasWritten writes pairs, quoted by encoding/json where
// they need it, and reads them back.
func TestProcess_ReadsWhatWasWritten(t *testing.T) {
	p := newProcessor(t, Config{OnDuplicate: "keep"})
	rapid.Check(t, func(t *rapid.T) {
		var line, want []string
		for range rapid.IntRange(1, 8).Draw(t, "pairs") {
			key := rapid.StringMatching(`[a-z_.]{1,8}`).Draw(t, "key")
			value := rapid.StringOf(rapid.RuneFrom([]rune(`ab="\/ ,;é😀`+"\n\t\x01"))).Draw(t, "value")
			text := value
			if strings.ContainsAny(value, "\" \t\\\n\x01") {
				quoted, err := json.Marshal(value)
				if err != nil {
					t.Fatal(err)
				}
				text = string(quoted)
			}
			line, want = append(line, key+"="+text), append(want, key+"="+value)
		}
		b := record.Get(&record.Origin{})
		defer b.Release()
		r := b.Add([]byte(strings.Join(line, " ")))
		if err := p.Process(t.Context(), b); err != nil {
			t.Fatal(err)
		}
		if got := specimen.Show(r); got != strings.Join(want, "|") {
			t.Fatalf("%q reads %q, want %q", r.Raw, got, want)
		}
	})
}

var line = []byte(`time=2026-11-23T03:36:22.123Z level=info msg="request \"handled\" in time" method=GET path=/api/v1/items status=200 bytes=10542 duration=12.3ms trace=4bf92f3577b34da6 cached`)

func TestProcess_DoesNotAllocate(t *testing.T) {
	p := newProcessor(t, Config{Prefix: "x."})
	specimen.DoesNotAllocate(t, p.Process, func(b *record.Batch) {
		for range 50 {
			b.Add(line)
			b.Add(line[:50])
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

func FuzzProcess(f *testing.F) {
	f.Add(string(line), " ", "=", `"`)
	f.Add(`a: 1, b: "2"`, ", ", ": ", "none")
	f.Add("a=1;b='\\u00e9'", ";", "=", "'")
	f.Add(`a=1 2 b\=c d=\n`, " ", "=", "open")
	f.Fuzz(func(t *testing.T, text, pair, sign, quote string) {
		c := Config{Field: "content", PairSeparator: pair, KeyValueSeparator: sign, Quote: quote}
		if quote == "open" {
			c.Quote, c.Values = "none", "open"
		}
		p, err := New(c)
		if err != nil {
			return
		}
		b := record.Get(&record.Origin{})
		defer b.Release()
		r := b.Add([]byte(text))
		if sep, err := New(Config{Field: "content", PairSeparator: " ", KeyValueSeparator: "=", SeparatorField: "by"}); err == nil {
			named := record.Get(&record.Origin{})
			specimen.Add(named, text, "by", pair, "content", text)
			require.NoError(t, sep.Process(t.Context(), named))
			named.Release()
		}
		require.NoError(t, p.Process(t.Context(), b))
		if specimen.KeepsLine(t, r, text) {
			return
		}
		total := 0
		for _, field := range r.Fields {
			total += len(field.Name)
			if string(field.Value) != "true" {
				total += len(field.Value)
			}
		}
		require.True(t, len(r.Fields) > 0 || c.Values == "open" && text == "")
		require.LessOrEqual(t, total, len(text), "%q", text)
	})
}
