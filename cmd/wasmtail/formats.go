package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/wasmtail/wasmtail/internal/config"
	"github.com/wasmtail/wasmtail/internal/formats"
)

func formatsCommand() *cobra.Command {
	var output string
	cmd := &cobra.Command{
		Use:   "formats",
		Short: "List the log formats that are known, show one, and find that of a file",
		Args:  usage(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			list, err := listFormats(cmd)
			if err != nil {
				return err
			}
			if output == "json" {
				return json.NewEncoder(cmd.OutOrStdout()).Encode(list)
			}
			t := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
			_, _ = fmt.Fprintln(t, "NAME\tWHAT IT IS\tFIELDS")
			for _, f := range list {
				_, _ = fmt.Fprintf(t, "%s\t%s\t%s\n", f.Name, shortened(f.Description), strings.Join(f.Fields, " "))
			}
			return t.Flush()
		},
	}
	outputFlag(cmd, &output)
	cmd.AddCommand(formatsShowCommand(), formatsDetectCommand())
	return cmd
}

// shortened is a description up to its first qualification: lines have an end.
func shortened(description string) string {
	short, _, _ := strings.Cut(description, ";")
	return short
}

// formatLine is a format in the list.
type formatLine struct {
	Name        string   `json:"name"`
	Description string   `json:"description"`
	URL         string   `json:"url"`
	Multiline   bool     `json:"multiline"`
	Fields      []string `json:"fields"`
}

func listFormats(cmd *cobra.Command) ([]formatLine, error) {
	var list []formatLine
	for _, f := range formats.Catalogue() {
		records, err := parseAs(cmd.Context(), f.Name, f.Sample)
		if err != nil {
			return nil, err
		}
		list = append(list, formatLine{f.Name, f.Description, f.URL, f.Multiline != formats.Multiline{}, fieldNames(records)})
	}
	return list, nil
}

// fieldNames are the names of the fields that records have, in their order.
func fieldNames(records []shownRecord) []string {
	names := []string{}
	for _, r := range records {
		for _, f := range r.Fields {
			if !slices.Contains(names, f.name) {
				names = append(names, f.name)
			}
		}
	}
	return names
}

func formatsShowCommand() *cobra.Command {
	var output string
	cmd := &cobra.Command{
		Use:     "show NAME",
		Short:   "Show the processors of a format, to paste, with a sample and the records they make of it",
		Example: "  wasmtail formats show nginx_access",
		Args:    usage(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			f := formats.Find(args[0])
			if f == nil {
				return &exitError{exitUsage, fmt.Errorf("there is no format %q%s; wasmtail formats lists them", args[0], config.SuggestFormat(args[0]))}
			}
			records, err := parseAs(cmd.Context(), f.Name, f.Sample)
			if err != nil {
				return err
			}
			if output == "json" {
				return json.NewEncoder(cmd.OutOrStdout()).Encode(struct {
					formatLine
					Framing    formats.Multiline `json:"framing"`
					Processors string            `json:"processors"`
					Sample     string            `json:"sample"`
					Records    []shownRecord     `json:"records"`
				}{formatLine{f.Name, f.Description, f.URL, f.Multiline != formats.Multiline{}, fieldNames(records)}, f.Multiline, f.Processors, f.Sample, records})
			}
			return showFormat(cmd.OutOrStdout(), f, records)
		},
	}
	outputFlag(cmd, &output)
	return cmd
}

func showFormat(w io.Writer, f *formats.Format, records []shownRecord) error {
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s: %s\n%s\n\n", f.Name, f.Description, f.URL)
	fmt.Fprintf(&b, "In a pipeline, `format: %s` does what these keys do:\n\n", f.Name)
	if m := f.Multiline; m != (formats.Multiline{}) {
		b.WriteString("    input:\n      multiline:\n")
		for _, p := range []struct{ key, pattern string }{{"start", m.Start}, {"continue", m.Continue}, {"head", m.Head}} {
			if p.pattern != "" {
				fmt.Fprintf(&b, "        %s: '%s'\n", p.key, strings.ReplaceAll(p.pattern, "'", "''"))
			}
		}
	}
	if f.Header != "" {
		fmt.Fprintf(&b, "    input:\n      header: '%s'\n", strings.ReplaceAll(f.Header, "'", "''"))
	}
	b.WriteString("    processors:\n")
	for line := range strings.Lines(f.Processors) {
		b.WriteString("      " + line)
	}
	b.WriteString("\nA sample:\n\n")
	for line := range strings.Lines(f.Sample) {
		b.WriteString(strings.TrimRight("    "+line, " \n") + "\n")
	}
	b.WriteString("\nThe records it becomes:\n")
	for i := range records {
		b.WriteByte('\n')
		records[i].write(&b, "    ")
	}
	_, err := w.Write(b.Bytes())
	return err
}
