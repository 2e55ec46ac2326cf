package binlog

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/wasmtail/wasmtail/agent/intake"
	"github.com/wasmtail/wasmtail/internal/replication"
)

// session is one dump of a binlog.
type session struct {
	in     *Input
	stream *intake.Stream
	source *source
	conn   *replication.Conn
	events replication.Events

	file    string // that is being read
	place   uint64 // behind the last event
	gtid    replication.GTID
	named   bool   // gtid is that of the transaction
	name    string // gtid as text
	within  bool   // a transaction has begun
	skip    int64  // records of the transaction that were given before
	records int64  // of the transaction, skipped ones included
	time    uint32 // of the event

	tables map[uint64]*table
	writer writer
	moved  time.Time // when the cursor was looked at last
	saved  []byte    // where it was moved to without a record
}

var (
	errReturned = errors.New("a batch came back")
	errSilent   = errors.New("the server has sent nothing, not even a heartbeat")
)

const (
	// idle is how long to wait for an event before looking at what else there is.
	idle = time.Second
	// heartbeatsMax are so many that may be missing.
	heartbeatsMax = 3
	// tablesMax bounds what is remembered of tables: an id is not used again.
	tablesMax = 4096
)

// session connects to a host and follows it until something ends that.
func (in *Input) session(ctx context.Context, s *intake.Stream) error {
	src, err := ask(ctx, &in.c, in.c.Hosts[in.host])
	if err != nil {
		return err
	}
	defer func() { _ = src.db.Close() }()
	if known := in.position.known; known != nil && known.String() == "" {
		known.MySQL = !src.mariaDB
	} else if known != nil && known.MySQL == src.mariaDB {
		return fmt.Errorf("cannot follow the binlog of %s: its GTIDs are of another kind than the position, %s", src.address, in.position)
	}
	conn, err := src.dump(ctx, &in.c, in.serverID, in.position)
	if err == nil {
		defer conn.Close()
		defer context.AfterFunc(ctx, conn.Close)()
		if !src.rowsOnly {
			in.env.Log.WithField("server", src.address).Warn("binlog_format is not ROW: what statements change is delivered as statements")
		}
		err = in.open(s, src, conn).follow(ctx)
	}
	return fmt.Errorf("cannot follow the binlog of %s: %w", src.address, err)
}

// open returns a session that begins at the position.
func (in *Input) open(s *intake.Stream, src *source, conn *replication.Conn) *session {
	x := &session{
		in: in, stream: s, source: src, conn: conn, tables: map[uint64]*table{}, moved: time.Now(),
		file: in.position.file, place: in.position.at, skip: in.position.records,
	}
	x.events.Begin(src.checksum, int(in.c.MaxEventSize))
	x.writer.max = int(in.c.MaxValueSize)
	return x
}

// follow reads events until an error.
func (x *session) follow(ctx context.Context) error {
	heard := time.Now()
	first := true
	for {
		if x.stream.Returned() {
			return errReturned
		}
		wait := idle
		if deadline := x.in.batcher.Deadline(); !deadline.IsZero() {
			wait = min(wait, max(0, time.Until(deadline)))
		}
		came, err := x.conn.Await(time.Now().Add(wait))
		if err != nil {
			return err
		}
		if err := x.settle(ctx); err != nil {
			return err
		}
		if !came {
			if time.Since(heard) > heartbeatsMax*x.in.c.Heartbeat {
				return errSilent
			}
			continue
		}
		event, size, err := x.conn.ReadEvent()
		if err != nil {
			return err
		}
		heard = time.Now()
		if err := x.event(ctx, event, size); err != nil {
			return err
		}
		if first {
			first = false
		} else if x.in.failure.Load() != nil { // an error may come in place of the second
			x.in.report(nil)
			x.in.backoff.Reset()
			x.in.purged = 0
		}
	}
}

// settle gives on a batch that has waited long enough, and moves the cursor over what
// gave no records.
func (x *session) settle(ctx context.Context) error {
	in := x.in
	if deadline := in.batcher.Deadline(); !deadline.IsZero() {
		if time.Now().Before(deadline) {
			return nil
		}
		return in.flush(ctx)
	}
	if now := time.Now(); now.Sub(x.moved) >= idle {
		x.moved = now
		if cursor := in.position.encode(in.tables); !bytes.Equal(cursor, x.saved) && x.stream.Skip(cursor) {
			x.saved = cursor
		}
	}
	return nil
}

// event takes one event of the dump in.
func (x *session) event(ctx context.Context, event []byte, size int) error {
	h, body, err := x.events.Open(event, size)
	if err != nil {
		return err
	}
	if h.End > 0 && !h.Artificial && h.Type != replication.Rotate {
		x.place = uint64(h.End)
	}
	if h.Type == replication.Payload && !h.Cut {
		return x.events.Unpack(body, func(h replication.Header, body []byte) error { return x.handle(ctx, h, body) })
	}
	return x.handle(ctx, h, body)
}

func (x *session) handle(ctx context.Context, h replication.Header, body []byte) error {
	x.time = h.Time
	if h.Cut {
		return x.cut(ctx, h, body)
	}
	switch h.Type {
	case replication.Rotate:
		file, at, err := replication.Rotated(body)
		if err != nil {
			return err
		}
		x.file, x.place = file, at
		if !x.within {
			x.pass()
		}
	case replication.MySQLGTID, replication.MariaDBGTID, replication.TaggedGTID, replication.Anonymous:
		return x.begin(h, body)
	case replication.Query, replication.QueryCompressed:
		return x.query(ctx, h, body)
	case replication.XID, replication.XAPrepare:
		x.end()
	case replication.TableMap:
		return x.table(ctx, body)
	case replication.PartialUpdate:
		return x.unreadable(ctx, nil, body, errors.New("it holds parts of JSON: set binlog_row_value_options to nothing"))
	default:
		if _, is := h.IsRows(); is {
			return x.rows(ctx, h, body)
		}
	}
	return nil
}

// begin begins a transaction.
func (x *session) begin(h replication.Header, body []byte) error {
	if x.records > 0 && x.skip == 0 && x.in.position.known != nil { // its end was not understood
		x.end()
	}
	x.records, x.within, x.named = 0, false, false
	if h.Type != replication.Anonymous {
		gtid, alone, err := replication.ReadGTID(h, body)
		if err != nil {
			return err
		}
		x.gtid, x.named, x.name = gtid, true, gtid.String()
		x.within = x.source.mariaDB && !alone
	}
	if x.skip > 0 && x.in.position.known != nil && x.name != x.in.position.within {
		return x.reorder()
	}
	return nil
}

// reorder is for a host that has its transactions in another order than the one before:
// the one that was read in part does not come first. It comes again as a whole, in a
// new generation, since the places of records are not those of before.
func (x *session) reorder() error {
	in := x.in
	in.env.Log.WithField("server", x.source.address).WithField("gtid", in.position.within).
		Warn("the transactions have another order here; one that was read in part is delivered again")
	in.position.records, in.position.within = 0, ""
	x.skip = 0
	if in.batcher.Records() == 0 && x.stream.Waiting() == 0 {
		if err := x.stream.Restart(in.position.encode(in.tables)); err != nil {
			return err
		}
		in.batcher = x.stream.Batcher(0)
	}
	return nil
}

// end ends a transaction: the position is behind it.
func (x *session) end() {
	if x.named && x.in.position.known != nil {
		x.in.position.known.Add(x.gtid)
	}
	x.within, x.named = false, false
	x.skip, x.records = 0, 0
	x.pass()
}

// pass moves the position to where the session is, between two transactions.
func (x *session) pass() {
	p := x.in.position
	if p.known == nil {
		if p.records > 0 && x.skip > 0 { // the transaction is still to come
			return
		}
		p.file, p.at = x.file, x.place
	}
	if x.skip == 0 {
		p.records, p.within = 0, ""
	}
}

func (x *session) query(ctx context.Context, h replication.Header, body []byte) error {
	q, err := x.events.ReadQuery(h, body)
	if err != nil {
		return x.unreadableStatement(ctx, body, err)
	}
	switch q.Control() {
	case replication.Begin:
		x.within = true
		return nil
	case replication.Commit:
		x.end()
		return nil
	case replication.Rollback:
		err = x.control(ctx, "rollback", &q)
		x.end()
		return err
	case replication.RollbackPrepared:
		err = x.statement(ctx, "rollback", &q)
		x.end()
		return err
	case replication.Savepoint:
		return x.control(ctx, "savepoint", &q)
	case replication.ToSavepoint:
		return x.control(ctx, "rollback", &q)
	case replication.Nothing:
		return nil
	}
	return x.change(ctx, &q)
}

// control gives a statement that says what becomes of rows in front of it, if any of
// them were of interest.
func (x *session) control(ctx context.Context, event string, q *replication.Statement) error {
	if x.records == 0 {
		return nil
	}
	return x.statement(ctx, event, q)
}

// change takes in a statement that changes tables or rows.
func (x *session) change(ctx context.Context, q *replication.Statement) (err error) {
	ddl := !x.within || isDDL(q.SQL)
	if ddl {
		clear(x.tables)
		if x.in.c.DDL {
			err = x.statement(ctx, "ddl", q)
		}
	} else {
		err = x.statement(ctx, "statement", q)
	}
	if err != nil {
		return err
	}
	if bytes.HasSuffix(bytes.ToUpper(bytes.TrimSpace(q.SQL)), []byte("START TRANSACTION")) { // its rows follow
		x.within = true
	}
	if !x.within {
		x.end()
	}
	return nil
}

// isDDL tells statements that change tables from those that change rows.
func isDDL(sql []byte) bool {
	sql = bytes.TrimSpace(sql)
	for bytes.HasPrefix(sql, []byte("/*")) && !bytes.HasPrefix(sql, []byte("/*!")) {
		_, rest, found := bytes.Cut(sql, []byte("*/"))
		if !found {
			break
		}
		sql = bytes.TrimSpace(rest)
	}
	word, _, _ := bytes.Cut(sql[:min(len(sql), 16)], []byte(" "))
	switch string(bytes.ToUpper(word)) {
	case "CREATE", "ALTER", "DROP", "TRUNCATE", "RENAME":
		return true
	}
	return false
}

// table takes in what the binlog says of a table in front of its rows.
func (x *session) table(ctx context.Context, body []byte) error {
	id := x.events.TableID(body)
	if known := x.tables[id]; known != nil && bytes.Equal(known.said, body) {
		return nil
	}
	if len(x.tables) >= tablesMax {
		clear(x.tables)
	}
	t := &table{said: bytes.Clone(body)}
	x.tables[id] = t
	parsed, err := x.events.ReadTable(body, x.source.charsets)
	if err != nil {
		t.err = err
		return nil
	}
	t.wanted = x.in.c.wants(parsed.Database, parsed.Name)
	if !t.wanted {
		return nil
	}
	if !parsed.Named || !parsed.Signed {
		err := x.source.describe(ctx, parsed)
		if err != nil && !errors.Is(err, errGone) {
			delete(x.tables, id)
			return err
		}
		t.guessed = err != nil
	}
	t.prepare(parsed)
	return nil
}

// rows gives the rows of an event.
func (x *session) rows(ctx context.Context, h replication.Header, body []byte) error {
	t := x.tables[x.events.TableID(body)]
	switch {
	case t == nil:
		return x.unreadable(ctx, nil, body, errors.New("its table is not known"))
	case t.err != nil:
		return x.unreadable(ctx, nil, body, t.err)
	case !t.wanted:
		return nil
	}
	rows, err := x.events.ReadRows(h, body, t.Table)
	if err != nil {
		return x.unreadable(ctx, t, body, err)
	}
	change, _ := h.IsRows()
	for {
		more, err := rows.Next(&x.writer.row)
		if err != nil {
			return x.unreadable(ctx, t, body, err)
		}
		if !more {
			return nil
		}
		if !x.count() {
			continue
		}
		x.writer.change(x, t, change)
		if err := x.added(ctx); err != nil {
			return err
		}
	}
}

// count counts a record of the transaction. It is false for one that was given before.
func (x *session) count() bool {
	x.records++
	return x.records > x.skip
}

// added notes that a record was added.
func (x *session) added(ctx context.Context) error {
	p := x.in.position
	p.records, p.within = x.records, x.name
	if !x.named {
		p.within = ""
	}
	x.skip = 0
	if x.in.batcher.Full() {
		return x.in.flush(ctx)
	}
	return nil
}

// cut tells of an event that is longer than it may be.
func (x *session) cut(ctx context.Context, h replication.Header, body []byte) error {
	_, rows := h.IsRows()
	statement := h.Type == replication.Query || h.Type == replication.QueryCompressed
	reason := fmt.Errorf("its %d bytes are more than max_event_size", h.Size)
	if !rows && !statement {
		return fmt.Errorf("%w: an event of type %d cannot be left out", reason, h.Type)
	}
	if statement {
		return x.unreadableStatement(ctx, nil, reason)
	}
	t := x.tables[x.events.TableID(body)]
	if t != nil && t.err == nil && !t.wanted {
		return nil
	}
	return x.unreadable(ctx, t, nil, reason)
}

func (x *session) statement(ctx context.Context, event string, q *replication.Statement) error {
	if !x.count() {
		return nil
	}
	x.writer.statement(x, event, q)
	return x.added(ctx)
}

// unreadable gives an event of rows that cannot be taken apart as one record: nobody
// shall miss it without knowing.
func (x *session) unreadable(ctx context.Context, t *table, body []byte, reason error) error {
	if !x.count() {
		return nil
	}
	x.writer.unreadable(x, t, body, reason)
	return x.added(ctx)
}

// unreadableStatement is unreadable for a statement, which may be all of a transaction.
func (x *session) unreadableStatement(ctx context.Context, body []byte, reason error) error {
	if err := x.unreadable(ctx, nil, body, reason); err != nil || x.within {
		return err
	}
	x.end()
	return nil
}
