package queue

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

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

// TestDisk_TheAccountOutlivesAReload: what was put aside counts once, however often
// an output is replaced, and what is gone does not.
func TestDisk_TheAccountOutlivesAReload(t *testing.T) {
	for what, edit := range map[string]func([]byte) []byte{
		"whole":          func(b []byte) []byte { return b },
		"cannot be read": func(b []byte) []byte { return make([]byte, len(b)) },
		"another output": func(b []byte) []byte { return replaceHeader(b, segmentMagic+"kafka") },
	} {
		t.Run(what, func(t *testing.T) {
			r := newRig(t)
			r.send(1)
			r.spill()
			r.q.Close()
			r.q.Shut(errors.New("stopped"))
			require.Zero(t, r.budget.Used())
			r.fs.Edit(diskDir+"/00000000000000000001.seg", edit)
			for range 3 {
				r.start()
				r.send(2)
				if l := r.take(); l != nil {
					l.Return()
				}
				require.Equal(t, r.bytesOf(segmentSuffix, badSuffix), r.budget.Used())
				r.q.Close()
				r.q.Shut(errors.New("stopped"))
				require.Zero(t, r.budget.Used(), "it is another's to count")
			}
		})
	}
}

// TestDisk_AFullDiskDoesNotFillUpWithTraces: each attempt to make a segment leaves
// behind what the next one replaces.
func TestDisk_AFullDiskDoesNotFillUpWithTraces(t *testing.T) {
	for _, fails := range []string{"write", "sync", "rename", "syncdir"} {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t)
			r.fs.Fault = func(_ int, op, _ string) error {
				if op == fails {
					return errors.New("no space left on device")
				}
				return nil
			}
			for range 20 {
				r.send(1)
				r.spill()
				time.Sleep(2 * brokenPause)
			}
			names, err := r.fs.List(diskDir)
			require.NoError(t, err)
			require.LessOrEqual(t, len(names), 1, "%s: %v", fails, names)
			r.fs.Fault = nil
			r.send(1)
			r.spill()
			require.Equal(t, r.put[1], r.acked[1])
			r.drain()
			require.Zero(t, r.complete())
		})
	}
}
