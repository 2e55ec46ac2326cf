// Package syslog listens for syslog messages over UDP, TCP, TLS and unix sockets.
//
// It promises that each message that was read becomes a record, that what cannot be
// parsed is kept whole, and that connections are not read while the pipeline has no
// room. Senders get no acknowledgement, because the protocol has none: what the system
// has taken for a process that is killed is gone, as docs/inputs/syslog.md explains.
//
// Run starts a goroutine for each address, connection and lane, and waits for them.
// Streams and Ready are safe for concurrent use.
package syslog

import (
	"context"
	"fmt"
	"hash/fnv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sirupsen/logrus"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"github.com/wasmtail/wasmtail/agent/intake"
	"github.com/wasmtail/wasmtail/agent/pipeline"
	"github.com/wasmtail/wasmtail/internal/telemetry"
)

// Env is what the agent lends the input.
type Env struct {
	Pipeline string
	// Lanes is how many batches the pipeline works on at the same time.
	Lanes int
	// BatchBytes bounds the bytes of a batch, Linger how long a record waits for
	// others.
	BatchBytes int
	Linger     time.Duration
	Log        logrus.FieldLogger
}

// Input is the syslog input of one pipeline.
type Input struct {
	c         Config
	env       Env
	zone      *time.Location
	listeners []*listener
	places    chan struct{} // holds max_connections: one for each that may be open
	dropped   metric.Int64Counter
	split     metric.Int64Counter
}

// listener is what listens on one address.
type listener struct {
	in      *Input
	address address
	stream  atomic.Pointer[intake.Stream]
	desks   []*desk
	bound   atomic.Pointer[string] // the address it has, nil while it has none
	granted atomic.Int64           // bytes that the system keeps of datagrams
	peers   atomic.Int64
	dropped atomic.Int64
	failure atomic.Pointer[string]
}

const (
	// retryListen is how often an address is tried that cannot be had.
	retryListen = time.Second
	// stopDelivery is how long the input gives on what it has read, when it is to
	// stop. The agent takes eight seconds for all of its stop.
	stopDelivery = 4 * time.Second
	// drainQuiet and drainMax bound how long it goes on reading what the system has
	// taken already: until nothing comes for a while.
	drainQuiet = 50 * time.Millisecond
	drainMax   = time.Second
)

// New returns an input. It listens to nothing before Run.
func New(c Config, env Env) (*Input, error) {
	zone, err := time.LoadLocation(c.TimeZone)
	if err != nil {
		return nil, fmt.Errorf("cannot use time_zone: %w", err)
	}
	in := &Input{c: c, env: env, zone: zone, places: make(chan struct{}, c.MaxConnections)}
	if in.dropped, err = telemetry.InputDropped.Counter(); err != nil {
		return nil, fmt.Errorf("cannot make the metrics of the input: %w", err)
	}
	if in.split, err = telemetry.InputSplit.Counter(); err != nil {
		return nil, fmt.Errorf("cannot make the metrics of the input: %w", err)
	}
	for _, text := range c.Listen {
		a, err := parseAddress(text)
		if err != nil {
			return nil, fmt.Errorf("cannot listen on %s: %w", text, err)
		}
		in.listeners = append(in.listeners, &listener{in: in, address: a})
	}
	return in, nil
}

// Run listens until ctx ends, and then gives on what was read. It is called once.
func (in *Input) Run(ctx context.Context, emit pipeline.Emit) error {
	for _, l := range in.listeners {
		s, err := intake.Open(intake.Config{
			Pipeline: in.env.Pipeline, Name: "syslog " + l.address.String(),
			BatchBytes: in.env.BatchBytes, Linger: in.env.Linger, Emit: emit,
		})
		if err != nil {
			return fmt.Errorf("cannot begin the stream of %s: %w", l.address, err)
		}
		for lane := range max(1, in.env.Lanes) {
			l.desks = append(l.desks, newDesk(s, uint64(lane), in.zone))
		}
		l.stream.Store(s)
	}
	work, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	stop := context.AfterFunc(ctx, func() { time.AfterFunc(stopDelivery, cancel) })
	defer stop()
	var all sync.WaitGroup
	for _, l := range in.listeners {
		all.Go(func() { l.run(ctx, work) })
	}
	all.Wait()
	return context.Cause(ctx)
}

// Streams implements agent.StreamLister.
func (in *Input) Streams() (list []intake.Status) {
	for _, l := range in.listeners {
		s := l.stream.Load()
		if s == nil {
			continue
		}
		st := s.Status()
		st.Peers, st.Dropped = int(l.peers.Load()), l.dropped.Load()
		if failure := l.failure.Load(); failure != nil {
			st.Error = *failure
		}
		list = append(list, st)
	}
	return list
}

// Ready implements agent.Starter: from then on every address is listened to.
func (in *Input) Ready() bool {
	for _, l := range in.listeners {
		if l.bound.Load() == nil {
			return false
		}
	}
	return true
}

// run listens until ctx ends, again and again if it fails.
func (l *listener) run(ctx, work context.Context) {
	var lingering sync.WaitGroup
	for _, d := range l.desks {
		lingering.Go(func() { d.linger(ctx, work) })
	}
	for {
		err := l.listen(ctx, work)
		if ctx.Err() != nil {
			break
		}
		text := err.Error()
		if l.failure.Swap(&text) == nil {
			l.log().WithError(err).Error("an address cannot be listened to; it is tried again every second")
		}
		if !wait(ctx, retryListen) {
			break
		}
	}
	lingering.Wait()
	for _, d := range l.desks {
		if lost := d.close(work); lost > 0 {
			l.drop("full", int64(lost))
			l.log().WithField("messages", lost).Error("messages are lost: the pipeline had no room for them when the input stopped")
		}
	}
}

func (l *listener) listen(ctx, work context.Context) error {
	if l.address.datagrams() {
		return l.receive(ctx, work)
	}
	return l.accept(ctx, work)
}

// listening says that the address is had.
func (l *listener) listening(bound string) {
	l.failure.Store(nil)
	l.bound.Store(&bound)
	l.log().WithField("bound", bound).Info("listening for syslog")
}

func (l *listener) log() logrus.FieldLogger {
	return l.in.env.Log.WithField("address", l.address.String())
}

// drop counts what could not be taken.
func (l *listener) drop(reason string, n int64) {
	l.dropped.Add(n)
	l.in.dropped.Add(context.Background(), n, metric.WithAttributes(attribute.String("pipeline", l.in.env.Pipeline), attribute.String("reason", reason)))
}

// countSplit counts a message that is longer than it may be.
func (l *listener) countSplit() {
	l.in.split.Add(context.Background(), 1, metric.WithAttributes(attribute.String("pipeline", l.in.env.Pipeline)))
}

// deskOf is the desk of a sender: messages of one stay in order.
func (l *listener) deskOf(peer string) *desk {
	h := fnv.New32a()
	_, _ = h.Write([]byte(peer))
	return l.desks[int(h.Sum32()%uint32(len(l.desks)))]
}
