//go:build unix && !linux

package access

import "testing"

func asNobody(t *testing.T, _ func()) {
	t.Skip("a thread cannot be another user here: run the test as one")
}
