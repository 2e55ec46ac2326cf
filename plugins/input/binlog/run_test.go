package binlog

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sirupsen/logrus"
	"github.com/stretchr/testify/require"

	"github.com/wasmtail/wasmtail/agent/checkpoint"
	"github.com/wasmtail/wasmtail/agent/intake"
	"github.com/wasmtail/wasmtail/agent/pipeline"
	"github.com/wasmtail/wasmtail/agent/tail"
	"github.com/wasmtail/wasmtail/internal/config"
	"github.com/wasmtail/wasmtail/internal/durable"
	"github.com/wasmtail/wasmtail/internal/mariadb"
)

const patience = 30 * time.Second

// event is a record that came out of the input.
type event struct {
	line       string
	fields     map[string]string
	generation string
	offset     int64
	time       int64
}

// sink is a pipeline that keeps what it is given.
type sink struct {
	mu      sync.Mutex
	events  []event
	held    []func(error) // while hold, nothing is acknowledged
	hold    bool
	refuse  int // so many batches come back
	changed chan struct{}
}

func newSink() *sink { return &sink{changed: make(chan struct{}, 1)} }

func (s *sink) emit(_ context.Context, d pipeline.Delivery) error {
	s.mu.Lock()
	var err error
	if s.refuse > 0 {
		s.refuse--
		err = errors.New("the output is away")
	}
	for i := range d.Batch.Records {
		r := &d.Batch.Records[i]
		e := event{line: string(r.Raw), fields: map[string]string{}, generation: d.Batch.Origin.Generation, offset: r.Offset, time: r.Time}
		for _, f := range r.Fields {
			e.fields[string(f.Name)] = string(f.Value)
		}
		if err == nil {
			s.events = append(s.events, e)
		}
	}
	hold := s.hold
	if hold {
		s.held = append(s.held, d.Done)
	}
	s.mu.Unlock()
	d.Batch.Release()
	if !hold {
		d.Done(err)
	}
	select {
	case s.changed <- struct{}{}:
	default:
	}
	return nil
}

func (s *sink) all() []event {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]event{}, s.events...)
}

// run is an input that runs.
type run struct {
	t      *testing.T
	in     *Input
	sink   *sink
	stop   func()
	mu     sync.Mutex
	losses []tail.Loss
}

func begin(t *testing.T, store *checkpoint.Store, c Config, s *sink) *run {
	t.Helper()
	config.Defaults(&c)
	config.Defaults(&c.Account)
	c.Validate(func(key, problem string) { t.Errorf("%s %s", key, problem) })
	log := logrus.New()
	log.SetOutput(io.Discard)
	r := &run{t: t, sink: s}
	in, err := New(c, Env{Pipeline: "p", Checkpoints: store, BatchBytes: 4000, Linger: 20 * time.Millisecond, Log: log, Lost: func(l tail.Loss) {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.losses = append(r.losses, l)
	}})
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- in.Run(ctx, s.emit) }()
	r.in = in
	r.stop = sync.OnceFunc(func() {
		cancel()
		require.ErrorIs(t, <-ended, context.Canceled)
	})
	t.Cleanup(r.stop)
	return r
}

// start begins, and waits until the position is known.
func start(t *testing.T, store *checkpoint.Store, c Config, s *sink) *run {
	t.Helper()
	r := begin(t, store, c, s)
	r.until("it is ready", r.in.Ready)
	return r
}

func (r *run) until(what string, condition func() bool) {
	r.t.Helper()
	deadline := time.After(patience)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !condition() {
		select {
		case <-tick.C:
		case <-r.sink.changed:
		case <-deadline:
			require.FailNow(r.t, "in vain waited until "+what, "%+v", r.in.Streams())
		}
	}
}

func (r *run) events(n int) []event {
	r.t.Helper()
	r.until(fmt.Sprintf("%d records are there", n), func() bool { return len(r.sink.all()) >= n })
	all := r.sink.all()
	require.Len(r.t, all, n)
	return all
}

func (r *run) lost() []tail.Loss {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]tail.Loss{}, r.losses...)
}

// rested is that all is acknowledged, up to the end of a transaction.
func (r *run) rested() bool {
	st := r.status()
	return st.Acked == st.Read && !strings.Contains(st.Cursor, "records")
}

func (r *run) status() intake.Status { return r.in.Streams()[0] }

func store(t testing.TB) (*checkpoint.Store, *durable.Mem) {
	t.Helper()
	fs := durable.NewMem()
	return open(t, fs), fs
}

func open(t testing.TB, fs durable.FS) *checkpoint.Store {
	t.Helper()
	s, err := checkpoint.Open(fs, "/s")
	require.NoError(t, err)
	return s
}

// clone is what is durable of fs now.
func clone(t *testing.T, fs *durable.Mem) *durable.Mem {
	t.Helper()
	c := durable.NewMem()
	names, err := fs.List("/s")
	require.NoError(t, err)
	for _, name := range names {
		data, err := fs.ReadFile("/s/" + name)
		require.NoError(t, err)
		require.NoError(t, durable.WriteFile(c, "/s/"+name, data))
	}
	return c
}

func settings(m *mariadb.Server, include ...string) Config {
	c := Config{Hosts: []string{m.Addr}, Include: include, Heartbeat: time.Second}
	c.User = "root"
	return c
}

// server starts one with a binlog.
func server(t testing.TB, args ...string) *mariadb.Server {
	t.Helper()
	m := mariadb.Start(t, append([]string{"--log-bin=b", "--server-id=1", "--binlog-format=ROW", "--character-set-server=utf8mb4", "--sync-binlog=0"}, args...)...)
	m.Exec("CREATE DATABASE d")
	return m
}
