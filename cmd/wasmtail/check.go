package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/sirupsen/logrus"
	"github.com/spf13/cobra"

	"github.com/wasmtail/wasmtail/agent"
	"github.com/wasmtail/wasmtail/agent/pipeline"
	"github.com/wasmtail/wasmtail/agent/wasmhost"
	"github.com/wasmtail/wasmtail/internal/config"
	"github.com/wasmtail/wasmtail/plugins"
)

func checkCommand() *cobra.Command {
	var path, output string
	var dump bool
	cmd := &cobra.Command{
		Use:   "check",
		Short: "Check a configuration without connecting anywhere",
		Args:  usage(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			file, err := config.Load(path, plugins.Standard().Catalog())
			if err == nil {
				err = buildAll(cmd.Context(), file)
			}
			if output == "json" {
				return printCheckJSON(cmd, file, err)
			}
			var faults config.Faults
			switch {
			case errors.As(err, &faults):
				for _, f := range faults {
					cmd.PrintErrln(f.Error())
				}
				return &exitError{exitFaults, fmt.Errorf("%s has %d fault(s)", path, len(faults))}
			case err != nil:
				return &exitError{exitFaults, err}
			}
			for _, w := range file.Warnings {
				cmd.PrintErrln("warning: " + w.Error())
			}
			if dump {
				return file.Dump(cmd.OutOrStdout())
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s is fine: %d pipeline(s), %d output(s)\n", path, len(file.Pipelines), len(file.Outputs))
			return err
		},
	}
	configFlag(cmd, &path)
	outputFlag(cmd, &output)
	cmd.Flags().BoolVar(&dump, "dump", false, "print the effective configuration, defaults filled in and secrets hidden")
	return cmd
}

// buildAll builds every processor once: what only shows then is a fault too. A
// module that would be refused is one.
func buildAll(ctx context.Context, file *config.File) error {
	modules, err := openModules(silentLog())
	if err != nil {
		return err
	}
	defer modules.Close()
	var errs []error
	for name, p := range file.Pipelines {
		stages, err := plugins.Standard().Stages(&p, agent.ProcessorEnv{Context: ctx, Modules: modules, Pipeline: name})
		if err != nil {
			errs = append(errs, fmt.Errorf("pipeline %s: %w", name, err))
		}
		closeStages(stages)
	}
	for _, m := range modules.Status() {
		if m.State == wasmhost.Refused {
			errs = append(errs, fmt.Errorf("pipeline %s: %s: %s", m.Pipeline, m.Stage, m.Reason))
		}
	}
	return errors.Join(errs...)
}

// silentLog is for what is reported otherwise.
func silentLog() logrus.FieldLogger {
	log := logrus.New()
	log.SetOutput(io.Discard)
	return log
}

func closeStages(stages []pipeline.Stage) {
	for i := range stages {
		if c, ok := stages[i].Processor.(io.Closer); ok {
			_ = c.Close() // nothing depends on it
		}
	}
}

func printCheckJSON(cmd *cobra.Command, file *config.File, err error) error {
	result := struct {
		OK       bool     `json:"ok"`
		Faults   []string `json:"faults"`
		Warnings []string `json:"warnings"`
	}{OK: err == nil, Faults: []string{}, Warnings: []string{}}
	var faults config.Faults
	switch {
	case errors.As(err, &faults):
		for _, f := range faults {
			result.Faults = append(result.Faults, f.Error())
		}
	case err != nil:
		result.Faults = append(result.Faults, err.Error())
	default:
		for _, w := range file.Warnings {
			result.Warnings = append(result.Warnings, w.Error())
		}
	}
	if encErr := json.NewEncoder(cmd.OutOrStdout()).Encode(result); encErr != nil || err == nil {
		return encErr
	}
	return &exitError{exitFaults, fmt.Errorf("%d fault(s)", len(result.Faults))}
}

// outputFlag adds -o text|json.
func outputFlag(cmd *cobra.Command, output *string) {
	cmd.Flags().VarP(&choice{value: output, of: []string{"text", "json"}}, "output", "o", "print `text` or json")
	*output = "text"
}

// choice is a flag that takes one of a few words.
type choice struct {
	value *string
	of    []string
}

func (c *choice) String() string { return *c.value }
func (c *choice) Type() string   { return "" }

func (c *choice) Set(s string) error {
	for _, word := range c.of {
		if s == word {
			*c.value = s
			return nil
		}
	}
	return fmt.Errorf("want one of %v", c.of)
}
