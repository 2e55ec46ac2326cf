package tail

import (
	"errors"
	"fmt"
	"io"

	"github.com/wasmtail/wasmtail/internal/record"
)

// Frame cuts everything in r into records just as a file with that content is
// cut, its end taken as final. What each gets is lent for the call. It returns
// the first error of r or each. It is for trying things out: no positions are
// kept, and the generation has no name.
func Frame(config Config, r io.Reader, each func(*Lines) error) error {
	config.setDefaults()
	f := framer{recordMax: config.RecordBytesMax, batchMax: config.BatchBytesMax, gbk: config.GBK, multiline: config.Multiline}
	lines := Lines{Origin: &record.Origin{Ledger: &record.Ledger{}}}
	var st frameState
	var data []byte
	for final := false; !final || len(data) > 0; {
		for !final && len(data) < f.needBytes() {
			n := len(data)
			if cap(data)-n < config.BatchBytesMax {
				data = append(make([]byte, 0, 2*cap(data)+config.BatchBytesMax), data...)
			}
			read, err := r.Read(data[n:cap(data)])
			data = data[:n+read]
			if final = errors.Is(err, io.EOF); err != nil && !final {
				return fmt.Errorf("cannot read lines: %w", err)
			}
		}
		consumed := f.frame(&st, data, lines.End, final)
		lines.Lines, lines.Raw = f.lines, data[:consumed]
		lines.Start, lines.End = lines.End, lines.End+int64(consumed)
		lines.RawOffset = lines.Start
		lines.ReadTime = config.Now().UnixNano()
		if err := each(&lines); err != nil {
			return err
		}
		data = data[:copy(data, data[consumed:])]
	}
	return nil
}
