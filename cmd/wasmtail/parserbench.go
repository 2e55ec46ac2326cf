package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/wasmtail/wasmtail/agent/wasmhost"
	"github.com/wasmtail/wasmtail/internal/pattern"
	"github.com/wasmtail/wasmtail/internal/record"
)

func parserBenchCommand() *cobra.Command {
	var config, compare, regex string
	var limit time.Duration
	cmd := &cobra.Command{
		Use:   "bench FILE.wasm",
		Short: "Measure a module with the lines on standard input",
		Long: `Measure a module with the lines on standard input: megabytes a second and
nanoseconds a line, on one core, metered and with all checks, as in a pipeline.
The native byte loop only looks at each byte of the lines for blanks, without a
sandbox, and makes no fields: it is a yardstick, not a parser.`,
		Example: `  wasmtail parser bench nginx.wasm < access.log
  wasmtail parser bench nginx.wasm --compare old.wasm --regex '^(?P<ip>\S+) ' < access.log`,
		Args: usage(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			if config != "" && !json.Valid([]byte(config)) {
				return &exitError{exitUsage, errors.New("--config is no valid JSON")}
			}
			text, err := io.ReadAll(cmd.InOrStdin())
			if err != nil {
				return fmt.Errorf("cannot read the lines: %w", err)
			}
			b := &bench{cmd: cmd, lines: bytes.Split(bytes.TrimSuffix(text, []byte("\n")), []byte("\n")), limit: limit, config: []byte(config)}
			if len(text) == 0 {
				return &exitError{exitUsage, fmt.Errorf("there are no lines on standard input")}
			}
			for _, path := range append(args, compare) {
				if path == "" {
					continue
				}
				if err := b.module(path); err != nil {
					return err
				}
			}
			if err := b.scan(); err != nil || regex == "" {
				return err
			}
			return b.regex(regex)
		},
	}
	cmd.Flags().StringVar(&config, "config", "", "configuration of the module, as `JSON`")
	cmd.Flags().StringVar(&compare, "compare", "", "`FILE` of another module, measured with the same lines")
	cmd.Flags().StringVar(&regex, "regex", "", "measure the built-in matcher with this `PATTERN` too")
	cmd.Flags().DurationVar(&limit, "time", 2*time.Second, "how long to measure each")
	return cmd
}

// bench measures with the lines it was given, which it repeats. The first figure
// is what the others are compared with.
type bench struct {
	cmd    *cobra.Command
	lines  [][]byte
	limit  time.Duration
	config []byte
	first  float64
}

// batchLines is about how many lines a batch of a pipeline has.
const batchLines = 2000

func (b *bench) module(path string) error {
	host, err := openModules(silentLog())
	if err != nil {
		return err
	}
	defer host.Close()
	m, err := host.Module(b.cmd.Context(), wasmhost.Spec{Pipeline: "bench", Stage: "wasm#1", Path: path, Config: b.config})
	if err != nil {
		return err
	}
	if s := host.Status()[0]; s.State != wasmhost.Serving {
		return &exitError{exitFaults, fmt.Errorf("%s", s.Reason)}
	}
	p := m.NewParser()
	defer p.Close()
	if err := b.measure(path, func(batch *record.Batch) error { return p.Process(context.Background(), batch) }); err != nil {
		return err
	}
	s := host.Status()[0]
	_, err = fmt.Fprintf(b.cmd.OutOrStdout(), "  %.1f %% parsed, %.1f %% not of the format, %.1f %% errors, %.1f %% failed\n",
		share(s.Parsed, s.Lines), share(s.NoMatch, s.Lines), share(s.Errors, s.Lines), share(s.Failed+s.Bypassed, s.Lines))
	return err
}

func share(n, of int64) float64 { return 100 * float64(n) / float64(max(1, of)) }

// scan measures a plain native loop over the bytes of the same lines.
func (b *bench) scan() error {
	blanks := 0
	err := b.measure("native byte loop, finds blanks", func(batch *record.Batch) error {
		for i := range batch.Records {
			for _, c := range batch.Records[i].Raw {
				if c == ' ' {
					blanks++
				}
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(b.cmd.OutOrStdout(), "  %d blanks seen\n", blanks)
	return err
}

func (b *bench) regex(expr string) error {
	re, err := pattern.Compile(expr)
	if err != nil {
		return &exitError{exitUsage, err}
	}
	at := make([]int, 0, 2*(re.NumSubexp()+1))
	return b.measure("built-in regex", func(batch *record.Batch) error {
		for i := range batch.Records {
			re.FindSubmatchIndex(at, batch.Records[i].Raw)
		}
		return nil
	})
}

// measure runs batches for the time that was asked for, and prints the figure.
func (b *bench) measure(name string, process func(*record.Batch) error) error {
	batch := record.Get(&record.Origin{Path: "bench", Source: 1, Ledger: &record.Ledger{}})
	defer batch.Release()
	var spent time.Duration
	var size, lines int64
	for at := 0; spent < b.limit; at = (at + batchLines) % len(b.lines) {
		part := b.lines[at:min(len(b.lines), at+batchLines)]
		raw, pos := batch.Copy(bytes.Join(part, []byte("\n"))), 0
		for _, line := range part {
			batch.AddOwn(raw[pos : pos+len(line) : pos+len(line)]).Size = int64(len(line)) + 1
			pos += len(line) + 1
		}
		batch.Final = true
		began := time.Now()
		err := process(batch)
		spent += time.Since(began)
		if err != nil {
			return err
		}
		size, lines = size+int64(len(raw)), lines+int64(len(part))
		batch.Reset()
		if at+batchLines >= len(b.lines) {
			at = -batchLines
		}
	}
	speed := float64(size) / spent.Seconds() / 1e6
	if b.first == 0 {
		b.first = speed
	}
	_, err := fmt.Fprintf(b.cmd.OutOrStdout(), "%-40s %8.1f MB/s %8.1f ns/line %6.2f of the first\n", name, speed, float64(spent.Nanoseconds())/float64(lines), speed/b.first)
	return err
}
