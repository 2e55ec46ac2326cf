package guard

import (
	"runtime/debug"
	"runtime/metrics"
)

const (
	// heapShare of the memory limit is for the heap and what is not, together: the
	// rest is for what grows between two readings.
	heapShare = 0.88
	// heapShareMin is the least the heap gets: below it, the collector would do
	// nothing but collect.
	heapShareMin = 0.2
)

// heap steers the garbage collector. Not safe for concurrent use.
type heap struct {
	managed int64 // what the runtime has from the system
	other   int64 // resident, but not the runtime's: modules, the program itself
	target  int64
}

// steer leaves to the heap what others leave of the limit: modules have their
// memory from the system, and the collector does not know of it. others that
// shrink are forgotten slowly, since they may grow again at once.
func (h *heap) steer(limit, resident int64) {
	samples := []metrics.Sample{{Name: "/memory/classes/total:bytes"}, {Name: "/memory/classes/heap/released:bytes"}}
	metrics.Read(samples)
	if samples[0].Value.Kind() != metrics.KindUint64 || samples[1].Value.Kind() != metrics.KindUint64 {
		return
	}
	h.managed = int64(samples[0].Value.Uint64() - samples[1].Value.Uint64())
	if limit == 0 {
		return
	}
	if other := max(0, resident-h.managed); other > h.other {
		h.other = other
	} else {
		h.other -= (h.other - other) / 16
	}
	target := max(int64(float64(limit)*heapShare)-h.other, int64(float64(limit)*heapShareMin))
	if d := target - h.target; d < -(256<<10) || d > 256<<10 { // setting it is work for the runtime
		h.target = target
		debug.SetMemoryLimit(target)
	}
}

// release collects, and gives to the system what is free.
func (h *heap) release() { debug.FreeOSMemory() }
