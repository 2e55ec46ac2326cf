package record

import "sync"

const (
	// arenaChunkBytes is the size of one arena chunk: a whole batch of the
	// default size fits into one.
	arenaChunkBytes = 512 << 10
	// fieldChunkLen fields take 192 KiB.
	fieldChunkLen = 4096
	// poolChunksMax is how many chunks a pooled batch keeps: one huge batch
	// must not hold its memory for ever.
	poolChunksMax = 4
)

// chunks is a bump allocator. It grows by chunks and never moves what it
// handed out.
type chunks[T any] struct {
	list [][]T // list[:cur] are full, list[cur] is in use
	cur  int
}

func (c *chunks[T]) take(n, chunkLen int) []T {
	for c.cur < len(c.list) {
		chunk := c.list[c.cur]
		if cap(chunk)-len(chunk) >= n {
			start := len(chunk)
			c.list[c.cur] = chunk[:start+n]
			return chunk[start : start+n : start+n]
		}
		c.cur++
	}
	chunk := make([]T, n, max(n, chunkLen))
	c.list = append(c.list, chunk)
	c.cur = len(c.list) - 1
	return chunk[:n:n]
}

func (c *chunks[T]) reset(chunkLen int, poison func([]T)) {
	kept := c.list[:0]
	for _, chunk := range c.list {
		if poison != nil {
			poison(chunk[:cap(chunk)])
		}
		if cap(chunk) == chunkLen && len(kept) < poolChunksMax {
			kept = append(kept, chunk[:0])
		}
	}
	clear(c.list[len(kept):])
	c.list, c.cur = kept, 0
}

var pool = sync.Pool{New: func() any { return new(Batch) }}

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
	b.arena.reset(arenaChunkBytes, poisonBytes)
	b.fields.reset(fieldChunkLen, poisonFields)
	b.Start, b.End, b.ReadTime, b.Filtered, b.FilteredBytes, b.Reshaped = 0, 0, 0, 0, 0, 0
	b.Final, b.Routed = false, false
}
