package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/wasmtail/wasmtail/agent"
	"github.com/wasmtail/wasmtail/agent/tail"
	"github.com/wasmtail/wasmtail/internal/config"
	"github.com/wasmtail/wasmtail/internal/formats"
	"github.com/wasmtail/wasmtail/internal/record"
	"github.com/wasmtail/wasmtail/plugins"
)

func formatsDetectCommand() *cobra.Command {
	var output string
	cmd := &cobra.Command{
		Use:   "detect FILE...",
		Short: "Find the format of files from their first lines",
		Long: `Find the format of files from their first lines, as "format: auto" does: the
share of those that fit, the next best format, and the record that the first
line becomes.

Exit codes: 0 each file has a known format · 1 one has not, or cannot be read ·
77 no permission.`,
		Example: "  wasmtail formats detect /var/log/*.log",
		Args:    usage(cobra.MinimumNArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			found := make([]detected, len(args))
			for i, path := range args {
				found[i] = detectFormat(cmd.Context(), path)
			}
			if output == "json" {
				if err := json.NewEncoder(cmd.OutOrStdout()).Encode(found); err != nil {
					return err
				}
			} else if err := printDetected(cmd.OutOrStdout(), found); err != nil {
				return err
			}
			return detectVerdict(found)
		},
	}
	outputFlag(cmd, &output)
	return cmd
}

// detected is what was found out about one file.
type detected struct {
	Path       string       `json:"path"`
	Format     string       `json:"format,omitempty"`
	Confidence float64      `json:"confidence"`
	Lines      int          `json:"lines"`
	RunnerUp   *runnerUp    `json:"runner_up,omitempty"`
	Remark     string       `json:"remark,omitempty"`
	Record     *shownRecord `json:"record,omitempty"` // the first
	Problem    string       `json:"problem,omitempty"`
	err        error        // that Problem tells
}

type runnerUp struct {
	Format     string  `json:"format"`
	Confidence float64 `json:"confidence"`
}

func detectFormat(ctx context.Context, path string) (d detected) {
	d.Path = path
	head, err := readHead(path)
	if err == nil {
		err = d.recognise(ctx, head)
	}
	if err != nil {
		d.err, d.Problem = err, err.Error()
	}
	return d
}

// readHead returns the first bytes of a file, as they are when it is unpacked.
func readHead(path string) ([]byte, error) {
	content, err := tail.OpenContent(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = content.Close() }()
	head, err := io.ReadAll(io.LimitReader(content, formats.SampleBytes))
	if err != nil {
		return nil, fmt.Errorf("cannot read %s: %w", path, err)
	}
	return head, nil
}

func (d *detected) recognise(ctx context.Context, head []byte) error {
	ranked := formats.Rank(head)
	best := formats.Detect(head)
	d.Format, d.Confidence, d.Lines, d.Remark = best.Name, best.Confidence, best.Lines, best.Remark
	if len(ranked) > 1 {
		d.RunnerUp = &runnerUp{ranked[1].Name, ranked[1].Confidence}
	}
	if len(head) == formats.SampleBytes { // its last line is not whole
		head = head[:bytes.LastIndexByte(head, '\n')+1]
	}
	records, err := parseAs(ctx, config.FormatAuto, string(head))
	if len(records) > 0 {
		d.Record = &records[0]
	}
	return err
}

func printDetected(w io.Writer, found []detected) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(t, "FILE\tFORMAT\tCONFIDENCE\tLINES\tRUNNER-UP")
	for i := range found {
		d := &found[i]
		switch {
		case d.err != nil:
			_, _ = fmt.Fprintf(t, "%s\t?\t\t\t\n", d.Path)
			continue
		case d.RunnerUp != nil:
			_, _ = fmt.Fprintf(t, "%s\t%s\t%s\t%d\t%s %s\n", d.Path, d.Format, percent(d.Confidence), d.Lines, d.RunnerUp.Format, percent(d.RunnerUp.Confidence))
		default:
			_, _ = fmt.Fprintf(t, "%s\t%s\t%s\t%d\tnone\n", d.Path, d.Format, percent(d.Confidence), d.Lines)
		}
	}
	if err := t.Flush(); err != nil {
		return err
	}
	var b bytes.Buffer
	for i := range found {
		d := &found[i]
		fmt.Fprintf(&b, "\n%s\n", d.Path)
		switch {
		case d.err != nil:
			fmt.Fprintf(&b, "    %s\n", d.Problem)
		case d.Record == nil:
			b.WriteString("    it is empty\n")
		default:
			d.Record.write(&b, "    ")
		}
		if d.Remark != "" {
			fmt.Fprintf(&b, "    → %s\n", d.Remark)
		}
	}
	_, err := w.Write(b.Bytes())
	return err
}

// percent is a share that is not rounded up to all.
func percent(share float64) string {
	return fmt.Sprintf("%d %%", int(100*share))
}

func detectVerdict(found []detected) error {
	plain, unreadable, code := 0, 0, exitFaults
	for i := range found {
		switch d := &found[i]; {
		case errors.Is(d.err, os.ErrPermission):
			unreadable, code = unreadable+1, exitPermission
		case d.err != nil:
			unreadable++
		case d.Format == formats.Plain:
			plain++
		}
	}
	if plain+unreadable == 0 {
		return nil
	}
	var said []string
	if unreadable > 0 {
		said = append(said, fmt.Sprintf("%d of %d file(s) cannot be read", unreadable, len(found)))
	}
	if plain > 0 {
		said = append(said, fmt.Sprintf("%d of %d file(s) have no known format", plain, len(found)))
	}
	return &exitError{code, errors.New(strings.Join(said, ", "))}
}

// shownRecord is a record to be shown: it outlives its batch.
type shownRecord struct {
	Time   *time.Time  `json:"time,omitempty"` // nil if none was read
	Failed bool        `json:"failed,omitempty"`
	Fields shownFields `json:"fields"`
}

type shownField struct{ name, value string }

// shownFields are written as one JSON object, in their order.
type shownFields []shownField

// MarshalJSON implements json.Marshaler.
func (f shownFields) MarshalJSON() ([]byte, error) {
	b := []byte{'{'}
	for i, field := range f {
		if i > 0 {
			b = append(b, ',')
		}
		for _, text := range []string{field.name, field.value} {
			quoted, err := json.Marshal(text)
			if err != nil {
				return nil, err
			}
			b = append(append(b, quoted...), ':')
		}
		b = b[:len(b)-1]
	}
	return append(b, '}'), nil
}

// write prints a record for people, its names aligned, and further lines of a value
// below its first.
func (r *shownRecord) write(b *bytes.Buffer, indent string) {
	width := len("(time)")
	for _, f := range r.Fields {
		width = max(width, len(f.name))
	}
	if r.Time != nil {
		fmt.Fprintf(b, "%s%-*s  %s\n", indent, width, "(time)", r.Time.Format(time.RFC3339Nano))
	}
	for _, f := range r.Fields {
		name := printable([]byte(f.name))
		for line := range strings.SplitSeq(f.value, "\n") {
			b.WriteString(strings.TrimRight(fmt.Sprintf("%s%-*s  %s", indent, width, name, printable([]byte(line))), " ") + "\n")
			name = ""
		}
	}
}

// parseAs makes records of text as a pipeline of that format does.
func parseAs(ctx context.Context, format, text string) (records []shownRecord, err error) {
	table := plugins.Standard()
	source := "version: 1\noutputs: {out: {type: stdout}}\npipelines: {main: {input: {type: files, include: [/-]}, outputs: [out], format: " + format + "}}\n"
	file, err := config.Parse("format "+format, []byte(source), "/", table.Catalog())
	if err != nil {
		return nil, err
	}
	p := file.Pipelines["main"]
	stages, err := table.Stages(&p, agent.ProcessorEnv{Context: ctx})
	if err != nil {
		return nil, err
	}
	defer closeStages(stages)
	err = table.Inputs[p.Input.Type].Once(p.Input.Config, strings.NewReader(text), func(b *record.Batch) error {
		defer b.Release()
		b.Final = true
		for _, s := range stages {
			if err := s.Processor.Process(ctx, b); err != nil {
				return fmt.Errorf("processor %s is broken: %w", s.Name, err)
			}
		}
		for i := range b.Records {
			records = append(records, shown(&b.Records[i]))
		}
		return nil
	})
	return records, err
}

func shown(r *record.Record) shownRecord {
	s := shownRecord{Failed: r.Marks&record.Failed != 0}
	if r.Time != 0 {
		t := time.Unix(0, r.Time).UTC()
		s.Time = &t
	}
	for _, f := range r.Fields {
		s.Fields = append(s.Fields, shownField{string(f.Name), string(f.Value)})
	}
	return s
}
