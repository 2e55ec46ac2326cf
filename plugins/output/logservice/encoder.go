package logservice

import (
	"context"
	"strconv"

	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"github.com/wasmtail/wasmtail/agent/pipeline"
	"github.com/wasmtail/wasmtail/internal/loggroup"
	"github.com/wasmtail/wasmtail/internal/record"
)

// encoder turns the batches of one lane into payloads. It keeps its buffers
// from one batch to the next; a batch costs a few small allocations, a record
// none.
type encoder struct {
	output             *Output
	pipeline, logstore string
	compressor         *loggroup.Compressor
	codec              loggroup.Codec
	header             loggroup.Header
	snappy             loggroup.SnappyAppender // instead of the compressor
	raw, text          []byte
}

// NewEncoder returns an encoder for one lane.
func (o *Output) NewEncoder(pipelineName, logstore string) pipeline.Encoder {
	e := &encoder{output: o, pipeline: pipelineName, logstore: logstore, codec: o.codec()}
	e.compressor = loggroup.NewCompressor(e.codec)
	e.header.Topic, e.header.Source = o.config.Topic, o.config.Source
	return e
}

// Encode appends the payload of b to dst.
func (e *encoder) Encode(ctx context.Context, dst []byte, b *record.Batch) ([]byte, error) {
	if codec := e.output.codec(); codec != e.codec {
		e.codec, e.compressor = codec, loggroup.NewCompressor(codec)
	}
	p := payload{codec: e.codec, records: len(b.Records), logstore: e.logstore, batchID: e.setTags(b), traceparent: traceparent(ctx)}
	at := len(dst)
	if e.codec == loggroup.None { // the group is the body: it is written where it belongs
		dst = appendPayloadHeader(dst, &p)
		start := len(dst)
		dst = loggroup.Append(dst, b, &e.header)
		setRawBytes(dst[at:], len(dst)-start)
		return dst, nil
	}
	if e.codec == loggroup.Snappy {
		body, n := e.snappy.Append(appendPayloadHeader(dst, &p), b, &e.header)
		setRawBytes(body[at:], n)
		return body, nil
	}
	e.raw = loggroup.Append(e.raw[:0], b, &e.header)
	p.rawBytes = len(e.raw)
	dst = e.compressor.Append(appendPayloadHeader(dst, &p), e.raw)
	if cap(e.raw) > rawBytesKept {
		e.raw = nil
	}
	return dst, nil
}

// rawBytesKept bounds what a lane holds on to after one huge batch.
const rawBytesKept = 4 << 20

// setTags sets the tags of b's group and returns the batch id.
func (e *encoder) setTags(b *record.Batch) (batchID string) {
	o := b.Origin
	tags := append(e.header.Tags[:0],
		loggroup.Tag{Key: loggroup.TagPath, Value: o.Path},
		loggroup.Tag{Key: loggroup.TagHostname, Value: e.output.env.Hostname})

	// One string for all texts: one allocation.
	text := append(e.text[:0], e.output.env.AgentID...)
	text = append(text, '/')
	text = append(text, o.Generation...)
	text = append(text, '/')
	rangeAt := len(text)
	text = appendRange(text, b.Start, b.End)
	idEnd := len(text)
	if e.output.config.Ledger {
		text = appendCounts(text, b)
	}
	countsEnd := len(text)
	if e.output.config.Ledger {
		text = loggroup.AppendOffsets(text, b)
	}
	offsetsEnd := len(text)
	if e.output.config.Ledger {
		text = loggroup.AppendEnds(text, b)
	}
	e.text = text
	all := string(text)

	if e.output.config.Ledger {
		tags = append(tags,
			loggroup.Tag{Key: loggroup.TagAgent, Value: e.output.env.AgentID},
			loggroup.Tag{Key: loggroup.TagPipeline, Value: e.pipeline},
			loggroup.Tag{Key: loggroup.TagGeneration, Value: o.Generation},
			loggroup.Tag{Key: loggroup.TagRange, Value: all[rangeAt:idEnd]},
			loggroup.Tag{Key: loggroup.TagCounts, Value: all[idEnd:countsEnd]},
			loggroup.Tag{Key: loggroup.TagOffsets, Value: all[countsEnd:offsetsEnd]})
		if ends := all[offsetsEnd:]; ends != "" {
			tags = append(tags, loggroup.Tag{Key: loggroup.TagEnds, Value: ends})
		}
		if b.Routed {
			tags = append(tags, loggroup.Tag{Key: loggroup.TagRouted, Value: "1"})
		}
	}
	e.header.Tags = tags
	return all[:idEnd]
}

func appendRange(dst []byte, start, end int64) []byte {
	dst = strconv.AppendInt(dst, start, 10)
	dst = append(dst, '-')
	return strconv.AppendInt(dst, end, 10)
}

func appendCounts(dst []byte, b *record.Batch) []byte {
	failed := 0
	for i := range b.Records {
		if b.Records[i].Marks&record.Failed != 0 {
			failed++
		}
	}
	return appendThree(dst, len(b.Records)-failed, failed, b.Filtered)
}

func appendThree(dst []byte, parsed, failed, filtered int) []byte {
	dst = strconv.AppendInt(dst, int64(parsed), 10)
	dst = append(dst, ',')
	dst = strconv.AppendInt(dst, int64(failed), 10)
	dst = append(dst, ',')
	return strconv.AppendInt(dst, int64(filtered), 10)
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
