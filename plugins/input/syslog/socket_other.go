//go:build !linux

package syslog

import (
	"errors"
	"fmt"
	"net"
)

// bufferer is a socket of the system.
type bufferer interface {
	SetReadBuffer(bytes int) error
}

// controlBytes is room for what overflow reads.
const controlBytes = 0

// growBuffer asks the system to keep so many bytes that wait. What it grants is not
// known here.
func growBuffer(s bufferer, bytes int) (granted int, err error) {
	if err := s.SetReadBuffer(bytes); err != nil {
		return 0, fmt.Errorf("cannot set the size: %w", err)
	}
	return bytes, nil
}

func overflow([]byte) (uint32, bool) { return 0, false }

// mailbox receives datagrams one by one. It belongs to one goroutine.
type mailbox struct {
	from net.PacketConn
	buf  []byte
	got  datagram
}

func newMailbox(s bufferer, unixSocket bool) (*mailbox, error) {
	pc, ok := s.(net.PacketConn)
	if !ok {
		return nil, errors.New("it has no datagrams")
	}
	return &mailbox{from: pc, buf: make([]byte, datagramMax)}, nil
}

// receive waits for a datagram.
func (m *mailbox) receive() (int, error) {
	n, from, err := m.from.ReadFrom(m.buf)
	if err != nil {
		return 0, err
	}
	m.got = datagram{bytes: m.buf[:n]}
	if a, ok := from.(*net.UDPAddr); ok {
		m.got.peer = a.AddrPort().Addr()
	}
	return 1, nil
}

func (m *mailbox) at(int) datagram { return m.got }
