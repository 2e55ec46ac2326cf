package syslog

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// bufferer is a socket of the system.
type bufferer interface {
	SyscallConn() (syscall.RawConn, error)
}

// controlBytes is room for what overflow reads.
const controlBytes = 64

// growBuffer asks the system to keep so many bytes that wait, and to say how many
// datagrams it could not. It returns how many bytes are granted.
func growBuffer(s bufferer, bytes int) (granted int, err error) {
	raw, err := s.SyscallConn()
	if err != nil {
		return 0, fmt.Errorf("cannot reach the socket: %w", err)
	}
	failed := raw.Control(func(fd uintptr) {
		if unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, bytes) != nil {
			err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUF, bytes)
		}
		_ = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RXQ_OVFL, 1) // unix sockets lose nothing
		if err == nil {
			granted, err = unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUF)
		}
	})
	if err == nil {
		err = failed
	}
	return granted / 2, err // the system doubles what it is asked for: see socket(7)
}

// overflow is how many datagrams the system has dropped so far, from the control data
// of one that it has not.
func overflow(control []byte) (uint32, bool) {
	for len(control) >= unix.SizeofCmsghdr+4 {
		h, data, rest, err := unix.ParseOneSocketControlMessage(control)
		if err != nil {
			return 0, false
		}
		if h.Level == unix.SOL_SOCKET && h.Type == unix.SO_RXQ_OVFL && len(data) >= 4 {
			return binary.NativeEndian.Uint32(data), true
		}
		control = rest
	}
	return 0, false
}

// mailbox receives datagrams, as many as there are with one system call: recvmmsg(2),
// for which golang.org/x/sys has no wrapper, and golang.org/x/net one that allocates
// for each. It belongs to one goroutine.
type mailbox struct {
	raw   syscall.RawConn
	heads []head
	parts []unix.Iovec
	names []unix.RawSockaddrInet6 // or those of IPv4, which are smaller
	oobs  []byte
	got   int
	errno syscall.Errno
	call  func(fd uintptr) bool
	dirty int // how many heads the last call has written to

	zone     uint32 // the interface of the last peer that had one
	zoneName string
}

// head is struct mmsghdr of the system.
type head struct {
	unix.Msghdr

	n uint32
}

// newMailbox returns one for a socket; unix says that it is a unix socket.
func newMailbox(s bufferer, unixSocket bool) (*mailbox, error) {
	raw, err := s.SyscallConn()
	if err != nil {
		return nil, fmt.Errorf("cannot reach the socket: %w", err)
	}
	size := packetMax
	if unixSocket {
		size = datagramMax
	}
	n := mailboxBytes / size
	m := &mailbox{
		raw: raw, heads: make([]head, n), parts: make([]unix.Iovec, n), names: make([]unix.RawSockaddrInet6, n),
		oobs: make([]byte, n*controlBytes), dirty: n,
	}
	memory := make([]byte, n*size)
	for i := range n {
		m.parts[i].Base = &memory[i*size]
		m.parts[i].SetLen(size)
		h := &m.heads[i]
		h.Iov = &m.parts[i]
		h.SetIovlen(1)
		h.Name = (*byte)(unsafe.Pointer(&m.names[i])) //nolint:gosec // the system writes bytes to it
		h.Control = &m.oobs[i*controlBytes]
	}
	m.call = m.read
	return m, nil
}

// receive waits for datagrams, and returns how many it has got. What at returned
// before is gone.
func (m *mailbox) receive() (int, error) {
	for i := range m.heads[:m.dirty] {
		h := &m.heads[i]
		h.Namelen, h.Flags = unix.SizeofSockaddrInet6, 0
		h.SetControllen(controlBytes)
	}
	m.got, m.dirty, m.errno = 0, 0, 0
	if err := m.raw.Read(m.call); err != nil {
		return 0, err
	}
	m.dirty = m.got
	if m.errno != 0 {
		m.dirty = len(m.heads)
		return 0, fmt.Errorf("cannot receive: %w", m.errno)
	}
	return m.got, nil
}

// read is false if there is nothing: then the caller waits.
func (m *mailbox) read(fd uintptr) bool {
	for {
		//nolint:gosec // the heads, and what they point to, outlive the call
		n, _, errno := unix.Syscall6(unix.SYS_RECVMMSG, fd, uintptr(unsafe.Pointer(&m.heads[0])), uintptr(len(m.heads)), unix.MSG_DONTWAIT, 0, 0)
		switch errno {
		case 0:
			m.got = int(n)
		case unix.EINTR:
			continue
		case unix.EAGAIN:
			return false
		default:
			m.errno = errno
		}
		return true
	}
}

// at is one of those that the last call has got.
func (m *mailbox) at(i int) datagram {
	h := &m.heads[i]
	d := datagram{
		bytes:     unsafe.Slice(m.parts[i].Base, h.n), //nolint:gosec // the system has written so many
		control:   m.oobs[i*controlBytes : i*controlBytes+min(int(h.Controllen), controlBytes)],
		truncated: h.Flags&unix.MSG_TRUNC != 0,
	}
	name := &m.names[i]
	switch {
	case h.Namelen >= unix.SizeofSockaddrInet4 && name.Family == unix.AF_INET:
		d.peer = netip.AddrFrom4((*unix.RawSockaddrInet4)(unsafe.Pointer(name)).Addr) //nolint:gosec // the family says so
	case h.Namelen >= unix.SizeofSockaddrInet6 && name.Family == unix.AF_INET6:
		d.peer = netip.AddrFrom16(name.Addr)
		if name.Scope_id != 0 {
			d.peer = d.peer.WithZone(m.zoneOf(name.Scope_id))
		}
	}
	return d
}

// zoneOf is the name of a network interface, where an address is of that alone. To ask
// the system takes longer than all else, so it is asked when the interface changes.
func (m *mailbox) zoneOf(index uint32) string {
	if index == m.zone {
		return m.zoneName
	}
	m.zone, m.zoneName = index, strconv.Itoa(int(index))
	if i, err := net.InterfaceByIndex(int(index)); err == nil {
		m.zoneName = i.Name
	}
	return m.zoneName
}
