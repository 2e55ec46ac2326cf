package binlog

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"github.com/wasmtail/wasmtail/internal/mysqlserver"
	"github.com/wasmtail/wasmtail/internal/replication"
)

// source is a server, as far as it is asked questions.
type source struct {
	db       *sql.DB
	address  string
	mariaDB  bool
	checksum bool
	rowsOnly bool           // no statements that change rows
	charsets map[int]string // of collations
}

// ask connects to a server and learns what it is.
func ask(ctx context.Context, c *Config, address string) (*source, error) {
	db, err := c.Open(mysqlserver.Target{Address: address})
	if err != nil {
		return nil, err
	}
	s := &source{db: db, address: address}
	if err := s.learn(ctx, c); err != nil {
		_ = db.Close()
		return nil, err
	}
	return s, nil
}

func (s *source) learn(ctx context.Context, c *Config) error {
	var version, format, checksum string
	var on bool
	err := s.db.QueryRowContext(ctx, "SELECT @@global.version, @@global.log_bin, @@global.binlog_format, @@global.binlog_checksum").Scan(&version, &on, &format, &checksum)
	if err != nil {
		return fmt.Errorf("cannot ask the server %s: %w", s.address, err)
	}
	if !on {
		return fmt.Errorf("the server %s writes no binlog: set log_bin in its configuration", s.address)
	}
	s.mariaDB = strings.Contains(version, "MariaDB")
	s.checksum = strings.EqualFold(checksum, "CRC32")
	s.rowsOnly = format == "ROW"
	if !s.mariaDB && c.Position == "gtid" {
		var mode string
		if err := s.db.QueryRowContext(ctx, "SELECT @@global.gtid_mode").Scan(&mode); err != nil || mode != "ON" {
			return fmt.Errorf("the server %s has no GTIDs: set gtid_mode=ON in its configuration, or position: file here", s.address)
		}
	}
	return s.learnCharsets(ctx)
}

// learnCharsets asks for the character sets of collations. Since 10.10, MariaDB has
// those of some only where any other server has no numbers.
func (s *source) learnCharsets(ctx context.Context) error {
	s.charsets = map[int]string{}
	err := s.collations(ctx, "COLLATIONS")
	if err == nil && s.mariaDB {
		_ = s.collations(ctx, "COLLATION_CHARACTER_SET_APPLICABILITY") // an older one
	}
	return err
}

func (s *source) collations(ctx context.Context, table string) error {
	rows, err := s.db.QueryContext(ctx, "SELECT ID, CHARACTER_SET_NAME FROM information_schema."+table+" WHERE ID IS NOT NULL AND CHARACTER_SET_NAME IS NOT NULL") //nolint:gosec // one of two tables
	if err != nil {
		return fmt.Errorf("cannot ask the server %s for its collations: %w", s.address, err)
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var id int
		var name string
		if err := rows.Scan(&id, &name); err != nil {
			return fmt.Errorf("cannot ask the server %s for its collations: %w", s.address, err)
		}
		s.charsets[id] = name
	}
	return rows.Err()
}

// text is the one value of a query.
func (s *source) text(ctx context.Context, query string, args ...any) (string, error) {
	var v sql.NullString
	if err := s.db.QueryRowContext(ctx, query, args...).Scan(&v); err != nil {
		return "", fmt.Errorf("cannot ask the server %s: %w", s.address, err)
	}
	return v.String, nil
}

// place is the first two columns of the first row of a statement: a file and a number.
func (s *source) place(ctx context.Context, statement string) (file string, at uint64, err error) {
	rows, err := s.db.QueryContext(ctx, statement)
	if err != nil {
		return "", 0, fmt.Errorf("cannot ask the server %s: %w (MariaDB wants BINLOG MONITOR for that, MySQL REPLICATION CLIENT)", s.address, err)
	}
	defer func() { _ = rows.Close() }()
	names, err := rows.Columns()
	if err != nil || len(names) < 2 || !rows.Next() {
		return "", 0, errors.Join(fmt.Errorf("cannot learn from the server %s where its binlog is", s.address), err, rows.Err())
	}
	values, targets := make([]sql.RawBytes, len(names)), make([]any, len(names))
	for i := range values {
		targets[i] = &values[i]
	}
	if err := rows.Scan(targets...); err != nil {
		return "", 0, fmt.Errorf("cannot learn from the server %s where its binlog is: %w", s.address, err)
	}
	at, err = strconv.ParseUint(string(values[1]), 10, 64)
	if err != nil {
		return "", 0, fmt.Errorf("cannot learn from the server %s where its binlog is: %w", s.address, err)
	}
	return string(values[0]), at, nil
}

// firstPlace is where a file of a binlog begins.
const firstPlace = 4

// find returns the position that a start_at stands for.
func (s *source) find(ctx context.Context, c *Config, start string) (*position, error) {
	if c.Position == "file" {
		return s.findFile(ctx, start)
	}
	var query string
	switch {
	case start == "latest" && s.mariaDB:
		query = "SELECT @@global.gtid_binlog_pos"
	case start == "latest":
		query = "SELECT @@global.gtid_executed"
	case start == "earliest" && s.mariaDB:
		file, _, err := s.place(ctx, "SHOW BINARY LOGS")
		if err != nil {
			return nil, err
		}
		text, err := s.text(ctx, "SELECT BINLOG_GTID_POS(?, ?)", file, firstPlace)
		if err != nil {
			return nil, err
		}
		return s.parse(text)
	case start == "earliest":
		query = "SELECT @@global.gtid_purged"
	default:
		return s.parse(start)
	}
	text, err := s.text(ctx, query)
	if err != nil {
		return nil, err
	}
	return s.parse(text)
}

func (s *source) parse(text string) (*position, error) {
	known, err := replication.ParseSet(text, !s.mariaDB)
	if err != nil {
		return nil, fmt.Errorf("cannot use the position of the server %s: %w", s.address, err)
	}
	return &position{known: known}, nil
}

func (s *source) findFile(ctx context.Context, start string) (*position, error) {
	switch start {
	case "earliest":
		file, _, err := s.place(ctx, "SHOW BINARY LOGS")
		return &position{file: file, at: firstPlace}, err
	case "latest":
		file, at, err := s.place(ctx, "SHOW MASTER STATUS")
		if err != nil { // the name since MySQL 8.4
			file, at, err = s.place(ctx, "SHOW BINARY LOG STATUS")
		}
		return &position{file: file, at: at}, err
	}
	m := filePlaceRE.FindStringSubmatch(start)
	if m == nil {
		return nil, fmt.Errorf("cannot use the position %q", start)
	}
	at, err := strconv.ParseUint(m[2], 10, 32)
	if err != nil {
		return nil, fmt.Errorf("cannot use the position %q: %w", start, err)
	}
	return &position{file: m[1], at: at}, nil
}

// dump connects to the server as a replica, and asks for what follows p.
func (s *source) dump(ctx context.Context, c *Config, serverID uint32, p *position) (*replication.Conn, error) {
	conn, err := replication.Dial(ctx, s.address, &c.Account)
	if err != nil {
		return nil, err
	}
	if err := s.request(conn, c, serverID, p); err != nil {
		conn.Close()
		return nil, err
	}
	return conn, nil
}

func (s *source) request(conn *replication.Conn, c *Config, serverID uint32, p *position) error {
	statements := []string{
		"SET @master_binlog_checksum = @@global.binlog_checksum, @source_binlog_checksum = @@global.binlog_checksum",
		fmt.Sprintf("SET @master_heartbeat_period = %d, @source_heartbeat_period = %d", c.Heartbeat.Nanoseconds(), c.Heartbeat.Nanoseconds()),
	}
	if s.mariaDB {
		statements = append(statements, "SET @mariadb_slave_capability = 4")
		if p.known != nil {
			statements = append(statements, "SET @slave_connect_state = '"+p.known.String()+"'", "SET @slave_gtid_strict_mode = 0", "SET @slave_gtid_ignore_duplicates = 0")
		}
	}
	for _, statement := range statements {
		if err := conn.Exec(statement); err != nil {
			return err
		}
	}
	r := replication.Replica{ServerID: serverID, EventMax: int(c.MaxEventSize)}
	switch {
	case p.known == nil:
		return conn.Dump(r, p.file, uint32(p.at))
	case s.mariaDB:
		return conn.Dump(r, "", firstPlace)
	}
	return conn.DumpGTID(r, p.known)
}

// errGone is that a table is not there any more, or is not shown to the account.
var errGone = errors.New("the server does not show the table")

// describe adds to t what the server says now about its columns. The error is errGone
// if that cannot be about what the binlog has.
func (s *source) describe(ctx context.Context, t *replication.Table) error {
	rows, err := s.db.QueryContext(ctx, "SELECT COLUMN_NAME, DATA_TYPE, COLUMN_TYPE, COALESCE(CHARACTER_SET_NAME, 'binary'), EXTRA FROM information_schema.COLUMNS "+
		"WHERE TABLE_SCHEMA = ? AND TABLE_NAME = ? ORDER BY ORDINAL_POSITION", t.Database, t.Name)
	if err != nil {
		return fmt.Errorf("cannot ask the server %s for the columns of %s.%s: %w", s.address, t.Database, t.Name, err)
	}
	defer func() { _ = rows.Close() }()
	var all, stored []declared
	for rows.Next() {
		var d declared
		if err := rows.Scan(&d.name, &d.data, &d.column, &d.charset, &d.extra); err != nil {
			return fmt.Errorf("cannot ask the server %s for the columns of %s.%s: %w", s.address, t.Database, t.Name, err)
		}
		all = append(all, d)
		if !strings.Contains(strings.ToUpper(d.extra), "VIRTUAL") {
			stored = append(stored, d)
		}
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("cannot ask the server %s for the columns of %s.%s: %w", s.address, t.Database, t.Name, err)
	}
	for _, list := range [][]declared{all, stored} {
		if fits(t, list) {
			for i := range list {
				list[i].describe(&t.Columns[i])
			}
			return nil
		}
	}
	return errGone
}

func fits(t *replication.Table, list []declared) bool {
	if len(list) != len(t.Columns) {
		return false
	}
	for i := range list {
		if !t.Columns[i].Fits(list[i].data) {
			return false
		}
	}
	return true
}

// declared is a column as information_schema shows it.
type declared struct{ name, data, column, charset, extra string }

var memberRE = regexp.MustCompile(`'((?:[^']|'')*)'`)

func (d *declared) describe(c *replication.Column) {
	c.Name, c.Charset, c.Declared = d.name, d.charset, d.data
	c.Unsigned = strings.Contains(d.column, "unsigned")
	if d.data != "enum" && d.data != "set" {
		return
	}
	c.Members = nil
	for _, m := range memberRE.FindAllStringSubmatch(d.column, -1) {
		c.Members = append(c.Members, strings.ReplaceAll(m[1], "''", "'"))
	}
}
