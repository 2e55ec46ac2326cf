package main

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/wasmtail/wasmtail/internal/config/configdoc"
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
			reference, schema, err := configdoc.Generate(plugins.Standard().Catalog(), root)
			if err != nil {
				return fmt.Errorf("cannot generate the reference: %w", err)
			}
			for name, data := range map[string][]byte{"configuration.md": reference, "config.schema.json": schema} {
				if err := os.WriteFile(filepath.Join(root, "docs", name), data, 0o644); err != nil { //nolint:gosec // documents are public
					return fmt.Errorf("cannot write a document: %w", err)
				}
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&root, "root", ".", "`FOLDER` of the source tree")
	return cmd
}
