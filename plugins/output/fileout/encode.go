package fileout

import (
	"context"

	"github.com/wasmtail/wasmtail/internal/jsonline"
	"github.com/wasmtail/wasmtail/internal/loggroup"
	"github.com/wasmtail/wasmtail/internal/record"
)

// tagPrefix is how Log Service names tags when it exports them.
const tagPrefix = "__tag__:"

// textEncoder writes the lines as they were read.
type textEncoder struct{}

// Encode appends the lines of b to dst.
func (textEncoder) Encode(_ context.Context, dst []byte, b *record.Batch) ([]byte, error) {
	for i := range b.Records {
		dst = append(dst, b.Records[i].Raw...)
		dst = append(dst, '\n')
	}
	return dst, nil
}

// jsonEncoder writes an object for each record: the time, the fields in their
// order, the marks, and what holds for the whole batch. It allocates only to
// grow dst.
type jsonEncoder struct{ writer *jsonline.Writer }

func newJSONEncoder(s jsonline.Source) *jsonEncoder {
	return &jsonEncoder{jsonline.New(jsonline.Names{
		Time: "__time__", Marks: record.Marks, Path: tagPrefix + loggroup.TagPath, Host: tagPrefix + loggroup.TagHostname,
		Pipeline: tagPrefix + loggroup.TagPipeline, Logstore: tagPrefix + "__logstore__", Prefix: "_", TakenPrefix: tagPrefix,
	}, s)}
}

// Encode appends the objects of b's records to dst.
func (e *jsonEncoder) Encode(_ context.Context, dst []byte, b *record.Batch) ([]byte, error) {
	e.writer.Start(b)
	for i := range b.Records {
		dst = append(e.writer.Append(dst, &b.Records[i]), '\n')
	}
	return dst, nil
}
