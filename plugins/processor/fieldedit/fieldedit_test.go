package fieldedit

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wasmtail/wasmtail/internal/record"
	"github.com/wasmtail/wasmtail/internal/specimen"
)

func newProcessor(tb testing.TB, text string) *Processor {
	tb.Helper()
	return specimen.MakeOf[*Processor](tb, New, text)
}

// add adds a record with that line and those fields, given as a=1|b=2.
func add(b *record.Batch, line, fields string) *record.Record {
	var pairs []string
	for _, pair := range strings.Split(fields, "|") {
		name, value, _ := strings.Cut(pair, "=")
		pairs = append(pairs, name, value)
	}
	return specimen.Add(b, line, pairs...)
}

func TestProcess_Edits(t *testing.T) {
	for _, c := range []struct{ config, fields, want string }{
		{"rename: {a: x}", "a=1|b=2", "x=1|b=2"},
		{"rename: {a: b, b: a}", "a=1|b=2|c=3", "b=1|a=2|c=3"},
		{"rename: {a: b}", "a=1|b=2|c=3", "b=1|c=3"},
		{"rename: {c: b}", "a=1|b=2|c=3", "a=1|b=3"},
		{"rename: {x: b}", "a=1|b=2", "a=1|b=2"},
		{"rename: {a: x}", "a=1|a=2", "x=1|x=2"},
		{"map: [{field: a, values: {'1': one, '2': two}}, {field: b, values: {'1': none}}]", "a=1|b=2|a=2|a=3", "a=one|b=2|a=two|a=3"},
		{"map: [{field: a, values: {'1': one}}]\nrename: {a: b}\nmask: [{field: a, pattern: x, replace: ''}]", "a=x1", "b=one"},
		{"remove: [a]", "a=1|b=2|a=3", "b=2"},
		{"remove: ['k8s.*', '*_id']", "k8s.pod=1|k8s=2|trace_id=3|id=4", "k8s=2|id=4"},
		{"remove: ['*']", "a=1|__error__=x", "__error__=x"},
		{"remove: [__error__]", "a=1|__error__=x", "a=1"},
		{"keep: [a, 'c*']", "a=1|b=2|cc=3|__raw_log__=x", "a=1|cc=3|__raw_log__=x"},
		{"keep: [a, b]\nremove: [b]", "a=1|b=2|c=3", "a=1"},
		{"add: {z: '1', env: prod, a: no}", "a=1", "a=1|env=prod|z=1"},
		{"remove: [a]\nadd: {a: 'new'}", "a=1", "a=new"},
		{"add: {new: '1'}\nrename: {a: b}\nremove: [old]\nmask: [{field: a}]", "old=1|a=2", "b=***|new=1"},
	} {
		b := record.Get(&record.Origin{})
		r := add(b, "line", c.fields)
		require.NoError(t, newProcessor(t, c.config).Process(t.Context(), b))
		require.Equal(t, c.want, specimen.Show(r), c.config)
		b.Release()
	}
}

func TestProcess_Masks(t *testing.T) {
	sum := sha256.Sum256([]byte("saltbob"))
	for _, c := range []struct{ config, line, fields, want, raw string }{
		{"mask: [{field: pw}]", "u=bob pw=secret", "u=bob|pw=secret", "u=bob|pw=***", "u=bob pw=***"},
		{`mask: [{field: q, pattern: 'pw=(\w+)'}]`, "GET /?pw=abc&pw=xyz&n=1", "q=pw=abc&pw=xyz&n=1", "q=pw=***&pw=***&n=1", "GET /?pw=***&pw=***&n=1"},
		{`mask: [{field: c, pattern: '\b\d{4}\b', replace: '#'}]`, "1234 x1234 5678", "c=1234 x1234 5678", "c=# x1234 #", "# x1234 #"},
		{`mask: [{field: c, pattern: '^\d'}]`, "x 123", "c=123", "c=***23", "x ***23"},
		{"mask: [{field: u, hash: sha256, salt: salt}]", "u=bob", "u=bob", "u=" + hex.EncodeToString(sum[:]), "u=" + hex.EncodeToString(sum[:])},
		{"mask: [{field: u, hash: md5}]", "u=bob", "u=bob", "u=9f9d51bc70ef21ca5c14f307980a29d8", "u=9f9d51bc70ef21ca5c14f307980a29d8"},
		// The line itself is masked together with its copies.
		{`mask: [{field: content, pattern: 'pw=(\S+)'}]`, "pw=a name=alan", "content=pw=a name=alan", "content=pw=*** name=alan", "pw=*** name=alan"},
		{"mask: [{field: pw}]", "pw=secret", "content=pw=secret|pw=secret", "content=pw=***|pw=***", "pw=***"},
		// A secret that the line writes in another way.
		{"mask: [{field: pw}]", `{"pw":"a\"b"}`, `pw=a"b|content={"pw":"a\"b"}`, "pw=***|content=(line withheld)", "(line withheld)"},
		// Twice the same secret, and a rule over what another has made.
		{"mask: [{field: a}, {field: b}]", "k k", "a=k|b=k", "a=***|b=***", "*** ***"},
		{`mask: [{field: '*', pattern: '\d+'}, {field: a}]`, "a=x1y b=2", "a=x1y|b=2", "a=***|b=***", "a=*** b=***"},
		{`mask: [{field: a, pattern: '\d+'}, {field: a}]`, `a="x\"1"`, `a=x"1`, "a=***", "(line withheld)"},
		{"mask: [{field: '*', pattern: none}]", "abc", "a=abc", "a=abc", "abc"},
		{"mask: [{field: a, replace: ''}]", "a=abc.", "a=abc", "a=", "a=."},
		{"mask: [{field: a}]", "a=", "a=", "a=", "a="},
		{`mask: [{field: a, pattern: '(x)|y'}]`, "xyz", "a=xyz", "a=******z", "******z"},
		{`mask: [{field: a, pattern: '(?:(b)|(c))+'}]`, "-cb-", "a=-cb-", "a=-******-", "-******-"},
	} {
		b := record.Get(&record.Origin{})
		r := add(b, c.line, c.fields)
		before := r.Raw
		require.NoError(t, newProcessor(t, c.config).Process(t.Context(), b))
		require.Equal(t, c.want, specimen.Show(r), c.config)
		require.Equal(t, c.raw, string(r.Raw), c.config)
		require.Equal(t, c.line, string(before), "the line's own bytes were overwritten")
		b.Release()
	}
}

func TestProcess_MasksTheLineOfARecordThatFails(t *testing.T) {
	p := newProcessor(t, `mask: [{field: card, pattern: '\d{16}'}]`)
	b := record.Get(&record.Origin{})
	defer b.Release()
	add(b, "t=noon card=1234567890123456", "t=noon|card=1234567890123456")
	earlier := b.Add([]byte("garbage 1234567890123456"))
	b.Fail(earlier, 0, []byte("regex: no match"))
	later := &b.Records[0]
	require.NoError(t, p.Process(t.Context(), b))
	b.Fail(later, -1, []byte("time: does not have the format"))
	require.Equal(t, "t=noon|card=***|__raw_log__=t=noon card=***|__error__=time: does not have the format", specimen.Show(later))
	require.Equal(t, "__raw_log__=garbage ***|__error__=regex: no match", specimen.Show(&b.Records[1]))
	require.Equal(t, "garbage ***", string(b.Records[1].Raw))
}

func TestValidate_ReportsEveryFault(t *testing.T) {
	_, err := specimen.Settings[Config](`mask:
  - {field: "", pattern: "("}
  - {field: a, hash: none, salt: x}
map: [{field: "", values: {}}]
rename: {a: __x, b: c, d: c, e: ""}
keep: [""]
remove: [""]
add: {__topic__: x}`)
	for _, want := range []string{
		"mask[0].field", "mask[0].pattern", "mask[1].salt", "map[0].field", "map[0].values", "rename.a", "rename.d", "rename.e", "keep[0]", "remove[0]", "add.__topic__",
	} {
		require.ErrorContains(t, err, want)
	}
	_, err = New(Config{})
	require.ErrorContains(t, err, "cannot set up the fields processor")
}

func TestGlob(t *testing.T) {
	for _, g := range []string{"*", "a*", "*a", "a*b*c", "**", "*ab*", "a", "", "a**b"} {
		re := regexp.MustCompile("^(?s)" + strings.ReplaceAll(regexp.QuoteMeta(g), `\*`, ".*") + "$")
		for _, name := range []string{"", "a", "ab", "abc", "aXbXc", "aab", "cab", "abcabc", "b"} {
			require.Equal(t, re.MatchString(name), glob(g, []byte(name)), "%q %q", g, name)
		}
	}
}

const edits = `mask: [{field: card, pattern: '\d{12}'}, {field: user, hash: sha256, salt: s}]
map: [{field: status, values: {'200': ok}}]
rename: {msg: message}
remove: ['tmp*']
add: {env: prod}`

var (
	line   = []byte("user=bob card=1234567890123456 msg=hello status=200 tmp1=x")
	steady = []record.Field{
		{Name: []byte("user"), Value: []byte("bob")},
		{Name: []byte("card"), Value: []byte("1234567890123456")},
		{Name: []byte("msg"), Value: []byte("hello")},
		{Name: []byte("status"), Value: []byte("200")},
		{Name: []byte("tmp1"), Value: []byte("x")},
	}
)

func fill(b *record.Batch, n int) {
	for range n {
		r := b.Add(line)
		r.Fields = append(b.AllocFields(len(steady)), steady...)
	}
}

func TestProcess_DoesNotAllocate(t *testing.T) {
	p := newProcessor(t, edits)
	specimen.DoesNotAllocate(t, p.Process, func(b *record.Batch) {
		fill(b, 100)
	})
}

func BenchmarkProcess(b *testing.B) {
	for name, text := range map[string]string{
		"masks": edits,
		"plain": "rename: {msg: message}\nremove: ['tmp*']\nadd: {env: prod}",
	} {
		b.Run(name, func(b *testing.B) {
			specimen.Measure(b, newProcessor(b, text).Process, func(b *record.Batch) { fill(b, 1000) })
		})
	}
}

// FuzzMask compares with the standard library, and looks for secrets that a
// mask of the whole value has left in the line.
func FuzzMask(f *testing.F) {
	f.Add("GET /?card=1234 x", "1234", `\d+`)
	f.Add("a\"b", "a", `(a)|b`)
	f.Add("xx", "x", `\bx*`)
	f.Fuzz(func(t *testing.T, line, value, expr string) {
		p, err := New(Config{Mask: []Mask{{Field: "v", Pattern: expr, Replace: "#"}}})
		if err != nil {
			return
		}
		b := record.Get(&record.Origin{})
		defer b.Release()
		r := b.Add([]byte(line))
		r.Fields = []record.Field{{Name: []byte("v"), Value: []byte(value)}}
		require.NoError(t, p.Process(t.Context(), b))
		re, err := regexp.Compile(expr)
		if expr == "" {
			if value != "" && value != "#" && line != value && !strings.Contains("#(line withheld)", value) && !strings.Contains(line, "#") {
				require.NotContains(t, string(r.Raw), value)
			}
			return
		}
		require.NoError(t, err)
		if re.NumSubexp() > 0 {
			return
		}
		want := re.ReplaceAllFunc([]byte(value), func(m []byte) []byte {
			if len(m) == 0 {
				return nil
			}
			return []byte("#")
		})
		require.True(t, bytes.Equal(want, r.Fields[0].Value), "%q %q: %q, want %q", expr, value, r.Fields[0].Value, want)
	})
}
