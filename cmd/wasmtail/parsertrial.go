package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/wasmtail/wasmtail/agent/wasmhost"
)

// trialFlags are the flags of commands that try a module.
type trialFlags struct {
	config string
	tables []string
}

func (t *trialFlags) add(cmd *cobra.Command) {
	cmd.Flags().StringVar(&t.config, "config", "", "configuration of the module, as `JSON`")
	cmd.Flags().StringArrayVar(&t.tables, "table", nil, "CSV `FILE` of a table to look up, once for each")
}

// spec describes the module that the flags ask for.
func (t *trialFlags) spec(path string) (wasmhost.Spec, error) {
	spec := wasmhost.Spec{Path: path, Config: []byte(t.config)}
	if t.config != "" && !json.Valid(spec.Config) {
		return spec, &exitError{exitUsage, errors.New("--config is no valid JSON")}
	}
	for i, path := range t.tables {
		table, err := wasmhost.OpenTable(fmt.Sprint(i), path)
		if err != nil {
			return spec, &exitError{exitConfig, err}
		}
		spec.Tables = append(spec.Tables, table)
	}
	return spec, nil
}

// readLines reads the lines on standard input.
func readLines(cmd *cobra.Command) ([][]byte, error) {
	text, err := io.ReadAll(cmd.InOrStdin())
	if err != nil {
		return nil, fmt.Errorf("cannot read the lines: %w", err)
	}
	if len(text) == 0 {
		return nil, nil
	}
	return bytes.Split(bytes.TrimSuffix(text, []byte("\n")), []byte("\n")), nil
}
