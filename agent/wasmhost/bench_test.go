package wasmhost

import (
	"bytes"
	"context"
	"fmt"
	"regexp"
	"strconv"
	"testing"

	"github.com/wasmtail/wasmtail/internal/record"
)

// accessLog is some kilobytes of access log, as a batch has them.
func accessLog(n int) [][]byte {
	lines := make([][]byte, n)
	for i := range lines {
		lines[i] = fmt.Appendf(nil, `10.%d.%d.%d - - [10/Oct/2024:13:%02d:%02d +0000] "GET /shop/item/%d?session=%08x&page=%d HTTP/1.1" %d %d "https://www.example.com/catalogue/%d" "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 Chrome/120.0 Safari/537.36"`,
			i%250, i%13, i%77, i%60, i%59, i*7, i*2654435761, i%9, 200+i%3*100, i*37%100000, i%500)
	}
	return lines
}

var scanNames = func() (names [10][]byte) {
	for i, n := range []string{"remote_addr", "remote_user", "time_local", "method", "uri", "protocol", "status", "body_bytes_sent", "referer", "user_agent"} {
		names[i] = []byte(n)
	}
	return names
}()

// scanNative is the best that one would write by hand in Go for this one format:
// the peer of the modules.
func scanNative(b *record.Batch) {
	for i := range b.Records {
		r := &b.Records[i]
		line := r.Fields[0].Value
		fields := b.AllocFields(10)
		pos, n := 0, 0
		cut := func(end byte, skip int) bool {
			at := bytes.IndexByte(line[pos:], end)
			if at < 0 || pos+at+1+skip > len(line) {
				return false
			}
			fields = append(fields, record.Field{Name: scanNames[n], Value: line[pos : pos+at : pos+at]})
			n++
			pos += at + 1 + skip
			return true
		}
		if !cut(' ', 2) || !cut(' ', 1) || !cut(']', 2) || !cut(' ', 0) || !cut(' ', 0) || !cut('"', 1) || !cut(' ', 0) || !cut(' ', 1) || !cut('"', 2) || !cut('"', 0) {
			b.Fail(r, 0, []byte("no match"))
			continue
		}
		if _, ok := number(fields[6].Value); !ok {
			b.Fail(r, 0, []byte("number"))
			continue
		}
		if _, ok := number(fields[7].Value); !ok {
			b.Fail(r, 0, []byte("number"))
			continue
		}
		r.Fields = fields
	}
}

// standardExpr is the format for the standard library, which every module must beat.
var standardExpr = regexp.MustCompile(`^(\S+) - (\S+) \[([^\]]+)\] "(\S+) (\S+) ([^"]*)" (\d+) (\d+) "([^"]*)" "([^"]*)"$`)

func scanStandard(b *record.Batch) {
	for i := range b.Records {
		r := &b.Records[i]
		line := r.Fields[0].Value
		found := standardExpr.FindSubmatchIndex(line)
		if found == nil {
			b.Fail(r, 0, []byte("no match"))
			continue
		}
		fields := b.AllocFields(len(scanNames))
		for n, name := range scanNames {
			fields = append(fields, record.Field{Name: name, Value: line[found[2*n+2]:found[2*n+3]]})
		}
		r.Fields = fields
	}
}

func number(p []byte) (n int64, ok bool) {
	if len(p) == 0 || len(p) > 18 {
		n, err := strconv.ParseInt(string(p), 10, 64)
		return n, err == nil
	}
	for _, c := range p {
		if c -= '0'; c > 9 {
			return 0, false
		} else {
			n = n*10 + int64(c)
		}
	}
	return n, true
}

func BenchmarkNginx(b *testing.B) {
	lines := accessLog(2000)
	size := 0
	for _, l := range lines {
		size += len(l)
	}
	all := bytes.Join(lines, []byte("\n"))
	run := func(b *testing.B, process func(*record.Batch)) {
		b.SetBytes(int64(size))
		b.ReportAllocs()
		batch := record.Get(&record.Origin{Path: "x", Ledger: &record.Ledger{}})
		for b.Loop() {
			raw, at := batch.Copy(all), 0
			for _, l := range lines {
				batch.AddOwn(raw[at : at+len(l) : at+len(l)])
				at += len(l) + 1
			}
			process(batch)
			if len(batch.Records[5].Fields) != 10 {
				b.Fatalf("%q", batch.Records[5].Fields)
			}
			batch.Reset()
		}
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(len(lines)), "ns/line")
	}
	b.Run("none", func(b *testing.B) {
		run(b, func(batch *record.Batch) { batch.Records[5].Fields = batch.AllocFields(10)[:10] })
	})
	b.Run("native", func(b *testing.B) { run(b, scanNative) })
	b.Run("regexp", func(b *testing.B) { run(b, scanStandard) })
	for _, language := range []string{"c", "cpp", "rust", "assemblyscript", "go"} {
		h, _ := open(b)
		m, err := h.Module(context.Background(), Spec{Pipeline: "p", Stage: "wasm#1", Path: module(b, "../../wasm-examples/nginx/"+language)})
		if err != nil {
			b.Fatal(err)
		}
		p := m.NewParser()
		b.Run(language, func(b *testing.B) {
			run(b, func(batch *record.Batch) {
				if err := p.Process(context.Background(), batch); err != nil {
					b.Fatal(err)
				}
			})
		})
		p.Close()
	}
}
