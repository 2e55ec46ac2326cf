package containers

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wasmtail/wasmtail/agent/tail"
	"github.com/wasmtail/wasmtail/internal/config"
	"github.com/wasmtail/wasmtail/internal/record"
)

func defaults(edit func(*Config)) Config {
	var c Config
	config.Defaults(&c)
	if edit != nil {
		edit(&c)
	}
	return c
}

// texts are the records of a log file: stream, text, marks and the range in the file.
func texts(t testing.TB, c Config, file string) (got []string) {
	t.Helper()
	end := int64(0)
	err := Once(c, strings.NewReader(file), func(b *record.Batch) error {
		defer b.Release()
		require.Equal(t, end, b.Start)
		end = b.End
		size := b.FilteredBytes
		for i := range b.Records {
			r := &b.Records[i]
			text, _ := r.Field(record.Content)
			if r.Marks&record.Failed != 0 {
				text, _ = r.Field(record.RawLog)
			}
			stream, _ := r.Field("log.iostream")
			got = append(got, fmt.Sprintf("%s|%s|%s|%d+%d", stream, text, r.Marks.AppendText(nil), r.Offset, r.Size))
			size += r.Size
		}
		require.Equal(t, b.End-b.Start, size, "bytes that no record accounts for")
		return nil
	})
	require.NoError(t, err)
	require.EqualValues(t, len(file), end)
	return got
}

const at = "2026-03-12T08:15:02.123456789Z "

func TestOnce_CRI(t *testing.T) {
	for name, f := range map[string]struct {
		file string
		want []string
	}{
		"whole lines":        {at + "stdout F one\n" + at + "stderr F two\n", []string{"stdout|one||0+44", "stderr|two||44+44"}},
		"a line in pieces":   {at + "stdout P abc\n" + at + "stdout P def\n" + at + "stdout F g\n", []string{"stdout|abcdefg||0+130"}},
		"empty lines":        {at + "stdout F \n" + at + "stdout F\n", []string{"stdout|||0+41", "stdout|||41+40"}},
		"tags":               {at + "stdout F:x one\n", []string{"stdout|one||0+46"}},
		"streams interleave": {at + "stdout P ab\n" + at + "stderr F two\n" + at + "stdout F c\n", []string{"stdout|ab|partial|0+43", "stderr|two||43+44", "stdout|c||87+42"}},
		"no form":            {"what is this\n" + at + "stdout F one\n", []string{"|what is this|failed|0+13", "stdout|one||13+44"}},
		"an unfinished end":  {at + "stdout F one\n" + at + "stdout P two\n", []string{"stdout|one||0+44", "stdout|two|partial|44+44"}},
	} {
		t.Run(name, func(t *testing.T) { require.Equal(t, f.want, texts(t, defaults(nil), f.file)) })
	}
}

func dockerLine(log, stream string) string {
	text, _ := json.Marshal(map[string]string{"log": log})
	return strings.TrimSuffix(string(text), "}") + `,"stream":"` + stream + `","time":"2026-03-12T08:15:02.123456789Z"}` + "\n"
}

func TestOnce_Docker(t *testing.T) {
	for name, f := range map[string]struct{ logs, want []string }{
		"whole lines":          {[]string{"one\n", "two \"x\" é\t\n"}, []string{"one", "two \"x\" é\t"}},
		"a line in pieces":     {[]string{"abc", "def", "g\n", "h\n"}, []string{"abcdefg", "h"}},
		"ends with backslash":  {[]string{`a\n`, "b\n"}, []string{`a\nb`}},
		"backslashes, newline": {[]string{`a\\` + "\n", "b\n"}, []string{`a\\`, "b"}},
		"windows":              {[]string{"one\r\n"}, []string{"one"}},
		"empty":                {[]string{"\n", "x\n"}, []string{"", "x"}},
	} {
		t.Run(name, func(t *testing.T) {
			var file strings.Builder
			for _, log := range f.logs {
				file.WriteString(dockerLine(log, "stdout"))
			}
			var got []string
			for _, r := range texts(t, defaults(nil), file.String()) {
				parts := strings.Split(r, "|")
				require.Equal(t, "stdout", parts[0])
				require.Empty(t, parts[2])
				got = append(got, parts[1])
			}
			require.Equal(t, f.want, got)
		})
	}
}

func TestOnce_OneStreamOnly(t *testing.T) {
	c := defaults(func(c *Config) { c.Stream = "stderr" })
	require.Equal(t, []string{"stderr|two||44+44"}, texts(t, c, at+"stdout F one\n"+at+"stderr F two\n"+at+"stdout F three\n"))
}

func TestOnce_ALineOfAMegabyte(t *testing.T) {
	var file strings.Builder
	want := strings.Repeat("0123456789abcdef", 60*1024)
	for rest := want; rest != ""; {
		n := min(16<<10, len(rest))
		tag := "P"
		if n == len(rest) {
			tag = "F"
		}
		file.WriteString(at + "stdout " + tag + " " + rest[:n] + "\n")
		rest = rest[n:]
	}
	got := texts(t, defaults(nil), file.String())
	require.Len(t, got, 1)
	require.Equal(t, want, strings.Split(got[0], "|")[1])

	small := defaults(func(c *Config) { c.MaxRecordSize = 64 * config.KiB })
	joined := ""
	for _, r := range texts(t, small, file.String()) {
		joined += strings.Split(r, "|")[1]
		require.Contains(t, r, "|split|")
	}
	require.Equal(t, want, joined)
}

func TestTimesAreThoseOfTheRuntime(t *testing.T) {
	for _, line := range []string{at + "stdout F x\n", strings.Replace(at, "Z", "+02:00", 1) + "stdout F x\n", dockerLine("x\n", "stdout")} {
		var got int64
		require.NoError(t, Once(defaults(nil), strings.NewReader(line), func(b *record.Batch) error {
			got = b.Records[0].Time
			b.Release()
			return nil
		}))
		want := time.Date(2026, 3, 12, 8, 15, 2, 123456789, time.UTC)
		if strings.Contains(line, "+02:00") {
			want = want.Add(-2 * time.Hour)
		}
		require.Equal(t, want.UnixNano(), got, line)
	}
}

func TestFits(t *testing.T) {
	for _, c := range []struct {
		pattern, name string
		want          bool
	}{
		{"a", "a", true},
		{"a", "ab", false},
		{"a*", "ab", true},
		{"*b", "ab", true},
		{"a*c", "abc", true},
		{"a*c", "ab", false},
		{"*", "", true},
		{"", "", true},
		{"", "a", false},
		{"a*b*c", "aXbYc", true},
		{"a*b*c", "acb", false},
		{"*-prod-*", "x-prod-y", true},
		{"ab*ab", "ab", false},
	} {
		require.Equal(t, c.want, fits(c.pattern, c.name), "%q %q", c.pattern, c.name)
	}
}

func TestPaths(t *testing.T) {
	m, ok := podOf("/var/log/pods/shop_cart-7f9_0b1c/nginx/3.log.20260312-081502")
	require.True(t, ok)
	require.Equal(t, Metadata{Namespace: "shop", Pod: "cart-7f9", UID: "0b1c", Name: "nginx", Restarts: "3"}, m)
	for _, path := range []string{"/var/log/pods/shop/nginx/0.log", "/x.log", "", "/var/log/pods/a_b_c/d/.log"} {
		_, ok := podOf(path)
		require.False(t, ok, path)
	}
}

// FuzzOnce: whatever is in a file, every byte is accounted for, and every whole line
// of no form comes out as it was.
func FuzzOnce(f *testing.F) {
	f.Add([]byte(at + "stdout P ab\n" + at + "stderr F two\n" + at + "stdout F c\n"))
	f.Add([]byte(dockerLine("abc", "stdout") + dockerLine("d\n", "stderr")))
	f.Add([]byte("{\"log\":\"\\\\\n{}\n\n P \n"))
	f.Fuzz(func(t *testing.T, file []byte) {
		if bytes.IndexByte(file, 0) == 0 {
			return // a hole is passed over
		}
		texts(t, defaults(func(c *Config) { c.MaxRecordSize = 256 }), string(file))
	})
}

func BenchmarkUnwrap(b *testing.B) {
	for name, line := range map[string]string{
		"cri":    at + "stdout F " + strings.Repeat("GET /cart HTTP/1.1 200 ", 8),
		"docker": strings.TrimSpace(dockerLine(strings.Repeat("GET /cart HTTP/1.1 200 ", 8)+"\n", "stdout")),
	} {
		b.Run(name, func(b *testing.B) {
			c := defaults(nil)
			d := newDecoder()
			m, _ := podOf("/var/log/pods/shop_cart-7f9_0b1c/nginx/3.log")
			m.selected, m.fields = true, fieldsOf(&m, &c)
			l := tail.Line{Bytes: []byte(line), Size: int64(len(line)) + 1}
			b.SetBytes(l.Size)
			b.ReportAllocs()
			batch := record.Get(&record.Origin{Ledger: &record.Ledger{}})
			u := unwrapper{config: &c, d: d, b: batch, container: &m}
			n := 0
			for b.Loop() {
				u.line(&l)
				if n++; n%2000 == 0 {
					batch.Release()
					batch = record.Get(&record.Origin{Ledger: &record.Ledger{}})
					u.b = batch
				}
			}
		})
	}
}
