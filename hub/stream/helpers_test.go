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
	"github.com/wasmtail/wasmtail/internal/specimen"
)

const (
	testAgent      = specimen.Agent
	testGeneration = specimen.Generation
	lineBytes      = specimen.LineBytes
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
	return pieces(t, int64(first*lineBytes), int64(last*lineBytes), specimen.Lines(first, last)...)
}

// pieces encodes a batch of the range with those records.
func pieces(t *testing.T, start, end int64, records ...specimen.Piece) *Batch {
	t.Helper()
	return sealBatch(t, specimen.Group(start, end, records...))
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

// everything selects all of a small ledger.
var everything = Selection{Keep: func(*Entry) bool { return true }, Limit: 100, RangesMax: 100}

func (r *rig) entry() Entry {
	r.t.Helper()
	p := r.stream.Page(everything)
	require.Len(r.t, p.Accounts, 1)
	return p.Accounts[0].Entry
}
