package strptime

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"
	_ "time/tzdata"

	"github.com/itchyny/timefmt-go"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

const reference = "2026-11-23T03:36:22Z"

func TestParse_Golden(t *testing.T) {
	const fail = ""
	for _, c := range []struct{ format, zone, text, want string }{
		// Access logs, RFC 3164, RFC 5424 and the like.
		{"%d/%b/%Y:%H:%M:%S %z", "UTC", "10/Oct/2000:13:55:36 -0700", "2000-10-10T20:55:36Z"},
		{"%d/%b/%Y:%H:%M:%S %z", "UTC", "10/Oct/2000:13:55:36 +05:45", "2000-10-10T08:10:36Z"},
		{"%d/%b/%Y:%H:%M:%S %z", "UTC", " 9/Oct/2000:13:55:36 Z", "2000-10-09T13:55:36Z"},
		{"%b %d %H:%M:%S", "UTC", "Nov 22 23:59:59", "2026-11-22T23:59:59Z"},
		{"%b %e %H:%M:%S", "UTC", "Nov  3 01:02:03", "2026-11-03T01:02:03Z"},
		{"%b %e %H:%M:%S", "UTC", "Nov 24 03:00:00", "2026-11-24T03:00:00Z"},
		{"%b %e %H:%M:%S", "UTC", "Nov 25 03:00:00", "2025-11-25T03:00:00Z"},
		{"%b %e %H:%M:%S", "UTC", "Feb 29 12:00:00", "2024-02-29T12:00:00Z"},
		{"%a %b %d %H:%M:%S.%f %Y", "UTC", "Mon Nov 23 03:36:22.123456 2026", "2026-11-23T03:36:22.123456Z"},
		{"%a %b %d %H:%M:%S %Y", "UTC", "Monday November 23 03:36:22 2026", "2026-11-23T03:36:22Z"},
		{"%c", "UTC", "Mon Nov  2 03:36:22 2026", "2026-11-02T03:36:22Z"},
		{"%Y/%m/%d %H:%M:%S", "Asia/Shanghai", "2026/11/23 11:36:22", "2026-11-23T03:36:22Z"},
		{"%Y-%m-%d %H:%M:%S,%f", "UTC", "2026-11-23 03:36:22,7", "2026-11-23T03:36:22.7Z"},
		{"%Y-%m-%d %H:%M:%S,%L", "UTC", "2026-11-23 03:36:22,007", "2026-11-23T03:36:22.007Z"},
		{"%Y-%m-%d %H:%M:%S,%L", "UTC", "2026-11-23 03:36:22,0071", fail},
		{"%Y-%m-%d %H:%M:%S.%N", "UTC", "2026-11-23 03:36:22.123456789", "2026-11-23T03:36:22.123456789Z"},
		{"%Y-%m-%d %H:%M:%S.%f", "UTC", "2026-11-23 03:36:22.1234567891", "2026-11-23T03:36:22.123456789Z"},
		{"%Y-%m-%d %H:%M:%S.%3f", "UTC", "2026-11-23 03:36:22.123", "2026-11-23T03:36:22.123Z"},
		{"%Y%m%d%H%M%S%3f", "UTC", "20261123033622123", "2026-11-23T03:36:22.123Z"},
		{"%Y%m%d%H%M%S", "UTC", "20261123033622", "2026-11-23T03:36:22Z"},
		{"%Y%m%d %H%M%S", "UTC", "20261123 033622", "2026-11-23T03:36:22Z"},
		{"%y%m%d %H:%M:%S", "UTC", "681123 03:36:22", "2068-11-23T03:36:22Z"},
		{"%y%m%d %H:%M:%S", "UTC", "691123 03:36:22", "1969-11-23T03:36:22Z"},
		{"%C%y-%m-%d", "UTC", "1999-12-31", "1999-12-31T00:00:00Z"},
		{"%F %T", "UTC", "2026-11-23 03:36:22", "2026-11-23T03:36:22Z"},
		{"%FT%T%z", "UTC", "2026-11-23T03:36:22+0100", "2026-11-23T02:36:22Z"},
		{"%D %R", "UTC", "11/23/26 03:36", "2026-11-23T03:36:00Z"},
		{"%x %X", "UTC", "11/23/26 03:36:22", "2026-11-23T03:36:22Z"},
		{"%m/%d/%Y %I:%M:%S %p", "UTC", "11/23/2026 12:36:22 AM", "2026-11-23T00:36:22Z"},
		{"%m/%d/%Y %I:%M:%S %p", "UTC", "11/23/2026 12:36:22 pm", "2026-11-23T12:36:22Z"},
		{"%m/%d/%Y %r", "UTC", "11/23/2026 03:36:22 PM", "2026-11-23T15:36:22Z"},
		{"%m/%d/%Y %l:%M %P", "UTC", "11/23/2026  3:36 pm", "2026-11-23T15:36:00Z"},
		{"%Y-%j", "UTC", "2024-366", "2024-12-31T00:00:00Z"},
		{"%Y-%j", "UTC", "2026-366", fail},
		{"%A, %d-%b-%y %H:%M:%S %Z", "UTC", "Monday, 23-Nov-26 03:36:22 GMT", "2026-11-23T03:36:22Z"},
		{"%a, %d %b %Y %H:%M:%S %Z", "America/New_York", "Mon, 23 Nov 2026 03:36:22 EST", "2026-11-23T08:36:22Z"},
		{"%Y-%m-%d %H:%M:%S %Z", "America/New_York", "2026-07-01 03:36:22 EDT", "2026-07-01T07:36:22Z"},
		{"%Y-%m-%d %H:%M:%S %Z", "America/New_York", "2026-07-01 03:36:22 EST", "2026-07-01T08:36:22Z"},
		{"%Y-%m-%d %H:%M:%S %Z", "America/New_York", "2026-07-01 03:36:22 CET", fail},
		{"%Y-%m-%d %H:%M:%S %Z", "America/New_York", "2026-11-01 01:30:00 EDT", "2026-11-01T05:30:00Z"},
		{"%Y-%m-%d %H:%M:%S %Z", "America/New_York", "2026-11-01 01:30:00 EST", "2026-11-01T06:30:00Z"},
		{"%Y-%m-%d %H:%M:%S %z %Z", "Asia/Shanghai", "2026-11-23 03:36:22 +0900 CST", "2026-11-22T18:36:22Z"},
		// Changes of offset, as time.Date understands them.
		{"%Y-%m-%d %H:%M:%S", "America/New_York", "2026-03-08 01:59:59", "2026-03-08T06:59:59Z"},
		{"%Y-%m-%d %H:%M:%S", "America/New_York", "2026-03-08 02:30:00", "2026-03-08T06:30:00Z"},
		{"%Y-%m-%d %H:%M:%S", "America/New_York", "2026-11-01 01:30:00", "2026-11-01T05:30:00Z"},
		{"%Y-%m-%d %H:%M:%S", "Europe/Berlin", "2026-03-29 02:30:00", "2026-03-29T01:30:00Z"},
		{"%Y-%m-%d %H:%M:%S", "Europe/Berlin", "2026-10-25 02:30:00", "2026-10-25T01:30:00Z"},
		{"%Y-%m-%d %H:%M:%S", "America/New_York", "2026-03-08 03:00:00", "2026-03-08T07:00:00Z"},
		{"%Y-%m-%d %H:%M:%S", "America/New_York", "2026-11-01 00:59:59", "2026-11-01T04:59:59Z"},
		{"%Y-%m-%d %H:%M:%S", "America/New_York", "2026-11-01 02:00:00", "2026-11-01T07:00:00Z"},
		{"%Y-%m-%d %H:%M:%S", "Europe/Berlin", "2026-07-01 12:00:00", "2026-07-01T10:00:00Z"},
		{"%Y-%m-%d %H:%M:%S", "Asia/Kathmandu", "2026-07-01 12:00:00", "2026-07-01T06:15:00Z"},
		// Leap days and leap seconds.
		{"%Y-%m-%d", "UTC", "2024-02-29", "2024-02-29T00:00:00Z"},
		{"%Y-%m-%d", "UTC", "2026-02-29", fail},
		{"%Y-%m-%d", "UTC", "2100-02-29", fail},
		{"%Y-%m-%d", "UTC", "2000-02-29", "2000-02-29T00:00:00Z"},
		{"%F %T", "UTC", "2016-12-31 23:59:60", "2017-01-01T00:00:00Z"},
		{"%F %T", "UTC", "2016-12-31 23:59:61", fail},
		{"%F %T", "UTC", "2026-04-31 00:00:00", fail},
		{"%F %T", "UTC", "2026-11-23 24:00:00", fail},
		// Only a time of day.
		{"%H:%M:%S", "UTC", "03:36:00", "2026-11-23T03:36:00Z"},
		{"%H:%M:%S", "UTC", "04:30:00", "2026-11-23T04:30:00Z"},
		{"%H:%M:%S", "UTC", "23:59:59", "2026-11-22T23:59:59Z"},
		{"%H:%M:%S.%f", "Asia/Shanghai", "11:36:00.5", "2026-11-23T03:36:00.5Z"},
		// Seconds since 1970.
		{"%s", "UTC", "1795404982", "2026-11-23T03:36:22Z"},
		{"%s.%f", "UTC", "1795404982.25", "2026-11-23T03:36:22.25Z"},
		{"%s.%f", "UTC", "-1.5", "1969-12-31T23:59:58.5Z"},
		{"%Q", "UTC", "1795404982007", "2026-11-23T03:36:22.007Z"},
		{"epoch_s", "UTC", "1795404982", "2026-11-23T03:36:22Z"},
		{"epoch_s", "UTC", "1795404982.123456789", "2026-11-23T03:36:22.123456789Z"},
		{"epoch_s", "UTC", "-0.5", "1969-12-31T23:59:59.5Z"},
		{"epoch_ms", "UTC", "1795404982007.5", "2026-11-23T03:36:22.0075Z"},
		{"epoch_us", "UTC", "1795404982007001", "2026-11-23T03:36:22.007001Z"},
		{"epoch_ns", "UTC", "1795404982007001002", "2026-11-23T03:36:22.007001002Z"},
		{"epoch_auto", "UTC", "1795404982", "2026-11-23T03:36:22Z"},
		{"epoch_auto", "UTC", "1795404982.5", "2026-11-23T03:36:22.5Z"},
		{"epoch_auto", "UTC", "1795404982007", "2026-11-23T03:36:22.007Z"},
		{"epoch_auto", "UTC", "1795404982007001", "2026-11-23T03:36:22.007001Z"},
		{"epoch_auto", "UTC", "1795404982007001002", "2026-11-23T03:36:22.007001002Z"},
		{"epoch_s", "UTC", "99999999999", fail},
		{"epoch_s", "UTC", "1.", fail},
		{"epoch_s", "UTC", "1e9", fail},
		// Named layouts.
		{"rfc3339", "UTC", "2026-11-23T03:36:22.5+08:00", "2026-11-22T19:36:22.5Z"},
		{"rfc3339", "UTC", "2026-11-23 03:36:22z", "2026-11-23T03:36:22Z"},
		{"rfc3339", "UTC", "2026-11-23T03:36:22", fail},
		{"iso8601", "Asia/Shanghai", "2026-11-23T11:36:22", "2026-11-23T03:36:22Z"},
		{"iso8601", "UTC", "2026-11-23T11:36:22,5-08", "2026-11-23T19:36:22.5Z"},
		{"iso8601", "UTC", "20261123T033622Z", "2026-11-23T03:36:22Z"},
		{"iso8601", "UTC", "2026-11-23 03:36", "2026-11-23T03:36:00Z"},
		{"iso8601", "UTC", "2026-11-23", "2026-11-23T00:00:00Z"},
		{"iso8601", "UTC", "20261123", "2026-11-23T00:00:00Z"},
		// Text that is not of the format.
		{"%F %T", "UTC", "2026-11-23 03:36:22 x", fail},
		{"%F %T", "UTC", "2026-11-23 03:36", fail},
		{"%F %T", "UTC", "", fail},
		{"%F %T", "UTC", "2026-13-23 03:36:22", fail},
		{"%F %T %z", "UTC", "2026-11-23 03:36:22 +2500", fail},
		{"%F %T %z", "UTC", "2026-11-23 03:36:22 PST", fail},
		{"%F %T", "UTC", "  2026-11-23 03:36:22\t", "2026-11-23T03:36:22Z"},
		{"100%% %F", "UTC", "100% 2026-11-23", "2026-11-23T00:00:00Z"},
		{"%Y年%m月%d日 %H时%M分%S秒", "Asia/Shanghai", "2026年11月23日 11时36分22秒", "2026-11-23T03:36:22Z"},
		{"%-d.%-m.%Y", "UTC", "3.2.2026", "2026-02-03T00:00:00Z"},
		{"%Y-%m-%d", "UTC", "1600-01-01", fail},
		{"%Y-%m-%d", "UTC", "2300-01-01", fail},
	} {
		t.Run(c.format+"/"+c.text, func(t *testing.T) {
			l, err := Compile(c.format, Options{Location: mustLocation(t, c.zone)})
			require.NoError(t, err)
			p := l.NewParser()
			for range 2 { // the second time from memory
				got, err := p.Parse([]byte(c.text), mustTime(t, reference))
				if c.want == fail {
					require.Error(t, err, "%s", time.Unix(0, got).UTC())
					continue
				}
				require.NoError(t, err)
				require.Equal(t, c.want, time.Unix(0, got).UTC().Format(time.RFC3339Nano))
			}
		})
	}
}

func TestCompile_SaysWhatIsWrong(t *testing.T) {
	for format, want := range map[string]string{
		"":           "named layout",
		"abc":        "named layout",
		"RFC3339":    "named layout",
		"%":          "percent sign",
		"%E":         "unknown letter",
		"%I:%M %F":   "%p",
		"%M:%S":      "%H",
		"%Y-%m":      "incomplete",
		"%d %H":      "incomplete",
		"%Y":         "incomplete",
		"%C-%m-%d":   "%y",
		"%a":         "neither",
		"%5S":        "number of digits",
		"%F\x01%T":   "control",
		"%Y-%m-%d %": "percent sign",
	} {
		_, err := Compile(format, Options{})
		require.ErrorContains(t, err, want, "%q", format)
	}
}

func TestParse_NamesTheFault(t *testing.T) {
	l, err := Compile("%F %T %Z", Options{Location: time.UTC})
	require.NoError(t, err)
	for text, want := range map[string]error{
		"no time":                 ErrFormat,
		"2026-02-30 00:00:00 GMT": ErrRange,
		"2026-02-20 00:00:00 XYZ": ErrZone,
	} {
		_, err := l.NewParser().Parse([]byte(text), 0)
		require.True(t, errors.Is(err, want), "%q: %v", text, err)
	}
}

// formats pairs our letters with time.Format's.
var formats = []struct{ ours, theirs string }{
	{"%d/%b/%Y:%H:%M:%S %z", "02/Jan/2006:15:04:05 -0700"},
	{"%Y-%m-%d %H:%M:%S.%f", "2006-01-02 15:04:05.000000000"},
	{"%Y%m%d%H%M%S%3f%z", ""},
	{"%A %d %B %Y %I:%M:%S %p", "Monday 02 January 2006 03:04:05 PM"},
	{"%a %b %e %H:%M:%S %Y", "Mon Jan _2 15:04:05 2006"},
	{"%y%m%d %H:%M:%S", "060102 15:04:05"},
	{"%Y %j %H:%M", "2006 002 15:04"},
	{"rfc3339", time.RFC3339Nano},
	{"iso8601", "2006-01-02T15:04:05.999999999-07:00"},
	{"iso8601", "20060102T150405Z0700"},
}

var zones = []string{"UTC", "America/New_York", "Europe/Berlin", "Asia/Shanghai", "Australia/Lord_Howe", "Pacific/Apia", "Asia/Kathmandu"}

func TestParse_AgreesWithTheTimePackage(t *testing.T) {
	for _, zone := range zones {
		loc := mustLocation(t, zone)
		for _, f := range formats {
			if f.theirs == "" {
				continue
			}
			l, err := Compile(f.ours, Options{Location: loc})
			require.NoError(t, err)
			p := l.NewParser()
			for range 1000 {
				text := randomTime().In(loc).Format(f.theirs)
				want, err := time.ParseInLocation(f.theirs, text, loc)
				require.NoError(t, err)
				got, err := p.Parse([]byte(text), 0)
				// Of a repeated hour without an offset both are right by
				// the text; the time package's choice is ours.
				if err != nil || got != want.UnixNano() {
					t.Fatalf("%s %s: %q reads %d, %v; want %d", zone, f.ours, text, got, err, want.UnixNano())
				}
			}
		}
	}
}

func TestParse_AgreesWithTimefmt(t *testing.T) {
	oracle := []string{
		"%Y-%m-%d %H:%M:%S", "%d/%b/%Y:%H:%M:%S %z", "%c", "%D %r", "%F %T.%f", "%y%m%d%H%M%S",
		"%A, %d %B %Y %l:%M:%S %p", "%s", "%Y-%jT%T", "%FT%T%:z", "%e.%m.%Y %k:%M", "%a %U %w %F %R", "%h %d %Y %X",
	}
	for _, format := range oracle {
		for _, zone := range zones {
			loc := mustLocation(t, zone)
			ours := format
			if format == "%FT%T%:z" {
				ours = "%FT%T%z"
			}
			l, err := Compile(ours, Options{Location: loc})
			require.NoError(t, err)
			p := l.NewParser()
			for range 500 {
				text := timefmt.Format(randomTime().In(loc), format)
				want, err := timefmt.ParseInLocation(text, format, loc)
				require.NoError(t, err)
				got, err := p.Parse([]byte(text), 0)
				if err != nil || got != want.UnixNano() {
					t.Fatalf("%s %s: %q reads %d, %v; want %d", zone, format, text, got, err, want.UnixNano())
				}
			}
		}
	}
}

func randomTime() time.Time {
	from, to := time.Date(1971, 1, 1, 0, 0, 0, 0, time.UTC).Unix(), time.Date(2037, 1, 1, 0, 0, 0, 0, time.UTC).Unix()
	t := time.Unix(from+rand.Int64N(to-from), rand.Int64N(1e6)*1000)
	if rand.IntN(2) == 0 { // within two days of a change of offset in New York
		t = time.Date(1990+rand.IntN(45), 3, 14, 7, 0, 0, 0, time.UTC).Add(time.Duration(rand.Int64N(int64(48 * time.Hour))))
	}
	return t
}

// memoryFormats begin in all ways a prefix can.
var memoryFormats = []string{
	"%d/%b/%Y:%H:%M:%S %z", "%Y%m%d%H%M%S", "%b %e %H:%M:%S", "%H:%M:%S", "%H%M%S", "rfc3339", "iso8601",
	"%bc%S %H:%M %d", "%a%d%b%H:%M:%S", "%B%H:%M:%S %d", "%m/%d %H:%M", "%I:%M:%S %p %d.%m.%y", "%e%m%Y%k%M%S",
	"%j %H:%M:%S", "%Y-%m-%d %H:%M:%S %Z", "%c", "%H:%M:%S %Y-%m-%d", "%y%j.%H%M", "%s.%f", "%d%m %H:%M:%S %z",
}

func TestParse_MemoryChangesNothing(t *testing.T) {
	newYork := mustLocation(t, "America/New_York")
	rapid.Check(t, func(t *rapid.T) {
		format := rapid.SampledFrom(memoryFormats).Draw(t, "format")
		loc := rapid.SampledFrom([]*time.Location{time.UTC, newYork}).Draw(t, "loc")
		l, err := Compile(format, Options{Location: loc})
		if err != nil {
			t.Fatal(err)
		}
		p := l.NewParser()
		shown := format
		if format == "rfc3339" || format == "iso8601" {
			shown = "%Y-%m-%dT%H:%M:%S%z"
		}
		at := rapid.Int64Range(0, 2e9).Draw(t, "start")
		now := at
		for range rapid.IntRange(1, 12).Draw(t, "steps") {
			at += rapid.SampledFrom([]int64{0, 1, 1, 59, 60, 3600, -1, 86400, -86400, 31_536_000}).Draw(t, "step")
			now += rapid.SampledFrom([]int64{0, 0, 1, 60, 3600, 86400, -86400, 31_536_000}).Draw(t, "now")
			text := timefmt.Format(time.Unix(at, 0).In(loc), shown)
			if rapid.Bool().Draw(t, "damage") && len(text) > 0 {
				i := rapid.IntRange(0, len(text)-1).Draw(t, "where")
				text = text[:i] + rapid.SampledFrom([]string{"", "0", "1", " ", "c", "x", ":"}).Draw(t, "with") + text[i+rapid.IntRange(0, 1).Draw(t, "cut"):]
			}
			checkMemory(t, p, text, now)
		}
	})
}

type failer interface{ Fatalf(string, ...any) }

func checkMemory(t failer, p *Parser, text string, now int64) {
	fresh := p.layout.NewParser()
	fresh.forget = true
	want, wantErr := fresh.Parse([]byte(text), now*1e9)
	got, err := p.Parse([]byte(text), now*1e9)
	if got != want || !errors.Is(err, wantErr) {
		t.Fatalf("%q gives %d, %v from memory and %d, %v without", text, got, err, want, wantErr)
	}
}

// TestParse_YearsAndDaysFollowTheRule compares with the rule itself.
func TestParse_YearsAndDaysFollowTheRule(t *testing.T) {
	loc := mustLocation(t, "America/New_York")
	month, err := Compile("%m-%d %H:%M:%S", Options{Location: loc})
	require.NoError(t, err)
	clock, err := Compile("%H:%M:%S", Options{Location: loc})
	require.NoError(t, err)
	pm, pc := month.NewParser(), clock.NewParser()
	for range 5000 {
		now, at := randomTime(), randomTime().In(loc)
		if rand.IntN(2) == 0 {
			at = now.Add(time.Duration(rand.Int64N(int64(96*time.Hour))) - 48*time.Hour).In(loc)
		}
		got, err := pm.Parse([]byte(at.Format("01-02 15:04:05")), now.UnixNano())
		require.NoError(t, err)
		want := time.Time{}
		for y := now.Year() - 9; y <= now.Year()+1; y++ {
			c := time.Date(y, at.Month(), at.Day(), at.Hour(), at.Minute(), at.Second(), 0, loc)
			if c.In(loc).Format("01-02") != at.Format("01-02") {
				continue // no such day that year
			}
			if !c.After(now.Add(24 * time.Hour).Truncate(time.Second)) {
				want = c
			}
		}
		require.Equal(t, want.Unix(), got/1e9, "%s at %s", at, now)

		got, err = pc.Parse([]byte(at.Format("15:04:05")), now.UnixNano())
		require.NoError(t, err)
		for d := -3; d <= 2; d++ {
			n := now.In(loc)
			c := time.Date(n.Year(), n.Month(), n.Day()+d, at.Hour(), at.Minute(), at.Second(), 0, loc)
			if !c.After(now.Add(time.Hour).Truncate(time.Second)) {
				want = c
			}
		}
		require.Equal(t, want.Unix(), got/1e9, "%s at %s", at, now)
	}
}

func TestParse_DoesNotAllocate(t *testing.T) {
	loc := mustLocation(t, "America/New_York")
	for _, c := range []struct{ format, text string }{
		{"%d/%b/%Y:%H:%M:%S %z", "10/Oct/2000:13:55:36 -0700"},
		{"%b %e %H:%M:%S", "Nov  1 01:30:00"},
		{"%Y-%m-%d %H:%M:%S %Z", "2026-11-01 01:30:00 EDT"},
		{"iso8601", "2026-11-01 01:30:00"},
		{"epoch_auto", "1795404982.5"},
		{"%F %T", "garbage"},
	} {
		l, err := Compile(c.format, Options{Location: loc})
		require.NoError(t, err)
		p, text := l.NewParser(), []byte(c.text)
		require.Zero(t, testing.AllocsPerRun(100, func() { _, _ = p.Parse(text, 1795404982e9) }), c.format)
	}
}

// TestParse_EveryDay walks the calendar across all leap rules.
func TestParse_EveryDay(t *testing.T) {
	l, err := Compile("%Y-%m-%d", Options{Location: time.UTC})
	require.NoError(t, err)
	p := l.NewParser()
	for _, year := range []int{1678, 1699, 1700, 1899, 1900, 1904, 1969, 1970, 1972, 1999, 2000, 2024, 2026, 2100, 2104, 2261} {
		for day := time.Date(year, 1, 1, 0, 0, 0, 0, time.UTC); day.Year() == year; day = day.AddDate(0, 0, 1) {
			got, err := p.Parse([]byte(day.Format("2006-01-02")), 0)
			if err != nil || got != day.UnixNano() || yearOf(floorDiv(day.Unix(), secondsPerDay)) != year {
				t.Fatalf("%s reads %d, %v", day, got, err)
			}
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, format := range memoryFormats {
		f.Add(format, "2026-11-23T03:36:22Z", "23/Nov/2026:03:36:22 +0800", int64(1795404982))
	}
	f.Add("%c", "Mon Nov 23 03:36:22 2026", "Mon Nov 23 03:36:23 2026", int64(0))
	loc, err := time.LoadLocation("America/New_York")
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, format, first, second string, now int64) {
		l, err := Compile(format, Options{Location: loc})
		if err != nil {
			return
		}
		now %= 9_000_000_000
		p := l.NewParser()
		for _, text := range []string{first, second, first} {
			checkMemory(t, p, text, now)
		}
	})
}

func ExampleCompile() {
	l, err := Compile("%d/%b/%Y:%H:%M:%S %z", Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	ns, err := l.NewParser().Parse([]byte("23/Nov/2026:11:36:22 +0800"), 0)
	fmt.Println(time.Unix(0, ns).UTC(), err)
	// Output: 2026-11-23 03:36:22 +0000 UTC <nil>
}

func mustTime(t *testing.T, text string) int64 {
	t.Helper()
	at, err := time.Parse(time.RFC3339, text)
	require.NoError(t, err)
	return at.UnixNano()
}
