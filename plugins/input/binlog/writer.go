package binlog

import (
	"encoding/base64"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/wasmtail/wasmtail/internal/mysqlserver"
	"github.com/wasmtail/wasmtail/internal/record"
	"github.com/wasmtail/wasmtail/internal/replication"
)

// The names of fields that are not columns.
var (
	fieldEvent    = []byte("_event")
	fieldDatabase = []byte("_db")
	fieldTable    = []byte("_table")
	fieldGTID     = []byte("_gtid")
	fieldFile     = []byte("_file")
	fieldPlace    = []byte("_pos")
	fieldQuery    = []byte("_query")
	fieldSchema   = []byte("_schema")
	fieldError    = []byte("_error")
	fieldData     = []byte("_data")
	fieldCut      = []byte("_truncated")

	reserved = [][]byte{
		fieldEvent, fieldDatabase, fieldTable, fieldGTID, fieldFile, fieldPlace, fieldQuery, fieldSchema, fieldError, fieldData, fieldCut,
	}
)

const (
	beforeKey    = "_before"
	beforePrefix = beforeKey + "."
)

// table is a table, ready for its rows.
type table struct {
	*replication.Table
	said    []byte // what the binlog says of it
	wanted  bool
	guessed bool // the names of its columns are not known
	err     error
	columns []column
}

// column is a column, ready for its values.
type column struct {
	name, before []byte // of the fields
	key          []byte // of the JSON object, with its colon
	kind         mysqlserver.Kind
}

// prepare makes t ready. A column without a name is called by its number; one that is
// called like a field of ours has another _ in front.
func (t *table) prepare(parsed *replication.Table) {
	t.Table = parsed
	t.columns = make([]column, len(parsed.Columns))
	for i := range parsed.Columns {
		c := &parsed.Columns[i]
		if c.Name == "" {
			c.Name = "col_" + strconv.Itoa(i+1)
		}
		name := c.Name
		if isReserved(name) {
			name = "_" + name
		}
		t.columns[i] = column{
			name: []byte(name), before: []byte(beforePrefix + name), kind: c.Kind(),
			key: append(mysqlserver.AppendString(nil, []byte(name)), ':'),
		}
	}
}

func isReserved(name string) bool {
	return strings.HasPrefix(name, beforeKey) || slices.ContainsFunc(reserved, func(field []byte) bool { return string(field) == name })
}

// writer makes records. Its memory is used again for each.
type writer struct {
	row    replication.Row
	raw    []byte // the record as a JSON object
	text   []byte // the values of all fields, one behind the other
	fields []piece
	max    int    // bytes of a value
	cut    []byte // what was cut: the names of fields, and how long they were
}

// piece is a field whose value is not yet in the batch: it ends at end of the text.
type piece struct {
	name []byte
	end  int
}

// begin begins a record with what all of them have.
func (w *writer) begin(x *session, event string, t *table) {
	w.raw, w.text, w.fields = append(w.raw[:0], '{'), w.text[:0], w.fields[:0]
	w.add(fieldEvent, event)
	if t != nil && t.Table != nil {
		w.add(fieldDatabase, t.Database)
		w.add(fieldTable, t.Name)
	}
	if x.named {
		w.add(fieldGTID, x.name)
	}
	if x.in.position.known == nil {
		w.add(fieldFile, x.file)
		w.text = strconv.AppendUint(w.text, x.place, 10)
		w.keep(fieldPlace)
	}
}

// add adds a field.
func (w *writer) add(name []byte, value string) {
	w.text = append(w.text, value...)
	w.keep(name)
}

// keep makes a field of what was appended to text since the last.
func (w *writer) keep(name []byte) {
	start := 0
	if n := len(w.fields); n > 0 {
		start = w.fields[n-1].end
	}
	if w.raw[len(w.raw)-1] != '{' {
		w.raw = append(w.raw, ',')
	}
	w.raw = append(append(append(w.raw, '"'), name...), '"', ':')
	w.raw = mysqlserver.AppendString(w.raw, w.text[start:])
	w.fields = append(w.fields, piece{name, len(w.text)})
}

// change adds the record of a row.
func (w *writer) change(x *session, t *table, change replication.Change) {
	w.begin(x, replication.Changes[change], t)
	if t.guessed {
		w.add(fieldSchema, "unknown")
	}
	values := w.row.After
	if change == replication.Delete {
		values = w.row.Before
	}
	w.image(t, values, false)
	if change == replication.Update {
		w.raw = append(w.raw, `,"`+beforeKey+`":{`...)
		w.image(t, w.row.Before, true)
		w.raw = append(w.raw, '}')
	}
	if len(w.cut) > 0 {
		w.text = append(w.text, w.cut...)
		w.keep(fieldCut)
		w.cut = w.cut[:0]
	}
	w.end(x, int64(w.row.Size))
}

// image adds the values of a row.
func (w *writer) image(t *table, values []replication.Value, before bool) {
	for i := range values {
		v, c := &values[i], &t.columns[i]
		if v.Absent {
			continue
		}
		if w.raw[len(w.raw)-1] != '{' {
			w.raw = append(w.raw, ',')
		}
		w.raw = append(w.raw, c.key...)
		if v.Null {
			w.raw = append(w.raw, "null"...)
			continue
		}
		start := len(w.text)
		w.text = t.Columns[i].AppendText(w.text, v)
		name, kind := c.name, c.kind
		if before {
			name = c.before
		}
		if len(w.text)-start > w.max {
			w.shorten(name, start)
			kind = mysqlserver.Text // a part of a JSON document is none
		}
		w.raw = mysqlserver.AppendValue(w.raw, w.text[start:], kind)
		w.fields = append(w.fields, piece{name, len(w.text)})
	}
}

// shorten cuts the last value, which begins at start, and notes it.
func (w *writer) shorten(name []byte, start int) {
	if len(w.cut) > 0 {
		w.cut = append(w.cut, ' ')
	}
	w.cut = append(append(w.cut, name...), ':')
	w.cut = strconv.AppendInt(w.cut, int64(len(w.text)-start), 10)
	end := start + w.max
	for back := 0; back < utf8.UTFMax-1 && !utf8.RuneStart(w.text[end]); back++ {
		end--
	}
	w.text = w.text[:end]
}

func (w *writer) statement(x *session, event string, q *replication.Statement) {
	w.begin(x, event, nil)
	w.text = mysqlserver.AppendText(w.text, q.Database)
	w.keep(fieldDatabase)
	w.text = mysqlserver.AppendText(w.text, q.SQL)
	w.keep(fieldQuery)
	w.end(x, int64(len(q.SQL))+1)
}

func (w *writer) unreadable(x *session, t *table, body []byte, reason error) {
	w.begin(x, "unreadable", t)
	w.add(fieldError, reason.Error())
	w.text = base64.StdEncoding.AppendEncode(w.text, body)
	w.keep(fieldData)
	w.end(x, int64(len(body))+1)
}

// end gives the record to the batch. Its size is that of the row in the binlog, which
// is the same whenever it is read.
func (w *writer) end(x *session, size int64) {
	w.raw = append(w.raw, '}')
	batcher := x.in.batcher
	r := batcher.AddSized(w.raw, size)
	r.Time = int64(x.time) * 1e9
	b := batcher.Batch()
	text := b.Copy(w.text)
	r.Fields = b.AllocFields(len(w.fields))
	start := 0
	for _, f := range w.fields {
		r.Fields = append(r.Fields, record.Field{Name: f.name, Value: text[start:f.end:f.end]})
		start = f.end
	}
}
