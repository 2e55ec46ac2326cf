//go:build wasip1

// The combined format of nginx, written by hand against ABI 1: the peer of the same
// parser with the SDK. The rules are in wasm-examples/nginx/README.md.
package main

import (
	"bytes"
	"strconv"
	"unsafe"
)

const schema = `{"name":"nginx","version":"1.0.0","fields":[` +
	`{"name":"remote_addr","type":"string"},{"name":"remote_user","type":"string"},{"name":"time_local","type":"string"},` +
	`{"name":"method","type":"string"},{"name":"uri","type":"string"},{"name":"protocol","type":"string"},` +
	`{"name":"status","type":"int"},{"name":"body_bytes_sent","type":"int"},` +
	`{"name":"referer","type":"string"},{"name":"user_agent","type":"string"}]}`

const (
	addr = iota
	user
	local
	method
	uri
	protocol
	status
	sent
	referer
	agent
	fields

	idError = 0xF007
	kindInt = 1 << 16
)

// What is said of a line.
const (
	ok = iota
	noMatch
	failed
)

type event struct {
	offset, length, flags, unused uint32
	time                          int64
}

type batch struct {
	size, flags, events, table, data, length, maxOut, mark uint32
}

type row struct {
	first, events, status, flags uint32
}

type field struct{ id, a, b uint32 }

const (
	tableBytes = 512 << 10
	rowBytes   = 16 + fields*12
)

var (
	table   [tableBytes]byte
	result  [8]uint32
	info    [8]uint32
	regions [][]uint64
)

func pointer(addr uint32) unsafe.Pointer { return unsafe.Pointer(uintptr(addr)) }

// line is what is left of a line, and where its next field goes.
type line struct {
	rest []byte
	at   uint32 // offset in the table
}

func (l *line) put(id, a, b uint32) {
	*(*field)(unsafe.Pointer(&table[l.at])) = field{id, a, b}
	l.at += 12
}

func (l *line) text(id uint32, s []byte) {
	l.put(id, uint32(uintptr(unsafe.Pointer(unsafe.SliceData(s)))), uint32(len(s)))
}

func (l *line) int(id uint32, n int64) { l.put(id|kindInt, uint32(n), uint32(n>>32)) }

// cut takes what is before index i, behind which text must follow.
func (l *line) cut(i int, text string) ([]byte, bool) {
	s := l.rest
	if i < 0 || len(s)-i < len(text) || string(s[i:i+len(text)]) != text {
		return nil, false
	}
	l.rest = s[i+len(text):]
	return s[:i], true
}

// quote is the index of the first quote without a backslash before it.
func quote(s []byte) int {
	i := bytes.IndexByte(s, '"')
	if i < 1 || s[i-1] != '\\' {
		return i
	}
	for i = 0; i < len(s) && s[i] != '"'; i++ {
		if s[i] == '\\' {
			i++
		}
	}
	if i < len(s) {
		return i
	}
	return -1
}

// number reads digits with at most a minus before them, at least 0, or it is -1.
func number(s []byte) int64 {
	if len(s) == 0 || len(s) > 18 || s[0] == '-' {
		n, err := strconv.ParseInt(string(s), 10, 64)
		if err != nil || n < 0 || s[0] == '+' {
			return -1
		}
		return n
	}
	n := int64(0)
	for _, c := range s {
		c -= '0'
		if c > 9 {
			return -1
		}
		n = n*10 + int64(c)
	}
	return n
}

// parse puts the fields of a line and returns its status and code.
func (l *line) parse() (status, code uint32) {
	s, found := l.cut(bytes.IndexByte(l.rest, ' '), " - ")
	if !found || len(s) == 0 {
		return noMatch, 0
	}
	l.text(addr, s)
	if s, found = l.cut(bytes.IndexByte(l.rest, ' '), " ["); !found || len(s) == 0 {
		return noMatch, 0
	}
	l.text(user, s)
	if s, found = l.cut(bytes.IndexByte(l.rest, ']'), `] "`); !found || len(s) == 0 {
		return noMatch, 0
	}
	l.text(local, s)
	if s, found = l.cut(quote(l.rest), `" `); !found {
		return noMatch, 0
	}
	three := l.request(s)
	return l.tail(three)
}

// request puts the three parts of a request line, if it has three.
func (l *line) request(s []byte) bool {
	i := bytes.IndexByte(s, ' ')
	if i < 1 {
		return false
	}
	l.text(method, s[:i])
	s = s[i+1:]
	if i = bytes.IndexByte(s, ' '); i < 1 {
		return false
	}
	l.text(uri, s[:i])
	s = s[i+1:]
	l.text(protocol, s)
	return len(s) > 0 && bytes.IndexByte(s, ' ') < 0
}

// tail puts what is behind the request.
func (l *line) tail(three bool) (outcome, code uint32) {
	s, found := l.cut(bytes.IndexByte(l.rest, ' '), " ")
	if !found {
		return noMatch, 0
	}
	n, m := number(s), int64(0)
	l.int(status, n)
	if s, found = l.cut(bytes.IndexByte(l.rest, ' '), ` "`); !found {
		return noMatch, 0
	}
	if string(s) != "-" {
		m = number(s)
		l.int(sent, m)
	}
	if s, found = l.cut(quote(l.rest), `" "`); !found {
		return noMatch, 0
	}
	l.text(referer, s)
	if s, found = l.cut(quote(l.rest), `"`); !found || len(l.rest) > 0 {
		return noMatch, 0
	}
	l.text(agent, s)
	switch {
	case !three:
		return failed, 2
	case n < 0 || n > 999 || m < 0:
		return failed, 3
	}
	return ok, 0
}

var reasons = [...][]byte{2: []byte("request"), 3: []byte("number")}

//go:wasmexport wt_process
func process(input unsafe.Pointer, _ uint32) unsafe.Pointer {
	b := (*batch)(input)
	events := unsafe.Slice((*event)(pointer(b.table)), b.events)
	data := unsafe.Slice((*byte)(pointer(b.data)), b.length)
	at, n := uint32(0), uint32(0)
	for i := range events {
		if at > tableBytes-rowBytes {
			break
		}
		e := &events[i]
		b.mark = uint32(i)
		l := line{rest: data[e.offset : e.offset+e.length], at: at + 16}
		if k := len(l.rest); k > 0 && l.rest[k-1] == '\r' {
			l.rest = l.rest[:k-1]
		}
		status, code := l.parse()
		if status != ok {
			l.at = at + 16
			if code != 0 {
				l.text(idError, reasons[code])
			}
		}
		*(*row)(unsafe.Pointer(&table[at])) = row{uint32(i), 1 | (l.at-at-16)/12<<16, status | code<<16, 0}
		at = l.at
		n++
	}
	result = [8]uint32{32, 0, n, n, uint32(uintptr(unsafe.Pointer(&table))), at, 0, 0}
	return unsafe.Pointer(&result)
}

//go:wasmexport wt_abi_1
func version() uint32 { return 0 }

//go:wasmexport wt_alloc
func alloc(size uint32) unsafe.Pointer {
	p := make([]uint64, size/8+1)
	regions = append(regions, p)
	return unsafe.Pointer(unsafe.SliceData(p))
}

//go:wasmexport wt_init
func initialize(_ unsafe.Pointer, _ uint32) unsafe.Pointer {
	info = [8]uint32{0: 32, 3: uint32(uintptr(unsafe.Pointer(unsafe.StringData(schema)))), 4: uint32(len(schema))}
	return unsafe.Pointer(&info)
}

func main() {}
