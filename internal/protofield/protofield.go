// Package protofield writes and reads fields of protobuf messages, for outputs that
// write millions of them: generated code would allocate for each.
//
// It promises that texts are valid UTF-8, as the format demands: bytes that are not
// become U+FFFD. It starts no goroutines and keeps nothing.
package protofield

import (
	"bytes"
	"errors"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"
)

// AppendBytes appends a field of bytes, or of a message. An empty one is written
// too.
func AppendBytes(dst []byte, number protowire.Number, value []byte) []byte {
	dst = protowire.AppendTag(dst, number, protowire.BytesType)
	return protowire.AppendBytes(dst, value)
}

// AppendText appends a field of text.
func AppendText(dst []byte, number protowire.Number, value []byte) []byte {
	dst = protowire.AppendTag(dst, number, protowire.BytesType)
	if utf8.Valid(value) {
		return protowire.AppendBytes(dst, value)
	}
	dst = protowire.AppendVarint(dst, uint64(validLen(value)))
	return appendValid(dst, value)
}

// TextSize is how many bytes AppendText appends.
func TextSize(number protowire.Number, value []byte) int {
	n := len(value)
	if !utf8.Valid(value) {
		n = validLen(value)
	}
	return protowire.SizeTag(number) + protowire.SizeBytes(n)
}

func validLen(value []byte) (n int) {
	for len(value) > 0 {
		r, size := utf8.DecodeRune(value)
		n += utf8.RuneLen(r)
		value = value[size:]
	}
	return n
}

func appendValid(dst, value []byte) []byte {
	for len(value) > 0 {
		r, size := utf8.DecodeRune(value)
		dst = utf8.AppendRune(dst, r)
		value = value[size:]
	}
	return dst
}

// AppendVarint appends a number; 0 is left out, as the format has it.
func AppendVarint(dst []byte, number protowire.Number, value uint64) []byte {
	if value == 0 {
		return dst
	}
	return protowire.AppendVarint(protowire.AppendTag(dst, number, protowire.VarintType), value)
}

// AppendFixed64 appends a number of eight bytes; 0 is left out.
func AppendFixed64(dst []byte, number protowire.Number, value uint64) []byte {
	if value == 0 {
		return dst
	}
	return protowire.AppendFixed64(protowire.AppendTag(dst, number, protowire.Fixed64Type), value)
}

// Field is one of a message. Bytes points into it.
type Field struct {
	Number protowire.Number
	// Bytes is the value of bytes, texts and messages, Value that of numbers.
	Bytes []byte
	Value uint64
}

var errMessage = errors.New("cannot read a protobuf message: it is damaged")

// Each calls f for the fields of a message, until one fails. Fields of types that
// have long been given up are errors.
func Each(message []byte, f func(Field) error) error {
	for len(message) > 0 {
		number, typ, n := protowire.ConsumeTag(message)
		if n < 0 {
			return errMessage
		}
		message = message[n:]
		field := Field{Number: number}
		switch typ {
		case protowire.BytesType:
			field.Bytes, n = protowire.ConsumeBytes(message)
		case protowire.VarintType:
			field.Value, n = protowire.ConsumeVarint(message)
		case protowire.Fixed64Type:
			field.Value, n = protowire.ConsumeFixed64(message)
		case protowire.Fixed32Type:
			var v uint32
			v, n = protowire.ConsumeFixed32(message)
			field.Value = uint64(v)
		default:
			return errMessage
		}
		if n < 0 {
			return errMessage
		}
		message = message[n:]
		if err := f(field); err != nil {
			return err
		}
	}
	return nil
}

// Find returns the first field of bytes with a number, nil if there is none.
func Find(message []byte, number protowire.Number) (found []byte) {
	err := Each(message, func(f Field) error {
		if f.Number == number && f.Bytes != nil {
			found = f.Bytes
			return errFound
		}
		return nil
	})
	if !errors.Is(err, errFound) {
		return nil
	}
	return bytes.Clone(found)
}

var errFound = errors.New("found")
