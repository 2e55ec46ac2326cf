// Command wasmtail is the log collection agent and the tools around it.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/wasmtail/wasmtail/agent"
	"github.com/wasmtail/wasmtail/internal/config"
)

// version is set by the linker.
var version = "dev"

// The exit codes, as in sysexits(3) where it has one.
const (
	exitFaults      = 1
	exitUsage       = 2
	exitUnavailable = 69
	exitInternal    = 70
	exitTryLater    = 75
	exitPermission  = 77
	exitConfig      = 78
)

// exitError is an error with the exit code it ends the process with.
type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string {
	if e.err == nil {
		return ""
	}
	return e.err.Error()
}

func (e *exitError) Unwrap() error { return e.err }

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := rootCommand().ExecuteContext(ctx)
	stop()
	if err == nil {
		return
	}
	if text := err.Error(); text != "" { // it is when another process has said it
		fmt.Fprintln(os.Stderr, "wasmtail: "+text)
	}
	os.Exit(exitCode(err))
}

func rootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:           "wasmtail",
		Short:         "Follow log files, take them apart, and send them on without losing a line",
		Version:       version,
		SilenceUsage:  true,
		SilenceErrors: true,
		Args:          usage(knownCommand),
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
		Long: `wasmtail follows log files, takes their lines apart, and sends them on without
losing one.

Exit codes: 0 fine · 1 a check found faults · 2 wrong usage · 69 a server cannot
be reached · 70 internal error · 75 try again later · 77 no permission ·
78 faulty configuration.`,
	}
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return &exitError{exitUsage, err} })
	root.AddCommand(upCommand(), runCommand(), checkCommand(), parseCommand(), statusCommand(), verifyCommand(), whyCommand(),
		queryCommand(), tailCommand(), importCommand(), formatsCommand(), docsCommand(), parserCommand(), compileCommand())
	return root
}

// knownCommand refuses what is no command, and names those it could be.
func knownCommand(root *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	hint := "see wasmtail --help"
	root.SuggestionsMinimumDistance = 2
	if near := root.SuggestionsFor(args[0]); len(near) > 0 {
		hint = "did you mean " + strings.Join(near, " or ") + "?"
	}
	return fmt.Errorf("unknown command %q; %s", args[0], hint)
}

func exitCode(err error) int {
	var exit *exitError
	var faults config.Faults
	switch {
	case errors.As(err, &exit):
		return exit.code
	case errors.As(err, &faults):
		return exitConfig
	case errors.Is(err, agent.ErrBusy):
		return exitTryLater
	case errors.Is(err, os.ErrPermission):
		return exitPermission
	default:
		return exitInternal
	}
}
