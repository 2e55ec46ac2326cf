package stream

import "slices"

// Range is a span of bytes of a file: from Range[0] to before Range[1].
type Range [2]int64

// Ranges are sorted, disjoint, not adjacent and not empty.
type Ranges []Range

// Add returns the ranges with [start, end) in them. It may reuse rs.
func (rs Ranges) Add(start, end int64) Ranges {
	if start >= end {
		return rs
	}
	// The ranges from i to before j touch the new one.
	i, _ := slices.BinarySearchFunc(rs, start, func(r Range, at int64) int { return cmpEdge(r[1], at) })
	j := i
	for j < len(rs) && rs[j][0] <= end {
		start, end = min(start, rs[j][0]), max(end, rs[j][1])
		j++
	}
	return slices.Replace(rs, i, j, Range{start, end})
}

// cmpEdge finds the first range whose end is at or after a position.
func cmpEdge(end, at int64) int {
	if end < at {
		return -1
	}
	return 1
}

// Missing returns the parts of [start, end) that are not in rs.
func (rs Ranges) Missing(start, end int64) Ranges {
	var out Ranges
	i, _ := slices.BinarySearchFunc(rs, start, func(r Range, at int64) int { return cmpEdge(r[1], at) })
	for ; i < len(rs) && rs[i][0] < end; i++ {
		if rs[i][0] > start {
			out = append(out, Range{start, rs[i][0]})
		}
		start = max(start, rs[i][1])
	}
	if start < end {
		out = append(out, Range{start, end})
	}
	return out
}

// Meets reports whether a byte of r is in rs; where r is empty, the byte at its
// start counts.
func (rs Ranges) Meets(r Range) bool {
	i, _ := slices.BinarySearchFunc(rs, r[0], func(r Range, at int64) int {
		if r[1] <= at {
			return -1
		}
		return 1
	})
	return i < len(rs) && rs[i][0] < max(r[1], r[0]+1)
}

// Covers reports whether all of [start, end) is in rs.
func (rs Ranges) Covers(start, end int64) bool {
	return start < end && len(rs.Missing(start, end)) == 0
}

// Bytes is the sum of the lengths.
func (rs Ranges) Bytes() (n int64) {
	for _, r := range rs {
		n += r[1] - r[0]
	}
	return n
}

// Gaps returns what lies between the ranges.
func (rs Ranges) Gaps() Ranges {
	if len(rs) < 2 {
		return Ranges{}
	}
	return rs.Missing(rs[0][0], rs[len(rs)-1][1])
}

// Bounds are where the first range begins and the last one ends; both are 0 if
// there is none.
func (rs Ranges) Bounds() (start, end int64) {
	if len(rs) == 0 {
		return 0, 0
	}
	return rs[0][0], rs[len(rs)-1][1]
}
