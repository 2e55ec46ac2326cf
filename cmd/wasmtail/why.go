package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/wasmtail/wasmtail/agent/tail"
	"github.com/wasmtail/wasmtail/plugins/input/filelog"
)

func whyCommand() *cobra.Command {
	var config, admin, endpoint, pipeline, output string
	var wait time.Duration
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "why FILE",
		Short: "Say why a file's lines are not at the hub: the one cause, and what to do",
		Long: `why takes FILE through every gate between the disk and the hub, in order, and
names the first that it does not pass: a code for programs, the cause, and the
fix. It asks the agent while that runs, and reads its state folder when it does
not.

It ends with 0 when all is delivered, and with 1 when there is a cause.`,
		Example: `  wasmtail why /var/log/nginx/access.log
  wasmtail why --json app.log`,
		Args: usage(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			file, err := loadConfig(config)
			if err != nil {
				return err
			}
			if _, ok := file.Pipelines[pipeline]; !ok && pipeline != "" {
				return &exitError{exitUsage, fmt.Errorf("there is no pipeline %s; there are: %s", pipeline, strings.Join(slices.Sorted(maps.Keys(file.Pipelines)), ", "))}
			}
			path, err := filepath.Abs(args[0])
			if err != nil {
				return err
			}
			q := inquiry{known: learn(cmd.Context(), file, admin), path: path, config: config, endpoint: endpoint, wait: wait}
			a := q.answer(cmd.Context(), pipeline)
			if asJSON || output == "json" {
				err = json.NewEncoder(cmd.OutOrStdout()).Encode(a)
			} else {
				a.print(cmd.OutOrStdout())
			}
			if err == nil && a.Code != reasonDelivered {
				err = &exitError{exitFaults, fmt.Errorf("%s: %s", path, a.Code)}
			}
			return err
		},
	}
	configFlag(cmd, &config)
	outputFlag(cmd, &output)
	f := cmd.Flags()
	f.BoolVar(&asJSON, "json", false, "the same as -o json")
	f.StringVar(&admin, "admin", "", "`ADDRESS` of the agent's admin listener; that of the configuration if not set")
	f.StringVar(&endpoint, "hub", "", "`URL` of the hub; that of the pipeline's output if not set")
	f.StringVarP(&pipeline, "pipeline", "p", "", "pipeline to ask about; if not set, the first that does not deliver the file")
	f.DurationVar(&wait, "wait", 2*time.Second, "how long to wait for what is on its way")
	return cmd
}

// cause is why a gate stops a file.
type cause struct {
	code      tail.Reason
	text, fix string
}

// because makes a cause; the fix is that of its reason.
func because(code tail.Reason, format string, args ...any) *cause {
	return &cause{code, fmt.Sprintf(format, args...), fixOf(code)}
}

// gate is one thing that a file must pass. The check says in few words what it
// found, or why the file does not pass.
type gate struct {
	name  string
	check func(ctx context.Context, q *inquiry) (found string, c *cause)
}

// gates are passed in this order. Those before the checkpoint need no agent.
var gates = []gate{
	{"exists", gateExists},
	{"regular", gateRegular},
	{"permission", gatePermission},
	{"include", gateInclude},
	{"exclude", gateExclude},
	{"symlink", gateSymlink},
	{"age", gateAge},
	{"identity", gateIdentity},
	{"content", gateContent},
	{"configuration", gateConfiguration},
	{"limits", gateLimits},
	{"checkpoint", gateCheckpoint},
	{"parser", gateParser},
	{"filter", gateFilter},
	{"output", gateOutput},
	{"read", gateRead},
	{"hub", gateHub},
	{"agent", gateAgent},
	{"parsed", gateParsed},
}

// inquiry is about one file in one pipeline.
type inquiry struct {
	known    *known
	path     string
	config   string // the path of the configuration
	endpoint string // of the hub, "" for that of the configuration
	wait     time.Duration

	pipeline string
	input    *filelog.Config
	judged   tail.Reason // by the names alone,
	pattern  string      // because of this one
	rotated  string      // what it could have been called before it was rotated
	info     fs.FileInfo // of what the path leads to
	hidden   error       // why info is nil: this user may not look
	life     *life       // nil if the agent does not know the file
	received *received   // nil before the hub was asked
	hub      *hubAccess
	hubErr   error
	output   string
}

// step is a gate that was passed, and what was found there.
type step struct {
	Gate  string `json:"gate"`
	Found string `json:"found"`
}

// answer is what is said about a file.
type answer struct {
	File     string      `json:"file"`
	Pipeline string      `json:"pipeline,omitempty"`
	Code     tail.Reason `json:"code"`
	// Gate is the one that was not passed, "" if all were.
	Gate   string `json:"gate,omitempty"`
	Cause  string `json:"cause"`
	Fix    string `json:"fix,omitempty"`
	Passed []step `json:"passed"`
}

// answer asks about each pipeline that reads the file, and returns the first
// answer that has a cause.
func (q *inquiry) answer(ctx context.Context, only string) answer {
	var first *answer
	for _, name := range q.candidates(only) {
		one := *q
		one.choose(name)
		a := one.walk(ctx)
		if a.Code != reasonDelivered {
			return a
		}
		if first == nil {
			first = &a
		}
	}
	if first == nil { // no pipeline reads files
		a := q.walk(ctx)
		first = &a
	}
	return *first
}

// candidates are the pipelines that include the file, or else the one that comes
// nearest to it.
func (q *inquiry) candidates(only string) []string {
	if only != "" {
		return []string{only}
	}
	var reading, near []string
	for _, name := range slices.Sorted(maps.Keys(q.known.file.Pipelines)) {
		one := *q
		one.choose(name)
		one.identify()
		switch {
		case one.input == nil:
		case one.judged == "" || one.isRotated():
			reading = append(reading, name)
		case one.judged != tail.NoInclude || one.rotated != "":
			near = append([]string{name}, near...)
		default:
			near = append(near, name)
		}
	}
	if len(reading) == 0 && len(near) > 0 {
		return near[:1]
	}
	return reading
}

// choose makes the inquiry one about a pipeline.
func (q *inquiry) choose(name string) {
	q.pipeline, q.input, q.judged, q.pattern, q.rotated = name, nil, tail.NoInclude, "", ""
	c, ok := q.known.file.Pipelines[name].Input.Config.(*filelog.Config)
	if !ok {
		return
	}
	if patterns, err := tail.ParsePatterns(c.Include, c.Exclude); err == nil {
		q.input = c
		q.judged, q.pattern = patterns.Judge(q.path, c.MaxDepth)
		q.rotated = patterns.RotatedFrom(q.path)
	}
}

// walk goes from gate to gate until one is not passed.
func (q *inquiry) walk(ctx context.Context) answer {
	a := answer{File: q.path, Pipeline: q.pipeline, Passed: []step{}}
	for _, g := range gates {
		found, c := g.check(ctx, q)
		if c != nil {
			a.Gate, a.Code, a.Cause, a.Fix = g.name, c.code, c.text, c.fix
			return a
		}
		if found != "" {
			a.Passed = append(a.Passed, step{g.name, found})
		}
	}
	a.Code, a.Cause = reasonDelivered, "nothing is wrong: all of it is delivered"
	return a
}

func (a *answer) print(w io.Writer) {
	_, _ = fmt.Fprintf(w, "%s: %s\n", printable([]byte(a.File)), a.Code)
	_, _ = fmt.Fprintf(w, "  cause: %s\n", printable([]byte(a.Cause)))
	if a.Fix != "" {
		_, _ = fmt.Fprintf(w, "  fix:   %s\n", printable([]byte(a.Fix)))
	}
	_, _ = fmt.Fprintln(w)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(t, "GATE\tFOUND")
	for _, s := range a.Passed {
		_, _ = fmt.Fprintf(t, "%s\t%s\n", s.Gate, printable([]byte(s.Found)))
	}
	if a.Gate != "" {
		_, _ = fmt.Fprintf(t, "%s\tSTOPS HERE\n", a.Gate)
	}
	_ = t.Flush()
}
