package pattern

import (
	"bytes"
	"regexp"
	"testing"
)

// BenchmarkNginxCombined compares three ways to take an access log line apart:
// the scan steps, the standard library, and code written for this one format.
func BenchmarkNginxCombined(b *testing.B) {
	line := []byte(nginxLine)
	b.Run("scanner", func(b *testing.B) { benchScanner(b, nginxCombined, line) })
	b.Run("stdlib", func(b *testing.B) { benchStdlib(b, nginxCombined, line) })
	b.Run("handwritten", func(b *testing.B) {
		at := make([]int, 0, 24)
		b.SetBytes(int64(len(line)))
		b.ReportAllocs()
		for b.Loop() {
			if at = splitCombined(at[:0], line); len(at) != 24 {
				b.Fatal("no match")
			}
		}
	})
}

// BenchmarkFind compares the scan steps with the standard library for groups.
func BenchmarkFind(b *testing.B) {
	for _, name := range []string{
		"nginx combined unanchored", "nginx request as a whole", "nginx greedy", "nginx lazy", "nginx error", "bracket after greedy", "syslog rfc3164", "syslog loose", "syslog rfc5424",
		"java log4j", "logrus", "key value", "haproxy", "postgres", "grok ip", "grok iso8601", "grok syslog base", "quoted or bare", "uuid", "case-blind",
	} {
		s := sampleNamed(name)
		line := []byte(s.lines[0])
		b.Run(name+"/scanner", func(b *testing.B) { benchScanner(b, s.expr, line) })
		b.Run(name+"/stdlib", func(b *testing.B) { benchStdlib(b, s.expr, line) })
	}
}

// BenchmarkMatch compares them where only the answer counts, as for the first
// lines of records.
func BenchmarkMatch(b *testing.B) {
	for _, c := range []struct{ name, expr, line string }{
		{"bracket", `^\S+ \[`, "10.0.0.1 [info] " + javaLine},
		{"bracket not", `^\S+ \[`, javaLine},
		{"date", `^\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}:\d{2}`, javaLine},
		{"date not", `^\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}:\d{2}`, "\tat com.example.shop.CartController.add(CartController.java:42)"},
		{"levels", `TRACE|DEBUG|INFO|WARN|ERROR|FATAL`, javaLine},
		{"case-blind", `(?i)error|exception`, nginxLine},
	} {
		line := []byte(c.line)
		b.Run(c.name+"/scanner", func(b *testing.B) {
			re, err := Compile(c.expr)
			if err != nil {
				b.Fatal(err)
			}
			b.SetBytes(int64(len(line)))
			b.ReportAllocs()
			for b.Loop() {
				re.Match(line)
			}
		})
		b.Run(c.name+"/stdlib", func(b *testing.B) {
			re := regexp.MustCompile(c.expr)
			b.SetBytes(int64(len(line)))
			b.ReportAllocs()
			for b.Loop() {
				re.Match(line)
			}
		})
	}
}

func sampleNamed(name string) sample {
	for _, s := range samples {
		if s.name == name {
			return s
		}
	}
	panic("BUG: no sample " + name)
}

func benchScanner(b *testing.B, expr string, line []byte) {
	re, err := Compile(expr)
	if err != nil {
		b.Fatal(err)
	}
	at := make([]int, 0, 2*(re.NumSubexp()+1))
	b.SetBytes(int64(len(line)))
	b.ReportAllocs()
	for b.Loop() {
		if re.FindSubmatchIndex(at, line) == nil {
			b.Fatal("no match")
		}
	}
}

func benchStdlib(b *testing.B, expr string, line []byte) {
	re := regexp.MustCompile(expr)
	b.SetBytes(int64(len(line)))
	b.ReportAllocs()
	for b.Loop() {
		if re.FindSubmatchIndex(line) == nil {
			b.Fatal("no match")
		}
	}
}

// splitCombined is what one would write by hand for the combined format, with
// a little less checking than the pattern does.
func splitCombined(at []int, line []byte) []int {
	pos := 0
	field := func(end byte, more string) bool {
		n := bytes.IndexByte(line[pos:], end)
		if n <= 0 {
			return false
		}
		at = append(at, pos, pos+n)
		pos += n + 1
		if len(line)-pos < len(more) || string(line[pos:pos+len(more)]) != more {
			return false
		}
		pos += len(more)
		return true
	}
	at = append(at, 0, len(line))
	//nolint:staticcheck // each call reads the next field
	if field(' ', "") && field(' ', "") && field(' ', "[") && field(']', ` "`) && field(' ', "") && field(' ', "") && field('"', " ") &&
		field(' ', "") && field(' ', `"`) && field('"', ` "`) && field('"', "") && pos == len(line) {
		return at
	}
	return nil
}

// BenchmarkCompile is here because a pattern is compiled once for each lane.
func BenchmarkCompile(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Compile(nginxCombined); err != nil {
			b.Fatal(err)
		}
	}
}
