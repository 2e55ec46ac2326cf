// Package agent builds the pipelines of a configuration, runs them and stops
// them in order.
//
// It promises that a position moves only when every output of its pipeline has
// the bytes, that a stop first ends the inputs, then delivers what they had
// read, and gives back what could not be delivered in time, to be read again by
// the next start. Run returns when everything it started has stopped.
package agent

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/sirupsen/logrus"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	"golang.org/x/time/rate"

	"github.com/wasmtail/wasmtail/agent/checkpoint"
	"github.com/wasmtail/wasmtail/agent/guard"
	"github.com/wasmtail/wasmtail/agent/pipeline"
	"github.com/wasmtail/wasmtail/agent/queue"
	"github.com/wasmtail/wasmtail/agent/tail"
	"github.com/wasmtail/wasmtail/agent/transport"
	"github.com/wasmtail/wasmtail/agent/wasmhost"
	"github.com/wasmtail/wasmtail/internal/config"
	"github.com/wasmtail/wasmtail/internal/durable"
	"github.com/wasmtail/wasmtail/internal/telemetry"
)

// Options are what Run needs.
type Options struct {
	File    *config.File
	Plugins Plugins
	Version string
	Log     logrus.FieldLogger
	// ModuleCompiler is the command line that compiles parser modules: see
	// wasmhost.Options.
	ModuleCompiler []string
	// StopTimeout bounds the delivery of what was read, after ctx has ended.
	StopTimeout time.Duration
	// LockWait is how long to wait for another agent on the same folder to end.
	LockWait time.Duration
	// Alive, if set, is called about once a second by the loop that runs the agent.
	Alive func()
	// Ready, if set, is called once when all pipelines run, with the address of
	// the admin listener ("" when it is off).
	Ready func(admin string)
	// Reload, if set, asks for the configuration to be read again, by Load.
	Reload <-chan os.Signal
	Load   func() (*config.File, error)
	// RestartNeeded, if set, is told once that only a new process can keep
	// limits.memory, and why. It must not block. If it is not set, the agent stops
	// as it does when ctx ends, and Run returns the reason.
	RestartNeeded func(reason error)
}

// agent is a running agent.
type agent struct {
	o           Options
	state       *state
	checkpoints *checkpoint.Store
	started     time.Time
	modules     *wasmhost.Host
	bandwidth   *rate.Limiter            // of all outputs together,
	bandwidths  map[string]*rate.Limiter // and of each
	wires       map[string]*transport.Wire
	estate      tail.Estate // of inputs that a reload has ended
	losses      *losses
	disk        *queue.Budget // the same
	processors  int           // that the system lets this process use
	guard       *guard.Guard
	speed       speed
	exhausted   chan error // holds 1: why a new process is needed

	mu     sync.Mutex // guards what follows against those who ask for the status
	active set
	config ConfigStatus
}

// set is what runs of one configuration.
type set struct {
	file      *config.File
	pipelines map[string]*running
	outlets   map[string]*outlet
}

// running is a pipeline with its input.
type running struct {
	input    pipeline.Input
	pipeline *pipeline.Pipeline
	stop     context.CancelFunc // ends the input; what it has emitted goes on
	stopNow  context.CancelFunc // gives back what waits for a full queue
	ended    chan struct{}
}

// outlet is an outlet that sends.
type outlet struct {
	*pipeline.Outlet
	stop  context.CancelFunc // gives back what is not sent
	ended chan struct{}
}

const (
	// sendersPerOutput payloads are under way to one output at the same time:
	// enough to hide a round trip, few enough for a small host.
	sendersPerOutput = 4
	// queueBytes of payloads wait for an output, in memory. What is older leaves
	// the processor's cache before it is hashed and sent: 4 MiB was the fastest
	// of 1 to 64. What waits longer goes to the disk.
	queueBytes = 4 << 20
	// cacheDir in the state folder has a folder for each output.
	cacheDir = "cache"
)

// Run runs the agent until ctx ends.
func Run(ctx context.Context, o Options) error {
	st, err := openState(o.File.DataDir, o.LockWait)
	if err != nil {
		return err
	}
	defer func() { _ = st.close() }()
	checkpoints, err := checkpoint.Open(durable.OS{}, filepath.Join(o.File.DataDir, "checkpoints"))
	if err != nil {
		return err
	}
	if err := checkpoints.Damaged(); err != nil {
		o.Log.WithError(err).WithField("all_lost", checkpoints.Lost()).Error("checkpoints were damaged; what they no longer say is read again")
	}
	checkpoints.Alarm = func(err error) {
		if err != nil {
			o.Log.WithError(err).Error("cannot save the checkpoints; a crash now would repeat what was sent since")
			return
		}
		o.Log.Info("the checkpoints are saved again")
	}
	a := &agent{o: o, state: st, checkpoints: checkpoints, started: time.Now(), bandwidth: rate.NewLimiter(rate.Inf, 0), bandwidths: map[string]*rate.Limiter{}, disk: queue.NewBudget(0), wires: map[string]*transport.Wire{}, processors: runtime.GOMAXPROCS(0), exhausted: make(chan error, 1)}
	a.guard = guard.New(guard.Options{Limits: guardLimits(o.File.Limits), Log: o.Log, Restart: a.restart, Holders: a.holders})
	a.applyLimits(o.File.Limits)
	if a.losses, err = newLosses(o.File.DataDir, o.Log); err != nil {
		return errors.Join(err, checkpoints.Close())
	}
	if a.modules, err = openModules(o); err != nil {
		return errors.Join(err, checkpoints.Close())
	}
	defer a.modules.Close()
	first, err := a.build(ctx, o.File, set{})
	if err != nil {
		return errors.Join(err, checkpoints.Close())
	}
	a.active, a.config.LoadedAt = first, a.started
	unobserve, err := a.observe()
	defer unobserve()
	if err != nil {
		return errors.Join(fmt.Errorf("cannot make the metrics of the agent: %w", err), checkpoints.Close())
	}
	admin, err := a.listenAdmin()
	if err != nil {
		return errors.Join(err, checkpoints.Close())
	}
	a.warnOfOrphans()
	o.Log.WithFields(logrus.Fields{"agent": st.agentID, "pipelines": len(first.pipelines), "version": o.Version}).Info("running")
	if o.Ready != nil {
		o.Ready(admin.addr())
	}
	err = a.run(ctx)
	return errors.Join(err, admin.close(), checkpoints.Close())
}

// warnOfOrphans names batches on the disk that belong to no output any more.
func (a *agent) warnOfOrphans() {
	dirs, err := os.ReadDir(filepath.Join(a.o.File.DataDir, cacheDir))
	if err != nil {
		return // nothing was ever stored
	}
	for _, d := range dirs {
		dir := filepath.Join(a.o.File.DataDir, cacheDir, d.Name())
		if bytes := folderBytes(dir); a.o.File.Outputs[d.Name()].Type == "" && bytes > 0 {
			a.o.Log.WithFields(logrus.Fields{"folder": dir, "bytes": bytes}).
				Warn("batches wait on the disk for an output that is not configured any more; name it again, or delete the folder")
		}
	}
}

// openModules makes the host of parser modules.
func openModules(o Options) (*wasmhost.Host, error) {
	options := wasmhost.Options{Dir: filepath.Join(o.File.DataDir, "modules"), Compiler: o.ModuleCompiler, Log: o.Log}
	for _, text := range o.File.Modules.RequireSignedBy {
		key, err := wasmhost.ParsePublicKey(text)
		if err != nil {
			return nil, fmt.Errorf("cannot use modules.require_signed_by: %w", err)
		}
		options.SignedBy = append(options.SignedBy, key)
	}
	return wasmhost.Open(options)
}

// wire returns the wire of an output, the same for all that bear its name.
func (a *agent) wire(name string, file *config.File) (*transport.Wire, error) {
	if w := a.wires[name]; w != nil {
		return w, nil
	}
	own := rate.NewLimiter(rate.Inf, 0)
	limitRate(own, file.Limits.OutputBandwidth[name])
	a.bandwidths[name] = own
	w := transport.NewWire(a.bandwidth, own)
	if err := telemetry.WireBytes.ObserveCounter(w.Bytes, metric.WithAttributes(attribute.String("output", name))); err != nil {
		return nil, fmt.Errorf("cannot make metrics of output %s: %w", name, err)
	}
	a.mu.Lock()
	a.wires[name] = w
	a.mu.Unlock()
	return w, nil
}

// run starts everything, and stops it in order once ctx ends.
func (a *agent) run(ctx context.Context) error {
	soft, stopSoft := context.WithCancelCause(ctx)
	defer stopSoft(nil)
	hard, stopHard := context.WithCancel(context.WithoutCancel(ctx))
	defer stopHard()
	stopTimer := context.AfterFunc(soft, func() {
		time.AfterFunc(a.o.StopTimeout, stopHard)
	})
	defer stopTimer()

	var saver sync.WaitGroup
	saving, stopSaving := context.WithCancel(context.WithoutCancel(ctx))
	defer saver.Wait()
	defer stopSaving()
	saver.Go(func() { a.checkpoints.Run(saving) })
	saver.Go(func() { a.modules.Run(saving) })
	saver.Go(func() { a.guard.Run(saving) })
	saver.Go(func() { a.measureSpeed(saving) })
	r := runner{soft: soft, hard: hard, fail: stopSoft}
	r.start(a.active, set{})
	a.attend(r)
	saver.Go(func() { a.beat(saving) }) // what was read may take long to deliver
	for _, p := range a.active.pipelines {
		<-p.ended
	}
	a.estate.Close(func(string) bool { return false })
	for _, o := range a.active.outlets {
		o.Close()
	}
	for _, o := range a.active.outlets {
		<-o.ended
	}
	if err := context.Cause(soft); ctx.Err() == nil && err != nil {
		return err
	}
	a.o.Log.Info("stopped")
	return nil
}

// beat shows that the agent lives while it delivers what was read.
func (a *agent) beat(ctx context.Context) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			if a.o.Alive != nil {
				a.o.Alive()
			}
		}
	}
}

// inputsEnded is true when every input has come to an end of its own.
func (a *agent) inputsEnded() bool {
	for _, p := range a.active.pipelines {
		select {
		case <-p.ended:
		default:
			return false
		}
	}
	return len(a.active.pipelines) > 0
}

// attend answers reloads and exhaustion, and shows that the agent lives, until it
// is to stop, or all its inputs have ended.
func (a *agent) attend(r runner) {
	beat := time.NewTicker(time.Second)
	defer beat.Stop()
	for r.soft.Err() == nil {
		select {
		case <-r.soft.Done():
		case <-beat.C:
			if a.o.Alive != nil {
				a.o.Alive()
			}
			if a.inputsEnded() {
				return
			}
		case reason := <-a.exhausted:
			r.fail(reason)
		case <-a.o.Reload:
			a.reload(r)
		}
	}
}

// runner starts what a configuration has.
type runner struct {
	soft, hard context.Context //nolint:containedctx // those of run
	fail       func(error)     // ends the agent
}

// start runs what is in s and not in before.
func (r runner) start(s, before set) {
	for name, o := range s.outlets {
		if before.outlets[name] != o {
			ctx, stop := context.WithCancel(r.hard)
			o.stop = stop
			go func() {
				defer close(o.ended)
				o.Run(ctx)
			}()
		}
	}
	for name, p := range s.pipelines {
		if before.pipelines[name] != p {
			soft, stop := context.WithCancel(r.soft)
			hard, stopNow := context.WithCancel(r.hard) //nolint:gosec // halt, or the end of run, calls it
			p.stop, p.stopNow = stop, stopNow
			go func() {
				defer close(p.ended)
				if err := p.pipeline.Run(soft, hard); err != nil {
					r.fail(fmt.Errorf("pipeline %s ended: %w", name, err))
				}
			}()
		}
	}
}

// build makes the outlets and pipelines of a configuration; nothing of it runs
// yet. What is as it was before is taken over.
func (a *agent) build(ctx context.Context, file *config.File, before set) (set, error) {
	s := set{file: file, pipelines: map[string]*running{}, outlets: map[string]*outlet{}}
	for _, name := range slices.Sorted(maps.Keys(file.Outputs)) {
		if before.sameOutput(name, file) {
			s.outlets[name] = before.outlets[name]
			continue
		}
		o, err := a.buildOutlet(name, file)
		if err != nil {
			s.abandon(before)
			return set{}, err
		}
		s.outlets[name] = &outlet{Outlet: o, ended: make(chan struct{})}
	}
	for _, name := range slices.Sorted(maps.Keys(file.Pipelines)) {
		if before.samePipeline(name, file) {
			s.pipelines[name] = before.pipelines[name]
			continue
		}
		p, err := a.buildPipeline(ctx, name, s)
		if err != nil {
			s.abandon(before)
			return set{}, fmt.Errorf("cannot build pipeline %s: %w", name, err)
		}
		s.pipelines[name] = p
	}
	return s, nil
}

func (a *agent) buildOutlet(name string, file *config.File) (*pipeline.Outlet, error) {
	block := file.Outputs[name]
	hostname, err := os.Hostname()
	if err != nil {
		hostname = "unknown"
	}
	wire, err := a.wire(name, file)
	if err != nil {
		return nil, err
	}
	env := OutputEnv{AgentID: a.state.agentID, Hostname: hostname, Version: a.o.Version, Wire: wire}
	output, err := a.o.Plugins.Outputs[block.Type].Build(block.Config, env)
	if err != nil {
		return nil, fmt.Errorf("cannot build output %s: %w", name, err)
	}
	return pipeline.NewOutlet(pipeline.OutletConfig{
		Name: name, Output: output, QueueBytes: queueBytes, Senders: sendersPerOutput,
		Disk: &queue.Disk{
			FS: durable.OS{}, Dir: filepath.Join(file.DataDir, cacheDir, name), Format: block.Type, Budget: a.disk,
			NewestFirst: file.Cache.Order == "newest_first", AgeMax: file.Cache.MaxAge,
		},
		Lost: func(l queue.Loss) {
			a.losses.add(Loss{
				Output: name, Path: l.Path, Generation: l.Generation, Start: l.Start, End: l.End,
				Records: l.Records, Reason: "on the disk: " + string(l.Reason),
			})
		},
		Rejected: a.state.putAside, Log: a.o.Log,
	})
}

// noDrops makes the counters of what the input of a pipeline could not take as it
// came, so that their first has a rate.
func noDrops(pipeline string) error {
	dropped, err := telemetry.InputDropped.Counter()
	split, splitErr := telemetry.InputSplit.Counter()
	if err := errors.Join(err, splitErr); err != nil {
		return fmt.Errorf("cannot make the metrics of the input of pipeline %s: %w", pipeline, err)
	}
	label := attribute.String("pipeline", pipeline)
	dropped.Add(context.Background(), 0, metric.WithAttributes(label, attribute.String("reason", "full")))
	split.Add(context.Background(), 0, metric.WithAttributes(label))
	return nil
}

// buildPipeline makes a pipeline of s.file, with the outlets of s.
func (a *agent) buildPipeline(ctx context.Context, name string, s set) (*running, error) {
	p := s.file.Pipelines[name]
	input, err := a.o.Plugins.Inputs[p.Input.Type].Build(p.Input.Config, InputEnv{
		Pipeline: name, Checkpoints: a.checkpoints, Batch: batchOf(s.file, name), Readers: p.Workers,
		OpenFilesMax: inputFilesMax(s.file), SpoolDir: s.file.DataDir, Estate: &a.estate, Lost: func(l tail.Loss) {
			a.losses.add(Loss{Pipeline: name, Path: l.Path, Generation: l.Generation, Start: l.Start, End: l.End, Reason: l.Reason})
		}, Log: a.o.Log.WithField("pipeline", name),
	})
	if err != nil {
		return nil, err
	}
	if _, ok := input.(StreamLister); ok {
		if err := noDrops(name); err != nil {
			return nil, err
		}
	}
	age := pipeline.AgePolicy{After: p.MaxAge.After, Drop: p.MaxAge.Action == "drop"}
	if p.MaxAge.Action == "keep" {
		age.After = 0
	}
	var outlets []*pipeline.Outlet
	for _, o := range p.Outputs {
		outlets = append(outlets, s.outlets[o].Outlet)
	}
	routes, err := Routes(p.Processors)
	if err != nil {
		return nil, err
	}
	built, err := pipeline.New(pipeline.Config{
		Name: name, Logstore: p.Logstore, Input: gated{Input: input, wait: a.guard.Wait}, Outlets: outlets, Lanes: p.Workers, Age: age, Log: a.o.Log,
		Routes: routes,
		NewStages: func() ([]pipeline.Stage, error) {
			return a.o.Plugins.Stages(&p, ProcessorEnv{Context: ctx, Modules: a.modules, Pipeline: name})
		},
	})
	if err != nil {
		return nil, err
	}
	return &running{input: input, pipeline: built, ended: make(chan struct{})}, nil
}
