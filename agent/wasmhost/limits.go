package wasmhost

import "time"

// Limits bound what one module may cost. The zero value of a member stands for
// its default.
type Limits struct {
	// Memory is the largest linear memory of an instance in bytes, 64 MiB by
	// default, 1 GiB at most. It is reserved in the address space and taken from
	// the system only as it is touched.
	Memory int64
	// Time is how long one call may take, 100 ms by default, 10 s at most.
	Time time.Duration
	// InitTime is how long the start of an instance may take, 2 s by default, 30 s
	// at most.
	InitTime time.Duration
	// Batch is how many bytes of lines a call is given, 128 KiB by default, 4 MiB
	// at most. A longer line is given by itself, up to Line.
	Batch int
	// Line is the longest line a module is given, 1 MiB by default, 4 MiB at most.
	// Longer ones are kept raw.
	Line int
	// Output is how many bytes of values outside of its input a module may return
	// for a call, 4 MiB by default.
	Output int
	// HeldLines and HeldBytes bound what a joiner may leave for the next batch,
	// 1,000 lines and 1 MiB by default.
	HeldLines int
	HeldBytes int
	// Module is the largest module file in bytes, 16 MiB by default, 64 MiB at most.
	Module int64
}

const (
	pageBytes = 64 << 10
	// eventsMax bounds the events of a call: at 16 bytes a line the default batch
	// is full.
	eventsMax = 8192
	// metaBytesMax bounds the JSON object about the source.
	metaBytesMax = 8 << 10
	// slice is how many units an instance may use before it reports to the host.
	// One unit is a turn of a loop or a call: the slice takes 0.3 to 1 ms, in
	// which Go's garbage collector has to wait for the module.
	slice = 200_000
	// replacementsMax bounds the instances that one batch may cost.
	replacementsMax = 8
	// wallFactor bounds the time of a batch with its replacements, in units of
	// Limits.Time.
	wallFactor = 4
)

func (l Limits) orDefault() Limits {
	set := func(v *int, def int) {
		if *v == 0 {
			*v = def
		}
	}
	if l.Memory == 0 {
		l.Memory = 64 << 20
	}
	if l.Module == 0 {
		l.Module = 16 << 20
	}
	if l.Time == 0 {
		l.Time = 100 * time.Millisecond
	}
	if l.InitTime == 0 {
		l.InitTime = 2 * time.Second
	}
	set(&l.Batch, 128<<10)
	set(&l.Line, 1<<20)
	set(&l.Output, 4<<20)
	set(&l.HeldLines, 1000)
	set(&l.HeldBytes, 1<<20)
	return l
}

// regionBytes is what a module must set aside for a call's input.
func (l Limits) regionBytes() int {
	return align8(batchHead + eventsMax*eventBytes + metaBytesMax + max(l.Batch, l.Line) + eventsMax)
}

func align8(n int) int { return (n + 7) &^ 7 }
