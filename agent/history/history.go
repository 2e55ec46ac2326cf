// Package history reads files that are there, or parts of them, once and to their
// end: for an import beside an agent that follows new lines.
//
// It promises that each range is given on in order, with the place that its bytes
// have in the (unpacked) file, under a generation that is the same in each run; and
// that a range goes on where it was acknowledged, whenever the process ended. Files
// are read one after the other, by the goroutine of Run, which starts no other.
// Batches are as the framing makes them, and are given away.
package history

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"github.com/wasmtail/wasmtail/agent/checkpoint"
	"github.com/wasmtail/wasmtail/agent/pipeline"
	"github.com/wasmtail/wasmtail/agent/tail"
	"github.com/wasmtail/wasmtail/internal/record"
)

// Part is a range of one file.
type Part struct {
	// Path of the file, compressed or not.
	Path string
	// Generation is what its bytes are known by, here and at a hub: 16 lower-case hex
	// digits.
	Generation string
	// To is where the range ends, in unpacked bytes; 0 is the end of the file. All
	// ranges begin at the first byte.
	To int64
	// Size is how large the range is, or is thought to be.
	Size int64
}

// Config says what to read and how.
type Config struct {
	Parts []Part
	// Frame makes batches of the content of a file: those of a whole one, with places
	// from 0 on.
	Frame func(r io.Reader, emit func(*record.Batch) error) error
	// Rate bounds how many bytes are read in a second; nil: nothing does.
	Rate *rate.Limiter
	// Failed is told of a file that cannot be read (on). The others go on.
	Failed func(path string, err error)
}

// Input is what reads the parts.
type Input struct {
	c           Config
	checkpoints *checkpoint.Store
	pipeline    string

	current  atomic.Int64 // index of the part that is read
	read     atomic.Int64 // bytes of it,
	finished atomic.Int64 // and of those before
	acked    atomic.Int64 // bytes, in this run and before
	records  atomic.Int64
	returned atomic.Bool
	done     chan struct{}
	err      error
}

// New returns an input. It touches no file before Run.
func New(c Config, checkpoints *checkpoint.Store, pipeline string) *Input {
	return &Input{c: c, checkpoints: checkpoints, pipeline: pipeline, done: make(chan struct{})}
}

// Progress is how far an import is.
type Progress struct {
	// File is which one is read, counted from 0.
	File int
	// Read and Acked are bytes of all files, in all runs; Records are those of this
	// one.
	Read, Acked, Records int64
	// Rest is what is left to be read, as far as sizes are known.
	Rest int64
}

// Progress says how far it is. Safe for concurrent use.
func (in *Input) Progress() Progress {
	at := int(in.current.Load())
	p := Progress{File: at, Acked: in.acked.Load(), Records: in.records.Load()}
	read := in.read.Load()
	p.Read = in.finished.Load() + read
	for i := at; i < len(in.c.Parts); i++ {
		p.Rest += in.c.Parts[i].Size
	}
	p.Rest = max(0, p.Rest-read)
	return p
}

// Done is closed when everything has been read and acknowledged, or Run has ended.
func (in *Input) Done() <-chan struct{} { return in.done }

// Err is why not everything is done, once Done is closed.
func (in *Input) Err() error {
	select {
	case <-in.done:
		return in.err
	default:
		return nil
	}
}

// Run reads all parts and waits until they are acknowledged. It is called once.
func (in *Input) Run(ctx context.Context, emit pipeline.Emit) error {
	defer close(in.done)
	known := map[string]*checkpoint.Source{}
	for _, src := range in.checkpoints.Sources(in.pipeline) {
		known[src.Entry().Generation] = src
	}
	var waiting sync.WaitGroup
	var failed []error
	for i := range in.c.Parts {
		in.current.Store(int64(i))
		in.read.Store(0)
		r := run{in: in, part: &in.c.Parts[i], emit: emit, waiting: &waiting}
		err := r.read(ctx, known[in.c.Parts[i].Generation])
		if ctx.Err() != nil {
			in.err = context.Cause(ctx)
			return in.err
		}
		if err != nil {
			failed = append(failed, fmt.Errorf("cannot import %s: %w", r.part.Path, err))
			in.c.Failed(r.part.Path, err)
		}
		in.finished.Add(in.read.Load())
	}
	in.current.Store(int64(len(in.c.Parts)))
	in.read.Store(0)
	settled := make(chan struct{})
	go func() {
		defer close(settled)
		waiting.Wait()
	}()
	select {
	case <-settled:
	case <-ctx.Done():
		in.err = context.Cause(ctx)
		return in.err
	}
	if in.returned.Load() {
		failed = append(failed, errors.New("some batches came back undelivered: run the import again"))
	}
	in.err = errors.Join(failed...)
	return nil
}

// run reads one part.
type run struct {
	in      *Input
	part    *Part
	emit    pipeline.Emit
	waiting *sync.WaitGroup

	source *checkpoint.Source
	origin *record.Origin
	base   int64
}

// read gives the part on, from where src, if it is known, was acknowledged.
func (r *run) read(ctx context.Context, src *checkpoint.Source) error {
	if src == nil {
		sources, err := r.in.checkpoints.Add([]checkpoint.Entry{{
			Pipeline: r.in.pipeline, Generation: r.part.Generation, Path: r.part.Path, Created: time.Now().UnixNano(),
		}}, r.in.pipeline)
		if err != nil {
			return fmt.Errorf("cannot save where it is: %w", err)
		}
		src = sources[0]
	}
	h := fnv.New64a()
	_, _ = io.WriteString(h, r.part.Path)
	e := src.Entry()
	r.source, r.base = src, e.Acked
	r.origin = &record.Origin{Generation: e.Generation, Path: r.part.Path, Source: h.Sum64(), Ledger: &record.Ledger{}}
	r.in.read.Store(r.base)
	r.in.acked.Add(r.base)
	if e.Finished {
		return nil
	}
	content, err := tail.OpenContent(r.part.Path)
	if err != nil {
		return err
	}
	defer func() { _ = content.Close() }()
	if _, err := io.CopyN(io.Discard, content, r.base); err != nil {
		return fmt.Errorf("it has become shorter than what was read before: %w", err)
	}
	var from io.Reader = content
	if r.part.To > 0 {
		from = io.LimitReader(content, r.part.To-r.base)
	}
	if err := r.in.c.Frame(untilDone{ctx, from}, func(b *record.Batch) error { return r.give(ctx, b) }); err != nil {
		return err
	}
	r.source.Edit(func(e *checkpoint.Entry) { e.Size = r.in.read.Load() })
	return nil
}

// give gives a batch on, with the places that its bytes have in the file.
func (r *run) give(ctx context.Context, b *record.Batch) error {
	b.Origin = r.origin
	b.Start, b.End = b.Start+r.base, b.End+r.base
	for i := range b.Records {
		b.Records[i].Offset += r.base
	}
	size, records := b.End-b.Start, len(b.Records)
	if err := r.pace(ctx, size); err != nil {
		b.Release()
		return err
	}
	r.origin.Ledger.Framed.Add(records, size)
	closeSpan := r.source.Begin(b.Start, b.End, checkpoint.Digest{})
	r.waiting.Add(1)
	end := b.End
	err := r.emit(ctx, pipeline.Delivery{Batch: b, Done: func(err error) {
		defer r.waiting.Done()
		fine := err == nil || errors.Is(err, pipeline.ErrRejected)
		closeSpan(fine)
		if fine {
			r.in.acked.Add(size)
		} else {
			r.in.returned.Store(true)
		}
	}})
	if err != nil {
		b.Release()
		closeSpan(false)
		r.waiting.Done()
		return err
	}
	r.in.records.Add(int64(records))
	r.in.read.Store(end)
	return nil
}

// pace waits until so many bytes may be given on.
func (r *run) pace(ctx context.Context, size int64) error {
	for limit := r.in.c.Rate; limit != nil && size > 0; {
		n := min(size, int64(limit.Burst()))
		if err := limit.WaitN(ctx, int(n)); err != nil {
			return err
		}
		size -= n
	}
	return nil
}

// untilDone is a reader that ends with a context.
type untilDone struct {
	ctx context.Context //nolint:containedctx // that of the run it is made for
	r   io.Reader
}

// Read implements io.Reader.
func (u untilDone) Read(p []byte) (int, error) {
	if u.ctx.Err() != nil {
		return 0, context.Cause(u.ctx)
	}
	return u.r.Read(p)
}
