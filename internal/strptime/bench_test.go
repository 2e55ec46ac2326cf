package strptime

import (
	"fmt"
	"testing"
	"time"

	"github.com/itchyny/timefmt-go"
)

func BenchmarkParse(b *testing.B) {
	shanghai := mustLocation(b, "Asia/Shanghai")
	for _, bench := range []struct{ name, format, layout string }{
		{"CLF", "%d/%b/%Y:%H:%M:%S %z", "02/Jan/2006:15:04:05 -0700"},
		{"RFC3339", "rfc3339", "2006-01-02T15:04:05.000000Z07:00"},
		{"ISO8601", "iso8601", "2006-01-02 15:04:05"},
		{"Local", "%Y-%m-%d %H:%M:%S.%f", "2006-01-02 15:04:05.000"},
		{"Compact", "%Y%m%d%H%M%S", "20060102150405"},
		{"Syslog", "%b %e %H:%M:%S", "Jan _2 15:04:05"},
		{"TimeOnly", "%H:%M:%S", "15:04:05"},
	} {
		// 64 lines of about four seconds, then once more from the start: one
		// text in 64 begins a new minute at most.
		start := time.Date(2026, 11, 23, 3, 36, 20, 0, shanghai)
		var lines [][]byte
		for i := range 64 {
			lines = append(lines, []byte(start.Add(time.Duration(i)*60*time.Millisecond).Format(bench.layout)))
		}
		l, err := Compile(bench.format, Options{Location: shanghai})
		if err != nil {
			b.Fatal(err)
		}
		for _, forget := range []bool{false, true} {
			b.Run(fmt.Sprintf("%s/forget=%v", bench.name, forget), func(b *testing.B) {
				p := l.NewParser()
				p.forget = forget
				b.ReportAllocs()
				b.SetBytes(int64(len(lines[0])))
				for i := range b.N {
					if _, err := p.Parse(lines[i&63], start.UnixNano()); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

// BenchmarkOthers is what the same text costs elsewhere.
func BenchmarkOthers(b *testing.B) {
	const text = "23/Nov/2026:03:36:22 +0000"
	b.Run("TimePackage", func(b *testing.B) {
		for b.Loop() {
			if _, err := time.Parse("02/Jan/2006:15:04:05 -0700", text); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("Timefmt", func(b *testing.B) {
		for b.Loop() {
			if _, err := timefmt.Parse(text, "%d/%b/%Y:%H:%M:%S %z"); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func mustLocation(tb testing.TB, name string) *time.Location {
	tb.Helper()
	loc, err := time.LoadLocation(name)
	if err != nil {
		tb.Fatal(err)
	}
	return loc
}
