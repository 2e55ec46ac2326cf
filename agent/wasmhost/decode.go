package wasmhost

import (
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"math"
	"strconv"
	"unicode/utf8"

	"github.com/wasmtail/wasmtail/internal/record"
	"github.com/wasmtail/wasmtail/sdk/abi"
)

// row is what a module made of one or more events, checked and in the host's own
// memory: its fields point into the batch's arena.
type row struct {
	first, last int // events [first, last) of the parser's list
	fields      []record.Field
	time        int64
	reason      []byte // why the row is not parsed, in the module's words
	hosts       bool   // reason is the host's and says all
	code        uint16
	status      uint8
	route       uint8
	severity    uint8 // 0 for none
	drop        bool
	repeats     bool // the range of the row before it
	keepRaw     bool
	invalid     bool // has bytes that are not valid UTF-8
}

// fieldsAdded is how many fields the host may add to those of a row: the severity,
// and the line with the reason why it was not parsed.
const fieldsAdded = 3

// decoder reads what a call has left in a module's memory. Every number in there
// is the module's and may be a lie: each is checked in 64 bits before it is used,
// and nothing is allocated from a count that was not checked.
type decoder struct {
	batch   *record.Batch
	program *Program
	keys    *dynamicKeys
	// memory is the module's, valid until the next call into it. data is the
	// host's own copy of the input, which the module sees at dataAt: what it
	// refers to there is taken from the copy.
	memory []byte
	data   []byte
	dataAt uint32
	// events is how many were given, base the place of the first in the parser's
	// list.
	events, base int
	room         int // bytes of values outside of the input that may still come
	now          int64
	final        bool

	rows []row
	text []byte // scratch for numbers
	// trial, if not nil, notes what a record does not keep: see Trial.
	trial *trialNotes

	// What is counted.
	badTimes, copied int
}

// result is the head of what a call left.
type result struct {
	status, consumed, rows uint32
	table                  []byte
	message                []byte
}

// part returns n bytes of the module's memory at an address.
func (d *decoder) part(at, n uint32) ([]byte, bool) {
	if uint64(at)+uint64(n) > uint64(len(d.memory)) {
		return nil, false
	}
	return d.memory[at : uint64(at)+uint64(n)], true
}

// head reads and checks the result at an address.
func (d *decoder) head(at uint32) (r result, f *fault) {
	if at == 0 {
		return r, &fault{kind: faultGivenUp, err: errGaveUp}
	}
	head, ok := d.part(at, abi.ResultSize)
	if !ok {
		return r, contract("its result lies outside of its memory")
	}
	word := func(off int) uint32 { return binary.LittleEndian.Uint32(head[off:]) }
	if size := word(abi.ResultOffSize); size < abi.ResultSize {
		return r, contract("its result has %d bytes, want %d", size, abi.ResultSize)
	}
	r.status, r.consumed, r.rows = word(abi.ResultOffStatus), word(abi.ResultOffConsumed), word(abi.ResultOffRows)
	r.message, _ = d.part(word(abi.ResultOffMsg), min(word(abi.ResultOffMsgLen), abi.MsgBytesMax))
	switch r.status {
	case abi.BatchOK:
	case abi.BatchGivenUp:
		return r, &fault{kind: faultGivenUp, err: errGaveUp}
	case abi.BatchFatal:
		return r, &fault{kind: faultFatal, err: errFatal}
	default:
		return r, contract("its result has the unknown status %d", r.status)
	}
	n := word(abi.ResultOffLength)
	switch {
	case r.consumed > uint32(d.events):
		return r, contract("it says it took %d events of %d", r.consumed, d.events)
	case r.rows > abi.RowsMax:
		return r, contract("it returns %d rows, at most %d are allowed", r.rows, abi.RowsMax)
	case uint64(r.rows)*abi.RowSize > uint64(n):
		return r, contract("it returns %d rows in %d bytes", r.rows, n)
	case r.consumed == 0 && (d.final || d.program.Caps&abi.CapJoin == 0):
		return r, contract("it took none of %d events", d.events)
	}
	if r.table, ok = d.part(word(abi.ResultOffTable), n); !ok {
		return r, contract("its rows lie outside of its memory")
	}
	return r, nil
}

// decode appends the rows of a result to d.rows, and returns how many events
// they account for. On a fault d.rows is as before.
func (d *decoder) decode(at uint32) (consumed int, f *fault) {
	r, f := d.head(at)
	if f != nil {
		return 0, f
	}
	began := len(d.rows)
	table, next, start := r.table, 0, 0
	for range r.rows {
		if len(table) < abi.RowSize {
			f = contract("its rows end in the middle of one")
			break
		}
		// The row's place is checked here, its fields below.
		first := int(binary.LittleEndian.Uint32(table))
		n := int(binary.LittleEndian.Uint16(table[abi.RowOffEvents:]))
		repeats := d.program.Caps&abi.CapSplit != 0 && next > 0 && first == start && first+n == next
		if !repeats {
			if first != next {
				f = contract("a row begins with event %d, want %d", first, next)
				break
			}
			if n == 0 || n > int(r.consumed)-next || n > 1 && d.program.Caps&abi.CapJoin == 0 {
				f = contract("the row of event %d stands for %d events", first, n)
				break
			}
			start, next = first, first+n
		}
		d.rows = append(d.rows, row{first: d.base + start, last: d.base + next, repeats: repeats})
		if table, f = d.row(&d.rows[len(d.rows)-1], table); f != nil {
			break
		}
	}
	if f == nil && next != int(r.consumed) {
		f = contract("its rows account for %d events, it says it took %d", next, r.consumed)
	}
	if f != nil {
		d.rows = d.rows[:began]
		return 0, f
	}
	return next, nil
}

// row reads one row and its fields, and returns what follows them.
func (d *decoder) row(out *row, table []byte) (rest []byte, f *fault) {
	n := int(binary.LittleEndian.Uint16(table[abi.RowOffFields:]))
	flags := binary.LittleEndian.Uint32(table[abi.RowOffFlags:])
	out.status = table[abi.RowOffStatus]
	out.code = binary.LittleEndian.Uint16(table[abi.RowOffCode:])
	action := table[abi.RowOffAction]
	out.drop = action == abi.ActionDrop
	out.keepRaw = flags&abi.RowKeepRaw != 0
	switch {
	case out.status > abi.RowError:
		return nil, contract("a row has the unknown status %d", out.status)
	case action > abi.ActionDrop:
		return nil, contract("a row has the unknown action %d", action)
	case out.drop && d.program.Caps&abi.CapDrop == 0:
		return nil, contract("it drops a line without having declared that it does")
	case out.code >= abi.CodesMax:
		return nil, contract("a row has the code %d, the largest is %d", out.code, abi.CodesMax-1)
	case flags&^abi.RowKeepRaw != 0:
		return nil, contract("a row has the unknown flags %#x", flags)
	case n*abi.FieldSize > len(table)-abi.RowSize:
		return nil, contract("a row has %d fields in %d bytes", n, len(table)-abi.RowSize)
	}
	entries := table[abi.RowSize : abi.RowSize+n*abi.FieldSize]
	out.fields = d.batch.AllocFields(n + fieldsAdded)
	if f := d.fields(out, entries); f != nil {
		return nil, f
	}
	return table[abi.RowSize+n*abi.FieldSize:], nil
}

// fields reads the entries of a row.
func (d *decoder) fields(out *row, entries []byte) (f *fault) {
	for len(entries) > 0 {
		if taken := d.plain(out, entries); taken > 0 {
			if entries = entries[taken*abi.FieldSize:]; len(entries) == 0 {
				return nil
			}
		}
		id := binary.LittleEndian.Uint16(entries)
		used := 1
		switch {
		case id < abi.IDColumns:
			f = d.column(out, id, entries)
		case id == abi.IDKey:
			used = 2
			f = d.dynamic(out, entries)
		default:
			f = d.builtin(out, id, entries)
		}
		if f != nil {
			return f
		}
		entries = entries[used*abi.FieldSize:]
	}
	return nil
}

// plain reads entries for as long as they are numbers, or whole characters of the
// input, under a name of the schema, which is nearly all there are, and returns
// how many that was. It does what column does, in one pass.
func (d *decoder) plain(out *row, entries []byte) (taken int) {
	if d.trial != nil {
		return 0
	}
	columns, data, dataAt := d.program.columns, d.data, d.dataAt
	fields := out.fields
	for ; len(entries) >= abi.FieldSize; entries = entries[abi.FieldSize:] {
		entry := (*[abi.FieldSize]byte)(entries)
		head := binary.LittleEndian.Uint32(entry[abi.FieldOffID:])
		id := head & 0xffff
		if uint64(id) >= uint64(len(columns)) {
			break
		}
		var text []byte
		switch head >> 16 { // the kind, and no flags
		case abi.KindString:
			// An address below the input wraps around to one far behind it.
			at := uint64(binary.LittleEndian.Uint32(entry[abi.FieldOffA:]) - dataAt)
			end := at + uint64(binary.LittleEndian.Uint32(entry[abi.FieldOffB:]))
			if end > uint64(len(data)) || at < end && !utf8.RuneStart(data[at]) || end < uint64(len(data)) && !utf8.RuneStart(data[end]) {
				out.fields = fields
				return taken
			}
			text = data[at:end:end]
		case abi.KindInt:
			text = d.number(int64(binary.LittleEndian.Uint64(entry[abi.FieldOffA:])))
		default:
			out.fields = fields
			return taken
		}
		fields = append(fields, record.Field{Name: columns[id], Value: text})
		taken++
	}
	out.fields = fields
	return taken
}

// number is the text of an integer.
func (d *decoder) number(n int64) []byte {
	if n >= 0 && n < int64(len(smallNumbers)) {
		return smallNumbers[n]
	}
	d.text = strconv.AppendInt(d.text[:0], n, 10)
	return d.batch.Copy(d.text)
}

// column adds a field that the schema names.
func (d *decoder) column(out *row, id uint16, entry []byte) *fault {
	if int(id) >= len(d.program.columns) {
		return contract("a row has field %d, the schema has %d", id, len(d.program.columns))
	}
	value, ok, f := d.value(out, entry)
	if f != nil || !ok {
		return f
	}
	d.trial.note(entry)
	out.fields = append(out.fields, record.Field{Name: d.program.columns[id], Value: value})
	return nil
}

// dynamic adds a field that is named by an entry of its own.
func (d *decoder) dynamic(out *row, entries []byte) *fault {
	if d.program.Caps&abi.CapDynamicKeys == 0 {
		return contract("it names a field itself without having declared that it does")
	}
	if len(entries) < 2*abi.FieldSize {
		return contract("a row ends with the name of a field")
	}
	if entries[abi.FieldOffKind] != abi.KindString {
		return contract("the name of a field is no string")
	}
	n := binary.LittleEndian.Uint32(entries[abi.FieldOffB:])
	if n == 0 || n > abi.KeyBytesMax {
		return contract("the name of a field has %d bytes, want 1 to %d", n, abi.KeyBytesMax)
	}
	name, f := d.bytes(entries)
	if f != nil {
		return f
	}
	value, ok, f := d.value(out, entries[abi.FieldSize:])
	if f != nil || !ok {
		return f
	}
	if interned, ok := d.keys.intern(name); ok {
		d.trial.note(entries[abi.FieldSize:])
		out.fields = append(out.fields, record.Field{Name: interned, Value: value})
		return nil
	}
	return d.overflow(out, name, value)
}

// bytes resolves the address and length of an entry: a part of the host's own
// copy of the input, or a copy of something else in the module's memory.
func (d *decoder) bytes(entry []byte) ([]byte, *fault) {
	at, n := binary.LittleEndian.Uint32(entry[abi.FieldOffA:]), binary.LittleEndian.Uint32(entry[abi.FieldOffB:])
	if rel := uint64(at) - uint64(d.dataAt); rel <= uint64(len(d.data)) && rel+uint64(n) <= uint64(len(d.data)) {
		end := rel + uint64(n)
		return d.data[rel:end:end], nil
	}
	if n == 0 {
		return nil, nil
	}
	src, ok := d.part(at, n)
	if !ok {
		return nil, contract("a value lies outside of its memory")
	}
	if n > abi.ValueBytesMax {
		return nil, contract("a value has %d bytes, at most %d are allowed", n, abi.ValueBytesMax)
	}
	if d.room -= int(n); d.room < 0 {
		return nil, contract("its values take more than %d bytes; raise limits.output if they must", d.program.spec.Limits.Output)
	}
	d.copied += int(n)
	return d.batch.Copy(src), nil
}

// smallNumbers are the texts of numbers such as a status.
var smallNumbers = func() (texts [1000][]byte) {
	for i := range texts {
		texts[i] = strconv.AppendInt(nil, int64(i), 10)
	}
	return texts
}()

// value reads the value of an entry as text, in the arena. ok is false when
// there is none.
func (d *decoder) value(out *row, entry []byte) (text []byte, ok bool, f *fault) {
	if entry[abi.FieldOffFlags] != 0 {
		return nil, false, contract("a field has the unknown flags %#x", entry[abi.FieldOffFlags])
	}
	switch entry[abi.FieldOffKind] {
	case abi.KindString, abi.KindBytes:
		text, f = d.bytes(entry)
		if f == nil && !d.whole(text, entry) {
			out.invalid = true
		}
		return text, true, f
	case abi.KindInt:
		return d.number(int64(binary.LittleEndian.Uint64(entry[abi.FieldOffA:]))), true, nil
	case abi.KindFloat:
		n := math.Float64frombits(binary.LittleEndian.Uint64(entry[abi.FieldOffA:]))
		if math.IsNaN(n) || math.IsInf(n, 0) {
			return nil, false, nil
		}
		d.text = strconv.AppendFloat(d.text[:0], n, 'g', -1, 64)
		return d.batch.Copy(d.text), true, nil
	case abi.KindBool:
		return boolText(binary.LittleEndian.Uint32(entry[abi.FieldOffA:]) != 0), true, nil
	case abi.KindNull:
		return nil, false, nil
	case abi.KindJSON:
		if text, f = d.bytes(entry); f != nil {
			return nil, false, f
		}
		if !validJSON(text) {
			return nil, false, contract("a JSON value is not valid, or nested deeper than %d", abi.JSONDepthMax)
		}
		return text, true, nil
	}
	return nil, false, contract("a field has the unknown kind %d", entry[abi.FieldOffKind])
}

var trueText, falseText = []byte("true"), []byte("false")

func boolText(b bool) []byte {
	if b {
		return trueText
	}
	return falseText
}

// whole reports whether a value begins and ends at characters. A part of the
// input is as valid as the input is, which the records' marks tell, if no
// character was cut at its ends; a copy is looked at whole.
func (d *decoder) whole(text, entry []byte) bool {
	if len(text) == 0 {
		return true
	}
	rel := uint64(binary.LittleEndian.Uint32(entry[abi.FieldOffA:])) - uint64(d.dataAt)
	end := rel + uint64(len(text))
	if rel > uint64(len(d.data)) || end > uint64(len(d.data)) {
		return utf8.Valid(text)
	}
	return utf8.RuneStart(text[0]) && (end == uint64(len(d.data)) || utf8.RuneStart(d.data[end]))
}

// validJSON is true for JSON text that is not nested too deeply.
func validJSON(text []byte) bool {
	depth, inString := 0, false
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case inString && c == '\\':
			i++
		case c == '"':
			inString = !inString
		case inString:
		case c == '[' || c == '{':
			if depth++; depth > abi.JSONDepthMax {
				return false
			}
		case c == ']' || c == '}':
			depth--
		}
	}
	return json.Valid(text)
}

// overflow keeps a pair whose name is one too many, in a field of such pairs.
func (d *decoder) overflow(out *row, name, value []byte) *fault {
	key, err := json.Marshal(string(name))
	if err != nil {
		return contract("cannot keep the name of a field: %v", err)
	}
	text, err := json.Marshal(string(value))
	if err != nil {
		return contract("cannot keep a field: %v", err)
	}
	pair := append(append(key, ':'), text...)
	for i := range out.fields {
		if field := &out.fields[i]; string(field.Name) == OverflowField {
			joined := append(append(append([]byte{}, field.Value[:len(field.Value)-1]...), ','), pair...)
			field.Value = d.batch.Copy(append(joined, '}'))
			return nil
		}
	}
	out.fields = append(out.fields, record.Field{Name: overflowName, Value: d.batch.Copy(append(append([]byte{'{'}, pair...), '}'))})
	return nil
}

// hexValue is the text of an identifier of exactly n bytes.
func (d *decoder) hexValue(entry []byte, n int) ([]byte, *fault) {
	raw, f := d.bytes(entry)
	if f != nil {
		return nil, f
	}
	if len(raw) != n {
		return nil, contract("an identifier has %d bytes, want %d", len(raw), n)
	}
	text := d.batch.Alloc(2 * n)
	hex.Encode(text, raw)
	return text, nil
}
