// Package config reads the configuration of the agent: strict YAML, every
// fault of a file reported at once with its line and what to do about it.
//
// It promises that a File it returns has been checked as far as it can be
// without running: every key is known, every value has its type, defaults are
// filled in, every output a pipeline names exists, and every plugin's Validate
// has been content. It does not promise that a host answers or a file can be
// read later. Secrets never appear in faults or dumps.
//
// A value may take text from outside: `${env:NAME}`, `${env:NAME:-default}`,
// `${env:NAME:?message}`, `${file:path}` and `${cred:name}` (a credential that
// systemd hands over). That happens in values only, after the YAML has been
// parsed, so what is put in can never change the structure of the file.
//
// The package starts no goroutines and keeps nothing after it returns. A File
// and all below it belong to the caller and must not be changed while others
// read them.
package config

import (
	"maps"
	"slices"
	"time"
)

// Catalog lists the plugins a configuration may name: kind ("input",
// "processor", "output") → the name written as `type` → a function that returns
// a pointer to a new Config struct of the plugin.
type Catalog map[string]map[string]func() any

// File is a whole configuration, after defaults and substitutions.
type File struct {
	// Version is the version of this file format. It must be 1.
	Version int `yaml:"version" required:"true" example:"1"`
	// DataDir is the folder for what the agent must remember: positions in
	// files, the agent's identity and batches that wait on disk. A relative path
	// starts at the folder of the configuration file, not at the folder the
	// agent is started from. The agent creates it with mode 0700.
	DataDir string `yaml:"data_dir" default:"./state" path:"true" example:"/var/lib/wasmtail"`
	// Include names further files, with `*` as in a shell. They may hold
	// `outputs` and `pipelines` only, and are read in the order of their names.
	// Relative paths start at the folder of this file.
	Include []string `yaml:"include" example:"[conf.d/*.yaml]"`
	// Limits bounds what the agent takes from its host.
	Limits Limits `yaml:"limits"`
	// Cache is about batches that wait on the disk while an output is away.
	Cache Cache `yaml:"cache"`
	// Admin is the agent's own HTTP address: status, metrics and health.
	Admin Admin `yaml:"admin"`
	// Log is about the agent's own log, which goes to standard error.
	Log Log `yaml:"log"`
	// Modules is about the parser modules of all wasm processors.
	Modules Modules `yaml:"modules"`
	// Outputs are the places records are sent to, by name. A name has 1 to 63
	// lower-case letters, digits, `_` and `-`.
	Outputs map[string]Block `yaml:"outputs" kind:"output" required:"true"`
	// Pipelines take records from one input through processors to outputs, by
	// name. A name has 1 to 63 lower-case letters, digits, `_` and `-`.
	Pipelines map[string]Pipeline `yaml:"pipelines" required:"true"`

	// Warnings are things that are allowed and most likely not meant.
	Warnings Faults `yaml:"-"`

	origins map[string]origin
}

// Limits bounds what the agent takes from its host. At a limit the agent reads
// slower: records wait in their files, nothing is dropped.
type Limits struct {
	// CPU is how many processors the agent may use on average; 0.4 is 40 % of
	// one. 0 means no limit.
	CPU float64 `yaml:"cpu" default:"0.4" example:"1"`
	// Memory is how much resident memory the agent may use.
	Memory Size `yaml:"memory" default:"256MiB" example:"512MiB"`
	// Bandwidth is how many bytes a second the agent may send, as they leave: after
	// compression, with headers and encryption. 0 means no limit.
	Bandwidth Size `yaml:"bandwidth" default:"20MiB" example:"100MiB"`
	// OutputBandwidth is the same for single outputs, by name, within the limit of
	// all. An output that is not named has no limit of its own.
	OutputBandwidth map[string]Size `yaml:"output_bandwidth" example:"{hub: 5MiB}"`
	// Disk is how much of data_dir may hold batches that wait to be sent, for all
	// outputs together. When it is full, reading stops: the log files hold what
	// follows. 0 keeps waiting batches in memory only.
	Disk Size `yaml:"disk" default:"1GiB" example:"10GiB"`
	// OpenFiles is how many files the agent keeps open at once. 0 takes three
	// quarters of what the system allows the process.
	OpenFiles int `yaml:"open_files" default:"0" example:"4096"`
}

// Validate reports limits the agent cannot work within.
func (l *Limits) Validate(report func(key, problem string)) {
	if l.CPU < 0 {
		report("cpu", "must not be negative; 0 means no limit")
	}
	if l.Memory < 32*MiB {
		report("memory", "is less than 32MiB, the least the agent can work with")
	}
	if l.Bandwidth != 0 && l.Bandwidth < 64*KiB {
		report("bandwidth", "is less than 64KiB a second, too little for one batch; 0 means no limit")
	}
	for _, name := range slices.Sorted(maps.Keys(l.OutputBandwidth)) {
		if l.OutputBandwidth[name] < 64*KiB {
			report("output_bandwidth."+name, "is less than 64KiB a second, too little for one batch; leave it out for no limit")
		}
	}
	if l.Disk != 0 && l.Disk < 16*MiB {
		report("disk", "is less than 16MiB, too little to take what waits in memory; 0 keeps it there")
	}
	if l.OpenFiles < 0 {
		report("open_files", "must not be negative; 0 follows the limit of the system")
	}
}

// Cache is about batches that wait on the disk, in data_dir, while an output is
// away or slow. How much of the disk they may take is `limits.disk`.
type Cache struct {
	// Order is which of them are sent first when the output is back. With
	// `newest_first` the lines of a file do not arrive in order after an outage.
	Order string `yaml:"order" default:"oldest_first" enum:"oldest_first,newest_first"`
	// MaxAge is how long a batch may wait before it is given up, counted and named
	// in the log. 0 keeps all until they are sent.
	MaxAge time.Duration `yaml:"max_age" default:"0s" example:"24h"`
}

// Validate reports ages that make no sense.
func (c *Cache) Validate(report func(key, problem string)) {
	if c.MaxAge < 0 {
		report("max_age", "must not be negative; 0 keeps batches until they are sent")
	}
}

// Admin is the agent's own HTTP address. It serves `/metrics`, `/livez`,
// `/readyz` and the status the command line asks for.
type Admin struct {
	// Listen is a TCP address or, after `unix:`, the path of a socket, relative
	// to the folder of the configuration file. Empty turns the address off.
	// There is no password, so keep it on the loopback interface.
	Listen string `yaml:"listen" default:"127.0.0.1:7071" example:"unix:./agent.sock"`
}

// Validate reports addresses that cannot be listened on.
func (a *Admin) Validate(report func(key, problem string)) {
	if problem := listenProblem(a.Listen); problem != "" {
		report("listen", problem)
	}
}

// Log is about the agent's own log.
type Log struct {
	// Level is the least important level that is written.
	Level string `yaml:"level" default:"info" enum:"debug,info,warn,error"`
	// Format is `text` for people, `json` for machines, and `auto` picks text
	// when standard error is a terminal.
	Format string `yaml:"format" default:"auto" enum:"auto,text,json"`
}

// Modules is about the parser modules of all wasm processors.
type Modules struct {
	// Development lets modules run that are not pinned by sha256, for trying
	// things out. Whoever can write such a module's file decides what runs.
	Development bool `yaml:"development"`
	// RequireSignedBy lists public keys, as `wasmtail parser sign` prints them. If
	// it is not empty, each module needs a signature by one of them, in a file
	// beside it whose name ends in .sig.
	RequireSignedBy []string `yaml:"require_signed_by" example:"['ed25519:11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=']"`
}

// FileValidator is the settings of a plugin that can only be checked together
// with the rest of the file.
type FileValidator interface {
	ValidateIn(f *File, report func(key, problem string))
}

// Block is a plugin and its settings: `type` names the plugin, the keys beside
// it are the plugin's own.
type Block struct {
	// Type is the name the plugin has in the catalog.
	Type string
	// Config points to the plugin's Config struct, decoded and with defaults.
	Config any
}

// Pipeline takes records from one input through processors to outputs.
type Pipeline struct {
	// Input is where records come from.
	Input Block `yaml:"input" kind:"input" required:"true"`
	// Format names the format of the lines, such as nginx_access: records are
	// framed as it says, unless the input has a multiline of its own, and its
	// processors take them apart before those of the pipeline. `auto` finds the
	// format of each file from its first lines, says which in the status, the log
	// and the field `__format__`, and leaves the lines of a file whole that has
	// none. `wasmtail formats` lists them.
	Format string `yaml:"format" example:"nginx_access"`
	// Processors change records, in this order.
	Processors []Block `yaml:"processors" kind:"processor"`
	// Outputs are names of outputs. Each of them gets every record, and a
	// position counts as done when all of them have it.
	Outputs []string `yaml:"outputs" required:"true" example:"[hub]"`
	// Logstore is where the outputs put the records: the logstore of Log
	// Service. It is the name of the pipeline if not set. It has 3 to 63
	// lower-case letters, digits, `_` and `-`, the first and last of them a
	// letter or digit.
	Logstore string `yaml:"logstore" example:"nginx"`
	// MaxAge says what happens to records that are old when they are read.
	MaxAge MaxAge `yaml:"max_age"`
	// Workers is how many lanes the pipeline has. Records of one file always
	// take the same lane and stay in order; more lanes use more processors when
	// there are many files.
	Workers int `yaml:"workers" default:"1" example:"2"`
	// Batch is how many records travel together.
	Batch Batch `yaml:"batch"`
}

// Validate reports what is wrong with a pipeline whatever the other parts are.
func (p *Pipeline) Validate(report func(key, problem string)) {
	if p.Workers < 1 || p.Workers > 64 {
		report("workers", "must be between 1 and 64")
	}
}

// MaxAge says what happens to records whose time is long past when they are
// read, for example after an outage or when an old file is copied in.
type MaxAge struct {
	// After is the age from which a record counts as old.
	After time.Duration `yaml:"after" default:"5m" example:"12h"`
	// Action is `keep` to send old records like all others, `flag` to send them
	// with the mark `late`, and `drop` to count them and send them nowhere.
	Action string `yaml:"action" default:"flag" enum:"keep,flag,drop"`
}

// Batch is how many records travel together: a batch is sent when it has Size
// bytes, or when its first record has waited for Wait.
type Batch struct {
	// Size is the most bytes of records in a batch, before compression.
	Size Size `yaml:"size" default:"512KiB" example:"1MiB"`
	// Wait is about how long a record waits for others. Files are read this
	// often while they grow; a longer wait makes fewer and larger batches.
	Wait time.Duration `yaml:"wait" default:"200ms" example:"1s"`
}

// Validate reports batches that no receiver takes.
func (b *Batch) Validate(report func(key, problem string)) {
	if b.Size < 1*KiB || b.Size > 5*MiB {
		report("size", "must be between 1KiB and 5MiB")
	}
	if b.Wait < 10*time.Millisecond || b.Wait > 10*time.Second {
		report("wait", "must be between 10ms and 10s")
	}
}
