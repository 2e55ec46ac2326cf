package main

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"text/tabwriter"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"

	"github.com/wasmtail/wasmtail/agent"
	"github.com/wasmtail/wasmtail/agent/survey"
	"github.com/wasmtail/wasmtail/internal/demolog"
	"github.com/wasmtail/wasmtail/internal/formats"
)

// demoRate is how many lines a second the demonstration writes.
const demoRate = 300

// upOptions are the flags of `wasmtail up`.
type upOptions struct {
	state, listen, hub string
	demo               bool
}

func upCommand() *cobra.Command {
	var o upOptions
	cmd := &cobra.Command{
		Use:   "up",
		Short: "Start an agent and a hub on this machine and show its logs in the browser",
		Args:  usage(cobra.NoArgs),
		RunE:  func(cmd *cobra.Command, _ []string) error { return up(cmd.Context(), cmd.OutOrStdout(), o) },
	}
	f := cmd.Flags()
	f.StringVar(&o.state, "state", "state", "`FOLDER` for everything this command writes")
	f.StringVar(&o.listen, "listen", "127.0.0.1:7070", "`ADDRESS` of the hub and its console; another port if it is taken")
	f.StringVar(&o.hub, "hub-binary", "", "`FILE` of the hub's program; wasmtail-hub beside this one if not set")
	f.BoolVar(&o.demo, "demo", false, "write demonstration logs and collect those too")
	return cmd
}

// up runs a hub as a child and an agent in this process until ctx ends.
func up(ctx context.Context, w io.Writer, o upOptions) error {
	state, err := filepath.Abs(o.state)
	if err != nil {
		return fmt.Errorf("cannot find the state folder: %w", err)
	}
	if err := os.MkdirAll(state, 0o700); err != nil {
		return fmt.Errorf("cannot create the state folder: %w", err)
	}
	cwd, err := os.Getwd()
	if err != nil {
		return fmt.Errorf("cannot find the current folder: %w", err)
	}
	files := survey.Find(survey.MachineRoots(cwd), state)
	printSurvey(w, files)
	demo := filepath.Join(state, "demo")
	if o.demo || !anyReadable(files) {
		_, _ = fmt.Fprintf(w, "\nwriting demonstration logs, about %d lines a second, into %s\n", demoRate, demo)
		files = append(files, demoFiles(demo)...)
		o.demo = true
	}
	key, err := loadKey(filepath.Join(state, "key"))
	if err != nil {
		return err
	}
	hub, err := startHub(ctx, o, state, key)
	if err != nil {
		return err
	}
	defer hub.stop()
	configPath := filepath.Join(state, "agent.yaml")
	if err := writeConfig(configPath, hub.url, key, files); err != nil {
		return err
	}
	run := upRun{hub: hub, config: configPath}
	if o.demo {
		run.demo = demo
	}
	return run.run(ctx, w)
}

// beside runs the demonstration's writer and watches the hub while the agent
// runs: if either ends, so does the agent.
func (u *upRun) beside(ctx context.Context) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	var running sync.WaitGroup
	running.Go(func() {
		select {
		case <-u.hub.exited:
			cancel(&exitError{exitUnavailable, fmt.Errorf("the hub has ended: see %s", u.hub.logPath)})
		case <-ctx.Done():
		}
	})
	if u.demo != "" {
		running.Go(func() {
			if err := demolog.Run(ctx, u.demo, demoRate); err != nil {
				cancel(err)
			}
		})
	}
	return ctx, func() {
		cancel(nil)
		running.Wait()
	}
}

// upRun is what runs after everything was found and written.
type upRun struct {
	hub    *hubProcess
	config string
	demo   string // folder of the demonstration, "" for none
}

// hint is for machines whose logs are quiet.
func (u *upRun) hint() string {
	if u.demo != "" {
		return ""
	}
	return "\nquiet logs? --demo writes some (make up UP=--demo)"
}

func (u *upRun) run(ctx context.Context, w io.Writer) error {
	file, err := loadConfig(u.config)
	if err != nil {
		return err
	}
	ctx, stop := u.beside(ctx)
	defer stop()
	err = runAgent(ctx, agent.Options{File: file, Ready: func(string) {
		_, _ = fmt.Fprintf(w, "\n  console   %s\n  state     %s\n\nthe link works once; stop with Ctrl-C%s\n", u.hub.loginURL, filepath.Dir(u.config), u.hint())
	}})
	var exit *exitError
	if cause := context.Cause(ctx); errors.As(cause, &exit) {
		err = errors.Join(err, cause)
	}
	return err
}

func printSurvey(w io.Writer, files []survey.File) {
	if len(files) == 0 {
		_, _ = fmt.Fprintln(w, "no logs found on this machine")
		return
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(t, "FILE\tFORMAT\tSIZE\tPROBLEM AND FIX")
	for _, f := range files {
		format := f.Format.Name
		switch {
		case f.Problem != "":
			format = "?"
		case f.Format.Confidence > 0 && f.Format.Confidence < 1:
			format = fmt.Sprintf("%s (%.0f %%)", format, 100*f.Format.Confidence)
		}
		problem := f.Problem
		if f.Fix != "" {
			problem += ": " + f.Fix
		}
		_, _ = fmt.Fprintf(t, "%s\t%s\t%s\t%s\n", f.Path, format, humanize.IBytes(uint64(max(0, f.Size))), problem)
	}
	_ = t.Flush()
}

func anyReadable(files []survey.File) bool {
	return len(files) > 0 && files[0].Problem == "" // readable ones come first
}

func demoFiles(dir string) []survey.File {
	files := make([]survey.File, len(demolog.Files))
	for i, name := range demolog.Files {
		files[i] = survey.File{Path: filepath.Join(dir, name)}
		files[i].Format.Format = *formats.Find([...]string{"nginx_access", "application"}[i])
	}
	return files
}

// accessKey is the key pair the agent signs with.
type accessKey struct{ id, secret string }

// loadKey reads the key pair of this state folder and makes one the first time.
func loadKey(path string) (accessKey, error) {
	if data, err := os.ReadFile(path); err == nil {
		if id, secret, ok := strings.Cut(strings.TrimSpace(string(data)), ":"); ok {
			return accessKey{id, secret}, nil
		}
	}
	var raw [24]byte
	_, _ = rand.Read(raw[:]) // never fails
	key := accessKey{id: "up" + hex.EncodeToString(raw[:6]), secret: hex.EncodeToString(raw[6:])}
	if err := os.WriteFile(path, []byte(key.id+":"+key.secret+"\n"), 0o600); err != nil {
		return key, fmt.Errorf("cannot save the access key: %w", err)
	}
	return key, nil
}
