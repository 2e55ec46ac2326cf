package main

import (
	"context"
	"errors"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/wasmtail/wasmtail/agent"
	"github.com/wasmtail/wasmtail/internal/config"
	"github.com/wasmtail/wasmtail/internal/telemetry"
	"github.com/wasmtail/wasmtail/plugins"
)

// stopTimeout is how long a stopping agent goes on delivering. It stays below
// the ten seconds that container engines wait before they kill.
const stopTimeout = 8 * time.Second

func runCommand() *cobra.Command {
	var path string
	cmd := &cobra.Command{
		Use:   "run",
		Short: "Run the agent with a configuration; SIGHUP reads it again",
		Args:  usage(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			file, err := loadConfig(path)
			if err != nil {
				return err
			}
			hangup := make(chan os.Signal, 1)
			signal.Notify(hangup, syscall.SIGHUP)
			defer signal.Stop(hangup)
			return runAgent(cmd.Context(), agent.Options{File: file, Reload: hangup, Load: func() (*config.File, error) { return loadConfig(path) }})
		},
	}
	configFlag(cmd, &path)
	return cmd
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
