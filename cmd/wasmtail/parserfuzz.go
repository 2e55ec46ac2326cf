package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/wasmtail/wasmtail/agent/wasmhost"
	"github.com/wasmtail/wasmtail/internal/durable"
)

func parserFuzzCommand() *cobra.Command {
	var save, output string
	var t trialFlags
	o := wasmhost.Torture{}
	cmd := &cobra.Command{
		Use:   "fuzz FILE.wasm",
		Short: "Try a module with hostile lines, made from those on standard input",
		Long: `Try a module with hostile lines: empty and very long ones, bytes that are no
text, and lines of standard input cut and changed at random. The same lines run in
batches of random sizes in two instances, with the flag RETRY, one by one, and in
an instance that runs all rounds: the rows must be the same, and the memory of the
last must not grow without end. It ends with exit code 1 if the module failed.`,
		Example: "  wasmtail parser fuzz nginx.wasm --time 30s < access.log",
		Args:    usage(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			var err error
			if o.Spec, err = t.spec(args[0]); err != nil {
				return err
			}
			if o.Lines, err = readLines(cmd); err != nil {
				return err
			}
			host, err := openModules(silentLog())
			if err != nil {
				return err
			}
			defer host.Close()
			report, err := host.Torture(cmd.Context(), o)
			if err != nil {
				return &exitError{exitFaults, err}
			}
			return errors.Join(printFuzz(cmd, report, output), saveFaults(save, report))
		},
	}
	t.add(cmd)
	cmd.Flags().StringVar(&save, "save", "", "write the lines of each fault to a file in `FOLDER`, which must be there")
	cmd.Flags().Uint64Var(&o.Seed, "seed", 1, "`NUMBER` that the lines depend on")
	cmd.Flags().DurationVar(&o.Time, "time", 10*time.Second, "how long to try")
	outputFlag(cmd, &output)
	return cmd
}

// printFuzz prints the report. The error says how many faults there were.
func printFuzz(cmd *cobra.Command, r *wasmhost.TortureReport, output string) error {
	var faults error
	if len(r.Faults) > 0 {
		faults = &exitError{exitFaults, fmt.Errorf("the module has %d faults", len(r.Faults))}
	}
	if output == "json" {
		return errors.Join(faults, json.NewEncoder(cmd.OutOrStdout()).Encode(r))
	}
	var b strings.Builder
	for _, f := range r.Faults {
		fmt.Fprintf(&b, "FAIL  %s: %s\n", f.Kind, f.Error)
		if len(f.Lines) == 1 {
			fmt.Fprintf(&b, "      %.200q\n", f.Lines[0])
		}
	}
	fmt.Fprintf(&b, "%d rounds, %d lines, %d faults\n", r.Rounds, r.Lines, len(r.Faults))
	fmt.Fprintf(&b, "slowest: %.1f ns/byte with the host's work: %.100q\n", r.SlowestNanos, r.Slowest)
	fmt.Fprintf(&b, "memory: %d bytes, %d at most after a round, %d after all rounds\n", r.MemoryBefore, r.MemoryAfter, r.MemoryLong)
	_, err := cmd.OutOrStdout().Write([]byte(b.String()))
	return errors.Join(faults, err)
}

// saveFaults writes the lines of each fault to a file.
func saveFaults(dir string, r *wasmhost.TortureReport) error {
	if dir == "" {
		return nil
	}
	for i, f := range r.Faults {
		path := filepath.Join(dir, fmt.Sprintf("fault-%d.log", i+1))
		if err := durable.WriteFile(durable.OS{}, path, append(bytes.Join(f.Lines, []byte("\n")), '\n')); err != nil {
			return fmt.Errorf("cannot save the lines of a fault: %w", err)
		}
	}
	return nil
}
