package binlog

import (
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"

	"github.com/wasmtail/wasmtail/internal/replication"
)

// position is how far a binlog was read: behind a transaction, and a number of records
// into the next one. Either known is set or file.
type position struct {
	known *replication.Set
	file  string
	at    uint64
	// within is the transaction that is not read to its end, and records how many of
	// it were given. Without records it is "".
	within  string
	records int64
}

// cursor is a position in the checkpoint.
type cursor struct {
	GTID    *string `json:"gtid,omitempty"`
	MySQL   bool    `json:"mysql,omitempty"`
	File    string  `json:"file,omitempty"`
	At      uint64  `json:"at,omitempty"`
	Within  string  `json:"within,omitempty"`
	Records int64   `json:"records,omitempty"`
	// Tables stands for what decides which records a transaction has.
	Tables string `json:"tables"`
}

func (p *position) encode(tables string) []byte {
	c := cursor{File: p.file, At: p.at, Tables: tables}
	if p.records > 0 {
		c.Within, c.Records = p.within, p.records
	}
	if p.known != nil {
		text := p.known.String()
		c.GTID, c.MySQL = &text, p.known.MySQL
	}
	b, err := json.Marshal(c)
	if err != nil {
		panic("BUG: " + err.Error()) // of texts and numbers
	}
	return b
}

// decodePosition also returns the tables that the cursor was made for.
func decodePosition(text []byte) (p *position, tables string, err error) {
	var c cursor
	if err := json.Unmarshal(text, &c); err != nil {
		return nil, "", fmt.Errorf("cannot understand the cursor of the checkpoint: %w", err)
	}
	p = &position{file: c.File, at: c.At, within: c.Within, records: c.Records}
	if c.GTID != nil {
		if p.known, err = replication.ParseSet(*c.GTID, c.MySQL); err != nil {
			return nil, "", fmt.Errorf("cannot understand the cursor of the checkpoint: %w", err)
		}
	}
	if (p.known == nil) == (p.file == "") || p.records < 0 {
		return nil, "", errors.New("cannot understand the cursor of the checkpoint: it has neither GTID nor file, or both")
	}
	return p, c.Tables, nil
}

// String is the position for people.
func (p *position) String() string {
	if p.known != nil {
		return "GTID " + p.known.String()
	}
	return fmt.Sprintf("%s:%d", p.file, p.at)
}

// tables is a text that changes when the settings give a transaction other records.
func (c *Config) tables() string {
	h := fnv.New64a()
	_, _ = fmt.Fprintf(h, "%q %q %v", c.Include, c.Exclude, c.DDL)
	return fmt.Sprintf("%016x", h.Sum64())
}
