package dispatch

import (
	"context"
	"strconv"

	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"github.com/wasmtail/wasmtail/internal/record"
)

// Encoder turns the batches of one lane into payloads. It keeps its buffers from
// one batch to the next: a batch costs a few small allocations, a record none that
// Write does not make. It implements pipeline.Encoder.
type Encoder struct {
	// Codec compresses what Write appends. Agent and Target go into each payload.
	Codec         Codec
	Agent, Target string
	// Write appends the body of a batch, before compression.
	Write func(dst []byte, b *record.Batch) []byte

	compressor *compressor
	raw, text  []byte
}

// rawBytesKept bounds what a lane holds on to after one huge batch.
const rawBytesKept = 4 << 20

// Encode appends the payload of b to dst. A batch without records makes none.
func (e *Encoder) Encode(ctx context.Context, dst []byte, b *record.Batch) ([]byte, error) {
	if len(b.Records) == 0 {
		return dst, nil
	}
	e.text = AppendBatch(e.text[:0], e.Agent, b)
	p := Payload{Codec: e.Codec, Records: len(b.Records), Target: e.Target, Batch: string(e.text), Traceparent: traceparent(ctx)}
	at := len(dst)
	dst = appendHeader(dst, &p)
	if e.Codec == None { // the body is written where it belongs
		start := len(dst)
		dst = e.Write(dst, b)
		setRawBytes(dst[at:], len(dst)-start)
		return dst, nil
	}
	e.raw = e.Write(e.raw[:0], b)
	setRawBytes(dst[at:], len(e.raw))
	if e.compressor == nil {
		e.compressor = newCompressor(e.Codec)
	}
	dst = e.compressor.append(dst, e.raw)
	if cap(e.raw) > rawBytesKept {
		e.raw = nil
	}
	return dst, nil
}

// AppendBatch appends the name of the bytes that b accounts for: agent, generation
// and range.
func AppendBatch(dst []byte, agent string, b *record.Batch) []byte {
	dst = append(append(dst, agent...), '/')
	dst = append(append(dst, b.Origin.Generation...), '/')
	dst = append(strconv.AppendInt(dst, b.Start, 10), '-')
	return strconv.AppendInt(dst, b.End, 10)
}

const traceparentName = "traceparent"

// traceparent is the W3C text of the span in ctx, empty without one.
func traceparent(ctx context.Context) string {
	if !trace.SpanContextFromContext(ctx).IsValid() {
		return ""
	}
	carrier := propagation.MapCarrier{}
	propagation.TraceContext{}.Inject(ctx, carrier)
	return carrier[traceparentName]
}
