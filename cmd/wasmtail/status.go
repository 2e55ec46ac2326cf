package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"

	"github.com/wasmtail/wasmtail/agent"
	"github.com/wasmtail/wasmtail/agent/history"
	"github.com/wasmtail/wasmtail/agent/tail"
	"github.com/wasmtail/wasmtail/agent/wasmhost"
)

func statusCommand() *cobra.Command {
	var path, admin, output string
	var all bool
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Show how far the running agent is with each file, the worst first",
		Args:  usage(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			dataDir := ""
			if admin == "" {
				file, err := loadConfig(path)
				if err != nil {
					return err
				}
				admin, dataDir = file.Admin.Listen, file.DataDir
			}
			status, raw, err := askStatus(cmd.Context(), admin)
			if err != nil {
				if dataDir != "" && output != "json" { // an import may run without an agent
					imports, _ := history.States(dataDir) // what is wrong there is no news beside err
					printImports(cmd.OutOrStdout(), imports)
				}
				return err
			}
			if output == "json" {
				_, err = cmd.OutOrStdout().Write(raw)
				return err
			}
			printStatus(cmd.OutOrStdout(), status, time.Now(), all)
			return nil
		},
	}
	configFlag(cmd, &path)
	outputFlag(cmd, &output)
	cmd.Flags().StringVar(&admin, "admin", "", "`ADDRESS` of the agent's admin listener; that of the configuration if not set")
	cmd.Flags().BoolVar(&all, "all", false, "list all files, not only the worst twenty")
	return cmd
}

// askStatus asks a running agent.
func askStatus(ctx context.Context, admin string) (s agent.Status, raw []byte, err error) {
	client := http.Client{Timeout: 10 * time.Second}
	url := "http://" + admin
	if socket, ok := strings.CutPrefix(admin, "unix:"); ok {
		url = "http://agent"
		client.Transport = &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", socket)
		}}
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url+"/api/v1/status", http.NoBody)
	if err != nil {
		return s, nil, &exitError{exitUsage, fmt.Errorf("cannot use the admin address %q: %w", admin, err)}
	}
	resp, err := client.Do(req)
	if err != nil {
		return s, nil, &exitError{exitUnavailable, fmt.Errorf("cannot reach the agent at %s: %w; is it running with this configuration?", admin, err)}
	}
	defer func() { _ = resp.Body.Close() }()
	if raw, err = io.ReadAll(resp.Body); err != nil {
		return s, nil, fmt.Errorf("cannot read the agent's answer: %w", err)
	}
	if err := json.Unmarshal(raw, &s); err != nil {
		return s, nil, fmt.Errorf("cannot read the agent's answer: %w", err)
	}
	return s, raw, nil
}

// filesShown is how many files a screen takes.
const filesShown = 20

type fileLine struct {
	pipeline string
	tail.FileStatus
}

// onDisk says what waits on the disk, nothing if nothing does.
func onDisk(bytes int64) string {
	if bytes == 0 {
		return ""
	}
	return fmt.Sprintf(", %s on the disk", humanize.IBytes(uint64(bytes)))
}

func printStatus(w io.Writer, s agent.Status, now time.Time, all bool) {
	_, _ = fmt.Fprintf(w, "agent %s · version %s · up %s · state %s\n\n", s.AgentID[:min(8, len(s.AgentID))], s.Version,
		now.Sub(s.Started).Round(time.Second), s.DataDir)
	if c := s.Config; c.Error != "" {
		_, _ = fmt.Fprintf(w, "the configuration of %s runs; a newer one was refused at %s: %s\n\n",
			c.LoadedAt.Local().Format(time.DateTime), c.RefusedAt.Local().Format(time.TimeOnly), c.Error)
	}
	for _, o := range s.Outputs {
		state := "delivers"
		if o.Error != "" {
			state = fmt.Sprintf("FAILS since %s: %s", o.FailingSince.Local().Format(time.TimeOnly), o.Error)
		}
		_, _ = fmt.Fprintf(w, "output %s (%s) %s · %s waiting%s\n", o.Name, o.Type, state, humanize.IBytes(uint64(o.QueuedBytes)), onDisk(o.DiskBytes))
		if o.DiskError != "" {
			_, _ = fmt.Fprintf(w, "  its disk cache FAILS: %s\n", o.DiskError)
		}
	}
	printLimits(w, s.Limits)
	if l := s.Lost; l.Ranges > 0 {
		_, _ = fmt.Fprintf(w, "LOST %s in %d ranges since the start: see %s\n", humanize.IBytes(uint64(l.Bytes)), l.Ranges, l.File)
	}
	printImports(w, s.Imports)
	if s.ImportsError != "" {
		_, _ = fmt.Fprintln(w, s.ImportsError)
	}
	printModules(w, s.Modules, now)
	var files []fileLine
	for _, p := range s.Pipelines {
		for _, f := range p.Files {
			files = append(files, fileLine{p.Name, f})
		}
	}
	printStreams(w, s.Pipelines)
	sortWorstFirst(files)
	left := 0
	if !all && len(files) > filesShown {
		left = len(files) - filesShown
		files = files[:filesShown]
	}
	if len(files) > 0 {
		_, _ = fmt.Fprintln(w)
		printFiles(w, files, now)
	}
	if left > 0 {
		_, _ = fmt.Fprintf(w, "and %d more that are better off; --all lists them\n", left)
	}
}

// printLimits lists what is used of each limit, and what is done about it.
func printLimits(w io.Writer, limits []agent.LimitStatus) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, l := range limits {
		used, limit := limitText(l.Used, l.Unit), limitText(l.Limit, l.Unit)
		if l.Used < 0 {
			used = "unknown"
		}
		if l.Limit == 0 {
			limit = "no limit"
		}
		waited := ""
		if l.Waited > 0 {
			waited = fmt.Sprintf("reading has waited %.1fs", l.Waited)
		}
		_, _ = fmt.Fprintf(t, "limit %s\t%s of %s\t%s\t%s\n", l.Name, used, limit, l.State, waited)
	}
	_ = t.Flush()
}

func limitText(v float64, unit string) string {
	switch unit {
	case "bytes":
		return humanize.IBytes(uint64(max(0, v)))
	case "bytes/s":
		return humanize.IBytes(uint64(max(0, v))) + "/s"
	case "processors":
		return fmt.Sprintf("%.2f", v)
	}
	return fmt.Sprintf("%.0f", v)
}

// printImports lists the last import through each pipeline, and what it has left out.
func printImports(w io.Writer, imports []history.State) {
	for i := range imports {
		s := &imports[i]
		l := progressLine{
			Files: s.Files, Done: s.FilesRead, Acked: s.AckedBytes, Rest: s.TotalBytes, Records: s.Records, BytesSecond: s.BytesSecond, File: s.File,
		}
		state := string(s.Phase)
		switch s.Phase {
		case history.Running:
			if s.BytesSecond > 0 {
				l.SecondsLeft = math.Round(float64(s.TotalBytes-s.AckedBytes) / s.BytesSecond)
			}
		case history.Paused, history.Killed:
			state += " at " + s.Updated.Local().Format(time.DateTime) + ", the same command goes on"
		case history.Finished:
			state += " at " + s.Updated.Local().Format(time.DateTime)
		case history.Failed:
			state = "FAILED at " + s.Updated.Local().Format(time.DateTime)
		}
		limit := ""
		if s.RateLimit > 0 {
			limit = fmt.Sprintf(", at most %s/s", sizeText(s.RateLimit))
		}
		_, _ = fmt.Fprintf(w, "import %s (%s) %s%s\n  %s\n", s.Pipeline, printable([]byte(strings.Join(s.Patterns, " "))), state, limit, l.text(false))
		for _, f := range s.Failures {
			_, _ = fmt.Fprintf(w, "  └ cannot import %s\n", printable([]byte(f)))
		}
		if more := s.Failed - len(s.Failures); more > 0 {
			_, _ = fmt.Fprintf(w, "  └ and %s more\n", several(int64(more), "file"))
		}
	}
}

// positionShown is how much of a position a line takes.
const positionShown = 60

// printStreams lists what inputs read that is no file, and what keeps them from it.
func printStreams(w io.Writer, pipelines []agent.PipelineStatus) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	header := "\nSTREAM\tPIPELINE\tSTATE\tPEERS\tRECORDS\tREAD\tACKED\tDROPPED\tPOSITION\n"
	for _, p := range pipelines {
		for i := range p.Streams {
			s := &p.Streams[i]
			state := "reads"
			if s.Error != "" {
				state = "FAILS"
			}
			position := printable([]byte(s.Cursor))
			if len(position) > positionShown {
				position = position[:positionShown] + "…"
			}
			_, _ = fmt.Fprintf(t, "%s%s\t%s\t%s\t%d\t%d\t%d\t%d\t%d\t%s\n", header, printable([]byte(s.Name)), p.Name, state, s.Peers, s.Records, s.Read, s.Acked, s.Dropped, position)
			header = ""
			if s.Error != "" {
				_, _ = fmt.Fprintf(t, "  └ %s\t\t\t\t\t\t\t\t\n", printable([]byte(s.Error)))
			}
		}
	}
	_ = t.Flush()
}

// printModules lists the parser modules, and of each what keeps it from serving.
func printModules(w io.Writer, modules []wasmhost.Status, now time.Time) {
	if len(modules) == 0 {
		return
	}
	_, _ = fmt.Fprintln(w)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(t, "MODULE\tPIPELINE\tSTATE\tSINCE\tLINES\tPARSED\tNO MATCH\tERRORS\tDROPPED\tFAILED\tRAW\tLOST")
	for i := range modules {
		m := &modules[i]
		name := strings.TrimSpace(m.Name + " " + m.Version)
		if name == "" {
			name = m.Path
		}
		lost := int64(0)
		for _, n := range m.Lost {
			lost += n
		}
		_, _ = fmt.Fprintf(t, "%s\t%s %s\t%s\t%s\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%d\n", name, m.Pipeline, m.Stage, m.State,
			now.Sub(m.Since).Round(time.Second), m.Lines, m.Parsed, m.NoMatch, m.Errors, m.Dropped, m.Failed, m.Bypassed, lost)
		if m.Reason != "" {
			again := ""
			if !m.RetryAt.IsZero() {
				again = "; one batch is tried in " + max(0, m.RetryAt.Sub(now)).Round(time.Second).String()
			}
			_, _ = fmt.Fprintf(t, "  └ %s%s\t\t\t\t\t\t\t\t\t\t\t\n", m.Reason, again)
		}
	}
	_ = t.Flush()
}

// sortWorstFirst puts files whose sums are wrong first, then unreadable ones, then those that wait longest.
func sortWorstFirst(files []fileLine) {
	slices.SortStableFunc(files, func(a, b fileLine) int {
		return cmp.Or(
			-cmp.Compare(len(a.Mismatch), 0)+cmp.Compare(len(b.Mismatch), 0),
			-cmp.Compare(len(a.Reason), 0)+cmp.Compare(len(b.Reason), 0),
			compareSince(a.BehindSince, b.BehindSince),
			cmp.Compare(b.Lag, a.Lag),
			strings.Compare(a.Path, b.Path),
		)
	})
}

// compareSince puts the longest wait first and no wait last.
func compareSince(a, b time.Time) int {
	if a.IsZero() != b.IsZero() {
		if a.IsZero() {
			return 1
		}
		return -1
	}
	return a.Compare(b)
}

func printFiles(w io.Writer, files []fileLine, now time.Time) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	formats := slices.ContainsFunc(files, func(f fileLine) bool { return f.Format != "" })
	_, _ = fmt.Fprint(t, "FILE\tPIPELINE\tSTATE\tSIZE\tREAD\tACKED\tLAG\tPARSED\tFAILED\tFILTERED")
	if formats {
		_, _ = fmt.Fprint(t, "\tFORMAT")
	}
	_, _ = fmt.Fprintln(t)
	for _, f := range files {
		lag := humanize.IBytes(uint64(f.Lag))
		if !f.BehindSince.IsZero() {
			lag += " " + now.Sub(f.BehindSince).Round(time.Millisecond*100).String()
		}
		_, _ = fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%d\t%d\t%s\t%d\t%d\t%d", f.Path, f.pipeline, f.State,
			humanize.IBytes(uint64(max(0, f.Size))), f.Read, f.Acked, lag, f.Parsed, f.Failed, f.Filtered)
		if formats {
			_, _ = fmt.Fprintf(t, "\t%s", formatText(f.FileStatus))
		}
		_, _ = fmt.Fprintln(t)
		if f.Reason != "" {
			_, _ = fmt.Fprintf(t, "  └ %s%s\t\t\t\t\t\t\t\t\t\n", f.Reason, prefixed("; fix: ", f.Fix))
		}
		if f.Mismatch != "" {
			_, _ = fmt.Fprintf(t, "  └ FAULT: its sums do not agree: %s; please report it\t\t\t\t\t\t\t\t\t\n", f.Mismatch)
		}
	}
	_ = t.Flush()
}

// formatText is the format that a file was found to have, and how sure that is.
func formatText(f tail.FileStatus) string {
	if f.FormatConfidence == 0 {
		return f.Format
	}
	return f.Format + " " + percent(f.FormatConfidence)
}

func prefixed(prefix, s string) string {
	if s == "" {
		return ""
	}
	return prefix + s
}
