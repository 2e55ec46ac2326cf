package stream

import (
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// TestRanges_Model compares with a set of single bytes.
func TestRanges_Model(t *testing.T) {
	const size = 40
	rapid.Check(t, func(t *rapid.T) {
		var rs Ranges
		var model [size + 1]bool
		span := func() (int64, int64) {
			a := rapid.Int64Range(0, size).Draw(t, "start")
			return a, rapid.Int64Range(a, size).Draw(t, "end")
		}
		for range rapid.IntRange(1, 12).Draw(t, "steps") {
			start, end := span()
			rs = rs.Add(start, end)
			for i := start; i < end; i++ {
				model[i] = true
			}
			for i, r := range rs {
				require.Less(t, r[0], r[1], "empty range")
				if i > 0 {
					require.Less(t, rs[i-1][1], r[0], "touching ranges")
				}
			}
			n := int64(0)
			for i := range int64(size) {
				require.Equal(t, model[i], rs.Meets(Range{i, i + 1}))
				if model[i] {
					n++
				}
			}
			require.Equal(t, n, rs.Bytes())
			start, end = span()
			missing := rs.Missing(start, end)
			for i := range int64(size) {
				require.Equal(t, i >= start && i < end && !model[i], missing.Meets(Range{i, i}))
			}
			require.Equal(t, start < end && missing.Bytes() == 0, rs.Covers(start, end))
			if start < end {
				require.Equal(t, missing.Bytes() < end-start, rs.Meets(Range{start, end}))
			}
		}
	})
}

func TestRanges_Gaps(t *testing.T) {
	var rs Ranges
	require.Empty(t, rs.Gaps())
	rs = rs.Add(10, 20).Add(30, 40).Add(45, 50)
	require.Equal(t, Ranges{{20, 30}, {40, 45}}, rs.Gaps())
	require.Equal(t, Ranges{{10, 50}}, rs.Add(15, 46))
}
