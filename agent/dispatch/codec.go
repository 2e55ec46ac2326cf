package dispatch

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/golang/snappy"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// Codec is a compression of a request body.
type Codec uint8

// The codecs. Snappy is a raw block without a frame. The values are stored on
// disk by the agent: do not renumber.
const (
	None Codec = iota
	Gzip
	Zstd
	Snappy
)

var codecNames = [...]string{"none", "gzip", "zstd", "snappy"}

// String is the codec's name in configurations, and in Content-Encoding.
func (c Codec) String() string {
	if int(c) < len(codecNames) {
		return codecNames[c]
	}
	return fmt.Sprintf("codec %d", uint8(c))
}

// ParseCodec returns the codec of a name; none is spelt "none".
func ParseCodec(name string) (Codec, error) {
	if i := slices.Index(codecNames[:], name); i >= 0 {
		return Codec(i), nil
	}
	return None, fmt.Errorf("cannot use compression %q: it must be one of %v", name, codecNames)
}

// compressor compresses with one codec. It reuses its memory from one call to the
// next and is not safe for concurrent use.
type compressor struct {
	codec Codec
	zstd  *zstd.Encoder
	gzip  *gzip.Writer
	out   appender
}

// appender is a writer that appends.
type appender struct{ p []byte }

// Write implements io.Writer.
func (a *appender) Write(p []byte) (int, error) {
	a.p = append(a.p, p...)
	return len(p), nil
}

// zstdWindowBytes bounds the memory of an encoder: a batch is 512 KiB by default.
const zstdWindowBytes = 512 << 10

func newCompressor(c Codec) *compressor {
	z := &compressor{codec: c}
	var err error
	switch c {
	case Gzip:
		z.gzip, err = gzip.NewWriterLevel(&z.out, gzip.BestSpeed)
	case Zstd:
		z.zstd, err = zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1),
			zstd.WithWindowSize(zstdWindowBytes), zstd.WithLowerEncoderMem(true), zstd.WithZeroFrames(true))
	}
	if err != nil {
		panic("BUG: cannot make a compressor of constants: " + err.Error())
	}
	return z
}

// append compresses src and appends the result to dst. They must not overlap.
func (z *compressor) append(dst, src []byte) []byte {
	switch z.codec {
	case Gzip:
		z.out.p = dst
		z.gzip.Reset(&z.out)
		_, err := z.gzip.Write(src)
		if err == nil {
			err = z.gzip.Close()
		}
		if err != nil {
			panic("BUG: cannot compress into memory: " + err.Error())
		}
		dst, z.out.p = z.out.p, nil
		return dst
	case Zstd:
		return z.zstd.EncodeAll(src, dst)
	case Snappy:
		at := len(dst)
		dst = slices.Grow(dst, snappy.MaxEncodedLen(len(src)))
		return dst[:at+len(snappy.Encode(dst[at:cap(dst)], src))]
	}
	return append(dst, src...)
}

var errRawBytes = errors.New("cannot inflate the body of a payload: it has another size than its header says")

// decompress returns a body that has rawBytes bytes.
func decompress(c Codec, body []byte, rawBytes int) ([]byte, error) {
	var raw []byte
	switch c {
	case Snappy:
		if n, err := snappy.DecodedLen(body); err != nil || n != rawBytes {
			return nil, errRawBytes
		}
		var err error
		if raw, err = snappy.Decode(nil, body); err != nil {
			return nil, fmt.Errorf("cannot inflate the body of a payload: %w", err)
		}
		return raw, nil
	case Gzip, Zstd:
	default:
		return nil, fmt.Errorf("cannot inflate the body of a payload: it has %s", c)
	}
	var r io.Reader
	if c == Gzip {
		z, err := gzip.NewReader(bytes.NewReader(body))
		if err != nil {
			return nil, fmt.Errorf("cannot inflate the body of a payload: %w", err)
		}
		r = z
	} else {
		z, err := zstd.NewReader(bytes.NewReader(body), zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(64<<20))
		if err != nil {
			return nil, fmt.Errorf("cannot inflate the body of a payload: %w", err)
		}
		defer z.Close()
		r = z
	}
	raw, err := io.ReadAll(io.LimitReader(r, int64(rawBytes)+1))
	if err != nil {
		return nil, fmt.Errorf("cannot inflate the body of a payload: %w", err)
	}
	if len(raw) != rawBytes {
		return nil, errRawBytes
	}
	return raw, nil
}
