package mysqlquery

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// identity is a hash of all columns of a row.
type identity [9]byte

// seenMax bounds the different rows that each list of a cursor has: two full ones
// take 240 KB, and a checkpoint has room for 256 KiB.
const seenMax = 8_000

// position is how far a table is read. Its rows come in the order of a value that
// several of them may share, some of which may appear later than others.
//
// The query is asked from a value whose rows were all given. If values are unique,
// that is the one of the last row. Else it is the one before the last that was seen:
// rows with the last one then come again, those that are new as well as those that
// seen and tail have.
type position struct {
	from string // the query is asked from here
	last string // the greatest value that was given; "" if that is from
	// seen are the rows that were given of from, and tail those after it.
	seen, tail map[identity]int
}

func newPosition(from string) *position {
	return &position{from: from, seen: map[identity]int{}, tail: map[identity]int{}}
}

// cursor is a position in the checkpoint.
type cursor struct {
	From string   `json:"from"`
	Last string   `json:"last,omitempty"`
	Seen []string `json:"seen,omitempty"`
	Tail []string `json:"tail,omitempty"`
}

func names(rows map[identity]int) (list []string) {
	for id, n := range rows {
		name := base64.RawStdEncoding.EncodeToString(id[:])
		if n > 1 { // rows that are the same in all columns
			name += "*" + strconv.Itoa(n)
		}
		list = append(list, name)
	}
	slices.Sort(list)
	return list
}

func identities(list []string) (map[identity]int, error) {
	rows := make(map[identity]int, len(list))
	for _, name := range list {
		var id identity
		text, count, several := strings.Cut(name, "*")
		b, err := base64.RawStdEncoding.DecodeString(text)
		n := 1
		if several && err == nil {
			n, err = strconv.Atoi(count)
		}
		if err != nil || len(b) != len(id) || n < 1 {
			return nil, fmt.Errorf("cannot understand the row %q of a cursor", name)
		}
		copy(id[:], b)
		rows[id] += n
	}
	return rows, nil
}

func (p *position) encode() []byte {
	b, err := json.Marshal(cursor{From: p.from, Last: p.last, Seen: names(p.seen), Tail: names(p.tail)})
	if err != nil {
		panic("BUG: " + err.Error()) // of texts
	}
	return b
}

func decodePosition(text []byte) (*position, error) {
	var c cursor
	if err := json.Unmarshal(text, &c); err != nil {
		return nil, fmt.Errorf("cannot understand the cursor of the checkpoint: %w", err)
	}
	p := &position{from: c.From, last: c.Last}
	var err error
	if p.seen, err = identities(c.Seen); err != nil {
		return nil, err
	}
	if p.tail, err = identities(c.Tail); err != nil {
		return nil, err
	}
	return p, nil
}

// given is a copy of all rows that the query may give again.
func (p *position) given() map[identity]int {
	rows := make(map[identity]int, len(p.seen)+len(p.tail))
	for id, n := range p.seen {
		rows[id] += n
	}
	for id, n := range p.tail {
		rows[id] += n
	}
	return rows
}

// full reports whether one more row at that place would be too many to remember.
func (p *position) full(at order) bool {
	return at == atFrom && len(p.seen) >= seenMax || at == behind && len(p.tail) >= seenMax
}

// pass notes that a row was given; further says that its value is greater than that
// of all before, and of from that it is the one of from.
func (p *position) pass(value string, id identity, at order) {
	switch at {
	case further:
		if p.last != "" {
			p.from = p.last
			p.seen, p.tail = p.tail, p.seen
			clear(p.tail)
		}
		p.last = value
		p.tail[id]++
	case behind:
		p.tail[id]++
	case atFrom:
		p.seen[id]++
	}
}

// order is where a row lies.
type order int

const (
	further order = iota // beyond all that was given
	behind               // beyond from, not beyond last
	atFrom
)
