package binlog

import (
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/bmatcuk/doublestar/v4"

	"github.com/wasmtail/wasmtail/internal/config"
	"github.com/wasmtail/wasmtail/internal/mysqlserver"
	"github.com/wasmtail/wasmtail/internal/replication"
)

// Config are the settings of the mysql_binlog input: it follows the changes of tables
// as a replica of a MySQL or MariaDB server does. Each row that is inserted, updated or
// deleted becomes a record.
type Config struct {
	// Hosts are the servers, each a host and a port or the path of a socket. The first
	// that answers is followed; when it does not any more, the next one, from where the
	// one before was. More than one need position: gtid, and must be replicas of each
	// other that write what they replicate to their binlogs.
	Hosts []string `yaml:"hosts" required:"true" example:"[db1:3306, db2:3306]"`
	// Name is what the position is kept under. Without it, it is the first of the
	// hosts. With another name, the reading begins at start_at.
	Name string `yaml:"name" example:"shop"`

	mysqlserver.Account `yaml:",inline"`

	// Position says what a place in the binlog is known by: gtid, for any server that
	// has the transactions, or file, for the files of one server.
	Position string `yaml:"position" default:"gtid" enum:"gtid,file"`
	// StartAt says where to begin at the very first start: latest; earliest, with all
	// that the server still has; a GTID position of MariaDB such as 0-1-100; a GTID set
	// of MySQL; or, with position: file, a file and a place such as binlog.000003:4,
	// where a transaction begins.
	StartAt string `yaml:"start_at" default:"latest" example:"earliest"`
	// Include lists the tables to follow, as database.table. * stands for any part of
	// a name, ? for one character, {a,b} for one of several.
	Include []string `yaml:"include" default:"*.*" example:"[shop.*]"`
	// Exclude lists tables to leave out, in the same form.
	Exclude []string `yaml:"exclude" default:"mysql.*,sys.*,performance_schema.*" example:"[shop.sessions]"`
	// DDL delivers statements that change tables too, of all databases.
	DDL bool `yaml:"ddl" default:"false" example:"true"`
	// OnPurge says what to do when the server has purged what comes next, which is
	// lost: stop, and show it as an error; or restart_at_earliest, and go on with the
	// first that the server still has.
	OnPurge string `yaml:"on_purge" default:"stop" enum:"stop,restart_at_earliest"`
	// ServerID is the number that the agent has among the replicas of a server; no
	// other may have it. 0 takes one at random.
	ServerID uint32 `yaml:"server_id" default:"0" example:"4711"`
	// Heartbeat is how often the server shows that it is there while nothing happens.
	// After three that are missing, the connection is made anew.
	Heartbeat time.Duration `yaml:"heartbeat" default:"5s" example:"30s"`
	// MaxValueSize bounds the value of a column in a record. A longer one is cut, and
	// its length is in the field `_truncated`.
	MaxValueSize config.Size `yaml:"max_value_size" default:"1MiB" example:"64KiB"`
	// MaxEventSize bounds the memory for one event of the binlog, which has one row at
	// least. A longer one becomes a record that says so, in place of its rows.
	MaxEventSize config.Size `yaml:"max_event_size" default:"16MiB" example:"64MiB"`
}

var filePlaceRE = regexp.MustCompile(`^([^:\s]+):(\d{1,10})$`)

// Validate reports what is wrong with the settings.
func (c *Config) Validate(report func(key, problem string)) {
	c.Account.Validate(report)
	for i, host := range c.Hosts {
		if err := mysqlserver.CheckAddress(host); err != nil {
			report(fmt.Sprintf("hosts[%d]", i), err.Error())
		}
	}
	if len(c.Hosts) > 1 && c.Position == "file" {
		report("hosts", "must be one with position: file, since each server has files of its own")
	}
	for key, list := range map[string][]string{"include": c.Include, "exclude": c.Exclude} {
		for i, glob := range list {
			if !strings.Contains(glob, ".") || !doublestar.ValidatePattern(glob) {
				report(fmt.Sprintf("%s[%d]", key, i), "must be database.table, such as shop.* or *.orders")
			}
		}
	}
	c.validateStart(report)
	if c.Heartbeat < time.Second || c.Heartbeat > time.Hour {
		report("heartbeat", "must be from 1s to 1h")
	}
	if c.MaxValueSize < 1*config.KiB || c.MaxValueSize > 4*config.MiB {
		report("max_value_size", "must be from 1KiB to 4MiB")
	}
	if c.MaxEventSize < 64*config.KiB || c.MaxEventSize > 256*config.MiB {
		report("max_event_size", "must be from 64KiB to 256MiB")
	}
}

func (c *Config) validateStart(report func(key, problem string)) {
	if c.StartAt == "latest" || c.StartAt == "earliest" {
		return
	}
	if c.Position == "file" {
		if m := filePlaceRE.FindStringSubmatch(c.StartAt); m == nil {
			report("start_at", "must be latest, earliest, or a file and a place such as binlog.000003:4")
		}
		return
	}
	if _, err := replication.ParseSet(c.StartAt, isMySQLSet(c.StartAt)); err != nil || c.StartAt == "" {
		report("start_at", "must be latest, earliest, or a GTID position such as 0-1-100")
	}
}

// isMySQLSet tells the GTIDs of the two kinds of servers apart.
func isMySQLSet(text string) bool { return strings.Contains(text, ":") }

// wants reports whether a table is followed.
func (c *Config) wants(database, table string) bool {
	name := strings.ReplaceAll(database+"."+table, "/", "_") // a glob stops at a slash
	for _, glob := range c.Exclude {
		if ok, _ := doublestar.Match(glob, name); ok {
			return false
		}
	}
	for _, glob := range c.Include {
		if ok, _ := doublestar.Match(glob, name); ok {
			return true
		}
	}
	return false
}
