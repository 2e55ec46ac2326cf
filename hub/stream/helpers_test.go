package stream

import (
	"context"
	"fmt"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/sirupsen/logrus"
	"github.com/stretchr/testify/require"

	"github.com/wasmtail/wasmtail/hub/store"
	"github.com/wasmtail/wasmtail/internal/loggroup"
	"github.com/wasmtail/wasmtail/internal/record"
)

const (
	testAgent      = "0123456789abcdef0123456789abcdef"
	testGeneration = "fedcba9876543210"
	lineBytes      = 10
)

// rig is a stream over a store in a directory.
type rig struct {
	t      *testing.T
	dir    string
	engine *store.Engine
	stream *Stream
	run    func()
	stop   func()
}

// newStopped opens a stream that does not run; change, if not nil, changes its
// options.
func newStopped(t *testing.T, dir string, change func(*Options)) *rig {
	t.Helper()
	const retention = 30 * 24 * time.Hour
	e, err := store.Open(store.Options{Dir: dir + "/store", Retention: retention})
	require.NoError(t, err)
	log := logrus.New()
	log.SetOutput(t.Output())
	o := Options{Dir: dir + "/stream", Writer: e, Querier: e, Retention: retention, Log: log}
	if change != nil {
		change(&o)
	}
	s, err := Open(context.Background(), o)
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	var run sync.WaitGroup
	r := &rig{t: t, dir: dir, engine: e, stream: s}
	r.run = func() { run.Go(func() { _ = s.Run(ctx) }) }
	r.stop = sync.OnceFunc(func() {
		cancel()
		run.Wait()
		s.Close()
		require.NoError(t, e.Close())
	})
	t.Cleanup(r.stop)
	require.NoError(t, s.CreateLogstore(context.Background(), "p", "web"))
	return r
}

// openRig opens a stream, and runs it.
func openRig(t *testing.T, dir string, change func(*Options)) *rig {
	t.Helper()
	r := newStopped(t, dir, change)
	r.run()
	return r
}

// batch encodes the records of lines [first, last): each is lineBytes long.
func batch(t *testing.T, first, last int) *Batch {
	t.Helper()
	b := record.Get(&record.Origin{Generation: testGeneration, Path: "/var/log/app.log", Ledger: &record.Ledger{}})
	defer b.Release()
	b.Start, b.End = int64(first*lineBytes), int64(last*lineBytes)
	now := time.Now()
	for i := first; i < last; i++ {
		r := b.Add([]byte(fmt.Sprintf("line %04d", i)))
		r.Offset, r.Size = int64(i*lineBytes), lineBytes
		r.Time = now.UnixNano()
	}
	raw := loggroup.Append(nil, b, &loggroup.Header{Topic: "t", Source: "10.0.0.1", Tags: []loggroup.Tag{
		{Key: loggroup.TagHostname, Value: "host1"},
		{Key: loggroup.TagPath, Value: "/var/log/app.log"},
		{Key: loggroup.TagAgent, Value: testAgent},
		{Key: loggroup.TagPipeline, Value: "main"},
		{Key: loggroup.TagGeneration, Value: testGeneration},
		{Key: loggroup.TagRange, Value: fmt.Sprintf("%d-%d", b.Start, b.End)},
		{Key: loggroup.TagOffsets, Value: string(loggroup.AppendOffsets(nil, b))},
		{Key: loggroup.TagCounts, Value: fmt.Sprintf("%d,0,0", last-first)},
	}})
	return sealBatch(t, raw)
}

func sealBatch(t *testing.T, raw []byte) *Batch {
	t.Helper()
	var g loggroup.Group
	require.NoError(t, g.Decode(raw))
	id := &Identity{Project: "p", Logstore: "web"}
	require.NoError(t, Identify(id, &g))
	return &Batch{Identity: id, Body: raw, Codec: loggroup.None, RawSize: len(raw)}
}

func (r *rig) publish(b *Batch) bool {
	r.t.Helper()
	repeat, err := r.stream.Publish(context.Background(), b)
	require.NoError(r.t, err)
	return repeat
}

// stored returns how often each offset is in the store.
func (r *rig) stored() map[int]int {
	r.t.Helper()
	got := make(map[int]int)
	err := r.engine.Run(context.Background(), store.Query{Project: "p", LogsQL: `_logstore:="web"`}, func(row []store.Field) error {
		for _, f := range row {
			if f.Name == FieldOffset {
				n, err := strconv.Atoi(f.Value)
				got[n]++
				return err
			}
		}
		return fmt.Errorf("a record without an offset: %v", row)
	})
	require.NoError(r.t, err)
	return got
}

// waitFor waits until the store holds so many records.
func (r *rig) waitFor(n int) {
	r.t.Helper()
	require.Eventually(r.t, func() bool {
		sum := 0
		for _, c := range r.stored() {
			sum += c
		}
		return sum >= n
	}, 20*time.Second, 20*time.Millisecond, "%d records", n)
}

// once checks that lines [0, n) are there once each, and nothing else.
func (r *rig) once(n int) {
	r.t.Helper()
	got := r.stored()
	require.Len(r.t, got, n)
	for i := range n {
		require.Equal(r.t, 1, got[i*lineBytes], "line %d", i)
	}
}

func (r *rig) entry() Entry {
	r.t.Helper()
	all := r.stream.Ledger(func(*Entry) bool { return true })
	require.Len(r.t, all, 1)
	return all[0]
}
