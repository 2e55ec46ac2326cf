package queue

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// bytesOf is what lies in the folder of the queue, by the ends of names.
func (r *rig) bytesOf(suffixes ...string) (sum int64) {
	names, err := r.fs.List(diskDir)
	require.NoError(r.t, err)
	for _, name := range names {
		for _, suffix := range suffixes {
			if strings.HasSuffix(name, suffix) {
				data, err := r.fs.ReadFile(diskDir + "/" + name)
				require.NoError(r.t, err)
				sum += int64(len(data))
			}
		}
	}
	return sum
}

// TestAStreamThatIsNeverEmptyDoesNotGrow, however much goes through it.
func TestAStreamThatIsNeverEmptyDoesNotGrow(t *testing.T) {
	r := newRig(t)
	r.send(1)
	for range 10_000 {
		r.send(1)
		r.take().Release(nil)
	}
	require.Less(t, cap(r.q.streams[1].items), 100)
}
