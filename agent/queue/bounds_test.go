package queue

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wasmtail/wasmtail/internal/durable"
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

// TestDisk_ATornNoteSpoilsNoOther: a loss of power may leave half of one, and those
// of the next run follow it.
func TestDisk_ATornNoteSpoilsNoOther(t *testing.T) {
	for torn := range ackBytes {
		r := newRig(t)
		for i := range 3 {
			r.send(uint64(i))
		}
		r.spill()
		r.deliver(r.take())
		name := diskDir + "/00000000000000000001" + finishedSuffix
		r.fs.Edit(name, func(notes []byte) []byte { return append(notes, notes[:torn]...) })
		for range 2 {
			r.crash(all)
			r.deliver(r.take())
		}
		require.Zero(t, r.complete())
		require.Zero(t, r.q.DiskBytes())
	}
}

// opened is a disk of which one file cannot be opened for a while.
type opened struct {
	*durable.Mem
	fails string
}

func (f *opened) Append(name string) (durable.File, error) {
	if f.fails != "" && strings.HasSuffix(name, f.fails) {
		return nil, errors.New("too many open files")
	}
	return f.Mem.Append(name)
}

// TestDisk_NotesAreNotOverwritten when they cannot be added to.
func TestDisk_NotesAreNotOverwritten(t *testing.T) {
	r := newRig(t)
	fs := &opened{Mem: r.fs}
	r.change = func(d *Disk) { d.FS = fs }
	for i := range 4 {
		r.send(uint64(i))
	}
	r.spill()
	r.deliver(r.take())
	r.deliver(r.take())
	r.crash(all)
	fs.fails = finishedSuffix
	r.deliver(r.take()) // not noted
	fs.fails = ""
	r.crash(all)
	r.drain()
	require.Equal(t, 1, r.complete())
}

// TestDisk_ANoteThatFailsIsWrittenWithTheNext, or at the end.
func TestDisk_ANoteThatFailsIsWrittenWithTheNext(t *testing.T) {
	for _, fails := range []string{"create", "write"} {
		for _, stopped := range []bool{false, true} {
			r := newRig(t)
			for i := range 4 {
				r.send(uint64(i))
			}
			r.spill()
			r.fs.Fault = func(_ int, op, name string) error {
				if op == fails && strings.HasSuffix(name, finishedSuffix) {
					return errors.New("no space left on device")
				}
				return nil
			}
			r.deliver(r.take())
			r.deliver(r.take())
			r.fs.Fault = nil
			if stopped {
				r.q.Close()
				r.q.Shut(errors.New("stopped"))
			} else {
				r.deliver(r.take())
			}
			r.crash(all)
			r.drain()
			require.Zero(t, r.complete(), "%s, %v", fails, stopped)
		}
	}
}
