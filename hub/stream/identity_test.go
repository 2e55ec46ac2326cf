package stream

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wasmtail/wasmtail/internal/loggroup"
)

func TestExtents(t *testing.T) {
	for _, c := range []struct {
		offsets, ends []int64
		want          []Range
	}{
		{[]int64{10, 20, 50}, nil, []Range{{10, 20}, {20, 50}, {50, 90}}},
		{[]int64{10, 20, 50}, []int64{30, 60}, []Range{{10, 20}, {20, 30}, {50, 60}}},
		{[]int64{10, 10, 10, 50}, []int64{40}, []Range{{10, 40}, {10, 40}, {10, 40}, {50, 90}}},
		{[]int64{50, 20}, []int64{60}, []Range{{50, 20}, {20, 60}}},
		{[]int64{20}, []int64{20}, []Range{{20, 90}}},
	} {
		id := Identity{Start: 10, End: 90, Offsets: c.offsets, Ends: c.ends}
		e := extents{id: &id}
		var got []Range
		for i := range c.offsets {
			got = append(got, e.of(i))
		}
		require.Equal(t, c.want, got)
	}
}

func TestIdentify_RefusesEndsOutsideOfTheRange(t *testing.T) {
	for text, ok := range map[string]bool{"": true, "FA": true, "FAI": true, "FAIC": true, "FAIB": false, "FBQ": false, "!": false, "AA": false} {
		g := loggroup.Group{}
		for key, value := range map[string]string{
			loggroup.TagAgent: testAgent, loggroup.TagGeneration: testGeneration, loggroup.TagRange: "0-20", loggroup.TagEnds: text,
		} {
			g.Tags = append(g.Tags, loggroup.Pair{Key: []byte(key), Value: []byte(value)})
		}
		var id Identity
		err := Identify(&id, &g)
		if ok {
			require.NoError(t, err, text)
		} else {
			require.ErrorIs(t, err, ErrTags, text)
		}
	}
}
