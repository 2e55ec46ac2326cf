// Package replication speaks the protocol by which a replica of a MySQL or MariaDB
// server gets its binlog, and decodes the events of it: rows, transactions, and what
// is said about tables.
//
// It promises that no packet makes it panic: what it cannot decode is an error. It
// does not look at the meaning of statements, and connects for nothing but a dump;
// questions are for database/sql.
//
// It starts no goroutines. A Conn belongs to one goroutine, but for Close. What is
// decoded points into the event it is decoded from.
package replication

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"time"

	"github.com/wasmtail/wasmtail/internal/mysqlserver"
)

const (
	// readBytes is the buffer of a connection: above it, rows a second no longer grow.
	readBytes = 256 << 10
	// packetMax is the longest packet; a longer payload has several.
	packetMax = 1<<24 - 1
	// answerMax bounds what a server says that is no event.
	answerMax = 1 << 20
	// lengthMax bounds lengths. The server's own bound of an event is 1 GiB.
	lengthMax = 1<<30 + 1<<20
	// keepMax is the largest buffer that is kept for the next event.
	keepMax = 4 << 20
)

// Replica is what a server is told about who follows it.
type Replica struct {
	// ServerID is a number that no other replica of the server has.
	ServerID uint32
	// EventMax bounds the memory for an event, in bytes. Of a longer one, the first
	// so many are read.
	EventMax int
}

// Conn is a connection that is logged in.
type Conn struct {
	net      net.Conn
	r        *bufio.Reader
	sequence byte
	buf      []byte
	max      int // bytes of a payload that are kept
	timeout  time.Duration
}

// ServerError is an error that the server has sent.
type ServerError struct {
	Code    uint16
	Message string
}

func (e *ServerError) Error() string {
	return fmt.Sprintf("the server says %d: %s", e.Code, e.Message)
}

// CodeDump is the code of the errors that end a dump.
const CodeDump = 1236

// ErrEnded is that the server has ended the dump.
var ErrEnded = errors.New("the server has ended the dump")

var errShort = errors.New("it is shorter than it must be")

// Dial connects and logs in.
func Dial(ctx context.Context, address string, a *mysqlserver.Account) (*Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, a.Timeout)
	defer cancel()
	secure, err := a.TLSConfig(address)
	if err != nil {
		return nil, err
	}
	password, err := a.Secret()
	if err != nil {
		return nil, err
	}
	raw, err := new(net.Dialer).DialContext(ctx, mysqlserver.Network(address), address)
	if err != nil {
		return nil, fmt.Errorf("cannot connect: %w", err)
	}
	c := newConn(raw, a.Timeout)
	stop := context.AfterFunc(ctx, func() { _ = raw.Close() }) // a deadline would be set anew for the next packet
	l := login{c: c, user: a.User, password: password, secure: secure, private: mysqlserver.Network(address) == "unix"}
	err = l.run(ctx)
	if !stop() { // what was read or not does not count any more
		err = context.Cause(ctx)
	}
	if err != nil {
		_ = raw.Close()
		return nil, fmt.Errorf("cannot log in: %w", err)
	}
	return c, nil
}

func newConn(raw net.Conn, timeout time.Duration) *Conn {
	return &Conn{net: raw, r: bufio.NewReaderSize(raw, readBytes), max: answerMax, timeout: timeout}
}

// Close ends the connection, and whatever is being read from it. It may be called
// from any goroutine.
func (c *Conn) Close() { _ = c.net.Close() }

// useTLS goes on encrypted.
func (c *Conn) useTLS(ctx context.Context, config *tls.Config) error {
	t := tls.Client(c.net, config)
	if err := t.HandshakeContext(ctx); err != nil {
		return fmt.Errorf("cannot encrypt the connection: %w", err)
	}
	c.net = t
	c.r.Reset(t)
	return nil
}

// readPacket returns a payload, valid until the next call. It must fit.
func (c *Conn) readPacket() ([]byte, error) {
	p, size, err := c.readPayload()
	if err == nil && size > len(p) {
		err = fmt.Errorf("cannot read a packet: it has %d bytes, where %d at most make sense", size, c.max)
	}
	return p, err
}

// readPayload returns the first bytes of a payload, valid until the next call, and how
// long it is.
func (c *Conn) readPayload() (p []byte, size int, err error) {
	if cap(c.buf) > keepMax {
		c.buf = nil
	}
	c.buf = c.buf[:0]
	for {
		var header [4]byte
		c.expect(len(header))
		if _, err := io.ReadFull(c.r, header[:]); err != nil {
			return nil, 0, fmt.Errorf("cannot read a packet: %w", err)
		}
		n := int(header[0]) | int(header[1])<<8 | int(header[2])<<16
		if header[3] != c.sequence {
			return nil, 0, fmt.Errorf("cannot read a packet: it has number %d in place of %d", header[3], c.sequence)
		}
		c.sequence++
		if size += n; size > lengthMax {
			return nil, 0, errors.New("cannot read a packet: it is longer than 1 GiB")
		}
		if err := c.readPiece(n); err != nil {
			return nil, 0, fmt.Errorf("cannot read a packet: %w", err)
		}
		if n < packetMax {
			return c.buf, size, nil
		}
	}
}

// readPiece appends n bytes to the buffer, as far as they fit.
func (c *Conn) readPiece(n int) error {
	start := len(c.buf)
	kept := min(n, c.max-start)
	c.buf = slices.Grow(c.buf, kept)[:start+kept]
	c.expect(kept)
	if _, err := io.ReadFull(c.r, c.buf[start:]); err != nil {
		return err
	}
	for n -= kept; n > 0; {
		c.expect(1)
		some, err := c.r.Discard(min(n, max(1, c.r.Buffered())))
		if err != nil {
			return err
		}
		n -= some
	}
	return nil
}

// expect bounds the time that n bytes may take to come, unless they are there.
func (c *Conn) expect(n int) {
	if c.r.Buffered() < n {
		_ = c.net.SetReadDeadline(time.Now().Add(c.timeout))
	}
}

func (c *Conn) writePacket(payload []byte) error {
	packet := make([]byte, 4, 4+len(payload))
	packet[0], packet[1], packet[2], packet[3] = byte(len(payload)), byte(len(payload)>>8), byte(len(payload)>>16), c.sequence
	c.sequence++
	if _, err := c.net.Write(append(packet, payload...)); err != nil {
		return fmt.Errorf("cannot write a packet: %w", err)
	}
	return nil
}

// Exec runs a statement without a result, such as SET.
func (c *Conn) Exec(statement string) error {
	_ = c.net.SetDeadline(time.Now().Add(c.timeout))
	c.sequence = 0
	if err := c.writePacket(append([]byte{0x03}, statement...)); err != nil {
		return err
	}
	answer, err := c.readPacket()
	if err != nil {
		return err
	}
	if len(answer) > 0 && answer[0] == 0xff {
		return serverError(answer)
	}
	if len(answer) == 0 || answer[0] != 0 {
		return fmt.Errorf("cannot understand the answer to %q", statement)
	}
	return nil
}

func serverError(packet []byte) error {
	if len(packet) < 3 {
		return errShort
	}
	message := packet[3:]
	if len(message) >= 6 && message[0] == '#' {
		message = message[6:]
	}
	return &ServerError{Code: binary.LittleEndian.Uint16(packet[1:]), Message: string(message)}
}

// Dump asks for the binlog from a place in a file on; for MariaDB with GTIDs, which
// are set as a session variable, the file is "" and the place 4.
func (c *Conn) Dump(r Replica, file string, at uint32) error {
	p := append([]byte{0x12}, 0, 0, 0, 0, 0, 0)
	binary.LittleEndian.PutUint32(p[1:], at)
	p = binary.LittleEndian.AppendUint32(p, r.ServerID)
	return c.dump(r, append(p, file...))
}

// DumpGTID asks a MySQL server for what is not in a set.
func (c *Conn) DumpGTID(r Replica, known *Set) error {
	p := []byte{0x1e, 4, 0}
	p = binary.LittleEndian.AppendUint32(p, r.ServerID)
	p = binary.LittleEndian.AppendUint32(p, 0)
	p = binary.LittleEndian.AppendUint64(p, 4)
	block := known.appendBlock(nil)
	p = binary.LittleEndian.AppendUint32(p, uint32(len(block)))
	return c.dump(r, append(p, block...))
}

func (c *Conn) dump(r Replica, request []byte) error {
	c.sequence, c.max = 0, r.EventMax
	_ = c.net.SetDeadline(time.Time{})
	return c.writePacket(request)
}

// Await waits until a packet begins to come, and is false if none does before the
// deadline.
func (c *Conn) Await(deadline time.Time) (bool, error) {
	if c.r.Buffered() > 0 {
		return true, nil
	}
	if err := c.net.SetReadDeadline(deadline); err != nil {
		return false, fmt.Errorf("cannot wait for a packet: %w", err)
	}
	_, err := c.r.Peek(1)
	var timeout net.Error
	if errors.As(err, &timeout) && timeout.Timeout() {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("cannot read a packet: %w", err)
	}
	return true, nil
}

// ReadEvent returns the next event of a dump, valid until the next call, and how long
// it is: one that is longer than EventMax is not there to its end.
func (c *Conn) ReadEvent() (event []byte, size int, err error) {
	p, size, err := c.readPayload()
	if err != nil {
		return nil, 0, err
	}
	switch {
	case len(p) == 0:
		return nil, 0, errShort
	case p[0] == 0:
		return p[1:], size - 1, nil
	case p[0] == 0xff:
		return nil, 0, serverError(p)
	case p[0] == 0xfe && len(p) < 9:
		return nil, 0, ErrEnded
	}
	return nil, 0, fmt.Errorf("cannot understand a packet of the dump that begins with %d", p[0])
}
