package wasmhost

import (
	"bytes"
	"encoding/binary"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wasmtail/wasmtail/internal/record"
	"github.com/wasmtail/wasmtail/sdk/abi"
)

// answer writes a result with its rows behind the data of a small memory.
type answer struct {
	memory []byte
	table  []byte
	rows   uint32
}

// answerData is what the module of these tests was given, and where it sees it.
const (
	answerDataAt = 64
	answerData   = "10.0.0.1 GET /caf\u00e9 200"
	answerResult = 256
	answerTable  = answerResult + abi.ResultSize
)

func newAnswer() *answer {
	a := &answer{memory: make([]byte, answerTable)}
	copy(a.memory[answerDataAt:], answerData)
	return a
}

// row appends a row for an event; each field is an entry's id and kind, and its
// two words.
func (a *answer) row(first, events uint32, fields ...[4]uint32) {
	head := make([]byte, abi.RowSize)
	binary.LittleEndian.PutUint32(head, first)
	binary.LittleEndian.PutUint16(head[abi.RowOffEvents:], uint16(events))
	binary.LittleEndian.PutUint16(head[abi.RowOffFields:], uint16(len(fields)))
	a.table = append(a.table, head...)
	for _, f := range fields {
		entry := make([]byte, abi.FieldSize)
		binary.LittleEndian.PutUint16(entry, uint16(f[0]))
		entry[abi.FieldOffKind] = byte(f[1])
		binary.LittleEndian.PutUint32(entry[abi.FieldOffA:], f[2])
		binary.LittleEndian.PutUint32(entry[abi.FieldOffB:], f[3])
		a.table = append(a.table, entry...)
	}
	a.rows++
}

// bytes are the memory with the result.
func (a *answer) bytes(consumed uint32) []byte {
	put := func(off int, v uint32) { binary.LittleEndian.PutUint32(a.memory[answerResult+off:], v) }
	put(abi.ResultOffSize, abi.ResultSize)
	put(abi.ResultOffConsumed, consumed)
	put(abi.ResultOffRows, a.rows)
	put(abi.ResultOffTable, answerTable)
	put(abi.ResultOffLength, uint32(len(a.table)))
	return append(bytes.Clone(a.memory), a.table...)
}

// decoded is what became of an answer.
type decoded struct {
	consumed int
	fault    string
	rows     []row
	room     int
}

// decodeAnswer decodes a memory; field by field for a trial, else in one pass
// where that can be.
func decodeAnswer(t testing.TB, memory []byte, events int, caps uint32, trial *trialNotes) decoded {
	t.Helper()
	b := record.Get(&record.Origin{Path: "x", Source: 1, Ledger: &record.Ledger{}})
	defer b.Release()
	const now = 1_800_000_000_000_000_000
	p := &Program{Caps: caps, spec: &Spec{Limits: Limits{}.orDefault(), log: quiet(), counters: &counters{}}, now: func() int64 { return now }}
	for _, name := range []string{"a", "b", "c"} {
		p.columns = append(p.columns, []byte(name))
	}
	d := decoder{
		batch: b, program: p, keys: &dynamicKeys{}, memory: memory, data: []byte(answerData), dataAt: answerDataAt,
		events: events, room: 100, now: now, trial: trial,
	}
	before := bytes.Clone(memory)
	consumed, f := d.decode(answerResult)
	require.Equal(t, before, memory, "the module's memory is only read")
	out := decoded{consumed: consumed, rows: d.rows, room: d.room}
	if f != nil {
		out.fault = f.Error()
		require.Empty(t, d.rows)
		return out
	}
	next := 0
	for i := range d.rows {
		w := &d.rows[i]
		require.True(t, w.first == next || w.repeats && i > 0 && w.first == d.rows[i-1].first, "rows ascend")
		require.Greater(t, w.last, w.first)
		next = w.last
		fields := make([]record.Field, len(w.fields)) // they outlive the batch
		for j, f := range w.fields {
			fields[j] = record.Field{Name: bytes.Clone(f.Name), Value: bytes.Clone(f.Value)}
		}
		w.fields = fields
		w.reason = bytes.Clone(w.reason)
	}
	require.Equal(t, consumed, next, "rows account for what was consumed")
	return out
}

// FuzzDecode: whatever a module leaves in its memory, decoding it ends in rows
// that account for every event, or in a fault, and both ways of reading fields
// come to the same.
func FuzzDecode(f *testing.F) {
	str := func(id, at, n uint32) [4]uint32 { return [4]uint32{id, abi.KindString, answerDataAt + at, n} }
	plain := newAnswer()
	plain.row(0, 1, str(0, 0, 8), str(1, 9, 3), [4]uint32{2, abi.KindInt, 200, 0}, [4]uint32{2, abi.KindInt, 70_000, 0})
	plain.row(1, 1, str(0, 13, 5), str(1, 14, 4), str(2, 0, uint32(len(answerData))))
	f.Add(plain.bytes(2), uint8(2), uint8(0))
	odd := newAnswer()
	odd.row(0, 2, str(0, 17, 2), str(0, 0, 99), [4]uint32{abi.IDKey, 0, answerDataAt, 8}, [4]uint32{0, abi.KindBool, 1, 0}, [4]uint32{1, abi.KindFloat, 0, 0x3ff80000})
	odd.row(2, 1, [4]uint32{abi.IDSeverity, abi.KindInt, 9, 0}, [4]uint32{abi.IDBody, abi.KindString, answerDataAt, 4}, [4]uint32{1, abi.KindString, 0, 8}, [4]uint32{2, abi.KindNull, 0, 0})
	odd.row(2, 1, [4]uint32{abi.IDErrorText, 0, answerDataAt, 4}, [4]uint32{1, abi.KindJSON, answerDataAt + 9, 0}, [4]uint32{9, 0, 0, 0})
	f.Add(odd.bytes(3), uint8(4), uint8(abi.CapsAll&^abi.CapRoute))
	f.Add(odd.bytes(3), uint8(4), uint8(abi.CapsAll))
	f.Add([]byte{}, uint8(1), uint8(0))
	f.Fuzz(func(t *testing.T, memory []byte, events, caps uint8) {
		if len(memory) > 64<<10 {
			return
		}
		one := decodeAnswer(t, memory, int(events), uint32(caps), nil)
		if caps&abi.CapRoute != 0 { // a trial takes routes that are not configured
			return
		}
		require.Equal(t, one, decodeAnswer(t, memory, int(events), uint32(caps), &trialNotes{}))
	})
}

// TestDecode_ReadsPlainFieldsAsOthers holds what the fast way must not take.
func TestDecode_ReadsPlainFieldsAsOthers(t *testing.T) {
	for name, c := range map[string]struct {
		field   [4]uint32
		want    string
		invalid bool
	}{
		"part":                  {[4]uint32{0, abi.KindString, answerDataAt, 8}, "10.0.0.1", false},
		"empty":                 {[4]uint32{0, abi.KindString, answerDataAt, 0}, "", false},
		"empty, at the end":     {[4]uint32{0, abi.KindString, answerDataAt + uint32(len(answerData)), 0}, "", false},
		"empty, elsewhere":      {[4]uint32{0, abi.KindString, 0, 0}, "", false},
		"to the end":            {[4]uint32{0, abi.KindString, answerDataAt + 20, uint32(len(answerData)) - 20}, "200", false},
		"copied":                {[4]uint32{0, abi.KindString, 0, 3}, "\x00\x00\x00", false},
		"over the end":          {[4]uint32{0, abi.KindString, answerDataAt + uint32(len(answerData)) - 1, 2}, "0\x00", false},
		"before the input":      {[4]uint32{0, abi.KindString, answerDataAt - 1, 2}, "\x001", false},
		"half a character":      {[4]uint32{0, abi.KindString, answerDataAt + 13, 5}, "/caf\xc3", true},
		"the other half":        {[4]uint32{0, abi.KindString, answerDataAt + 18, 2}, "\xa9 ", true},
		"small number":          {[4]uint32{0, abi.KindInt, 999, 0}, "999", false},
		"larger number":         {[4]uint32{0, abi.KindInt, 1000, 0}, "1000", false},
		"negative number":       {[4]uint32{0, abi.KindInt, 0xffffffff, 0xffffffff}, "-1", false},
		"number of 64 bits":     {[4]uint32{0, abi.KindInt, 0xffffffff, 0x7fffffff}, "9223372036854775807", false},
		"bytes that are no key": {[4]uint32{0, abi.KindBytes, answerDataAt, 2}, "10", false},
	} {
		a := newAnswer()
		a.row(0, 1, c.field)
		for _, trial := range []*trialNotes{nil, {}} {
			got := decodeAnswer(t, a.bytes(1), 1, 0, trial)
			require.Empty(t, got.fault, name)
			require.Equal(t, c.want, string(got.rows[0].fields[0].Value), name)
			require.Equal(t, c.invalid, got.rows[0].invalid, name)
		}
	}
}
