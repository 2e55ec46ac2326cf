package main

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/bmatcuk/doublestar/v4"
	"github.com/dustin/go-humanize"

	"github.com/wasmtail/wasmtail/agent/checkpoint"
	"github.com/wasmtail/wasmtail/agent/history"
	"github.com/wasmtail/wasmtail/agent/tail"
	"github.com/wasmtail/wasmtail/plugins/input/filelog"
)

// packRatio is how many times larger a compressed log is thought to be before it is
// unpacked.
const packRatio = 8

// planned is what an import does with one file.
type planned struct {
	Path string `json:"path"`
	// Bytes are those of the file on the disk.
	Bytes int64 `json:"bytes"`
	// To is where the import ends, if that is before the end of the file.
	To int64 `json:"to,omitempty"`
	// Skip is why nothing of it is imported, "" if something is.
	Skip string `json:"skip,omitempty"`
	// Note is what else there is to say.
	Note string `json:"note,omitempty"`

	part  history.Part
	mtime time.Time
	bad   bool // it cannot be read
}

// planner finds out what of files an agent does not have.
type planner struct {
	known    *known
	pipeline string
	all      bool // also what the agent has probably read
	patterns *tail.Patterns
	since    time.Time // when the agent began to look for the pipeline's files
}

func newPlanner(k *known, pipeline string, all bool) *planner {
	p := &planner{known: k, pipeline: pipeline, all: all}
	if c, ok := k.file.Pipelines[pipeline].Input.Config.(*filelog.Config); ok {
		if patterns, err := tail.ParsePatterns(c.Include, c.Exclude); err == nil {
			p.patterns = &patterns
		}
	}
	if k.remains != nil {
		p.since = tail.Since(k.remains.Checkpoints, pipeline)
	}
	return p
}

// plan looks at the files that patterns name, the oldest first.
func (p *planner) plan(patterns []string) (files []planned, err error) {
	seen := map[[2]uint64]bool{}
	for _, pattern := range patterns {
		if pattern, err = filepath.Abs(pattern); err != nil {
			return nil, fmt.Errorf("cannot find %s: %w", pattern, err)
		}
		paths, err := doublestar.FilepathGlob(pattern, doublestar.WithFilesOnly(), doublestar.WithFailOnIOErrors())
		if err != nil {
			return nil, &exitError{exitUsage, fmt.Errorf("cannot look for %s: %w", pattern, err)}
		}
		if len(paths) == 0 {
			return nil, &exitError{exitUsage, fmt.Errorf("no file is named %s", pattern)}
		}
		for _, path := range paths {
			f, id, err := p.file(path)
			if err != nil {
				return nil, err
			}
			if !seen[id] {
				seen[id] = true
				files = append(files, f)
			}
		}
	}
	slices.SortStableFunc(files, func(a, b planned) int { return a.mtime.Compare(b.mtime) })
	return files, nil
}

// file decides on one file.
func (p *planner) file(path string) (f planned, id [2]uint64, err error) {
	info, err := os.Stat(path)
	if err != nil {
		return f, id, fmt.Errorf("cannot look at %s: %w", path, err)
	}
	if id[0], id[1], err = tail.Identity(path); err != nil {
		return f, id, err
	}
	f = planned{Path: path, Bytes: info.Size(), mtime: info.ModTime()}
	f.part = history.Part{Path: path, Size: f.Bytes}
	if tail.IsCompressed(path) {
		f.part.Size *= packRatio
	}
	lives, err := p.known.identified(path)
	if err != nil {
		return f, id, err
	}
	if i := slices.IndexFunc(lives, func(l life) bool { return l.pipeline == p.pipeline }); i >= 0 {
		p.beside(&f, &lives[i])
		return f, id, nil
	}
	switch from := p.rotatedFrom(path); {
	case f.Bytes == 0:
		f.Skip = "is empty"
	case !p.all && from != "" && tail.IsCompressed(path) && !p.since.IsZero() && f.mtime.After(p.since):
		f.Skip = fmt.Sprintf("was written after the agent had begun to read %s (%s), so it has most likely read it; --all imports it too", from, p.since.Format(time.DateTime))
	default:
		if f.part.Generation, err = generationOf(path, id, p.pipeline); err != nil {
			f.Skip, f.bad = err.Error(), true
		}
	}
	return f, id, nil
}

func (p *planner) rotatedFrom(path string) string {
	if p.patterns == nil {
		return ""
	}
	return p.patterns.RotatedFrom(path)
}

// beside decides on a file that the agent knows: what is before the place where it
// began is history, under the same generation.
func (p *planner) beside(f *planned, l *life) {
	began := p.known.began(l, 0)
	switch {
	case l.Code == tail.Copied:
		f.Skip = "is a copy of what the agent has read"
	case began == 0:
		f.Skip = "is read by the agent from its first byte"
	case began < 0:
		f.Skip = "is read by the agent from a place that is not known any more"
	default:
		f.To, f.Note = began, fmt.Sprintf("up to byte %d, where the agent began", began)
		f.part.Generation, f.part.To, f.part.Size = l.Generation, began, began
	}
}

// generationOf names the content of a file, the same each time: by its inode and its
// first bytes, since files can begin alike.
func generationOf(path string, id [2]uint64, pipeline string) (string, error) {
	content, err := tail.OpenContent(path)
	if err != nil {
		return "", err
	}
	defer func() { _ = content.Close() }()
	head := make([]byte, checkpoint.HeadBytesMax)
	n, err := io.ReadFull(content, head)
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return "", fmt.Errorf("cannot read %s: %w", path, err)
	}
	sum := checkpoint.Sum(fmt.Appendf(head[:n], "\x00%d %d %s", id[0], id[1], pipeline))
	return hex.EncodeToString(sum[:8]), nil
}

// printPlan says what an import would do.
func printPlan(w io.Writer, files []planned, asJSON bool) error {
	if asJSON {
		return json.NewEncoder(w).Encode(struct {
			Files []planned `json:"files"`
		}{files})
	}
	count, size := 0, int64(0)
	for i := range files {
		f := &files[i]
		what := "import"
		if f.Skip != "" {
			what = "skip"
		} else {
			count++
			size += f.part.Size
		}
		_, _ = fmt.Fprintf(w, "%-6s  %10s  %s  %s", what, sizeText(f.Bytes), f.mtime.Format(time.DateTime), printable([]byte(f.Path)))
		if why := strings.TrimSpace(f.Skip + f.Note); why != "" {
			_, _ = fmt.Fprintf(w, "\n        └ %s", why)
		}
		_, _ = fmt.Fprintln(w)
	}
	_, _ = fmt.Fprintf(w, "\n%s to import, about %s unpacked; %s\n", several(int64(count), "file"), sizeText(size), several(int64(len(files)-count), "file")+" left out")
	return nil
}

func sizeText(n int64) string { return humanize.IBytes(uint64(max(0, n))) }
