// Package filelog reads records from files that grow.
//
// It promises what package tail promises, and that a position is saved only when
// the pipeline has acknowledged all bytes before it. It starts the goroutines of
// a tail.Tailer and waits for them.
//
// The records of a batch lie in what was read, which the batch then owns, or are
// copied into its arena, decoded if need be; the batch is given away with its
// delivery.
package filelog

import (
	"bytes"
	"context"
	"time"
	"unicode/utf8"

	"github.com/sirupsen/logrus"
	"golang.org/x/text/encoding/simplifiedchinese"
	"golang.org/x/text/transform"

	"github.com/wasmtail/wasmtail/agent/checkpoint"
	"github.com/wasmtail/wasmtail/agent/pipeline"
	"github.com/wasmtail/wasmtail/agent/tail"
	"github.com/wasmtail/wasmtail/internal/record"
)

// Env is what the agent lends the input.
type Env struct {
	// Checkpoints is shared by all inputs. Its Run and Close are the owner's.
	Checkpoints *checkpoint.Store
	// Pipeline is the key of the input's checkpoints.
	Pipeline string
	// Readers is the number of goroutines that read files, 0 for one.
	Readers int
	// OpenFilesMax bounds the open files, 0 for most of what the process may have.
	OpenFilesMax int
	// BatchBytes bounds the bytes of a batch, 0 for 512 KiB.
	BatchBytes int
	// Linger is how often a growing file is read.
	Linger time.Duration
	// SpoolDir takes unlinked temporary files, "" for the system's directory.
	SpoolDir string
	// Estate keeps open files for the next input of the pipeline: see tail.Config.
	Estate *tail.Estate
	// Lost is told of each range of a file that is lost; nil: nobody is.
	Lost func(tail.Loss)
	Log  logrus.FieldLogger
}

// Input is the files input of one pipeline.
type Input struct {
	tailer *tail.Tailer
	gbk    bool
}

// New returns an input. It touches no file before Run.
func New(c Config, env Env) (*Input, error) {
	start, err := tail.ParseStart(c.StartAt, time.Now())
	if err != nil {
		return nil, err
	}
	framing, err := c.framing()
	if err != nil {
		return nil, err
	}
	log := env.Log
	if log == nil {
		log = logrus.StandardLogger()
	}
	tailer, err := tail.New(tail.Config{
		Pipeline: env.Pipeline, Include: c.Include, Exclude: c.Exclude,
		DirDepthMax: c.MaxDepth, FilesMax: c.MaxFiles, OpenFilesMax: env.OpenFilesMax, Readers: env.Readers,
		Start: start, Multiline: framing.multiline, Header: framing.header, Detector: framing.detector, GBK: c.Encoding == "gbk",
		RecordBytesMax: int(c.MaxRecordSize), BatchBytesMax: env.BatchBytes,
		Linger: env.Linger, PartialTimeout: c.PartialTimeout,
		RotatedCloseAfter: c.RotatedCloseAfter, DeletedReleaseAfter: c.DeletedReleaseAfter,
		SpoolDir: env.SpoolDir, Estate: env.Estate, Lost: env.Lost,
	}, env.Checkpoints, log)
	if err != nil {
		return nil, err
	}
	return &Input{tailer: tailer, gbk: c.Encoding == "gbk"}, nil
}

// Run reads until ctx ends. It is called once.
func (in *Input) Run(ctx context.Context, emit pipeline.Emit) error {
	return in.tailer.Run(ctx, &sink{emit: emit, gbk: in.gbk})
}

// Status returns the state of every file. Once Run was called it is safe for
// concurrent use.
func (in *Input) Status() []tail.FileStatus { return in.tailer.Status() }

// Ready implements agent.Starter.
func (in *Input) Ready() bool { return in.tailer.Ready() }

// Counters returns what was met since the start.
func (in *Input) Counters() tail.Counters { return in.tailer.Counters() }

// sink makes batches of what was read. It has no state: readers share it.
type sink struct {
	emit pipeline.Emit
	gbk  bool
}

var byteOrderMark = []byte("\xef\xbb\xbf")

// Lines implements tail.Sink.
func (s *sink) Lines(ctx context.Context, l *tail.Lines, done func(acknowledged bool)) error {
	b := record.Get(l.Origin)
	b.Start, b.End, b.ReadTime, b.Format, b.Header = l.Start, l.End, l.ReadTime, l.Format, l.Header
	var size int64
	if s.gbk {
		size = addDecoded(b, l)
	} else {
		size = AddLines(b, l)
	}
	return s.emit.Framed(ctx, b, size, done)
}

// AddLines makes records of the lines in b, copied all at once or given to it, and
// returns how many bytes of the file they are. Whether a record needs a mark is
// asked of the whole at first: mostly none does.
func AddLines(b *record.Batch, l *tail.Lines) (size int64) {
	if len(l.Lines) == 0 {
		return 0
	}
	odd := record.Mark(0)
	if !utf8.Valid(l.Raw) {
		odd |= record.InvalidUTF8
	}
	if bytes.IndexByte(l.Raw, 0) >= 0 {
		odd |= record.NUL
	}
	raw := l.Raw
	if !l.Give(b) {
		raw = b.Copy(raw)
	}
	for i := range l.Lines {
		line := &l.Lines[i]
		at := line.Offset - l.RawOffset
		text := raw[at : at+int64(len(line.Bytes)) : at+int64(len(line.Bytes))]
		if line.Offset == 0 {
			text = bytes.TrimPrefix(text, byteOrderMark)
		}
		marks := line.Marks
		if odd != 0 {
			marks |= oddMarks(text)
		}
		r := b.AddOwn(text)
		r.Offset, r.Size, r.Marks = line.Offset, line.Size, marks
		size += line.Size
	}
	return size
}

func oddMarks(text []byte) (marks record.Mark) {
	if !utf8.Valid(text) {
		marks |= record.InvalidUTF8
	}
	if bytes.IndexByte(text, 0) >= 0 {
		marks |= record.NUL
	}
	return marks
}

// addDecoded turns the lines from GB18030 into UTF-8 in b. A line that is not
// valid GB18030 stays as it is and is marked.
func addDecoded(b *record.Batch, l *tail.Lines) (size int64) {
	decoder := simplifiedchinese.GB18030.NewDecoder()
	for i := range l.Lines {
		line := &l.Lines[i]
		text, marks := decode(b, decoder, line.Bytes)
		if bytes.IndexByte(text, 0) >= 0 {
			marks |= record.NUL
		}
		r := b.Add(text)
		r.Offset, r.Size, r.Marks = line.Offset, line.Size, line.Marks|marks
		size += line.Size
	}
	return size
}

func decode(b *record.Batch, decoder transform.Transformer, text []byte) ([]byte, record.Mark) {
	if isASCII(text) {
		return text, 0
	}
	decoder.Reset()
	dst := b.Alloc(len(text)*2 + utf8.UTFMax) // two bytes become three, four become four
	n, _, err := decoder.Transform(dst, text, true)
	if err != nil || bytes.ContainsRune(dst[:n], utf8.RuneError) {
		return text, record.InvalidUTF8
	}
	return dst[:n], 0
}

func isASCII(p []byte) bool {
	for _, c := range p {
		if c >= utf8.RuneSelf {
			return false
		}
	}
	return true
}
