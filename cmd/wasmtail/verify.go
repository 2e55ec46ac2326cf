package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/wasmtail/wasmtail/agent/tail"
)

// askPause is how long to wait before the agent or the hub is asked again: the
// ledger follows an answer to the agent within a moment.
const askPause = 200 * time.Millisecond

func verifyCommand() *cobra.Command {
	v := verifier{}
	var config, admin, output string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "verify FILE...",
		Short: "Compare files with what the hub has of them, byte range by byte range",
		Long: `verify reads each FILE, rotated and compressed ones too, finds out from the agent
which generation it is, asks the hub's ledger for that generation, and says which
bytes and lines are missing there, or there twice. It asks the agent while that
runs, and reads its state folder when it does not.

It ends with 0 when everything is there, 1 when something is missing, double or
not known, and 75 when all that is missing has not been sent yet.`,
		Example: `  wasmtail verify /var/log/nginx/access.log /var/log/nginx/access.log.1
  wasmtail verify --wait 1m -o json app.log`,
		Args: usage(cobra.MinimumNArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			file, err := loadConfig(config)
			if err != nil {
				return err
			}
			v.known = learn(cmd.Context(), file, admin)
			if asJSON {
				output = "json"
			}
			return v.run(cmd, args, output)
		},
	}
	configFlag(cmd, &config)
	outputFlag(cmd, &output)
	f := cmd.Flags()
	f.BoolVar(&asJSON, "json", false, "the same as -o json")
	f.StringVar(&admin, "admin", "", "`ADDRESS` of the agent's admin listener; that of the configuration if not set")
	f.StringVar(&v.endpoint, "hub", "", "`URL` of the hub; that of the pipeline's output if not set")
	f.DurationVar(&v.wait, "wait", 5*time.Second, "how long to wait for what is not there yet")
	return cmd
}

// verifier compares files with hubs.
type verifier struct {
	known    *known
	endpoint string // of the hub, "" for that of the configuration
	wait     time.Duration
}

// missing is a run of bytes that the hub does not have, and its lines in the
// file, counted from 1.
type missing struct {
	span
	FirstLine int64 `json:"first_line"`
	LastLine  int64 `json:"last_line"`
}

// finding is what is said about one generation.
type finding struct {
	Pipeline   string   `json:"pipeline"`
	Output     string   `json:"output"`
	Logstores  []string `json:"logstores"`
	Generation string   `json:"generation"`
	// Complete is true when the hub has every byte from From to To, and every
	// record of them once.
	Complete bool  `json:"complete"`
	From     int64 `json:"from"`
	To       int64 `json:"to"`
	Acked    int64 `json:"acknowledged"`
	Records  int64 `json:"records"`
	Parsed   int64 `json:"parsed"`
	Failed   int64 `json:"failed"`
	Filtered int64 `json:"filtered"`
	Stored   int64 `json:"stored"`
	// Missing was acknowledged to the agent, Waiting not yet, or it lies in the
	// agent's disk cache.
	Missing []missing `json:"missing"`
	Waiting []missing `json:"waiting"`
	// Double are records that the store has more than once, the first of them.
	Double []doubled `json:"double"`
	// DoubleUnknown is why the store could not say which are, "" if it could. Then
	// only the sums of the ledger say that there are none.
	DoubleUnknown string `json:"double_unknown,omitempty"`
	// CutBytes came to the hub more than once and were cut off there.
	CutBytes int64 `json:"cut_bytes"`
	// QueuedBytes wait in the agent for the output: what is missing may be there.
	QueuedBytes int64 `json:"queued_bytes"`
	// GrownTo is up to where the hub has the file, if that has grown since it was
	// read here: the records are of all of these bytes. Else it is 0.
	GrownTo int64 `json:"grown_to,omitempty"`
	// Problem is another thing that keeps it from being complete, "" if nothing
	// does.
	Problem string `json:"problem,omitempty"`

	missingBytes int64
}

// verified is what is said about one file.
type verified struct {
	File string `json:"file"`
	// Bytes and Lines are those of the unpacked content; a last line without its
	// end counts.
	Bytes       int64     `json:"bytes"`
	Lines       int64     `json:"lines"`
	Complete    bool      `json:"complete"`
	Generations []finding `json:"generations"`
	Problem     string    `json:"problem,omitempty"`
}

func (v *verifier) run(cmd *cobra.Command, args []string, output string) error {
	var all []verified
	bad, early := 0, 0
	for _, path := range args {
		f, err := v.file(cmd.Context(), path)
		if err != nil {
			return err
		}
		if !f.Complete {
			bad++
		}
		if f.isEarly() {
			early++
		}
		all = append(all, f)
	}
	if output == "json" {
		answer := struct {
			Complete bool       `json:"complete"`
			Files    []verified `json:"files"`
		}{bad == 0, all}
		if err := json.NewEncoder(cmd.OutOrStdout()).Encode(answer); err != nil {
			return err
		}
	} else {
		v.print(cmd.OutOrStdout(), all)
	}
	switch bad {
	case 0:
		return nil
	case early:
		return &exitError{exitTryLater, fmt.Errorf("%d of %d file(s) have lines that are not sent yet; try again later", bad, len(args))}
	}
	return &exitError{exitFaults, fmt.Errorf("%d of %d file(s) are not complete at the hub", bad, len(args))}
}

// isEarly reports whether nothing is wrong but that something is not sent yet.
func (f *verified) isEarly() bool {
	return !f.Complete && f.Problem == "" && !slices.ContainsFunc(f.Generations, func(g finding) bool {
		return len(g.Missing)+len(g.Double) > 0 || g.Problem != ""
	})
}

// file compares one file. The error is that of a server or of reading.
func (v *verifier) file(ctx context.Context, path string) (f verified, err error) {
	if path, err = filepath.Abs(path); err != nil {
		return f, err
	}
	f.File, f.Generations = path, []finding{}
	end, err := count(path, nil)
	if err != nil {
		return f, err
	}
	f.Bytes, f.Lines = end.bytes, end.lines
	lives, err := v.lives(ctx, path, f.Bytes)
	if err != nil {
		return f, err
	}
	if len(lives) == 0 {
		f.Problem = v.unknown(path)
		return f, nil
	}
	f.Complete = true
	for i := range lives {
		g, err := v.generation(ctx, &lives[i], &f)
		if err != nil {
			return f, err
		}
		f.Generations = append(f.Generations, g)
		f.Complete = f.Complete && g.Complete
	}
	return f, nil
}

// lives waits for the agent to find a file that it is told to read.
func (v *verifier) lives(ctx context.Context, path string, size int64) ([]life, error) {
	for deadline := time.Now().Add(v.wait); ; {
		found, err := v.known.lives(path, size)
		if err != nil || len(found) > 0 || v.known.status == nil || time.Now().After(deadline) {
			return found, err
		}
		if !v.known.included(path) && !tail.IsCompressed(path) {
			return nil, nil // it will not be found later either
		}
		if err := pause(ctx); err != nil {
			return nil, err
		}
		v.known.ask(ctx)
		v.known.read()
	}
}

// unknown says why nothing can be said about a file.
func (v *verifier) unknown(path string) string {
	k := v.known
	switch {
	case k.status == nil && k.remains == nil:
		return fmt.Sprintf("cannot know what it is: the agent does not answer (%v), and its state cannot be read (%v)", k.down, k.lost)
	case tail.IsCompressed(path):
		return "the agent does not know it (any more): it forgets a file a minute after its unpacked original is gone"
	}
	return "the agent does not know it; wasmtail why " + path + " says why"
}

// generation compares a file with one of the lives that it is, again and again
// until all is there or the time to wait is over.
func (v *verifier) generation(ctx context.Context, l *life, f *verified) (g finding, err error) {
	output, hub, err := v.known.ledgerOutput(l.pipeline, v.endpoint)
	if err != nil {
		return g, err
	}
	for deadline := time.Now().Add(v.wait); ; {
		cached := v.known.cached(output, l.Generation) // first: what leaves it then is at the hub
		r, err := hub.receivedOf(ctx, v.known.agentID, l.Generation)
		if err != nil {
			return g, err
		}
		g = v.compare(l, f, r, cached)
		g.Output, g.QueuedBytes = output, v.known.waitingBytes(output)
		if g.Complete || time.Now().After(deadline) {
			break
		}
		if err := pause(ctx); err != nil {
			return g, err
		}
		v.refresh(ctx, l)
	}
	double, err := hub.doublesOf(ctx, l.Generation)
	if err != nil { // it may be too much for the store to sort out
		g.DoubleUnknown = err.Error()
	}
	g.Double = append(g.Double, double...)
	g.Complete = g.Complete && len(g.Double) == 0
	return g, g.place(f.File)
}

// refresh asks the agent again how far it is.
func (v *verifier) refresh(ctx context.Context, l *life) {
	if v.known.status == nil {
		return
	}
	v.known.ask(ctx)
	if v.known.status == nil {
		return
	}
	for _, p := range v.known.status.Pipelines {
		for i := range p.Files {
			if p.Name == l.pipeline && p.Files[i].Generation == l.Generation {
				l.Acked = p.Files[i].Acked
			}
		}
	}
}

// pause waits before something is asked again. The error is that of ctx.
func pause(ctx context.Context) error {
	t := time.NewTimer(askPause)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}

// compare says what a hub lacks of a file. cached are the ranges that are on their
// way to it from the agent's disk.
func (v *verifier) compare(l *life, f *verified, r *received, cached []span) finding {
	g := finding{
		Pipeline: l.pipeline, Logstores: r.logstores, Generation: l.Generation, To: f.Bytes, Acked: l.Acked,
		Records: r.parsed + r.failed + r.filtered, Parsed: r.parsed, Failed: r.failed, Filtered: r.filtered, Stored: r.stored,
		Missing: []missing{}, Waiting: []missing{}, Double: []doubled{}, CutBytes: r.doubleBytes,
	}
	if len(g.Logstores) == 0 {
		g.Logstores = []string{v.known.file.Pipelines[l.pipeline].Logstore}
	}
	g.From = v.known.began(l, r.start)
	if r.end > f.Bytes && hasGrown(f.File, r.end) {
		g.GrownTo = r.end
	}
	switch {
	case g.From < 0: // the first byte at the hub is not where reading began
		g.From = 0
		g.Problem = "start_at passed over the beginning of the file, and how much of it is not known any more: some of the first missing bytes were never to be read"
	case r.end > max(f.Bytes, g.GrownTo):
		g.Problem = fmt.Sprintf("the hub has it up to byte %d: the file was truncated or is not what the agent read", r.end)
	case r.truncated:
		g.Problem = "it has more gaps than the hub lists: these are the first"
	case r.stored != r.parsed+r.failed:
		g.Problem = fmt.Sprintf("%d records were read and not filtered, and %d are stored", r.parsed+r.failed, r.stored)
	}
	for _, s := range gaps(r.spans, g.From, f.Bytes) {
		g.divide(s, append(slices.Clone(cached), span{l.Acked, max(l.Acked, s.To)}))
	}
	g.Complete = len(g.Missing)+len(g.Waiting) == 0 && g.Problem == ""
	return g
}

// divide says of a range that the hub lacks what is still to be sent, and what is
// missing. to are the ranges that are.
func (g *finding) divide(lacks span, to []span) {
	at := lacks.From
	for _, m := range gaps(to, lacks.From, lacks.To) {
		if m.From > at {
			g.Waiting = append(g.Waiting, missing{span: span{at, m.From}})
		}
		g.Missing = append(g.Missing, missing{span: m})
		g.missingBytes += m.To - m.From
		at = m.To
	}
	if at < lacks.To {
		g.Waiting = append(g.Waiting, missing{span: span{at, lacks.To}})
	}
}

// hasGrown reports whether a file has at least size bytes by now. A compressed one
// does not grow.
func hasGrown(path string, size int64) bool {
	info, err := os.Stat(path)
	return err == nil && info.Size() >= size && !tail.IsCompressed(path)
}

// place finds the lines of what is missing and double.
func (g *finding) place(path string) error {
	var at []int64
	for _, list := range [][]missing{g.Missing, g.Waiting} {
		for _, m := range list {
			at = append(at, m.From, m.To-1)
		}
	}
	for _, d := range g.Double {
		at = append(at, d.Offset)
	}
	if len(at) == 0 {
		return nil
	}
	end, err := count(path, at)
	if err != nil {
		return err
	}
	for _, list := range [][]missing{g.Missing, g.Waiting} {
		for i := range list {
			list[i].FirstLine, list[i].LastLine = end.at[list[i].From], end.at[list[i].To-1]
		}
	}
	for i := range g.Double {
		g.Double[i].Line = end.at[g.Double[i].Offset]
	}
	return nil
}

// counted is how much a file has, and in which line some of its bytes are.
type counted struct {
	bytes, lines int64
	at           map[int64]int64
}

// count reads a file. Of the bytes at the positions it tells the line, counted
// from 1.
func count(path string, positions []int64) (c counted, err error) {
	content, err := tail.OpenContent(path)
	if err != nil {
		return c, err
	}
	defer func() { _ = content.Close() }()
	c.at = make(map[int64]int64, len(positions))
	slices.Sort(positions)
	in := bufio.NewReaderSize(content, 256<<10)
	buf := make([]byte, 256<<10)
	ended := true // the last byte so far ends a line
	for {
		n, err := in.Read(buf)
		data := buf[:n]
		for len(positions) > 0 && positions[0] < c.bytes+int64(n) {
			before := data[:positions[0]-c.bytes]
			c.at[positions[0]] = c.lines + int64(bytes.Count(before, []byte{'\n'})) + 1
			positions = positions[1:]
		}
		c.lines += int64(bytes.Count(data, []byte{'\n'}))
		c.bytes += int64(n)
		if n > 0 {
			ended = bytes.HasSuffix(data, []byte{'\n'})
		}
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return c, fmt.Errorf("cannot read %s: %w", path, err)
		}
	}
	if !ended {
		c.lines++
	}
	return c, nil
}

// print writes what was found in lines for people.
func (v *verifier) print(w io.Writer, all []verified) {
	if v.known.status == nil {
		_, _ = fmt.Fprint(w, "the agent does not run: this is what it had saved\n\n")
	}
	for i := range all {
		f := &all[i]
		_, _ = fmt.Fprintf(w, "%s · %d bytes · %s\n", printable([]byte(f.File)), f.Bytes, several(f.Lines, "line"))
		if f.Problem != "" {
			_, _ = fmt.Fprintf(w, "  UNKNOWN: %s\n", f.Problem)
		}
		for j := range f.Generations {
			f.Generations[j].print(w)
		}
	}
}

// several counts things in words.
func several(n int64, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return fmt.Sprintf("%d %ss", n, thing)
}

// linesShown is how many ranges of one kind a screen takes.
const linesShown = 20

func (g *finding) print(w io.Writer) {
	_, _ = fmt.Fprintf(w, "  %s → %s/%s · generation %s\n", g.Pipeline, g.Output, strings.Join(g.Logstores, "+"), g.Generation)
	verdict := "complete"
	switch {
	case len(g.Missing) > 0 || g.Problem != "" || len(g.Double) > 0:
		verdict = "NOT COMPLETE"
	case len(g.Waiting) > 0:
		verdict = "not yet complete"
	}
	lacks := "0 missing"
	if g.missingBytes > 0 {
		lacks = several(g.missingBytes, "byte") + " missing"
	}
	_, _ = fmt.Fprintf(w, "  %s: bytes %d–%d, %s, %s, %d double\n", verdict, g.From, g.To, several(g.Records, "record"), lacks, len(g.Double))
	printRanges(w, "missing", g.Missing)
	printRanges(w, "not sent yet", g.Waiting)
	if len(g.Missing)+len(g.Waiting) > 0 && g.QueuedBytes > 0 {
		_, _ = fmt.Fprintf(w, "  └ output %s has %d bytes waiting to be sent\n", g.Output, g.QueuedBytes)
	}
	for i, d := range g.Double {
		if i == linesShown {
			_, _ = fmt.Fprintf(w, "  └ and %d more; -o json lists them\n", len(g.Double)-i)
			break
		}
		_, _ = fmt.Fprintf(w, "  └ double: the record at byte %d · line %d is there %d times\n", d.Offset, d.Line, d.Times)
	}
	if g.Problem != "" {
		_, _ = fmt.Fprintf(w, "  └ %s\n", g.Problem)
	}
	if g.GrownTo > 0 {
		_, _ = fmt.Fprintf(w, "  └ the file has grown since: the records are those of bytes %d–%d\n", g.From, g.GrownTo)
	}
	if g.DoubleUnknown != "" {
		_, _ = fmt.Fprintf(w, "  └ that none is double is what the sums say: the store could not be asked: %s\n", g.DoubleUnknown)
	}
	if g.From > 0 {
		_, _ = fmt.Fprintf(w, "  └ bytes 0–%d were there before the agent began: start_at passed over them\n", g.From)
	}
	if g.Failed+g.Filtered > 0 {
		_, _ = fmt.Fprintf(w, "  └ parsed %d · failed %d · filtered %d\n", g.Parsed, g.Failed, g.Filtered)
	}
	if g.CutBytes > 0 {
		_, _ = fmt.Fprintf(w, "  └ %d bytes came again and were cut off: nothing of them is stored twice\n", g.CutBytes)
	}
}

func printRanges(w io.Writer, what string, list []missing) {
	for i, m := range list {
		if i == linesShown {
			_, _ = fmt.Fprintf(w, "  └ and %d more; -o json lists them\n", len(list)-i)
			break
		}
		lines := fmt.Sprintf("lines %d–%d", m.FirstLine, m.LastLine)
		if m.FirstLine == m.LastLine {
			lines = fmt.Sprintf("line %d", m.FirstLine)
		}
		_, _ = fmt.Fprintf(w, "  └ %s: bytes %d–%d · %s\n", what, m.From, m.To, lines)
	}
}
