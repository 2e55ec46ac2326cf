package replication

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
)

// Type is the type of an event.
type Type byte

// The types of events that are looked at.
const (
	Query                Type = 2
	Rotate               Type = 4
	Format               Type = 15
	XID                  Type = 16
	TableMap             Type = 19
	Heartbeat            Type = 27
	MySQLGTID            Type = 33
	Anonymous            Type = 34
	XAPrepare            Type = 38
	PartialUpdate        Type = 39
	Payload              Type = 40
	Heartbeat2           Type = 41
	TaggedGTID           Type = 42
	MariaDBGTID          Type = 162
	QueryCompressed      Type = 165
	rowsCompressed       Type = 166 // and the two after it, for version 1
	rowsCompressed2      Type = 169 // and the two after it
	writeRows1           Type = 23
	updateRows1          Type = 24
	deleteRows1          Type = 25
	writeRows2           Type = 30
	updateRows2          Type = 31
	deleteRows2          Type = 32
	headerLen                 = 19
	checksumLen               = 4
	artificial                = 0x20 // made for this dump, not in the file
	standaloneGTID            = 1
	checksumAlgorithmOff      = 0
	checksumAlgorithmCRC      = 1
	checksumNotKnownYet       = 255
)

// Change is what a rows event does.
type Change int

// The changes.
const (
	Insert Change = iota
	Update
	Delete
)

// Changes are the names of the changes.
var Changes = [...]string{"insert", "update", "delete"}

// Header is what every event begins with.
type Header struct {
	Type Type
	// Time in seconds since 1970.
	Time   uint32
	Server uint32
	// End is the place behind the event in its file, 0 if it lies in none.
	End        uint32
	Artificial bool
	// Size is the length of the event, and Cut says that its end is not there, since
	// it was too long.
	Size int
	Cut  bool
}

// Events takes the events of one dump apart. It holds what they say about those
// after them.
type Events struct {
	max      int
	checksum byte
	short    bool // ids of tables have 4 bytes
}

// Begin forgets what was said in another dump. crc says that events have a checksum;
// what is compressed may have eventMax bytes at most when it is unpacked.
func (e *Events) Begin(crc bool, eventMax int) {
	*e = Events{max: eventMax, checksum: checksumAlgorithmOff}
	if crc {
		e.checksum = checksumAlgorithmCRC
	}
}

// Open returns the header and the body of an event of a size, whose checksum it
// compares. Of an event that is longer than what is there of it, the body is cut.
func (e *Events) Open(event []byte, size int) (h Header, body []byte, err error) {
	if len(event) < headerLen {
		return h, nil, fmt.Errorf("cannot read an event: %w", errShort)
	}
	h = Header{
		Time: binary.LittleEndian.Uint32(event), Type: Type(event[4]), Server: binary.LittleEndian.Uint32(event[5:]),
		End: binary.LittleEndian.Uint32(event[13:]), Artificial: binary.LittleEndian.Uint16(event[17:])&artificial != 0,
		Size: size, Cut: size > len(event),
	}
	if int(binary.LittleEndian.Uint32(event[9:])) != size {
		return h, nil, errors.New("cannot read an event: it is not as long as it says")
	}
	body = event[headerLen:]
	if h.Type == Format {
		return h, body, e.format(body)
	}
	if e.checksum == checksumAlgorithmCRC && !h.Cut {
		if len(body) < checksumLen {
			return h, nil, fmt.Errorf("cannot read an event: %w", errShort)
		}
		end := len(event) - checksumLen
		if crc32.ChecksumIEEE(event[:end]) != binary.LittleEndian.Uint32(event[end:]) {
			return h, nil, errors.New("cannot use an event: its checksum is wrong")
		}
		body = event[headerLen:end]
	}
	return h, body, nil
}

// format learns how the events of a file are written.
func (e *Events) format(body []byte) error {
	const typesAt = 2 + 50 + 4 + 1
	if len(body) < typesAt+int(TableMap)+1+checksumLen {
		return fmt.Errorf("cannot read the description of the format: %w", errShort)
	}
	if version := binary.LittleEndian.Uint16(body); version != 4 || body[typesAt-1] != headerLen {
		return fmt.Errorf("cannot read a binlog of version %d", version)
	}
	e.short = body[typesAt+int(TableMap)-1] == 6
	e.checksum = body[len(body)-checksumLen-1]
	if e.checksum > checksumAlgorithmCRC && e.checksum != checksumNotKnownYet {
		return fmt.Errorf("cannot compare checksums of kind %d: set binlog_checksum to CRC32 or NONE", e.checksum)
	}
	return nil
}

// Rotated is the file that a rotate event goes on with, and the place in it.
func Rotated(body []byte) (file string, at uint64, err error) {
	if len(body) < 9 {
		return "", 0, fmt.Errorf("cannot read the name of the next file: %w", errShort)
	}
	return string(body[8:]), binary.LittleEndian.Uint64(body), nil
}

// ReadGTID reads an event that begins a transaction. standalone says that the
// transaction is the one statement that follows.
func ReadGTID(h Header, body []byte) (g GTID, standalone bool, err error) {
	switch h.Type {
	case MariaDBGTID:
		if len(body) < 13 {
			return g, false, fmt.Errorf("cannot read a GTID: %w", errShort)
		}
		g = GTID{Number: binary.LittleEndian.Uint64(body), Domain: binary.LittleEndian.Uint32(body[8:]), Server: h.Server}
		return g, body[12]&standaloneGTID != 0, nil
	case MySQLGTID:
		if len(body) < 25 {
			return g, false, fmt.Errorf("cannot read a GTID: %w", errShort)
		}
		g = GTID{MySQL: true, UUID: [16]byte(body[1:17]), Number: binary.LittleEndian.Uint64(body[17:])}
		return g, false, nil
	}
	return g, false, fmt.Errorf("cannot read a GTID of an event of type %d: GTIDs with tags are not supported", h.Type)
}

// Statement is what a query event says.
type Statement struct {
	Database, SQL []byte
}

// ReadQuery reads a query event, compressed or not.
func (e *Events) ReadQuery(h Header, body []byte) (q Statement, err error) {
	const fixed = 4 + 4 + 1 + 2 + 2
	if len(body) < fixed {
		return q, fmt.Errorf("cannot read a statement: %w", errShort)
	}
	name, vars := int(body[8]), int(binary.LittleEndian.Uint16(body[11:]))
	rest := body[fixed:]
	if len(rest) < vars+name+1 {
		return q, fmt.Errorf("cannot read a statement: %w", errShort)
	}
	q = Statement{Database: rest[vars : vars+name], SQL: rest[vars+name+1:]}
	if h.Type == QueryCompressed {
		q.SQL, err = inflate(q.SQL, e.max)
	}
	return q, err
}

// Control is what a statement means for the transaction it is in.
type Control int

// The kinds of statements.
const (
	Other Control = iota // changes data or tables
	Begin
	Commit   // or that of a transaction that was prepared, which has its rows there
	Rollback // of what has changed all the same, or of what can be undone
	// Savepoint is a place to go back to, and ToSavepoint goes back to one: what it
	// undoes is in the binlog if other engines are in the transaction, too.
	Savepoint
	ToSavepoint
	// RollbackPrepared undoes what another transaction has prepared.
	RollbackPrepared
	Nothing // means nothing for what is read
)

var controls = []struct {
	text  string
	whole bool
	Control
}{
	{"BEGIN", true, Begin},
	{"COMMIT", true, Commit},
	{"ROLLBACK", true, Rollback},
	{"START TRANSACTION", false, Begin},
	{"XA START", false, Begin},
	{"XA COMMIT", false, Commit},
	{"XA ROLLBACK", false, RollbackPrepared},
	{"XA END", false, Nothing},
	{"SAVEPOINT", false, Savepoint},
	{"ROLLBACK TO", false, ToSavepoint},
	{"RELEASE SAVEPOINT", false, Nothing},
}

// Control tells the statements apart.
func (q *Statement) Control() Control {
	sql := q.SQL
	if len(sql) > 32 {
		sql = sql[:32]
	}
	sql = bytes.ToUpper(bytes.TrimSpace(sql))
	for i := range controls {
		c := &controls[i]
		if rest, is := bytes.CutPrefix(sql, []byte(c.text)); is && (!c.whole || len(rest) == 0) {
			return c.Control
		}
	}
	return Other
}

// IsRows reports whether an event holds rows, and what it does with them. One that
// is compressed is for Rows, too.
func (h *Header) IsRows() (Change, bool) {
	switch t := h.Type; t {
	case writeRows1, updateRows1, deleteRows1:
		return Change(t - writeRows1), true
	case writeRows2, updateRows2, deleteRows2:
		return Change(t - writeRows2), true
	case rowsCompressed, rowsCompressed + 1, rowsCompressed + 2:
		return Change(t - rowsCompressed), true
	case rowsCompressed2, rowsCompressed2 + 1, rowsCompressed2 + 2:
		return Change(t - rowsCompressed2), true
	}
	return 0, false
}

// decoder takes values off the front of rest. After failed, all are zero.
type decoder struct {
	rest   []byte
	failed bool
}

func (d *decoder) take(n int) []byte {
	if d.failed || n < 0 || n > len(d.rest) {
		d.failed = true
		return nil
	}
	p := d.rest[:n:n]
	d.rest = d.rest[n:]
	return p
}

func (d *decoder) byte() byte {
	if p := d.take(1); p != nil {
		return p[0]
	}
	return 0
}

// little is a number of n bytes, the lowest first.
func (d *decoder) little(n int) uint64 { return little(d.take(n)) }

// length is a number that says itself how long it is.
func (d *decoder) length() int {
	switch first := d.byte(); first {
	case 0xfc:
		return int(d.little(2))
	case 0xfd:
		return int(d.little(3))
	case 0xfe:
		n := d.little(8)
		if n > lengthMax {
			d.failed = true
			return 0
		}
		return int(n)
	case 0xfb, 0xff:
		d.failed = true
		return 0
	default:
		return int(first)
	}
}

func (d *decoder) text() []byte { return d.take(d.length()) }
