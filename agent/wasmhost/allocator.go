package wasmhost

// heapMemory is a linear memory on Go's heap, where none can be reserved.
type heapMemory struct{ b []byte }

// Reallocate implements experimental.LinearMemory.
func (m *heapMemory) Reallocate(size uint64) []byte {
	if uint64(cap(m.b)) >= size {
		m.b = m.b[:size]
		return m.b
	}
	grown := make([]byte, size)
	copy(grown, m.b)
	m.b = grown
	return m.b
}

// Free implements experimental.LinearMemory.
func (m *heapMemory) Free() { m.b = nil }
