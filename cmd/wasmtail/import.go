package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/sirupsen/logrus"
	"github.com/spf13/cobra"
	"golang.org/x/term"
	"golang.org/x/time/rate"

	"github.com/wasmtail/wasmtail/agent"
	"github.com/wasmtail/wasmtail/agent/history"
	"github.com/wasmtail/wasmtail/agent/pipeline"
	"github.com/wasmtail/wasmtail/internal/config"
	"github.com/wasmtail/wasmtail/internal/durable"
	"github.com/wasmtail/wasmtail/internal/record"
	"github.com/wasmtail/wasmtail/plugins"
)

// importNice puts an import behind whatever else the machine has to do.
const importNice = 10

// importInput is the type of the input that a job has.
const importInput = "import"

// importer is an import command.
type importer struct {
	config, pipeline, admin, output, rate string
	all, yes                              bool
	out                                   io.Writer
	in                                    *os.File
}

func importCommand() *cobra.Command {
	var im importer
	cmd := &cobra.Command{
		Use:   "import PATTERN...",
		Short: "Send what was in log files before the agent began to read them",
		Long: `import sends the content of files, compressed ones too (gz, zst, bz2, xz), through a
pipeline, once: what its processors make of it goes to its outputs. It says first
what it would do: files that the agent reads from their first byte are left out,
and of a file that it began to read somewhere else, what is before.

It works beside the agent, in a process of its own with low priority, and with the
limits of the configuration for itself. Ctrl-C interrupts it; the same command goes
on where it was, after a kill too. A hub knows again what it has.

It ends with 0 when everything is delivered, 1 when a file could not be read, and 75
when it was interrupted.`,
		Example: `  wasmtail import --pipeline nginx '/var/log/nginx/access.log*'
  wasmtail import --yes --rate 5MiB /srv/archive/*.log.gz`,
		Args: usage(cobra.MinimumNArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			im.out, im.in = cmd.OutOrStdout(), os.Stdin
			return im.run(cmd.Context(), args)
		},
	}
	configFlag(cmd, &im.config)
	outputFlag(cmd, &im.output)
	f := cmd.Flags()
	f.StringVarP(&im.pipeline, "pipeline", "p", "", "`NAME` of the pipeline; not needed if there is only one")
	f.StringVar(&im.admin, "admin", "", "`ADDRESS` of the agent's admin listener; that of the configuration if not set")
	f.StringVar(&im.rate, "rate", "", "read at most so many `BYTES` a second, such as 5MiB")
	f.BoolVar(&im.all, "all", false, "also compressed files that the agent has most likely read before they were compressed")
	f.BoolVarP(&im.yes, "yes", "y", false, "do not ask, begin")
	return cmd
}

func (im *importer) run(ctx context.Context, args []string) error {
	file, err := loadConfig(im.config)
	if err != nil {
		return err
	}
	if im.pipeline, err = pipelineName(file, im.pipeline); err != nil {
		return err
	}
	limit, err := im.limiter()
	if err != nil {
		return &exitError{exitUsage, err}
	}
	frame, err := framing(file, im.pipeline)
	if err != nil {
		return &exitError{exitUsage, err}
	}
	k := learn(ctx, file, im.admin)
	files, err := newPlanner(k, im.pipeline, im.all).plan(args)
	if err != nil {
		return err
	}
	if err := printPlan(im.out, files, im.output == "json"); err != nil {
		return err
	}
	var parts []history.Part
	bad := 0
	for i := range files {
		if files[i].Skip == "" {
			parts = append(parts, files[i].part)
		}
		if files[i].bad {
			bad++
		}
	}
	if len(parts) > 0 {
		if !im.agreed() {
			return nil
		}
		j := job{out: im.out, json: im.output == "json", parts: parts}
		j.state = history.State{Pipeline: im.pipeline, Patterns: args, Files: len(parts)}
		if limit != nil {
			j.state.RateLimit = int64(limit.Limit())
		}
		for i := range files {
			if files[i].bad {
				j.state.Fail(files[i].Path, errors.New(files[i].Skip))
			}
		}
		j.config = history.Config{Parts: parts, Frame: frame, Rate: limit, Failed: j.failed}
		if err := j.run(ctx, file, k.agentID, im.pipeline); err != nil {
			return err
		}
	}
	if bad > 0 {
		return &exitError{exitFaults, fmt.Errorf("cannot read %s; the plan says why", several(int64(bad), "file"))}
	}
	return nil
}

// limiter is the bound of --rate, nil if there is none.
func (im *importer) limiter() (*rate.Limiter, error) {
	if im.rate == "" {
		return nil, nil
	}
	size, err := config.ParseSize(im.rate)
	if err != nil || size < config.KiB || size > math.MaxInt32 {
		return nil, fmt.Errorf("cannot use --rate %s: give a size between 1KiB and 2GiB, such as 5MiB", im.rate)
	}
	return rate.NewLimiter(rate.Limit(size), max(1, int(size)/10)), nil
}

// agreed asks whether to begin, where somebody can answer.
func (im *importer) agreed() bool {
	if im.yes {
		return true
	}
	if !term.IsTerminal(int(im.in.Fd())) {
		if im.output != "json" {
			_, _ = fmt.Fprintln(im.out, "Nothing is done yet: --yes begins.")
		}
		return false
	}
	_, _ = fmt.Fprint(im.out, "Begin? [y/N] ")
	answer, _ := bufio.NewReader(im.in).ReadString('\n')
	return strings.HasPrefix(strings.ToLower(strings.TrimSpace(answer)), "y")
}

// pipelineName is the name of the pipeline that is meant.
func pipelineName(file *config.File, name string) (string, error) {
	if _, err := pickPipeline(file, name); err != nil {
		return "", err
	}
	if name == "" {
		for only := range file.Pipelines {
			name = only
		}
	}
	return name, nil
}

// framing makes batches of a file's content as the pipeline's input would.
func framing(file *config.File, name string) (func(io.Reader, func(*record.Batch) error) error, error) {
	input := file.Pipelines[name].Input
	once := plugins.Standard().Inputs[input.Type].Once
	if once == nil {
		return nil, fmt.Errorf("cannot import through pipeline %s: its input, %s, reads no files", name, input.Type)
	}
	return func(r io.Reader, emit func(*record.Batch) error) error { return once(input.Config, r, emit) }, nil
}

// job runs an agent of its own that has one pipeline, and ends it when everything is
// delivered.
type job struct {
	out    io.Writer
	json   bool
	parts  []history.Part
	config history.Config
	input  *history.Input
	began  time.Time
	first  int64 // bytes that were delivered before

	dir   string // of the job
	log   logrus.FieldLogger
	mu    sync.Mutex
	state history.State // guarded by mu
}

func (j *job) failed(path string, err error) {
	j.mu.Lock()
	j.state.Fail(path, err)
	j.mu.Unlock()
	_, _ = fmt.Fprintf(os.Stderr, "\ncannot import %s: %v\n", printable([]byte(path)), err)
}

func (j *job) run(ctx context.Context, file *config.File, agentID, name string) error {
	dir := filepath.Join(file.DataDir, history.Folder, name)
	if err := j.prepare(dir, agentID); err != nil {
		return err
	}
	logFile, err := os.OpenFile(filepath.Join(dir, "import.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("cannot keep a log of the import: %w", err)
	}
	defer func() { _ = logFile.Close() }()
	log := logrus.New()
	log.SetOutput(logFile)
	_ = syscall.Setpriority(syscall.PRIO_PROCESS, 0, importNice) // it is only slower without

	run, stop := context.WithCancel(ctx)
	defer stop()
	ready := make(chan struct{})
	ended := make(chan error, 1)
	go func() {
		ended <- agent.Run(run, agent.Options{
			File: j.only(file, dir, name), Plugins: j.plugins(), Version: version, Log: log, ModuleCompiler: moduleCompiler(),
			StopTimeout: stopTimeout, Ready: func(string) { close(ready) },
		})
	}()
	select {
	case <-ready:
	case err := <-ended:
		return err
	}
	j.began, j.dir, j.log = time.Now(), dir, log
	j.watch(ctx)
	stop()
	if err := <-ended; err != nil {
		return errors.Join(err, j.say(history.Failed))
	}
	switch err := j.input.Err(); {
	case ctx.Err() != nil:
		return &exitError{exitTryLater, errors.Join(errors.New("interrupted; the same command goes on where it was"), j.say(history.Paused))}
	case err != nil:
		return &exitError{exitFaults, errors.Join(errors.New("not everything was imported; see above"), j.say(history.Failed))}
	}
	return j.say(history.Finished)
}

// prepare makes the folder of the job. It has the agent's identity: a file of which
// the agent has the end, and the import the beginning, is one generation.
func (j *job) prepare(dir, agentID string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("cannot make the folder of the import: %w", err)
	}
	if agentID == "" {
		return nil
	}
	if err := durable.WriteFile(durable.OS{}, filepath.Join(dir, "agent-id"), []byte(agentID+"\n")); err != nil {
		return fmt.Errorf("cannot prepare the import: %w", err)
	}
	return nil
}

// only is the configuration with one pipeline, whose input is the import. Nothing
// waits on the disk: what is acknowledged is delivered.
func (j *job) only(file *config.File, dir, name string) *config.File {
	f := *file
	f.DataDir, f.Admin.Listen, f.Limits.Disk = dir, "", 0
	p := file.Pipelines[name]
	p.Input = config.Block{Type: importInput}
	f.Pipelines = map[string]config.Pipeline{name: p}
	f.Outputs = map[string]config.Block{}
	for _, o := range p.Outputs {
		f.Outputs[o] = file.Outputs[o]
	}
	return &f
}

func (j *job) plugins() agent.Plugins {
	p := plugins.Standard()
	p.Inputs[importInput] = agent.InputPlugin{Build: func(_ any, env agent.InputEnv) (pipeline.Input, error) {
		j.input = history.New(j.config, env.Checkpoints, env.Pipeline)
		return j.input, nil
	}}
	return p
}

const (
	barEvery  = 250 * time.Millisecond
	lineEvery = 10 * time.Second
)

// watch shows how far the import is, until it is done or ctx ends.
func (j *job) watch(ctx context.Context) {
	bar := !j.json && isTerminal(j.out)
	every := lineEvery
	if bar {
		every = barEvery
	}
	if j.json {
		every = time.Second
	}
	tick, save := time.NewTicker(every), time.NewTicker(history.SaveEvery)
	defer tick.Stop()
	defer save.Stop()
	j.first = j.input.Progress().Acked
	for told := false; ; {
		select {
		case <-ctx.Done():
		case <-j.input.Done():
		case <-tick.C:
			j.show(bar)
			continue
		case <-save.C:
			if err := j.say(history.Running); err != nil && !told {
				told = true
				j.log.WithError(err).Warn("the agent's status does not show this import")
			}
			continue
		}
		j.show(bar)
		if bar {
			_, _ = fmt.Fprintln(j.out)
		}
		return
	}
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// progressLine is what is shown of an import.
type progressLine struct {
	Files       int     `json:"files"`
	Done        int     `json:"files_read"`
	Read        int64   `json:"read_bytes"`
	Acked       int64   `json:"acknowledged_bytes"`
	Rest        int64   `json:"rest_bytes"`
	Records     int64   `json:"records"`
	BytesSecond float64 `json:"bytes_per_second"`
	SecondsLeft float64 `json:"seconds_left,omitempty"`
	File        string  `json:"file,omitempty"`
}

// progress is how far the import is.
func (j *job) progress() progressLine {
	p := j.input.Progress()
	l := progressLine{Files: len(j.parts), Done: p.File, Read: p.Read, Acked: p.Acked, Rest: p.Rest, Records: p.Records}
	l.BytesSecond = float64(p.Acked-j.first) / max(0.001, time.Since(j.began).Seconds())
	if l.BytesSecond > 0 {
		l.SecondsLeft = math.Round(float64(p.Rest+p.Read-p.Acked) / l.BytesSecond)
	}
	if p.File < len(j.parts) {
		l.File = j.parts[p.File].Path
	}
	return l
}

// say saves how far the import is, for the agent's status.
func (j *job) say(phase history.Phase) error {
	l := j.progress()
	j.mu.Lock()
	defer j.mu.Unlock()
	s := &j.state
	s.Phase, s.Started, s.Updated = phase, j.began, time.Now()
	s.FilesRead, s.File, s.Records, s.BytesSecond = l.Done, l.File, l.Records, l.BytesSecond
	s.AckedBytes, s.TotalBytes = l.Acked, l.Read+l.Rest
	return s.Save(j.dir)
}

func (j *job) show(bar bool) {
	l := j.progress()
	switch {
	case j.json:
		_ = json.NewEncoder(j.out).Encode(l)
	case bar:
		_, _ = fmt.Fprintf(j.out, "\r\x1b[K%s", l.text(true))
	default:
		_, _ = fmt.Fprintln(j.out, l.text(false))
	}
}

// barWidth is how many characters a full bar has.
const barWidth = 24

func (l *progressLine) text(bar bool) string {
	share := 1.0
	if all := l.Read + l.Rest; all > 0 {
		share = float64(l.Acked) / float64(all)
	}
	var t strings.Builder
	if bar {
		full := int(share * barWidth)
		t.WriteString("[" + strings.Repeat("#", full) + strings.Repeat(".", barWidth-full) + "] ")
	}
	fmt.Fprintf(&t, "%3.0f %%  %s of %s  %s/s", share*100, sizeText(l.Acked), sizeText(l.Read+l.Rest), sizeText(int64(l.BytesSecond)))
	if l.SecondsLeft > 0 {
		fmt.Fprintf(&t, "  %s left", time.Duration(l.SecondsLeft*float64(time.Second)))
	}
	if l.File != "" {
		fmt.Fprintf(&t, "  file %d of %d %s", l.Done+1, l.Files, filepath.Base(l.File))
	} else {
		fmt.Fprintf(&t, "  %s, %s", several(int64(l.Files), "file"), several(l.Records, "record"))
	}
	return t.String()
}
