package replication

import (
	"bytes"
	"compress/zlib"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/klauspost/compress/zstd"
)

// inflate returns what MariaDB has compressed, with its length in front.
func inflate(p []byte, limit int) ([]byte, error) {
	d := decoder{rest: p}
	head := d.byte()
	if head>>4 != 8 {
		return nil, errors.New("cannot read a compressed event: the way it is compressed is not known")
	}
	n := int(big(d.take(int(head & 7))))
	if d.failed {
		return nil, errors.New("cannot read a compressed event: its length is wrong")
	}
	if n > limit {
		return nil, fmt.Errorf("cannot read a compressed event: it has %d bytes, more than the %d that an event may have", n, limit)
	}
	r, err := zlib.NewReader(bytes.NewReader(d.rest))
	if err != nil {
		return nil, fmt.Errorf("cannot read a compressed event: %w", err)
	}
	var buf bytes.Buffer
	if _, err := io.Copy(&buf, io.LimitReader(r, int64(n)+1)); err != nil {
		return nil, fmt.Errorf("cannot read a compressed event: %w", err)
	}
	if buf.Len() != n {
		return nil, errors.New("cannot read a compressed event: it is not as long as it says")
	}
	return buf.Bytes(), nil
}

// Fields of a payload event.
const (
	payloadEnd         = 0
	payloadSize        = 1
	payloadCompression = 2
	payloadZstd        = 0
	payloadPlain       = 255
)

// Unpack calls each with every event of a payload, in which MySQL has compressed a
// transaction. The events have no checksums; a body is valid until each returns.
func (e *Events) Unpack(body []byte, each func(Header, []byte) error) error {
	r, err := openPayload(body, e.max)
	if err != nil {
		return fmt.Errorf("cannot read a compressed transaction: %w", err)
	}
	defer func() { _ = r.Close() }()
	plain := Events{max: e.max, checksum: checksumAlgorithmOff, short: e.short}
	var event []byte
	for {
		var size int
		event, size, err = plain.next(r, event)
		if errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return fmt.Errorf("cannot read a compressed transaction: %w", err)
		}
		h, eventBody, err := plain.Open(event, size)
		if err != nil {
			return err
		}
		if h.Type == Format || h.Type == Payload {
			return errors.New("cannot read a compressed transaction: it has an event that does not belong there")
		}
		if err := each(h, eventBody); err != nil {
			return err
		}
	}
}

// openPayload reads what is said in front of the events.
func openPayload(body []byte, limit int) (io.ReadCloser, error) {
	d := decoder{rest: body}
	compression, size := -1, -1
	for !d.failed {
		field := d.length()
		if field == payloadEnd {
			break
		}
		value := decoder{rest: d.text()}
		switch field {
		case payloadSize:
			size = value.length()
		case payloadCompression:
			compression = value.length()
		}
	}
	if d.failed || size > len(d.rest) || size < 0 {
		return nil, errShort
	}
	r := bytes.NewReader(d.rest[:size])
	switch compression {
	case payloadPlain:
		return io.NopCloser(r), nil
	case payloadZstd:
		z, err := zstd.NewReader(r, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(max(windowMin, uint64(limit))))
		if err != nil {
			return nil, err
		}
		return z.IOReadCloser(), nil
	}
	return nil, fmt.Errorf("its kind is %d", compression)
}

// windowMin is a window that every level of zstd may want.
const windowMin = 8 << 20

// next reads an event into buf, as far as an event may be long. The error is io.EOF
// behind the last.
func (e *Events) next(r io.Reader, buf []byte) (event []byte, size int, err error) {
	event = slices.Grow(buf[:0], headerLen)[:headerLen]
	if _, err := io.ReadFull(r, event); err != nil {
		return nil, 0, err
	}
	size = int(binary.LittleEndian.Uint32(event[9:]))
	if size < headerLen || size > lengthMax {
		return nil, 0, errShort
	}
	b := bytes.NewBuffer(event)
	if _, err := io.CopyN(b, r, int64(min(size, max(headerLen, e.max))-headerLen)); err != nil {
		return nil, 0, noEnd(err)
	}
	if _, err := io.CopyN(io.Discard, r, int64(size-b.Len())); err != nil {
		return nil, 0, noEnd(err)
	}
	return b.Bytes(), size, nil
}

// noEnd is for an end within an event.
func noEnd(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}
