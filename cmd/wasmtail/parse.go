package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/wasmtail/wasmtail/agent/pipeline"
	"github.com/wasmtail/wasmtail/internal/config"
	"github.com/wasmtail/wasmtail/internal/record"
	"github.com/wasmtail/wasmtail/plugins"
	"github.com/wasmtail/wasmtail/plugins/output/fileout"
)

func parseCommand() *cobra.Command {
	var path, name string
	var explain bool
	cmd := &cobra.Command{
		Use:     "parse",
		Short:   "Show what a pipeline makes of the lines on standard input",
		Example: "  wasmtail parse -c agent.yaml --pipeline nginx < /var/log/nginx/access.log",
		Args:    usage(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			file, err := loadConfig(path)
			if err != nil {
				return err
			}
			p, err := pickPipeline(file, name)
			if err != nil {
				return err
			}
			return parse(cmd.Context(), cmd.InOrStdin(), cmd.OutOrStdout(), p, explain)
		},
	}
	configFlag(cmd, &path)
	cmd.Flags().StringVarP(&name, "pipeline", "p", "", "`NAME` of the pipeline; not needed if there is only one")
	cmd.Flags().BoolVar(&explain, "explain", false, "show what each processor changes")
	return cmd
}

func pickPipeline(file *config.File, name string) (config.Pipeline, error) {
	if name == "" && len(file.Pipelines) == 1 {
		for only := range file.Pipelines {
			name = only
		}
	}
	p, ok := file.Pipelines[name]
	if !ok {
		names := strings.Join(slices.Sorted(maps.Keys(file.Pipelines)), ", ")
		return p, &exitError{exitUsage, fmt.Errorf("name a pipeline with --pipeline: %s", names)}
	}
	return p, nil
}

// parse runs lines through the very framing and processors of a pipeline.
func parse(ctx context.Context, in io.Reader, out io.Writer, p config.Pipeline, explain bool) error {
	table := plugins.Standard()
	once := table.Inputs[p.Input.Type].Once
	if once == nil {
		return &exitError{exitUsage, fmt.Errorf("cannot parse standard input as an input of type %s", p.Input.Type)}
	}
	stages, err := table.Stages(p.Processors)
	if err != nil {
		return &exitError{exitConfig, err}
	}
	printer, err := fileout.New(fileout.Config{Format: "json"}, "")
	if err != nil {
		return err
	}
	encoder := printer.NewEncoder("", "")
	return once(p.Input.Config, in, func(b *record.Batch) error {
		defer b.Release()
		if explain {
			return explainBatch(ctx, out, stages, b)
		}
		for _, s := range stages {
			if err := s.Processor.Process(ctx, b); err != nil {
				return fmt.Errorf("processor %s is broken: %w", s.Name, err)
			}
		}
		text, err := encoder.Encode(ctx, nil, b)
		if err == nil {
			_, err = out.Write(text)
		}
		return err
	})
}

// explainBatch prints each record with what every stage changed in it.
func explainBatch(ctx context.Context, out io.Writer, stages []pipeline.Stage, b *record.Batch) error {
	stories := map[int64]*strings.Builder{}
	var order []int64
	before := map[int64]map[string]string{}
	for i := range b.Records {
		r := &b.Records[i]
		order = append(order, r.Offset)
		before[r.Offset] = snapshot(r)
		stories[r.Offset] = &strings.Builder{}
		fmt.Fprintf(stories[r.Offset], "line at %d: %s\n", r.Offset, printable(r.Raw))
	}
	for _, s := range stages {
		if err := s.Processor.Process(ctx, b); err != nil {
			return fmt.Errorf("processor %s is broken: %w", s.Name, err)
		}
		after := map[int64]map[string]string{}
		for i := range b.Records {
			after[b.Records[i].Offset] = snapshot(&b.Records[i])
		}
		for offset, old := range before {
			fields, kept := after[offset]
			tellStage(stories[offset], s.Name, old, fields, kept)
		}
		before = after
	}
	for _, offset := range order {
		if _, err := io.WriteString(out, stories[offset].String()+"\n"); err != nil {
			return err
		}
	}
	return nil
}

func tellStage(w *strings.Builder, stage string, old, fields map[string]string, kept bool) {
	fmt.Fprintf(w, "  %s\n", stage)
	if !kept {
		w.WriteString("    removed by this rule, and counted as filtered\n")
		return
	}
	for _, name := range slices.Sorted(maps.Keys(old)) {
		if v, ok := fields[name]; !ok {
			fmt.Fprintf(w, "    - %s\n", name)
		} else if v != old[name] {
			fmt.Fprintf(w, "    ~ %s: %s → %s\n", name, quoted(old[name]), quoted(v))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		if _, ok := old[name]; !ok {
			fmt.Fprintf(w, "    + %s: %s\n", name, quoted(fields[name]))
		}
	}
}

// snapshot copies what a stage may change.
func snapshot(r *record.Record) map[string]string {
	m := map[string]string{}
	for _, f := range r.Fields {
		m[string(bytes.Clone(f.Name))] = printable(f.Value)
	}
	if r.Time != 0 {
		m["(time)"] = time.Unix(0, r.Time).UTC().Format(time.RFC3339Nano)
	}
	if r.Marks != 0 {
		m["(marks)"] = string(r.Marks.AppendText(nil))
	}
	return m
}
