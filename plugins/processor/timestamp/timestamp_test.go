package timestamp

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wasmtail/wasmtail/agent/pipeline"
	"github.com/wasmtail/wasmtail/internal/config"
	"github.com/wasmtail/wasmtail/internal/record"
	"github.com/wasmtail/wasmtail/internal/specimen"
)

func newProcessor(tb testing.TB, c Config) pipeline.Processor {
	tb.Helper()
	keep := c.KeepSource
	config.Defaults(&c)
	c.KeepSource = keep
	p, err := New(c)
	require.NoError(tb, err)
	return p
}

func TestProcess_SetsTheTime(t *testing.T) {
	for _, c := range []struct {
		config             Config
		text, want, fields string
	}{
		{Config{Format: "%F %T", Timezone: "Asia/Shanghai", KeepSource: true}, "2026-11-23 11:36:22", "2026-11-23T03:36:22Z", "a=1|t=2026-11-23 11:36:22|z=2"},
		{Config{Format: "%F %T", Timezone: "+08:00"}, "2026-11-23 11:36:22", "2026-11-23T03:36:22Z", "a=1|z=2"},
		{Config{Format: "%F %T", Timezone: "-0330"}, "2026-11-23 11:36:22", "2026-11-23T15:06:22Z", "a=1|z=2"},
		{Config{Formats: []string{"rfc3339", "epoch_ms"}}, "1795404982007", "2026-11-23T03:36:22.007Z", "a=1|z=2"},
		{Config{Format: "%b %e %H:%M:%S", Timezone: "UTC"}, "Dec 31 23:59:59", "2025-12-31T23:59:59Z", "a=1|z=2"},
	} {
		b := record.Get(&record.Origin{})
		b.ReadTime = time.Date(2026, 11, 23, 3, 36, 22, 0, time.UTC).UnixNano()
		c.config.Field = "t"
		specimen.Add(b, "line", "a", "1", "t", c.text, "z", "2")
		require.NoError(t, newProcessor(t, c.config).Process(t.Context(), b))
		r := &b.Records[0]
		require.Equal(t, c.want, time.Unix(0, r.Time).UTC().Format(time.RFC3339Nano))
		require.Equal(t, c.fields, specimen.Show(r))
		require.Zero(t, r.Marks)
		b.Release()
	}
}

func TestProcess_FailsAndKeepsAllFields(t *testing.T) {
	p := newProcessor(t, Config{Field: "t", Format: "%F %T %Z", Timezone: "UTC"})
	for text, reason := range map[string]string{
		"yesterday":               "time: does not have the format",
		"":                        "time: does not have the format",
		"2026-02-30 00:00:00 UTC": "time: out of range, or no such date",
		"2026-02-20 00:00:00 XYZ": "time: unknown time zone",
	} {
		b := record.Get(&record.Origin{})
		r := specimen.Add(b, "line", "t", text)
		require.NoError(t, p.Process(t.Context(), b))
		require.Equal(t, "t="+text+"|"+specimen.Failed("line", reason), specimen.Show(r))
		require.Zero(t, r.Time)
		b.Release()
	}
	b := record.Get(&record.Origin{})
	defer b.Release()
	r := b.Add([]byte("line"))
	require.NoError(t, p.Process(t.Context(), b))
	require.Equal(t, "content=line|__raw_log__=line|__error__=time: no such field", specimen.Show(r))
}

func TestProcess_AcceptsRecordsWithoutTheField(t *testing.T) {
	p := newProcessor(t, Config{Field: "t", Format: "%F", Timezone: "UTC", Missing: "accept"})
	b := record.Get(&record.Origin{})
	defer b.Release()
	specimen.Add(b, "line", "a", "1")
	specimen.Add(b, "line", "t", "soon")
	require.NoError(t, p.Process(t.Context(), b))
	require.Equal(t, "a=1", specimen.Show(&b.Records[0]))
	require.Zero(t, b.Records[0].Time)
	require.Equal(t, "t=soon|"+specimen.Failed("line", "time: does not have the format"), specimen.Show(&b.Records[1]))
}

func TestProcess_PassesOverFailedRecords(t *testing.T) {
	b := record.Get(&record.Origin{})
	defer b.Release()
	r := b.Add([]byte("line"))
	b.Fail(r, 0, []byte("json: no"))
	before := specimen.Show(r)
	require.NoError(t, newProcessor(t, Config{Field: "t", Format: "%F"}).Process(t.Context(), b))
	require.Equal(t, before, specimen.Show(r))
}

func TestValidate_ReportsEveryFault(t *testing.T) {
	got := map[string]string{}
	report := func(key, problem string) { got[key] = problem }
	(&Config{Formats: []string{"%F", "%Q%E"}, Format: "abc", Timezone: "Mars/Olympus"}).Validate(report)
	require.Len(t, got, 5, "%v", got)
	require.Contains(t, got["timezone"], "Asia/Shanghai")
	require.Contains(t, got["formats[1]"], "unknown letter")
	got = map[string]string{}
	(&Config{Field: "t", Timezone: "+8h"}).Validate(report)
	require.Len(t, got, 2, "%v", got)
	got = map[string]string{}
	good := Config{Field: "t", Format: "iso8601"}
	config.Defaults(&good)
	good.Validate(report)
	require.Empty(t, got)
	for _, bad := range []Config{{}, {Field: "t"}, {Field: "t", Format: "x"}, {Field: "t", Format: "%F", Timezone: "x"}} {
		_, err := New(bad)
		require.ErrorContains(t, err, "cannot set up the time processor")
	}
}

var line = []byte("23/Nov/2026:03:36:22 +0000")

func fill(b *record.Batch, lines int) {
	b.ReadTime = 1795404982e9
	for range lines {
		b.Add(line)
	}
}

func TestProcess_DoesNotAllocate(t *testing.T) {
	p := newProcessor(t, Config{Field: "content", Format: "%d/%b/%Y:%H:%M:%S %z", KeepSource: true})
	specimen.DoesNotAllocate(t, p.Process, func(b *record.Batch) {
		fill(b, 100)
	})
}

func BenchmarkProcess(b *testing.B) {
	p := newProcessor(b, Config{Field: "content", Format: "%d/%b/%Y:%H:%M:%S %z", KeepSource: true})
	specimen.Measure(b, p.Process, func(b *record.Batch) {
		fill(b, 1000)
	})
}

func FuzzProcess(f *testing.F) {
	f.Add("2026-11-23 03:36:22", "%F %T")
	f.Add("Nov 23 03:36:22", "%b %e %T")
	f.Fuzz(func(t *testing.T, text, format string) {
		c := Config{Field: "content", Format: format, Timezone: "Europe/Berlin"}
		p, err := New(c)
		faults := 0
		c.Validate(func(string, string) { faults++ })
		require.Equal(t, faults > 0, err != nil)
		if err != nil {
			return
		}
		b := record.Get(&record.Origin{})
		defer b.Release()
		r := b.Add([]byte(text))
		require.NoError(t, p.Process(t.Context(), b))
		specimen.KeepsLine(t, r, text)
	})
}
