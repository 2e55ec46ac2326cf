package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/wasmtail/wasmtail/agent/tail"
	"github.com/wasmtail/wasmtail/internal/access"
)

// failure returns what the running agent says of a name that it cannot read: the
// path itself, or a folder above it.
func (q *inquiry) failure(codes ...tail.Reason) *tail.FileStatus {
	if q.known.status == nil {
		return nil
	}
	for _, p := range q.known.status.Pipelines {
		for i := range p.Files {
			f := &p.Files[i]
			if p.Name != q.pipeline || f.State != "unreadable" || f.Path != q.path && !strings.HasPrefix(q.path, f.Path+string(filepath.Separator)) {
				continue
			}
			for _, code := range codes {
				if f.Code == code {
					return f
				}
			}
		}
	}
	return nil
}

// told is the cause that the running agent names, with its own fix.
func told(f *tail.FileStatus) *cause {
	c := because(f.Code, "the agent says of %s: %s", f.Path, f.Reason)
	if f.Fix != "" {
		c.fix = f.Fix
	}
	return c
}

// gateExists: the name is there.
func gateExists(_ context.Context, q *inquiry) (string, *cause) {
	info, err := os.Stat(q.path)
	switch {
	case err == nil:
		q.info = info
		return fmt.Sprintf("%d bytes, last written %s", info.Size(), info.ModTime().Format(time.DateTime)), nil
	case !errors.Is(err, fs.ErrNotExist):
		q.hidden = err
		return "this user may not look", nil
	}
	if target, err := os.Readlink(q.path); err == nil {
		return "", because(tail.DanglingLink, "it is a symbolic link to %s, which is not there", target)
	}
	return "", because(tail.NotFound, "nothing has this name")
}

// gateRegular: it is a file, not a folder, a pipe, a socket or a device.
func gateRegular(_ context.Context, q *inquiry) (string, *cause) {
	if f := q.failure(tail.NotRegular); f != nil && f.Path == q.path {
		return "", told(f)
	}
	if q.info == nil {
		return "", nil
	}
	what, fix := tail.Unfit(q.info.Mode(), q.path)
	if what == "" {
		return "a regular file", nil
	}
	return "", &cause{tail.NotRegular, "it " + what, fix}
}

// gatePermission: the agent's user may read it. What the running agent met counts
// most; else it is tried as that user.
func gatePermission(_ context.Context, q *inquiry) (string, *cause) {
	if f := q.failure(tail.NoPermission, tail.Unreadable); f != nil {
		return "", told(f)
	}
	if q.identify(); q.life != nil && q.known.status != nil {
		return "the agent reads it", nil
	}
	who, err := stateOwner(q.known.file.DataDir)
	if err != nil {
		return fmt.Sprintf("not tried: %v", err), nil
	}
	closed, err := who.tryReading(q.path)
	switch {
	case errors.Is(err, errOtherUser):
		return "not tried: ask as root or as " + who.name, nil
	case errors.Is(err, fs.ErrPermission):
		return "", who.denied(q.path, closed, err)
	case err != nil:
		return "", because(tail.Unreadable, "%v", err)
	}
	return who.name + " may read it", nil
}

// denied is the cause that a user may not read a path, because of a folder if
// closed is one.
func (u *stateUser) denied(path, closed string, err error) *cause {
	if u.isSelf {
		p := access.Explain(path, err)
		return &cause{tail.NoPermission, p.Reason, p.Fix}
	}
	if closed != "" {
		return &cause{tail.NoPermission, fmt.Sprintf("%s may not pass the folder %s", u.name, closed), fmt.Sprintf("sudo setfacl -m u:%s:x %q", u.name, closed)}
	}
	return &cause{tail.NoPermission, fmt.Sprintf("%s may not read it", u.name), fmt.Sprintf("sudo setfacl -m u:%s:r %q", u.name, path)}
}

// firstClosed is the topmost folder above path that may not be passed, "" if
// there is none.
func firstClosed(path string) string {
	closed := ""
	for dir := filepath.Dir(path); ; path, dir = dir, filepath.Dir(dir) {
		if _, err := os.Lstat(path); errors.Is(err, fs.ErrPermission) {
			closed = dir
		}
		if dir == filepath.Dir(dir) {
			return closed
		}
	}
}

// gateInclude: a pattern of a pipeline matches it.
func gateInclude(_ context.Context, q *inquiry) (string, *cause) {
	switch q.judged {
	case tail.NoInclude:
		switch {
		case q.isRotated():
			return "rotated from a file of pipeline " + q.pipeline, nil
		case q.rotated != "" && q.known.status != nil:
			return "", because(tail.RotatedBefore, "it is called like a rotated part of %s, and the agent did not see it under that name, or does not know it any more", q.rotated)
		case q.rotated != "":
			return "perhaps rotated from " + q.rotated, nil
		}
		return "", because(tail.NoInclude, "no pattern in include of %s matches it", q.pipelines())
	case tail.TooDeep:
		return "", because(tail.TooDeep, "%q of pipeline %s matches it, but it lies more than max_depth (%d) folders below", q.pattern, q.pipeline, q.input.MaxDepth)
	case tail.Excluded:
		return "pipeline " + q.pipeline, nil
	}
	if tail.IsCompressed(q.path) && q.life == nil {
		return "", because(tail.Compressed, "pipeline %s includes it, but it is compressed, and not the rotated part of a file that is followed", q.pipeline)
	}
	return fmt.Sprintf("%s of pipeline %s", q.pattern, q.pipeline), nil
}

// isRotated reports whether the agent reads the file although no pattern names
// it: it had another name.
func (q *inquiry) isRotated() bool { return q.life != nil && q.life.Code != tail.Copied }

// pipelines names the pipelines that read files.
func (q *inquiry) pipelines() string {
	if len(q.known.file.Pipelines) == 1 && q.pipeline != "" {
		return "pipeline " + q.pipeline
	}
	return "any pipeline"
}

// gateExclude: no pattern excludes it.
func gateExclude(_ context.Context, q *inquiry) (string, *cause) {
	if q.judged == tail.Excluded && !q.isRotated() {
		return "", because(tail.Excluded, "%q in exclude of pipeline %s takes it out", q.pattern, q.pipeline)
	}
	return "by no pattern", nil
}

// gateSymlink: links on the way do not go in a circle.
func gateSymlink(_ context.Context, q *inquiry) (string, *cause) {
	if q.input == nil {
		return "", nil
	}
	if patterns, err := tail.ParsePatterns(q.input.Include, q.input.Exclude); err == nil {
		if dir := patterns.LoopOf(q.path); dir != "" {
			return "", because(tail.LinkLoop, "%s is a symbolic link to a folder above it, and is not entered", dir)
		}
	}
	if real, err := filepath.EvalSymlinks(q.path); err == nil && real != q.path {
		return "it leads to " + real, nil
	}
	return "no link", nil
}

// gateAge: start_at did not pass over all of it.
func gateAge(_ context.Context, q *inquiry) (string, *cause) {
	l := q.life
	switch {
	case l == nil:
		return "start_at: " + q.input.StartAt, nil
	case l.Code == tail.Copied:
		return "", nil
	case l.Code == tail.BeforeStart || l.Start > 0 && l.Acked == l.Start && q.size() <= l.Start:
		return "", because(tail.BeforeStart, "all its %d bytes were there when the agent first saw it, and start_at: %s passed over them", l.Start, q.input.StartAt)
	case l.Start > 0:
		return fmt.Sprintf("read from byte %d: start_at passed over what was before", l.Start), nil
	case l.Start < 0:
		return "start_at passed over its beginning", nil
	}
	return "read from its first byte", nil
}

// size is how much there is to read.
func (q *inquiry) size() int64 {
	if q.info == nil || tail.IsCompressed(q.path) {
		return q.life.Size
	}
	return q.info.Size()
}

// gateIdentity: it is read under this name.
func gateIdentity(_ context.Context, q *inquiry) (string, *cause) {
	l := q.life
	switch {
	case l == nil:
		return "not known to the agent", nil
	case l.Code == tail.Copied:
		return "", because(tail.Copied, "its content is known: it is a copy, and delivered from its original")
	case l.Path != q.path && l.Links > 1 && stillNamed(l.Path, l.Dev, l.Inode):
		return "", because(tail.HardLink, "it is the same file as %s, and read under that name", l.Path)
	}
	return fmt.Sprintf("generation %s · inode %d", l.Generation, l.Inode), nil
}

func stillNamed(path string, dev, inode uint64) bool {
	d, i, err := tail.Identity(path)
	return err == nil && d == dev && i == inode
}

// gateContent: it has something to read.
func gateContent(_ context.Context, q *inquiry) (string, *cause) {
	if q.info != nil && q.info.Size() == 0 {
		return "", because(reasonEmpty, "it has no bytes yet")
	}
	return "", nil
}

// gateConfiguration: the agent runs the configuration that was asked about.
func gateConfiguration(_ context.Context, q *inquiry) (string, *cause) {
	s := q.known.status
	if s == nil || q.life != nil {
		return "", nil
	}
	if s.Config.Error != "" {
		return "", because(reasonRefused, "the agent runs the configuration of %s and refused a newer one: %s", s.Config.LoadedAt.Local().Format(time.DateTime), s.Config.Error)
	}
	if info, err := os.Stat(q.config); err == nil && info.ModTime().After(s.Config.LoadedAt) {
		return "", because(reasonStale, "the agent runs the configuration of %s, and %s is newer", s.Config.LoadedAt.Local().Format(time.DateTime), q.config)
	}
	return "the agent runs this one", nil
}

// gateLimits: there is room for it.
func gateLimits(_ context.Context, q *inquiry) (string, *cause) {
	if f := q.failure(tail.TooManyFiles, tail.TooManyOpen, tail.TooManyFolders); f != nil {
		return "", told(f)
	}
	if q.known.status == nil {
		return "", nil
	}
	return "none is reached", nil
}
