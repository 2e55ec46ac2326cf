package agent

import (
	"context"
	"errors"
	"math"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	"golang.org/x/sys/unix"
	"golang.org/x/time/rate"

	"github.com/wasmtail/wasmtail/agent/guard"
	"github.com/wasmtail/wasmtail/agent/pipeline"
	"github.com/wasmtail/wasmtail/internal/config"
	"github.com/wasmtail/wasmtail/internal/record"
	"github.com/wasmtail/wasmtail/internal/telemetry"
)

// openFilesAllowed is how many descriptors this process may have: what the
// configuration says, or all the system allows.
func openFilesAllowed(l config.Limits) int {
	var r unix.Rlimit
	allowed := 1024
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &r); err == nil {
		allowed = int(min(r.Cur, 1<<20))
	}
	if l.OpenFiles > 0 {
		return min(l.OpenFiles, allowed)
	}
	return allowed
}

// inputFilesMax is how many files each input may hold open: an equal share of what
// the process may, without a reserve for connections and the agent's own files.
// More than enoughFiles make no difference, so that another pipeline does not
// change the share of the others where there is plenty.
func inputFilesMax(f *config.File) int {
	const reserveMin, reserveMax, enoughFiles = 48, 256, 1 << 17
	allowed := openFilesAllowed(f.Limits)
	reserve := min(max(allowed/4, reserveMin), reserveMax)
	return min(max(1, (allowed-reserve)/max(1, len(f.Pipelines))), enoughFiles)
}

// batchOf is how many records of a pipeline travel together: what is configured,
// but of the size no more than the memory limit has room for. A batch that is read
// is held, whatever memory is left then. It is there several times over: read, in
// the lane, encoded, compressed and under way, with a record of a hundred bytes or
// more for each line; for each worker.
func batchOf(f *config.File, name string) config.Batch {
	const timesOver = 64
	workers := 0
	for _, p := range f.Pipelines {
		workers += p.Workers
	}
	b := f.Pipelines[name].Batch
	b.Size = min(b.Size, max(64*config.KiB, f.Limits.Memory/timesOver/config.Size(max(1, workers))))
	return b
}

func guardLimits(l config.Limits) guard.Limits {
	return guard.Limits{CPU: l.CPU, Memory: int64(l.Memory), OpenFiles: openFilesAllowed(l)}
}

// applyLimits makes limits hold from now on.
func (a *agent) applyLimits(l config.Limits) {
	a.guard.SetLimits(guardLimits(l))
	// No more processors at once than the average allows, so that a collection of
	// garbage does not use all there are.
	procs := a.processors
	if limit := int(math.Ceil(l.CPU)); limit > 0 && limit < procs {
		procs = limit
	}
	if procs != runtime.GOMAXPROCS(0) {
		runtime.GOMAXPROCS(procs)
	}
	a.disk.SetMax(int64(l.Disk))
	limitRate(a.bandwidth, l.Bandwidth)
	for name, own := range a.bandwidths {
		limitRate(own, l.OutputBandwidth[name])
	}
}

// limitRate sets a limit of bytes a second, 0 for none. A burst of a twentieth of a
// second keeps any second below 1.1 times the limit, with what the system adds to
// the bytes.
func limitRate(r *rate.Limiter, bytes config.Size) {
	if bytes == 0 {
		r.SetLimit(rate.Inf)
		r.SetBurst(math.MaxInt32)
		return
	}
	r.SetLimit(rate.Limit(bytes))
	r.SetBurst(max(1, int(bytes)/20))
}

// restart asks for a new process. It does not block.
func (a *agent) restart(reason error) {
	if a.o.RestartNeeded != nil {
		a.o.RestartNeeded(reason)
		return
	}
	select {
	case a.exhausted <- reason:
	default:
	}
}

// holders are what waits in memory for each output, in bytes.
func (a *agent) holders() map[string]int64 {
	a.mu.Lock()
	outlets := a.active.outlets
	a.mu.Unlock()
	held := map[string]int64{}
	for name, o := range outlets {
		held["waiting_bytes_"+name], _ = o.Queued()
	}
	return held
}

// speed is how many bytes were written to the wires within the last second. Safe
// for concurrent use; measureSpeed sets it.
type speed struct{ bytes atomic.Int64 }

// measureSpeed measures every second until ctx ends.
func (a *agent) measureSpeed(ctx context.Context) {
	ticker := time.NewTicker(time.Second)
	defer ticker.Stop()
	for last, at := a.wireBytes(), time.Now(); ; {
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
		total, now := a.wireBytes(), time.Now()
		a.speed.bytes.Store(int64(float64(total-last) / now.Sub(at).Seconds()))
		last, at = total, now
	}
}

// wireBytes is how many bytes all outputs have written.
func (a *agent) wireBytes() (total int64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, w := range a.wires {
		total += w.Bytes()
	}
	return total
}

// LimitStatus is what is used of one limit, measured every second or finer.
type LimitStatus struct {
	// Name is the key below limits in the configuration, and Unit that of Used and
	// Limit: processors, bytes, bytes/s or files.
	Name string `json:"name"`
	Unit string `json:"unit"`
	// Used is -1 where it cannot be known; a Limit of 0 is none.
	Used  float64 `json:"used"`
	Limit float64 `json:"limit"`
	// State is what is being done about it now: free, slowed, stopped, near or
	// exceeded.
	State guard.State `json:"state"`
	// Waited is how long reading has waited for it since the start, in seconds.
	Waited float64 `json:"waited_seconds,omitempty"`
}

// limits are the limits of a configuration as they are used, in its order.
func (a *agent) limits(l config.Limits) []LimitStatus {
	u := a.guard.Usage()
	of := func(name, unit string, m guard.Measured) LimitStatus {
		return LimitStatus{Name: name, Unit: unit, Used: m.Used, Limit: m.Limit, State: m.State, Waited: m.Waited.Seconds()}
	}
	bandwidth := guard.Measured{Used: float64(a.speed.bytes.Load()), Limit: float64(l.Bandwidth), State: guard.Free}
	if l.Bandwidth > 0 && (a.bandwidth.Tokens() < 0 || bandwidth.Used > 0.95*bandwidth.Limit) {
		bandwidth.State = guard.Slowed
	}
	disk := guard.Measured{Used: float64(a.disk.Used()), Limit: float64(l.Disk), State: guard.Free}
	if l.Disk > 0 && disk.Used > 0.9*disk.Limit {
		disk.State = guard.Near
	}
	return []LimitStatus{
		of("cpu", "processors", u.CPU), of("memory", "bytes", u.Memory), of("bandwidth", "bytes/s", bandwidth),
		of("disk", "bytes", disk), of("open_files", "files", u.OpenFiles),
	}
}

// observe shows the agent itself in the metrics, until the function it returns is
// called. That is never nil.
func (a *agent) observe() (end func(), err error) {
	var shown []metric.Registration
	end = func() {
		for _, r := range shown {
			_ = r.Unregister() // it fails only for what is not registered
		}
	}
	show := func(m *telemetry.Metric, value func() int64, labels ...attribute.KeyValue) {
		r, failed := m.Observe(value, metric.WithAttributes(labels...))
		if failed != nil {
			err = errors.Join(err, failed)
			return
		}
		shown = append(shown, r)
	}
	show(&telemetry.ConfigRefused, a.refusedConfigs)
	for i, limit := range a.limits(a.o.File.Limits) {
		label := attribute.String("limit", limit.Name)
		scale := 1.0
		if limit.Name == "cpu" {
			scale = 1000
		}
		now := func() LimitStatus {
			a.mu.Lock()
			file := a.active.file
			a.mu.Unlock()
			return a.limits(file.Limits)[i]
		}
		show(&telemetry.LimitUsed, func() int64 { return int64(math.Round(now().Used * scale)) }, label)
		show(&telemetry.LimitMax, func() int64 { return int64(math.Round(now().Limit * scale)) }, label)
		show(&telemetry.LimitWaited, func() int64 { return int64(now().Waited * 1000) }, label)
	}
	return end, err
}

// gated is an input whose batches wait for the guard. Safe for concurrent use as
// far as the input is.
type gated struct {
	pipeline.Input
	// wait is guard.Guard.Wait.
	wait func(ctx context.Context, bytes int) (allowed int, err error)
}

// Run implements pipeline.Input.
func (g gated) Run(ctx context.Context, emit pipeline.Emit) error {
	return g.Input.Run(ctx, func(ctx context.Context, d pipeline.Delivery) error {
		size := int(d.Batch.End - d.Batch.Start)
		allowed, err := g.wait(ctx, size)
		if err != nil {
			return err
		}
		if allowed >= size || len(d.Batch.Records) < 2 {
			return emit(ctx, d)
		}
		return g.inPieces(ctx, emit, d, allowed)
	})
}

// inPieces emits a delivery in pieces of whole records, the first of about the
// allowed size. What was begun is given away to its end, at once if ctx ends.
func (g gated) inPieces(ctx context.Context, emit pipeline.Emit, d pipeline.Delivery, allowed int) error {
	b := d.Batch
	report := &report{left: 1, done: d.Done}
	for from := 0; from < len(b.Records); {
		start := b.Records[from].Offset
		to := from + 1
		for to < len(b.Records) && b.Records[to].Offset+b.Records[to].Size-start <= int64(allowed) {
			to++
		}
		emitting := ctx
		if from > 0 {
			emitting = context.WithoutCancel(ctx)
		}
		piece := cut(b, from, to)
		report.add()
		if err := emit(emitting, pipeline.Delivery{Batch: piece, Done: report.one}); err != nil {
			piece.Release()
			if from == 0 {
				return err
			}
			report.one(err)
		}
		if from = to; from < len(b.Records) {
			rest := int(b.End - b.Records[from].Offset)
			var err error
			if allowed, err = g.wait(ctx, rest); err != nil {
				allowed = rest
			}
		}
	}
	b.Release()
	report.one(nil)
	return nil
}

// cut returns a batch of some records of b, with memory of its own. It accounts
// for the bytes up to where the next record begins.
func cut(b *record.Batch, from, to int) *record.Batch {
	piece := record.Get(b.Origin)
	piece.Start, piece.End, piece.ReadTime = b.Start, b.End, b.ReadTime
	if from > 0 {
		piece.Start = b.Records[from].Offset
	} else {
		piece.Filtered, piece.FilteredBytes, piece.Reshaped = b.Filtered, b.FilteredBytes, b.Reshaped
	}
	if to < len(b.Records) {
		piece.End = b.Records[to].Offset
	} else {
		piece.Final = b.Final
	}
	for i := from; i < to; i++ {
		piece.Records = append(piece.Records, piece.Adopt(&b.Records[i]))
	}
	return piece
}

// report waits for the word of every piece and passes the worst of them on.
type report struct {
	mu   sync.Mutex
	left int
	err  error
	done func(error)
}

// add waits for one word more.
func (r *report) add() {
	r.mu.Lock()
	r.left++
	r.mu.Unlock()
}

func (r *report) one(err error) {
	r.mu.Lock()
	if r.err == nil || errors.Is(r.err, pipeline.ErrRejected) && err != nil { // a refusal counts as delivered
		r.err = err
	}
	r.left--
	last := r.left == 0
	r.mu.Unlock()
	if last {
		r.done(r.err)
	}
}
