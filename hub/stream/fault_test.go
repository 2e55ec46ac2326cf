package stream

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/wasmtail/wasmtail/hub/store"
)

// forgetful takes the first rows, shows none of them, and says at the seal that
// they are gone.
type forgetful struct {
	store.Writer
	sealed atomic.Bool
}

func (f *forgetful) Write(ctx context.Context, rows *store.Rows) error {
	if !f.sealed.Load() {
		return nil
	}
	return f.Writer.Write(ctx, rows)
}

func (f *forgetful) Seal(ctx context.Context) (func(context.Context) error, error) {
	if f.sealed.CompareAndSwap(false, true) {
		return func(context.Context) error { return store.ErrIncomplete }, nil
	}
	return f.Writer.Seal(ctx)
}

// unreadable is a bucket that cannot be read the first times.
type unreadable struct {
	jetstream.KeyValue
	failures atomic.Int64
}

func (u *unreadable) WatchAll(ctx context.Context, opts ...jetstream.WatchOpt) (jetstream.KeyWatcher, error) {
	if u.failures.Add(-1) >= 0 {
		return nil, errors.New("no servers available")
	}
	return u.KeyValue.WatchAll(ctx, opts...)
}

func TestStream_WhatAFaultHasLostIsWrittenAgainThoughTheLedgerCannotBeReadAtOnce(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := newStopped(t, dir, func(o *Options) { o.Writer = &forgetful{Writer: o.Writer} })
	bucket := &unreadable{KeyValue: s.stream.bus.ledger}
	bucket.failures.Store(2)
	s.stream.bus.ledger = bucket
	s.publish(batch(t, 0, 10))
	s.run()
	s.waitFor(10)
	s.once(10)
	require.Negative(t, bucket.failures.Load())
}

// late shows no rows before a time.
type late struct {
	store.Querier
	from time.Time
}

func (l *late) Run(ctx context.Context, q store.Query, emit func([]store.Field) error) error {
	if time.Now().Before(l.from) {
		return nil
	}
	return l.Querier.Run(ctx, q, emit)
}

// unsealed cannot seal: what it takes stays unsaved, as in a crash.
type unsealed struct{ store.Writer }

func (unsealed) Seal(context.Context) (func(context.Context) error, error) {
	return nil, errors.New("the power is off")
}

func TestStream_AfterACrashRowsAreLookedForWhenTheyCanBeSeen(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	r := openRig(t, dir, func(o *Options) { o.Writer = unsealed{o.Writer} })
	r.publish(batch(t, 0, 10))
	r.waitFor(10)
	r.stop()
	const visible = 500 * time.Millisecond
	r = openRig(t, dir, func(o *Options) {
		o.VisibleAfter = visible
		o.Querier = &late{o.Querier, time.Now().Add(visible)}
	})
	r.publish(batch(t, 10, 20))
	r.waitFor(20)
	r.once(20)
	require.EqualValues(t, 10, r.stream.Stats(context.Background()).Recovered)
}

func TestStream_RowsAfterAPauseAreVisibleAtOnce(t *testing.T) {
	t.Parallel()
	r := openRig(t, t.TempDir(), nil)
	l := r.stream.Listen()
	defer l.Close()
	least := time.Hour
	for i := range 10 {
		start := time.Now()
		r.publish(batch(t, i, i+1))
		<-l.Ready()
		l.Take()
		least = min(least, time.Since(start))
	}
	require.Less(t, least, flushEvery+flushSoon, "no wait is longer than that, and a busy machine does not matter once in ten")
	r.once(10)
}

// slowPurge holds back the removal of messages.
type slowPurge struct {
	jetstream.Stream
	begun chan struct{} // holds 1
	end   chan struct{}
}

func (s *slowPurge) Purge(ctx context.Context, opts ...jetstream.StreamPurgeOpt) error {
	select {
	case s.begun <- struct{}{}:
	default:
	}
	select {
	case <-s.end:
	case <-ctx.Done():
	}
	return s.Stream.Purge(ctx, opts...)
}

func TestStream_RowsAreVisibleWhileOldMessagesAreRemoved(t *testing.T) {
	t.Parallel()
	s := newStopped(t, t.TempDir(), nil)
	p := &slowPurge{Stream: s.stream.bus.stream, begun: make(chan struct{}, 1), end: make(chan struct{})}
	s.stream.bus.stream = p
	end := sync.OnceFunc(func() { close(p.end) })
	t.Cleanup(end) // before the stop, which waits
	s.run()
	s.publish(batch(t, 0, 10))
	<-p.begun
	s.publish(batch(t, 10, 20))
	s.waitFor(20)
	s.once(20)
	end()
	require.Eventually(t, func() bool { return s.stream.Stats(context.Background()).WaitingBytes == 0 }, 20*time.Second, 20*time.Millisecond)
}
