package queue

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/golang/snappy"

	"github.com/wasmtail/wasmtail/internal/durable"
)

// Label says what a payload is. It goes to the disk with it, so that what has
// to be given up can be named.
type Label struct {
	// Stream numbers what must arrive in order: payloads of the same stream are
	// delivered one after the other. The same in every run.
	Stream uint64
	// Destination is where in the output the payload goes to, such as a log
	// store. Destinations that take less than others are paced by themselves.
	Destination string
	// Pipeline is whose the payload is.
	Pipeline string
	// Generation and Path name the file, Start and End the range of its bytes.
	Generation, Path string
	Start, End       int64
	// Records is how many records the payload holds.
	Records int
}

// A record on the disk is two frames: a head, which says what it is, and the
// body, which is the payload. A body that is damaged can still be named.
const (
	headMagic = "WTR2"
	// headBytesMax bounds a head: a path has 4 KiB at most.
	headBytesMax = 16 << 10
	// frameBytes is what durable adds to a frame.
	frameBytes = 8
)

const flagSnappy = 1

// head is what stands in front of a payload on the disk.
type head struct {
	Label
	flags     uint8
	stored    time.Time
	bodyBytes int // of the body's frame, without what durable adds
	rawBytes  int // of the payload
}

// appendRecord appends a payload with its label to dst. A payload that snappy
// makes at least an eighth smaller is stored compressed.
func appendRecord(dst []byte, l *Label, payload []byte, now time.Time) []byte {
	body, flags := payload, uint8(0)
	if packed := snappy.Encode(nil, payload); len(packed) < len(payload)-len(payload)/8 {
		body, flags = packed, flagSnappy
	}
	h := make([]byte, 0, 64+len(l.Destination)+len(l.Generation)+len(l.Path))
	h = append(append(h, headMagic...), flags)
	h = binary.LittleEndian.AppendUint64(h, l.Stream)
	h = binary.LittleEndian.AppendUint64(h, uint64(now.UnixNano()))
	for _, n := range []int{len(body), len(payload), l.Records} {
		h = binary.AppendUvarint(h, uint64(n))
	}
	h = binary.AppendVarint(binary.AppendVarint(h, l.Start), l.End)
	for _, s := range []string{l.Destination, l.Generation, l.Path, l.Pipeline} {
		s = s[:min(len(s), headBytesMax/4)]
		h = append(binary.AppendUvarint(h, uint64(len(s))), s...)
	}
	return durable.AppendFrame(durable.AppendFrame(dst, h), body)
}

var errHead = errors.New("the head of a record cannot be read")

// parseHead reads a head from the payload of its frame.
func parseHead(b []byte) (h head, err error) {
	rest, ok := bytes.CutPrefix(b, []byte(headMagic))
	if !ok || len(rest) < 17 {
		return h, errHead
	}
	h.flags, h.Stream = rest[0], binary.LittleEndian.Uint64(rest[1:])
	h.stored = time.Unix(0, int64(binary.LittleEndian.Uint64(rest[9:])))
	r := headReader{rest: rest[17:]}
	h.bodyBytes, h.rawBytes, h.Records = r.size(), r.size(), r.size()
	h.Start, h.End = r.number(), r.number()
	h.Destination, h.Generation, h.Path, h.Pipeline = r.text(), r.text(), r.text(), r.text()
	if r.failed || len(r.rest) > 0 {
		return h, errHead
	}
	return h, nil
}

// headReader reads numbers and texts until one fails.
type headReader struct {
	rest   []byte
	failed bool
}

func (r *headReader) size() int {
	v, n := binary.Uvarint(r.rest)
	if n <= 0 || v > 1<<30 {
		r.failed = true
		return 0
	}
	r.rest = r.rest[n:]
	return int(v)
}

func (r *headReader) number() int64 {
	v, n := binary.Varint(r.rest)
	if n <= 0 {
		r.failed = true
		return 0
	}
	r.rest = r.rest[n:]
	return v
}

func (r *headReader) text() string {
	n := r.size()
	if n > len(r.rest) {
		r.failed = true
		return ""
	}
	s := string(r.rest[:n])
	r.rest = r.rest[n:]
	return s
}

// decodeBody appends the payload to dst from the frame of its body.
func (h *head) decodeBody(dst, frame []byte) ([]byte, error) {
	var body []byte
	n, err := durable.ScanFrames(frame, func(p []byte) error { body = p; return nil })
	if err != nil {
		return dst, err
	}
	if n != h.bodyBytes+frameBytes {
		return dst, errHead
	}
	if h.flags&flagSnappy == 0 {
		return append(dst, body...), nil
	}
	size, err := snappy.DecodedLen(body)
	if err != nil || size != h.rawBytes {
		return dst, fmt.Errorf("cannot inflate a record: %w", errors.Join(err, durable.ErrDamaged))
	}
	if cap(dst) < size {
		dst = make([]byte, 0, size)
	}
	out, err := snappy.Decode(dst[:size], body)
	if err != nil {
		return dst, fmt.Errorf("cannot inflate a record: %w", err)
	}
	return out, nil
}

// foundRecord is a record in a segment.
type foundRecord struct {
	head
	at   int64 // of its head
	size int   // with both frames
}

// scanResult is what a segment has besides its records.
type scanResult struct {
	first   []byte // the payload of its first frame
	damaged int    // records that cannot be found any more
	torn    int64  // bytes at the end that a crash has cut
}

// footMagic begins the last frame of a segment that was closed in order, which
// tells how many records it has.
const footMagic = "WTE1"

func appendFoot(dst []byte, records int) []byte {
	return durable.AppendFrame(dst, binary.AppendUvarint([]byte(footMagic), uint64(records)))
}

// scanSegment lists the records of a segment after its first frame. It reads
// heads only; where one is damaged it looks for the next. What lies behind the
// last whole record of a segment without a foot was never acknowledged.
func scanSegment(r durable.Reader, each func(foundRecord)) (res scanResult, err error) {
	s := segmentScanner{r: r}
	if s.size, err = r.Size(); err != nil {
		return res, fmt.Errorf("cannot read a segment: %w", err)
	}
	first, err := s.frame(0, headBytesMax)
	if err != nil {
		return res, err
	}
	res.first = append([]byte{}, first...)
	found, at := 0, int64(frameBytes+len(first))
	for at < s.size {
		h, headLen, err := s.head(at)
		if next := at + int64(headLen) + int64(h.bodyBytes) + frameBytes; err == nil && next <= s.size {
			each(foundRecord{h, at, int(next - at)})
			found++
			at = next
			continue
		}
		if records, ok := s.foot(at); ok {
			res.damaged = max(0, records-found)
			return res, nil
		}
		resumed, err := s.resync(at + 1)
		if err != nil {
			return res, err
		}
		if resumed < 0 {
			res.torn = s.size - at
			return res, nil
		}
		res.damaged++
		at = resumed
	}
	return res, nil
}

// foot reads the foot of a segment, which is its end.
func (s *segmentScanner) foot(at int64) (records int, ok bool) {
	b, err := s.frame(at, headBytesMax)
	rest, is := bytes.CutPrefix(b, []byte(footMagic))
	if err != nil || !is {
		return 0, false
	}
	v, n := binary.Uvarint(rest)
	return int(v), n > 0
}

// segmentScanner reads a segment through a window.
type segmentScanner struct {
	r      durable.Reader
	size   int64
	window []byte
	start  int64 // where the window lies
}

const scanWindow = 64 << 10

// bytes returns n bytes at a place, fewer at the end.
func (s *segmentScanner) bytes(at int64, n int) ([]byte, error) {
	if at < s.start || at+int64(n) > s.start+int64(len(s.window)) {
		want := int(min(int64(max(n, scanWindow)), s.size-at))
		if cap(s.window) < want {
			s.window = make([]byte, want)
		}
		s.window = s.window[:want]
		if _, err := s.r.ReadAt(s.window, at); err != nil {
			return nil, fmt.Errorf("cannot read a segment: %w", err)
		}
		s.start = at
	}
	b := s.window[at-s.start:]
	return b[:min(n, len(b))], nil
}

// frame returns the payload of the frame at a place, valid until the next call.
func (s *segmentScanner) frame(at int64, bytesMax int) ([]byte, error) {
	if at+frameBytes > s.size {
		return nil, durable.ErrTorn
	}
	b, err := s.bytes(at, frameBytes)
	if err != nil {
		return nil, err
	}
	n := int(binary.LittleEndian.Uint32(b))
	if n > bytesMax || at+frameBytes+int64(n) > s.size {
		return nil, durable.ErrTorn
	}
	if b, err = s.bytes(at, n+frameBytes); err != nil {
		return nil, err
	}
	var payload []byte
	_, err = durable.ScanFrames(b, func(p []byte) error { payload = p; return nil })
	return payload, err
}

func (s *segmentScanner) head(at int64) (h head, headLen int, err error) {
	b, err := s.frame(at, headBytesMax)
	if err != nil {
		return h, 0, err
	}
	h, err = parseHead(b)
	return h, len(b) + frameBytes, err
}

// resync returns where the next whole head begins, or the foot; -1 if nothing
// does.
func (s *segmentScanner) resync(from int64) (int64, error) {
	for least := from; from < s.size; {
		b, err := s.bytes(from, int(min(scanWindow, s.size-from)))
		if err != nil {
			return 0, err
		}
		i := bytes.Index(b, []byte("WT"))
		if i < 0 {
			from += int64(max(1, len(b)-1))
			continue
		}
		at := from + int64(i) - frameBytes
		from += int64(i) + 1
		if at < least {
			continue
		}
		if h, n, err := s.head(at); err == nil && at+int64(n)+int64(h.bodyBytes)+frameBytes <= s.size {
			return at, nil
		}
		if _, ok := s.foot(at); ok {
			return at, nil
		}
	}
	return -1, nil
}
