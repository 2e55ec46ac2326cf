package main

import (
	"fmt"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	sdkfiles "github.com/wasmtail/wasmtail/sdk"

	"github.com/wasmtail/wasmtail/internal/toolchain"
)

// sdkVersion is the version of the module that a Go project names when this
// program is no release.
const sdkVersion = "v0.1.0"

func parserInitCommand() *cobra.Command {
	var language, sdk string
	cmd := &cobra.Command{
		Use:   "init NAME",
		Short: "Begin a parser: a folder with a source that builds, cases, and a README",
		Long: `Begin a parser: write the folder NAME with a source that builds, parser.yaml,
the SDK's file, golden cases, a Makefile, a README and a workflow that runs the
cases. The last part of NAME is the parser's name. The folder must be missing or
empty.`,
		Example: "  wasmtail parser init --lang rust shop",
		Args:    usage(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			n := toolchain.New{Dir: args[0], Language: language, SDK: sdkfiles.Files, Version: sdkVersion}
			if strings.HasPrefix(version, "v") {
				n.Version = version
			}
			if sdk != "" {
				n.Checkout = filepath.Dir(filepath.Clean(sdk))
			}
			files, err := toolchain.Init(n)
			if err != nil {
				return &exitError{exitUsage, err}
			}
			return printInit(cmd, &n, files)
		},
	}
	cmd.Flags().StringVar(&language, "lang", "c", "`LANGUAGE`: "+strings.Join(toolchain.Languages, ", "))
	cmd.Flags().StringVar(&sdk, "sdk", "", "`FOLDER` of the SDK in a checkout of wasmtail, which a Go project then builds against")
	return cmd
}

// printInit prints the files, and the commands that come next.
func printInit(cmd *cobra.Command, n *toolchain.New, files []string) error {
	var b strings.Builder
	for _, file := range files {
		fmt.Fprintf(&b, "%s\n", filepath.Join(n.Dir, file))
	}
	fmt.Fprintf(&b, "\nnext:\n  cd %s\n", n.Dir)
	switch {
	case n.Language == "assemblyscript":
		b.WriteString("  npm install\n")
	case n.Language == "go" && n.Checkout == "":
		b.WriteString("  go mod tidy\n")
	}
	module := filepath.Base(filepath.Clean(n.Dir)) + ".wasm"
	fmt.Fprintf(&b, "  wasmtail parser test\n  wasmtail parser run %s < testdata/basic.log\n", module)
	_, err := cmd.OutOrStdout().Write([]byte(b.String()))
	return err
}
