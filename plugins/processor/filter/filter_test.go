package filter

import (
	"strconv"
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

func TestProcess(t *testing.T) {
	records := [][]string{
		{"id", "0", "level", "debug", "path", "/health", "status", "200"},
		{"id", "1", "level", "info", "path", "/health", "status", "500"},
		{"id", "2", "level", "error", "path", "/items", "status", "404"},
		{"id", "3", "path", "", "status", "-"},
		{"id", "4", "level", "", "status", "1e3"},
		{"id", "5", "__raw_log__", "odd line", "__error__", "json: invalid syntax"},
	}
	for text, want := range map[string]string{
		"keep: [{field: level, equals: error}]":                                                                    "2",
		"keep: [{field: level, equals: ''}]":                                                                       "4",
		"keep: [{field: level, in: [debug, error]}]":                                                               "02",
		"drop: [{field: level, in: [debug, error]}]":                                                               "1345",
		"keep: [{field: level, pattern: '^(info|debug)$'}]":                                                        "01",
		"keep: [{field: level, exists: true}]":                                                                     "0124",
		"keep: [{field: level, exists: false}]":                                                                    "35",
		"keep: [{field: status, min: 400}]":                                                                        "124",
		"keep: [{field: status, min: 400, max: 499}]":                                                              "2",
		"keep: [{field: status, max: 200}]":                                                                        "0",
		"keep: [{field: level, exists: true, pattern: o}]":                                                         "12",
		"drop: [{field: path, equals: /health, and: [{field: status, equals: 200}]}]":                              "12345",
		"keep: [{field: status, min: 400}, {field: __error__, exists: true}]\ndrop: [{field: path, pattern: ^/h}]": "245",
	} {
		b := record.Get(&record.Origin{})
		for _, r := range records {
			specimen.Add(b, "line", r...)
		}
		require.NoError(t, newProcessor(t, text).Process(t.Context(), b))
		got := ""
		for i := range b.Records {
			id, _ := b.Records[i].Field("id")
			got += string(id)
		}
		require.Equal(t, want, got, text)
		require.Equal(t, len(records)-len(want), b.Filtered)
		require.Positive(t, b.FilteredBytes)
		b.Release()
	}
}

func TestValidate_ReportsEveryFault(t *testing.T) {
	_, err := specimen.Settings[Config](`keep:
  - {field: a}
  - {field: a, pattern: "("}
  - {field: a, exists: false, equals: x}
  - {field: a, min: 2, max: 1, and: [{field: b}]}
drop: [{field: "", equals: a}]`)
	for _, want := range []string{"keep[0]", "keep[1].pattern", "keep[2].exists", "keep[3].min", "keep[3].and[0]", "drop[0].field"} {
		require.ErrorContains(t, err, want)
	}
	_, err = New(Config{})
	require.ErrorContains(t, err, "cannot set up the filter processor")
}

func TestNumber(t *testing.T) {
	for _, text := range []string{"0", "-1", "+1.5", ".5", "5.", "1e3", "1E-3", "00012"} {
		want, err := strconv.ParseFloat(text, 64)
		require.NoError(t, err)
		got, ok := number([]byte(text))
		require.True(t, ok, text)
		require.InDelta(t, want, got, 0)
	}
	for _, text := range []string{"", "-", ".", "1.2.3", "1e", "0x10", "inf", "NaN", "1_000", " 1", strings.Repeat("1", 33)} {
		_, ok := number([]byte(text))
		require.False(t, ok, text)
	}
}

const rules = `keep: [{field: level, in: [info, warn, error]}]
drop: [{field: path, pattern: ^/health, and: [{field: status, max: 299}]}]`

func fields(b *record.Batch, pairs []record.Field) {
	r := b.Add(nil)
	r.Fields = append(b.AllocFields(len(pairs)), pairs...)
}

var steady = [][]record.Field{
	{{Name: []byte("level"), Value: []byte("info")}, {Name: []byte("path"), Value: []byte("/health/live")}, {Name: []byte("status"), Value: []byte("200")}},
	{{Name: []byte("level"), Value: []byte("info")}, {Name: []byte("path"), Value: []byte("/items")}, {Name: []byte("status"), Value: []byte("1.2.3.4")}},
	{{Name: []byte("level"), Value: []byte("debug")}, {Name: []byte("path"), Value: []byte("/items")}, {Name: []byte("status"), Value: []byte("200")}},
}

func TestProcess_DoesNotAllocate(t *testing.T) {
	p := newProcessor(t, rules)
	specimen.DoesNotAllocate(t, p.Process, func(b *record.Batch) {
		for i := range 90 {
			fields(b, steady[i%3])
		}
	})
}

func BenchmarkProcess(b *testing.B) {
	p := newProcessor(b, rules)
	specimen.Measure(b, p.Process, func(b *record.Batch) {
		for i := range 1000 {
			fields(b, steady[i%3])
		}
	})
}

func FuzzNumber(f *testing.F) {
	f.Add("1.5e10")
	f.Add("-.")
	f.Fuzz(func(t *testing.T, text string) {
		got, ok := number([]byte(text))
		want, err := strconv.ParseFloat(text, 64)
		if ok {
			require.NoError(t, err)
			require.InDelta(t, want, got, 0)
		} else if err == nil && len(text) <= numberBytesMax {
			require.True(t, strings.ContainsAny(strings.ToLower(text), "xinf_"), text)
		}
	})
}
