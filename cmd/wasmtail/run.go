package main

import (
	"context"
	"errors"
	"os"
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
		Short: "Run the agent with a configuration",
		Args:  usage(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			file, err := loadConfig(path)
			if err != nil {
				return err
			}
			return runAgent(cmd.Context(), file, nil)
		},
	}
	configFlag(cmd, &path)
	return cmd
}

// runAgent runs an agent in this process until ctx ends.
func runAgent(ctx context.Context, file *config.File, ready func(string)) error {
	log, err := telemetry.NewLogger(telemetry.LogOptions{Level: file.Log.Level, Format: file.Log.Format})
	if err != nil {
		return &exitError{exitConfig, err}
	}
	stop, err := telemetry.Start(ctx, telemetry.Options{Service: "wasmtail", Version: version})
	if err != nil {
		return &exitError{exitConfig, err}
	}
	for _, w := range file.Warnings {
		log.Warn(w.Error())
	}
	err = agent.Run(ctx, agent.Options{
		File: file, Plugins: plugins.Standard(), Version: version, Log: log, StopTimeout: stopTimeout, Ready: ready,
		ModuleCompiler: moduleCompiler(),
	})
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
