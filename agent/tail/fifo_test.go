//go:build unix

package tail

import (
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestDiscovery_NeverOpensFIFOs(t *testing.T) {
	r := newRig(t, dirOf(t), nil)
	defer func() { r.stop() }()
	require.NoError(t, syscall.Mkfifo(r.path("app.log"), 0o644))
	r.settle()
	require.Empty(t, r.tailer.byID)
}
