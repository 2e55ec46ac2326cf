package binlog

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wasmtail/wasmtail/internal/mariadb"
)

// TestWhatIsReadIsWhatHappened lets sessions change tables of several engines at
// random, in transactions, some of which are taken back in part or as a whole, while
// the input is stopped and started. Done over again, what was read must give the
// tables, and each row must be as it was before its change.
func TestWhatIsReadIsWhatHappened(t *testing.T) {
	m := server(t, "--max-binlog-size=65536")
	for i, engine := range modelEngines {
		m.Exec(fmt.Sprintf("CREATE TABLE d.model%d (id INT PRIMARY KEY, v VARCHAR(20)) ENGINE=%s", i, engine))
	}
	for seed := range uint64(4) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) { testModel(t, m, seed) })
	}
}

var modelEngines = []string{"InnoDB", "InnoDB", "MyISAM", "Aria TRANSACTIONAL=0"}

func testModel(t *testing.T, m *mariadb.Server, seed uint64) {
	random := rand.New(rand.NewPCG(seed, 1))
	state := map[string]string{}
	for i := range modelEngines {
		m.Exec(fmt.Sprintf("DELETE FROM d.model%d", i))
	}
	c := settings(m, "d.model*")
	c.Position = []string{"gtid", "file"}[seed%2]
	c.Name = fmt.Sprint("model ", seed)
	checkpoints, _ := store(t)
	s := newSink()
	r := start(t, checkpoints, c, s)
	conn, err := m.Open("d").Conn(t.Context())
	require.NoError(t, err)
	defer func() { _ = conn.Close() }()
	run := func(statement string) {
		_, err := conn.ExecContext(context.WithoutCancel(t.Context()), statement)
		require.NoError(t, err, statement)
	}
	for n := range 150 {
		transaction(random, n, run)
		if random.IntN(20) == 0 {
			r.stop()
			r = start(t, checkpoints, c, s)
		}
	}
	run("INSERT INTO model0 VALUES (-1, 'last')")
	r.until("the last row is there", func() bool {
		all := s.all()
		return len(all) > 0 && all[len(all)-1].fields["id"] == "-1"
	})
	r.stop()
	for _, group := range transactions(s.all()) {
		for _, e := range group {
			replay(t, state, e)
		}
	}
	require.Equal(t, shown(t, m), state)
}

// transactions are the changes, by transaction, without those that were taken back.
func transactions(all []event) (groups [][]event) {
	gtid, savepoint := "", 0
	for _, e := range all {
		if e.fields["_gtid"] != gtid {
			groups, gtid, savepoint = append(groups, nil), e.fields["_gtid"], 0
		}
		group := &groups[len(groups)-1]
		switch query := e.fields["_query"]; {
		case e.fields["_event"] == "savepoint":
			savepoint = len(*group)
		case query == "ROLLBACK":
			*group = nil
		case e.fields["_event"] == "rollback":
			*group = (*group)[:savepoint]
		default:
			*group = append(*group, e)
		}
	}
	return groups
}

// transaction runs some statements in a transaction of a kind.
func transaction(random *rand.Rand, n int, exec func(string)) {
	change := func() { exec(randomChange(random)) }
	switch kind := random.IntN(12); kind {
	case 0, 1, 2: // each statement is its own
		change()
	case 3:
		exec(fmt.Sprintf("XA START 'x%d'", n))
		exec(fmt.Sprintf("REPLACE INTO model1 VALUES (%d, 'xa')", random.IntN(30)))
		exec(fmt.Sprintf("XA END 'x%d'", n))
		exec(fmt.Sprintf("XA PREPARE 'x%d'", n))
		exec(fmt.Sprintf("XA COMMIT 'x%d'", n))
	case 4:
		exec(fmt.Sprintf("CREATE TABLE made%d SELECT id, v FROM model0", n))
		exec(fmt.Sprintf("DROP TABLE made%d", n))
	case 5:
		exec(fmt.Sprintf("ALTER TABLE model1 MODIFY v VARCHAR(%d)", 20+random.IntN(200)))
	default:
		exec("BEGIN")
		for range random.IntN(5) {
			change()
		}
		if kind > 8 {
			exec("REPLACE INTO model0 VALUES (-7, 'kept')") // of an engine that has them
			exec("SAVEPOINT s")
			change()
			exec("ROLLBACK TO s")
			change()
		}
		exec([]string{"COMMIT", "COMMIT", "ROLLBACK"}[random.IntN(3)])
	}
}

func randomChange(random *rand.Rand) string {
	table, id := random.IntN(len(modelEngines)), random.IntN(30)
	switch random.IntN(5) {
	case 0:
		return fmt.Sprintf("DELETE FROM model%d WHERE id BETWEEN %d AND %d", table, id, id+random.IntN(5))
	case 1:
		return fmt.Sprintf("UPDATE model%d SET v = CONCAT('u', id, '.', %d) WHERE id > %d", table, random.IntN(100), id)
	case 2:
		return fmt.Sprintf("INSERT IGNORE INTO model%d SELECT seq, 's' FROM seq_%d_to_%d", table, id, id+random.IntN(40))
	case 3:
		return fmt.Sprintf("INSERT INTO model%d VALUES (%d, NULL) ON DUPLICATE KEY UPDATE v = 'twice'", table, id)
	}
	return fmt.Sprintf("REPLACE INTO model%d VALUES (%d, 'r%d')", table, id, random.IntN(100))
}

// replay does to the state what was done to a row, which must be there as it was.
func replay(t *testing.T, state map[string]string, e event) {
	t.Helper()
	value := func(prefix string) string {
		v, is := e.fields[prefix+"v"]
		return fmt.Sprintf("%s %v", v, is)
	}
	key := e.fields["_table"] + " " + e.fields["id"]
	before, exists := state[key]
	switch e.fields["_event"] {
	case "insert":
		require.False(t, exists, "%s is inserted a second time: %s", key, e.line)
		state[key] = value("")
	case "update":
		old := e.fields["_table"] + " " + e.fields["_before.id"]
		require.Equal(t, state[old], value("_before."), e.line)
		delete(state, old)
		state[key] = value("")
	case "delete":
		require.True(t, exists && before == value(""), "%s was %q: %s", key, before, e.line)
		delete(state, key)
	default:
		require.Fail(t, "an event of another kind", e.line)
	}
}

// shown is what the server has.
func shown(t *testing.T, m *mariadb.Server) map[string]string {
	t.Helper()
	state := map[string]string{}
	db := m.Open("d")
	for i := range modelEngines {
		rows, err := db.QueryContext(t.Context(), fmt.Sprintf("SELECT id, COALESCE(v, ''), v IS NOT NULL FROM model%d", i))
		require.NoError(t, err)
		for rows.Next() {
			var id, v, is string
			require.NoError(t, rows.Scan(&id, &v, &is))
			state[fmt.Sprintf("model%d %s", i, id)] = v + " " + strings.NewReplacer("1", "true", "0", "false").Replace(is)
		}
		require.NoError(t, rows.Err())
		require.NoError(t, rows.Close())
	}
	return state
}
