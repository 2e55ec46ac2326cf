package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
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
not a parser. What is measured takes turns, so that a busy machine slows all alike.`,
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
			lines = slices.Repeat(lines, (batchLines+len(lines)-1)/len(lines))
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

// bench measures with the lines it was given, which it repeats, so that batches are
// as large as those of a pipeline.
type bench struct {
	cmd   *cobra.Command
	flags trialFlags
	lines [][]byte
	limit time.Duration
}

// figure is what is measured of one thing.
type figure struct {
	name        string
	process     func(*record.Batch) error
	end         func() // says what more there is to say, and frees what is measured
	at          int    // the next line
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

const (
	// batchLines is about how many lines a batch of a pipeline has.
	batchLines = 2000
	// benchTurns is how often each thing has its turn, so that what else the
	// machine does slows all of them alike.
	benchTurns = 20
)

// run measures all there is to measure, and prints it.
func (b *bench) run(path, compare, regex string) (err error) {
	loop := b.scan()
	figures := []*figure{loop}
	defer func() {
		for _, f := range figures {
			f.end()
		}
		if err == nil {
			err = b.print(figures)
		}
	}()
	for _, module := range []string{path, compare} {
		if module == "" {
			continue
		}
		f, err := b.module(module)
		if err != nil {
			return err
		}
		figures = append(figures, f)
	}
	if regex != "" {
		f, err := b.regex(regex)
		if err != nil {
			return err
		}
		figures = append(figures, f)
	}
	for range benchTurns {
		for _, f := range figures {
			if err := b.measure(f); err != nil {
				return err
			}
		}
	}
	return nil
}

// print prints the figures, of which the first is the loop.
func (b *bench) print(figures []*figure) error {
	out, loop := b.cmd.OutOrStdout(), figures[0]
	for i, f := range figures[1:] {
		beside := []*figure{loop}
		if i == 0 && len(figures) > 2 {
			beside = append(beside, figures[2:]...)
		}
		if err := f.print(out, beside...); err != nil {
			return err
		}
	}
	return loop.print(out)
}

// module has a module ready, and says what it costs in the end.
func (b *bench) module(path string) (*figure, error) {
	spec, err := b.flags.spec(path)
	if err != nil {
		return nil, err
	}
	spec.Pipeline, spec.Stage = "bench", "wasm#1"
	host, err := openModules(silentLog())
	if err != nil {
		return nil, err
	}
	m, err := host.Module(b.cmd.Context(), spec)
	if err != nil {
		host.Close()
		return nil, err
	}
	if s := host.Status()[0]; s.State != wasmhost.Serving {
		host.Close()
		return nil, &exitError{exitFaults, fmt.Errorf("%s", s.Reason)}
	}
	p := m.NewParser()
	f := &figure{name: path, process: func(batch *record.Batch) error { return p.Process(b.cmd.Context(), batch) }}
	f.end = func() {
		s, cost := host.Status()[0], p.Cost()
		p.Close()
		host.Close()
		f.more = fmt.Sprintf("  %.1f %% parsed, %.1f %% not of the format, %.1f %% errors, %.1f %% failed\n",
			share(s.Parsed, s.Lines), share(s.NoMatch, s.Lines), share(s.Errors, s.Lines), share(s.Failed+s.Bypassed, s.Lines)) +
			fmt.Sprintf("  %.3f units/byte, %.1f bytes copied/line, %d bytes of memory after %d lines\n",
				float64(cost.Units)/float64(max(1, f.size)), share(cost.Copied, f.lines)/100, cost.Memory, f.lines)
	}
	return f, nil
}

func share(n, of int64) float64 { return 100 * float64(n) / float64(max(1, of)) }

// scan is a plain native loop over the bytes of the same lines.
func (b *bench) scan() *figure {
	blanks := 0
	f := &figure{name: "the native loop", process: func(batch *record.Batch) error {
		for i := range batch.Records {
			for _, c := range batch.Records[i].Raw {
				if c == ' ' {
					blanks++
				}
			}
		}
		return nil
	}}
	f.end = func() {
		f.more = fmt.Sprintf("  looks at each byte, found %d blanks, and makes no fields\n", blanks)
	}
	return f
}

func (b *bench) regex(expr string) (*figure, error) {
	re, err := pattern.Compile(expr)
	if err != nil {
		return nil, &exitError{exitUsage, err}
	}
	at := make([]int, 0, 2*(re.NumSubexp()+1))
	return &figure{name: "the built-in regex", end: func() {}, process: func(batch *record.Batch) error {
		for i := range batch.Records {
			re.FindSubmatchIndex(at, batch.Records[i].Raw)
		}
		return nil
	}}, nil
}

// measure runs batches for a turn.
func (b *bench) measure(f *figure) error {
	batch := record.Get(&record.Origin{Path: "bench", Source: 1, Ledger: &record.Ledger{}})
	defer batch.Release()
	for until := f.spent + b.limit/benchTurns; f.spent < until; {
		part := b.lines[f.at:min(len(b.lines), f.at+batchLines)]
		raw, pos := batch.Copy(bytes.Join(part, []byte("\n"))), 0
		for _, line := range part {
			batch.AddOwn(raw[pos : pos+len(line) : pos+len(line)]).Size = int64(len(line)) + 1
			pos += len(line) + 1
		}
		batch.Final = true
		began := time.Now()
		err := f.process(batch)
		f.spent += time.Since(began)
		if err != nil {
			return err
		}
		f.size, f.lines = f.size+int64(len(raw)), f.lines+int64(len(part))
		batch.Reset()
		if f.at += batchLines; f.at >= len(b.lines) {
			f.at = 0
		}
	}
	return nil
}
