//go:build unix

package wasmhost

import (
	"github.com/tetratelabs/wazero/experimental"
	"golang.org/x/sys/unix"
)

// reserve allocates linear memories outside of Go's heap: all the module may
// ever have is reserved as addresses, so that growing copies nothing and moves
// nothing, and neither wakes the garbage collector nor counts for it.
func reserve(_, most uint64) experimental.LinearMemory {
	if most == 0 {
		return &reserved{}
	}
	all, err := unix.Mmap(-1, 0, int(most), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON|unix.MAP_NORESERVE)
	if err != nil {
		return &heapMemory{}
	}
	return &reserved{all: all}
}

// reserved is one linear memory.
type reserved struct{ all []byte }

// Reallocate implements experimental.LinearMemory.
func (m *reserved) Reallocate(size uint64) []byte {
	if size > uint64(len(m.all)) {
		return nil
	}
	return m.all[:size:len(m.all)]
}

// Free implements experimental.LinearMemory. Nothing reads the memory of an
// instance after it was closed.
func (m *reserved) Free() {
	if m.all != nil {
		_ = unix.Munmap(m.all)
		m.all = nil
	}
}
