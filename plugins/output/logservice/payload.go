package logservice

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/wasmtail/wasmtail/internal/loggroup"
)

// A payload is a request body behind a small header, little-endian:
//
//	0  2 bytes  "WL"
//	2  1        version of this layout, 1
//	3  1        loggroup.Codec of the body
//	4  4        size of the body before compression
//	8  4        number of records
//	12 1        length l of the logstore name
//	13 1        length b of the batch id
//	14 1        length t of the W3C traceparent, 0 without one
//	15 1        0
//	16 l+b+t    the three texts
//	…           the body
//
// Payloads are stored by the queue, so a later version of the agent must read
// what an earlier one wrote.
const (
	payloadHeaderBytes = 16
	payloadVersion     = 1
)

// payload is a decoded payload. Its slices point into the encoded one.
type payload struct {
	codec    loggroup.Codec
	rawBytes int
	records  int
	logstore, batchID,
	traceparent string
	body []byte
}

var errPayload = errors.New("cannot read the payload: it was not written by this output")

// appendPayloadHeader appends everything but the body. Texts are cut at 255
// bytes.
func appendPayloadHeader(dst []byte, p *payload) []byte {
	texts := [...]string{p.logstore, p.batchID, p.traceparent}
	dst = append(dst, 'W', 'L', payloadVersion, byte(p.codec))
	dst = binary.LittleEndian.AppendUint32(dst, uint32(p.rawBytes))
	dst = binary.LittleEndian.AppendUint32(dst, uint32(p.records))
	for i, t := range texts {
		texts[i] = t[:min(len(t), 255)]
		dst = append(dst, byte(len(texts[i])))
	}
	dst = append(dst, 0)
	for _, t := range texts {
		dst = append(dst, t...)
	}
	return dst
}

// setRawBytes fills in the size of the body of a payload that begins at header.
func setRawBytes(header []byte, n int) { binary.LittleEndian.PutUint32(header[4:], uint32(n)) }

func parsePayload(data []byte) (p payload, err error) {
	if len(data) < payloadHeaderBytes || data[0] != 'W' || data[1] != 'L' {
		return p, errPayload
	}
	if data[2] != payloadVersion {
		return p, fmt.Errorf("cannot read the payload: it has version %d and this agent knows %d", data[2], payloadVersion)
	}
	p.codec = loggroup.Codec(data[3])
	p.rawBytes = int(binary.LittleEndian.Uint32(data[4:]))
	p.records = int(binary.LittleEndian.Uint32(data[8:]))
	rest := data[payloadHeaderBytes:]
	for i, to := range [...]*string{&p.logstore, &p.batchID, &p.traceparent} {
		n := int(data[12+i])
		if n > len(rest) {
			return p, errPayload
		}
		*to, rest = string(rest[:n]), rest[n:]
	}
	p.body = rest
	return p, nil
}
