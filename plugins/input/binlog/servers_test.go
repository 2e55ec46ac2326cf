package binlog

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wasmtail/wasmtail/internal/config"
	"github.com/wasmtail/wasmtail/internal/durable"
	"github.com/wasmtail/wasmtail/internal/mariadb"
)

// TestReplicas goes from a server to its replica.
func TestReplicas(t *testing.T) {
	first := server(t, "--gtid-strict-mode=1")
	second := mariadb.Start(t, "--log-bin=b", "--server-id=2", "--binlog-format=ROW", "--log-slave-updates=1", "--sync-binlog=0", "--gtid-strict-mode=1")
	host, port, err := net.SplitHostPort(first.Addr)
	require.NoError(t, err)
	second.Exec("CHANGE MASTER TO MASTER_HOST='"+host+"', MASTER_PORT="+port+", MASTER_USER='root', MASTER_USE_GTID=slave_pos", "START SLAVE")
	t.Run("ThatIsBehind", func(t *testing.T) { testBehind(t, first, second) })
	t.Run("Failover", func(t *testing.T) { testFailover(t, first, second) }) // the last: it ends the first server
}

// catchUp waits until a replica has all that another server has.
func catchUp(t *testing.T, second, first *mariadb.Server) {
	t.Helper()
	require.Equal(t, "0", second.Text("SELECT MASTER_GTID_WAIT(?, 30)", first.Text("SELECT @@gtid_binlog_pos")))
}

// testBehind goes to one that does not have yet what was read: it is waited for, and
// nothing is called lost.
func testBehind(t *testing.T, first, second *mariadb.Server) {
	first.Exec("CREATE TABLE d.late (id INT PRIMARY KEY)", "INSERT INTO d.late VALUES (1)")
	catchUp(t, second, first)
	second.Exec("STOP SLAVE")
	c := settings(first, "d.late")
	c.OnPurge = "restart_at_earliest"
	checkpoints, _ := store(t)
	s := newSink()
	r := start(t, checkpoints, c, s)
	first.Exec("INSERT INTO d.late VALUES (2), (3)")
	r.events(2)
	r.until("it is acknowledged", r.rested)
	r.stop()
	c.Name, c.Hosts = first.Addr, []string{second.Addr} // with the position that it has
	r = start(t, checkpoints, c, s)
	r.until("the error is shown", func() bool { return strings.Contains(r.status().Error, "not in the master's binlog") })
	second.Exec("START SLAVE")
	first.Exec("INSERT INTO d.late VALUES (4)")
	require.Equal(t, "4", r.events(3)[2].fields["id"])
	require.Empty(t, r.lost())
}

// testFailover follows a server, and goes on at its replica when it is killed, which
// then is written to.
func testFailover(t *testing.T, first, second *mariadb.Server) {
	first.Exec("CREATE TABLE d.moved (id INT PRIMARY KEY)")
	c := settings(first, "d.moved")
	c.Hosts = []string{first.Addr, second.Addr}
	checkpoints, _ := store(t)
	s := newSink()
	r := start(t, checkpoints, c, s)
	for i := range 50 {
		first.Exec(fmt.Sprintf("INSERT INTO d.moved SELECT seq FROM d.seq_%d_to_%d", i*20, i*20+19))
	}
	r.until("some are there", func() bool { return len(s.all()) > 100 })
	catchUp(t, second, first)
	first.Kill()
	second.Exec("STOP SLAVE", "INSERT INTO d.moved SELECT seq FROM d.seq_1000_to_1099")
	for i, e := range r.events(1100) {
		require.Equal(t, strconv.Itoa(i), e.fields["id"])
	}
	r.until("the error is gone", func() bool { return r.status().Error == "" })
	r.until("the position is one of the replica", func() bool { return strings.Contains(r.status().Cursor, "0-2-") })
}

// TestRotationUnderLoad writes while binlogs are rotated, purged as soon as they are
// not needed, and the server is restarted.
func TestRotationUnderLoad(t *testing.T) {
	m := server(t, "--max-binlog-size=65536")
	for _, kind := range []string{"gtid", "file"} {
		t.Run(kind, func(t *testing.T) { testRotation(t, m, kind) })
	}
}

func testRotation(t *testing.T, m *mariadb.Server, kind string) {
	const rows = 20_000
	table := "d.load_" + kind
	m.Exec("CREATE TABLE " + table + " (id INT PRIMARY KEY, v VARCHAR(50))")
	c := settings(m, table)
	c.Position = kind
	checkpoints, _ := store(t)
	s := newSink()
	r := start(t, checkpoints, c, s)
	for from := 0; from < rows; from += 500 {
		m.Insert(table, from, from+500, func(i int) string { return fmt.Sprintf("%d, 'row number %d'", i, i) })
		if from%5000 == 0 {
			// What is followed stays, but only while it is followed.
			r.until("it is followed", func() bool { return len(s.all()) > from })
			m.Exec("FLUSH BINARY LOGS", "PURGE BINARY LOGS BEFORE NOW()")
		}
		if from == rows/2 {
			m.Kill()
			m.Run()
		}
	}
	for i, e := range r.events(rows) {
		require.Equal(t, strconv.Itoa(i), e.fields["id"])
	}
	require.Greater(t, len(files(t, m.Open(""))), 3)
	require.Empty(t, r.lost())
}

// testLarge has values that are cut, and rows that are not read.
func testLarge(t *testing.T, m *mariadb.Server) {
	m.Exec("CREATE TABLE d.large (id INT PRIMARY KEY, v LONGTEXT CHARACTER SET utf8mb4, w JSON)")
	c := settings(m, "d.large")
	c.MaxValueSize, c.MaxEventSize = config.KiB, 64*config.KiB
	checkpoints, _ := store(t)
	s := newSink()
	r := start(t, checkpoints, c, s)
	m.Exec("INSERT INTO d.large VALUES (1, REPEAT('é', 1000), CONCAT('[\"', REPEAT('x', 2000), '\"]'))",
		"INSERT INTO d.large VALUES (2, REPEAT('x', 70000), NULL)",
		"SET GLOBAL max_allowed_packet = 64 << 20")
	db := m.Open("d") // with the new bound
	_, err := db.ExecContext(t.Context(), "INSERT INTO d.large VALUES (3, REPEAT('y', 20 << 20), NULL)")
	require.NoError(t, err)
	m.Exec("UPDATE d.large SET v = 'short' WHERE id = 1")
	testLargeStatement(t, m, r)
	events := r.events(5)[:4]
	require.Equal(t, strings.Repeat("é", 512), events[0].fields["v"])
	require.Equal(t, "v:2000 w:2004", events[0].fields["_truncated"])
	require.Contains(t, events[0].line, `"_truncated":"v:2000 w:2004"`)
	for i, size := range []int{70_000, 20 << 20} {
		e := events[1+i]
		require.Equal(t, []string{"unreadable", "d", "large"}, []string{e.fields["_event"], e.fields["_db"], e.fields["_table"]})
		require.Regexp(t, `^its \d+ bytes are more than max_event_size$`, e.fields["_error"])
		var said int
		_, err := fmt.Sscanf(e.fields["_error"], "its %d bytes", &said)
		require.NoError(t, err)
		require.InDelta(t, size, said, 200)
	}
	require.Equal(t, "short", events[3].fields["v"])
	require.Equal(t, "w:2004 _before.v:2000 _before.w:2004", events[3].fields["_truncated"])
}

// testLargeStatement has a statement that is longer than an event may be only when it
// is unpacked: it is told of, like a row, and what follows is read.
func testLargeStatement(t *testing.T, m *mariadb.Server, r *run) {
	t.Helper()
	m.Exec("SET GLOBAL log_bin_compress = ON")
	defer m.Exec("SET GLOBAL log_bin_compress = OFF")
	m.Exec("SET SESSION binlog_format = STATEMENT; INSERT INTO d.large VALUES (4, '" + strings.Repeat("z", 70_000) + "', NULL); SET SESSION binlog_format = ROW")
	e := r.events(5)[4]
	require.Equal(t, "unreadable", e.fields["_event"])
	require.Contains(t, e.fields["_error"], "more than the 65536 that an event may have")
	r.until("the position is behind it", r.rested)
}

// testEncrypted logs in over TLS with an account that requires it, and does not to a
// server that it cannot know.
func testEncrypted(t *testing.T, m *mariadb.Server, dir string) {
	m.Exec("CREATE TABLE d.secret (id INT)", "CREATE USER reader IDENTIFIED BY 'a secret' REQUIRE SSL",
		"GRANT REPLICATION SLAVE, BINLOG MONITOR ON *.* TO reader", "GRANT SELECT ON d.* TO reader")
	c := settings(m, "d.secret")
	c.User, c.PasswordFile = "reader", filepath.Join(dir, "password")
	require.NoError(t, durable.WriteFile(durable.OS{}, c.PasswordFile, []byte("a secret\n")))
	c.TLS.Enabled, c.TLS.CAFile = true, filepath.Join(dir, "ca.pem")
	checkpoints, _ := store(t)
	s := newSink()
	r := start(t, checkpoints, c, s)
	m.Exec("INSERT INTO d.secret VALUES (1)")
	require.Equal(t, "1", r.events(1)[0].fields["id"])
	r.stop()

	m.Exec("INSTALL SONAME 'auth_ed25519'", "CREATE USER signer IDENTIFIED VIA ed25519 USING PASSWORD('a secret')",
		"GRANT REPLICATION SLAVE, BINLOG MONITOR ON *.* TO signer", "GRANT SELECT ON d.* TO signer")
	signer := c
	signer.User, signer.TLS.Enabled, signer.TLS.CAFile = "signer", false, ""
	r = start(t, checkpoints, signer, s)
	m.Exec("INSERT INTO d.secret VALUES (2)")
	require.Equal(t, "2", r.events(2)[1].fields["id"])
	r.stop()

	for problem, change := range map[string]func(*Config){
		"certificate":          func(c *Config) { c.TLS.CAFile = filepath.Join(dir, "other.pem") },
		"Access denied":        func(c *Config) { c.TLS.Enabled, c.TLS.CAFile = false, "" },
		"(using password: NO)": func(c *Config) { c.PasswordFile = "" },
	} {
		broken := c
		change(&broken)
		again := begin(t, checkpoints, broken, newSink())
		again.until("it is refused", func() bool { return again.status().Error != "" })
		require.Contains(t, again.status().Error, problem)
		again.stop()
	}
}

// certificates makes a folder with an authority, another one, and a certificate of
// 127.0.0.1.
func certificates(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	write := func(name, kind string, der []byte) {
		require.NoError(t, durable.WriteFile(durable.OS{}, filepath.Join(dir, name), pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})))
	}
	var ca *x509.Certificate
	var caKey *ecdsa.PrivateKey
	for _, name := range []string{"other", "ca"} {
		var err error
		caKey, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		require.NoError(t, err)
		ca = &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
		der, err := x509.CreateCertificate(rand.Reader, ca, ca, &caKey.PublicKey, caKey)
		require.NoError(t, err)
		write(name+".pem", "CERTIFICATE", der)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "server"}, NotBefore: ca.NotBefore, NotAfter: ca.NotAfter, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}, ca, &key.PublicKey, caKey)
	require.NoError(t, err)
	write("server.pem", "CERTIFICATE", der)
	private, err := x509.MarshalPKCS8PrivateKey(key)
	require.NoError(t, err)
	write("server.key", "PRIVATE KEY", private)
	require.NoError(t, os.Chmod(dir, 0o755))
	return dir
}
