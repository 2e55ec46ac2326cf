package replication

import (
	"errors"
	"fmt"
)

// columnsMax is the most columns of a table; a server has 4096.
const columnsMax = 4096

// Column is a column of a table, as the binlog knows it, and what was learnt of it.
type Column struct {
	Name     string
	Unsigned bool
	// Charset of text, such as latin1; "" if it is not known.
	Charset string
	// Members are the texts of an ENUM or SET, nil if they are not known.
	Members []string
	// Declared is the type that the server declares, if it is known: it tells UUID and
	// INET6 from BINARY.
	Declared string

	typ  byte
	meta uint16
}

// Table is what the binlog says about a table in front of its rows.
type Table struct {
	ID             uint64
	Database, Name string
	Columns        []Column
	// Named says that the binlog has the names of the columns, and Signed that it
	// says which numbers are unsigned.
	Named, Signed bool
}

// TableID is the id that a table map, or an event of rows, is about.
func (e *Events) TableID(body []byte) uint64 {
	d := decoder{rest: body}
	return d.little(e.idLen())
}

func (e *Events) idLen() int {
	if e.short {
		return 4
	}
	return 6
}

// ReadTable reads a table map. charsets are the character sets of collations.
func (e *Events) ReadTable(body []byte, charsets map[int]string) (*Table, error) {
	d := decoder{rest: body}
	t := &Table{ID: d.little(e.idLen())}
	_ = d.take(2) // flags
	t.Database = string(d.take(int(d.byte())))
	_ = d.byte()
	t.Name = string(d.take(int(d.byte())))
	_ = d.byte()
	n := d.length()
	if n > columnsMax {
		return nil, fmt.Errorf("cannot read what is said of a table: it has %d columns", n)
	}
	t.Columns = make([]Column, n)
	for i, typ := range d.take(n) {
		t.Columns[i].typ = typ
	}
	meta := decoder{rest: d.text()}
	for i := range t.Columns {
		t.Columns[i].readMeta(&meta)
	}
	_ = d.take((n + 7) / 8) // which columns can be NULL
	if d.failed || meta.failed || len(meta.rest) > 0 {
		return nil, fmt.Errorf("cannot read what is said of the table %s.%s: %w", t.Database, t.Name, errShort)
	}
	for len(d.rest) > 0 && !d.failed {
		field := d.byte()
		t.more(field, decoder{rest: d.text()}, charsets)
	}
	if d.failed {
		return nil, fmt.Errorf("cannot read what is said of the table %s.%s: %w", t.Database, t.Name, errShort)
	}
	return t, nil
}

// readMeta reads what the binlog says about a type.
func (c *Column) readMeta(d *decoder) {
	switch c.typ {
	case typeFloat, typeDouble, typeTimestamp2, typeDatetime2, typeTime2, typeJSON, typeTinyBlob, typeMediumBlob, typeLongBlob, typeBlob, typeGeometry, typeBlobCompressed, typeVector:
		c.meta = uint16(d.little(1))
	case typeNewDecimal, typeEnum, typeSet, typeString:
		c.meta = uint16(d.byte()) << 8
		c.meta |= uint16(d.byte())
	case typeVarchar, typeVarString, typeBit, typeVarcharCompressed:
		c.meta = uint16(d.little(2))
	}
	if c.typ != typeString {
		return
	}
	high, low := c.meta>>8, c.meta&0xff
	switch {
	case high&0x30 != 0x30: // the length has two bits there
		c.meta = low | (high&0x30^0x30)<<4
	case high == typeEnum || high == typeSet:
		c.typ, c.meta = byte(high), low
	default:
		c.meta = low
	}
}

// Fields of what is said about a table beyond its types.
const (
	metaSigned           = 1
	metaDefaultCharset   = 2
	metaCharset          = 3
	metaName             = 4
	metaSet              = 5
	metaEnum             = 6
	metaMembersDefault   = 10
	metaMembersCharset   = 11
	collationBinary      = 63
	charsetBinary        = "binary"
	charsetNotKnown      = ""
	membersOfAColumnsMax = 1 << 16
)

// more reads one field. A field that is broken is left out: what it says is only
// about names.
func (t *Table) more(field byte, d decoder, charsets map[int]string) {
	switch field {
	case metaSigned:
		t.readSigned(&d)
	case metaName:
		names := make([]string, len(t.Columns))
		for i := range names {
			names[i] = string(d.text())
		}
		if d.failed {
			return
		}
		for i, name := range names {
			t.Columns[i].Name = name
		}
		t.Named = true
	case metaSet:
		t.readMembers(&d, typeSet)
	case metaEnum:
		t.readMembers(&d, typeEnum)
	case metaDefaultCharset:
		t.readDefaultCharset(&d, (*Column).isText, charsets)
	case metaMembersDefault:
		t.readDefaultCharset(&d, (*Column).hasMembers, charsets)
	case metaCharset:
		t.readCharsets(&d, (*Column).isText, charsets)
	case metaMembersCharset:
		t.readCharsets(&d, (*Column).hasMembers, charsets)
	}
}

func (t *Table) readSigned(d *decoder) {
	bit := 0
	for i := range t.Columns {
		c := &t.Columns[i]
		if !c.isNumber() {
			continue
		}
		if bit/8 >= len(d.rest) {
			return
		}
		c.Unsigned = d.rest[bit/8]&(0x80>>(bit%8)) != 0
		bit++
	}
	t.Signed = true
}

func (t *Table) readMembers(d *decoder, typ byte) {
	for i := range t.Columns {
		if t.Columns[i].typ != typ {
			continue
		}
		n := d.length()
		if n > membersOfAColumnsMax || n > len(d.rest) {
			return
		}
		members := make([]string, n)
		for m := range members {
			members[m] = string(d.text())
		}
		if d.failed {
			return
		}
		t.Columns[i].Members = members
	}
}

func (t *Table) readDefaultCharset(d *decoder, of func(*Column) bool, charsets map[int]string) {
	usual := d.length()
	others := map[int]int{}
	for len(d.rest) > 0 && !d.failed {
		i := d.length()
		others[i] = d.length()
	}
	if d.failed {
		return
	}
	at := 0
	for i := range t.Columns {
		if !of(&t.Columns[i]) {
			continue
		}
		collation, other := others[at]
		if !other {
			collation = usual
		}
		t.Columns[i].Charset = charsetOf(collation, charsets)
		at++
	}
}

func (t *Table) readCharsets(d *decoder, of func(*Column) bool, charsets map[int]string) {
	for i := range t.Columns {
		if !of(&t.Columns[i]) {
			continue
		}
		collation := d.length()
		if d.failed {
			return
		}
		t.Columns[i].Charset = charsetOf(collation, charsets)
	}
}

func charsetOf(collation int, charsets map[int]string) string {
	if collation == collationBinary {
		return charsetBinary
	}
	if name, known := charsets[collation]; known {
		return name
	}
	return charsetNotKnown
}

func (c *Column) isText() bool {
	switch c.typ {
	case typeString, typeVarString, typeVarchar, typeBlob, typeTinyBlob, typeMediumBlob, typeLongBlob, typeBlobCompressed, typeVarcharCompressed:
		return true
	}
	return false
}

func (c *Column) hasMembers() bool { return c.typ == typeEnum || c.typ == typeSet }

// isNumber is true for the types that have a sign in the binlog's account of it.
func (c *Column) isNumber() bool {
	switch c.typ {
	case typeTiny, typeShort, typeInt24, typeLong, typeLongLong, typeNewDecimal, typeFloat, typeDouble:
		return true
	}
	return false
}

// Rows is an event of rows.
type Rows struct {
	table           *Table
	change          Change
	before, after   bitmap // which columns the images have
	rest            []byte
	beforeN, afterN int
}

type bitmap []byte

func (b bitmap) has(i int) bool { return b[i/8]&(1<<(i%8)) != 0 }

func (b bitmap) count(n int) (ones int) {
	for i := range n {
		if b.has(i) {
			ones++
		}
	}
	return ones
}

// ReadRows begins to read an event of rows of a table. A compressed one is unpacked.
func (e *Events) ReadRows(h Header, body []byte, t *Table) (*Rows, error) {
	change, is := h.IsRows()
	if !is {
		return nil, fmt.Errorf("cannot read rows of an event of type %d", h.Type)
	}
	d := decoder{rest: body}
	_ = d.take(e.idLen() + 2) // the table, and flags
	switch h.Type {
	case writeRows2, updateRows2, deleteRows2, rowsCompressed2, rowsCompressed2 + 1, rowsCompressed2 + 2:
		_ = d.take(int(d.little(2)) - 2)
	}
	n := d.length()
	if d.failed || n != len(t.Columns) {
		return nil, fmt.Errorf("cannot read rows of %s.%s: they have %d columns, the table %d", t.Database, t.Name, n, len(t.Columns))
	}
	r := &Rows{table: t, change: change}
	first := bitmap(d.take((n + 7) / 8))
	r.after = first
	switch change {
	case Delete:
		r.before, r.after = first, nil
	case Update:
		r.before, r.after = first, bitmap(d.take((n+7)/8))
	}
	if d.failed {
		return nil, fmt.Errorf("cannot read rows of %s.%s: %w", t.Database, t.Name, errShort)
	}
	r.rest = d.rest
	if h.Type >= rowsCompressed && h.Type <= rowsCompressed2+2 {
		var err error
		if r.rest, err = inflate(d.rest, e.max); err != nil {
			return nil, err
		}
	}
	if r.before != nil {
		r.beforeN = r.before.count(n)
	}
	if r.after != nil {
		r.afterN = r.after.count(n)
	}
	return r, nil
}

// Row is one row. The values are as long as the columns of the table.
type Row struct {
	// Before is the row before an update, or that was deleted, and After the one
	// after an update, or that was inserted; nil if there is no such thing.
	Before, After []Value
	// Size is the length of the row in the binlog.
	Size int
}

// Value is a value of a row, as the binlog has it.
type Value struct {
	// Absent says that the image does not have the column; Null that it is NULL.
	Absent, Null bool
	raw          []byte
}

var errRow = errors.New("cannot read a row")

// Next reads the next row into row, whose memory it uses again. It is false at the
// end.
func (r *Rows) Next(row *Row) (bool, error) {
	if len(r.rest) == 0 {
		return false, nil
	}
	start := len(r.rest)
	var err error
	if row.Before, err = r.image(row.Before, r.before, r.beforeN); err == nil {
		row.After, err = r.image(row.After, r.after, r.afterN)
	}
	row.Size = start - len(r.rest)
	if err == nil && row.Size == 0 {
		err = errRow
	}
	if err != nil {
		r.rest = nil
		return false, fmt.Errorf("cannot read rows of %s.%s: %w", r.table.Database, r.table.Name, err)
	}
	return true, nil
}

func (r *Rows) image(dst []Value, present bitmap, n int) ([]Value, error) {
	if present == nil {
		return nil, nil
	}
	d := decoder{rest: r.rest}
	null := bitmap(d.take((n + 7) / 8))
	if d.failed {
		return nil, errShort
	}
	if cap(dst) < len(r.table.Columns) {
		dst = make([]Value, len(r.table.Columns))
	}
	dst = dst[:len(r.table.Columns)]
	at := 0
	for i := range r.table.Columns {
		if !present.has(i) {
			dst[i] = Value{Absent: true}
			continue
		}
		if null.has(at) {
			dst[i] = Value{Null: true}
			at++
			continue
		}
		at++
		raw, err := r.table.Columns[i].cut(&d)
		if err != nil {
			return nil, err
		}
		dst[i] = Value{raw: raw}
	}
	r.rest = d.rest
	return dst, nil
}
