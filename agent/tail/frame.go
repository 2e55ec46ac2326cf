package tail

import (
	"bytes"
	"unicode/utf8"

	"github.com/wasmtail/wasmtail/internal/record"
)

// Line is one framed record. It is lent: valid until the call it is given to
// returns.
type Line struct {
	// Bytes are without the line end; inner line ends of a multiline record stay.
	Bytes []byte
	// Offset and Size are its range in the file, line end included.
	Offset, Size int64
	// Marks can be Split and Partial.
	Marks record.Mark
}

// frameState says in what the next byte of a file lies. The zero value is: at the
// start of a record.
type frameState struct {
	mid   bool // in a line whose first part was delivered by time-out
	split bool // in a line whose first part was delivered because it is too long
	group bool // between lines of a record that was cut because it is too long
}

// framer cuts bytes into records. What it returns depends on the bytes alone,
// not on the portions in which it sees them. It belongs to one reader.
type framer struct {
	recordMax, batchMax int
	gbk                 bool
	multiline           *Multiline
	lines               []Line // result of frame, reused
}

// needBytes is how much data always suffices to make progress.
func (f *framer) needBytes() int {
	if f.multiline != nil {
		return 2*f.recordMax + 2
	}
	return f.recordMax + 1
}

// frame sets f.lines to the complete records at the start of data, as many as fit
// in a batch, and returns how many bytes they account for. base is the offset of
// data in the file. With flush the end of data completes the last record: the
// file has not grown for long enough.
func (f *framer) frame(st *frameState, data []byte, base int64, flush bool) (consumed int) {
	f.lines = f.lines[:0]
	pos := 0
	for pos < len(data) {
		next := *st
		var size int
		var l Line
		if f.multiline == nil || st.mid || st.split {
			l, size = f.line(&next, data[pos:], flush)
		} else {
			l, size = f.group(&next, data[pos:], flush)
		}
		if size == 0 || pos > 0 && pos+size > f.batchMax {
			break
		}
		if l.Bytes != nil {
			l.Offset, l.Size = base+int64(pos), int64(size)
			f.lines = append(f.lines, l)
		}
		*st = next
		pos += size
	}
	return pos
}

// line takes one line, or a piece of one, off the front of data. A nil Bytes
// stands for bytes that account for no record: the line end after a line that was
// already delivered.
func (f *framer) line(st *frameState, data []byte, flush bool) (l Line, size int) {
	if st.split {
		l.Marks |= record.Split
	}
	if st.mid {
		l.Marks |= record.Partial
	}
	nl := bytes.IndexByte(data[:min(len(data), f.recordMax+1)], '\n')
	switch {
	case nl >= 0:
		l.Bytes, size = trimCR(data[:nl]), nl+1
		if len(l.Bytes) == 0 && (st.mid || st.split) {
			l.Bytes = nil
		}
		st.mid, st.split = false, false
	case len(data) > f.recordMax:
		size = f.cut(data)
		l.Bytes = data[:size]
		l.Marks |= record.Split
		st.split = true
	case flush:
		l.Bytes, size = trimCR(data), len(data)
		l.Marks |= record.Partial
		st.mid = true
	}
	return l, size
}

func trimCR(p []byte) []byte {
	if n := len(p); n > 0 && p[n-1] == '\r' {
		return p[: n-1 : n-1]
	}
	return p[:len(p):len(p)]
}

// cut returns where to end a piece of a line that is longer than a record: at
// recordMax, or before it if that would cut a character.
func (f *framer) cut(data []byte) int {
	limit := f.recordMax
	if f.gbk {
		lead := 0
		for lead < limit && data[limit-1-lead] >= 0x81 {
			lead++
		}
		if lead%2 == 1 && limit > 1 {
			return limit - 1
		}
		return limit
	}
	for back := 0; back < utf8.UTFMax && back < limit; back++ {
		if !utf8.RuneStart(data[limit-back]) {
			continue
		}
		if back > 0 && utf8.FullRune(data[limit-back:limit]) {
			return limit // what precedes is whole or invalid: nothing to save
		}
		return limit - back
	}
	return limit
}

// headLines is how far behind a line that matches Multiline.Head the start of its
// record may be: in front of an error, Node.js shows some lines of the source.
const headLines = 8

// group takes one multiline record off the front of data.
func (f *framer) group(st *frameState, data []byte, flush bool) (l Line, size int) {
	m := f.multiline
	piece := st.group             // the group continues one that was cut
	end, lines, headed := 0, 0, 0 // headed counts the lines in which the start is awaited
	for {
		rest := data[end:]
		nl := bytes.IndexByte(rest[:min(len(rest), f.recordMax+1)], '\n')
		if nl < 0 {
			return f.groupEnd(st, data, end, flush)
		}
		line := trimCR(rest[:nl])
		isNew := m.begins(line)
		if headed > 0 {
			isNew = m.Head.Match(line)
			if headed--; m.Start.Match(line) {
				headed = 0
			}
		}
		if lines == 0 {
			piece = piece && !isNew
			if m.Head != nil && m.Head.Match(line) {
				headed = headLines
			}
		} else if isNew {
			break
		} else if end+nl > f.recordMax || lines >= m.LinesMax {
			st.group = true
			return groupLine(data, end, record.Split)
		}
		end += nl + 1
		lines++
		alone := m.Start != nil && m.End != nil && lines == 1 && !isNew && !piece
		if alone || m.End != nil && m.End.Match(line) {
			break
		}
	}
	marks := record.Mark(0)
	if piece {
		marks = record.Split
	}
	st.group = false
	return groupLine(data, end, marks)
}

// groupEnd decides on a group whose next line is not complete: data[:end] are its
// lines so far.
func (f *framer) groupEnd(st *frameState, data []byte, end int, flush bool) (l Line, size int) {
	long := len(data)-end > f.recordMax
	switch {
	case end == 0 && (long || flush && len(data) > 0):
		l, size = f.line(st, data, flush)
		if st.group {
			l.Marks |= record.Split
		}
		return l, size
	case long:
		st.group = true
		return groupLine(data, end, record.Split)
	case !flush:
		return l, 0
	case end < len(data) && f.multiline.begins(trimCR(data[end:])):
		// The unfinished line is of the next record.
	case end < len(data) && len(data) <= f.recordMax:
		st.mid, st.group = true, false
		return Line{Bytes: trimCR(data), Marks: record.Partial}, len(data)
	}
	marks := record.Mark(0)
	if f.multiline.End != nil {
		marks = record.Partial
	}
	if st.group {
		marks |= record.Split
	}
	st.group = false
	return groupLine(data, end, marks)
}

func groupLine(data []byte, end int, marks record.Mark) (Line, int) {
	return Line{Bytes: trimCR(data[:end-1]), Marks: marks}, end
}

// begins reports whether line does not belong to the lines before it.
func (m *Multiline) begins(line []byte) bool {
	if m.Start != nil && m.Start.Match(line) {
		return true
	}
	if m.Continue == nil || m.Continue.Match(line) {
		return false
	}
	return m.End == nil || !m.End.Match(line)
}
