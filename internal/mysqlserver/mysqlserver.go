// Package mysqlserver reaches MySQL and MariaDB servers: the settings of an account
// and of TLS, connections for queries, and how long to wait before the next try.
//
// It starts no goroutines of its own; database/sql has some for a DB that is open.
package mysqlserver

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"strings"
	"time"

	"github.com/go-sql-driver/mysql"

	"github.com/wasmtail/wasmtail/internal/config"
)

// Account is how an input logs in to a server.
type Account struct {
	// User is the name of the account.
	User string `yaml:"user" required:"true" example:"wasmtail"`
	// Password of the account. It is best taken from a file or the environment.
	Password config.Secret `yaml:"password" example:"${env:WASMTAIL_MYSQL_PASSWORD}"`
	// PasswordFile holds the password, in place of password. It is read at every
	// login, so that the password can be changed while the agent runs; a line end
	// behind it is left out.
	PasswordFile string `yaml:"password_file" path:"true" example:"/etc/wasmtail/mysql.password"`
	// TLS says whether the connection is encrypted, and how to know the server.
	TLS TLS `yaml:"tls"`
	// Timeout bounds connecting and logging in, and each step after that.
	Timeout time.Duration `yaml:"timeout" default:"30s" example:"10s"`
}

// TLS says whether connections are encrypted, and how the server proves who it is.
type TLS struct {
	// Enabled encrypts the connection. Without it, the password is not readable on
	// the way, but the data are.
	Enabled bool `yaml:"enabled" default:"false" example:"true"`
	// CAFile is a file of certificates in PEM form. With it, only servers with a
	// certificate from one of these authorities are trusted; without it, those the
	// system trusts.
	CAFile string `yaml:"ca_file" path:"true" example:"/etc/wasmtail/mysql-ca.pem"`
	// CertFile is the agent's own certificate in PEM form, for accounts that require
	// one. It needs `key_file` too.
	CertFile string `yaml:"cert_file" path:"true" example:"/etc/wasmtail/agent.pem"`
	// KeyFile is the private key of `cert_file` in PEM form. Only the agent should be
	// able to read it.
	KeyFile string `yaml:"key_file" path:"true" example:"/etc/wasmtail/agent.key"`
	// ServerName is the name that the server's certificate must have, if it is not
	// the host of its address.
	ServerName string `yaml:"server_name" example:"db.internal"`
	// InsecureSkipVerify accepts any certificate. Whoever is between the agent and
	// the server can then read and change everything.
	InsecureSkipVerify bool `yaml:"insecure_skip_verify" default:"false" example:"false"`
}

// Validate reports settings that cannot work.
func (a *Account) Validate(report func(key, problem string)) {
	if a.Password != "" && a.PasswordFile != "" {
		report("password_file", "stands in place of password: give either")
	}
	if a.Timeout < time.Second {
		report("timeout", "must be at least 1s")
	}
	t := &a.TLS
	if !t.Enabled && (t.CAFile != "" || t.CertFile != "" || t.KeyFile != "" || t.ServerName != "" || t.InsecureSkipVerify) {
		report("tls.enabled", "must be true for the other settings of tls to mean anything")
	}
	if (t.CertFile == "") != (t.KeyFile == "") {
		report("tls.key_file", "and cert_file need each other")
	}
	if t.InsecureSkipVerify && t.CAFile != "" {
		report("tls.insecure_skip_verify", "makes ca_file useless: leave out one of them")
	}
}

// CheckAddress is an error for what is not host:port, or the path of a socket.
func CheckAddress(address string) error {
	if strings.HasPrefix(address, "/") {
		return nil
	}
	host, port, err := net.SplitHostPort(address)
	if err != nil || host == "" || port == "" {
		return errors.New("must be a host and a port, such as db1:3306, or the path of a socket")
	}
	return nil
}

// Network is the network of an address: tcp, or unix for a path.
func Network(address string) string {
	if strings.HasPrefix(address, "/") {
		return "unix"
	}
	return "tcp"
}

// Secret returns the password, from its file if it has one.
func (a *Account) Secret() (string, error) {
	if a.PasswordFile == "" {
		return a.Password.Reveal(), nil
	}
	text, err := os.ReadFile(a.PasswordFile)
	if err != nil {
		return "", fmt.Errorf("cannot read the password in password_file: %w", err)
	}
	return strings.TrimRight(string(text), "\r\n"), nil
}

// TLSConfig is what a connection to an address is encrypted with, nil for none. The
// files are read at each call.
func (a *Account) TLSConfig(address string) (*tls.Config, error) {
	t := &a.TLS
	if !t.Enabled {
		return nil, nil //nolint:nilnil // that is the documented answer
	}
	c := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: t.ServerName, InsecureSkipVerify: t.InsecureSkipVerify} //nolint:gosec // by the user's explicit setting
	if c.ServerName == "" && Network(address) == "tcp" {
		c.ServerName, _, _ = net.SplitHostPort(address)
	}
	if t.CAFile != "" {
		pem, err := os.ReadFile(t.CAFile)
		if err != nil {
			return nil, fmt.Errorf("cannot read tls.ca_file: %w", err)
		}
		c.RootCAs = x509.NewCertPool()
		if !c.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("cannot use tls.ca_file %s: it holds no certificate in PEM form", t.CAFile)
		}
	}
	if t.CertFile != "" {
		pair, err := tls.LoadX509KeyPair(t.CertFile, t.KeyFile)
		if err != nil {
			return nil, fmt.Errorf("cannot load tls.cert_file: %w", err)
		}
		c.Certificates = []tls.Certificate{pair}
	}
	return c, nil
}

// Target is what Open connects to.
type Target struct {
	// Address is host:port or the path of a socket.
	Address  string
	Database string
	// Session are variables that each connection sets, such as time_zone, with
	// their values as SQL.
	Session map[string]string
}

// Open returns a DB of one connection at a time. It connects when it is used first.
func (a *Account) Open(t Target) (*sql.DB, error) {
	c := mysql.NewConfig()
	c.User, c.Net, c.Addr, c.DBName, c.Params = a.User, Network(t.Address), t.Address, t.Database, t.Session
	c.Timeout, c.ReadTimeout, c.WriteTimeout = a.Timeout, a.Timeout, a.Timeout
	c.InterpolateParams = true
	c.Logger = &mysql.NopLogger{} // every error is returned, too
	var err error
	if c.TLS, err = a.TLSConfig(t.Address); err != nil {
		return nil, err
	}
	if err := c.Apply(mysql.BeforeConnect(func(_ context.Context, c *mysql.Config) (err error) {
		c.Passwd, err = a.Secret()
		return err
	})); err != nil {
		return nil, fmt.Errorf("cannot set up the connection: %w", err)
	}
	connector, err := mysql.NewConnector(c)
	if err != nil {
		return nil, fmt.Errorf("cannot set up the connection to %s: %w", t.Address, err)
	}
	db := sql.OpenDB(connector)
	db.SetMaxOpenConns(1)
	return db, nil
}

// Backoff are the pauses between tries: doubled each time, with a random part, so
// that agents do not all come at once. The zero value begins with the shortest.
type Backoff struct{ n int }

// The bounds of a pause.
const (
	pauseMin = 250 * time.Millisecond
	pauseMax = 30 * time.Second
)

// Next returns how long to wait now.
func (b *Backoff) Next() time.Duration {
	pause := min(pauseMin<<b.n, pauseMax)
	if pause < pauseMax {
		b.n++
	}
	return pause/2 + rand.N(pause/2) //nolint:gosec // to spread, not to hide
}

// Reset makes the next pause the shortest.
func (b *Backoff) Reset() { b.n = 0 }

// Wait waits for d, and is false if ctx has ended.
func Wait(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}
