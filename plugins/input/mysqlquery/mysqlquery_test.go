package mysqlquery

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/sirupsen/logrus"
	"github.com/stretchr/testify/require"

	"github.com/wasmtail/wasmtail/agent/checkpoint"
	"github.com/wasmtail/wasmtail/agent/intake"
	"github.com/wasmtail/wasmtail/agent/pipeline"
	"github.com/wasmtail/wasmtail/internal/config"
	"github.com/wasmtail/wasmtail/internal/durable"
	"github.com/wasmtail/wasmtail/internal/mariadb"
)

const patience = 30 * time.Second

// sink is a pipeline that keeps what it is given and says at once what became of it.
type sink struct {
	mu      sync.Mutex
	lines   []string
	fields  []map[string]string
	spans   [][2]int64
	refuse  int // so many batches come back
	gen     map[string]bool
	changed chan struct{}
}

func newSink() *sink { return &sink{gen: map[string]bool{}, changed: make(chan struct{}, 1)} }

func (s *sink) emit(_ context.Context, d pipeline.Delivery) error {
	s.mu.Lock()
	var err error
	if s.refuse > 0 {
		s.refuse--
		err = errors.New("the output is away")
	} else {
		s.gen[d.Batch.Origin.Generation] = true
		s.spans = append(s.spans, [2]int64{d.Batch.Start, d.Batch.End})
		for i := range d.Batch.Records {
			r := &d.Batch.Records[i]
			s.lines = append(s.lines, string(r.Raw))
			fields := map[string]string{}
			for _, f := range r.Fields {
				fields[string(f.Name)] = string(f.Value)
			}
			s.fields = append(s.fields, fields)
		}
	}
	s.mu.Unlock()
	d.Batch.Release()
	d.Done(err)
	select {
	case s.changed <- struct{}{}:
	default:
	}
	return nil
}

func (s *sink) column(name string) (values []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, f := range s.fields {
		values = append(values, f[name])
	}
	return values
}

// run is an input that runs.
type run struct {
	t    *testing.T
	in   *Input
	sink *sink
	stop func()
}

func start(t *testing.T, store *checkpoint.Store, c Config, s *sink) *run {
	t.Helper()
	config.Defaults(&c)
	config.Defaults(&c.Account)
	c.Validate(func(key, problem string) { t.Errorf("%s %s", key, problem) })
	log := logrus.New()
	log.SetOutput(io.Discard)
	in, err := New(c, Env{Pipeline: "p", Checkpoints: store, BatchBytes: 2000, Log: log})
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- in.Run(ctx, s.emit) }()
	r := &run{t: t, in: in, sink: s}
	r.stop = sync.OnceFunc(func() {
		cancel()
		require.ErrorIs(t, <-ended, context.Canceled)
	})
	t.Cleanup(r.stop)
	return r
}

func (r *run) until(what string, condition func() bool) {
	r.t.Helper()
	deadline := time.After(patience)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !condition() {
		select {
		case <-tick.C:
		case <-r.sink.changed:
		case <-deadline:
			require.FailNow(r.t, "in vain waited until "+what, "%+v", r.in.Streams())
		}
	}
}

func (r *run) rows(n int) {
	r.t.Helper()
	r.until(fmt.Sprintf("%d rows are there", n), func() bool { return len(r.sink.column("id")) >= n })
	require.Len(r.t, r.sink.column("id"), n)
}

func (r *run) status() (st intake.Status) {
	if all := r.in.Streams(); len(all) == 1 {
		return all[0]
	}
	return st
}

func (r *run) fails(with string) {
	r.t.Helper()
	r.until("it says "+with, func() bool { return r.status().Error != "" })
	require.Contains(r.t, r.status().Error, with)
}

func store(t *testing.T) (*checkpoint.Store, *durable.Mem) {
	t.Helper()
	fs := durable.NewMem()
	s, err := checkpoint.Open(fs, "/s")
	require.NoError(t, err)
	return s, fs
}

func settings(m *mariadb.Server, query, column string) Config {
	c := Config{Address: m.Addr, Database: "d", Query: query, Interval: 100 * time.Millisecond}
	c.User, c.Checkpoint.Column = "root", column
	return c
}

func numbers(from, to int) (list []string) {
	for i := from; i < to; i++ {
		list = append(list, strconv.Itoa(i))
	}
	return list
}

func TestMySQL(t *testing.T) {
	m := mariadb.Start(t)
	m.Exec("CREATE DATABASE d CHARACTER SET utf8mb4")
	t.Run("Pages", func(t *testing.T) { testPages(t, m) })
	t.Run("EqualTimes", func(t *testing.T) { testEqualTimes(t, m) })
	t.Run("Columns", func(t *testing.T) { testColumns(t, m) })
	t.Run("Returned", func(t *testing.T) { testReturned(t, m) })
	t.Run("Refused", func(t *testing.T) { testRefused(t, m) })
	t.Run("TheServerIsAway", func(t *testing.T) { testAway(t, m) }) // the last: it restarts it
}

// testPages reads a table in pages, stops, and goes on where it was.
func testPages(t *testing.T, m *mariadb.Server) {
	m.Exec("CREATE TABLE d.pages (id INT PRIMARY KEY, v VARCHAR(20))")
	row := func(i int) string { return fmt.Sprintf("%d, 'v%d'", i, i) }
	m.Insert("d.pages", 1, 1001, row)
	c := settings(m, "SELECT * FROM pages WHERE id > ? ORDER BY id LIMIT 100", "id")
	c.Interval = time.Hour // pages are read on without it
	checkpoints, fs := store(t)
	s := newSink()
	r := start(t, checkpoints, c, s)
	r.rows(1000)
	r.stop()
	require.NoError(t, checkpoints.Save())
	fs.Restart(func(int) int { return 0 })
	checkpoints, err := checkpoint.Open(fs, "/s")
	require.NoError(t, err)
	m.Insert("d.pages", 1001, 1101, row)
	r = start(t, checkpoints, c, s)
	r.rows(1100)
	require.Equal(t, numbers(1, 1101), s.column("id"))
	r.until("the cursor is at the last row", func() bool { return r.status().Cursor == `{"from":"1100"}` })
	require.Equal(t, `{"id":1100,"v":"v1100"}`, s.lines[1099])
}

// testEqualTimes has more rows with one time than a page holds rows of other times,
// rows that come late with the last time, and rows that are the same in all columns.
func testEqualTimes(t *testing.T, m *mariadb.Server) {
	for _, op := range []string{">", ">="} {
		table := map[string]string{">": "later", ">=": "since"}[op]
		m.Exec("CREATE TABLE d." + table + " (id INT, at DATETIME(3))")
		row := func(i int) string { return fmt.Sprintf("%d, '2026-01-01 00:00:%02d.5'", i, i/30) }
		m.Insert("d."+table, 0, 300, row)
		c := settings(m, "SELECT * FROM "+table+" WHERE at "+op+" ? ORDER BY at, id LIMIT 90", "at")
		c.Checkpoint.Type = "time"
		checkpoints, fs := store(t)
		s := newSink()
		r := start(t, checkpoints, c, s)
		r.rows(300)
		m.Insert("d."+table, 300, 310, func(i int) string { return fmt.Sprintf("%d, '2026-01-01 00:00:09.5'", i) })
		r.rows(310)
		m.Insert("d."+table, 0, 3, func(int) string { return "7, '2026-01-01 00:00:09.5'" })
		r.rows(313)
		r.stop()
		require.NoError(t, checkpoints.Save())
		fs.Restart(func(int) int { return 0 })
		checkpoints, err := checkpoint.Open(fs, "/s")
		require.NoError(t, err)
		m.Exec("INSERT INTO d." + table + " VALUES (7, '2026-01-01 00:00:09.5'), (1000, '2026-01-01 00:00:10')")
		r = start(t, checkpoints, c, s)
		r.rows(315)
		got := s.column("id")
		slices.Sort(got)
		want := append(numbers(0, 310), "7", "7", "7", "7", "1000")
		slices.Sort(want)
		require.Equal(t, want, got, op)
	}
}

func testColumns(t *testing.T, m *mariadb.Server) {
	m.Exec(`CREATE TABLE d.cols (id BIGINT UNSIGNED, n DECIMAL(30,10), f DOUBLE, z INT(6) ZEROFILL, b BIT(10), x VARBINARY(9),
		s VARCHAR(20), e ENUM('a','b'), t TIMESTAMP(6) NULL, d DATE, h TIME(2), y YEAR, nothing INT)`,
		`INSERT INTO d.cols VALUES (18446744073709551615, -12345678901234567890.0123456789, 0.25, 42, b'1000000001', x'ff00',
		'"é\n"', 'b', '2026-03-04 05:06:07.000089', '2026-01-02', '-100:00:01.50', 2026, NULL)`)
	s := newSink()
	checkpoints, _ := store(t)
	r := start(t, checkpoints, settings(m, "SELECT * FROM cols WHERE id > ? ORDER BY id LIMIT 10", "id"), s)
	r.rows(1)
	require.Equal(t, map[string]string{
		"id": "18446744073709551615", "n": "-12345678901234567890.0123456789", "f": "0.25", "z": "42", "b": "513", "x": "base64:/wA=",
		"s": "\"é\n\"", "e": "b", "t": "2026-03-04 05:06:07.000089", "d": "2026-01-02", "h": "-100:00:01.50", "y": "2026",
	}, s.fields[0])
	require.Equal(t, `{"id":18446744073709551615,"n":-12345678901234567890.0123456789,"f":0.25,"z":42,"b":513,"x":"base64:/wA=",`+
		`"s":"\"é\n\"","e":"b","t":"2026-03-04 05:06:07.000089","d":"2026-01-02","h":"-100:00:01.50","y":2026,"nothing":null}`, s.lines[0])
	require.True(t, json.Valid([]byte(s.lines[0])))
}

// testReturned lets batches come back: their rows are read again, in a new
// generation unless they are sure to be the same.
func testReturned(t *testing.T, m *mariadb.Server) {
	m.Exec("CREATE TABLE d.ret (id INT PRIMARY KEY, v VARCHAR(20))")
	m.Insert("d.ret", 1, 501, func(i int) string { return fmt.Sprintf("%d, 'v%d'", i, i) })
	for _, repeatable := range []bool{true, false} {
		s := newSink()
		checkpoints, _ := store(t)
		c := settings(m, "SELECT * FROM ret WHERE id > ? ORDER BY id LIMIT 200", "id")
		c.Repeatable = repeatable
		s.refuse = 3
		r := start(t, checkpoints, c, s)
		r.until("all rows are acknowledged", func() bool { return r.status().Cursor == `{"from":"500"}` && r.status().Acked == r.status().Read })
		seen := map[string]bool{}
		for _, id := range s.column("id") {
			seen[id] = true
		}
		require.Len(t, seen, 500)
		if repeatable {
			require.Len(t, s.gen, 1)
		}
		before := len(s.gen)
		r.stop()
		r = start(t, checkpoints, c, s)
		m.Exec("INSERT INTO d.ret VALUES (501, 'x')")
		r.until("the next row is there", func() bool { return slices.Contains(s.column("id"), "501") })
		if repeatable {
			require.Len(t, s.gen, 1)
		} else {
			require.Len(t, s.gen, before+1)
		}
		r.stop()
		m.Exec("DELETE FROM d.ret WHERE id = 501")
	}
}

func testRefused(t *testing.T, m *mariadb.Server) {
	m.Exec("CREATE TABLE d.odd (id INT, at DATETIME NULL)", "INSERT INTO d.odd VALUES (1, NULL), (2, '2026-01-01'), (2, '2026-01-02')")
	for _, c := range []struct{ query, column, typ, want string }{
		{"SELECT * FROM odd WHERE id > ? ORDER BY id", "id", "int", "twice"},
		{"SELECT * FROM odd WHERE id > ? ORDER BY id", "nr", "int", "no column nr"},
		{"SELECT * FROM odd WHERE at > ? ORDER BY at DESC", "at", "time", "ORDER BY"},
		{"SELECT * FROM odd WHERE at > ? OR at IS NULL ORDER BY at", "at", "time", "NULL"},
		{"SELECT * FROM odd WHERE ? IS NOT NULL ORDER BY id", "id", "time", "cannot take"},
		{"SELECT * FROM gone WHERE id > ? ORDER BY id", "id", "int", "gone"},
		{"SELECT id FROM odd WHERE id >= 2 AND ? = ? ORDER BY id LIMIT 2", "id", "repeats", "raise the LIMIT"},
	} {
		cfg := settings(m, c.query, c.column)
		cfg.Checkpoint.Type = c.typ
		if c.typ == "repeats" {
			cfg.Checkpoint.Type, cfg.Checkpoint.Repeats = "int", true
		}
		checkpoints, _ := store(t)
		r := start(t, checkpoints, cfg, newSink())
		r.fails(c.want)
		r.stop()
	}
}

// testAway starts without the password, and lets the server end while it is read.
func testAway(t *testing.T, m *mariadb.Server) {
	m.Exec("CREATE TABLE d.away (id INT PRIMARY KEY)", "INSERT INTO d.away VALUES (1)",
		"CREATE USER reader IDENTIFIED BY 'secret'", "GRANT SELECT ON d.* TO reader")
	c := settings(m, "SELECT * FROM away WHERE id > ? ORDER BY id", "id")
	c.User, c.PasswordFile = "reader", t.TempDir()+"/password"
	require.NoError(t, os.WriteFile(c.PasswordFile, []byte("wrong"), 0o600))
	s := newSink()
	checkpoints, _ := store(t)
	r := start(t, checkpoints, c, s)
	r.fails("Access denied")
	require.NoError(t, os.WriteFile(c.PasswordFile, []byte("secret\n"), 0o600))
	r.rows(1)
	r.until("it has no error", func() bool { return r.status().Error == "" })
	m.Kill()
	r.fails("cannot ask")
	m.Run()
	m.Exec("INSERT INTO d.away VALUES (2)")
	r.rows(2)
}

func TestConfig_Validate(t *testing.T) {
	c := Config{Address: "db", Query: "DELETE", TimeZone: "'", Checkpoint: Checkpoint{Start: "x", Type: "int"}}
	c.Timeout = time.Second
	var keys []string
	c.Validate(func(key, problem string) { keys = append(keys, key); require.NotEmpty(t, problem) })
	require.Equal(t, []string{"address", "query", "checkpoint.start", "interval", "time_zone"}, keys)
}

func TestConfig_ComparesAsTheServerDoes(t *testing.T) {
	ints, times := Config{Checkpoint: Checkpoint{Type: "int"}}, Config{Checkpoint: Checkpoint{Type: "time"}}
	f := func(c *Config, ascending ...string) {
		t.Helper()
		for i := range ascending {
			for j := range ascending {
				a, err := c.normal([]byte(ascending[i]))
				require.NoError(t, err)
				b, err := c.normal([]byte(ascending[j]))
				require.NoError(t, err)
				require.Equal(t, i < j, c.compare(a, b) < 0, "%s %s", a, b)
				require.Equal(t, i == j, c.compare(a, b) == 0, "%s %s", a, b)
			}
		}
	}
	f(&ints, "-9223372036854775808", "-10", "-9", "0", "007", "10", "18446744073709551615")
	f(&times, "1999-12-31 23:59:59", "2026-01-01", "2026-01-01 00:00:00.000", "2026-01-01 00:00:00.000001", "2026-01-01 00:00:00.45", "2026-01-01 00:00:00.500")
	for _, bad := range []string{"", "1.5", "1e3", "a"} {
		_, err := ints.normal([]byte(bad))
		require.Error(t, err)
		_, err = times.normal([]byte(bad))
		require.Error(t, err)
	}
}

func FuzzPosition(f *testing.F) {
	p := newPosition("1")
	p.pass("2", identity{1}, further)
	p.pass("2", identity{1}, behind)
	p.pass("3", identity{2}, further)
	f.Add(p.encode())
	f.Add([]byte(`{"from":"x","seen":["*"]}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		p, err := decodePosition(text)
		if err != nil {
			return
		}
		again, err := decodePosition(p.encode())
		require.NoError(t, err)
		require.Equal(t, p.given(), again.given())
	})
}

// TestPosition_FitsInTheCheckpoint is the reason for seenMax.
func TestPosition_FitsInTheCheckpoint(t *testing.T) {
	p := newPosition("2026-01-01 00:00:00.000001")
	for range 2 {
		p.pass(strconv.Itoa(len(p.seen)), identity{}, further)
		for i := range seenMax - 1 {
			p.pass("", identity{1: byte(i), 2: byte(i >> 8), 3: 1}, behind)
		}
	}
	require.True(t, p.full(behind))
	require.Less(t, len(p.encode()), checkpoint.CursorBytesMax)
}
