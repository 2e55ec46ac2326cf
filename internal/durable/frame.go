package durable

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
)

// The reasons why ScanFrames stopped before the end of its data.
var (
	// ErrTorn says that the last frame was cut, or never written, by a crash.
	ErrTorn = errors.New("the last frame is incomplete")
	// ErrDamaged says that a frame was changed after it was written.
	ErrDamaged = errors.New("a frame does not match its checksum")
)

// frameHeaderBytes is a length and a CRC-32C, four bytes each, little endian.
// The checksum covers length and payload, so that zeros are no frame.
const frameHeaderBytes = 8

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// AppendFrame appends payload to dst as one frame.
func AppendFrame(dst, payload []byte) []byte {
	dst = binary.LittleEndian.AppendUint32(dst, uint32(len(payload)))
	dst = binary.LittleEndian.AppendUint32(dst, frameSum(payload))
	return append(dst, payload...)
}

func frameSum(payload []byte) uint32 {
	var length [4]byte
	binary.LittleEndian.PutUint32(length[:], uint32(len(payload)))
	return ^crc32.Update(crc32.Update(0, castagnoli, length[:]), castagnoli, payload)
}

// ScanFrames calls each with the payload of each whole frame of data, in order,
// and returns how many bytes were whole frames. The payload points into data.
// The error is nil at the end of data, ErrTorn or ErrDamaged where it stopped
// before, or the error of each.
func ScanFrames(data []byte, each func(payload []byte) error) (valid int, err error) {
	for valid < len(data) {
		rest := data[valid:]
		if len(rest) < frameHeaderBytes {
			return valid, ErrTorn
		}
		n := int64(binary.LittleEndian.Uint32(rest))
		sum := binary.LittleEndian.Uint32(rest[4:])
		if n > int64(len(rest)-frameHeaderBytes) || allZero(rest) {
			return valid, ErrTorn
		}
		payload := rest[frameHeaderBytes : frameHeaderBytes+n]
		if frameSum(payload) != sum {
			if int(n) == len(rest)-frameHeaderBytes {
				return valid, ErrTorn
			}
			return valid, ErrDamaged
		}
		if err := each(payload); err != nil {
			return valid, err
		}
		valid += frameHeaderBytes + int(n)
	}
	return valid, nil
}

func allZero(p []byte) bool {
	for _, c := range p {
		if c != 0 {
			return false
		}
	}
	return true
}
