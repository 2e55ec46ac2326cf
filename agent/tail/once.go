package tail

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	"github.com/wasmtail/wasmtail/internal/record"
)

// detect finds the format of a stream that begins with data; final says that it
// ends with it.
func (c *Config) detect(data []byte, final bool) Format {
	if c.Detector == nil {
		return Format{Multiline: c.Multiline}
	}
	if final && len(data) < DetectBytes {
		data = append(bytes.Clone(data), '\n') // its last line is whole, too
	}
	head, _ := wholeLines(data[:min(len(data), DetectBytes)])
	found := c.Detector.Detect(head)
	if c.Multiline != nil {
		found.Multiline = c.Multiline
	}
	return found
}

// Frame cuts everything in r into records just as a file with that content is
// cut, its end taken as final. What each gets is lent for the call. It returns
// the first error of r or each. It is for trying things out: no positions are
// kept, and the generation has no name.
func Frame(config Config, r io.Reader, each func(*Lines) error) error {
	config.setDefaults()
	f := framer{recordMax: config.RecordBytesMax, batchMax: config.BatchBytesMax, gbk: config.GBK}
	lines := Lines{Origin: &record.Origin{Ledger: &record.Ledger{}}}
	headers := headers{}
	var header Matcher
	var st frameState
	var data []byte
	needed := max(2*config.RecordBytesMax+2, DetectBytes) // whatever the format turns out to be
	for final := false; !final || len(data) > 0; {
		for !final && len(data) < needed {
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
		if lines.End == 0 && lines.Format == "" {
			found := config.detect(data, final)
			f.multiline, lines.Format = found.Multiline, found.Name
			needed = f.needBytes()
			if header = config.Header; header == nil {
				header = found.Header
			}
		}
		consumed := f.frame(&st, data, lines.End, final)
		lines.Lines, lines.Raw = f.lines, data[:consumed]
		lines.Start, lines.End = lines.End, lines.End+int64(consumed)
		lines.RawOffset = lines.Start
		lines.ReadTime = config.Now().UnixNano()
		lines.Header, _ = headers.before(lines.Start)
		if err := each(&lines); err != nil {
			return err
		}
		for i := range f.lines {
			if header != nil && header.Match(f.lines[i].Bytes) {
				headers.add(f.lines[i].Offset, f.lines[i].Bytes)
			}
		}
		data = data[:copy(data, data[consumed:])]
	}
	return nil
}
