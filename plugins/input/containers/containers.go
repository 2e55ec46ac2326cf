// Package containers reads the logs of containers from the files that the runtime
// writes: the CRI's below /var/log/pods, and Docker's json-file. Or it reads files that
// programs write inside containers, from where these lie on the host.
//
// It promises what package tail promises, for files whose lines the runtime has
// wrapped: the record of a line of the program has its text, its time and its
// stream, and says which container it is of; what the runtime has cut into pieces is
// one record again; and a container that is removed loses no line that had been
// written before. A line that cannot be read is kept whole and marked as failed.
// Where both streams of a container write long lines at the same time, pieces of one
// can come apart: each is then a record marked partial.
//
// Whoever writes in a container cannot make it read what is not the container's: no
// symbolic link in a container is followed.
//
// It starts the goroutines of a tail.Tailer, and one that looks for containers, and
// waits for them. The records of a batch are copied into its arena, or what was read is
// given to the batch.
package containers

import (
	"context"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/sirupsen/logrus"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"github.com/wasmtail/wasmtail/agent/checkpoint"
	"github.com/wasmtail/wasmtail/agent/pipeline"
	"github.com/wasmtail/wasmtail/agent/tail"
	"github.com/wasmtail/wasmtail/internal/record"
	"github.com/wasmtail/wasmtail/internal/telemetry"
	"github.com/wasmtail/wasmtail/plugins/input/filelog"
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
	// SpoolDir takes unlinked temporary files, and with files_inside what is known of
	// containers; "" keeps nothing of that.
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
	roster *roster // nil if all folders are known from the start
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
	// depthMax is how deep ** descends, and filesMax how many files are followed.
	depthMax, filesMax = 32, 100_000
)

// New returns an input. It touches no file before Run.
func New(c Config, env Env) (*Input, error) {
	if env.Log == nil {
		env.Log = logrus.StandardLogger()
	}
	in := &Input{config: c.onHost()}
	tc, err := in.tailing(env)
	if err != nil {
		return nil, err
	}
	if err := in.enrol(c, env); err != nil {
		return nil, err
	}
	if len(c.FilesInside) > 0 {
		in.roster.memory = newMemory(env.SpoolDir, env.Pipeline, &c)
		for _, p := range c.FilesInside {
			tc.Keys = append(tc.Keys, keyOf(p))
		}
		tc.RecordBytesMax = int(c.MaxRecordSize)
		if tc.Multiline, err = c.Multiline.Build(); err != nil {
			return nil, err
		}
	} else {
		if tc.Include = in.config.include(); in.roster != nil {
			tc.Keys = []string{in.config.podPattern()}
		}
		tc.Multiline = &tail.Multiline{End: ends{}, Timeout: pieceWait, LinesMax: piecesMax}
		tc.RecordBytesMax = wrapFactor * int(c.MaxRecordSize)
	}
	if in.tailer, err = tail.New(tc, env.Checkpoints, env.Log); err != nil {
		return nil, err
	}
	if in.roster != nil {
		in.roster.follow = in.tailer.SetFolders
	}
	in.known = &directory{config: in.config, known: map[string]*Metadata{}}
	if c.Docker != "" {
		in.known.docker = strings.TrimSuffix(in.config.Docker, "/") + "/"
	}
	return in, nil
}

// enrol makes the roster, if folders come and go: with files_inside, and where pods
// have labels.
func (in *Input) enrol(c Config, env Env) error {
	asks := c.Kubernetes.API && c.Pods != ""
	if len(c.FilesInside) == 0 && !asks {
		return nil
	}
	log := env.Log.WithField("pipeline", env.Pipeline)
	in.roster = newRoster(c, log)
	if !asks {
		return nil
	}
	unlabelled, err := telemetry.InputUnlabelled.Counter()
	if err != nil {
		return fmt.Errorf("cannot make the metrics of the containers input: %w", err)
	}
	label := metric.WithAttributes(attribute.String("pipeline", env.Pipeline))
	unlabelled.Add(context.Background(), 0, label) // so that its first has a rate
	in.roster.bare = func() { unlabelled.Add(context.Background(), 1, label) }
	in.roster.kube = newPodWatch(c.Kubernetes, log)
	return nil
}

// tailing are the settings of the tailer that do not depend on what is read.
func (in *Input) tailing(env Env) (tail.Config, error) {
	start, err := tail.ParseStart(in.config.StartAt, time.Now())
	return tail.Config{
		Pipeline: env.Pipeline, DirDepthMax: depthMax, FilesMax: filesMax, OpenFilesMax: env.OpenFilesMax, Readers: env.Readers,
		Start: start, BatchBytesMax: env.BatchBytes, Linger: env.Linger, DeletedReleaseAfter: in.config.DeletedReleaseAfter,
		SpoolDir: env.SpoolDir, Estate: env.Estate, Lost: env.Lost,
	}, err
}

// Run reads until ctx ends. It is called once.
func (in *Input) Run(ctx context.Context, emit pipeline.Emit) error {
	if in.roster == nil {
		return in.tailer.Run(ctx, &sink{in: in, emit: emit})
	}
	var group sync.WaitGroup
	defer group.Wait()
	if kube := in.roster.kube; kube != nil {
		group.Go(func() { kube.run(ctx) })
		kube.await(ctx) // what is not selected by its labels need not be opened
	}
	in.roster.recall()
	in.roster.look(time.Now())
	group.Go(func() { in.roster.run(ctx) })
	if len(in.config.FilesInside) == 0 {
		return in.tailer.Run(ctx, &sink{in: in, emit: emit})
	}
	return in.tailer.Run(ctx, &insideSink{roster: in.roster, emit: emit})
}

// of returns what is known about the container of a log file of a runtime, nil if that
// is none's.
func (in *Input) of(origin *record.Origin) *Metadata {
	if in.roster != nil {
		if m := in.roster.of(origin); m != nil {
			return m
		}
	}
	return in.known.of(origin)
}

// Status returns the state of every file. Once Run was called it is safe for
// concurrent use.
func (in *Input) Status() []tail.FileStatus {
	list := in.tailer.Status()
	if in.roster != nil {
		list = append(list, in.roster.status()...)
	}
	return list
}

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
	u := unwrapper{config: &s.in.config, container: s.in.of(l.Origin), d: d, b: b}
	for i := range l.Lines {
		u.line(&l.Lines[i])
	}
	return s.emit.Framed(ctx, b, u.size, done)
}

// Once makes batches of a stream just as a log file with that content would give
// them, its end taken as final. emit owns the batch it is given. It returns the
// first error of r or emit.
func Once(c Config, r io.Reader, emit func(*record.Batch) error) error {
	if len(c.FilesInside) > 0 {
		return filelog.Once(filelog.Config{MaxRecordSize: c.MaxRecordSize, Multiline: c.Multiline}, r, emit)
	}
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

// insideSink makes batches of what was read of files inside containers. Readers share
// it.
type insideSink struct {
	roster *roster
	emit   pipeline.Emit
}

// Lines implements tail.Sink.
func (s *insideSink) Lines(ctx context.Context, l *tail.Lines, done func(acknowledged bool)) error {
	b := record.Get(l.Origin)
	b.Start, b.End, b.ReadTime = l.Start, l.End, l.ReadTime
	owner := s.roster.of(l.Origin)
	size := int64(0)
	if owner != nil && !owner.selected {
		for i := range l.Lines {
			size += l.Lines[i].Size
		}
		b.Filtered, b.FilteredBytes = len(l.Lines), size
	} else {
		size = filelog.AddLines(b, l)
		if owner != nil {
			tell(b, owner.fields)
		}
	}
	return s.emit.Framed(ctx, b, size, done)
}

// tell adds fields to each record.
func tell(b *record.Batch, of []record.Field) {
	for i := range b.Records {
		r := &b.Records[i]
		fields := append(b.AllocFields(len(r.Fields)+len(of)), r.Fields...)
		r.Fields = append(fields, of...)
	}
}
