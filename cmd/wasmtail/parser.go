package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/sirupsen/logrus"
	"github.com/spf13/cobra"

	"github.com/wasmtail/wasmtail/agent/wasmhost"
	"github.com/wasmtail/wasmtail/internal/toolchain"
)

func parserCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "parser",
		Short: "Build, test and look at parser modules",
		Args:  usage(cobra.NoArgs),
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(parserInitCommand(), parserBuildCommand(), parserTestCommand(), parserRunCommand(), parserInspectCommand(), parserBenchCommand(), parserFuzzCommand(), parserConformanceCommand(), parserSignCommand())
	return cmd
}

// sdkFlag adds --sdk, which the environment variable WASMTAIL_SDK can set.
func sdkFlag(cmd *cobra.Command, dir *string) {
	cmd.Flags().StringVar(dir, "sdk", os.Getenv("WASMTAIL_SDK"), "`FOLDER` of the SDK, for projects without a copy of it; also $WASMTAIL_SDK")
}

// projectDir is the folder that a command was given, the current one by default.
func projectDir(args []string) string {
	if len(args) == 0 {
		return "."
	}
	return args[0]
}

func parserBuildCommand() *cobra.Command {
	var sdk, out string
	cmd := &cobra.Command{
		Use:     "build [FOLDER]",
		Short:   "Compile the parser project of a folder",
		Example: "  wasmtail parser build wasm-examples/nginx/c --sdk sdk",
		Args:    usage(cobra.MaximumNArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			p, err := buildProject(cmd, projectDir(args), toolchain.Options{SDKDir: sdk, Output: out})
			if err != nil {
				return err
			}
			if out == "" {
				out = p.Module()
			}
			sum, err := wasmhost.HashFile(out)
			if err != nil {
				return err
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s\nsha256: %s\n", out, sum)
			return err
		},
	}
	sdkFlag(cmd, &sdk)
	cmd.Flags().StringVarP(&out, "out", "o", "", "write the module to `FILE`, not to the project's own place")
	return cmd
}

func buildProject(cmd *cobra.Command, dir string, o toolchain.Options) (toolchain.Project, error) {
	p, err := toolchain.Load(dir)
	if err != nil {
		return p, &exitError{exitConfig, err}
	}
	o.Log = cmd.ErrOrStderr()
	if err := p.Build(cmd.Context(), o); err != nil {
		return p, &exitError{exitFaults, err}
	}
	return p, nil
}

func parserTestCommand() *cobra.Command {
	var sdk string
	var update bool
	cmd := &cobra.Command{
		Use:   "test [FOLDER]",
		Short: "Build a parser project and run its golden cases",
		Long: `Build a parser project and run the cases in its folder testdata, or in that of
the folder above: NAME.log with lines, NAME.config.json if the parser is to be
configured, NAME.table0.csv and so on if it looks things up, and the rows that
must come out in NAME.out.jsonl. Each case also runs with one line a batch, in
batches of random sizes, and with the flag RETRY: the rows must be the same.`,
		Example: "  wasmtail parser test wasm-examples/nginx/c --sdk sdk",
		Args:    usage(cobra.MaximumNArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			dir := projectDir(args)
			p, err := buildProject(cmd, dir, toolchain.Options{SDKDir: sdk})
			if err != nil {
				return err
			}
			return runCases(cmd, dir, p.Module(), update)
		},
	}
	sdkFlag(cmd, &sdk)
	cmd.Flags().BoolVar(&update, "update", false, "write the golden files anew from what the parser gives: read them before you keep them")
	return cmd
}

// runCases prints a line for each case.
func runCases(cmd *cobra.Command, dir, module string, update bool) error {
	cases, err := wasmhost.Cases(filepath.Join(dir, "testdata"))
	if err != nil {
		var errAbove error
		if cases, errAbove = wasmhost.Cases(filepath.Join(dir, "..", "testdata")); errAbove != nil {
			return &exitError{exitFaults, err}
		}
	}
	host, err := openModules(logrus.StandardLogger())
	if err != nil {
		return err
	}
	defer host.Close()
	failed := 0
	for _, c := range cases {
		err := c.Test(cmd.Context(), host, module, update)
		verdict := "ok    " + c.Name
		if err != nil {
			failed++
			verdict = "FAIL  " + err.Error()
		}
		if _, err := fmt.Fprintln(cmd.OutOrStdout(), verdict); err != nil {
			return err
		}
	}
	if failed > 0 {
		return &exitError{exitFaults, fmt.Errorf("%d of %d cases failed", failed, len(cases))}
	}
	return nil
}

func parserRunCommand() *cobra.Command {
	var t trialFlags
	cmd := &cobra.Command{
		Use:     "run FILE.wasm",
		Short:   "Print the rows a module makes of the lines on standard input, as JSON",
		Example: "  wasmtail parser run nginx.wasm < access.log",
		Args:    usage(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			spec, err := t.spec(args[0])
			if err != nil {
				return err
			}
			return runModule(cmd, spec)
		},
	}
	t.add(cmd)
	return cmd
}

func runModule(cmd *cobra.Command, spec wasmhost.Spec) error {
	host, err := openModules(logrus.StandardLogger())
	if err != nil {
		return err
	}
	defer host.Close()
	trial, err := host.Try(cmd.Context(), spec)
	if err != nil {
		return &exitError{exitFaults, err}
	}
	defer trial.Close()
	in := bufio.NewScanner(cmd.InOrStdin())
	in.Buffer(make([]byte, 64<<10), 4<<20)
	var lines [][]byte
	for in.Scan() {
		lines = append(lines, append([]byte{}, in.Bytes()...))
	}
	if err := in.Err(); err != nil {
		return fmt.Errorf("cannot read the lines: %w", err)
	}
	rows, err := trial.Rows(lines, func(int) int { return 1000 })
	out := bufio.NewWriter(cmd.OutOrStdout())
	for _, row := range rows {
		_, _ = out.Write(append(row, '\n')) // Flush tells of an error
	}
	if err := errors.Join(err, out.Flush()); err != nil {
		return &exitError{exitFaults, err}
	}
	return nil
}

func parserInspectCommand() *cobra.Command {
	var output string
	cmd := &cobra.Command{
		Use:   "inspect FILE.wasm",
		Short: "Say what a module is, what it wants, and how near it is to the limits",
		Args:  usage(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			host, err := openModules(logrus.StandardLogger())
			if err != nil {
				return err
			}
			defer host.Close()
			i, err := host.Inspect(args[0])
			if err != nil {
				return &exitError{exitFaults, err}
			}
			trial, err := host.Try(cmd.Context(), wasmhost.Spec{Path: args[0]})
			if err != nil {
				return &exitError{exitFaults, err}
			}
			defer trial.Close()
			if output == "json" {
				return json.NewEncoder(cmd.OutOrStdout()).Encode(struct {
					wasmhost.Inspection
					Schema       wasmhost.Schema `json:"schema"`
					Capabilities []string        `json:"capabilities"`
				}{i, trial.Schema, trial.Capabilities})
			}
			return printInspection(cmd, i, trial)
		},
	}
	outputFlag(cmd, &output)
	return cmd
}

func printInspection(cmd *cobra.Command, i wasmhost.Inspection, trial *wasmhost.Trial) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s, %d bytes, %s\nsha256: %s\n", trial.Schema.Name, trial.Schema.Version, i.Bytes, orNone(i.Toolchain), i.SHA256)
	fmt.Fprintf(&b, "capabilities: %s\nimports: %s\n\nfields:\n", orNone(strings.Join(trial.Capabilities, ", ")), orNone(strings.Join(i.Imports, ", ")))
	for _, f := range trial.Schema.Fields {
		fmt.Fprintf(&b, "  %-20s %-7s %s\n", f.Name, f.Type, f.Doc)
	}
	b.WriteString("\nused of what is allowed:\n")
	for _, m := range i.Measures {
		fmt.Fprintf(&b, "  %-40s %12d of %12d  %5.1f %%\n", m.Name, m.Used, m.Allowed, 100*float64(m.Used)/float64(m.Allowed))
	}
	_, err := cmd.OutOrStdout().Write([]byte(b.String()))
	return err
}

func orNone(s string) string {
	if s == "" {
		return "none"
	}
	return s
}
