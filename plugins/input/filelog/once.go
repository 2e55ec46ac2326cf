package filelog

import (
	"io"

	"github.com/wasmtail/wasmtail/agent/tail"
	"github.com/wasmtail/wasmtail/internal/record"
)

// Once makes batches of a stream just as a file with that content would give
// them, its end taken as final. emit owns the batch it is given. It returns the
// first error of r or emit.
func Once(c Config, r io.Reader, emit func(*record.Batch) error) error {
	framing, err := c.framing()
	if err != nil {
		return err
	}
	gbk := c.Encoding == "gbk"
	config := tail.Config{Multiline: framing.multiline, Header: framing.header, Detector: framing.detector, GBK: gbk, RecordBytesMax: int(c.MaxRecordSize)}
	return tail.Frame(config, r, func(l *tail.Lines) error {
		b := record.Get(l.Origin)
		b.Start, b.End, b.ReadTime, b.Format, b.Header = l.Start, l.End, l.ReadTime, l.Format, l.Header
		if gbk {
			addDecoded(b, l)
		} else {
			AddLines(b, l)
		}
		return emit(b)
	})
}
