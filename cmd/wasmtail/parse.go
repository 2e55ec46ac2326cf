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

	"github.com/sirupsen/logrus"
	"github.com/spf13/cobra"

	"github.com/wasmtail/wasmtail/agent"
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
			return (&parser{pipeline: p, out: cmd.OutOrStdout(), explain: explain}).run(cmd.Context(), cmd.InOrStdin())
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

// parser runs lines through the very framing and processors of a pipeline.
type parser struct {
	pipeline config.Pipeline
	out      io.Writer
	explain  bool
}

func (p *parser) run(ctx context.Context, in io.Reader) error {
	table := plugins.Standard()
	input := p.pipeline.Input
	once := table.Inputs[input.Type].Once
	if once == nil {
		return &exitError{exitUsage, fmt.Errorf("cannot parse standard input as an input of type %s", input.Type)}
	}
	modules, err := openModules(logrus.StandardLogger())
	if err != nil {
		return err
	}
	defer modules.Close()
	stages, err := table.Stages(&p.pipeline, agent.ProcessorEnv{Context: ctx, Modules: modules})
	if err != nil {
		return &exitError{exitConfig, err}
	}
	defer closeStages(stages)
	printer, err := fileout.New(fileout.Config{Format: "json"}, "")
	if err != nil {
		return err
	}
	encoder := printer.NewEncoder("", "")
	return once(input.Config, in, func(b *record.Batch) error {
		defer b.Release()
		b.Final = true // nothing is left for later: each batch is shown whole
		if p.explain {
			return explainBatch(ctx, p.out, stages, b)
		}
		for _, s := range stages {
			if err := s.Processor.Process(ctx, b); err != nil {
				return fmt.Errorf("processor %s is broken: %w", s.Name, err)
			}
		}
		text, err := encoder.Encode(ctx, nil, b)
		if err == nil {
			_, err = p.out.Write(text)
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
			fmt.Fprintf(stories[offset], "  %s\n", s.Name)
			tellStage(stories[offset], old, after[offset])
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

// tellStage prints what a stage made of old; nil means that it removed it.
func tellStage(w *strings.Builder, old, fields map[string]string) {
	if fields == nil {
		w.WriteString("    removed by this rule, and counted as filtered\n")
		return
	}
	for _, name := range slices.Sorted(maps.Keys(old)) {
		if v, ok := fields[name]; !ok {
			fmt.Fprintf(w, "    - %s\n", printable([]byte(name)))
		} else if v != old[name] {
			fmt.Fprintf(w, "    ~ %s: %s → %s\n", printable([]byte(name)), quoted(old[name]), quoted(v))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		if _, ok := old[name]; !ok {
			fmt.Fprintf(w, "    + %s: %s\n", printable([]byte(name)), quoted(fields[name]))
		}
	}
}

// snapshot copies what a stage may change.
func snapshot(r *record.Record) map[string]string {
	m := map[string]string{}
	for _, f := range r.Fields {
		m[string(bytes.Clone(f.Name))] = string(f.Value)
	}
	if r.Time != 0 {
		m["(time)"] = time.Unix(0, r.Time).UTC().Format(time.RFC3339Nano)
	}
	if r.Marks != 0 {
		m["(marks)"] = string(r.Marks.AppendText(nil))
	}
	return m
}
