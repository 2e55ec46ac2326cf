package wasmhost

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestChange_BothVersionsServeUntilTheOldIsClosed: a place whose settings change
// has two modules for a while, and counts go on.
func TestChange_BothVersionsServeUntilTheOldIsClosed(t *testing.T) {
	h, _ := open(t)
	old := laneOf(t, h, Spec{Path: guest(t), Config: []byte(`{"tag":"a"}`)})
	require.Len(t, old.parse("one"), 1)
	same, err := h.Module(context.Background(), Spec{Pipeline: "p", Stage: "wasm#1", Path: guest(t), Config: []byte(`{"tag":"a"}`)})
	require.NoError(t, err)
	require.Same(t, old.m, same, "lanes share it")

	changed := laneOf(t, h, Spec{Path: guest(t), Config: []byte(`{"tag":"b"}`)})
	require.NotSame(t, old.m, changed.m)
	require.Len(t, h.Status(), 2)
	require.Len(t, old.parse("two"), 1)
	require.Len(t, changed.parse("three"), 1)
	old.p.Close()
	require.Len(t, h.Status(), 1)
	require.Equal(t, Serving, h.Status()[0].State)
	require.EqualValues(t, 3, h.Status()[0].Lines, "of both")
	require.Len(t, changed.parse("four"), 1)

	refused := laneOf(t, h, Spec{Path: guest(t) + ".gone"})
	require.ErrorContains(t, refused.m.Refusal(), "cannot open the module")
	require.NoError(t, changed.m.Refusal())
	refused.p.Close()
	require.Len(t, h.Status(), 1)
	changed.p.Close()
	require.Empty(t, h.Status())

	old.p, changed.p, refused.p = old.m.NewParser(), changed.m.NewParser(), refused.m.NewParser() // for the clean-up
}
