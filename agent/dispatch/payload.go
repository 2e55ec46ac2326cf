package dispatch

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// Payload is a body and what must be known to send it. The slices of a parsed
// one point into the bytes it was parsed from.
type Payload struct {
	// Codec is how Body is compressed, RawBytes its size before.
	Codec    Codec
	RawBytes int
	// Records is how many are in it.
	Records int
	// Target is where in the receiver it goes to, as the output means it.
	Target string
	// Batch names the bytes it was made of: agent, generation and range.
	Batch string
	// Traceparent is the W3C text of the span it was made in, or empty.
	Traceparent string
	Body        []byte
}

// A payload is a body behind a small header, little-endian:
//
//	0  2 bytes  "WD"
//	2  1        version of this layout, 1
//	3  1        Codec of the body
//	4  4        size of the body before compression
//	8  4        number of records
//	12 2        length of the target
//	14 1        length of the batch's name
//	15 1        length of the traceparent, 0 without one
//	16          the three texts
//	…           the body
//
// Payloads are stored by the queue, so a later version of the agent must read
// what an earlier one wrote.
const (
	headerBytes    = 16
	payloadVersion = 1
	targetBytesMax = 1<<16 - 1
)

var errPayload = errors.New("cannot read the payload: it was not written by this output")

// appendHeader appends everything but the body. A target that is too long is a
// configuration that Validate lets not through; the other texts are cut.
func appendHeader(dst []byte, p *Payload) []byte {
	target := p.Target[:min(len(p.Target), targetBytesMax)]
	batch, parent := p.Batch[:min(len(p.Batch), 255)], p.Traceparent[:min(len(p.Traceparent), 255)]
	dst = append(dst, 'W', 'D', payloadVersion, byte(p.Codec))
	dst = binary.LittleEndian.AppendUint32(dst, uint32(p.RawBytes))
	dst = binary.LittleEndian.AppendUint32(dst, uint32(p.Records))
	dst = binary.LittleEndian.AppendUint16(dst, uint16(len(target)))
	dst = append(dst, byte(len(batch)), byte(len(parent)))
	dst = append(dst, target...)
	dst = append(dst, batch...)
	return append(dst, parent...)
}

// setRawBytes fills in the size of the body of a payload that begins at header.
func setRawBytes(header []byte, n int) { binary.LittleEndian.PutUint32(header[4:], uint32(n)) }

// Parse reads a payload that an Encoder wrote.
func Parse(data []byte) (p Payload, err error) {
	if len(data) < headerBytes || data[0] != 'W' || data[1] != 'D' {
		return p, errPayload
	}
	if data[2] != payloadVersion {
		return p, fmt.Errorf("cannot read the payload: it has version %d and this agent knows %d", data[2], payloadVersion)
	}
	p.Codec = Codec(data[3])
	p.RawBytes = int(binary.LittleEndian.Uint32(data[4:]))
	p.Records = int(binary.LittleEndian.Uint32(data[8:]))
	sizes := [...]int{int(binary.LittleEndian.Uint16(data[12:])), int(data[14]), int(data[15])}
	rest := data[headerBytes:]
	for i, to := range [...]*string{&p.Target, &p.Batch, &p.Traceparent} {
		if sizes[i] > len(rest) {
			return p, errPayload
		}
		*to, rest = string(rest[:sizes[i]]), rest[sizes[i]:]
	}
	p.Body = rest
	return p, nil
}

// Raw returns the body as it was before compression: the body itself if it is
// not compressed, and new memory else.
func (p *Payload) Raw() ([]byte, error) {
	if p.Codec == None {
		return p.Body, nil
	}
	return decompress(p.Codec, p.Body, p.RawBytes)
}
