// Package store keeps log records and finds them again.
//
// The engine is VictoriaLogs', either inside this process (Open) or behind the
// HTTP API of a VictoriaLogs server or cluster (Dial). Both are a Writer and a
// Querier, and both speak LogsQL.
//
// # Where a record lies
//
// A project is a tenant of the engine: its account and project numbers are 64
// bits of the SHA-256 of the project's name, so every hub computes the same
// ones and nothing has to be looked up. Queries name one project and cannot
// reach another. The log store is the stream field _logstore; the stream also
// holds the host and the path of the file.
//
// # Durability
//
// The engine has no journal. Rows are in memory first, and on disk some seconds
// later. Write promises nothing; rows written before Seal are durable when the
// function that Seal returned has returned nil. Whoever writes keeps the rows
// until then. The engine inside the process has two halves to make that exact:
// while one takes rows the other settles, and it has settled when it holds no
// row in memory. A query always sees both.
//
// # Goroutines and memory
//
// The engine's goroutines run from Open to Close. A Writer is used by one
// goroutine at a time, a Querier by any number. Rows copies what it is given.
// Fields passed to a callback are valid until the callback returns.
package store

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/VictoriaMetrics/VictoriaMetrics/lib/logstorage"
)

// Limits of one row, from the engine: it drops what is larger, so callers cut.
const (
	// RowBytesMax is the greatest sum of the lengths of names and values.
	RowBytesMax = 2<<20 - 64<<10
	// NameBytesMax is the longest field name.
	NameBytesMax = 128
	// FieldsMax is the greatest number of fields.
	FieldsMax = 1900
)

// FutureMax is how far ahead of the clock a record's time may lie.
const FutureMax = 24 * time.Hour

var (
	// ErrQuery says that a query is not valid LogsQL: the caller's fault.
	ErrQuery = errors.New("invalid query")
	// ErrIncomplete says that rows that were written are not there: they have to
	// be written again.
	ErrIncomplete = errors.New("rows are missing from the store")
	// ErrFull says that the disk is full. Writing may succeed later.
	ErrFull = errors.New("the disk of the store is full")
)

// Field is a name and a value. Names are not empty.
type Field = logstorage.Field

// Writer takes rows. One goroutine at a time.
type Writer interface {
	// Write adds rows. When it fails, some of them may have been written.
	Write(ctx context.Context, rows *Rows) error
	// Flush makes the rows written so far visible to queries, as far as the
	// store can be told to: one inside the process at once, a remote one within
	// VisibleAfter.
	Flush(ctx context.Context) error
	// Seal ends a span of rows. The rows written before it are durable when
	// settled returns nil; settled may run beside further writes, and is called
	// before the next Seal. ErrIncomplete: the span has to be written again.
	Seal(ctx context.Context) (settled func(context.Context) error, err error)
}

// Querier runs queries. Safe for concurrent use.
type Querier interface {
	// Run calls emit for each row of the answer, one call at a time, in no
	// particular order unless the query sorts. Names and values are valid until
	// emit returns. An error from emit ends the query and is returned.
	Run(ctx context.Context, q Query, emit func(row []Field) error) error
}

// Query is a question to one project.
type Query struct {
	// Project names the tenant.
	Project string
	// LogsQL is the query; empty means all records.
	LogsQL string
	// Filter is one more LogsQL filter that every record has to pass.
	Filter string
	// Pipes is appended to LogsQL, beginning with "|".
	Pipes string
	// Start and End bound the record time, in nanoseconds since 1970: Start is
	// in, End is out. Both 0 means all time.
	Start, End int64
}

// text returns the whole query, checked.
func (q *Query) text() (string, error) {
	s := strings.TrimSpace(q.LogsQL)
	if s == "" {
		s = "*"
	}
	if _, err := logstorage.ParseQuery(s); err != nil {
		return "", fmt.Errorf("%w: %w", ErrQuery, err)
	}
	if q.Pipes != "" {
		s += " " + q.Pipes
	}
	return s, nil
}

// Check reports whether s is valid LogsQL; the error is ErrQuery.
func Check(s string) error {
	q := Query{LogsQL: s}
	_, err := q.text()
	return err
}

// HasPipes reports whether s, valid LogsQL, transforms records rather than only
// selecting them.
func HasPipes(s string) bool {
	if strings.TrimSpace(s) == "" {
		return false
	}
	_, err := logstorage.ParseFilter(s)
	return err != nil
}

// tenantOf returns the tenant of a project.
func tenantOf(project string) logstorage.TenantID {
	sum := sha256.Sum256([]byte(project))
	return logstorage.TenantID{
		AccountID: binary.BigEndian.Uint32(sum[0:4]),
		ProjectID: binary.BigEndian.Uint32(sum[4:8]),
	}
}

// Rows is a set of rows on their way to a store. It copies what it is given. It
// has one owner at a time.
type Rows struct {
	lr      *logstorage.LogRows
	tenants map[string]logstorage.TenantID
}

// NewRows returns an empty set. Release gives its memory back.
func NewRows() *Rows {
	return &Rows{
		lr:      logstorage.GetLogRows(nil, nil, nil, nil, ""),
		tenants: make(map[string]logstorage.TenantID),
	}
}

// Add appends a row. fields contains those of stream. The caller has kept to
// RowBytesMax, NameBytesMax and FieldsMax; no two fields have one name.
func (r *Rows) Add(project string, unixNano int64, stream, fields []Field) {
	t, ok := r.tenants[project]
	if !ok {
		t = tenantOf(project)
		r.tenants[project] = t
	}
	r.lr.MustAdd(t, unixNano, fields, stream)
}

// Len returns the number of rows.
func (r *Rows) Len() int { return r.lr.RowsCount() }

// Full reports whether the rows are worth a Write.
func (r *Rows) Full() bool { return r.lr.NeedFlush() }

// Reset removes all rows.
func (r *Rows) Reset() { r.lr.ResetKeepSettings() }

// Release gives the memory back. r must not be used afterwards.
func (r *Rows) Release() {
	logstorage.PutLogRows(r.lr)
	r.lr = nil
}
