package logservice

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/wasmtail/wasmtail/internal/record"
)

// benchBatch has 512 KiB of access log: raw lines of 512 bytes, or records of
// ten fields.
func benchBatch(parsed bool) (b *record.Batch, bytes int64) {
	rnd := rand.New(rand.NewPCG(1, 2))
	b = record.Get(&record.Origin{Generation: "00112233445566aa", Path: "/var/log/nginx/access.log"})
	names := []string{
		"remote_addr", "remote_user", "method", "uri", "protocol",
		"status", "body_bytes_sent", "http_referer", "http_user_agent", "request_time",
	}
	for i := 0; bytes < 512<<10; i++ {
		values := []string{
			fmt.Sprintf("10.%d.%d.%d", rnd.IntN(4), rnd.IntN(16), rnd.IntN(250)), "-", "GET",
			fmt.Sprintf("/api/v2/orders/items?id=%d", rnd.IntN(1e6)), "HTTP/1.1", "200", fmt.Sprint(rnd.IntN(60_000)),
			"https://example.com/login",
			"Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/124.0.0.0 Safari/537.36",
			fmt.Sprintf("%.3f", rnd.Float64()),
		}
		line := []byte(fmt.Sprint(values))
		for !parsed && len(line) < 512 {
			line = fmt.Appendf(line, " trace=%016x%016x", rnd.Uint64(), rnd.Uint64())
			line = append(line, line[:max(0, min(len(line), 512-len(line)))]...)
		}
		r := b.Add(line)
		r.Offset, r.Size, r.Time = bytes, int64(len(line))+1, 1_767_323_045e9+int64(i)*1e6
		bytes += r.Size
		if parsed {
			r.Fields = b.AllocFields(len(names))
			for j := range names {
				r.Fields = append(r.Fields, record.Field{Name: []byte(names[j]), Value: b.Copy([]byte(values[j]))})
			}
		}
	}
	b.End = bytes
	return b, bytes
}

func BenchmarkEncode(b *testing.B) {
	for _, data := range []string{"raw512", "nginx"} {
		batch, bytes := benchBatch(data == "nginx")
		for _, codec := range []string{"none", "snappy", "lz4", "zstd", "deflate"} {
			b.Run(data+"/"+codec, func(b *testing.B) {
				r := &receiver{Server: &httptest.Server{URL: "http://127.0.0.1:1"}}
				e := r.output(b, func(c *Config) { c.Compression = codec }).NewEncoder("pipe", "store")
				var dst []byte
				b.SetBytes(bytes)
				b.ReportAllocs()
				for b.Loop() {
					dst, _ = e.Encode(context.Background(), dst[:0], batch)
				}
				b.ReportMetric(float64(bytes)/float64(len(dst)), "ratio")
			})
		}
	}
}

func BenchmarkSend(b *testing.B) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("x-log-requestid", "1")
	}))
	defer s.Close()
	r := &receiver{Server: s}
	for _, codec := range []string{"snappy", "zstd"} {
		b.Run(codec, func(b *testing.B) {
			o := r.output(b, func(c *Config) { c.Compression = codec })
			batch, bytes := benchBatch(false)
			payload, err := o.NewEncoder("pipe", "store").Encode(context.Background(), nil, batch)
			if err != nil {
				b.Fatal(err)
			}
			b.SetBytes(bytes) // of log, not of payload
			b.ReportAllocs()
			for b.Loop() {
				if err := o.Send(context.Background(), payload); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
