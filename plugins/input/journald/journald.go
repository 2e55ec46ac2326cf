// Package journald reads the journal of systemd by journalctl, as a child process.
//
// It promises that every entry is given that journalctl shows, and that the position,
// a cursor of the journal, moves only over entries that were acknowledged. After a
// crash entries are read again, in a new generation: several files of a journal may be
// shown in another order than before. journalctl is started again when it ends.
//
// Run is the only goroutine, besides those that os/exec has for a process. Streams and
// Ready are safe for concurrent use.
package journald

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/wasmtail/wasmtail/agent/checkpoint"
	"github.com/wasmtail/wasmtail/agent/intake"
	"github.com/wasmtail/wasmtail/agent/pipeline"
)

// Env is what the agent lends the input.
type Env struct {
	Pipeline    string
	Checkpoints *checkpoint.Store
	// BatchBytes bounds the bytes of a batch, Linger how long a record waits for
	// others.
	BatchBytes int
	Linger     time.Duration
	Log        logrus.FieldLogger
}

// Input is the journald input of one pipeline.
type Input struct {
	c       Config
	env     Env
	entries reader
	stream  atomic.Pointer[intake.Stream]
	ready   atomic.Bool
	dropped atomic.Int64
	failure atomic.Pointer[string]
	batcher *intake.Batcher
}

// Positions that are no cursors: where nothing was read yet.
const (
	atEnd       = "end" // which is still to be found
	atBeginning = "beginning"
)

const (
	pauseMin = 250 * time.Millisecond
	pauseMax = 30 * time.Second
	// lineMax bounds an entry. With --all, a core dump may be in one.
	lineMax = 16 << 20
	// lookEvery is how often the input looks whether a batch was returned.
	lookEvery = time.Second
	// stopWait is how long journalctl may take to end.
	stopWait = 2 * time.Second
)

// New returns an input. It starts nothing before Run.
func New(c Config, env Env) *Input {
	in := &Input{c: c, env: env}
	if in.entries.all = c.all(); !in.entries.all {
		in.entries.fields = c.Fields
	}
	return in
}

// Run reads until ctx ends. It is called once.
func (in *Input) Run(ctx context.Context, emit pipeline.Emit) error {
	s, err := intake.Open(intake.Config{
		Pipeline: in.env.Pipeline, Name: strings.TrimSpace("journald " + in.c.Directory), Checkpoints: in.env.Checkpoints,
		Start: []byte(in.c.StartAt), BatchBytes: in.env.BatchBytes, Linger: in.env.Linger, Emit: emit,
	})
	if err != nil {
		return err
	}
	in.stream.Store(s)
	pause := pauseMin
	for ctx.Err() == nil {
		before := s.Status().Records
		err := in.readOn(ctx, s)
		if ctx.Err() != nil {
			break
		}
		if s.Status().Records > before {
			pause = pauseMin
		}
		if err == nil {
			continue // batches were returned: they are read again at once
		}
		in.fail(err)
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		}
		pause = min(2*pause, pauseMax)
	}
	return context.Cause(ctx)
}

// readOn reads from what was acknowledged, until journalctl ends or a batch was
// returned; the error is nil then.
func (in *Input) readOn(ctx context.Context, s *intake.Stream) error {
	if err := s.Settle(ctx); err != nil {
		return err
	}
	at := string(s.Rewind())
	if at == atEnd {
		last, err := in.lastCursor(ctx)
		if err != nil {
			return err
		}
		if at = last; !s.Skip([]byte(at)) {
			return errors.New("cannot keep the position: something is under way")
		}
	}
	if s.Status().Acked > 0 { // entries may come in another order than before
		if err := s.Restart([]byte(at)); err != nil {
			return err
		}
	}
	if in.batcher != nil {
		in.batcher.Drop()
	}
	in.batcher = s.Batcher(0)
	in.entries.cursor = append(in.entries.cursor[:0], at...)
	in.ready.Store(true)
	args := append(in.c.arguments(), "--follow", "--no-tail")
	if at != atBeginning {
		args = append(args, "--after-cursor="+at)
	}
	return in.follow(ctx, s, args)
}

// lastCursor is the position of the last entry that there is.
func (in *Input) lastCursor(ctx context.Context) (string, error) {
	var out, said bytes.Buffer
	cmd := in.command(ctx, append(in.c.arguments(), "--lines=1"))
	cmd.Stdout, cmd.Stderr = &out, &said
	if err := cmd.Run(); err != nil {
		return "", in.explain(err, said.Bytes())
	}
	v, err := in.entries.json.ParseBytes(out.Bytes())
	if err != nil || len(v.GetStringBytes("__CURSOR")) == 0 {
		return atBeginning, nil //nolint:nilerr // there is none yet: all that come are new
	}
	return string(v.GetStringBytes("__CURSOR")), nil
}

func (in *Input) command(ctx context.Context, args []string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, in.c.Journalctl, args...) //nolint:gosec // by the user's explicit setting
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = stopWait
	cmd.Env = append(os.Environ(), "LC_ALL=C")
	return cmd
}

// follow runs journalctl until it ends, or a batch was returned.
func (in *Input) follow(ctx context.Context, s *intake.Stream, args []string) error {
	out, theirs, err := os.Pipe()
	if err != nil {
		return fmt.Errorf("cannot run journalctl: %w", err)
	}
	defer func() { _ = out.Close() }()
	child, stop := context.WithCancel(ctx)
	defer stop()
	said := &ending{}
	cmd := in.command(child, args)
	cmd.Stdout, cmd.Stderr = theirs, said
	err = cmd.Start()
	_ = theirs.Close()
	if err != nil {
		return in.explain(err, nil)
	}
	reading := in.read(ctx, s, out)
	stop()
	ended := cmd.Wait()
	switch {
	case s.Returned():
		return nil
	case reading != nil:
		return reading
	}
	return in.explain(ended, said.bytes)
}

// read gives what journalctl writes, until its end, or until a batch was returned.
func (in *Input) read(ctx context.Context, s *intake.Stream, out *os.File) error {
	lines := lineReader{max: lineMax}
	for !s.Returned() {
		due := time.Now().Add(lookEvery)
		if waits := in.batcher.Deadline(); !waits.IsZero() && waits.Before(due) {
			due = waits
		}
		_ = out.SetReadDeadline(due) // a read would fail, too
		_, err := lines.fill(out)
		for line, ok := lines.next(); ok; line, ok = lines.next() {
			in.entries.add(in.batcher, line)
			if in.batcher.Full() {
				if err := in.flush(ctx); err != nil {
					return err
				}
			}
		}
		if lines.lost > 0 {
			in.dropped.Add(lines.lost)
			in.env.Log.WithField("entries", lines.lost).Error("entries of the journal are passed over: they are longer than 16 MiB; name the fields that are wanted instead of *")
			lines.lost = 0
		}
		if in.batcher.Records() > 0 {
			in.recovered()
		}
		waits := in.batcher.Deadline()
		if !waits.IsZero() && !waits.After(time.Now()) || err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
			if err := in.flush(ctx); err != nil {
				return err
			}
		}
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded): // it runs, and has nothing to say
			in.recovered()
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return fmt.Errorf("cannot read what journalctl writes: %w", err)
		}
	}
	return nil
}

func (in *Input) flush(ctx context.Context) error {
	return in.batcher.Flush(ctx, bytes.Clone(in.entries.cursor), nil)
}

// explain says why journalctl has ended, and what to do.
func (in *Input) explain(err error, said []byte) error {
	text := strings.TrimSpace(string(said))
	switch {
	case errors.Is(err, exec.ErrNotFound) || errors.Is(err, os.ErrNotExist):
		return fmt.Errorf("cannot run %s, which reads the journal: %w; install it with systemd, give its path as journalctl, or read files in place of the journal", in.c.Journalctl, err)
	case errors.Is(err, os.ErrPermission):
		return fmt.Errorf("cannot run %s: %w; this user must be able to", in.c.Journalctl, err)
	case strings.Contains(text, "permission"):
		return fmt.Errorf("cannot read the journal: %s; add this user to the group systemd-journal", text)
	case err == nil:
		return errors.New("cannot go on with the journal: journalctl has ended by itself; " + text)
	}
	return fmt.Errorf("cannot read the journal: journalctl: %w: %s", err, text)
}

// fail shows an error in the status, and logs it when it is new.
func (in *Input) fail(err error) {
	text := err.Error()
	if before := in.failure.Swap(&text); before == nil || *before != text {
		in.env.Log.WithError(err).Error("the journal cannot be read; it is tried again")
	}
}

// recovered takes the error back.
func (in *Input) recovered() {
	if in.failure.Load() != nil {
		in.failure.Store(nil)
		in.env.Log.Info("the journal can be read again")
	}
}

// Streams implements agent.StreamLister.
func (in *Input) Streams() []intake.Status {
	s := in.stream.Load()
	if s == nil {
		return nil
	}
	st := s.Status()
	st.Dropped = in.dropped.Load()
	if failure := in.failure.Load(); failure != nil {
		st.Error = *failure
	}
	return []intake.Status{st}
}

// Ready implements agent.Starter: from then on, the position is known.
func (in *Input) Ready() bool { return in.ready.Load() }

// ending keeps the end of what a process says.
type ending struct{ bytes []byte }

// Write implements io.Writer.
func (e *ending) Write(p []byte) (int, error) {
	const most = 2000
	e.bytes = append(e.bytes, p...)
	e.bytes = e.bytes[max(0, len(e.bytes)-most):]
	return len(p), nil
}

// lineReader cuts lines, and passes over those that are too long.
type lineReader struct {
	buf        []byte
	start, end int
	looked     int
	over       bool  // the line at hand is too long
	lost       int64 // lines that were
	max        int
}

// fill reads once; the lines from before are dead.
func (l *lineReader) fill(r io.Reader) (int, error) {
	if l.start > 0 {
		l.end = copy(l.buf, l.buf[l.start:l.end])
		l.start = 0
	}
	if l.end == len(l.buf) {
		l.buf = append(l.buf, make([]byte, max(64<<10, len(l.buf)))...)
	}
	n, err := r.Read(l.buf[l.end:])
	l.end += n
	return n, err
}

// next returns the next whole line without its end.
func (l *lineReader) next() ([]byte, bool) {
	for {
		have := l.buf[l.start:l.end]
		i := bytes.IndexByte(have[l.looked:], '\n')
		if i < 0 {
			l.looked = len(have)
			if len(have) > l.max {
				l.start, l.looked, l.over = l.end, 0, true
			}
			return nil, false
		}
		line := have[:l.looked+i]
		l.start += len(line) + 1
		l.looked = 0
		switch {
		case l.over || len(line) > l.max:
			l.over = false
			l.lost++
		case len(line) > 0:
			return line, true
		}
	}
}
