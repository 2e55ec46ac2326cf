// Package mysqlquery reads the rows of a query that is asked again and again, each
// time from the value of a column on that the last row had.
//
// It promises that every row is given that a query returns, and that the position
// moves only over rows that were acknowledged. It does not see rows that appear
// behind the position: the column must grow in the order in which rows appear, as
// docs/inputs/mysql.md explains.
//
// Run is the only goroutine. Streams and Ready are safe for concurrent use.
package mysqlquery

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/binary"
	"fmt"
	"hash"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/wasmtail/wasmtail/agent/checkpoint"
	"github.com/wasmtail/wasmtail/agent/intake"
	"github.com/wasmtail/wasmtail/agent/pipeline"
	"github.com/wasmtail/wasmtail/internal/mysqlserver"
	"github.com/wasmtail/wasmtail/internal/record"
)

// Env is what the agent lends the input.
type Env struct {
	Pipeline    string
	Checkpoints *checkpoint.Store
	// BatchBytes bounds the bytes of a batch.
	BatchBytes int
	Log        logrus.FieldLogger
}

// Input is the mysql input of one pipeline.
type Input struct {
	c       Config
	env     Env
	db      *sql.DB
	stream  atomic.Pointer[intake.Stream]
	failure atomic.Pointer[string]

	batcher  *intake.Batcher
	position *position // of the last row that was added
}

// New returns an input. It connects to nothing before Run.
func New(c Config, env Env) (*Input, error) {
	in := &Input{c: c, env: env}
	var err error
	in.db, err = c.Open(mysqlserver.Target{Address: c.Address, Database: c.Database, Session: map[string]string{"time_zone": "'" + c.TimeZone + "'"}})
	if err != nil {
		return nil, err
	}
	return in, nil
}

// name is where a file has its path. The query is not in it: when it is changed, the
// reading goes on.
func (in *Input) name() string {
	return fmt.Sprintf("mysql %s/%s by %s", in.c.Address, in.c.Database, in.c.Checkpoint.Column)
}

// Run reads until ctx ends. It is called once.
func (in *Input) Run(ctx context.Context, emit pipeline.Emit) error {
	defer func() { _ = in.db.Close() }()
	s, err := intake.Open(intake.Config{
		Pipeline: in.env.Pipeline, Name: in.name(), Checkpoints: in.env.Checkpoints, Start: newPosition(in.c.start()).encode(),
		BatchBytes: in.env.BatchBytes, Linger: in.c.Interval, Emit: emit,
	})
	if err != nil {
		return err
	}
	if err := in.rewind(s); err != nil {
		return err
	}
	in.stream.Store(s)
	var backoff mysqlserver.Backoff
	for {
		err := in.read(ctx, s)
		in.report(ctx, err)
		pause := in.c.Interval
		if err != nil {
			pause = max(backoff.Next(), min(pause, time.Second))
		} else {
			backoff.Reset()
		}
		if err := s.Pause(ctx, pause); err != nil {
			return err
		}
		if s.Returned() {
			if err := s.Settle(ctx); err != nil {
				return err
			}
			if err := in.rewind(s); err != nil {
				return err
			}
		}
	}
}

// rewind goes back to what was acknowledged. If other rows may come from there than
// before, their places must not be those of rows that the hub may have.
func (in *Input) rewind(s *intake.Stream) (err error) {
	at := s.Rewind()
	if in.batcher != nil {
		in.batcher.Drop()
	}
	if in.position, err = decodePosition(at); err != nil {
		return err
	}
	if st := s.Status(); !in.c.Repeatable && st.Acked > 0 {
		if err := s.Restart(at); err != nil {
			return err
		}
	}
	in.batcher = s.Batcher(0)
	return nil
}

// report shows the state of the reading in the status, and logs what changes.
func (in *Input) report(ctx context.Context, err error) {
	before := in.failure.Load()
	switch {
	case ctx.Err() != nil:
	case err != nil:
		text := err.Error()
		if before == nil {
			in.env.Log.WithError(err).WithField("server", in.c.Address).Error("a table cannot be read; it is tried again")
		}
		in.failure.Store(&text)
	case before != nil:
		in.env.Log.WithField("server", in.c.Address).Info("a table can be read again")
		in.failure.Store(nil)
	}
}

// Streams implements agent.StreamLister.
func (in *Input) Streams() []intake.Status {
	s := in.stream.Load()
	if s == nil {
		return nil
	}
	st := s.Status()
	if failure := in.failure.Load(); failure != nil {
		st.Error = *failure
	}
	return []intake.Status{st}
}

// Ready implements agent.Starter: from then on, the position is durable.
func (in *Input) Ready() bool { return in.stream.Load() != nil }

// read gives all pages that are there.
func (in *Input) read(ctx context.Context, s *intake.Stream) error {
	limit := in.c.pageRows()
	for {
		p := page{in: in, given: in.position.given()}
		err := p.read(ctx)
		if flushed := in.flush(ctx); flushed != nil {
			return flushed
		}
		switch {
		case err != nil:
			return err
		case s.Returned() || limit == 0 || p.rows < limit:
			return nil
		case p.fresh == 0:
			return fmt.Errorf("cannot read on: all %d rows of a page have been read, and it is full; raise the LIMIT over the number of rows that have two neighbouring values of %s", limit, in.c.Checkpoint.Column)
		}
	}
}

func (in *Input) flush(ctx context.Context) error {
	return in.batcher.Flush(ctx, in.position.encode(), nil)
}

// page is the result of one query.
type page struct {
	in      *Input
	columns []column
	key     int              // the checkpoint column
	given   map[identity]int // rows that were given before and may come again
	before  string           // the value of the row before
	rows    int
	fresh   int // rows that were not given before
	hash    hash.Hash

	raw, text []byte
}

type column struct {
	name []byte
	kind mysqlserver.Kind
	bit  bool
}

func (p *page) read(ctx context.Context) error {
	in := p.in
	args := make([]any, strings.Count(in.c.Query, "?"))
	for i := range args {
		args[i] = in.c.argument(in.position.from)
	}
	rows, err := in.db.QueryContext(ctx, in.c.Query, args...)
	if err != nil {
		return fmt.Errorf("cannot ask %s: %w", in.c.Address, err)
	}
	defer func() { _ = rows.Close() }()
	if err := p.describe(rows); err != nil {
		return err
	}
	p.hash = sha256.New()
	values, targets := make([]sql.RawBytes, len(p.columns)), make([]any, len(p.columns))
	for i := range values {
		targets[i] = &values[i]
	}
	for rows.Next() {
		if err := rows.Scan(targets...); err != nil {
			return fmt.Errorf("cannot read a row: %w", err)
		}
		p.rows++
		if err := p.row(values); err != nil {
			return err
		}
		if in.batcher.Full() {
			if err := in.flush(ctx); err != nil {
				return err
			}
		}
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("cannot read the rows of %s: %w", in.c.Address, err)
	}
	return nil
}

func (p *page) describe(rows *sql.Rows) error {
	types, err := rows.ColumnTypes()
	if err != nil {
		return fmt.Errorf("cannot read the columns: %w", err)
	}
	p.key = -1
	for i, t := range types {
		c := column{name: []byte(t.Name())}
		name := t.DatabaseTypeName()
		switch {
		case strings.HasSuffix(name, "INT"), name == "DECIMAL", name == "DOUBLE", name == "FLOAT", name == "YEAR":
			c.kind = mysqlserver.Number
		case name == "BIT":
			c.kind, c.bit = mysqlserver.Number, true
		case name == "JSON":
			c.kind = mysqlserver.JSON
		}
		if strings.EqualFold(t.Name(), p.in.c.Checkpoint.Column) {
			p.key = i
		}
		p.columns = append(p.columns, c)
	}
	if p.key < 0 {
		return fmt.Errorf("cannot use the query: its result has no column %s, which is the checkpoint", p.in.c.Checkpoint.Column)
	}
	return nil
}

// row adds a row, unless it was given before.
func (p *page) row(values []sql.RawBytes) error {
	in := p.in
	if values[p.key] == nil {
		return fmt.Errorf("cannot place a row: its %s is NULL; leave such rows out of the query", in.c.Checkpoint.Column)
	}
	value, err := in.c.normal(values[p.key])
	if err != nil {
		return fmt.Errorf("cannot place a row: %w; see checkpoint.type", err)
	}
	if p.before != "" && in.c.compare(value, p.before) < 0 {
		return fmt.Errorf("cannot place a row: %s is %s after %s; the query must ORDER BY it", in.c.Checkpoint.Column, value, p.before)
	}
	same := value == p.before
	p.before = value
	atStart := in.c.compare(value, in.position.from)
	if in.c.unique() {
		return p.uniqueRow(values, value, same, atStart)
	}
	id := p.identity(values)
	if p.given[id] > 0 {
		p.given[id]--
		return nil
	}
	if atStart < 0 {
		return fmt.Errorf("cannot place a row: %s is %s, and the query was asked from %s; it must compare with > or >=", in.c.Checkpoint.Column, value, in.position.from)
	}
	at := further
	switch {
	case atStart == 0:
		at = atFrom
	case in.position.last != "" && in.c.compare(value, in.position.last) <= 0:
		at = behind
	}
	if in.position.full(at) {
		return fmt.Errorf("cannot remember more than %d rows with the same %s, %s; use a finer column", seenMax, in.c.Checkpoint.Column, value)
	}
	p.add(values)
	in.position.pass(value, id, at)
	return nil
}

func (p *page) uniqueRow(values []sql.RawBytes, value string, same bool, atStart int) error {
	switch {
	case same:
		return fmt.Errorf("cannot place a row: %s is %s twice; set checkpoint.repeats", p.in.c.Checkpoint.Column, value)
	case atStart <= 0:
		return nil // it was given before
	}
	p.add(values)
	p.in.position.from = value
	return nil
}

func (p *page) identity(values []sql.RawBytes) (id identity) {
	p.hash.Reset()
	var length [8]byte
	for _, v := range values {
		n := uint64(len(v)) + 1
		if v == nil {
			n = 0
		}
		binary.LittleEndian.PutUint64(length[:], n)
		_, _ = p.hash.Write(length[:])
		_, _ = p.hash.Write(v)
	}
	var sum [sha256.Size]byte
	copy(id[:], p.hash.Sum(sum[:0]))
	return id
}

// add makes a record of a row: its line is the row as a JSON object, its fields are
// the columns.
func (p *page) add(values []sql.RawBytes) {
	p.fresh++
	p.raw, p.text = append(p.raw[:0], '{'), p.text[:0]
	ends := make([]int, len(values))
	for i, v := range values {
		c := &p.columns[i]
		p.raw = mysqlserver.AppendKey(p.raw, string(c.name))
		if v == nil {
			p.raw = append(p.raw, "null"...)
			ends[i] = len(p.text)
			continue
		}
		start := len(p.text)
		if c.bit {
			p.text = appendBits(p.text, v)
		} else {
			p.text = mysqlserver.AppendText(p.text, v)
		}
		p.raw = mysqlserver.AppendValue(p.raw, p.text[start:], c.kind)
		ends[i] = len(p.text)
	}
	p.raw = append(p.raw, '}')
	r := p.in.batcher.Add(p.raw)
	b := p.in.batcher.Batch()
	text := b.Copy(p.text)
	r.Fields = b.AllocFields(len(values))
	start := 0
	for i, end := range ends {
		if values[i] != nil {
			r.Fields = append(r.Fields, record.Field{Name: p.columns[i].name, Value: text[start:end:end]})
		}
		start = end
	}
}

// appendBits appends the number that a BIT column holds.
func appendBits(dst, value []byte) []byte {
	var n uint64
	for _, b := range value {
		n = n<<8 | uint64(b)
	}
	return strconv.AppendUint(dst, n, 10)
}
