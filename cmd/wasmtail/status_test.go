//go:build unix

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/sirupsen/logrus"
	"github.com/stretchr/testify/require"

	"github.com/wasmtail/wasmtail/agent"
	"github.com/wasmtail/wasmtail/agent/checkpoint"
	"github.com/wasmtail/wasmtail/agent/intake"
	"github.com/wasmtail/wasmtail/agent/tail"
	"github.com/wasmtail/wasmtail/agent/wasmhost"
	"github.com/wasmtail/wasmtail/internal/durable"
)

// TestStatusNamesAPipe follows a named pipe, and prints what is known about it.
func TestStatusNamesAPipe(t *testing.T) {
	path := filepath.Join(t.TempDir(), "app.log")
	require.NoError(t, syscall.Mkfifo(path, 0o600))
	store, err := checkpoint.Open(durable.NewMem(), "/state")
	require.NoError(t, err)
	log := logrus.New()
	log.SetOutput(t.Output())
	tailer, err := tail.New(tail.Config{Pipeline: "p", Include: []string{path}}, store, log)
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { _ = tailer.Run(ctx, nil); close(ended) }() // nothing is read
	defer func() { cancel(); <-ended }()
	require.Eventually(t, func() bool { return len(tailer.Status()) == 1 }, 10*time.Second, 10*time.Millisecond)

	const reason, fix = "is a named pipe, not a file: ", "add the path to exclude"
	files := tailer.Status()
	var text bytes.Buffer
	printFiles(&text, []fileLine{{"p", files[0]}}, time.Now())
	require.Regexp(t, path+` +p +unreadable`, text.String())
	require.Regexp(t, `└ `+reason+`.*; fix: .*`+fix, text.String())

	raw, err := json.Marshal(agent.PipelineStatus{Files: files})
	require.NoError(t, err)
	var got struct {
		Files []map[string]any `json:"files"`
	}
	require.NoError(t, json.Unmarshal(raw, &got))
	require.Contains(t, got.Files[0]["reason"], reason)
	require.Contains(t, got.Files[0]["fix"], fix)
}

// TestStatusNamesModules prints one that serves and one that is broken.
func TestStatusNamesModules(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	var text bytes.Buffer
	printStatus(&text, agent.Status{AgentID: "a", Started: now, Modules: []wasmhost.Status{
		{Pipeline: "web", Stage: "wasm#1", State: wasmhost.Serving, Since: now.Add(-time.Minute), Name: "nginx", Version: "1.0.0", Lines: 12, Parsed: 10, NoMatch: 2},
		{
			Pipeline: "app", Stage: "wasm#1", Path: "/m/app.wasm", State: wasmhost.Broken, Since: now, Reason: "it lost 5 instances", RetryAt: now.Add(20 * time.Second),
			Lines: 9, Bypassed: 9, Lost: map[string]int64{"trap": 3, "deadline": 2},
		},
	}}, now, false)
	require.Regexp(t, `nginx 1.0.0 +web wasm#1 +serving +1m0s +12 +10 +2 +0 +0 +0 +0 +0\n`, text.String())
	require.Regexp(t, `/m/app.wasm +app wasm#1 +broken +0s +9 +0 +0 +0 +0 +0 +9 +5\n  └ it lost 5 instances; one batch is tried in 20s`, text.String())
}

// TestStatusNamesStreams prints one that is read and one that cannot be, and no list of
// files, since there are none.
func TestStatusNamesStreams(t *testing.T) {
	var text bytes.Buffer
	printStatus(&text, agent.Status{AgentID: "a", Pipelines: []agent.PipelineStatus{
		{Name: "shop", Streams: []intake.Status{{Name: "mysql_binlog db1:3306", Records: 12, Read: 900, Acked: 800, Cursor: `{"gtid":"0-1-12"}` + strings.Repeat("x", 100)}}},
		{Name: "net", Streams: []intake.Status{{Name: "syslog", Peers: 3, Dropped: 7, Error: "cannot listen"}}},
	}}, time.Now(), false)
	require.Regexp(t, `mysql_binlog db1:3306 +shop +reads +0 +12 +900 +800 +0 +{"gtid":"0-1-12"}x{43}…\n`, text.String())
	require.Regexp(t, `syslog +net +FAILS +3 +0 +0 +0 +7 *\n  └ cannot listen`, text.String())
	require.NotContains(t, text.String(), "FILE")
}

// TestStatusPutsAFaultOfTheLedgerFirst prints a file whose sums are wrong.
func TestStatusPutsAFaultOfTheLedgerFirst(t *testing.T) {
	files := []tail.FileStatus{{Path: "/a", State: "idle"}, {Path: "/b", State: "unreadable", Reason: "no"}, {Path: "/c", State: "idle", Mismatch: "1 is not 2"}}
	var text bytes.Buffer
	printStatus(&text, agent.Status{AgentID: "a", Pipelines: []agent.PipelineStatus{{Name: "p", Files: files}}}, time.Now(), false)
	require.Regexp(t, `(?s)/c +p.*└ FAULT: its sums do not agree: 1 is not 2.*/b +p.*/a +p`, text.String())
}
