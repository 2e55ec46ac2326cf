package pipeline

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/sirupsen/logrus"
	"golang.org/x/time/rate"

	"github.com/wasmtail/wasmtail/agent/queue"
	"github.com/wasmtail/wasmtail/internal/telemetry"
)

// RetryError is an error of Output.Send that names the earliest time for the
// next attempt, such as a receiver's Retry-After.
type RetryError struct {
	After time.Duration
	Err   error
}

// Error implements error.
func (e *RetryError) Error() string { return e.Err.Error() }

// Unwrap implements the errors package's contract.
func (e *RetryError) Unwrap() error { return e.Err }

// OutletConfig is what an outlet is made of.
type OutletConfig struct {
	Name   string
	Output Output
	// QueueBytes bounds the encoded payloads that wait, in memory.
	QueueBytes int64
	// Senders is how many payloads are under way at the same time.
	Senders int
	// Bandwidth is shared by all outlets and counts payload bytes; nil: no limit.
	Bandwidth *rate.Limiter
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
}

// The pause before attempt n is random up to min(pauseMax, pauseMin·2ⁿ), so
// that senders, and agents, do not come back all at once.
const (
	pauseMin = 100 * time.Millisecond
	pauseMax = 30 * time.Second
)

// NewOutlet returns an outlet; nothing runs yet.
func NewOutlet(c OutletConfig) (*Outlet, error) {
	o := &Outlet{name: c.Name, output: c.Output, queue: queue.New(c.QueueBytes), c: c}
	var err error
	if o.metrics, err = newOutletMetrics(c.Name); err != nil {
		return nil, fmt.Errorf("cannot make metrics of output %s: %w", c.Name, err)
	}
	return o, nil
}

// Run sends until Close was called and everything is delivered, or ctx ends;
// then what is left is given back unacknowledged.
func (o *Outlet) Run(ctx context.Context) {
	gauge, err := telemetry.BufferBytes.Observe(o.queue.Bytes, o.metrics.all)
	if err != nil {
		o.c.Log.WithError(err).WithField("output", o.name).Error("the waiting bytes of an output cannot be shown in the metrics")
	} else {
		defer func() { _ = gauge.Unregister() }() // it fails only for what is not registered
	}
	var senders sync.WaitGroup
	for range max(1, o.c.Senders) {
		senders.Go(func() {
			for {
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
	o.queue.Discard(fmt.Errorf("output %s stopped before the batch was sent", o.name))
	if c, ok := o.output.(io.Closer); ok {
		if err := c.Close(); err != nil {
			o.c.Log.WithError(err).WithField("output", o.name).Error("an output was not closed well")
		}
	}
}

// Close lets Run return when everything is delivered.
func (o *Outlet) Close() { o.queue.Close() }

// Health is nil while the output delivers, and else the last error.
func (o *Outlet) Health() (err error, since time.Time) { //nolint:revive,staticcheck // the time is the error's
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.failing, o.since
}

// Queued is the number of payload bytes that wait or are under way.
func (o *Outlet) Queued() int64 { return o.queue.Bytes() }

// deliver tries until the payload is delivered, refused for good and kept, or
// ctx ends.
func (o *Outlet) deliver(ctx context.Context, l *queue.Lease) {
	for attempt := 0; ; attempt++ {
		err := o.attempt(ctx, l.Payload)
		if err == nil {
			o.healthy()
			l.Release(nil)
			return
		}
		if errors.Is(err, ErrRejected) {
			keptErr := o.c.Rejected(o.name, l.Payload, err)
			if keptErr == nil {
				o.metrics.rejected(ctx, len(l.Payload))
				o.c.Log.WithError(err).WithField("output", o.name).Error("a batch was refused for good and put aside")
				l.Release(err)
				return
			}
			err = fmt.Errorf("%w; and it cannot be put aside: %w", err, keptErr)
		}
		if ctx.Err() != nil {
			l.Release(context.Cause(ctx))
			return
		}
		o.unhealthy(err)
		if !wait(ctx, pause(attempt, err)) {
			l.Release(context.Cause(ctx))
			return
		}
	}
}

func (o *Outlet) attempt(ctx context.Context, payload []byte) error {
	if lim := o.c.Bandwidth; lim != nil {
		for left := len(payload); left > 0; { // a payload may be larger than the burst
			n := min(left, lim.Burst())
			if err := lim.WaitN(ctx, n); err != nil {
				return err
			}
			left -= n
		}
	}
	start := time.Now()
	err := o.output.Send(ctx, payload)
	o.metrics.attempt(ctx, len(payload), time.Since(start), err)
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

func pause(attempt int, err error) time.Duration {
	ceiling := pauseMax
	if attempt < 16 {
		ceiling = min(pauseMax, pauseMin<<attempt)
	}
	p := time.Duration(rand.Int64N(int64(ceiling))) + pauseMin/10 //nolint:gosec // it spreads attempts, it hides nothing
	var retry *RetryError
	if errors.As(err, &retry) && retry.After > p {
		p = retry.After
	}
	return p
}

// wait reports whether d passed before ctx ended.
func wait(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
