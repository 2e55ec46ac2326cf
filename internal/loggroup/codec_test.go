package loggroup

import (
	"bytes"
	"math/rand/v2"
	"testing"

	"github.com/golang/snappy"
	"github.com/klauspost/compress/s2"
	"github.com/klauspost/compress/zstd"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

var codecs = []Codec{None, LZ4, Zstd, Deflate, Snappy}

func random(n int) []byte {
	p := make([]byte, n)
	_, _ = rand.NewChaCha8([32]byte{1}).Read(p)
	return p
}

func TestCodecNames(t *testing.T) {
	for _, c := range codecs {
		got, err := ParseCodec(c.String())
		require.NoError(t, err)
		require.Equal(t, c, got)
	}
	c, err := ParseCodec("")
	require.NoError(t, err)
	require.Equal(t, None, c)
	_, err = ParseCodec("gzip")
	require.Error(t, err)
}

func TestCodecRoundTrip(t *testing.T) {
	b := rawBatch(100<<10, 0)
	defer b.Release()
	inputs := map[string][]byte{
		"empty": {}, "one byte": {7}, "14 bytes": random(14), "15 bytes": random(15), "270 bytes": random(270),
		"random": random(200_000), "zeros": make([]byte, 300_000), "log": Append(nil, b, &Header{}),
	}
	for _, c := range codecs {
		z := NewCompressor(c)
		var out []byte
		for name, in := range inputs {
			body := z.Append([]byte("head"), in)
			require.Equal(t, "head", string(body[:4]))
			require.LessOrEqual(t, len(body), 4+len(in)+len(in)/100+64, "%s %s", c, name)
			var err error
			out, err = Decompress(out, body[4:], c, len(in))
			require.NoError(t, err, "%s %s", c, name)
			require.True(t, bytes.Equal(in, out), "%s %s", c, name)
		}
	}
}

func TestCodecRoundTripProperty(t *testing.T) {
	compressors := map[Codec]*Compressor{}
	for _, c := range codecs {
		compressors[c] = NewCompressor(c)
	}
	rapid.Check(t, func(t *rapid.T) {
		chunks := rapid.SliceOfN(rapid.SliceOfN(rapid.Byte(), 0, 300), 0, 6).Draw(t, "chunks")
		var in []byte
		for range rapid.IntRange(1, 40).Draw(t, "repeats") {
			in = append(in, bytes.Join(chunks, nil)...)
		}
		for _, c := range codecs {
			body := compressors[c].Append(nil, in)
			out, err := Decompress(nil, body, c, len(in))
			require.NoError(t, err)
			require.True(t, bytes.Equal(in, out))
			for _, size := range []int{len(in) - 1, len(in) + 1} {
				_, err = Decompress(nil, body, c, size)
				require.Error(t, err, "%s accepts size %d for %d", c, size, len(in))
			}
		}
	})
}

func TestLZ4LiteralOnlyBlock(t *testing.T) {
	for _, n := range []int{0, 1, 14, 15, 16, 269, 270, 271, 5000} {
		in := random(n)
		out, err := Decompress(nil, appendLZ4Literals(nil, in), LZ4, n)
		require.NoError(t, err, n)
		require.True(t, bytes.Equal(in, out))
	}
}

// TestBombs: bodies that inflate to far more than they declare are refused, and
// so are sizes that the body cannot have, before memory is taken for them.
func TestBombs(t *testing.T) {
	const inflated = 16 << 20
	for _, c := range codecs[1:] {
		body := NewCompressor(c).Append(nil, make([]byte, inflated))
		for _, size := range []int{0, 1, 1000, inflated - 1} {
			out, err := Decompress(make([]byte, 0, 1000), body, c, size)
			require.Error(t, err, "%s %d", c, size)
			require.Nil(t, out)
		}
		_, err := Decompress(nil, body, c, -1)
		require.Error(t, err)
		_, err = Decompress(nil, body, c, 1<<40)
		require.Error(t, err)
		_, err = Decompress(nil, nil, c, 100)
		require.Error(t, err, c)
	}
	for _, c := range []Codec{None, LZ4, Deflate, Snappy} {
		body := NewCompressor(c).Append(nil, []byte("hello"))
		n := testing.AllocsPerRun(1, func() {
			_, err := Decompress(nil, body, c, 500<<20)
			require.Error(t, err)
		})
		require.Less(t, n, 100.0)
	}
}

func TestZstdWithoutDeclaredSizeStopsAtTheLimit(t *testing.T) {
	var buf bytes.Buffer
	w, err := zstd.NewWriter(&buf)
	require.NoError(t, err)
	_, err = w.Write(make([]byte, 8<<20))
	require.NoError(t, err)
	require.NoError(t, w.Flush()) // a flush, so that the size is not known at the start
	require.NoError(t, w.Close())
	for _, size := range []int{0, 1, 100_000, 8<<20 - 1, 8<<20 + 1} {
		_, err := Decompress(nil, buf.Bytes(), Zstd, size)
		require.Error(t, err, size)
	}
	out, err := Decompress(nil, buf.Bytes(), Zstd, 8<<20)
	require.NoError(t, err)
	require.Len(t, out, 8<<20)
}

func TestDeflateRefusesTrailingBytes(t *testing.T) {
	body := NewCompressor(Deflate).Append(nil, []byte("hello"))
	_, err := Decompress(nil, append(body, 'x'), Deflate, 5)
	require.Error(t, err)
	out, err := Decompress(nil, body, Deflate, 5)
	require.NoError(t, err)
	require.Equal(t, "hello", string(out))
}

func TestUnknownCodec(t *testing.T) {
	_, err := Decompress(nil, []byte("x"), Codec(9), 1)
	require.Error(t, err)
	require.Equal(t, "codec 9", Codec(9).String())
}

func TestCodecsDoNotAllocateInSteadyState(t *testing.T) {
	b := rawBatch(64<<10, 0)
	defer b.Release()
	in := Append(nil, b, &Header{})
	for _, c := range codecs {
		z := NewCompressor(c)
		var body, out []byte
		run := func() {
			body = z.Append(body[:0], in)
			out, _ = Decompress(out, body, c, len(in))
		}
		run()
		require.Equal(t, len(in), len(out))
		if n := testing.AllocsPerRun(20, run); n > 0 && !raceEnabled {
			t.Errorf("%s allocates %v times for a batch, want 0", c, n)
		}
	}
}

func TestLZ4IntoNothing(t *testing.T) {
	_, err := Decompress(nil, bytes.Repeat([]byte("0"), 18), LZ4, 0)
	require.Error(t, err)
}

func FuzzDecompress(f *testing.F) {
	for _, c := range codecs {
		f.Add(NewCompressor(c).Append(nil, []byte("hello hello hello hello hello")), byte(c), uint16(29))
	}
	f.Fuzz(func(t *testing.T, body []byte, c byte, size uint16) {
		out, err := Decompress(nil, body, Codec(c), int(size))
		if err != nil {
			return
		}
		require.Len(t, out, int(size))
		back, err := Decompress(nil, NewCompressor(Codec(c)).Append(nil, out), Codec(c), len(out))
		require.NoError(t, err)
		require.True(t, bytes.Equal(out, back))
	})
}

func benchBodies() map[string][]byte {
	raw, fields := rawBatch(512<<10, 512), fieldBatch(512<<10)
	defer raw.Release()
	defer fields.Release()
	return map[string][]byte{"raw512": Append(nil, raw, &Header{}), "nginx": Append(nil, fields, &Header{})}
}

func BenchmarkCompress(b *testing.B) {
	for data, in := range benchBodies() {
		for _, c := range codecs {
			z := NewCompressor(c)
			benchmarkBody(b, data+"/"+c.String(), in, func(dst []byte) []byte { return z.Append(dst, in) })
		}
	}
}

// BenchmarkSnappy compares the two encoders of the snappy block format.
func BenchmarkSnappy(b *testing.B) {
	for data, in := range benchBodies() {
		dst := make([]byte, max(snappy.MaxEncodedLen(len(in)), s2.MaxEncodedLen(len(in))))
		benchmarkBody(b, data+"/golang", in, func([]byte) []byte { return snappy.Encode(dst, in) })
		benchmarkBody(b, data+"/s2", in, func([]byte) []byte { return s2.EncodeSnappy(dst, in) })
	}
}

func benchmarkBody(b *testing.B, name string, in []byte, f func(dst []byte) []byte) {
	b.Run(name, func(b *testing.B) {
		b.SetBytes(int64(len(in)))
		b.ReportAllocs()
		var body []byte
		for b.Loop() {
			body = f(body[:0])
		}
		b.ReportMetric(float64(len(in))/float64(len(body)), "ratio")
	})
}

func BenchmarkDecompress(b *testing.B) {
	for data, in := range benchBodies() {
		for _, c := range codecs {
			body := NewCompressor(c).Append(nil, in)
			benchmarkBody(b, data+"/"+c.String(), in, func(dst []byte) []byte {
				dst, _ = Decompress(dst, body, c, len(in))
				return dst
			})
		}
	}
}

func BenchmarkAppend(b *testing.B) {
	raw, fields := rawBatch(512<<10, 512), fieldBatch(512<<10)
	h := &Header{Topic: "t", Tags: []Tag{{TagPath, "/var/log/x"}}}
	for name, batch := range map[string]func(dst []byte) []byte{
		"raw512": func(dst []byte) []byte { return Append(dst, raw, h) },
		"nginx":  func(dst []byte) []byte { return Append(dst, fields, h) },
	} {
		benchmarkBody(b, name, batch(nil), batch)
	}
}

func BenchmarkDecode(b *testing.B) {
	for data, in := range benchBodies() {
		var g Group
		benchmarkBody(b, data, in, func([]byte) []byte {
			if err := g.Decode(in); err != nil {
				b.Fatal(err)
			}
			return in
		})
	}
}

func BenchmarkAppendOffsets(b *testing.B) {
	raw := rawBatch(512<<10, 512)
	var dst []byte
	b.ReportAllocs()
	for b.Loop() {
		dst = AppendOffsets(dst[:0], raw)
	}
}
