package delimiter

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/wasmtail/wasmtail/internal/record"
	"github.com/wasmtail/wasmtail/internal/specimen"
)

func newProcessor(tb testing.TB, c Config) *Processor {
	tb.Helper()
	return specimen.Make[*Processor](tb, New, c)
}

var abc = []string{"a", "b", "c"}

func TestProcess(t *testing.T) {
	for _, c := range []struct {
		config     Config
		text, want string
	}{
		{Config{Separator: ","}, "1,2,3", "a=1|b=2|c=3"},
		{Config{Separator: ","}, ",,", "a=|b=|c="},
		{Config{Separator: ","}, `"x,""y""",,"" `, "fail: delimiter: text after a closing quote"},
		{Config{Separator: ","}, `"x,""y""",,""`, `a=x,"y"|b=|c=`},
		{Config{Separator: ","}, `1,it's "quoted" inside,3`, `a=1|b=it's "quoted" inside|c=3`},
		{Config{Separator: ","}, `1,"open,3`, "fail: delimiter: quote is not closed"},
		{Config{Separator: ",", Quote: "none"}, `1,"open,3`, `a=1|b="open|c=3`},
		{Config{Separator: ",", Quote: "'"}, `1,'a,''b',"3"`, `a=1|b=a,'b|c="3"`},
		{Config{Separator: "\t"}, "1\t2 2\t3", "a=1|b=2 2|c=3"},
		{Config{Separator: "||"}, "1||2|2||3", "a=1|b=2|2|c=3"},
		{Config{Separator: "，"}, "1，2，3", "a=1|b=2|c=3"},
		{Config{Separator: ","}, "1,2", "fail: delimiter: too few columns"},
		{Config{Separator: ","}, "", "fail: delimiter: too few columns"},
		{Config{Separator: ",", Missing: "accept"}, "1,2", "a=1|b=2"},
		{Config{Separator: ",", Missing: "accept"}, "", "a="},
		{Config{Separator: ","}, "1,2,3,4,5", "a=1|b=2|c=3|column_4=4|column_5=5"},
		{Config{Separator: ",", Extra: "fail"}, "1,2,3,4", "fail: delimiter: too many columns"},
		{Config{Separator: ",", Extra: "join"}, `1,2,"3",4, "5`, `a=1|b=2|c="3",4, "5`},
		{Config{Separator: ",", Extra: "join"}, `1,2,"3"`, `a=1|b=2|c=3`},
		{Config{Separator: ",", Trim: true}, ` 1 ,	" 2" , 3`, "a=1|b= 2|c=3"},
		{Config{Separator: "\t", Trim: true}, "1\t\t 3 ", "a=1|b=|c=3"},
		{Config{Separator: "\t", Trim: true}, "\"1\" \t\t\"3\"", "a=1|b=|c=3"},
		{Config{Separator: ",", Keys: []string{"a", "", "c"}}, "1,2,3", "a=1|c=3"},
		{Config{Separator: ",", KeepSource: true}, "1,2,3", "content=1,2,3|a=1|b=2|c=3"},
	} {
		b := record.Get(&record.Origin{})
		r := b.Add([]byte(c.text))
		if c.config.Keys == nil {
			c.config.Keys = abc
		}
		require.NoError(t, newProcessor(t, c.config).Process(t.Context(), b))
		want := c.want
		if reason, failed := strings.CutPrefix(want, "fail: "); failed {
			want = specimen.Failed(c.text, reason)
		}
		require.Equal(t, want, specimen.Show(r), "%q", c.text)
		b.Release()
	}
}

func TestProcess_ManyColumns(t *testing.T) {
	p := newProcessor(t, Config{Separator: ",", Keys: abc})
	b := record.Get(&record.Origin{})
	defer b.Release()
	r := b.Add([]byte(strings.Repeat("x,", 200)))
	require.NoError(t, p.Process(t.Context(), b))
	require.Len(t, r.Fields, 201)
	require.Equal(t, "column_201", string(r.Fields[200].Name))
}

func TestProcess_OtherFieldsAndFailedRecords(t *testing.T) {
	p := newProcessor(t, Config{Field: "row", Separator: ",", Keys: abc})
	b := record.Get(&record.Origin{})
	defer b.Release()
	b.Add([]byte("line"))
	for range 2 {
		specimen.Add(b, "line", "ip", "::1", "row", "1,2,3", "z", "9")
	}
	b.Fail(&b.Records[2], -1, []byte("earlier"))
	require.NoError(t, p.Process(t.Context(), b))
	require.Equal(t, "content=line|__raw_log__=line|__error__=delimiter: no such field", specimen.Show(&b.Records[0]))
	require.Equal(t, "ip=::1|z=9|a=1|b=2|c=3", specimen.Show(&b.Records[1]))
	require.Equal(t, "ip=::1|row=1,2,3|z=9|__raw_log__=line|__error__=earlier", specimen.Show(&b.Records[2]))
}

func TestValidate_ReportsEveryFault(t *testing.T) {
	var keys []string
	report := func(key, _ string) { keys = append(keys, key) }
	(&Config{Quote: "''", Extra: "x", Missing: "x"}).Validate(report)
	require.Equal(t, []string{"field", "separator", "quote", "keys", "extra", "missing"}, keys)
	keys = nil
	(&Config{Field: "f", KeepSource: true, Separator: `"`, Keys: []string{"a", "a", "", "", "f", "__error__"}}).Validate(report)
	require.Equal(t, []string{"quote", "keys[1]", "keys[4]", "keys[5]"}, keys)
	_, err := New(Config{})
	require.ErrorContains(t, err, "cannot set up the delimiter processor")
}

var (
	line = []byte(`2026-11-23 03:36:22|INFO|shop-7f9c|203.0.113.45|GET|/api/v1/items?page=2|200|10542|0.012|"a|b ""c"""|4bf92f3577b34da6`)
	keys = []string{"time", "level", "pod", "ip", "method", "uri", "status", "size", "duration", "note"}
)

func TestProcess_DoesNotAllocate(t *testing.T) {
	p := newProcessor(t, Config{Separator: "|", Keys: keys})
	specimen.DoesNotAllocate(t, p.Process, func(b *record.Batch) {
		for range 50 {
			b.Add(line)
			b.Add(line[100:])
		}
	})
}

func BenchmarkProcess(b *testing.B) {
	p := newProcessor(b, Config{Separator: "|", Keys: keys})
	specimen.Measure(b, p.Process, func(b *record.Batch) {
		for range 1000 {
			b.Add(line)
		}
	})
}

// FuzzProcess compares with encoding/csv, which differs in one point: it
// refuses quotes inside a column that is not quoted.
func FuzzProcess(f *testing.F) {
	f.Add(`1,"2,""3""",4`, ',', true)
	f.Add(`a|b||"c`, '|', false)
	f.Fuzz(func(t *testing.T, text string, comma rune, trimmed bool) {
		if strings.ContainsAny(text, "\r\n") || text == "" || !utf8.ValidRune(comma) || comma == utf8.RuneError ||
			comma == '"' || comma == '\r' || comma == '\n' || comma == 0 {
			return
		}
		config := Config{Field: "content", Separator: string(comma), Keys: []string{"k"}, Trim: trimmed}
		p, err := New(config)
		require.NoError(t, err)
		b := record.Get(&record.Origin{})
		defer b.Release()
		r := b.Add([]byte(text))
		require.NoError(t, p.Process(t.Context(), b))
		ok := r.Marks&record.Failed == 0
		if trimmed {
			checkTrimmed(t, text, r, ok)
			return
		}
		reader := csv.NewReader(strings.NewReader(text))
		reader.Comma = comma
		want, err := reader.Read()
		if errors.Is(err, csv.ErrBareQuote) {
			return
		}
		require.Equal(t, err == nil, ok, "%q %q: %v", text, comma, err)
		if !ok {
			return
		}
		var got []string
		for _, field := range r.Fields {
			got = append(got, string(field.Value))
		}
		require.Equal(t, want, got, "%q", text)
	})
}

func checkTrimmed(t *testing.T, text string, r *record.Record, ok bool) {
	t.Helper()
	if !ok || strings.Contains(text, `"`) {
		return
	}
	for i, field := range r.Fields {
		require.Equal(t, string(bytes.Trim(field.Value, " \t")), string(field.Value), fmt.Sprint(i, text))
	}
}
