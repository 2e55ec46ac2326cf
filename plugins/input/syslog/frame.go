package syslog

import (
	"bytes"
	"errors"
	"io"
	"unicode/utf8"
)

// framing is how messages of a connection are told apart. RFC 6587, 3.4.
type framing uint8

const (
	unknown framing = iota // nothing was read yet
	counted                // the length in front of each
	lines                  // a line feed behind each
)

// framer cuts the bytes of a connection into messages. It belongs to one goroutine.
type framer struct {
	buf        []byte
	start, end int // what was read and not given yet
	looked     int // so many bytes from start on have no line end
	way        framing
	left       int  // bytes of a message with its length in front that were not given
	torn       bool // a piece of the message at hand was given
	zero       bool // a NUL ends a line, too: programs write so to unix sockets
	max        int
}

// frame is a message, or a piece of one. It is valid until the next fill.
type frame struct {
	bytes []byte
	split bool // it is a piece
	more  bool // and not the first
}

const (
	bufferStart = 16 << 10
	// bufferRoom is the least that a read has room for, when messages are short.
	bufferRoom = 64 << 10
	// digitsMax is how long a length may be.
	digitsMax = 9
)

var (
	errMore   = errors.New("more bytes are needed")
	errLength = errors.New("cannot tell messages apart: what should be a length is none")
)

// fill reads once. The frames from before are dead.
func (f *framer) fill(r io.Reader) (int, error) {
	if f.start == f.end {
		f.start, f.end = 0, 0
	}
	switch {
	case f.buf == nil:
		f.buf = make([]byte, bufferStart)
	case f.end == len(f.buf) && f.start > len(f.buf)/2:
		f.end = copy(f.buf, f.buf[f.start:f.end])
		f.start = 0
	case f.end == len(f.buf):
		bigger := make([]byte, min(2*len(f.buf), max(bufferRoom, f.max+2*utf8.UTFMax+digitsMax)))
		if len(bigger) <= len(f.buf) {
			bigger = f.buf
		}
		f.end = copy(bigger, f.buf[f.start:f.end])
		f.start, f.buf = 0, bigger
	}
	n, err := r.Read(f.buf[f.end:])
	f.end += n
	return n, err
}

// next returns the next frame; errMore if it is not there yet, and errLength if there
// will be none.
func (f *framer) next() (frame, error) {
	for {
		have := f.buf[f.start:f.end]
		if len(have) == 0 {
			return frame{}, errMore
		}
		if f.way == unknown {
			f.way = detect(have)
		}
		var one frame
		var err error
		switch f.way {
		case unknown:
			return frame{}, errMore
		case counted:
			one, err = f.nextCounted(have)
		case lines:
			one, err = f.nextLine(have)
		}
		if err != nil || len(one.bytes) > 0 {
			return one, err
		}
	}
}

// detect tells the framing from the first bytes: a length is digits and a space.
func detect(have []byte) framing {
	for i, c := range have {
		switch {
		case c == ' ' && i > 0 && have[0] != '0':
			return counted
		case !isDigit(c) || i == digitsMax:
			return lines
		}
	}
	return unknown
}

func (f *framer) nextCounted(have []byte) (frame, error) {
	if f.left == 0 {
		n, digits := 0, 0
		for digits < len(have) && digits < digitsMax && isDigit(have[digits]) {
			n = n*10 + int(have[digits]-'0')
			digits++
		}
		if digits == len(have) {
			return frame{}, errMore
		}
		if digits == 0 && (have[0] == '\n' || have[0] == 0) { // some end their messages all the same
			f.start++
			return frame{}, nil
		}
		if digits == 0 || have[digits] != ' ' {
			return frame{}, errLength
		}
		f.start += digits + 1
		f.left, f.torn = n, false
		have = have[digits+1:]
		if n == 0 {
			return frame{}, nil
		}
	}
	take := f.left
	if f.left > f.max {
		take = f.max
	}
	if len(have) < take {
		return frame{}, errMore
	}
	one := frame{bytes: have[:take], split: f.torn || take < f.left, more: f.torn}
	if take < f.left {
		one.bytes = wholeCharacters(one.bytes)
	}
	f.left -= len(one.bytes)
	f.start += len(one.bytes)
	f.torn = f.left > 0
	if !f.torn {
		one.bytes = trimEnd(one.bytes)
	}
	return one, nil
}

func (f *framer) nextLine(have []byte) (frame, error) {
	end := bytes.IndexByte(have[f.looked:], '\n')
	if f.zero {
		if i := bytes.IndexByte(have[f.looked:], 0); i >= 0 && (end < 0 || i < end) {
			end = i
		}
	}
	if end >= 0 {
		end += f.looked
	}
	switch {
	case end >= 0 && end <= f.max:
		one := frame{bytes: trimEnd(have[:end]), split: f.torn, more: f.torn}
		f.start += end + 1
		f.looked, f.torn = 0, false
		return one, nil
	case end < 0 && len(have) <= f.max:
		f.looked = len(have)
		return frame{}, errMore
	}
	one := frame{bytes: wholeCharacters(have[:f.max]), split: true, more: f.torn}
	f.start += len(one.bytes)
	f.looked, f.torn = 0, true
	return one, nil
}

// rest returns what was read and is no whole message, when nothing follows.
func (f *framer) rest() frame {
	one := frame{bytes: trimEnd(f.buf[f.start:f.end]), split: f.torn, more: f.torn}
	f.start = f.end
	return one
}

// trimEnd takes line ends and NULs from the end.
func trimEnd(line []byte) []byte {
	for len(line) > 0 && (line[len(line)-1] == '\n' || line[len(line)-1] == '\r' || line[len(line)-1] == 0) {
		line = line[:len(line)-1]
	}
	return line
}

// wholeCharacters leaves the beginning of a character at the end out.
func wholeCharacters(piece []byte) []byte {
	for n := 1; n < utf8.UTFMax && n < len(piece); n++ {
		if c := piece[len(piece)-n]; utf8.RuneStart(c) {
			if !utf8.FullRune(piece[len(piece)-n:]) {
				return piece[:len(piece)-n]
			}
			break
		}
	}
	return piece
}
