package specimen

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/wasmtail/wasmtail/internal/config"
	"github.com/wasmtail/wasmtail/internal/durable"
	"github.com/wasmtail/wasmtail/internal/record"
)

// Encoder is a pipeline.Encoder.
type Encoder interface {
	Encode(ctx context.Context, dst []byte, b *record.Batch) ([]byte, error)
}

// ReadTime is when the records of AccessLog were read.
var ReadTime = time.Date(2026, 11, 25, 12, 0, 0, 7, time.UTC)

// AccessLog is a batch of the requests [first, first+n) of a web server's log, taken
// apart into fields, a second apart, each with a number of its own. Its caller owns
// it.
func AccessLog(first, n int) *record.Batch {
	b := record.Get(&record.Origin{Generation: Generation, Path: "/var/log/nginx/access.log", Ledger: &record.Ledger{}})
	const size = 256
	b.Start, b.End, b.ReadTime = int64(first)*size, int64(first+n)*size, ReadTime.UnixNano()
	for i := first; i < first+n; i++ {
		number := b.Copy(fmt.Appendf(nil, "%d", i))
		request := b.Copy(fmt.Appendf(nil, "GET /shop/item?id=%d&from=\"list\" HTTP/1.1", i*7919%10007))
		r := b.Add(b.Copy(fmt.Appendf(nil, `203.0.113.9 - - [25/Nov/2026:11:00:00 +0000] "%s" 200 %d`, request, i)))
		r.Offset, r.Size = int64(i)*size, size
		r.Time = ReadTime.Add(-time.Hour + time.Duration(i)*time.Second).UnixNano()
		r.Fields = b.AllocFields(6)
		r.Fields = append(r.Fields, accessField("n", number), accessField("ip", []byte("203.0.113.9")), accessField("request", request),
			accessField("status", []byte("200")), accessField("level", []byte("info")), accessField("agent", []byte("Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36")))
	}
	return b
}

func accessField(name string, value []byte) record.Field {
	return record.Field{Name: []byte(name), Value: value}
}

// Encode returns the payload of b.
func Encode(t testing.TB, e Encoder, b *record.Batch) []byte {
	t.Helper()
	p, err := e.Encode(context.Background(), nil, b)
	if err != nil {
		t.Error(err)
		t.FailNow()
	}
	return p
}

// Golden compares bytes with those in a file, which is written if WASMTAIL_UPDATE_GOLDEN is set.
func Golden(t testing.TB, path string, got []byte) {
	t.Helper()
	if os.Getenv("WASMTAIL_UPDATE_GOLDEN") != "" {
		if err := durable.WriteFile(durable.OS{}, path, got); err != nil {
			t.Error(err)
			t.FailNow()
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Error(err)
		t.FailNow()
	}
	if !bytes.Equal(want, got) {
		t.Errorf("%s is not what was made:\n%s", path, got)
		t.FailNow()
	}
}

// RequireNoAllocation fails if an encoder allocates for records, or more than a few
// times for a batch.
func RequireNoAllocation(t testing.TB, e Encoder) {
	t.Helper()
	cost := func(n int) float64 {
		b := AccessLog(0, n)
		defer b.Release()
		var dst []byte
		run := func() { dst, _ = e.Encode(context.Background(), dst[:0], b) }
		run()
		return testing.AllocsPerRun(20, run)
	}
	few := cost(10)
	if many := cost(2000); few > 8 || many > few+1 { // the collector may empty a pool
		t.Errorf("it allocates %v times for 10 records, and %v times for 2000", few, many)
		t.FailNow()
	}
}

// BenchmarkEncode measures an encoder in bytes of lines.
func BenchmarkEncode(b *testing.B, e Encoder) {
	batch := AccessLog(0, 2500)
	defer batch.Release()
	lines := 0
	for i := range batch.Records {
		lines += len(batch.Records[i].Raw) + 1
	}
	b.SetBytes(int64(lines))
	b.ReportAllocs()
	var dst []byte
	for b.Loop() {
		dst, _ = e.Encode(context.Background(), dst[:0], batch)
	}
}

// OutputSettings reads the settings of an output as a configuration file would hold
// them. Its error has every fault.
func OutputSettings[C any](text string) (C, error) {
	file := "version: 1\npipelines: {pipe: {input: {type: none}, outputs: [out]}}\noutputs:\n  out:\n    type: it\n" +
		"    " + strings.ReplaceAll(text, "\n", "\n    ") + "\n"
	f, err := config.Parse("test.yaml", []byte(file), ".", config.Catalog{
		"input": {"none": func() any { return &struct{}{} }}, "output": {"it": func() any { return new(C) }},
	})
	if err != nil {
		var none C
		return none, err
	}
	return *f.Outputs["out"].Config.(*C), nil
}
