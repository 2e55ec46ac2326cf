// Package guard keeps the process within the limits of its configuration:
// processor time, resident memory and descriptors.
//
// It measures what the process as a whole uses, whatever uses it, and slows the
// inputs: whoever is about to give a batch away asks Wait first, and nothing else
// ever waits. It promises that the processor time of any second stays below 1.1
// times the limit as long as what is not a batch (looking for files, saving
// positions, answering requests) stays below the limit by itself, and that the
// resident memory stays below the limit as far as batches fill it. What it cannot
// keep by waiting it says: with an alarm in the log, in Usage, and at last by
// asking for a restart.
//
// Run is the only goroutine, and everything is safe for concurrent use. A limit
// of 0 costs two atomic loads for each batch.
package guard

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sirupsen/logrus"
)

// Limits are what may be used. 0 is no limit.
type Limits struct {
	// CPU in processors, on the average of any second.
	CPU float64
	// Memory is resident, in bytes.
	Memory int64
	// OpenFiles is the number of descriptors of all kinds.
	OpenFiles int
}

// State says what is being done about a limit just now.
type State string

// The states.
const (
	// Free: nothing.
	Free State = "free"
	// Slowed: inputs wait, or did within the last second.
	Slowed State = "slowed"
	// Stopped: inputs stand still until there is room.
	Stopped State = "stopped"
	// Exceeded: waiting does not help; the log says what does.
	Exceeded State = "exceeded"
	// Near: it is nearly reached, and nothing can be done about it here.
	Near State = "near"
)

// Measured is what is used of something, its limit, and what is being done.
type Measured struct {
	// Used is negative where it cannot be known.
	Used, Limit float64
	State       State
	// Waited is how long inputs have waited because of it.
	Waited time.Duration
}

// Usage is what the process uses: processors over the last second, bytes, and
// descriptors.
type Usage struct{ CPU, Memory, OpenFiles Measured }

// Options are what a guard needs.
type Options struct {
	Limits Limits
	Log    logrus.FieldLogger
	// Restart is called, from Run and once at most, when nothing but a new process
	// can keep the memory limit. It must not block.
	Restart func(reason error)
	// Holders names what of the agent's holds memory, in bytes, for the alarm; nil
	// for nothing.
	Holders func() map[string]int64

	// source is the system's; tests have their own.
	source source
}

// source tells what the process uses. Its methods are negative where that cannot
// be known.
type source interface {
	// cpu is the processor time since the process began.
	cpu() time.Duration
	// resident is in bytes.
	resident() int64
	openFiles() int
}

// Guard watches the process. Make it with New.
type Guard struct {
	o       Options
	began   time.Time
	open    atomic.Bool   // nothing is limited
	asked   atomic.Bool   // somebody has asked since the last look
	turn    chan struct{} // holds 1: who waits for the processor asks for it, in order
	changed chan struct{} // holds 1: Run must look now

	mu     sync.Mutex
	limits Limits
	cpu    budget
	memory ladder
	files  int
	waited [2]time.Duration // for the processor, for memory
	lastAt [2]time.Duration // when somebody last did
}

const (
	forCPU    = 0
	forMemory = 1
)

const (
	// tick is how often the process is measured while batches pass, and idleTick
	// while none does. So often are descriptors counted, which is work for each.
	tick     = 100 * time.Millisecond
	idleTick = time.Second
	// startMax of what the process has used before is its start, which counts.
	startMax = 250 * time.Millisecond
	// pollMin and pollMax bound how long one who waits sleeps before it looks again.
	pollMin = 2 * time.Millisecond
	pollMax = 10 * time.Millisecond
)

// New returns a guard that holds its limits from now on; what it does not need to
// be asked for, it does in Run.
func New(o Options) *Guard {
	if o.source == nil {
		o.source = system{}
	}
	g := &Guard{o: o, began: time.Now(), turn: make(chan struct{}, 1), changed: make(chan struct{}, 1), files: -1}
	used := o.source.cpu()
	g.cpu.reset(0, used-min(used, startMax))
	g.SetLimits(o.Limits)
	return g
}

// SetLimits changes the limits at once.
func (g *Guard) SetLimits(l Limits) {
	g.mu.Lock()
	g.limits = l
	g.cpu.setLimit(l.CPU)
	g.memory.setLimit(l.Memory)
	if g.o.source.cpu() < 0 {
		g.cpu.setLimit(0)
	}
	g.refresh()
	g.mu.Unlock()
	g.wake()
}

// wake lets Run look now.
func (g *Guard) wake() {
	select {
	case g.changed <- struct{}{}:
	default:
	}
}

// refresh notes whether anybody has to ask. g.mu is held.
func (g *Guard) refresh() { g.open.Store(g.cpu.limit == 0 && g.memory.gate == gateOpen) }

// now is the time since the guard began.
func (g *Guard) now() time.Duration { return time.Since(g.began) }

// Wait returns how many of bytes may be given away now, at least one unless there
// are none, after as long as the limits ask for. The error is that of ctx.
func (g *Guard) Wait(ctx context.Context, bytes int) (allowed int, err error) {
	if !g.asked.Load() && !g.asked.Swap(true) {
		g.wake()
	}
	if g.open.Load() {
		return bytes, nil
	}
	select {
	case g.turn <- struct{}{}:
		defer func() { <-g.turn }()
	case <-ctx.Done():
		return 0, context.Cause(ctx)
	}
	var timer *time.Timer
	for {
		allowed, pause := g.admit(bytes)
		if pause == 0 {
			return allowed, nil
		}
		if timer == nil {
			timer = time.NewTimer(pause)
			defer timer.Stop()
		} else {
			timer.Reset(pause)
		}
		select {
		case <-timer.C:
		case <-ctx.Done():
			return 0, context.Cause(ctx)
		}
	}
}

// admit lets some of bytes through, or says how long to pause before the next
// attempt.
func (g *Guard) admit(bytes int) (allowed int, pause time.Duration) {
	now, cpu := g.now(), g.o.source.cpu()
	g.mu.Lock()
	defer g.mu.Unlock()
	allowed = bytes
	if allowed, pause = g.memory.admit(now, allowed); pause > 0 {
		g.note(forMemory, now, pause)
		return 0, pause
	}
	if g.cpu.limit == 0 {
		g.memory.admitted(now)
		return allowed, 0
	}
	g.cpu.measure(now, cpu)
	if allowed, pause = g.cpu.admit(now, allowed); pause > 0 {
		pause = min(pause, pollMax)
		g.note(forCPU, now, pause)
		return 0, pause
	}
	g.memory.admitted(now)
	return allowed, 0
}

// note counts a pause. g.mu is held.
func (g *Guard) note(cause int, now, pause time.Duration) {
	g.waited[cause] += pause
	g.lastAt[cause] = now + pause
}

// Run measures until ctx ends, gives memory back to the system when it becomes
// scarce, and raises the alarms.
func (g *Guard) Run(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	heap := heap{}
	var countedAt time.Duration
	restarted := false
	for {
		due := false
		select {
		case <-timer.C:
		case <-g.changed:
			due = true
		case <-ctx.Done():
			return
		}
		if now := g.now(); due || now-countedAt >= idleTick || countedAt == 0 {
			countedAt, due = now, true
			g.countFiles()
		}
		do := g.look()
		if due || do.tight {
			heap.steer(do.limit, do.resident)
		}
		if do.release {
			heap.release()
		}
		if do.alarm {
			g.alarm(heap, do)
		}
		if do.restart != nil && !restarted {
			restarted = true
			g.o.Restart(do.restart)
		}
		if g.asked.Swap(false) || do.tight {
			timer.Reset(tick)
		} else {
			timer.Reset(idleTick)
		}
	}
}

// look measures processor and memory, and returns what is to be done about it.
func (g *Guard) look() action {
	now, cpu, resident := g.now(), g.o.source.cpu(), g.o.source.resident()
	g.mu.Lock()
	defer g.mu.Unlock()
	g.cpu.measure(now, cpu)
	do := g.memory.step(now, resident)
	g.refresh()
	return do
}

func (g *Guard) countFiles() {
	n := g.o.source.openFiles()
	g.mu.Lock()
	was, limit := g.files, g.limits.OpenFiles
	g.files = n
	g.mu.Unlock()
	if isNear(n, limit) && !isNear(was, limit) {
		g.o.Log.WithFields(logrus.Fields{"open_files": n, "limit": limit}).
			Warn("nearly all descriptors are in use: files are read in turns; raise limits.open_files and the system's limit, or follow fewer files")
	}
}

// isNear is true from nine tenths of a limit on.
func isNear(n, limit int) bool { return limit > 0 && n*10 >= limit*9 }

// alarm says that the memory limit is nearly reached, and by what.
func (g *Guard) alarm(h heap, do action) {
	fields := logrus.Fields{
		"resident_bytes": do.resident, "limit_bytes": do.limit, "heap_bytes": h.managed,
		"modules_and_program_bytes": max(0, do.resident-h.managed),
	}
	if g.o.Holders != nil {
		for name, bytes := range g.o.Holders() {
			fields[name] = bytes
		}
	}
	g.o.Log.WithFields(fields).Error("the memory limit is nearly reached, and reading has stopped; raise limits.memory, or give modules less")
}

// Usage returns what was measured last.
func (g *Guard) Usage() Usage {
	now := g.now()
	g.mu.Lock()
	defer g.mu.Unlock()
	recent := func(cause int) bool { return g.waited[cause] > 0 && now-g.lastAt[cause] < time.Second }
	u := Usage{
		CPU:       Measured{Used: g.cpu.past.rate(second), Limit: g.limits.CPU, State: Free, Waited: g.waited[forCPU]},
		Memory:    Measured{Used: float64(g.memory.resident), Limit: float64(g.limits.Memory), State: Free, Waited: g.waited[forMemory]},
		OpenFiles: Measured{Used: float64(g.files), Limit: float64(g.limits.OpenFiles), State: Free},
	}
	switch {
	case g.limits.CPU > 0 && u.CPU.Used > g.limits.CPU*exceeded:
		u.CPU.State = Exceeded
	case g.limits.CPU > 0 && recent(forCPU):
		u.CPU.State = Slowed
	}
	switch {
	case g.memory.limit > 0 && g.memory.resident > g.memory.limit:
		u.Memory.State = Exceeded
	case g.memory.gate == gateShut:
		u.Memory.State = Stopped
	case g.memory.gate == gateNarrow || recent(forMemory):
		u.Memory.State = Slowed
	}
	if isNear(g.files, g.limits.OpenFiles) {
		u.OpenFiles.State = Near
	}
	return u
}
