package agent

import (
	"context"
	"fmt"
	"io"
	"slices"

	"github.com/sirupsen/logrus"

	"github.com/wasmtail/wasmtail/agent/checkpoint"
	"github.com/wasmtail/wasmtail/agent/intake"
	"github.com/wasmtail/wasmtail/agent/pipeline"
	"github.com/wasmtail/wasmtail/agent/tail"
	"github.com/wasmtail/wasmtail/agent/transport"
	"github.com/wasmtail/wasmtail/agent/wasmhost"
	"github.com/wasmtail/wasmtail/internal/config"
	"github.com/wasmtail/wasmtail/internal/record"
)

// Plugins is the table of everything a configuration can name, by the name it
// has there. Config makes a new settings struct for the configuration to fill;
// Build is given that struct again. The table is made once and only read.
type Plugins struct {
	Inputs     map[string]InputPlugin
	Processors map[string]ProcessorPlugin
	Outputs    map[string]OutputPlugin
}

// InputPlugin makes inputs of one type.
type InputPlugin struct {
	Config func() any
	Build  func(settings any, env InputEnv) (pipeline.Input, error)
	// Once makes batches of a stream that ends, just as the input would, for
	// trying a configuration out. emit owns the batch. nil if there is no such
	// thing.
	Once func(settings any, r io.Reader, emit func(*record.Batch) error) error
}

// ProcessorPlugin makes processors of one type, one for each lane.
type ProcessorPlugin struct {
	Config func() any
	Build  func(settings any, env ProcessorEnv) (pipeline.Processor, error)
}

// OutputPlugin makes outputs of one type.
type OutputPlugin struct {
	Config func() any
	Build  func(settings any, env OutputEnv) (pipeline.Output, error)
}

// InputEnv is what the agent lends an input.
type InputEnv struct {
	Pipeline    string
	Checkpoints *checkpoint.Store
	// Batch bounds the batches the input emits.
	Batch config.Batch
	// Readers is how many files may be read at the same time.
	Readers int
	// OpenFilesMax bounds the descriptors the input may hold.
	OpenFilesMax int
	// SpoolDir takes temporary files, such as unpacked archives.
	SpoolDir string
	// Estate takes open files at the end of an input, and has those of the one before.
	Estate *tail.Estate
	// Lost is to be told of each range of a file that is gone undelivered.
	Lost func(tail.Loss)
	Log  logrus.FieldLogger
}

// ProcessorEnv is what the agent lends a processor.
type ProcessorEnv struct {
	// Context bounds the time of setting it up.
	Context context.Context //nolint:containedctx // it lives as long as the call of Build
	// Modules runs parser modules.
	Modules *wasmhost.Host
	// Pipeline and Stage name the processor's place, such as "nginx" and "wasm#1".
	Pipeline, Stage string
	// Routes gives each log store that the pipeline's processors may send records
	// to its number, record.Record.Route.
	Routes map[string]uint8
}

// Router is the settings of a processor that sends records to further log
// stores.
type Router interface {
	LogStores() []string
}

// OutputEnv is what the agent tells an output about itself.
type OutputEnv struct {
	AgentID, Hostname, Version string
	// Wire counts and limits what an output writes to a network.
	Wire *transport.Wire
}

// FileLister is an input that can say how far it is with each file.
type FileLister interface {
	Status() []tail.FileStatus
}

// StreamLister is an input that reads no files and can say how far it is.
type StreamLister interface {
	Streams() []intake.Status
}

// Starter is an input that takes a moment until it misses nothing.
type Starter interface {
	Ready() bool
}

// Catalog is the table as the configuration reader wants it.
func (p Plugins) Catalog() config.Catalog {
	inputs, processors, outputs := map[string]func() any{}, map[string]func() any{}, map[string]func() any{}
	for name, in := range p.Inputs {
		inputs[name] = in.Config
	}
	for name, proc := range p.Processors {
		processors[name] = proc.Config
	}
	for name, out := range p.Outputs {
		outputs[name] = out.Config
	}
	return config.Catalog{"input": inputs, "processor": processors, "output": outputs}
}

// routesMax is how many log stores a pipeline can route to: a record keeps the
// number of its own in one byte.
const routesMax = 255

// Routes lists the log stores that the processors of a pipeline may send records
// to, the first of which has number 1.
func Routes(blocks []config.Block) ([]string, error) {
	var routes []string
	for _, b := range blocks {
		r, ok := b.Config.(Router)
		if !ok {
			continue
		}
		for _, name := range r.LogStores() {
			if !slices.Contains(routes, name) {
				routes = append(routes, name)
			}
		}
	}
	if len(routes) > routesMax {
		return nil, fmt.Errorf("cannot route to %d log stores, at most %d are possible", len(routes), routesMax)
	}
	return routes, nil
}

// Stages builds one lane's processors of a pipeline, that of its format first.
// Stage and Routes of env are filled in.
func (p Plugins) Stages(of *config.Pipeline, env ProcessorEnv) ([]pipeline.Stage, error) {
	routes, err := Routes(of.Processors)
	if err != nil {
		return nil, err
	}
	env.Routes = make(map[string]uint8, len(routes))
	for i, name := range routes {
		env.Routes[name] = uint8(i + 1)
	}
	stages := make([]pipeline.Stage, 0, 1+len(of.Processors))
	if of.Format != "" {
		first, err := p.newFormatted(of.Format, env)
		if err != nil {
			return nil, err
		}
		stages = append(stages, pipeline.Stage{Name: "format", Processor: first})
	}
	for i, b := range of.Processors {
		env.Stage = fmt.Sprintf("%s#%d", b.Type, i+1)
		processor, err := p.Processors[b.Type].Build(b.Config, env)
		if err != nil {
			return nil, fmt.Errorf("cannot build processor %d (%s): %w", i+1, b.Type, err)
		}
		stages = append(stages, pipeline.Stage{Name: env.Stage, Processor: processor})
	}
	return stages, nil
}
