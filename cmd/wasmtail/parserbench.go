package main

import (
	"bytes"
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
	var compare, regex string
	var limit time.Duration
	var t trialFlags
	cmd := &cobra.Command{
		Use:   "bench FILE.wasm",
		Short: "Measure a module with the lines on standard input",
		Long: `Measure a module with the lines on standard input: megabytes a second and
nanoseconds a line, on one core, metered and with all checks, as in a pipeline;
the meter's units for a byte, the bytes of values that are no part of the line, and
the memory of the instance in the end. The native byte loop only looks at each byte
of the lines for blanks, without a sandbox, and makes no fields: it is a yardstick,
not a parser.`,
		Example: `  wasmtail parser bench nginx.wasm < access.log
  wasmtail parser bench nginx.wasm --compare old.wasm --regex '^(?P<ip>\S+) ' < access.log`,
		Args: usage(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			lines, err := readLines(cmd)
			if err != nil {
				return err
			}
			if len(lines) == 0 {
				return &exitError{exitUsage, errors.New("there are no lines on standard input")}
			}
			b := &bench{cmd: cmd, flags: t, lines: lines, limit: limit}
			return b.run(args[0], compare, regex)
		},
	}
	t.add(cmd)
	cmd.Flags().StringVar(&compare, "compare", "", "`FILE` of another module, measured with the same lines")
	cmd.Flags().StringVar(&regex, "regex", "", "measure the built-in matcher with this `PATTERN` too")
	cmd.Flags().DurationVar(&limit, "time", 2*time.Second, "how long to measure each")
	return cmd
}

// bench measures with the lines it was given, which it repeats.
type bench struct {
	cmd   *cobra.Command
	flags trialFlags
	lines [][]byte
	limit time.Duration
}

// figure is what was measured of one thing.
type figure struct {
	name        string
	size, lines int64
	spent       time.Duration
	more        string // further lines to print
}

func (f *figure) speed() float64 { return float64(f.size) / f.spent.Seconds() / 1e6 }

// print prints the figure, and how fast it is beside others.
func (f *figure) print(w io.Writer, others ...*figure) error {
	line := fmt.Sprintf("%-32s %8.1f MB/s %8.1f ns/line", f.name, f.speed(), float64(f.spent.Nanoseconds())/float64(f.lines))
	for i, o := range others {
		line += fmt.Sprintf("%c %.2f of %s", " ,"[min(i, 1)], f.speed()/o.speed(), o.name)
	}
	_, err := fmt.Fprintf(w, "%s\n%s", line, f.more)
	return err
}

// batchLines is about how many lines a batch of a pipeline has.
const batchLines = 2000

// run measures all there is to measure, and prints it.
func (b *bench) run(path, compare, regex string) error {
	loop, err := b.scan()
	if err != nil {
		return err
	}
	beside := []*figure{loop}
	if compare != "" {
		other, err := b.module(compare)
		if err != nil {
			return err
		}
		beside = append(beside, other)
	}
	f, err := b.module(path)
	if err != nil {
		return err
	}
	if err := f.print(b.cmd.OutOrStdout(), beside...); err != nil {
		return err
	}
	for _, other := range beside[1:] {
		if err := other.print(b.cmd.OutOrStdout(), loop); err != nil {
			return err
		}
	}
	if regex != "" {
		matcher, err := b.regex(regex)
		if err != nil {
			return err
		}
		if err := matcher.print(b.cmd.OutOrStdout(), loop); err != nil {
			return err
		}
	}
	return loop.print(b.cmd.OutOrStdout())
}

// module measures a module, and what it costs.
func (b *bench) module(path string) (*figure, error) {
	host, err := openModules(silentLog())
	if err != nil {
		return nil, err
	}
	defer host.Close()
	spec, err := b.flags.spec(path)
	if err != nil {
		return nil, err
	}
	spec.Pipeline, spec.Stage = "bench", "wasm#1"
	m, err := host.Module(b.cmd.Context(), spec)
	if err != nil {
		return nil, err
	}
	if s := host.Status()[0]; s.State != wasmhost.Serving {
		return nil, &exitError{exitFaults, fmt.Errorf("%s", s.Reason)}
	}
	p := m.NewParser()
	defer p.Close()
	f, err := b.measure(path, func(batch *record.Batch) error { return p.Process(b.cmd.Context(), batch) })
	if err != nil {
		return nil, err
	}
	s, cost := host.Status()[0], p.Cost()
	f.more = fmt.Sprintf("  %.1f %% parsed, %.1f %% not of the format, %.1f %% errors, %.1f %% failed\n",
		share(s.Parsed, s.Lines), share(s.NoMatch, s.Lines), share(s.Errors, s.Lines), share(s.Failed+s.Bypassed, s.Lines)) +
		fmt.Sprintf("  %.3f units/byte, %.1f bytes copied/line, %d bytes of memory after %d lines\n",
			float64(cost.Units)/float64(f.size), float64(cost.Copied)/float64(f.lines), cost.Memory, f.lines)
	return f, nil
}

func share(n, of int64) float64 { return 100 * float64(n) / float64(max(1, of)) }

// scan measures a plain native loop over the bytes of the same lines.
func (b *bench) scan() (*figure, error) {
	blanks := 0
	f, err := b.measure("the native loop", func(batch *record.Batch) error {
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
		return nil, err
	}
	f.more = fmt.Sprintf("  looks at each byte, found %d blanks, and makes no fields\n", blanks)
	return f, nil
}

func (b *bench) regex(expr string) (*figure, error) {
	re, err := pattern.Compile(expr)
	if err != nil {
		return nil, &exitError{exitUsage, err}
	}
	at := make([]int, 0, 2*(re.NumSubexp()+1))
	return b.measure("the built-in regex", func(batch *record.Batch) error {
		for i := range batch.Records {
			re.FindSubmatchIndex(at, batch.Records[i].Raw)
		}
		return nil
	})
}

// measure runs batches for the time that was asked for.
func (b *bench) measure(name string, process func(*record.Batch) error) (*figure, error) {
	batch := record.Get(&record.Origin{Path: "bench", Source: 1, Ledger: &record.Ledger{}})
	defer batch.Release()
	f := &figure{name: name}
	for at := 0; f.spent < b.limit; {
		part := b.lines[at:min(len(b.lines), at+batchLines)]
		raw, pos := batch.Copy(bytes.Join(part, []byte("\n"))), 0
		for _, line := range part {
			batch.AddOwn(raw[pos : pos+len(line) : pos+len(line)]).Size = int64(len(line)) + 1
			pos += len(line) + 1
		}
		batch.Final = true
		began := time.Now()
		err := process(batch)
		f.spent += time.Since(began)
		if err != nil {
			return nil, err
		}
		f.size, f.lines = f.size+int64(len(raw)), f.lines+int64(len(part))
		batch.Reset()
		if at += batchLines; at >= len(b.lines) {
			at = 0
		}
	}
	return f, nil
}
