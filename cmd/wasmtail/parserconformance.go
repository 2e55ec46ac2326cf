package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/wasmtail/wasmtail/agent/wasmhost"
)

func parserConformanceCommand() *cobra.Command {
	var output string
	var t trialFlags
	cmd := &cobra.Command{
		Use:   "conformance FILE.wasm",
		Short: "Check a module against each rule of the interface",
		Long: `Check a module against each rule of the interface, with the lines on standard
input, of which it takes 2,000 at most; without any, with a few of its own. It
prints a line for each rule: ok, FAIL with the reason, note for what is only worth
knowing, or not applicable. It ends with exit code 1 if a rule is broken.`,
		Example: "  wasmtail parser conformance nginx.wasm < access.log\n  wasmtail parser conformance nginx.wasm --config '{\"query\":true}' -o json < /dev/null",
		Args:    usage(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			spec, err := t.spec(args[0])
			if err != nil {
				return err
			}
			lines, err := readLines(cmd)
			if err != nil {
				return err
			}
			host, err := openModules(silentLog())
			if err != nil {
				return err
			}
			defer host.Close()
			return printChecks(cmd, host.Conformance(cmd.Context(), spec, lines), output)
		},
	}
	t.add(cmd)
	outputFlag(cmd, &output)
	return cmd
}

// printChecks prints the rules. The error says how many are broken.
func printChecks(cmd *cobra.Command, checks []wasmhost.Check, output string) error {
	var b strings.Builder
	broken := 0
	for _, c := range checks {
		if c.Verdict == wasmhost.RuleBroken {
			broken++
		}
		fmt.Fprintf(&b, "%-14s  %-12s  %s", c.Verdict, c.Rule, c.About)
		if c.Reason != "" {
			fmt.Fprintf(&b, ": %s", strings.ReplaceAll(c.Reason, "\n", "\n                "))
		}
		b.WriteByte('\n')
	}
	var faults error
	if broken > 0 {
		faults = &exitError{exitFaults, fmt.Errorf("the module breaks %d of %d rules", broken, len(checks))}
	}
	if output == "json" {
		return errors.Join(faults, json.NewEncoder(cmd.OutOrStdout()).Encode(checks))
	}
	_, err := cmd.OutOrStdout().Write([]byte(b.String()))
	return errors.Join(faults, err)
}
