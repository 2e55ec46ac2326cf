package queue

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wasmtail/wasmtail/internal/durable"
)

func TestWaiting_ListsWhatIsNotDelivered(t *testing.T) {
	nothing, err := Waiting(durable.OS{}, t.TempDir()+"/none")
	require.NoError(t, err)
	require.Empty(t, nothing)

	r := newRig(t)
	var want []Label
	for i := range 6 {
		r.send(7)
		want = append(want, r.label(7, i))
	}
	r.spill()
	list := func() []Label {
		labels, err := Waiting(r.fs, diskDir)
		require.NoError(t, err)
		return labels
	}
	require.Equal(t, want, list(), "while its queue is open")
	r.deliver(r.take())
	r.deliver(r.take())
	require.Equal(t, want[2:], list())
	r.crash(all)
	require.Equal(t, want[2:], list(), "after a crash")
	r.drain()
	require.Empty(t, list())
}
