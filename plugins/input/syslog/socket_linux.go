package syslog

import (
	"encoding/binary"
	"fmt"
	"syscall"

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

func isTruncated(flags int) bool { return flags&unix.MSG_TRUNC != 0 }
