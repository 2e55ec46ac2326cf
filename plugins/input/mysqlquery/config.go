package mysqlquery

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/wasmtail/wasmtail/internal/mysqlserver"
)

// Config are the settings of the mysql input: it asks a MySQL or MariaDB server a
// query again and again, each time for the rows after those it has. The columns of a
// row become the fields of a record; a column that is NULL gives none.
type Config struct {
	// Address of the server: host and port, or the path of its socket.
	Address string `yaml:"address" required:"true" example:"db1:3306"`
	// Database is the one that tables of the query are in, if it does not say.
	Database string `yaml:"database" example:"shop"`

	mysqlserver.Account `yaml:",inline"`

	// Query is a SELECT with a ? for the value of the checkpoint column from which on
	// rows are wanted. It must order its rows by that column. If it ends with a LIMIT,
	// the next page is read at once as long as pages are full.
	Query string `yaml:"query" required:"true" example:"'SELECT * FROM orders WHERE id > ? ORDER BY id LIMIT 5000'"`
	// Checkpoint says which column tells what was read.
	Checkpoint Checkpoint `yaml:"checkpoint"`
	// Interval is the time from the end of one reading to the beginning of the next.
	Interval time.Duration `yaml:"interval" default:"10s" example:"1m"`
	// TimeZone is the session's, in which TIMESTAMP columns are shown and NOW() is
	// understood. With another than a fixed offset, an hour repeats once a year.
	TimeZone string `yaml:"time_zone" default:"+00:00" example:"+08:00"`
	// Repeatable says that a query gives the same rows in the same order again: rows
	// are only added, and the order leaves nothing open. Then rows that are read again
	// after a crash keep their places, and the hub drops those it has. Without it they
	// are delivered twice.
	Repeatable bool `yaml:"repeatable" default:"false" example:"true"`
}

// Checkpoint are the settings of the column that grows from row to row.
type Checkpoint struct {
	// Column is its name in the result.
	Column string `yaml:"column" required:"true" example:"id"`
	// Type of its values: int, or time for dates and times, with fractions if they
	// have some.
	Type string `yaml:"type" default:"int" enum:"int,time"`
	// Start is the value for the first query. Without it, it is 0, or the year 1970.
	Start string `yaml:"start" example:"1000"`
	// Repeats says that several rows may have the same value. It is always assumed for
	// times. Without it, a value that comes twice stops the reading.
	Repeats bool `yaml:"repeats" default:"false" example:"true"`
}

var timeZoneRE = regexp.MustCompile(`^([+-]\d\d:\d\d|[A-Za-z_]+(/[A-Za-z0-9_+-]+)*)$`)

// Validate reports what is wrong with the settings.
func (c *Config) Validate(report func(key, problem string)) {
	c.Account.Validate(report)
	if c.Address != "" {
		if err := mysqlserver.CheckAddress(c.Address); err != nil {
			report("address", err.Error())
		}
	}
	if c.Query != "" {
		query := strings.ToLower(strings.TrimSpace(c.Query))
		switch {
		case !strings.HasPrefix(query, "select") && !strings.HasPrefix(query, "with"):
			report("query", "must be a SELECT")
		case !strings.Contains(query, "?"):
			report("query", "must have a ? where the value of the checkpoint column belongs, such as WHERE id > ?")
		case !strings.Contains(query, "order by"):
			report("query", "must have an ORDER BY the checkpoint column")
		}
	}
	if c.Checkpoint.Start != "" {
		if _, err := c.normal([]byte(c.Checkpoint.Start)); err != nil {
			report("checkpoint.start", err.Error())
		}
	}
	if c.Interval < 100*time.Millisecond {
		report("interval", "must be at least 100ms")
	}
	if !timeZoneRE.MatchString(c.TimeZone) {
		report("time_zone", "must be an offset such as +00:00, or a name that the server knows")
	}
}

var (
	timeRE  = regexp.MustCompile(`^\d{4}-\d\d-\d\d( \d\d:\d\d:\d\d(\.\d{1,9})?)?$`)
	intRE   = regexp.MustCompile(`^-?\d{1,20}$`)
	limitRE = regexp.MustCompile(`(?i)\slimit\s+(\d+)\s*;?\s*$`)
)

// normal is a value of the checkpoint column in the form that compare wants.
func (c *Config) normal(value []byte) (string, error) {
	if c.Checkpoint.Type == "time" {
		if !timeRE.Match(value) {
			return "", fmt.Errorf("cannot take %q for a time: it must be as in 2026-01-02 03:04:05.678", value)
		}
		text := string(value)
		if strings.Contains(text, ".") {
			text = strings.TrimRight(strings.TrimRight(text, "0"), ".")
		}
		return text, nil
	}
	if !intRE.Match(value) {
		return "", fmt.Errorf("cannot take %q for a whole number", value)
	}
	text, minus := strings.CutPrefix(string(value), "-")
	text = strings.TrimLeft(text, "0")
	switch {
	case text == "":
		return "0", nil
	case minus:
		return "-" + text, nil
	}
	return text, nil
}

// compare orders normal values as the server does.
func (c *Config) compare(a, b string) int {
	if c.Checkpoint.Type == "time" {
		return strings.Compare(a, b)
	}
	minusA, minusB := strings.HasPrefix(a, "-"), strings.HasPrefix(b, "-")
	switch {
	case minusA != minusB && minusA:
		return -1
	case minusA != minusB:
		return 1
	case minusA:
		a, b = b[1:], a[1:]
	}
	if len(a) != len(b) {
		return len(a) - len(b)
	}
	return strings.Compare(a, b)
}

// argument is a normal value as the query takes it.
func (c *Config) argument(value string) any {
	if c.Checkpoint.Type == "time" {
		return value
	}
	if n, err := strconv.ParseInt(value, 10, 64); err == nil {
		return n
	}
	if n, err := strconv.ParseUint(value, 10, 64); err == nil {
		return n
	}
	return value
}

// start is the normal value for the first query.
func (c *Config) start() string {
	switch {
	case c.Checkpoint.Start != "":
		if value, err := c.normal([]byte(c.Checkpoint.Start)); err == nil {
			return value
		}
		return c.Checkpoint.Start
	case c.Checkpoint.Type == "time":
		return "1970-01-01 00:00:00"
	}
	return "0"
}

// unique is true if a value that comes twice is a mistake.
func (c *Config) unique() bool { return c.Checkpoint.Type == "int" && !c.Checkpoint.Repeats }

// pageRows is the LIMIT of the query, 0 for none.
func (c *Config) pageRows() int {
	m := limitRE.FindStringSubmatch(c.Query)
	if m == nil {
		return 0
	}
	n, _ := strconv.Atoi(m[1])
	return n
}
