package w3c

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wasmtail/wasmtail/internal/record"
	"github.com/wasmtail/wasmtail/internal/specimen"
)

func newProcessor(tb testing.TB, c Config) *Processor {
	tb.Helper()
	return specimen.Make[*Processor](tb, New, c)
}

// process shows what becomes of the lines of one batch.
func process(t *testing.T, p *Processor, header string, lines ...string) (shown []string) {
	t.Helper()
	b := record.Get(&record.Origin{})
	defer b.Release()
	if header != "" {
		b.Header = []byte(header)
	}
	for _, line := range lines {
		b.Add([]byte(line))
	}
	require.NoError(t, p.Process(t.Context(), b))
	for i := range b.Records {
		shown = append(shown, specimen.Show(&b.Records[i]))
	}
	return shown
}

func TestProcess(t *testing.T) {
	p := newProcessor(t, Config{})
	for _, c := range []struct{ fields, line, want string }{
		{"date time cs-uri-stem sc-status", "2026-03-12 08:15:02 /cart 200", "time=2026-03-12 08:15:02|cs_uri_stem=/cart|sc_status=200"},
		{"sc-status time c-ip date", "200 08:15:02 ::1 2026-03-12", "sc_status=200|c_ip=::1|time=2026-03-12 08:15:02"},
		{"cs(User-Agent) x-Edge--Id", "Mozilla/5.0+(X11) a", "cs_user_agent=Mozilla/5.0+(X11)|x_edge_id=a"},
		{"time s-ip", "08:15:02 ::1", "time_of_day=08:15:02|s_ip=::1"},
		{"date s-ip", "2026-03-12 ::1", "date=2026-03-12|s_ip=::1"},
		{"date\ttime\ta", "2026-03-12\t08:15:02\ttwo words", "time=2026-03-12 08:15:02|a=two words"},
		{"a b c", "1\t\t3", "a=1|b=|c=3"},
		{"a b c", " 1   2 3 ", "a=1|b=2|c=3"},
		{"a b", `"two words" -`, "a=two words|b=-"},
		{"a b", `"say ""hi""" 2`, `a=say "hi"|b=2`},
		{"a b", `"one" ""`, `a=one|b=`},
		{"a b c", `"" "x y" z`, `a=|b=x y|c=z`},
		{"a b", `"half x"`, `a="half|b=x"`},
		{"a b", "1 2 3", specimen.Failed("1 2 3", string(miscount))},
		{"a b", "1", specimen.Failed("1", string(miscount))},
		{"a b", "", specimen.Failed("", string(miscount))},
		{"a b", `"1 2 3`, specimen.Failed(`"1 2 3`, string(miscount))},
		{"a b", `"1 2"x 3`, specimen.Failed(`"1 2"x 3`, string(miscount))},
		{"a a ()", "1 2 3", "a=1|a=2|column_3=3"},
		{"", "1", specimen.Failed("1", string(noHeader))},
	} {
		got := process(t, p, "", "#Fields: "+c.fields, c.line)
		require.Equal(t, []string{"content=#Fields: " + c.fields, c.want}, got, "%q", c.line)
		require.Equal(t, []string{c.want}, process(t, p, "#Fields: "+c.fields, c.line), "%q", c.line)
	}
}

func TestProcess_TheLastHeaderCounts(t *testing.T) {
	p := newProcessor(t, Config{})
	got := process(t, p, "#Fields: a b", "1 2", "#Date: 2026-03-12 08:15:02", "3 4", "#Fields: b c d", "5 6 7", "8 9")
	require.Equal(t, []string{
		"a=1|b=2", "content=#Date: 2026-03-12 08:15:02", "a=3|b=4", "content=#Fields: b c d", "b=5|c=6|d=7", specimen.Failed("8 9", string(miscount)),
	}, got)
	require.Equal(t, []string{specimen.Failed("8 9", string(noHeader))}, process(t, p, "", "8 9"), "none is carried over: the batch can be of another file")
	require.Equal(t, []string{specimen.Failed("8 9", string(noHeader))}, process(t, p, "#Version: 1.0", "8 9"))
}

func TestProcess_OtherFieldsAndFailedRecords(t *testing.T) {
	p := newProcessor(t, Config{Field: "line", KeepSource: true})
	b := record.Get(&record.Origin{})
	defer b.Release()
	b.Header = []byte("#Fields: a")
	b.Add([]byte("1"))
	specimen.Add(b, "raw", "line", "2")
	specimen.Add(b, "raw", "line", "#Fields: z")
	b.Fail(&b.Records[2], -1, []byte("earlier"))
	specimen.Add(b, "raw", "line", "3")
	require.NoError(t, p.Process(t.Context(), b))
	require.Contains(t, specimen.Show(&b.Records[0]), "__error__=w3c: no such field")
	require.Equal(t, "line=2|a=2", specimen.Show(&b.Records[1]))
	require.Contains(t, specimen.Show(&b.Records[2]), "__error__=earlier")
	require.Equal(t, "line=3|a=3", specimen.Show(&b.Records[3]), "what has failed says nothing")
}

func TestProcess_ManyHeadersAndColumns(t *testing.T) {
	p := newProcessor(t, Config{})
	for i := range 3 * layoutsMax {
		require.Equal(t, []string{fmt.Sprintf("a%d=1", i)}, process(t, p, fmt.Sprintf("#Fields: a%d", i), "1"))
		require.LessOrEqual(t, len(p.layouts), layoutsMax)
	}
	require.Contains(t, process(t, p, "#Fields:"+strings.Repeat(" x", columnsMax+1), strings.Repeat("1 ", columnsMax+1))[0], string(miscount))
}

func TestValidate(t *testing.T) {
	_, err := New(Config{})
	require.ErrorContains(t, err, "cannot set up the w3c processor")
}

const (
	iisFields = "#Fields: date time s-ip cs-method cs-uri-stem cs-uri-query s-port cs-username c-ip cs(User-Agent) cs(Referer) sc-status sc-substatus sc-win32-status time-taken"
	iisLine   = "2026-03-12 08:15:02 10.0.0.5 GET /cart id=7 443 - 192.0.2.7 Mozilla/5.0+(Windows+NT+10.0) https://shop.example/ 200 0 0 31"
)

func TestProcess_DoesNotAllocate(t *testing.T) {
	p := newProcessor(t, Config{})
	specimen.DoesNotAllocate(t, p.Process, func(b *record.Batch) {
		b.Add([]byte(iisFields))
		for range 50 {
			b.Add([]byte(iisLine))
			b.Add([]byte("1 2 3"))
		}
	})
}

func BenchmarkProcess(b *testing.B) {
	p := newProcessor(b, Config{})
	header := []byte(iisFields)
	specimen.Measure(b, p.Process, func(b *record.Batch) {
		b.Header = header
		for range 1000 {
			b.Add([]byte(iisLine))
		}
	})
}

func FuzzProcess(f *testing.F) {
	f.Add(iisFields, iisLine)
	f.Add("#Fields: a\tb c", "1\t\"2 \"\"3\"\t")
	f.Add("#Fields: time date", "\"a b\" c")
	f.Fuzz(func(t *testing.T, header, line string) {
		p, err := New(Config{Field: "content"})
		require.NoError(t, err)
		b := record.Get(&record.Origin{})
		defer b.Release()
		b.Header = []byte(header)
		r := b.Add([]byte(line))
		require.NoError(t, p.Process(t.Context(), b))
		if specimen.KeepsLine(t, r, line) || strings.HasPrefix(line, "#") {
			return
		}
		total := 0
		for _, field := range r.Fields {
			require.NotEmpty(t, field.Name)
			require.NotEqual(t, byte('_'), field.Name[0])
			total += len(field.Value)
		}
		require.NotEmpty(t, r.Fields)
		require.LessOrEqual(t, total, len(line)+1, "%q", line)
	})
}
