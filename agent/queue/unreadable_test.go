package queue

import (
	"errors"
	"io/fs"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wasmtail/wasmtail/internal/durable"
)

// unreadable is a disk whose segments cannot be opened, or not be read, so many
// times.
type unreadable struct {
	*durable.Mem
	opens, reads int
	why          error
}

func (f *unreadable) Open(name string) (durable.Reader, error) {
	if f.opens--; f.opens >= 0 && strings.HasSuffix(name, segmentSuffix) {
		return nil, f.why
	}
	r, err := f.Mem.Open(name)
	return unreadableReader{r, f}, err
}

type unreadableReader struct {
	durable.Reader
	fs *unreadable
}

func (r unreadableReader) ReadAt(p []byte, at int64) (int, error) {
	if r.fs.reads--; r.fs.reads >= 0 {
		return 0, r.fs.why
	}
	return r.Reader.ReadAt(p, at)
}

// TestDisk_WhatCannotBeReadForAWhileIsNotGivenUp, and keeps its place.
func TestDisk_WhatCannotBeReadForAWhileIsNotGivenUp(t *testing.T) {
	for what, fail := range map[string]func(*unreadable){
		"opened":          func(f *unreadable) { f.opens = 3 },
		"looked through":  func(f *unreadable) { f.reads = 3 },
		"read one by one": nil,
	} {
		t.Run(what, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t)
				disk := &unreadable{Mem: r.fs, why: errors.New("too many open files")}
				r.change = func(d *Disk) { d.FS = disk }
				r.start()
				for i := range 6 {
					r.send(uint64(i % 2))
				}
				r.spill()
				if fail != nil {
					fail(disk)
				} else {
					r.deliver(r.take()) // it is loaded now
					disk.reads = 3
				}
				for range 20 {
					r.drain()
					time.Sleep(brokenPause)
				}
				require.Empty(t, r.lost)
				require.NotEmpty(t, r.failures)
				require.Equal(t, map[uint64][]int{0: {0, 1, 2}, 1: {0, 1, 2}}, r.got)
				require.Zero(t, r.q.DiskBytes())
			})
		})
	}
}

// TestDisk_WhatCanNeverBeReadHoldsUpNothing for long.
func TestDisk_WhatCanNeverBeReadHoldsUpNothing(t *testing.T) {
	for what, fail := range map[string]func(*unreadable){
		"opened":         func(f *unreadable) { f.opens = 1 << 30 },
		"looked through": func(f *unreadable) { f.reads = 1 << 30 },
		"gone":           func(f *unreadable) { f.opens, f.why = 1, fs.ErrNotExist },
	} {
		t.Run(what, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t)
				disk := &unreadable{Mem: r.fs, why: errors.New("input/output error")}
				r.change = func(d *Disk) { d.FS = disk }
				r.start()
				r.send(0)
				r.spill()
				fail(disk)
				for range 20 {
					r.drain()
					time.Sleep(brokenPause)
				}
				require.Len(t, r.lost, 1)
				require.Equal(t, SetAside, r.lost[0].Reason)
				require.False(t, r.q.spilled)
				disk.opens, disk.reads = 0, 0
				r.send(1)
				r.drain()
				require.Len(t, r.got[1], 1)
			})
		})
	}
}
