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
	"math"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"sync"
	"time"

	"github.com/sirupsen/logrus"
	"golang.org/x/time/rate"

	"github.com/wasmtail/wasmtail/agent/checkpoint"
	"github.com/wasmtail/wasmtail/agent/pipeline"
	"github.com/wasmtail/wasmtail/agent/wasmhost"
	"github.com/wasmtail/wasmtail/internal/config"
	"github.com/wasmtail/wasmtail/internal/durable"
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
	// Ready, if set, is called once when all pipelines run, with the address of
	// the admin listener ("" when it is off).
	Ready func(admin string)
}

// agent is a running agent.
type agent struct {
	o           Options
	state       *state
	checkpoints *checkpoint.Store
	started     time.Time
	pipelines   map[string]*pipeline.Pipeline
	inputs      map[string]pipeline.Input
	outlets     map[string]*pipeline.Outlet
	modules     *wasmhost.Host
}

const (
	// sendersPerOutput payloads are under way to one output at the same time:
	// enough to hide a round trip, few enough for a small host.
	sendersPerOutput = 4
	// queueBytes of payloads wait for an output, in memory. What is older leaves
	// the processor's cache before it is hashed and sent: 4 MiB was the fastest
	// of 1 to 64. While an output is away, the files are the buffer.
	queueBytes = 4 << 20
	// heapShare of the memory limit is where the collector begins to work
	// harder; the rest is for stacks, page tables and the binary itself.
	heapShare = 0.8
)

// Run runs the agent until ctx ends.
func Run(ctx context.Context, o Options) error {
	st, err := openState(o.File.DataDir)
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
	applyLimits(o.File.Limits)
	a := &agent{o: o, state: st, checkpoints: checkpoints, started: time.Now()}
	if a.modules, err = openModules(o); err != nil {
		return errors.Join(err, checkpoints.Close())
	}
	defer a.modules.Close()
	if err := a.build(ctx); err != nil {
		return errors.Join(err, checkpoints.Close())
	}
	admin, err := a.listenAdmin()
	if err != nil {
		return errors.Join(err, checkpoints.Close())
	}
	o.Log.WithFields(logrus.Fields{"agent": st.agentID, "pipelines": len(a.pipelines), "version": o.Version}).Info("running")
	if o.Ready != nil {
		o.Ready(admin.addr())
	}
	err = a.run(ctx)
	return errors.Join(err, admin.close(), checkpoints.Close())
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

// applyLimits sets what the runtime can keep by itself.
func applyLimits(l config.Limits) {
	if l.Memory > 0 {
		debug.SetMemoryLimit(int64(float64(l.Memory) * heapShare))
	}
	if procs := int(math.Ceil(l.CPU)); procs > 0 && procs < runtime.GOMAXPROCS(0) {
		runtime.GOMAXPROCS(procs)
	}
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

	var outlets, pipelines, saver sync.WaitGroup
	saving, stopSaving := context.WithCancel(context.WithoutCancel(ctx))
	defer saver.Wait()
	defer stopSaving()
	saver.Go(func() { a.checkpoints.Run(saving) })
	saver.Go(func() { a.modules.Run(saving) })
	for _, o := range a.outlets {
		outlets.Go(func() { o.Run(hard) })
	}
	for name, p := range a.pipelines {
		pipelines.Go(func() {
			if err := p.Run(soft, hard); err != nil {
				stopSoft(fmt.Errorf("pipeline %s ended: %w", name, err))
			}
		})
	}
	pipelines.Wait()
	for _, o := range a.outlets {
		o.Close()
	}
	outlets.Wait()
	if ctx.Err() == nil {
		return context.Cause(soft)
	}
	a.o.Log.Info("stopped")
	return nil
}

// build makes outlets and pipelines; nothing runs yet.
func (a *agent) build(ctx context.Context) error {
	file := a.o.File
	a.pipelines, a.inputs, a.outlets = map[string]*pipeline.Pipeline{}, map[string]pipeline.Input{}, map[string]*pipeline.Outlet{}
	if err := a.buildOutlets(); err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(file.Pipelines)) {
		if err := a.buildPipeline(ctx, name, file.Pipelines[name]); err != nil {
			return fmt.Errorf("cannot build pipeline %s: %w", name, err)
		}
	}
	return nil
}

func (a *agent) buildOutlets() error {
	file := a.o.File
	hostname, err := os.Hostname()
	if err != nil {
		hostname = "unknown"
	}
	env := OutputEnv{AgentID: a.state.agentID, Hostname: hostname, Version: a.o.Version}
	var bandwidth *rate.Limiter
	if bw := file.Limits.Bandwidth; bw > 0 {
		// A burst of a tenth of a second keeps any second below 1.1 times the limit.
		bandwidth = rate.NewLimiter(rate.Limit(bw), max(1, int(bw)/10))
	}
	for _, name := range slices.Sorted(maps.Keys(file.Outputs)) {
		block := file.Outputs[name]
		output, err := a.o.Plugins.Outputs[block.Type].Build(block.Config, env)
		if err != nil {
			return fmt.Errorf("cannot build output %s: %w", name, err)
		}
		a.outlets[name], err = pipeline.NewOutlet(pipeline.OutletConfig{
			Name: name, Output: output, QueueBytes: queueBytes, Senders: sendersPerOutput,
			Bandwidth: bandwidth, Rejected: a.state.putAside, Log: a.o.Log,
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func (a *agent) buildPipeline(ctx context.Context, name string, p config.Pipeline) error {
	input, err := a.o.Plugins.Inputs[p.Input.Type].Build(p.Input.Config, InputEnv{
		Pipeline: name, Checkpoints: a.checkpoints, Batch: p.Batch, Readers: p.Workers,
		OpenFilesMax: openFilesMax(a.o.File.Limits), SpoolDir: a.o.File.DataDir, Log: a.o.Log.WithField("pipeline", name),
	})
	if err != nil {
		return err
	}
	age := pipeline.AgePolicy{After: p.MaxAge.After, Drop: p.MaxAge.Action == "drop"}
	if p.MaxAge.Action == "keep" {
		age.After = 0
	}
	var outlets []*pipeline.Outlet
	for _, o := range p.Outputs {
		outlets = append(outlets, a.outlets[o])
	}
	routes, err := Routes(p.Processors)
	if err != nil {
		return err
	}
	a.inputs[name] = input
	a.pipelines[name], err = pipeline.New(pipeline.Config{
		Name: name, Logstore: p.Logstore, Input: input, Outlets: outlets, Lanes: p.Workers, Age: age, Log: a.o.Log,
		Routes: routes,
		NewStages: func() ([]pipeline.Stage, error) {
			return a.o.Plugins.Stages(p.Processors, ProcessorEnv{Context: ctx, Modules: a.modules, Pipeline: name})
		},
	})
	return err
}
