package replication

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// GTID names a transaction: of MariaDB by domain, server and number; of MySQL by the
// identity of the server it was first on, and number.
type GTID struct {
	MySQL  bool
	UUID   [16]byte
	Domain uint32
	Server uint32
	Number uint64
}

// String is the GTID as its server writes it.
func (g GTID) String() string {
	if g.MySQL {
		return formatUUID(g.UUID) + ":" + strconv.FormatUint(g.Number, 10)
	}
	return fmt.Sprintf("%d-%d-%d", g.Domain, g.Server, g.Number)
}

// Set is a set of transactions: for MariaDB, the last one of each domain. The zero
// value is empty, and of MariaDB.
type Set struct {
	MySQL   bool
	domains []GTID // in their order
	servers []server
}

type server struct {
	uuid  [16]byte
	spans []span // in order, apart from each other
}

// span is the numbers [from, to).
type span struct{ from, to uint64 }

// ParseSet reads a set as its server writes it.
func ParseSet(text string, mysql bool) (*Set, error) {
	s := &Set{MySQL: mysql}
	for part := range strings.SplitSeq(text, ",") {
		part = strings.TrimSpace(part)
		if part == "" {
			continue
		}
		var err error
		if mysql {
			err = s.parseServer(part)
		} else {
			err = s.parseDomain(part)
		}
		if err != nil {
			return nil, err
		}
	}
	return s, nil
}

func (s *Set) parseDomain(text string) error {
	numbers := strings.Split(text, "-")
	if len(numbers) != 3 {
		return fmt.Errorf("%q is no GTID of MariaDB, such as 0-1-100", text)
	}
	domain, err1 := strconv.ParseUint(numbers[0], 10, 32)
	id, err2 := strconv.ParseUint(numbers[1], 10, 32)
	n, err3 := strconv.ParseUint(numbers[2], 10, 64)
	if err := errors.Join(err1, err2, err3); err != nil {
		return fmt.Errorf("%q is no GTID of MariaDB: %w", text, err)
	}
	s.Add(GTID{Domain: uint32(domain), Server: uint32(id), Number: n})
	return nil
}

func (s *Set) parseServer(text string) error {
	parts := strings.Split(text, ":")
	raw, err := hex.DecodeString(strings.ReplaceAll(parts[0], "-", ""))
	if err != nil || len(raw) != 16 || len(parts) < 2 {
		return fmt.Errorf("%q is no GTID set of MySQL, such as 3e11fa47-71ca-11e1-9e33-c80aa9429562:1-5", text)
	}
	uuid := [16]byte(raw)
	for _, part := range parts[1:] {
		first, last, two := strings.Cut(part, "-")
		from, err := strconv.ParseUint(first, 10, 62)
		to := from
		if err == nil && two {
			to, err = strconv.ParseUint(last, 10, 62)
		}
		if err != nil || from == 0 || to < from {
			return fmt.Errorf("%q is no part of a GTID set: GTIDs with tags are not supported", part)
		}
		s.addSpan(uuid, span{from, to + 1})
	}
	return nil
}

// Add takes a transaction into the set.
func (s *Set) Add(g GTID) {
	if g.MySQL {
		s.addSpan(g.UUID, span{g.Number, g.Number + 1})
		return
	}
	i, found := slices.BinarySearchFunc(s.domains, g.Domain, func(a GTID, domain uint32) int { return int(int64(a.Domain) - int64(domain)) })
	if found {
		s.domains[i] = g
		return
	}
	s.domains = slices.Insert(s.domains, i, g)
}

func (s *Set) addSpan(uuid [16]byte, n span) {
	i, found := slices.BinarySearchFunc(s.servers, uuid, func(a server, uuid [16]byte) int { return slices.Compare(a.uuid[:], uuid[:]) })
	if !found {
		s.servers = slices.Insert(s.servers, i, server{uuid: uuid})
	}
	spans := s.servers[i].spans
	if last := len(spans) - 1; last >= 0 && spans[last].to == n.from { // as it mostly is
		spans[last].to = n.to
		return
	}
	first, _ := slices.BinarySearchFunc(spans, n.from, func(a span, from uint64) int {
		if a.to < from {
			return -1
		}
		return 1
	})
	end := first
	for end < len(spans) && spans[end].from <= n.to {
		n = span{min(n.from, spans[end].from), max(n.to, spans[end].to)}
		end++
	}
	s.servers[i].spans = slices.Replace(spans, first, end, n)
}

// Clone returns a copy.
func (s *Set) Clone() *Set {
	c := &Set{MySQL: s.MySQL, domains: slices.Clone(s.domains), servers: slices.Clone(s.servers)}
	for i := range c.servers {
		c.servers[i].spans = slices.Clone(c.servers[i].spans)
	}
	return c
}

// String is the set as ParseSet reads it.
func (s *Set) String() string {
	var parts []string
	for _, g := range s.domains {
		parts = append(parts, g.String())
	}
	for _, of := range s.servers {
		text := formatUUID(of.uuid)
		for _, n := range of.spans {
			text += ":" + strconv.FormatUint(n.from, 10)
			if n.to-n.from > 1 {
				text += "-" + strconv.FormatUint(n.to-1, 10)
			}
		}
		parts = append(parts, text)
	}
	return strings.Join(parts, ",")
}

func formatUUID(u [16]byte) string {
	return fmt.Sprintf("%x-%x-%x-%x-%x", u[:4], u[4:6], u[6:8], u[8:10], u[10:])
}

// appendBlock appends the set as MySQL wants it in a request.
func (s *Set) appendBlock(dst []byte) []byte {
	dst = binary.LittleEndian.AppendUint64(dst, uint64(len(s.servers)))
	for _, of := range s.servers {
		dst = append(dst, of.uuid[:]...)
		dst = binary.LittleEndian.AppendUint64(dst, uint64(len(of.spans)))
		for _, n := range of.spans {
			dst = binary.LittleEndian.AppendUint64(dst, n.from)
			dst = binary.LittleEndian.AppendUint64(dst, n.to)
		}
	}
	return dst
}
