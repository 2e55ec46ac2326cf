package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/wasmtail/wasmtail/agent"
	"github.com/wasmtail/wasmtail/agent/checkpoint"
	"github.com/wasmtail/wasmtail/agent/tail"
	"github.com/wasmtail/wasmtail/internal/config"
	"github.com/wasmtail/wasmtail/plugins/input/filelog"
	"github.com/wasmtail/wasmtail/plugins/output/logservice"
)

// known is what can be learnt of this machine's agent: from the agent while it
// runs, and from its state folder.
type known struct {
	file    *config.File
	admin   string // where the agent listens
	agentID string
	status  *agent.Status // nil unless the agent answers,
	down    error         // which says why not
	remains *agent.Remains
	lost    error // why remains is nil
}

// learn asks the agent and reads its state. That neither can be had is no error
// here.
func learn(ctx context.Context, file *config.File, admin string) *known {
	if admin == "" {
		admin = file.Admin.Listen
	}
	k := &known{file: file, admin: admin}
	k.read()
	k.ask(ctx)
	return k
}

// read refreshes what the agent has saved.
func (k *known) read() {
	if k.remains, k.lost = agent.ReadRemains(k.file.DataDir); k.lost == nil {
		k.agentID = k.remains.AgentID
	}
}

// ask refreshes what the running agent says.
func (k *known) ask(ctx context.Context) {
	k.status = nil
	s, _, err := askStatus(ctx, k.admin)
	if k.down = err; err == nil {
		k.status, k.agentID = &s, s.AgentID
	}
}

// life is one generation of a file in one pipeline, as far as the agent knows.
type life struct {
	tail.FileStatus
	pipeline string
}

// lives returns the generations that the file at path is: by its device and
// inode, or by its content if it is a copy that the agent did not read. size is
// that of the unpacked content.
func (k *known) lives(path string, size int64) ([]life, error) {
	known, err := k.identified(path)
	found := slices.DeleteFunc(known, func(l life) bool { return l.Code == tail.Copied })
	if err != nil || len(found) > 0 {
		return found, err
	}
	return k.saved(path, func(e *checkpoint.Entry) bool {
		return e.Acked == size && !e.Finished && filepath.Dir(e.Path) == filepath.Dir(path)
	})
}

// identified returns the generations that the agent knows the file at path as, by
// device and inode; copies too.
func (k *known) identified(path string) (found []life, err error) {
	dev, inode, err := tail.Identity(path)
	hidden := errors.Is(err, os.ErrPermission) && k.status != nil // the agent may see more
	if err != nil && !hidden {
		return nil, err
	}
	if k.status == nil {
		return k.saved(path, func(e *checkpoint.Entry) bool { return e.Dev == dev && e.Ino == inode })
	}
	for _, p := range k.status.Pipelines {
		for i := range p.Files {
			f := &p.Files[i]
			if f.Generation != "" && (f.Dev == dev && f.Inode == inode || hidden && f.Path == path) {
				found = append(found, life{*f, p.Name})
			}
		}
	}
	return found, nil
}

// saved returns the generations of the checkpoints that may be the file at path
// and have its content.
func (k *known) saved(path string, may func(*checkpoint.Entry) bool) (found []life, err error) {
	if k.remains == nil {
		return nil, nil
	}
	store := k.remains.Checkpoints
	for name := range k.file.Pipelines {
		for _, src := range store.Sources(name) {
			e := src.Entry()
			if !may(&e) {
				continue
			}
			same, err := sameContent(path, &e)
			if err != nil {
				return nil, err
			}
			if !same {
				continue
			}
			l := life{pipeline: name, FileStatus: tail.FileStatus{
				Path: e.Path, Generation: e.Generation, Dev: e.Dev, Inode: e.Ino,
				Size: e.Size, Read: e.Acked, Acked: e.Acked, Start: tail.Began(store, name, e.Generation, e.Acked),
			}}
			if e.Finished && !tail.IsCompressed(e.Path) {
				l.Code = tail.Copied
			}
			found = append(found, l)
		}
	}
	return found, nil
}

func sameContent(path string, e *checkpoint.Entry) (bool, error) {
	c, err := tail.OpenContent(path)
	if err != nil {
		return false, err
	}
	defer func() { _ = c.Close() }()
	return tail.Same(c, e)
}

// began returns where reading of a life began: at 0, or where start_at said, for
// which at is a candidate; -1 if that cannot be told any more.
func (k *known) began(l *life, at int64) int64 {
	if l.Start >= 0 || k.remains == nil {
		return l.Start
	}
	return tail.Began(k.remains.Checkpoints, l.pipeline, l.Generation, at)
}

// included reports whether a pipeline is told to read a path.
func (k *known) included(path string) bool {
	for name := range k.file.Pipelines {
		c, ok := k.file.Pipelines[name].Input.Config.(*filelog.Config)
		if !ok {
			continue
		}
		patterns, err := tail.ParsePatterns(c.Include, c.Exclude)
		if err != nil {
			continue
		}
		if why, _ := patterns.Judge(path, c.MaxDepth); why == "" {
			return true
		}
	}
	return false
}

// waitingBytes is how much waits in the agent for an output.
func (k *known) waitingBytes(output string) (n int64) {
	if k.status == nil {
		if k.remains != nil {
			n = k.remains.WaitingBytes(output)
		}
		return n
	}
	for i := range k.status.Outputs {
		if o := &k.status.Outputs[i]; o.Name == output {
			n += o.QueuedBytes + o.DiskBytes
		}
	}
	return n
}

// cached returns the ranges of a generation that lie in the disk cache of an
// output. What cannot be read there is not among them.
func (k *known) cached(output, generation string) (spans []span) {
	if k.remains == nil {
		return nil
	}
	labels, err := k.remains.Waiting(output)
	if err != nil {
		return nil
	}
	for i := range labels {
		if labels[i].Generation == generation {
			spans = append(spans, span{labels[i].Start, labels[i].End})
		}
	}
	return spans
}

// errNoHub says that a pipeline's records do not come into any hub's ledger.
var errNoHub = errors.New("there is no hub to compare with")

// ledgerOutput is the first output of a pipeline that sends to a hub, and access
// to that hub. endpoint, if set, stands for that of the configuration. The error is
// errNoHub if there is none.
func (k *known) ledgerOutput(pipeline, endpoint string) (name string, hub *hubAccess, err error) {
	p := k.file.Pipelines[pipeline]
	for _, name := range p.Outputs {
		c, ok := k.file.Outputs[name].Config.(*logservice.Config)
		if !ok {
			continue
		}
		if !c.Ledger {
			return "", nil, &exitError{exitUsage, fmt.Errorf("%w: output %s of pipeline %s has ledger: false", errNoHub, name, pipeline)}
		}
		hub, err := accessOf(c)
		if err == nil && endpoint != "" {
			hub.endpoint = endpoint
		}
		return name, hub, err
	}
	return "", nil, &exitError{exitUsage, fmt.Errorf("%w: pipeline %s has no logservice output", errNoHub, pipeline)}
}
