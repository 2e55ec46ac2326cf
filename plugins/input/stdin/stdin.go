// Package stdin reads the standard input of the agent to its end.
//
// It promises that each line that was read becomes a record, and that nothing is read
// while the pipeline has no room: then the program that writes waits. It cannot read
// anything twice: what a process had read that is killed is gone.
//
// Run is the only goroutine. Streams is safe for concurrent use.
package stdin

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"github.com/sirupsen/logrus"
	"golang.org/x/sys/unix"

	"github.com/wasmtail/wasmtail/agent/intake"
	"github.com/wasmtail/wasmtail/agent/pipeline"
	"github.com/wasmtail/wasmtail/internal/record"
)

// Env is what the agent lends the input.
type Env struct {
	Pipeline string
	// BatchBytes bounds the bytes of a batch, Linger how long a record waits for
	// others.
	BatchBytes int
	Linger     time.Duration
	Log        logrus.FieldLogger
	// File is what is read; it stays the caller's.
	File *os.File
}

// Input is the stdin input of one pipeline.
type Input struct {
	c       Config
	env     Env
	stream  atomic.Pointer[intake.Stream]
	lost    atomic.Int64 // records that came back
	batcher *intake.Batcher
	lines   splitter
}

// stopDelivery is how long the input gives on what it has read when it is to stop.
const stopDelivery = 4 * time.Second

// New returns an input.
func New(c Config, env Env) *Input {
	return &Input{c: c, env: env, lines: splitter{max: int(c.MaxRecordSize)}}
}

// Run reads to the end, and returns nil then; or until ctx ends. It is called once.
func (in *Input) Run(ctx context.Context, emit pipeline.Emit) error {
	s, err := intake.Open(intake.Config{
		Pipeline: in.env.Pipeline, Name: "stdin", BatchBytes: in.env.BatchBytes, Linger: in.env.Linger, Emit: emit,
	})
	if err != nil {
		return fmt.Errorf("cannot begin the stream of standard input: %w", err)
	}
	in.batcher = s.Batcher(0)
	in.stream.Store(s)
	alarm, err := newAlarm(ctx)
	if err != nil {
		return err
	}
	defer alarm.close()
	err = in.read(ctx, alarm)
	work, cancel := ctx, func() {}
	if ctx.Err() != nil {
		work, cancel = context.WithTimeout(context.WithoutCancel(ctx), stopDelivery)
	}
	defer cancel()
	if rest := in.lines.rest(); len(rest.bytes) > 0 {
		mark := record.Mark(0)
		if err != nil { // more might have come
			mark = record.Partial
		}
		in.add(rest, mark)
	}
	if flushed := in.flush(work); flushed != nil {
		in.lose(in.batcher.Drop())
	}
	if err != nil && ctx.Err() == nil {
		in.env.Log.WithError(err).Error("standard input cannot be read any more; it is taken for its end")
		return nil
	}
	return err
}

// read reads until the end, and returns nil then.
func (in *Input) read(ctx context.Context, alarm *alarm) error {
	for {
		ready, err := alarm.wait(in.env.File, in.batcher.Deadline())
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err != nil {
			return err
		}
		if !ready {
			if err := in.flush(ctx); err != nil {
				return err
			}
			continue
		}
		n, err := in.lines.fill(in.env.File)
		if n > 0 {
			if err := in.give(ctx); err != nil {
				return err
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("cannot read standard input: %w", err)
		}
	}
}

// give makes records of the lines that were read whole.
func (in *Input) give(ctx context.Context) error {
	for {
		p, ok := in.lines.next()
		if !ok {
			break
		}
		in.add(p, 0)
		if in.batcher.Full() {
			if err := in.flush(ctx); err != nil {
				return err
			}
		}
	}
	if due := in.batcher.Deadline(); !due.IsZero() && time.Now().After(due) {
		return in.flush(ctx)
	}
	return nil
}

func (in *Input) add(p piece, mark record.Mark) {
	r := in.batcher.Add(p.bytes)
	r.Marks |= mark
	if p.split {
		r.Marks |= record.Split
	}
}

func (in *Input) flush(ctx context.Context) error {
	n := in.batcher.Records()
	return in.batcher.Flush(ctx, nil, func(err error) {
		if err != nil && !errors.Is(err, pipeline.ErrRejected) {
			in.lose(n)
		}
	})
}

// lose counts records that were read and will not be delivered.
func (in *Input) lose(records int) {
	if records > 0 {
		in.lost.Add(int64(records))
		in.env.Log.WithField("records", records).Error("lines of standard input are lost: the agent was stopped before they were delivered")
	}
}

// Streams implements agent.StreamLister.
func (in *Input) Streams() []intake.Status {
	s := in.stream.Load()
	if s == nil {
		return nil
	}
	st := s.Status()
	st.Dropped = in.lost.Load()
	return []intake.Status{st}
}

// splitter cuts what is read into lines.
type splitter struct {
	buf        []byte
	start, end int
	looked     int // so many bytes from start on have no line end
	torn       bool
	max        int
}

// piece is a line, or a part of one; it is valid until the next fill.
type piece struct {
	bytes []byte
	split bool
}

const bufferBytes = 64 << 10

// fill reads once.
func (s *splitter) fill(r io.Reader) (int, error) {
	if s.start > 0 {
		s.end = copy(s.buf, s.buf[s.start:s.end])
		s.start = 0
	}
	if s.end == len(s.buf) {
		s.buf = append(s.buf, make([]byte, max(bufferBytes, len(s.buf)))...)
	}
	n, err := r.Read(s.buf[s.end:])
	s.end += n
	return n, err
}

// next returns the next line without its end, or a piece of one that is too long.
func (s *splitter) next() (piece, bool) {
	have := s.buf[s.start:s.end]
	i := bytes.IndexByte(have[s.looked:], '\n')
	if i >= 0 {
		i += s.looked
	}
	switch {
	case i >= 0 && i <= s.max:
		p := piece{bytes.TrimSuffix(have[:i], []byte("\r")), s.torn}
		s.start += i + 1
		s.looked, s.torn = 0, false
		return p, true
	case i < 0 && len(have) <= s.max:
		s.looked = len(have)
		return piece{}, false
	}
	cut := s.max
	for n := 1; n < utf8.UTFMax && !utf8.RuneStart(have[cut]); n++ {
		cut--
	}
	s.start += cut
	s.looked, s.torn = 0, true
	return piece{have[:cut], true}, true
}

// rest is the end of the last line.
func (s *splitter) rest() piece {
	p := piece{s.buf[s.start:s.end], s.torn}
	s.start = s.end
	return p
}

// alarm ends a wait when a context ends.
type alarm struct {
	wake, woken *os.File // the ends of a pipe
	stop        func() bool
}

func newAlarm(ctx context.Context) (*alarm, error) {
	woken, wake, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("cannot wait for standard input: %w", err)
	}
	return &alarm{wake: wake, woken: woken, stop: context.AfterFunc(ctx, func() { _, _ = wake.Write([]byte{0}) })}, nil
}

func (a *alarm) close() {
	a.stop()
	_ = a.wake.Close()
	_ = a.woken.Close()
}

// wait waits until f can be read, and is false when due has come before, or the
// context has ended. The zero due never comes. f is not made non-blocking, because
// other processes may share it.
func (a *alarm) wait(f *os.File, due time.Time) (bool, error) {
	timeout := -1
	if !due.IsZero() {
		timeout = max(0, int(time.Until(due)/time.Millisecond)+1)
	}
	fds := []unix.PollFd{{Fd: int32(f.Fd()), Events: unix.POLLIN}, {Fd: int32(a.woken.Fd()), Events: unix.POLLIN}}
	if _, err := unix.Poll(fds, timeout); err != nil && !errors.Is(err, unix.EINTR) {
		return false, fmt.Errorf("cannot wait for standard input: %w", err)
	}
	return fds[0].Revents != 0, nil
}
