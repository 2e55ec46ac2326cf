package record

import (
	"slices"
	"sync"
	"unsafe"
)

const (
	// ChunkBytes is the size of one arena chunk: what is read for a whole batch of
	// the default size fits into one.
	ChunkBytes = 512<<10 + 1<<10
	// fieldChunkLen fields take 192 KiB.
	fieldChunkLen = 4096
)

// chunkPool keeps chunks of one length that no batch uses. All batches share it,
// so that a batch gets the memory that was used last: it is still in the
// processor's cache, where that of a batch's own would have been displaced by
// the batches since.
type chunkPool[T any] struct {
	length int
	free   sync.Pool // of *T, the first element: a pointer costs no allocation
}

func (p *chunkPool[T]) get() []T {
	if first, ok := p.free.Get().(*T); ok {
		return unsafe.Slice(first, p.length)[:0] //nolint:gosec // put took it from a chunk of that length
	}
	return make([]T, 0, p.length)
}

// put takes a chunk back. One of another length, for a value that fits in no
// chunk, goes to the garbage collector.
func (p *chunkPool[T]) put(chunk []T) {
	if cap(chunk) == p.length {
		p.free.Put(unsafe.SliceData(chunk)) //nolint:gosec // get makes the chunk of it again
	}
}

var (
	arenaPool = chunkPool[byte]{length: ChunkBytes}
	fieldPool = chunkPool[Field]{length: fieldChunkLen}
)

// chunks is a bump allocator. It grows by chunks and never moves what it
// handed out.
type chunks[T any] struct {
	list [][]T // the last is in use
}

func (c *chunks[T]) take(n int, pool *chunkPool[T]) []T {
	if last := len(c.list) - 1; last >= 0 {
		chunk := c.list[last]
		if start := len(chunk); cap(chunk)-start >= n {
			c.list[last] = chunk[:start+n]
			return chunk[start : start+n : start+n]
		}
	}
	if n > pool.length { // it is full: the one in use stays the last
		c.list = slices.Insert(c.list, max(0, len(c.list)-1), make([]T, n))
		return c.list[max(0, len(c.list)-2)]
	}
	chunk := pool.get()[:n]
	c.list = append(c.list, chunk)
	return chunk[:n:n]
}

func (c *chunks[T]) reset(pool *chunkPool[T], poison func([]T)) {
	for i, chunk := range c.list {
		if poison != nil {
			poison(chunk[:cap(chunk)])
		}
		pool.put(chunk)
		c.list[i] = nil
	}
	c.list = c.list[:0]
}

var pool = sync.Pool{New: func() any { return new(Batch) }}

// Chunk returns ChunkBytes of memory of unspecified content, owned by the caller,
// who may give it to a batch with Own.
func Chunk() []byte { return arenaPool.get()[:ChunkBytes] }

// Own makes a chunk that Chunk returned, or the beginning of one, part of b's
// arena, and is false, and has done nothing, for other memory. The caller must not
// write to it any more.
func (b *Batch) Own(chunk []byte) bool {
	if cap(chunk) != ChunkBytes {
		return false
	}
	b.arena.list = slices.Insert(b.arena.list, max(0, len(b.arena.list)-1), chunk[:ChunkBytes]) //nolint:gosec // within its capacity
	return true
}

// Get returns an empty batch, owned by the caller.
func Get(origin *Origin) *Batch {
	b := pool.Get().(*Batch)
	b.Origin, b.live = origin, true
	return b
}

// Release ends the life of b and of all that points into it.
func (b *Batch) Release() {
	if !b.live {
		panic("BUG: record.Batch released twice")
	}
	b.Reset()
	b.Origin, b.live = nil, false
	pool.Put(b)
}

// Reset empties b for reuse by its owner.
func (b *Batch) Reset() {
	clear(b.Records)
	b.Records = b.Records[:0]
	b.arena.reset(&arenaPool, poisonBytes)
	b.fields.reset(&fieldPool, poisonFields)
	b.Start, b.End, b.ReadTime, b.Filtered, b.FilteredBytes, b.Reshaped = 0, 0, 0, 0, 0, 0
	b.Final, b.Routed, b.Format, b.Header = false, false, "", nil
}
