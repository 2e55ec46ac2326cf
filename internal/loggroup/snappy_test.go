package loggroup

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/wasmtail/wasmtail/internal/record"
)

// TestSnappyAppender_WritesWhatTheTwoStepsWrite compares batches of many sizes,
// those at the bounds of blocks among them.
func TestSnappyAppender_WritesWhatTheTwoStepsWrite(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	z, c := &SnappyAppender{}, NewCompressor(Snappy)
	header := Header{Topic: "t", Source: "s", Tags: []Tag{{Key: "k", Value: "v"}}}
	for round := range 300 {
		b := record.Get(&record.Origin{Ledger: &record.Ledger{}})
		b.ReadTime = 1_800_000_000_000_000_000
		for range rnd.IntN(round + 1) {
			line := fmt.Appendf(nil, "%d GET /item/%d ", rnd.IntN(1000), rnd.Uint32())
			if rnd.IntN(20) == 0 { // larger than a block, or nearly one
				line = append(line, bytes.Repeat([]byte("x\x00\xff"), snappyBlock/3+rnd.IntN(100)-50)...)
			}
			b.Add(line)
		}
		raw := Append(nil, b, &header)
		prefix := []byte("prefix")
		want := c.Append(bytes.Clone(prefix), raw)
		got, n := z.Append(bytes.Clone(prefix), b, &header)
		if n != len(raw) || !bytes.Equal(got, want) {
			t.Fatalf("round %d: %d bytes of %d raw ones, want %d of %d", round, len(got), n, len(want), len(raw))
		}
		b.Release()
	}
}

// BenchmarkSnappyAppender puts the one step beside the two.
func BenchmarkSnappyAppender(b *testing.B) {
	for name, batch := range map[string]*record.Batch{"nginx": fieldBatch(512 << 10), "raw512": rawBatch(512<<10, 512)} {
		z, c := &SnappyAppender{}, NewCompressor(Snappy)
		var raw, body []byte
		b.Run(name+"/one", func(b *testing.B) {
			n := 0
			for b.Loop() {
				body, n = z.Append(body[:0], batch, &Header{})
			}
			b.SetBytes(int64(n))
		})
		b.Run(name+"/two", func(b *testing.B) {
			for b.Loop() {
				raw = Append(raw[:0], batch, &Header{})
				body = c.Append(body[:0], raw)
			}
			b.SetBytes(int64(len(raw)))
		})
	}
}
