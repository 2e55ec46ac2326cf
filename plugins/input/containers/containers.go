// Package containers reads the logs of containers from the files that the runtime
// writes: the CRI's below /var/log/pods, and Docker's json-file.
//
// It promises what package tail promises, for files whose lines the runtime has
// wrapped: the record of a line of the program has its text, its time and its
// stream, and says which container it is of; what the runtime has cut into pieces is
// one record again; and a container that is removed loses no line that had been
// written before. A line that cannot be read is kept whole and marked as failed.
// Where both streams of a container write long lines at the same time, pieces of one
// can come apart: each is then a record marked partial.
//
// It starts the goroutines of a tail.Tailer and waits for them. The records of a
// batch are copied into its arena.
package containers

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/wasmtail/wasmtail/agent/checkpoint"
	"github.com/wasmtail/wasmtail/agent/pipeline"
	"github.com/wasmtail/wasmtail/agent/tail"
	"github.com/wasmtail/wasmtail/internal/record"
)

// Env is what the agent lends the input.
type Env struct {
	// Checkpoints is shared by all inputs.
	Checkpoints *checkpoint.Store
	Pipeline    string
	// Readers is the number of goroutines that read files, 0 for one.
	Readers int
	// OpenFilesMax bounds the open files, 0 for most of what the process may have.
	OpenFilesMax int
	// BatchBytes bounds the bytes of a batch, 0 for 512 KiB.
	BatchBytes int
	// Linger is how often a growing file is read.
	Linger time.Duration
	// SpoolDir takes unlinked temporary files.
	SpoolDir string
	// Estate keeps open files for the next input of the pipeline.
	Estate *tail.Estate
	// Lost is told of each range of a file that is lost; nil: nobody is.
	Lost func(tail.Loss)
	Log  logrus.FieldLogger
}

// Input is the containers input of one pipeline.
type Input struct {
	config Config
	tailer *tail.Tailer
	known  *directory
}

const (
	// pieceWait is how long to wait for the rest of a line that the runtime has cut.
	// It writes all pieces at once.
	pieceWait = 3 * time.Second
	// piecesMax bounds the pieces of a line; the runtimes cut at 16 KiB.
	piecesMax = 4096
	// wrapFactor is by how much a line grows when the runtime wraps it: Docker
	// escapes it.
	wrapFactor = 2
)

// New returns an input. It touches no file before Run.
func New(c Config, env Env) (*Input, error) {
	start, err := tail.ParseStart(c.StartAt, time.Now())
	if err != nil {
		return nil, err
	}
	if env.Log == nil {
		env.Log = logrus.StandardLogger()
	}
	tailer, err := tail.New(tail.Config{
		Pipeline: env.Pipeline, Include: c.include(), DirDepthMax: 4, FilesMax: 100_000, OpenFilesMax: env.OpenFilesMax, Readers: env.Readers,
		Start: start, Multiline: &tail.Multiline{End: ends{}, Timeout: pieceWait, LinesMax: piecesMax},
		RecordBytesMax: wrapFactor * int(c.MaxRecordSize), BatchBytesMax: env.BatchBytes,
		Linger: env.Linger, DeletedReleaseAfter: c.DeletedReleaseAfter,
		SpoolDir: env.SpoolDir, Estate: env.Estate, Lost: env.Lost,
	}, env.Checkpoints, env.Log)
	if err != nil {
		return nil, err
	}
	d := &directory{config: c, known: map[string]*Metadata{}}
	if c.Docker != "" {
		d.docker = strings.TrimSuffix(c.Docker, "/") + "/"
	}
	return &Input{config: c, tailer: tailer, known: d}, nil
}

// Run reads until ctx ends. It is called once.
func (in *Input) Run(ctx context.Context, emit pipeline.Emit) error {
	return in.tailer.Run(ctx, &sink{in: in, emit: emit})
}

// Status returns the state of every file. Once Run was called it is safe for
// concurrent use.
func (in *Input) Status() []tail.FileStatus { return in.tailer.Status() }

// Ready implements agent.Starter.
func (in *Input) Ready() bool { return in.tailer.Ready() }

// Counters returns what was met since the start.
func (in *Input) Counters() tail.Counters { return in.tailer.Counters() }

// sink makes batches of what was read. Readers share it.
type sink struct {
	in       *Input
	emit     pipeline.Emit
	decoders sync.Pool // of *decoder
}

// Lines implements tail.Sink.
func (s *sink) Lines(ctx context.Context, l *tail.Lines, done func(acknowledged bool)) error {
	d, ok := s.decoders.Get().(*decoder)
	if !ok {
		d = newDecoder()
	}
	defer s.decoders.Put(d)
	b := record.Get(l.Origin)
	b.Start, b.End, b.ReadTime = l.Start, l.End, l.ReadTime
	u := unwrapper{config: &s.in.config, container: s.in.known.of(l.Origin), d: d, b: b}
	for i := range l.Lines {
		u.line(&l.Lines[i])
	}
	records := len(b.Records) + b.Filtered
	l.Origin.Ledger.Framed.Add(records, u.size)
	err := s.emit(ctx, pipeline.Delivery{Batch: b, Done: func(err error) {
		done(err == nil || errors.Is(err, pipeline.ErrRejected))
	}})
	if err != nil {
		b.Release()
		l.Origin.Ledger.Framed.Add(-records, -u.size) // it will be read again
		return fmt.Errorf("cannot emit a batch: %w", err)
	}
	return nil
}

// Once makes batches of a stream just as a log file with that content would give
// them, its end taken as final. emit owns the batch it is given. It returns the
// first error of r or emit.
func Once(c Config, r io.Reader, emit func(*record.Batch) error) error {
	d := newDecoder()
	config := tail.Config{
		Multiline:      &tail.Multiline{End: ends{}, Timeout: pieceWait, LinesMax: piecesMax},
		RecordBytesMax: wrapFactor * int(c.MaxRecordSize),
	}
	return tail.Frame(config, r, func(l *tail.Lines) error {
		b := record.Get(l.Origin)
		b.Start, b.End, b.ReadTime = l.Start, l.End, l.ReadTime
		u := unwrapper{config: &c, d: d, b: b}
		for i := range l.Lines {
			u.line(&l.Lines[i])
		}
		return emit(b)
	})
}
