package tail

import (
	"bytes"
	"slices"
	"time"
)

const (
	// copySettle is how long a file that could be a copy in the making is left
	// alone after it last grew.
	copySettle = int64(3 * time.Second)
	// copySure is the size from which equal content is a copy, even if nothing
	// else says so.
	copySure = 4096
)

// settleCopy decides whether n is a copy of a generation that is followed. Until
// the original is truncated, see truncated, or n has rested for a while, it
// waits.
func (t *Tailer) settleCopy(n *newcomer, now int64) (done, waits bool) {
	for _, g := range t.families[n.family] {
		if g.finished || g.spooled || g.fd < 0 || g.id == n.st.id {
			continue
		}
		if !t.intact(g) {
			if g.source != nil {
				t.schedule(g) // its reader finds it truncated
				return false, true
			}
			continue
		}
		if !t.prefixOf(n, g) {
			continue
		}
		n.copyOf = g
		if now-n.grown < copySettle && n.st.links > 0 {
			return false, true
		}
		if !n.included || n.st.size >= copySure {
			t.begin(n, n.st.size, true)
			return true, false
		}
	}
	return false, false
}

// followed reports whether all of n is the beginning of a file that is open, or can
// be because that file was truncated and what it was is still to be found out, see
// truncated. That n also begins like a file that is gone then says nothing.
func (t *Tailer) followed(n *newcomer) bool {
	if g := n.copyOf; g != nil && t.byID[g.id] == g {
		return true
	}
	return slices.ContainsFunc(t.families[n.family], func(g *generation) bool {
		if g.finished || g.spooled || g.fd < 0 || g.id == n.st.id {
			return false
		}
		if !t.intact(g) {
			return g.source != nil
		}
		return t.prefixOf(n, g)
	})
}

// intact reports whether the bytes of g that were read are still there.
func (t *Tailer) intact(g *generation) bool {
	read, marker, head := g.progress()
	return (read >= int64(head.n) || sameHead(g.fd, head, t.head[:])) && sameMarker(g.fd, read, marker, t.head[:])
}

// compareBytes is how much of the end of a copy is compared with its original.
const compareBytes = 32 << 10

// prefixOf reports whether n is a copy of g or of its beginning: as the ends of
// log files differ, its own end is compared, and its head.
func (t *Tailer) prefixOf(n *newcomer, g *generation) bool {
	if t.scratch == nil {
		t.scratch = make([]byte, 2*compareBytes)
	}
	return sameBytes(n, g, 0, t.scratch) && sameBytes(n, g, max(0, n.st.size-compareBytes), t.scratch)
}

// sameBytes compares up to half of scratch at off.
func sameBytes(n *newcomer, g *generation, off int64, scratch []byte) bool {
	size := min(int64(len(scratch)/2), n.st.size-off)
	mine, theirs := scratch[:size], scratch[size:2*size]
	a, err := readAt(n.fd, mine, off)
	if err != nil {
		return false
	}
	b, err := readAt(g.fd, theirs, off)
	return err == nil && bytes.Equal(mine[:a], theirs[:b])
}
