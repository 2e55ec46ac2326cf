package agent

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/wasmtail/wasmtail/agent/checkpoint"
	"github.com/wasmtail/wasmtail/agent/history"
	"github.com/wasmtail/wasmtail/agent/intake"
	"github.com/wasmtail/wasmtail/agent/queue"
	"github.com/wasmtail/wasmtail/agent/tail"
	"github.com/wasmtail/wasmtail/agent/wasmhost"
	"github.com/wasmtail/wasmtail/internal/durable"
)

// Status is what the agent says of itself on GET /api/v1/status.
type Status struct {
	AgentID   string           `json:"agent_id"`
	Version   string           `json:"version"`
	Started   time.Time        `json:"started"`
	DataDir   string           `json:"data_dir"`
	Config    ConfigStatus     `json:"config"`
	Limits    []LimitStatus    `json:"limits"`
	Pipelines []PipelineStatus `json:"pipelines"`
	Outputs   []OutputStatus   `json:"outputs"`
	// Lost is what was lost since the start, zero if nothing was.
	Lost LossStatus `json:"lost"`
	// Modules are the parser modules, one for each wasm processor.
	Modules []wasmhost.Status `json:"modules,omitempty"`
	// Imports are the last import through each pipeline, and ImportsError is why they
	// are not all there, "" if they are.
	Imports      []history.State `json:"imports,omitempty"`
	ImportsError string          `json:"imports_error,omitempty"`
}

// PipelineStatus is the state of one pipeline.
type PipelineStatus struct {
	Name  string `json:"name"`
	Input string `json:"input"`
	// Ready is true as soon as the input misses nothing that happens, even if the
	// agent is killed.
	Ready    bool              `json:"ready"`
	Logstore string            `json:"logstore"`
	Outputs  []string          `json:"outputs"`
	Files    []tail.FileStatus `json:"files,omitempty"`
	// Streams are what an input reads that is no file.
	Streams []intake.Status `json:"streams,omitempty"`
}

// OutputStatus is the state of one output.
type OutputStatus struct {
	Name string `json:"name"`
	Type string `json:"type"`
	// Error of the last attempt, "" while the output delivers.
	Error        string    `json:"error,omitempty"`
	FailingSince time.Time `json:"failing_since,omitzero"`
	// QueuedBytes wait in memory or are under way, encoded; DiskBytes wait on the
	// disk.
	QueuedBytes int64 `json:"queued_bytes"`
	DiskBytes   int64 `json:"disk_bytes"`
	// DiskError is why the disk cache could not be used within the last minute.
	DiskError string `json:"disk_error,omitempty"`
}

func (a *agent) status() Status {
	a.mu.Lock()
	active, c := a.active, a.config
	a.mu.Unlock()
	s := Status{
		AgentID: a.state.agentID, Version: a.o.Version, Started: a.started, DataDir: active.file.DataDir,
		Config: c, Limits: a.limits(active.file.Limits), Modules: a.modules.Status(), Lost: a.losses.sum(),
	}
	for _, name := range slices.Sorted(maps.Keys(active.pipelines)) {
		p := active.file.Pipelines[name]
		ps := PipelineStatus{Name: name, Input: p.Input.Type, Logstore: p.Logstore, Outputs: p.Outputs}
		starter, ok := active.pipelines[name].input.(Starter)
		ps.Ready = !ok || starter.Ready()
		if files, ok := active.pipelines[name].input.(FileLister); ok {
			ps.Files = files.Status()
		}
		if streams, ok := active.pipelines[name].input.(StreamLister); ok {
			ps.Streams = streams.Streams()
		}
		s.Pipelines = append(s.Pipelines, ps)
	}
	for _, name := range slices.Sorted(maps.Keys(active.outlets)) {
		o := active.outlets[name]
		os := OutputStatus{Name: name, Type: active.file.Outputs[name].Type}
		os.QueuedBytes, os.DiskBytes = o.Queued()
		if err := o.DiskError(); err != nil {
			os.DiskError = err.Error()
		}
		if err, since := o.Health(); err != nil {
			os.Error, os.FailingSince = err.Error(), since
		}
		s.Outputs = append(s.Outputs, os)
	}
	var err error
	if s.Imports, err = history.States(s.DataDir); err != nil {
		s.ImportsError = err.Error()
	}
	return s
}

// Remains are what an agent keeps in its state folder, for those who ask while
// it does not run.
type Remains struct {
	AgentID string
	// Checkpoints are read, and never written: they belong to the agent. While it
	// runs they are up to a second old.
	Checkpoints *checkpoint.Store
	dir         string
}

// ReadRemains reads a state folder and changes nothing in it. The error is
// os.ErrNotExist if no agent has used it, and os.ErrPermission if it is another
// user's.
func ReadRemains(dataDir string) (*Remains, error) {
	id, err := os.ReadFile(filepath.Join(dataDir, "agent-id"))
	if err != nil {
		return nil, fmt.Errorf("cannot read the agent's state: %w", err)
	}
	checkpoints := filepath.Join(dataDir, "checkpoints")
	if _, err := os.ReadDir(checkpoints); err != nil { // opening would make it
		return nil, fmt.Errorf("cannot read the agent's state: %w", err)
	}
	store, err := checkpoint.Open(durable.OS{}, checkpoints)
	if err != nil {
		return nil, err
	}
	return &Remains{AgentID: strings.TrimSpace(string(id)), Checkpoints: store, dir: dataDir}, nil
}

// Rejected is how many parcels an output's receiver has refused for good; they
// lie in the returned folder.
func (r *Remains) Rejected(output string) (n int, dir string) {
	dir = filepath.Join(r.dir, "rejected")
	entries, err := os.ReadDir(dir)
	if err != nil {
		return 0, dir
	}
	name := regexp.MustCompile("^" + regexp.QuoteMeta(output) + `-\d+-\d+\.(jsonl|payload)$`)
	for _, e := range entries {
		if name.MatchString(e.Name()) {
			n++
		}
	}
	return n, dir
}

// Waiting is what lies on the disk for an output and is not delivered.
func (r *Remains) Waiting(output string) ([]queue.Label, error) {
	return queue.Waiting(durable.OS{}, filepath.Join(r.dir, cacheDir, output))
}

// WaitingBytes is how much waits on the disk for an output.
func (r *Remains) WaitingBytes(output string) int64 {
	return folderBytes(filepath.Join(r.dir, cacheDir, output))
}
