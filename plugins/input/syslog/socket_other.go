//go:build !linux

package syslog

import "fmt"

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

func isTruncated(int) bool { return false }
