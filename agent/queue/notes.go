package queue

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"os"
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

const ackBytes = 8

// appendAck appends the note that the record at a place of a segment is
// finished: the place and a checksum over it and the segment's number.
func appendAck(dst []byte, segment uint64, at int64) []byte {
	var b [12]byte
	binary.LittleEndian.PutUint32(b[:], uint32(at))
	binary.LittleEndian.PutUint64(b[4:], segment)
	dst = append(dst, b[:4]...)
	return binary.LittleEndian.AppendUint32(dst, ^crc32.Checksum(b[:], castagnoli))
}

// finishedPlaces reads which records of a segment are finished. A note that is
// damaged says nothing: the record is sent again.
func (s *spool) finishedPlaces(seg *segment) map[int64]bool {
	places := map[int64]bool{}
	data, err := s.fs.ReadFile(s.path(seg, finishedSuffix))
	if err != nil {
		return places
	}
	for len(data) >= ackBytes {
		step := 1 // a crash may have left a part of one
		at := int64(binary.LittleEndian.Uint32(data))
		if string(appendAck(nil, seg.id, at)) == string(data[:ackBytes]) {
			places[at] = true
			step = ackBytes
		}
		data = data[step:]
	}
	return places
}

// finish notes that a record need not be sent again. The note is written, not
// synced: it outlives the process, and a loss of power repeats what was sent in
// the seconds before.
func (s *spool) finish(p place) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p.seg.notes = appendAck(p.seg.notes, p.seg.id, p.at)
	s.note(p.seg)
	if !p.seg.loaded {
		p.seg.early = append(p.seg.early, p.at)
	}
	p.seg.finished++
	s.dropIfDone(p.seg)
}

// note writes what is to be noted of a segment, or leaves it to the next time;
// without it, records are sent again after a restart.
func (s *spool) note(seg *segment) {
	if seg.acks == nil {
		name := s.path(seg, finishedSuffix)
		f, err := s.fs.Append(name)
		if errors.Is(err, os.ErrNotExist) {
			f, err = s.fs.Create(name)
		}
		if err != nil {
			return
		}
		seg.acks = f
	}
	if _, err := seg.acks.Write(seg.notes); err == nil {
		seg.notes = seg.notes[:0]
	}
}
