package containers

import (
	"bytes"
	"cmp"
	"slices"

	"github.com/wasmtail/wasmtail/agent/tail"
	"github.com/wasmtail/wasmtail/internal/record"
)

// unwrapper turns lines of one log file into the records of a batch.
type unwrapper struct {
	config    *Config
	container *Metadata // nil if the file is of none
	d         *decoder
	b         *record.Batch

	size   int64       // of the records, in the file
	marks  record.Mark // of the line at hand
	pieces [2]piece    // of stdout and of stderr, put together so far
}

// piece is the text of one stream within the lines at hand.
type piece struct {
	text   []byte // in the batch's arena
	time   int64
	offset int64
	open   bool
}

var streamName = []byte("log.iostream")

// line takes what the tailer has framed: the lines of the file up to one that the
// runtime did not cut. A text that is longer than a record comes in several.
func (u *unwrapper) line(l *tail.Line) {
	u.size += l.Size
	u.marks = l.Marks &^ record.Partial
	cut := record.Partial // what has no end now gets none
	if l.Marks&record.Split != 0 {
		cut = 0 // it goes on in the next record
	}
	before := len(u.b.Records)
	u.pieces = [2]piece{}
	filtered := false
	for rest, offset := l.Bytes, l.Offset; ; {
		line, next, more := bytes.Cut(rest, newline)
		size := len(line)
		e, ok := u.decode(bytes.TrimSuffix(line, []byte("\r")))
		switch {
		case !ok && len(line) > 0:
			u.flush(cut)
			u.fail(line, offset)
		case !u.wants(&e):
			filtered = filtered || ok
		default:
			u.add(&e, offset, len(rest))
		}
		if !more {
			break
		}
		rest, offset = next, offset+int64(size)+1
	}
	u.flush(cut)
	u.account(l, before, filtered)
}

func (u *unwrapper) decode(line []byte) (entry, bool) {
	if len(line) > 0 && line[0] == '{' {
		return u.d.docker(line)
	}
	return u.d.cri(line)
}

func (u *unwrapper) wants(e *entry) bool {
	if u.container != nil && !u.container.selected {
		return false
	}
	return u.config.Stream == "all" || u.config.Stream == string(e.stream)
}

// add joins an entry to what its stream has, and makes a record of what is whole.
// left is how many bytes of the line it is in follow its start: no text of them is
// longer.
func (u *unwrapper) add(e *entry, offset int64, left int) {
	which := 0
	if string(e.stream) == "stderr" {
		which = 1
	}
	p := &u.pieces[which]
	switch {
	case p.open:
		p.text = append(p.text, e.text...)
	case e.whole:
		*p = piece{time: e.time, offset: offset, open: true, text: u.b.Copy(e.text)}
	default:
		*p = piece{time: e.time, offset: offset, open: true, text: append(u.b.Alloc(left)[:0], e.text...)}
	}
	if e.whole {
		u.emit(which, 0)
	}
}

// flush makes records of what is not whole.
func (u *unwrapper) flush(mark record.Mark) {
	for which := range u.pieces {
		if u.pieces[which].open {
			u.emit(which, mark)
		}
	}
}

var streamNames = [2][]byte{[]byte("stdout"), []byte("stderr")}

func (u *unwrapper) emit(which int, mark record.Mark) {
	p := &u.pieces[which]
	r := u.b.AddOwn(p.text)
	r.Time, r.Offset, r.Marks = p.time, p.offset, u.marks|mark
	u.describe(r, streamNames[which])
	*p = piece{}
}

// describe adds what is known about the container.
func (u *unwrapper) describe(r *record.Record, stream []byte) {
	var of []record.Field
	if u.container != nil {
		of = u.container.fields
	}
	fields := append(u.b.AllocFields(len(r.Fields)+1+len(of)), r.Fields...)
	if stream != nil {
		fields = append(fields, record.Field{Name: streamName, Value: stream})
	}
	r.Fields = append(fields, of...)
}

var reasonNoContainerLog = []byte("containers: the line is in neither the CRI's nor Docker's form")

func (u *unwrapper) fail(line []byte, offset int64) {
	if u.container != nil && !u.container.selected {
		return
	}
	r := u.b.Add(line)
	r.Offset = offset
	u.describe(r, nil)
	u.b.Fail(r, 0, reasonNoContainerLog)
}

// account orders the records of a framed line, those from index before on, and
// divides its bytes among them: what lies between two belongs to the first.
func (u *unwrapper) account(l *tail.Line, before int, filtered bool) {
	made := u.b.Records[before:]
	if len(made) == 0 {
		if filtered || len(l.Bytes) > 0 {
			u.b.Filtered++
			u.b.FilteredBytes += l.Size
		}
		return
	}
	slices.SortStableFunc(made, func(a, b record.Record) int { return cmp.Compare(a.Offset, b.Offset) })
	for i := range made {
		start, end := l.Offset, l.Offset+l.Size
		if i > 0 {
			start = made[i].Offset
		}
		if i+1 < len(made) {
			end = made[i+1].Offset
		}
		made[i].Offset, made[i].Size = start, end-start
	}
}
