//go:build linux && peers

package peers

import (
	"bytes"
	"fmt"
	"net/http"
	"sync"
	"testing"

	"github.com/VictoriaMetrics/easyproto"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/s2"
	"github.com/klauspost/compress/zstd"
)

// collector is the OpenTelemetry Collector's filelog receiver with the OTLP
// exporter over HTTP. The receiver passes on groups of 100 lines; joining them
// to 1,000, which is half a megabyte of raw lines, before they are compressed
// and sent was the fastest of the sizes tried between 100 and 8,192, and one
// sender faster than ten. It keeps no positions and names no files, and has its
// own metrics off. Compression is gzip unless another is configured.
func collector(binary, compression string) contender {
	return contender{name: "collector " + compression, sink: otlpSink, prepare: func(t *testing.T, s site) command {
		t.Helper()
		// Records of several lines would keep their last line end.
		operators, multi := "", ""
		switch s.workload.name {
		case nginx.name:
			operators = fmt.Sprintf("\n    operators:\n      - {type: regex_parser, regex: '%s'}", nginxPattern)
		case jsonLines.name:
			operators = "\n    operators:\n      - {type: json_parser}"
		case multiline.name:
			multi = fmt.Sprintf("\n    multiline: {line_start_pattern: '%s'}", javaStart)
		}
		path := s.write(t, "collector.yaml", fmt.Sprintf(`receivers:
  file_log:
    include: ['%s/*.log']
    start_at: beginning
    include_file_name: false
    preserve_leading_whitespaces: true
    preserve_trailing_whitespaces: %t%s%s
exporters:
  otlp_http:
    endpoint: http://%s
    compression: %s
    sending_queue: {num_consumers: 1, sizer: items, queue_size: 10000, block_on_overflow: true, batch: {flush_timeout: 200ms, min_size: 1000}}
service:
  telemetry: {metrics: {level: none}, logs: {level: warn}}
  pipelines:
    logs: {receivers: [file_log], exporters: [otlp_http]}
`, s.watch, multi == "", multi, operators, s.sink, compression))
		return command{argv: []string{binary, "--config", path}}
	}}
}

// otlpReader reads requests into memory that is used again.
type otlpReader struct {
	body
	gzip   gzip.Reader
	zstd   *zstd.Decoder
	snappy *s2.Reader
	out    bytes.Buffer
}

var otlpReaders = sync.Pool{New: func() any {
	z, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1))
	if err != nil {
		panic("BUG: cannot make a zstd decoder of constants: " + err.Error())
	}
	return &otlpReader{zstd: z, snappy: s2.NewReader(nil)}
}}

// otlpSink takes OTLP logs over HTTP.
func otlpSink(t *testing.T, s *sink) {
	t.Helper()
	s.serve(t, func(w http.ResponseWriter, r *http.Request) {
		o := otlpReaders.Get().(*otlpReader)
		defer otlpReaders.Put(o)
		message, err := o.message(r)
		if err == nil {
			err = s.addOTLP(message)
		}
		if err != nil {
			s.fail(fmt.Errorf("cannot read an OTLP request: %w", err))
		}
		w.Header().Set("Content-Type", "application/x-protobuf")
	})
}

func (o *otlpReader) message(r *http.Request) (message []byte, err error) {
	if err := o.read(r); err != nil {
		return nil, err
	}
	wire := bytes.NewReader(o.wire)
	o.out.Reset()
	switch encoding := r.Header.Get("Content-Encoding"); encoding {
	case "":
		return o.wire, nil
	case "gzip":
		if err = o.gzip.Reset(wire); err == nil {
			_, err = o.out.ReadFrom(&o.gzip)
		}
	case "snappy":
		o.plain, err = s2.Decode(o.plain, o.wire)
		return o.plain, err
	case "x-snappy-framed":
		o.snappy.Reset(wire)
		_, err = o.out.ReadFrom(o.snappy)
	case "zstd":
		o.plain, err = o.zstd.DecodeAll(o.wire, o.plain[:0])
		return o.plain, err
	default:
		err = fmt.Errorf("unknown encoding %q", encoding)
	}
	return o.out.Bytes(), err
}

// messages calls f for each submessage with that number.
func messages(data []byte, number uint32, f func([]byte) error) error {
	var field easyproto.FieldContext
	for len(data) > 0 {
		var err error
		if data, err = field.NextField(data); err != nil {
			return err
		}
		if field.FieldNum != number {
			continue
		}
		sub, ok := field.MessageData()
		if !ok {
			return fmt.Errorf("field %d is not a message", number)
		}
		if err := f(sub); err != nil {
			return err
		}
	}
	return nil
}

// The numbers of fields in OTLP.
const (
	resourceLogs, scopeLogs, logRecords = 1, 2, 2
	recordBody, recordAttributes        = 5, 6
	stringValue                         = 1
)

func (s *sink) addOTLP(data []byte) error {
	var records, size int64
	err := messages(data, resourceLogs, func(resource []byte) error {
		return messages(resource, scopeLogs, func(scope []byte) error {
			return messages(scope, logRecords, func(record []byte) error {
				records++
				if s.workload.fields > 0 {
					return s.checkAttributes(record)
				}
				return messages(record, recordBody, func(value []byte) error {
					return messages(value, stringValue, func(text []byte) error {
						size += int64(len(text))
						return nil
					})
				})
			})
		})
	})
	s.add(records, size)
	return err
}

func (s *sink) checkAttributes(record []byte) error {
	n := 0
	err := messages(record, recordAttributes, func([]byte) error { n++; return nil })
	if err == nil && n != s.workload.fields {
		err = fmt.Errorf("a record has %d attributes, want %d", n, s.workload.fields)
	}
	return err
}
