package checkpoint

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"

	"github.com/wasmtail/wasmtail/internal/durable"
)

// A log is a run of frames. The first is a snapshot: kind, magic, sequence,
// number of entries, and of notes and cursors, then each of them as in its own
// frame. The others are changes. Numbers are varints, strings have a varint length before them.
const (
	kindSnapshot = 'S'
	kindEntry    = 'E'
	kindPosition = 'P'
	kindForget   = 'F'
	kindNote     = 'N'
	kindCursor   = 'C'
)

// The flags at the end of an entry. flagFormat is followed by the format.
const (
	flagFinished = 1 << iota
	flagFormat
)

var errFormat = errors.New("the format is not understood")

// state is the content of a log.
type state struct {
	whole    bool // the snapshot was read
	sequence uint64
	entries  map[string]*Entry
	notes    map[string]map[string]bool
}

func appendString[T string | []byte](dst []byte, s T) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(s))), s...)
}

func appendEntryBody(dst []byte, e *Entry) []byte {
	dst = append(dst, kindEntry)
	dst = appendString(dst, e.Generation)
	dst = appendString(dst, e.Pipeline)
	dst = appendString(dst, e.Path)
	dst = binary.AppendUvarint(dst, e.Dev)
	dst = binary.AppendUvarint(dst, e.Ino)
	dst = binary.AppendUvarint(dst, uint64(e.HeadLen))
	dst = append(dst, e.Head[:]...)
	dst = binary.AppendUvarint(dst, uint64(e.Acked))
	dst = append(dst, e.Marker[:]...)
	dst = binary.AppendUvarint(dst, uint64(e.Size))
	dst = binary.AppendVarint(dst, e.Created)
	flags := byte(0)
	if e.Finished {
		flags |= flagFinished
	}
	if e.Format != "" {
		return appendString(append(dst, flags|flagFormat), e.Format)
	}
	return append(dst, flags)
}

func appendNoteBody(dst []byte, pipeline, note string) []byte {
	return appendString(appendString(append(dst, kindNote), pipeline), note)
}

func appendEntry(dst []byte, e *Entry) []byte {
	var scratch [256]byte
	body := appendEntryBody(scratch[:0], e)
	if e.Cursor != nil {
		body = appendCursorBody(body, e)
	}
	return durable.AppendFrame(dst, body)
}

func appendCursorBody(dst []byte, e *Entry) []byte {
	dst = appendString(append(dst, kindCursor), e.Generation)
	return appendString(binary.AppendUvarint(dst, uint64(e.Acked)), e.Cursor)
}

func appendCursor(dst []byte, e *Entry) []byte {
	return durable.AppendFrame(dst, appendCursorBody(nil, e))
}

func appendNote(dst []byte, pipeline, note string) []byte {
	return durable.AppendFrame(dst, appendNoteBody(nil, pipeline, note))
}

// appendChangeLocked appends what the log does not know about src.
func (src *Source) appendChangeLocked(dst []byte) []byte {
	var scratch [64]byte
	src.queued = false
	switch {
	case src.gone:
		return durable.AppendFrame(dst, appendString(append(scratch[:0], kindForget), src.entry.Generation))
	case src.changed || !src.durable:
		src.takeLocked()
		return appendEntry(dst, &src.entry)
	case src.acked == src.entry.Acked:
		return dst
	}
	src.entry.Acked, src.entry.Marker, src.entry.Cursor = src.acked, src.marker, src.cursor
	if src.cursor != nil {
		return appendCursor(dst, &src.entry)
	}
	body := appendString(append(scratch[:0], kindPosition), src.entry.Generation)
	body = binary.AppendUvarint(body, uint64(src.acked))
	return durable.AppendFrame(dst, append(body, src.marker[:]...))
}

// takeLocked notes that the whole entry is being written, as it is now.
func (src *Source) takeLocked() {
	src.entry.Acked, src.entry.Marker, src.entry.Cursor = src.acked, src.marker, src.cursor
	src.changed, src.durable = false, true
}

func (s *Store) appendSnapshotLocked(dst []byte, sequence uint64) []byte {
	body := append([]byte{kindSnapshot}, snapshotMagic...)
	body = binary.AppendUvarint(body, sequence)
	notes := 0
	for _, of := range s.notes {
		notes += len(of)
	}
	for _, src := range s.sources {
		if src.cursor != nil {
			notes++
		}
	}
	body = binary.AppendUvarint(body, uint64(len(s.sources)))
	body = binary.AppendUvarint(body, uint64(notes))
	for _, src := range s.sources {
		src.takeLocked()
		body = appendEntryBody(body, &src.entry)
		if src.entry.Cursor != nil {
			body = appendCursorBody(body, &src.entry)
		}
	}
	for pipeline, of := range s.notes {
		for note := range of {
			body = appendNoteBody(body, pipeline, note)
		}
	}
	return durable.AppendFrame(dst, body)
}

// decodeLog returns what data says up to the first fault.
func decodeLog(data []byte) (state, error) {
	st := state{entries: map[string]*Entry{}, notes: map[string]map[string]bool{}}
	_, err := durable.ScanFrames(data, func(payload []byte) error {
		if !st.whole {
			return st.snapshot(payload)
		}
		d := decoder{rest: payload}
		for {
			st.change(&d)
			if d.failed {
				return errFormat
			}
			if len(d.rest) == 0 {
				return nil
			}
		}
	})
	if err == nil && !st.whole {
		err = fmt.Errorf("no snapshot: %w", errFormat)
	}
	return st, err
}

func (st *state) snapshot(payload []byte) error {
	d := decoder{rest: payload}
	if d.byte() != kindSnapshot || string(d.take(len(snapshotMagic))) != snapshotMagic {
		return errFormat
	}
	st.sequence = d.uvarint()
	n := d.uvarint() + d.uvarint()
	for ; n > 0 && !d.failed; n-- {
		st.change(&d)
	}
	if d.failed || len(d.rest) > 0 {
		clear(st.entries)
		clear(st.notes)
		return errFormat
	}
	st.whole = true
	return nil
}

// change applies one change. It changes nothing that is not valid as a whole.
func (st *state) change(d *decoder) {
	switch d.byte() {
	case kindEntry:
		if e := d.entry(); !d.failed {
			st.entries[e.Generation] = e
		}
	case kindPosition:
		generation := string(d.string()) //nolint:staticcheck // the bytes are read in their order
		acked, marker := d.offset(), d.digest()
		if e := st.entries[generation]; e != nil && !d.failed {
			e.Acked, e.Marker = acked, marker
		}
	case kindCursor:
		generation := string(d.string()) //nolint:staticcheck // the bytes are read in their order
		acked, cursor := d.offset(), d.string()
		if e := st.entries[generation]; e != nil && !d.failed {
			e.Acked, e.Cursor = acked, append([]byte{}, cursor...)
		}
	case kindForget:
		generation := string(d.string())
		if !d.failed {
			delete(st.entries, generation)
		}
	case kindNote:
		pipeline, note := string(d.string()), string(d.string())
		if d.failed {
			return
		}
		if st.notes[pipeline] == nil {
			st.notes[pipeline] = map[string]bool{}
		}
		st.notes[pipeline][note] = true
	default:
		d.failed = true
	}
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
	p := d.rest[:n]
	d.rest = d.rest[n:]
	return p
}

func (d *decoder) byte() byte {
	if p := d.take(1); p != nil {
		return p[0]
	}
	return 0
}

func (d *decoder) uvarint() uint64 {
	v, n := binary.Uvarint(d.rest)
	if n <= 0 {
		d.failed = true
	}
	if d.take(n) == nil {
		return 0
	}
	return v
}

func (d *decoder) varint() int64 {
	v, n := binary.Varint(d.rest)
	if n <= 0 {
		d.failed = true
	}
	if d.take(n) == nil {
		return 0
	}
	return v
}

func (d *decoder) offset() int64 {
	v := int64(d.uvarint())
	if v < 0 {
		d.failed = true
		return 0
	}
	return v
}

func (d *decoder) string() []byte {
	n := d.uvarint()
	if n > uint64(len(d.rest)) {
		d.failed = true
		return nil
	}
	return d.take(int(n))
}

func (d *decoder) digest() (v Digest) {
	copy(v[:], d.take(len(v)))
	return v
}

func (d *decoder) entry() *Entry {
	e := &Entry{
		Generation: string(d.string()),
		Pipeline:   string(d.string()),
		Path:       string(d.string()),
		Dev:        d.uvarint(),
		Ino:        d.uvarint(),
	}
	headLen := d.uvarint()
	e.Head = d.digest()
	e.Acked = d.offset()
	e.Marker = d.digest()
	e.Size = d.offset()
	e.Created = d.varint()
	flags := d.byte()
	e.Finished = flags&flagFinished != 0
	if flags&flagFormat != 0 {
		e.Format = string(d.string())
	}
	e.HeadLen = int(headLen)
	if flags > flagFinished|flagFormat || len(e.Format) > FormatBytesMax || headLen > HeadBytesMax || !validGeneration(e.Generation) {
		d.failed = true
	}
	return e
}

func validGeneration(s string) bool {
	b, err := hex.DecodeString(s)
	return err == nil && len(b) == 8
}
