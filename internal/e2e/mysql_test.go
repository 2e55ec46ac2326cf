package e2e

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wasmtail/wasmtail/internal/mariadb"
)

// TestMySQLAfterKills changes a table that the agent follows by its binlog and asks
// for by a query. The agent is killed again and again, and the server too: the hub has
// each change and each row, once.
func TestMySQLAfterKills(t *testing.T) {
	t.Parallel()
	const rounds, inserts, updates = 60, 300, 50
	m := mariadb.Start(t, "--log-bin=b", "--server-id=1", "--binlog-format=ROW", "--max-binlog-size=262144")
	m.Exec("CREATE DATABASE shop", "CREATE TABLE shop.orders (id INT PRIMARY KEY, version INT NOT NULL, note VARCHAR(100))",
		"CREATE TABLE shop.log (id INT PRIMARY KEY AUTO_INCREMENT, note VARCHAR(100))")
	h := startHub(t)
	a := newAgent(t, h, `
  changes:
    input: {type: mysql_binlog, hosts: ["`+m.Addr+`"], user: root, include: [shop.orders], heartbeat: 1s}
    outputs: [hub]
    logstore: changes
  rows:
    input: {type: mysql, address: "`+m.Addr+`", database: shop, user: root, interval: 200ms, repeatable: true, checkpoint: {column: id}, query: "SELECT * FROM log WHERE id > ? ORDER BY id LIMIT 700"}
    outputs: [hub]
    logstore: rows
`)
	a.start(t)
	random := rand.New(rand.NewPCG(1, 5))
	for round := range rounds {
		from := round * inserts
		m.Insert("shop.orders", from, from+inserts, func(i int) string { return fmt.Sprintf("%d, 0, 'order %d'", i, i) })
		m.Exec(fmt.Sprintf("UPDATE shop.orders SET version = version + 1 WHERE id BETWEEN %d AND %d", from, from+updates-1))
		m.Insert("shop.log (note)", from, from+inserts, func(i int) string { return fmt.Sprintf("'entry %d'", i) })
		switch {
		case round == rounds/2:
			m.Kill()
			m.Run()
		case round%6 == 5:
			<-time.After(time.Duration(random.IntN(400)) * time.Millisecond) // any moment
			a.kill()
			a.start(t)
		}
	}
	const changes, rows = rounds * (inserts + updates), rounds * inserts
	h.eventually("all is there", func() bool {
		return len(h.records(t, "changes")) >= changes && len(h.records(t, "rows")) >= rows
	})
	seen := map[string]bool{}
	for _, r := range h.records(t, "changes") {
		key := r["_event"] + " " + r["id"] + " " + r["version"]
		require.False(t, seen[key], "%s is there twice", key)
		require.Equal(t, "order "+r["id"], r["note"])
		seen[key] = true
	}
	require.Len(t, seen, changes)
	for i := range rounds * inserts {
		require.True(t, seen[fmt.Sprintf("insert %d 0", i)], i)
		require.Equal(t, i%inserts < updates, seen[fmt.Sprintf("update %d 1", i)], i)
	}
	seen = map[string]bool{}
	for _, r := range h.records(t, "rows") {
		require.False(t, seen[r["id"]], "row %s is there twice", r["id"])
		seen[r["id"]] = true
	}
	require.Len(t, seen, rows)
}
