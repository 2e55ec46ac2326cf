// Package mariadb starts MariaDB servers for tests: real ones, of the programs
// that Debian's package mariadb-server installs, each with a folder of its own.
//
// A server ends with its test, and with the process of the test. There is one
// goroutine for each, which waits for the process.
package mariadb

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"
)

// patience is how long a start or an end may take on a busy machine.
const patience = 60 * time.Second

// Server is a server that listens on a port of the loopback and has no other user
// than root, who needs no password.
type Server struct {
	t    testing.TB
	dir  string
	args []string
	// Addr is host and port. It stays the same over restarts.
	Addr string
	cmd  *exec.Cmd
	done chan struct{}
	db   *sql.DB
}

// Start makes a folder and starts a server on it with further arguments, such as
// "--log-bin=b". A program that is missing fails the test.
func Start(t testing.TB, args ...string) *Server {
	t.Helper()
	dir, err := os.MkdirTemp("", "wasmtail-mariadb")
	must(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	l, err := new(net.ListenConfig).Listen(context.Background(), "tcp", "127.0.0.1:0")
	must(t, err)
	s := &Server{t: t, dir: dir, args: args, Addr: l.Addr().String()}
	must(t, l.Close())
	cmd := exec.CommandContext(context.Background(), program(t, "mariadb-install-db"), "--no-defaults", "--datadir="+filepath.Join(dir, "data"), //nolint:gosec // the arguments are the test's
		"--user="+me(t), "--skip-test-db", "--auth-root-authentication-method=normal")
	out, err := cmd.CombinedOutput()
	must(t, err, string(out))
	s.Run()
	t.Cleanup(s.Kill)
	return s
}

func must(t testing.TB, err error, more ...string) {
	t.Helper()
	if err != nil {
		t.Error(err, strings.Join(more, "\n"))
		t.FailNow()
	}
}

func program(t testing.TB, name string) string {
	t.Helper()
	for _, dir := range append(filepath.SplitList(os.Getenv("PATH")), "/usr/sbin") {
		if path := filepath.Join(dir, name); exec.Command(path, "--version").Run() == nil { //nolint:gosec,noctx // one of two names
			return path
		}
	}
	must(t, errors.New("cannot find "+name+": install the package mariadb-server"))
	return ""
}

func me(t testing.TB) string {
	t.Helper()
	u, err := user.Current()
	must(t, err)
	return u.Username
}

// Run starts the server again after Stop or Kill, and waits until it answers.
func (s *Server) Run() {
	s.t.Helper()
	_, port, err := net.SplitHostPort(s.Addr)
	must(s.t, err)
	args := append([]string{
		"--no-defaults", "--datadir=" + filepath.Join(s.dir, "data"), "--user=" + me(s.t), "--socket=" + filepath.Join(s.dir, "s"),
		"--port=" + port, "--bind-address=127.0.0.1", "--skip-name-resolve", "--innodb-buffer-pool-size=32M",
		"--innodb-flush-log-at-trx-commit=2", "--log-error=" + filepath.Join(s.dir, "error.log"),
	}, s.args...)
	s.cmd = exec.CommandContext(context.Background(), program(s.t, "mariadbd"), args...) //nolint:gosec // the arguments are the test's
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	must(s.t, s.cmd.Start())
	s.done = make(chan struct{})
	go func(cmd *exec.Cmd, done chan struct{}) {
		defer close(done)
		_ = cmd.Wait()
	}(s.cmd, s.done)
	s.db = s.Open("")
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(patience)
	for s.db.PingContext(context.Background()) != nil {
		select {
		case <-tick.C:
		case <-s.done:
			must(s.t, errors.New("mariadbd has ended"), s.log())
		case <-deadline:
			must(s.t, errors.New("mariadbd does not answer"), s.log())
		}
	}
}

func (s *Server) log() string {
	text, _ := os.ReadFile(filepath.Join(s.dir, "error.log"))
	return string(text)
}

// Stop ends the server in order.
func (s *Server) Stop() { s.end(syscall.SIGTERM) }

// Kill ends the server at once.
func (s *Server) Kill() { s.end(syscall.SIGKILL) }

func (s *Server) end(sig syscall.Signal) {
	if s.db != nil {
		_ = s.db.Close()
	}
	_ = s.cmd.Process.Signal(sig)
	select {
	case <-s.done:
	case <-time.After(patience):
		s.t.Errorf("mariadbd does not end after %s", sig)
	}
}

// Open returns connections of root to a database.
func (s *Server) Open(database string) *sql.DB {
	c := mysql.NewConfig()
	c.User, c.Net, c.Addr, c.DBName = "root", "tcp", s.Addr, database
	c.InterpolateParams, c.MultiStatements = true, true
	c.Logger = &mysql.NopLogger{}
	connector, err := mysql.NewConnector(c)
	must(s.t, err)
	db := sql.OpenDB(connector)
	s.t.Cleanup(func() { _ = db.Close() })
	return db
}

// Exec runs statements, each on any connection, and requires that they succeed.
func (s *Server) Exec(statements ...string) {
	s.t.Helper()
	for _, q := range statements {
		_, err := s.db.ExecContext(context.Background(), q)
		must(s.t, err, q)
	}
}

// Text is the first column of the first row of a query.
func (s *Server) Text(query string, args ...any) string {
	s.t.Helper()
	var v sql.NullString
	must(s.t, s.db.QueryRowContext(context.Background(), query, args...).Scan(&v), query)
	return v.String
}

// Insert adds the rows [from, to) to a table, a thousand in a statement. row is the
// text between the parentheses of each.
func (s *Server) Insert(table string, from, to int, row func(i int) string) {
	s.t.Helper()
	for from < to {
		var q strings.Builder
		q.WriteString("INSERT INTO " + table + " VALUES ")
		for n := 0; n < 1000 && from < to; n++ {
			if n > 0 {
				q.WriteByte(',')
			}
			fmt.Fprintf(&q, "(%s)", row(from))
			from++
		}
		s.Exec(q.String())
	}
}
