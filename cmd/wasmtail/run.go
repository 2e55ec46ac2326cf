package main

import (
	"context"
	"errors"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"sync"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/wasmtail/wasmtail/agent"
	"github.com/wasmtail/wasmtail/agent/supervisor"
	"github.com/wasmtail/wasmtail/internal/config"
	"github.com/wasmtail/wasmtail/internal/telemetry"
	"github.com/wasmtail/wasmtail/plugins"
)

// stopTimeout is how long a stopping agent goes on delivering. It stays below
// the ten seconds that container engines wait before they kill.
const stopTimeout = 8 * time.Second

const (
	// stuckAfter is how long a worker may be silent. A reload takes seconds, and
	// compiling a module half a minute at most.
	stuckAfter = time.Minute
	// exitDone tells the supervisor that all inputs of its worker have ended. It is the
	// exit code of no command, and none that a signal makes.
	exitDone = 100
	// workerName is what the worker is called in the list of processes.
	workerName = "wasmtail-worker"
	// ranWell is how long a worker must have run for the next pause to be short.
	ranWell = time.Minute
	// goneTimeout is how long a worker goes on whose supervisor is gone: nobody
	// would end it if it were stuck.
	goneTimeout = stopTimeout + time.Second
	// lockWait is how long a new worker waits for one whose supervisor was killed.
	lockWait = stopTimeout + 2*time.Second
)

// runFlags are the flags of run.
type runFlags struct {
	config, logFormat      string
	unsupervised, asWorker bool
	stuckAfter, ranWell    time.Duration
}

func (f *runFlags) load() (*config.File, error) {
	file, err := loadConfig(f.config)
	if err == nil && f.logFormat != "" {
		file.Log.Format = f.logFormat
	}
	return file, err
}

func runCommand() *cobra.Command {
	var f runFlags
	cmd := &cobra.Command{
		Use:   "run",
		Short: "Run the agent with a configuration; SIGHUP reads it again",
		Long: `Run the agent with a configuration, in a process of its own that is started
again when it dies or is stuck. SIGHUP reads the configuration again. SIGTERM
delivers what was read, for at most eight seconds, and ends both processes; a
second one ends them at once. When all its inputs have ended by themselves, as
stdin does, it delivers what was read and ends with 0.`,
		Args: usage(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			file, err := f.load()
			if err != nil {
				return err
			}
			if f.unsupervised || f.asWorker {
				return runWorker(cmd.Context(), file, &f)
			}
			return supervise(cmd.Context(), file, &f)
		},
	}
	configFlag(cmd, &f.config)
	cmd.Flags().BoolVar(&f.unsupervised, "no-supervisor", false, "run in this process alone, where something else restarts it")
	cmd.Flags().BoolVar(&f.asWorker, "worker", false, "run as the child of a supervisor")
	cmd.Flags().DurationVar(&f.stuckAfter, "stuck-after", stuckAfter, "how long the worker may be silent")
	cmd.Flags().DurationVar(&f.ranWell, "ran-well", ranWell, "how long the worker must run for the next pause to be short")
	cmd.Flags().StringVar(&f.logFormat, "log-format", "", "in place of log.format")
	for _, hidden := range []string{"worker", "stuck-after", "ran-well", "log-format"} {
		if err := cmd.Flags().MarkHidden(hidden); err != nil {
			panic("BUG: " + err.Error())
		}
	}
	return cmd
}

// supervise runs this program as a worker, and again when it dies.
func supervise(ctx context.Context, file *config.File, f *runFlags) error {
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, syscall.SIGHUP, syscall.SIGTERM, os.Interrupt)
	defer signal.Stop(signals)
	if ctx.Err() != nil {
		return nil // it was to end before these were looked at
	}
	signal.Ignore(syscall.SIGPIPE) // a log that nobody reads any more ends nothing
	format := file.Log.Format
	if format == "auto" && telemetry.IsTerminal(os.Stderr) {
		format = "text"
	}
	relay := supervisor.NewRelay(os.Stderr)
	go relay.Run()
	defer relay.Close()
	log, err := telemetry.NewLogger(telemetry.LogOptions{Level: file.Log.Level, Format: format, Out: relay})
	if err != nil {
		return &exitError{exitConfig, err}
	}
	lock, err := agent.Lock(file.DataDir, "supervisor.lock", 0)
	if err != nil {
		return err
	}
	defer func() { _ = lock.Close() }()
	runtime.GOMAXPROCS(1) // it waits, and passes on what the worker writes
	debug.FreeOSMemory()  // what reading the configuration took
	self, err := os.Executable()
	if err != nil {
		self = "/proc/self/exe"
	}
	code, err := supervisor.Run(context.WithoutCancel(ctx), supervisor.Options{
		Command: []string{self, "run", "--worker", "-c", f.config, "--log-format", format},
		Name:    workerName, Dir: file.DataDir, Version: version, Log: log, Stdout: os.Stdout, Stdin: pipedInput(), DoneCode: exitDone,
		StopTimeout: stopTimeout + 2*time.Second, StuckAfter: f.stuckAfter, RanWell: f.ranWell,
		FaultyCode: exitConfig, Signals: signals,
	})
	if err != nil || code == 0 {
		return err
	}
	return &exitError{code: code} // the worker has said why
}

// runWorker runs the agent in this process.
func runWorker(ctx context.Context, file *config.File, f *runFlags) error {
	o := agent.Options{File: file, Load: f.load}
	if f.asWorker {
		supervisor.NameProcess(workerName)
		signal.Ignore(syscall.SIGPIPE) // as its supervisor does
		pulse, err := supervisor.NewPulse()
		if err != nil {
			return &exitError{exitUsage, err}
		}
		defer func() { _ = pulse.Close() }()
		ctx = untilGone(ctx, pulse)
		ready := beatUntil(pulse)
		defer ready()
		o.Ready = func(string) {
			ready()
			pulse.Ready()
		}
		o.Alive, o.LockWait = pulse.Beat, lockWait
	}
	hangup := make(chan os.Signal, 1)
	signal.Notify(hangup, syscall.SIGHUP)
	defer signal.Stop(hangup)
	o.Reload = hangup
	err := runAgent(ctx, o)
	if err == nil && f.asWorker && ctx.Err() == nil { // its inputs have ended, and nobody has asked it to
		return &exitError{code: exitDone}
	}
	return err
}

// pipedInput is standard input, unless it is a terminal: one would stop a worker, which
// is not in its foreground, for reading from it.
func pipedInput() *os.File {
	if term.IsTerminal(int(os.Stdin.Fd())) {
		return nil
	}
	return os.Stdin
}

// untilGone is a context that ends when the supervisor is gone. The process then
// has goneTimeout to end, too: nobody else would see to it.
func untilGone(ctx context.Context, pulse *supervisor.Pulse) context.Context {
	ctx, gone := context.WithCancelCause(ctx)
	go func() {
		if !pulse.Wait() {
			return
		}
		gone(errors.New("the supervisor is gone"))
		time.AfterFunc(goneTimeout, func() { os.Exit(exitInternal) })
	}()
	return ctx
}

// beatUntil gives signs of life until the agent does it by itself: compiling
// modules may take long.
func beatUntil(pulse *supervisor.Pulse) (ready func()) {
	stop := make(chan struct{})
	go func() {
		tick := time.NewTicker(time.Second)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				pulse.Beat()
			case <-stop:
				return
			}
		}
	}()
	return sync.OnceFunc(func() { close(stop) })
}

// runAgent runs an agent in this process until ctx ends. Plugins, version and log
// of o are filled in.
func runAgent(ctx context.Context, o agent.Options) error {
	log, err := telemetry.NewLogger(telemetry.LogOptions{Level: o.File.Log.Level, Format: o.File.Log.Format})
	if err != nil {
		return &exitError{exitConfig, err}
	}
	stop, err := telemetry.Start(ctx, telemetry.Options{Service: "wasmtail", Version: version})
	if err != nil {
		return &exitError{exitConfig, err}
	}
	for _, w := range o.File.Warnings {
		log.Warn(w.Error())
	}
	o.Plugins, o.Version, o.Log, o.StopTimeout, o.ModuleCompiler = plugins.Standard(), version, log, stopTimeout, moduleCompiler()
	err = agent.Run(ctx, o)
	flush, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
	defer cancel()
	return errors.Join(err, stop(flush))
}

// configFlag adds -c, which the environment variable WASMTAIL_CONFIG can set.
func configFlag(cmd *cobra.Command, path *string) {
	def := os.Getenv("WASMTAIL_CONFIG")
	if def == "" {
		def = "/etc/wasmtail/agent.yaml"
	}
	cmd.Flags().StringVarP(path, "config", "c", def, "configuration `FILE` or folder; also $WASMTAIL_CONFIG")
}

func loadConfig(path string) (*config.File, error) {
	file, err := config.Load(path, plugins.Standard().Catalog())
	if err != nil {
		return nil, &exitError{exitConfig, err}
	}
	return file, nil
}

// usage turns a wrong number of arguments into the exit code for wrong usage.
func usage(check cobra.PositionalArgs) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if err := check(cmd, args); err != nil {
			return &exitError{exitUsage, err}
		}
		return nil
	}
}
