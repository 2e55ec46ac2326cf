// Package binlog follows the changes of tables of a MySQL or MariaDB server, as a
// replica of it does.
//
// It promises that every row of the tables that are followed is given which the binlog
// has behind the position, in the order of the binlog; that the position moves only over
// what was acknowledged; and that what is read again has the same places, so that the
// hub knows it. What the server has purged is lost, and said to be. Names of columns
// that are not in the binlog are those of the moment of reading, as
// docs/inputs/mysql.md explains.
//
// Run is the only goroutine, but for one at a time that connects. Streams and Ready are
// safe for concurrent use.
package binlog

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/wasmtail/wasmtail/agent/checkpoint"
	"github.com/wasmtail/wasmtail/agent/intake"
	"github.com/wasmtail/wasmtail/agent/pipeline"
	"github.com/wasmtail/wasmtail/agent/tail"
	"github.com/wasmtail/wasmtail/internal/mysqlserver"
	"github.com/wasmtail/wasmtail/internal/replication"
)

// Env is what the agent lends the input.
type Env struct {
	Pipeline    string
	Checkpoints *checkpoint.Store
	// BatchBytes bounds the bytes of a batch, and Linger how long it waits for more.
	BatchBytes int
	Linger     time.Duration
	// Lost is told what the server has purged before it was read; nil: nobody is.
	Lost func(tail.Loss)
	Log  logrus.FieldLogger
}

// Input is the mysql_binlog input of one pipeline.
type Input struct {
	c        Config
	env      Env
	serverID uint32
	tables   string
	stream   atomic.Pointer[intake.Stream]
	failure  atomic.Pointer[string]

	batcher  *intake.Batcher
	position *position // behind the last record that was added
	host     int       // of c.Hosts
	purged   int       // hosts in a row that have purged what comes next
	backoff  mysqlserver.Backoff
}

// New returns an input. It connects to nothing before Run.
func New(c Config, env Env) (*Input, error) {
	in := &Input{c: c, env: env, serverID: c.ServerID, tables: c.tables()}
	if in.serverID == 0 { // the upper half, where people put none
		var random [4]byte
		_, _ = rand.Read(random[:]) // never fails
		in.serverID = binary.LittleEndian.Uint32(random[:]) | 1<<31
	}
	return in, nil
}

// name is where a file has its path.
func (in *Input) name() string {
	if in.c.Name != "" {
		return "mysql_binlog " + in.c.Name
	}
	return "mysql_binlog " + in.c.Hosts[0]
}

// Run follows the binlog until ctx ends. It is called once.
func (in *Input) Run(ctx context.Context, emit pipeline.Emit) error {
	start, err := in.start(ctx)
	if err != nil {
		return err
	}
	s, err := intake.Open(intake.Config{
		Pipeline: in.env.Pipeline, Name: in.name(), Checkpoints: in.env.Checkpoints, Start: start,
		BatchBytes: in.env.BatchBytes, Linger: in.env.Linger, Emit: emit,
	})
	if err != nil {
		return err
	}
	if err := in.rewind(s); err != nil {
		return err
	}
	in.stream.Store(s)
	for {
		err := in.session(ctx, s)
		if flushed := in.flush(ctx); flushed != nil {
			return flushed
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if s.Returned() {
			if err := s.Settle(ctx); err != nil {
				return err
			}
			if err := in.rewind(s); err != nil {
				return err
			}
			continue
		}
		if err := in.failed(ctx, s, err); err != nil {
			return err
		}
	}
}

// start returns the cursor to begin with, once a server has said what it is; nil if the
// checkpoint has one.
func (in *Input) start(ctx context.Context) ([]byte, error) {
	for _, src := range in.env.Checkpoints.Sources(in.env.Pipeline) {
		if e := src.Entry(); e.Path == in.name() && e.Ino == 0 && e.Cursor != nil {
			return nil, nil
		}
	}
	for {
		p, err := in.find(ctx, in.c.StartAt)
		if err == nil {
			in.report(nil)
			return p.encode(in.tables), nil
		}
		if ctx.Err() == nil {
			in.report(err)
		}
		in.host = (in.host + 1) % len(in.c.Hosts)
		if !mysqlserver.Wait(ctx, in.backoff.Next()) {
			return nil, context.Cause(ctx)
		}
	}
}

// find asks the current host for the position that a start_at stands for.
func (in *Input) find(ctx context.Context, start string) (*position, error) {
	src, err := ask(ctx, &in.c, in.c.Hosts[in.host])
	if err != nil {
		return nil, err
	}
	defer func() { _ = src.db.Close() }()
	return src.find(ctx, &in.c, start)
}

// rewind goes back to what was acknowledged. If the settings give other records from
// there than before, their places must not be those of records that the hub may have.
func (in *Input) rewind(s *intake.Stream) error {
	at := s.Rewind()
	if in.batcher != nil {
		in.batcher.Drop()
	}
	p, tables, err := decodePosition(at)
	if err != nil {
		return err
	}
	if (p.known == nil) != (in.c.Position == "file") {
		return fmt.Errorf("cannot go on from %s with position: %s; set it back, or begin anew with another name", p, in.c.Position)
	}
	if tables != in.tables {
		p.records, p.within = 0, "" // the transaction is given again, whatever it has now
		if err := s.Restart(p.encode(in.tables)); err != nil {
			return err
		}
	}
	in.position, in.batcher = p, s.Batcher(0)
	return nil
}

// flush gives on what waits.
func (in *Input) flush(ctx context.Context) error {
	if in.batcher.Records() == 0 {
		return nil
	}
	return in.batcher.Flush(ctx, in.position.encode(in.tables), nil)
}

// failed sees to the end of a session: it waits, and chooses the host for the next.
func (in *Input) failed(ctx context.Context, s *intake.Stream, err error) error {
	pause := in.backoff.Next()
	if isPurged(err) {
		in.purged++
		err = fmt.Errorf("%w: what follows %s is not in the binlog any more and is lost", err, in.position)
		if in.purged >= len(in.c.Hosts) && in.c.OnPurge == "restart_at_earliest" {
			done, failure := in.restart(ctx, s, err)
			if done || failure != nil {
				return failure
			}
		}
		if in.purged >= len(in.c.Hosts) {
			pause = purgedPause
		}
	} else {
		in.purged = 0
	}
	in.report(err)
	in.host = (in.host + 1) % len(in.c.Hosts)
	return s.Pause(ctx, pause)
}

// purgedPause is how often a server is asked again that has purged what comes next:
// another may be there by then.
const purgedPause = 30 * time.Second

// isPurged tells that the server does not have what was asked for any more from other
// errors of the same number.
func isPurged(err error) bool {
	var server *replication.ServerError
	if !errors.As(err, &server) || server.Code != replication.CodeDump {
		return false
	}
	text := strings.ToLower(server.Message)
	return strings.Contains(text, "purged") || strings.Contains(text, "could not find first log file")
}

// restart goes on with the first that the server has. It is false if the server does
// not say what that is.
func (in *Input) restart(ctx context.Context, s *intake.Stream, reason error) (done bool, err error) {
	p, err := in.find(ctx, "earliest")
	if err != nil {
		in.report(errors.Join(reason, err))
		return false, nil
	}
	if err := s.Settle(ctx); err != nil {
		return false, err
	}
	st := s.Status()
	if err := s.Restart(p.encode(in.tables)); err != nil {
		return false, err
	}
	from := in.position
	in.position, in.batcher, in.purged = p, s.Batcher(0), 0
	in.env.Log.WithError(reason).WithFields(logrus.Fields{"from": from.String(), "to": p.String()}).Error("a part of the binlog is lost; the reading goes on behind it")
	if in.env.Lost != nil {
		in.env.Lost(tail.Loss{
			Path: st.Name, Generation: st.Generation, Start: st.Acked, End: st.Acked,
			Reason: fmt.Sprintf("the server has purged its binlog from %s to %s before it was read; how much that was is not known", from, p),
		})
	}
	return true, nil
}

// report shows the state in the status, and logs what changes.
func (in *Input) report(err error) {
	before := in.failure.Load()
	switch {
	case err != nil:
		text := err.Error()
		if before == nil || isPurged(err) && *before != text {
			in.env.Log.WithError(err).WithField("server", in.c.Hosts[in.host]).Error("the binlog cannot be read; it is tried again")
		}
		in.failure.Store(&text)
	case before != nil:
		in.env.Log.WithField("server", in.c.Hosts[in.host]).Info("the binlog can be read again")
		in.failure.Store(nil)
	}
}

// Streams implements agent.StreamLister.
func (in *Input) Streams() []intake.Status {
	st := intake.Status{Name: in.name()}
	if s := in.stream.Load(); s != nil {
		st = s.Status()
	}
	if failure := in.failure.Load(); failure != nil {
		st.Error = *failure
	}
	return []intake.Status{st}
}

// Ready implements agent.Starter: from then on, the position is durable.
func (in *Input) Ready() bool { return in.stream.Load() != nil }
