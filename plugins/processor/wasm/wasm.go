// Package wasm takes records apart by a parser module: WebAssembly that was
// written against the SDK.
//
// It promises what package wasmhost promises: whatever the module does, every
// line goes on, parsed or whole with the reason why not, in its order. It starts
// no goroutines. A processor belongs to one lane and has an instance of the
// module of its own.
package wasm

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"time"

	"github.com/wasmtail/wasmtail/agent/pipeline"
	"github.com/wasmtail/wasmtail/agent/wasmhost"
	"github.com/wasmtail/wasmtail/internal/config"
	"github.com/wasmtail/wasmtail/internal/record"
)

// Config are the settings of the wasm processor.
type Config struct {
	// Module is the file of the parser module. When the file changes, the new
	// version is tried beside the old one, and takes over between two batches if
	// it starts and parses the samples.
	Module string `yaml:"module" required:"true" path:"true" example:"/etc/wasmtail/modules/nginx.wasm"`
	// SHA256 is the hash that the file must have, as sha256sum prints it. It is
	// required, so that nobody who can write the file can change what runs; see
	// modules.development for trying things out.
	SHA256 string `yaml:"sha256" example:"9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"`
	// Config is handed to the module when it starts, as JSON. What may be in it is
	// the module's affair.
	Config any `yaml:"config"`
	// Field is the name of the field that the module is given. The default is the
	// field that holds the whole line. Records without it pass the module by.
	Field string `yaml:"field" default:"content" example:"message"`
	// KeepSource keeps the field beside what the module makes of it.
	KeepSource bool `yaml:"keep_source"`
	// Limits bound what the module may cost.
	Limits Limits `yaml:"limits"`
	// Routes are log stores that the module may send records to, instead of the
	// pipeline's own.
	Routes []string `yaml:"routes" example:"[errors, audit]"`
	// Tables are what the module may look up, in the order of its numbers.
	Tables []Table `yaml:"tables"`
	// Samples are lines that a version must parse before it may serve.
	Samples []Sample `yaml:"samples"`
	// OnModuleError says what happens to lines while the module cannot serve:
	// bypass lets them pass raw and marked, hold lets them wait in their files.
	OnModuleError string `yaml:"on_module_error" default:"bypass" enum:"bypass,hold"`
	// OnParseFailure says where lines go that were not parsed: keep keeps them in
	// their place, raw and with the reason; dead_letter sends them to the log store
	// of that name; both does both.
	OnParseFailure string `yaml:"on_parse_failure" default:"keep" enum:"keep,dead_letter,both"`
	// DeadLetter is the log store for lines that were not parsed.
	DeadLetter string `yaml:"dead_letter" example:"unparsed"`
}

// Limits bound what a module may cost. What goes beyond them is stopped: the
// lines go on raw, and the module gets a new instance.
type Limits struct {
	// Memory is the largest memory of an instance, of which a pipeline has one for
	// each of its workers. At most 1GiB.
	Memory config.Size `yaml:"memory" default:"64MiB" example:"128MiB"`
	// Time is how long the module may take for one batch of lines. At most 10s.
	Time time.Duration `yaml:"time" default:"100ms" example:"500ms"`
	// InitTime is how long the module may take to start. At most 30s.
	InitTime time.Duration `yaml:"init_time" default:"2s" example:"5s"`
	// Batch is how many bytes of lines the module gets at once. At most 4MiB.
	Batch config.Size `yaml:"batch" default:"128KiB" example:"256KiB"`
	// Line is the longest line the module gets; longer ones go on raw. At most 4MiB.
	Line config.Size `yaml:"line" default:"1MiB" example:"256KiB"`
	// Output is how many bytes of values, other than parts of the lines, the module
	// may return for a batch. At most 64MiB.
	Output config.Size `yaml:"output" default:"4MiB" example:"8MiB"`
	// HeldLines is how many lines a module that joins lines may leave for the next
	// batch.
	HeldLines int `yaml:"held_lines" default:"1000" example:"5000"`
	// HeldBytes is how many bytes it may leave. At most 4MiB.
	HeldBytes config.Size `yaml:"held_bytes" default:"1MiB" example:"2MiB"`
	// Module is the largest file of a module. At most 64MiB.
	Module config.Size `yaml:"module" default:"16MiB" example:"32MiB"`
}

// Table is a CSV file of two columns, key and value. It is read again when it
// changes.
type Table struct {
	// Name is how messages call the table.
	Name string `yaml:"name" required:"true" example:"clients"`
	// File is the CSV file. Lines that begin with # are ignored.
	File string `yaml:"file" required:"true" path:"true" example:"/etc/wasmtail/clients.csv"`
}

// Sample is a line and what must come out of it.
type Sample struct {
	// Line is what the module is given.
	Line string `yaml:"line" required:"true" example:"GET /index.html 200"`
	// Fields must be there with these values.
	Fields map[string]string `yaml:"fields"`
}

var hashRE = regexp.MustCompile(`^[0-9A-Fa-f]{64}$`)

// Validate reports what is wrong with the settings.
func (c *Config) Validate(report func(key, problem string)) {
	if c.SHA256 != "" && !hashRE.MatchString(c.SHA256) {
		report("sha256", "is no SHA-256 hash of 64 hex digits; `sha256sum FILE` prints it")
	}
	if c.Field == "" {
		report("field", "is empty; leave it out for the whole line (content)")
	}
	for i, name := range c.Routes {
		if problem := config.LogstoreProblem(name); problem != "" {
			report(fmt.Sprintf("routes[%d]", i), problem)
		}
	}
	if slices.ContainsFunc(c.Routes, func(name string) bool { return name == c.DeadLetter }) {
		report("dead_letter", "is among the routes; give unparsed lines a log store of their own")
	}
	switch {
	case c.OnParseFailure == "keep" && c.DeadLetter != "":
		report("dead_letter", "has no effect with on_parse_failure: keep; write dead_letter or both there")
	case c.OnParseFailure != "keep" && config.LogstoreProblem(c.DeadLetter) != "":
		report("dead_letter", "must name the log store for lines that are not parsed: "+config.LogstoreProblem(c.DeadLetter))
	}
	if _, err := json.Marshal(c.Config); err != nil {
		report("config", "cannot be handed to the module as JSON: "+err.Error())
	}
	c.Limits.validate(report)
}

// ValidateIn reports what is wrong with the settings beside the rest of the file.
func (c *Config) ValidateIn(f *config.File, report func(key, problem string)) {
	if c.SHA256 != "" || f.Modules.Development {
		return
	}
	hint := "`sha256sum " + c.Module + "` prints it"
	if sum, err := wasmhost.HashFile(c.Module); err == nil {
		hint = "the file's is " + sum
	}
	report("sha256", "is required, so that only the module that was meant can run; "+hint+"; or set modules.development: true while trying things out")
}

func (l *Limits) validate(report func(key, problem string)) {
	within := func(key string, v, least, most config.Size) {
		if v < least || v > most {
			report("limits."+key, fmt.Sprintf("must be between %s and %s", least, most))
		}
	}
	within("memory", l.Memory, 64*config.KiB, config.GiB)
	within("batch", l.Batch, 4*config.KiB, 4*config.MiB)
	within("line", l.Line, 4*config.KiB, 4*config.MiB)
	within("output", l.Output, 4*config.KiB, 64*config.MiB)
	within("held_bytes", l.HeldBytes, 0, 4*config.MiB)
	within("module", l.Module, 1*config.KiB, 64*config.MiB)
	if l.Time < time.Millisecond || l.Time > 10*time.Second {
		report("limits.time", "must be between 1ms and 10s")
	}
	if l.InitTime < time.Millisecond || l.InitTime > 30*time.Second {
		report("limits.init_time", "must be between 1ms and 30s")
	}
	if l.HeldLines < 0 || l.HeldLines > 100_000 {
		report("limits.held_lines", "must be between 0 and 100000")
	}
}

// LogStores are the log stores that records may be sent to.
func (c *Config) LogStores() []string {
	if c.OnParseFailure == "keep" {
		return c.Routes
	}
	return append(slices.Clone(c.Routes), c.DeadLetter)
}

// Env is what the agent lends the processor.
type Env struct {
	// Context bounds the time of loading the module.
	Context context.Context //nolint:containedctx // it lives as long as the call of New
	Host    *wasmhost.Host
	// Pipeline and Stage name the place, and Routes gives each log store of the
	// pipeline its number.
	Pipeline, Stage string
	Routes          map[string]uint8
}

// New returns a processor for one lane. A module that cannot serve is no error.
func New(c Config, env Env) (pipeline.Processor, error) {
	spec, err := c.spec(env)
	if err != nil {
		return nil, err
	}
	m, err := env.Host.Module(env.Context, spec)
	if err != nil {
		return nil, fmt.Errorf("cannot set up the wasm processor: %w", err)
	}
	return &processor{parser: m.NewParser()}, nil
}

func (c *Config) spec(env Env) (wasmhost.Spec, error) {
	settings, err := json.Marshal(c.Config)
	if err != nil {
		return wasmhost.Spec{}, fmt.Errorf("cannot hand config to module %s: %w", c.Module, err)
	}
	if c.Config == nil {
		settings = nil
	}
	routes := make(map[string]uint8, len(c.Routes))
	for _, name := range c.Routes {
		routes[name] = env.Routes[name]
	}
	spec := wasmhost.Spec{
		Pipeline: env.Pipeline, Stage: env.Stage, Path: c.Module, SHA256: c.SHA256, Config: settings,
		Field: c.Field, KeepSource: c.KeepSource, Routes: routes, Hold: c.OnModuleError == "hold",
		Limits: wasmhost.Limits{
			Memory: int64(c.Limits.Memory), Time: c.Limits.Time, InitTime: c.Limits.InitTime,
			Batch: int(c.Limits.Batch), Line: int(c.Limits.Line), Output: int(c.Limits.Output),
			HeldLines: c.Limits.HeldLines, HeldBytes: int(c.Limits.HeldBytes), Module: int64(c.Limits.Module),
		},
	}
	if c.OnParseFailure != "keep" {
		spec.DeadLetter, spec.KeepFailed = env.Routes[c.DeadLetter], c.OnParseFailure == "both"
	}
	for _, t := range c.Tables {
		table, err := wasmhost.OpenTable(t.Name, t.File)
		if err != nil {
			return spec, err
		}
		spec.Tables = append(spec.Tables, table)
	}
	for _, s := range c.Samples {
		spec.Samples = append(spec.Samples, wasmhost.Sample{Line: s.Line, Fields: s.Fields})
	}
	return spec, nil
}

// processor is a parser as the pipeline wants it.
type processor struct{ parser *wasmhost.Parser }

// Process implements pipeline.Processor.
func (p *processor) Process(ctx context.Context, b *record.Batch) error {
	err := p.parser.Process(ctx, b)
	if errors.Is(err, wasmhost.ErrHeld) {
		return fmt.Errorf("%w: %w", pipeline.ErrHeld, err)
	}
	return err
}

// Close frees the module's instance.
func (p *processor) Close() error {
	p.parser.Close()
	return nil
}
