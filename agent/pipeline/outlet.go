package pipeline

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/sirupsen/logrus"
	"go.opentelemetry.io/otel/metric"

	"github.com/wasmtail/wasmtail/agent/queue"
	"github.com/wasmtail/wasmtail/internal/telemetry"
)

// RetryError is an error of Output.Send that says what the setback is about, and
// the earliest time for the next attempt, such as a receiver's Retry-After. Any
// other error is about the output as a whole.
type RetryError struct {
	queue.Setback
	Err error
}

// Error implements error.
func (e *RetryError) Error() string { return e.Err.Error() }

// Unwrap implements the errors package's contract.
func (e *RetryError) Unwrap() error { return e.Err }

// OutletConfig is what an outlet is made of.
type OutletConfig struct {
	Name   string
	Output Output
	// QueueBytes bounds the encoded payloads that wait, in memory; Disk is where
	// they go when they wait for long, nil for nowhere.
	QueueBytes int64
	Disk       *queue.Disk
	// Senders is how many payloads are under way at the same time.
	Senders int
	// Lost is told of what waited on the disk and will not be delivered; nil:
	// nobody is.
	Lost func(queue.Loss)
	// Rejected keeps a payload that the receiver refused for good. While it
	// fails, the payload is tried again.
	Rejected func(output string, payload []byte, reason error) error
	Log      logrus.FieldLogger
}

// Outlet is one configured output with its queue and senders. Pipelines that
// name the same output share its outlet.
type Outlet struct {
	name    string
	output  Output
	queue   *queue.Queue
	c       OutletConfig
	metrics *outletMetrics

	mu      sync.Mutex
	failing error     // the last attempt's error, nil when it was delivered
	since   time.Time // since when it fails
	disk    error     // why the disk could not be used,
	diskAt  time.Time // at that time
}

// refusedPause is how long a payload waits that was refused for good, and cannot
// be put aside either.
const refusedPause = 30 * time.Second

// NewOutlet returns an outlet; nothing runs yet.
func NewOutlet(c OutletConfig) (*Outlet, error) {
	o := &Outlet{name: c.Name, output: c.Output, c: c}
	o.queue = queue.New(queue.Options{BytesMax: c.QueueBytes, Senders: c.Senders, Disk: c.Disk, Lost: o.lost, DiskFails: o.diskFails})
	var err error
	if o.metrics, err = newOutletMetrics(c.Name); err != nil {
		return nil, fmt.Errorf("cannot make metrics of output %s: %w", c.Name, err)
	}
	return o, nil
}

// Run sends until Close was called and everything in memory is delivered, or ctx
// ends; then what is left goes to the disk, or is given back unacknowledged. What
// is on the disk is sent by the next run. Pipelines wait until Run has begun. If ctx
// has ended before, the disk is not touched.
func (o *Outlet) Run(ctx context.Context) {
	defer o.observe()()
	if ctx.Err() == nil { // or else it never ran, and another may be using the folder
		if err := o.queue.Open(); err != nil {
			o.diskFails(err)
		}
	}
	var senders sync.WaitGroup
	for range max(1, o.c.Senders) {
		senders.Go(func() {
			for ctx.Err() == nil { // what was given back must not be taken again
				lease, err := o.queue.Take(ctx)
				if err != nil {
					return
				}
				o.deliver(ctx, lease)
			}
		})
	}
	senders.Wait()
	o.queue.Close()
	o.queue.Shut(fmt.Errorf("output %s stopped before the batch was sent", o.name))
	if c, ok := o.output.(io.Closer); ok {
		if err := c.Close(); err != nil {
			o.c.Log.WithError(err).WithField("output", o.name).Error("an output was not closed well")
		}
	}
}

// observe shows what waits in the metrics, until the function it returns is
// called.
func (o *Outlet) observe() (end func()) {
	var gauges []metric.Registration
	for _, g := range []struct {
		metric *telemetry.Metric
		value  func() int64
	}{{&telemetry.BufferBytes, o.queue.Bytes}, {&telemetry.BufferDiskBytes, o.queue.DiskBytes}} {
		gauge, err := g.metric.Observe(g.value, o.metrics.all)
		if err != nil {
			o.c.Log.WithError(err).WithField("output", o.name).Error("the waiting bytes of an output cannot be shown in the metrics")
			continue
		}
		gauges = append(gauges, gauge)
	}
	return func() {
		for _, g := range gauges {
			_ = g.Unregister() // it fails only for what is not registered
		}
	}
}

// lost reports payloads that will never be delivered.
func (o *Outlet) lost(l queue.Loss) {
	o.metrics.lost(l)
	if o.c.Lost != nil {
		o.c.Lost(l)
	}
	o.c.Log.WithError(l.Err).WithFields(logrus.Fields{
		"output": o.name, "reason": l.Reason, "records": l.Records,
		"path": l.Path, "generation": l.Generation, "start": l.Start, "end": l.End,
	}).Error("a batch that waited on the disk will not be delivered")
}

// diskFails tells of a disk that cannot be used, once a minute.
func (o *Outlet) diskFails(err error) {
	now := time.Now()
	o.mu.Lock()
	news := now.Sub(o.diskAt) >= diskNews
	o.disk = err
	if news {
		o.diskAt = now
	}
	o.mu.Unlock()
	if news {
		o.c.Log.WithError(err).WithField("output", o.name).
			Error("the disk cache cannot be used: while the output is away, logs wait in their files; free space, or look at the disk")
	}
}

// diskNews is how long a failure of the disk is told of.
const diskNews = time.Minute

// DiskError is why the disk cache could not be used within the last minute.
func (o *Outlet) DiskError() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if time.Since(o.diskAt) > diskNews {
		return nil
	}
	return o.disk
}

// Close lets Run return when everything is delivered.
func (o *Outlet) Close() { o.queue.Close() }

// Health is nil while the output delivers, and else the last error.
func (o *Outlet) Health() (err error, since time.Time) { //nolint:revive,staticcheck // the time is the error's
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.failing, o.since
}

// Queued is the number of payload bytes in memory that wait or are under way, and
// of bytes on the disk.
func (o *Outlet) Queued() (memory, disk int64) { return o.queue.Bytes(), o.queue.DiskBytes() }

// deliver makes one attempt.
func (o *Outlet) deliver(ctx context.Context, l *queue.Lease) {
	err := o.attempt(ctx, l)
	if err == nil {
		o.healthy()
		l.Release(nil)
		return
	}
	setback := queue.Setback{}
	var retry *RetryError
	switch {
	case errors.Is(err, ErrRejected):
		keptErr := o.c.Rejected(o.name, l.Payload, err)
		if keptErr == nil {
			o.metrics.rejected(ctx, len(l.Payload))
			o.c.Log.WithError(err).WithField("output", o.name).Error("a batch was refused for good and put aside")
			l.Release(err)
			return
		}
		err = fmt.Errorf("%w; and it cannot be put aside: %w", err, keptErr)
		setback = queue.Setback{Scope: queue.Stream, After: refusedPause}
	case errors.As(err, &retry):
		setback = retry.Setback
	}
	if ctx.Err() != nil {
		l.Return()
		return
	}
	o.unhealthy(err)
	l.Retry(setback)
}

func (o *Outlet) attempt(ctx context.Context, l *queue.Lease) error {
	start := time.Now()
	counting := telemetry.WithWireCount(ctx, func(bytes int64) { o.metrics.wire(ctx, l.Label.Pipeline, bytes) })
	err := o.output.Send(counting, l.Payload)
	o.metrics.attempt(ctx, len(l.Payload), time.Since(start), err)
	return err
}

func (o *Outlet) healthy() {
	o.mu.Lock()
	since, was := o.since, o.failing
	o.failing = nil
	o.mu.Unlock()
	if was != nil {
		o.c.Log.WithField("output", o.name).Infof("delivers again, after %s", time.Since(since).Round(time.Second))
	}
}

func (o *Outlet) unhealthy(err error) {
	o.mu.Lock()
	was := o.failing
	if was == nil {
		o.since = time.Now()
	}
	o.failing = err
	o.mu.Unlock()
	if was == nil {
		o.c.Log.WithError(err).WithField("output", o.name).Warn("cannot deliver; trying again until it heals")
	}
}
