package binlog

import (
	"database/sql"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wasmtail/wasmtail/internal/mariadb"
)

// columns are types of columns, each with values in SQL. What the binlog gives must be
// what the server shows.
var columns = []struct {
	typ    string
	values []string
}{
	{"TINYINT", []string{"-128", "127"}},
	{"TINYINT UNSIGNED", []string{"200", "0"}},
	{"BOOLEAN", []string{"TRUE"}},
	{"SMALLINT", []string{"-32768"}},
	{"SMALLINT UNSIGNED", []string{"65535"}},
	{"MEDIUMINT", []string{"-8388608", "8388607"}},
	{"MEDIUMINT UNSIGNED", []string{"16777215"}},
	{"INT", []string{"-2147483648"}},
	{"INT UNSIGNED", []string{"4294967295"}},
	{"BIGINT", []string{"-9223372036854775808"}},
	{"BIGINT UNSIGNED", []string{"18446744073709551615"}},
	{"FLOAT", []string{"1.5", "-0.0625"}},
	{"DOUBLE", []string{"3.141592653589793", "-1e300", "0"}},
	{"DECIMAL(10,2)", []string{"5", "-12345678.90", "0.05", "0"}},
	{"DECIMAL(20,0)", []string{"1000000001", "-99999999999999999999"}},
	{"DECIMAL(65,30)", []string{"12345678901234567890123456789012345.000000001000000000000000000001", "-1.5"}},
	{"DECIMAL(9,9)", []string{"0.123456789", "-0.000000001"}},
	{"BIT(1)", []string{"b'1'"}},
	{"BIT(64)", []string{"b'1000000000000000000000000000000000000000000000000000000000000001'"}},
	{"YEAR", []string{"1901", "2155"}},
	{"DATE", []string{"'2026-02-03'", "'0001-01-01'"}},
	{"TIME", []string{"'-838:59:59'", "'00:00:01'", "'100:02:03'"}},
	{"TIME(1)", []string{"'-00:00:00.5'", "'12:13:14.9'"}},
	{"TIME(3)", []string{"'-01:02:03.004'", "'-00:00:00.999'"}},
	{"TIME(6)", []string{"'-838:59:58.999999'", "'01:02:03.000004'"}},
	{"DATETIME", []string{"'9999-12-31 23:59:59'", "'1000-01-01 00:00:00'"}},
	{"DATETIME(2)", []string{"'2026-02-03 04:05:06.07'"}},
	{"DATETIME(5)", []string{"'2026-02-03 04:05:06.00001'"}},
	{"DATETIME(6)", []string{"'2026-02-03 04:05:06.000001'"}},
	{"TIMESTAMP NULL", []string{"'2026-02-03 04:05:06'"}},
	{"TIMESTAMP(4) NULL", []string{"'2026-02-03 04:05:06.0007'"}},
	{"CHAR(10)", []string{"'é x'", "''"}},
	{"CHAR(255)", []string{"REPEAT('é',255)"}},
	{"VARCHAR(20) CHARACTER SET latin1", []string{"'né€'"}},
	{"VARCHAR(20) CHARACTER SET gbk", []string{"'你好'"}},
	{"VARCHAR(20) CHARACTER SET ucs2", []string{"'añ你'"}},
	{"VARCHAR(20) COLLATE ucs2_uca1400_ai_ci", []string{"'añ你'"}},
	{"CHAR(9) CHARACTER SET utf16", []string{"'a😀'"}},
	{"VARCHAR(20) CHARACTER SET sjis", []string{"'日本'"}},
	{"VARCHAR(3000)", []string{"REPEAT('x',3000)"}},
	{"TEXT CHARACTER SET cp1251", []string{"'мир'"}},
	{"TINYTEXT", []string{"'😀'"}},
	{"MEDIUMTEXT", []string{"REPEAT('ab',40000)"}},
	{"LONGTEXT", []string{`'a"\n\\b'`}},
	{"JSON", []string{`'{"a": [1, null, "é"]}'`}},
	{"BLOB", []string{"x'00ff'", "'text'"}},
	{"LONGBLOB", []string{"x'fffefd'"}},
	{"BINARY(4)", []string{"'ab'", "x'ff000000'"}},
	{"VARBINARY(300)", []string{"x'80'", "'ab'"}},
	{"ENUM('a','it''s','é,')", []string{"'it''s'", "'é,'", "'a'"}},
	{"SET('x','y','z')", []string{"'x,z'", "''", "'y'"}},
	{"UUID", []string{"'123e4567-e89b-12d3-a456-426655440000'", "'0190163d-8694-7b9c-9a3b-3f5b8e9c1a2b'"}},
	{"INET6", []string{"'2001:db8::ff00:42:8329'"}},
	{"INT ZEROFILL", []string{"7"}},
	{"INT AS (1+1) PERSISTENT", []string{"DEFAULT"}},
	{"INT AS (1+2) VIRTUAL", []string{"DEFAULT"}},
	{"INT INVISIBLE DEFAULT 3", []string{"4"}},
}

func TestBinlog(t *testing.T) {
	dir := certificates(t)
	m := server(t, "--ssl-ca="+dir+"/ca.pem", "--ssl-cert="+dir+"/server.pem", "--ssl-key="+dir+"/server.key")
	t.Run("Columns", func(t *testing.T) { testColumns(t, m, "cols") })
	t.Run("ColumnsNamedInTheBinlog", func(t *testing.T) {
		m.Exec("SET GLOBAL binlog_row_metadata = FULL")
		defer m.Exec("SET GLOBAL binlog_row_metadata = NO_LOG")
		testColumns(t, m, "named")
	})
	t.Run("Compressed", func(t *testing.T) {
		m.Exec("SET GLOBAL log_bin_compress = ON", "SET GLOBAL log_bin_compress_min_len = 10")
		defer m.Exec("SET GLOBAL log_bin_compress = OFF")
		testColumns(t, m, "packed")
		testChanges(t, m, "packed_changes")
	})
	t.Run("Changes", func(t *testing.T) { testChanges(t, m, "changes") })
	t.Run("Schema", func(t *testing.T) { testSchema(t, m) })
	t.Run("Places", func(t *testing.T) { testPlaces(t, m) })
	t.Run("Returned", func(t *testing.T) { testReturned(t, m) })
	t.Run("Quiet", func(t *testing.T) { testQuiet(t, m) })
	t.Run("Large", func(t *testing.T) { testLarge(t, m) })
	t.Run("Encrypted", func(t *testing.T) { testEncrypted(t, m, dir) })
	t.Run("Restart", func(t *testing.T) { testRestart(t, m) })
	t.Run("Purged", func(t *testing.T) { testPurged(t, m) }) // the last: it drops binlogs
}

// testColumns writes all types of columns, and compares with what the server shows.
func testColumns(t *testing.T, m *mariadb.Server, table string) {
	var define, names []string
	most := 0
	for i, c := range columns {
		define = append(define, fmt.Sprintf("c%d %s", i, c.typ))
		names = append(names, fmt.Sprintf("c%d", i))
		most = max(most, len(c.values))
	}
	m.Exec("CREATE TABLE d." + table + " (id INT PRIMARY KEY, " + strings.Join(define, ", ") + ") ROW_FORMAT=DYNAMIC")
	s := newSink()
	checkpoints, _ := store(t)
	r := start(t, checkpoints, settings(m, "d."+table), s)
	for n := range most + 1 {
		var values []string
		for _, c := range columns {
			switch {
			case n < len(c.values):
				values = append(values, c.values[n])
			case strings.Contains(c.typ, " AS "):
				values = append(values, "DEFAULT")
			default:
				values = append(values, "NULL")
			}
		}
		m.Exec(fmt.Sprintf("INSERT INTO d.%s (id, %s) VALUES (%d, %s)", table, strings.Join(names, ","), n, strings.Join(values, ",")))
	}
	events := r.events(most + 1)
	db := m.Open("d")
	_, err := db.Exec("SET time_zone = '+00:00'")
	require.NoError(t, err)
	for n, e := range events {
		var object map[string]any
		require.NoError(t, json.Unmarshal([]byte(e.line), &object), e.line)
		require.Equal(t, []string{"insert", "d", table, strconv.Itoa(n)}, []string{e.fields["_event"], e.fields["_db"], e.fields["_table"], e.fields["id"]})
		for i, c := range columns {
			compare(t, db, e, object, fmt.Sprintf("c%d", i), c.typ, table, n)
		}
	}
}

func compare(t *testing.T, db *sql.DB, e event, object map[string]any, name, typ, table string, id int) {
	t.Helper()
	if strings.Contains(typ, "VIRTUAL") && e.fields[name] == "" {
		return // some servers do not write them
	}
	shown := name
	switch {
	case strings.HasPrefix(typ, "BIT"):
		shown += "+0"
	case typ == "INT ZEROFILL":
		shown = "CAST(" + name + " AS CHAR)+0"
	case typ == "DOUBLE":
		shown = "CAST(" + name + " AS CHAR)"
	case strings.HasPrefix(typ, "BLOB"), strings.HasPrefix(typ, "LONGBLOB"), strings.Contains(typ, "BINARY"):
		shown = "IF(CONVERT(HEX(" + name + ") USING utf8mb4) REGEXP '^(FF|80|00FF)', CONCAT('base64:', TO_BASE64(" + name + ")), CONVERT(" + name + " USING utf8mb4))"
	}
	var want sql.NullString
	require.NoError(t, db.QueryRow(fmt.Sprintf("SELECT %s FROM %s WHERE id = %d", shown, table, id)).Scan(&want), typ)
	got, is := e.fields[name]
	require.Equal(t, want.Valid, is, "%s is NULL: %v", typ, want)
	if !is {
		require.Nil(t, object[name])
		return
	}
	if table == "named" && (typ == "UUID" || typ == "INET6") {
		require.Contains(t, got, "base64:", "the binlog does not say what it is")
		return
	}
	if typ == "DOUBLE" {
		a, err := strconv.ParseFloat(want.String, 64)
		require.NoError(t, err)
		b, err := strconv.ParseFloat(got, 64)
		require.NoError(t, err)
		require.InDelta(t, a, b, 0)
		return
	}
	require.Equal(t, want.String, got, typ)
	if text, ok := object[name].(string); ok {
		require.Equal(t, got, text, typ)
	}
}

// testChanges has updates, deletions, and what is not a row.
func testChanges(t *testing.T, m *mariadb.Server, table string) {
	s := newSink()
	checkpoints, _ := store(t)
	c := settings(m, "d."+table)
	c.DDL = true
	r := start(t, checkpoints, c, s)
	name := "d." + table
	m.Exec("CREATE TABLE "+name+" (id INT PRIMARY KEY, v VARCHAR(9), _event INT)",
		"INSERT INTO "+name+" VALUES (1, 'a', 1), (2, NULL, NULL)",
		"UPDATE "+name+" SET v = 'b' WHERE id = 1",
		"DELETE FROM "+name+" WHERE id = 2",
		"CREATE TABLE d.beside_"+table+" (id INT)", "INSERT INTO d.beside_"+table+" VALUES (7)",
		"BEGIN; INSERT INTO "+name+" VALUES (3, 'c', 3); INSERT INTO d.beside_"+table+" VALUES (8); INSERT INTO "+name+" VALUES (4, 'd', 4); COMMIT")
	last := m.Text("SELECT @@gtid_binlog_pos")
	events := r.events(8)
	var got []string
	for i, e := range events {
		require.NotZero(t, e.time)
		require.Equal(t, "0-1-", e.fields["_gtid"][:4])
		line := strings.ReplaceAll(e.line, `"`+e.fields["_gtid"]+`"`, "G")
		got = append(got, line)
		if i > 0 {
			require.Greater(t, e.offset, events[i-1].offset)
		}
	}
	head := func(event string) string {
		return `{"_event":"` + event + `","_db":"d","_table":"` + table + `","_gtid":G,`
	}
	require.Equal(t, []string{
		`{"_event":"ddl","_gtid":G,"_db":"","_query":"CREATE TABLE ` + name + ` (id INT PRIMARY KEY, v VARCHAR(9), _event INT)"}`,
		head("insert") + `"id":1,"v":"a","__event":1}`,
		head("insert") + `"id":2,"v":null,"__event":null}`,
		head("update") + `"id":1,"v":"b","__event":1,"_before":{"id":1,"v":"a","__event":1}}`,
		head("delete") + `"id":2,"v":null,"__event":null}`,
		`{"_event":"ddl","_gtid":G,"_db":"","_query":"CREATE TABLE d.beside_` + table + ` (id INT)"}`,
		head("insert") + `"id":3,"v":"c","__event":3}`,
		head("insert") + `"id":4,"v":"d","__event":4}`,
	}, got)
	require.Equal(t, "a", events[3].fields["_before.v"])
	require.Equal(t, events[6].fields["_gtid"], events[7].fields["_gtid"])
	r.until("the cursor is behind the transaction", func() bool {
		return strings.Contains(r.status().Cursor, `"gtid":"`+last+`"`) && !strings.Contains(r.status().Cursor, "records")
	})
}

// testSchema changes a table while it is read, and reads what was written before the
// change after it.
func testSchema(t *testing.T, m *mariadb.Server) {
	s := newSink()
	checkpoints, _ := store(t)
	c := settings(m, "d.schema*")
	r := start(t, checkpoints, c, s)
	m.Exec("CREATE TABLE d.schema1 (id INT UNSIGNED, a VARCHAR(9))", "INSERT INTO d.schema1 VALUES (4294967295, 'x')")
	r.events(1)
	m.Exec("ALTER TABLE d.schema1 ADD COLUMN b INT FIRST", "INSERT INTO d.schema1 VALUES (1, 2, 'y')")
	events := r.events(2)
	require.Equal(t, "4294967295", events[0].fields["id"])
	require.Equal(t, []string{"1", "2", "y"}, []string{events[1].fields["b"], events[1].fields["id"], events[1].fields["a"]})
	r.stop()
	m.Exec("INSERT INTO d.schema1 VALUES (3, 4, 'z')", "ALTER TABLE d.schema1 DROP COLUMN b",
		"CREATE TABLE d.schema2 (id INT)", "INSERT INTO d.schema2 VALUES (9)", "DROP TABLE d.schema2",
		"SET SESSION binlog_format = STATEMENT; INSERT INTO d.schema1 VALUES (5, 's'); SET SESSION binlog_format = ROW")
	r = start(t, checkpoints, c, s)
	events = r.events(5)
	require.Equal(t, map[string]string{"_event": "insert", "_db": "d", "_table": "schema1", "_gtid": events[2].fields["_gtid"], "_schema": "unknown", "col_1": "3", "col_2": "4", "col_3": "z"}, events[2].fields)
	require.Equal(t, "9", events[3].fields["col_1"])
	m.Exec("ALTER TABLE d.schema1 ADD PRIMARY KEY (id)", "SET SESSION binlog_row_image = MINIMAL; UPDATE d.schema1 SET a = 't' WHERE id = 5; SET SESSION binlog_row_image = FULL")
	minimal := r.events(6)[5]
	require.Equal(t, map[string]string{"_event": "update", "_db": "d", "_table": "schema1", "_gtid": minimal.fields["_gtid"], "a": "t", "_before.id": "5"}, minimal.fields)
	require.Equal(t, []string{"statement", "INSERT INTO d.schema1 VALUES (5, 's')"}, []string{events[4].fields["_event"], events[4].fields["_query"]})
}

// testPlaces crashes at every batch of a transaction: what is read again has the places
// it had, though the table was changed meanwhile.
func testPlaces(t *testing.T, m *mariadb.Server) {
	m.Exec("CREATE TABLE d.places (id INT, v TEXT)")
	for _, kind := range []string{"gtid", "file"} {
		c := settings(m, "d.places")
		c.Position = kind
		checkpoints, fs := store(t)
		s := newSink()
		s.hold = true
		r := start(t, checkpoints, c, s)
		m.Exec("INSERT INTO d.places SELECT seq, REPEAT('x', seq) FROM d.seq_1_to_200", "INSERT INTO d.places VALUES (201, 'last')")
		want := r.events(201)
		batches := len(s.held)
		require.Greater(t, batches, 3)
		for n := range batches {
			s.held[n](nil)
			require.NoError(t, checkpoints.Save())
			snapshot := clone(t, fs)
			if n == 2 {
				m.Exec("ALTER TABLE d.places CHANGE v renamed TEXT")
			}
			again := newSink()
			cursor := r.status().Cursor
			var from int
			for from = 0; from < len(want) && want[from].offset < r.status().Acked; from++ {
			}
			if from == len(want) {
				break
			}
			if n < batches-2 {
				require.Contains(t, cursor, fmt.Sprintf(`"records":%d,`, from))
			}
			second := start(t, open(t, snapshot), c, again)
			for i, e := range second.events(201 - from) {
				require.Equal(t, want[from+i].offset, e.offset, cursor)
				require.Equal(t, want[from+i].generation, e.generation)
				require.Equal(t, want[from+i].fields["id"], e.fields["id"])
				if kind == "file" {
					require.Equal(t, want[from+i].fields["_file"]+want[from+i].fields["_pos"], e.fields["_file"]+e.fields["_pos"])
				}
			}
			second.stop()
		}
		r.stop()
		m.Exec("ALTER TABLE d.places CHANGE COLUMN IF EXISTS renamed v TEXT")
	}
}

// testReturned lets batches come back.
func testReturned(t *testing.T, m *mariadb.Server) {
	m.Exec("CREATE TABLE d.ret (id INT)")
	s := newSink()
	s.refuse = 3
	checkpoints, _ := store(t)
	r := start(t, checkpoints, settings(m, "d.ret"), s)
	m.Exec("INSERT INTO d.ret SELECT seq FROM d.seq_1_to_3000")
	r.until("all is acknowledged", func() bool {
		return r.status().Acked == r.status().Read && r.status().Read > 3000 && !strings.Contains(r.status().Cursor, "records")
	})
	seen := map[string]int64{}
	for _, e := range s.all() {
		at, twice := seen[e.fields["id"]]
		require.True(t, !twice || at == e.offset)
		seen[e.fields["id"]] = e.offset
	}
	require.Len(t, seen, 3000)
}

// testQuiet moves the cursor over what is of no interest, and filters.
func testQuiet(t *testing.T, m *mariadb.Server) {
	m.Exec("CREATE TABLE d.quiet (id INT)")
	s := newSink()
	checkpoints, _ := store(t)
	c := settings(m, "d.loud")
	r := start(t, checkpoints, c, s)
	m.Exec("INSERT INTO d.quiet VALUES (1)")
	last := m.Text("SELECT @@gtid_binlog_pos")
	r.until("the cursor has moved", func() bool { return strings.Contains(r.status().Cursor, `"`+last+`"`) })
	require.Empty(t, s.all())
	generation := r.status().Generation
	r.stop()
	c.Include = []string{"d.quiet"}
	r = start(t, checkpoints, c, s)
	m.Exec("INSERT INTO d.quiet VALUES (2)")
	require.Equal(t, "2", r.events(1)[0].fields["id"])
	require.NotEqual(t, generation, r.status().Generation, "its transactions have other records now")
}

// testRestart kills the server while it is followed.
func testRestart(t *testing.T, m *mariadb.Server) {
	m.Exec("CREATE TABLE d.restart (id INT)")
	s := newSink()
	checkpoints, _ := store(t)
	r := start(t, checkpoints, settings(m, "d.restart"), s)
	for i := range 3 {
		m.Insert("d.restart", i*100, i*100+100, strconv.Itoa)
		if i == 0 {
			m.Stop()
		} else {
			m.Kill()
		}
		r.until("the error is shown", func() bool { return r.status().Error != "" })
		m.Run()
	}
	m.Exec("INSERT INTO d.restart VALUES (300)")
	events := r.events(301)
	for i, e := range events {
		require.Equal(t, strconv.Itoa(i), e.fields["id"])
	}
	r.until("the error is gone", func() bool { return r.status().Error == "" })
}

// testPurged drops binlogs that were not read.
func testPurged(t *testing.T, m *mariadb.Server) {
	m.Exec("CREATE TABLE d.purge (id INT)")
	db := m.Open("")
	for _, kind := range []string{"gtid", "file"} {
		m.Exec("TRUNCATE d.purge")
		c := settings(m, "d.purge")
		c.Position = kind
		checkpoints, _ := store(t)
		s := newSink()
		r := start(t, checkpoints, c, s)
		m.Exec("INSERT INTO d.purge VALUES (1)")
		r.events(1)
		r.until("it is acknowledged", func() bool {
			return r.status().Acked == r.status().Read && !strings.Contains(r.status().Cursor, "records")
		})
		r.stop()
		m.Exec("INSERT INTO d.purge VALUES (2)", "FLUSH BINARY LOGS", "INSERT INTO d.purge VALUES (3)")
		r.until("the files are purged", func() bool { // a dump that has just ended may hold them
			m.Exec("PURGE BINARY LOGS BEFORE NOW() + INTERVAL 1 DAY")
			return len(files(t, db)) == 1
		})
		r = start(t, checkpoints, c, s)
		r.until("the error is shown", func() bool { return strings.Contains(r.status().Error, "is not in the binlog any more and is lost") })
		require.Len(t, s.all(), 1)
		r.stop()
		c.OnPurge = "restart_at_earliest"
		r = start(t, checkpoints, c, s)
		require.Equal(t, "3", r.events(2)[1].fields["id"])
		losses := r.lost()
		require.Len(t, losses, 1)
		require.Contains(t, losses[0].Reason, "has purged its binlog from")
		r.until("the error is gone", func() bool { return r.status().Error == "" })
	}
}

// files are the names of the binlogs.
func files(t testing.TB, db *sql.DB) (names []string) {
	t.Helper()
	rows, err := db.Query("SHOW BINARY LOGS")
	require.NoError(t, err)
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var name, size string
		require.NoError(t, rows.Scan(&name, &size))
		names = append(names, name)
	}
	require.NoError(t, rows.Err())
	return names
}
