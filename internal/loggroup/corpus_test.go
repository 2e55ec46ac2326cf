package loggroup

import (
	"fmt"
	"math/rand/v2"

	"github.com/wasmtail/wasmtail/internal/record"
)

// second is 2026-01-02T03:04:05Z.
const second = 1_767_323_045

var agents = []string{
	"Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/124.0.0.0 Safari/537.36",
	"Mozilla/5.0 (iPhone; CPU iPhone OS 17_4 like Mac OS X) AppleWebKit/605.1.15 Version/17.4 Mobile/15E148",
	"curl/8.5.0", "kube-probe/1.29",
}

// accessLine makes a line of an access log with the repetition of a real one:
// few paths and clients, many sizes and times.
func accessLine(rnd *rand.Rand, i int) []byte {
	paths := []string{"/", "/api/v2/orders", "/api/v2/orders/items", "/static/app.js", "/healthz", "/login"}
	return fmt.Appendf(nil, `10.%d.%d.%d - - [02/Jan/2026:03:%02d:%02d +0000] "%s %s?id=%d HTTP/1.1" %d %d "https://example.com%s" "%s" %.3f`,
		rnd.IntN(4), rnd.IntN(16), rnd.IntN(250), i/60%60, i%60,
		[]string{"GET", "GET", "GET", "POST"}[rnd.IntN(4)], paths[rnd.IntN(len(paths))], rnd.IntN(1_000_000),
		[]int{200, 200, 200, 304, 404, 500}[rnd.IntN(6)], rnd.IntN(60_000),
		paths[rnd.IntN(len(paths))], agents[rnd.IntN(len(agents))], rnd.Float64())
}

// rawBatch has records of one content of lineBytes bytes: access lines, padded
// with more of the same.
func rawBatch(bytesTotal, lineBytes int) *record.Batch {
	rnd := rand.New(rand.NewPCG(1, 2))
	b := record.Get(&record.Origin{})
	offset := int64(0)
	for i := 0; int(offset) < bytesTotal; i++ {
		line := accessLine(rnd, i)
		for len(line) < lineBytes {
			line = append(line, ' ')
			line = append(line, accessLine(rnd, i)...)
		}
		if lineBytes > 0 {
			line = line[:lineBytes]
		}
		r := b.Add(line)
		r.Offset, r.Size = offset, int64(len(line))+1
		r.Time = (second + int64(i/100)) * 1e9
		offset += r.Size
	}
	b.End = offset
	return b
}

// fieldBatch has records of ten fields, as a parser of access logs makes them.
func fieldBatch(bytesTotal int) *record.Batch {
	rnd := rand.New(rand.NewPCG(3, 4))
	b := record.Get(&record.Origin{})
	names := []string{
		"remote_addr", "remote_user", "method", "uri", "protocol",
		"status", "body_bytes_sent", "http_referer", "http_user_agent", "request_time",
	}
	offset := int64(0)
	for i := 0; int(offset) < bytesTotal; i++ {
		line := accessLine(rnd, i)
		r := b.Add(line)
		r.Offset, r.Size = offset, int64(len(line))+1
		r.Time = (second+int64(i/100))*1e9 + int64(i)
		fields := b.AllocFields(len(names))
		values := []string{
			fmt.Sprintf("10.%d.%d.%d", rnd.IntN(4), rnd.IntN(16), rnd.IntN(250)), "-", "GET", fmt.Sprintf("/api/v2/orders?id=%d", rnd.IntN(1e6)), "HTTP/1.1",
			"200", fmt.Sprint(rnd.IntN(60_000)), "https://example.com/login",
			agents[rnd.IntN(len(agents))],
			fmt.Sprintf("%.3f", rnd.Float64()),
		}
		for j, name := range names {
			fields = append(fields, record.Field{Name: []byte(name), Value: b.Copy([]byte(values[j]))})
		}
		r.Fields = fields
		offset += r.Size
	}
	b.End = offset
	return b
}
