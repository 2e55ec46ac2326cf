package main

import (
	"github.com/spf13/cobra"

	"github.com/wasmtail/wasmtail/internal/documents"
	"github.com/wasmtail/wasmtail/plugins"
)

// docsCommand writes the documents that are made from the code. It needs the
// source tree, so it is for those who change it.
func docsCommand() *cobra.Command {
	var root string
	cmd := &cobra.Command{
		Use:    "docs",
		Short:  "Write the documents that are generated from the source tree",
		Hidden: true,
		Args:   usage(cobra.NoArgs),
		RunE: func(*cobra.Command, []string) error {
			return documents.Write(plugins.Standard().Catalog(), root)
		},
	}
	cmd.Flags().StringVar(&root, "root", ".", "`FOLDER` of the source tree")
	return cmd
}
