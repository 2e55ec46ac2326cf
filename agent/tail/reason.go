package tail

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/wasmtail/wasmtail/agent/checkpoint"
)

// Reason says in one word why a file is not read, or not all of it. Programs
// may rely on the words.
type Reason string

// The reasons for which a tailer does not read a file.
const (
	// NotFound says that nothing has the name.
	NotFound Reason = "not_found"
	// DanglingLink says that the name is a symbolic link to nothing.
	DanglingLink Reason = "dangling_link"
	// SealedLink says that the name is a symbolic link where none is followed: in a
	// folder that belongs to a container.
	SealedLink Reason = "sealed_link"
	// LabelsUnknown says that the file waits for the labels of its container's pod.
	LabelsUnknown Reason = "labels_unknown"
	// LinkLoop says that a folder on the way is a symbolic link to one above it.
	LinkLoop Reason = "link_loop"
	// NotRegular says that the name is a folder, a pipe, a socket or a device.
	NotRegular Reason = "not_regular"
	// NoPermission says that this user may not read the file, or may not pass a
	// folder above it.
	NoPermission Reason = "no_permission"
	// Unreadable says that reading failed in another way.
	Unreadable Reason = "unreadable"
	// NoInclude says that no pattern includes the path.
	NoInclude Reason = "no_include"
	// RotatedBefore says that the file was rotated before the agent first saw the
	// file that it was, or is a compressed copy of what was read.
	RotatedBefore Reason = "rotated_before"
	// Excluded says that a pattern excludes the path, or a folder above it.
	Excluded Reason = "excluded"
	// TooDeep says that the file lies deeper below its pattern than max_depth.
	TooDeep Reason = "too_deep"
	// Compressed says that the file is compressed and is not the rotated part of
	// one that is followed: it has no lines to read.
	Compressed Reason = "compressed"
	// BeforeStart says that start_at passed over all that the file has.
	BeforeStart Reason = "before_start"
	// HardLink says that the file is read under another of its names.
	HardLink Reason = "hard_link"
	// Copied says that the content is known: it is delivered from the original.
	Copied Reason = "copy"
	// TooManyFiles, TooManyOpen and TooManyFolders say that a bound is reached.
	TooManyFiles   Reason = "max_files"
	TooManyOpen    Reason = "open_files"
	TooManyFolders Reason = "max_folders"
)

// reasonOf is the reason for an error of opening or reading.
func reasonOf(err error) Reason {
	if errors.Is(err, fs.ErrPermission) {
		return NoPermission
	}
	return Unreadable
}

// Patterns are the globs of one input. Safe for concurrent use.
type Patterns struct {
	include, exclude []glob
}

// ParsePatterns reads globs of absolute paths. The error names the one that is
// none.
func ParsePatterns(include, exclude []string) (p Patterns, err error) {
	if p.include, err = parseGlobs(include); err != nil {
		return p, fmt.Errorf("cannot use include: %w", err)
	}
	if p.exclude, err = parseGlobs(exclude); err != nil {
		return p, fmt.Errorf("cannot use exclude: %w", err)
	}
	return p, nil
}

// Judge says whether a file with that absolute path is read: "" and the pattern
// that includes it, Excluded and the pattern that does that, TooDeep and the
// pattern that would include it, or NoInclude. depthMax is Config.DirDepthMax.
// It looks at names only.
func (p *Patterns) Judge(path string, depthMax int) (why Reason, pattern string) {
	if why, pattern = p.name(path); why != "" {
		return why, pattern
	}
	base := ""
	for i := range p.include { // each of them is looked into, whatever is said of folders above it
		if b := p.include[i].base; len(b) > len(base) && isBelow(path, b) {
			base = b
		}
	}
	below, err := filepath.Rel(base, filepath.Dir(path))
	if err != nil || below == "." {
		return "", pattern
	}
	dir := base
	for depth, name := range strings.Split(below, string(filepath.Separator)) {
		dir = filepath.Join(dir, name)
		if by := p.excludes(dir); by != "" {
			return Excluded, by
		}
		if depth >= depthMax {
			return TooDeep, pattern
		}
	}
	return "", pattern
}

// isBelow reports whether path lies in dir, or below it.
func isBelow(path, dir string) bool {
	rest, ok := strings.CutPrefix(path, strings.TrimSuffix(dir, string(filepath.Separator)))
	return ok && strings.HasPrefix(rest, string(filepath.Separator))
}

// name judges a path without the folders above it.
func (p *Patterns) name(path string) (Reason, string) {
	for i := range p.include {
		if !p.include[i].match(path) {
			continue
		}
		if by := p.excludes(path); by != "" {
			return Excluded, by
		}
		return "", p.include[i].pattern
	}
	return NoInclude, ""
}

// excludes returns the pattern that excludes a file or folder, "" if none does.
func (p *Patterns) excludes(path string) string {
	for i := range p.exclude {
		if p.exclude[i].match(path) {
			return p.exclude[i].pattern
		}
	}
	return ""
}

// LoopOf returns the folder between a pattern and a path that is a symbolic link
// to one above it, "" if there is none. Such a folder is not entered.
func (p *Patterns) LoopOf(path string) string {
	var buf statBuffer
	for dir := filepath.Dir(path); dir != filepath.Dir(dir); dir = filepath.Dir(dir) {
		if slices.ContainsFunc(p.include, func(g glob) bool { return g.base == dir }) {
			break // it is looked into without asking
		}
		info, err := os.Lstat(dir)
		if err != nil || info.Mode()&fs.ModeSymlink == 0 {
			continue
		}
		var st stat
		if err := buf.path(dir, &st); err == nil && buf.above(filepath.Dir(dir), st.id) {
			return dir
		}
	}
	return ""
}

// RotatedFrom returns the path that is read and that a file could have had before
// it was rotated, or rotated and compressed; "" if there is none.
func (p *Patterns) RotatedFrom(path string) (original string) {
	dir := filepath.Dir(path)
	read := func(name string) bool {
		base := filepath.Join(dir, name)
		if why, _ := p.name(base); why == "" && base != path {
			original = base
		}
		return original != ""
	}
	plain, packed := uncompressed(filepath.Base(path))
	if packed && read(plain) {
		return original
	}
	rotationBases(plain, read)
	return original
}

// IsCompressed reports whether a name is that of a compressed file.
func IsCompressed(path string) bool {
	_, packed := uncompressed(filepath.Base(path))
	return packed
}

// lateNote is the note that a generation is not read from its first byte on, and
// beganNote the one that says where. A note cannot be listed, only asked for.
func lateNote(generation string) string { return "late " + generation }

func beganNote(generation string, at int64) string {
	return lateNote(generation) + " " + strconv.FormatInt(at, 10)
}

// Began returns where reading of a generation began: 0, unless start_at passed
// over what was there. Then it is the one of the candidates that is right, or -1
// if none is.
func Began(store *checkpoint.Store, pipeline, generation string, candidates ...int64) int64 {
	if !store.Noted(pipeline, lateNote(generation)) {
		return 0
	}
	i := slices.IndexFunc(candidates, func(at int64) bool { return store.Noted(pipeline, beganNote(generation, at)) })
	if i < 0 {
		return -1
	}
	return candidates[i]
}

// sincePrefix begins the note that says when a pattern was first looked for, in
// Unix nanoseconds: what was written later, and rotated before it was seen, is not
// history.
const sincePrefix = "since "

func sinceNote(pattern string, at int64) string {
	return sincePrefix + strconv.FormatInt(at, 10) + " " + pattern
}

// patternsSince reads these notes.
func patternsSince(store *checkpoint.Store, pipeline string) map[string]int64 {
	since := map[string]int64{}
	for _, note := range store.Notes(pipeline, sincePrefix) {
		text, pattern, _ := strings.Cut(note, " ")
		at, err := strconv.ParseInt(text, 10, 64)
		if before, ok := since[pattern]; err == nil && (!ok || at < before) {
			since[pattern] = at
		}
	}
	return since
}

// lookedForSince returns since when a pattern has included path.
func (t *Tailer) lookedForSince(path string) int64 {
	since := t.started
	for i := range t.patterns.include {
		if at, ok := t.since[t.patterns.include[i].noteKey()]; ok && t.patterns.include[i].match(path) {
			since = min(since, at)
		}
	}
	return since
}

// Since returns when the first of the patterns of a pipeline was looked for, by the
// agent whose store it is; the zero time if none was.
func Since(store *checkpoint.Store, pipeline string) time.Time {
	var first time.Time
	for _, at := range patternsSince(store, pipeline) {
		if t := time.Unix(0, at); first.IsZero() || t.Before(first) {
			first = t
		}
	}
	return first
}
