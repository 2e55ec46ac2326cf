package tail

import (
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"github.com/bmatcuk/doublestar/v4"
)

// Folder is one that Config does not name: it comes and goes while the tailer runs.
// It is not changed once it is given away.
type Folder struct {
	// Dir is an absolute path without symbolic links.
	Dir string
	// Include and Exclude are globs of paths below Dir, relative to it.
	Include, Exclude []string
	// Key is the one of Config.Keys by which it is remembered that the folder's files
	// have been looked for.
	Key string
	// Early says that the folder was there before the tailer was started: Config.Start
	// is for the files that its first scan finds, if Key is new to the checkpoint.
	Early bool
	// Sealed says that others than the operator write names into the folder: no
	// symbolic link in it is followed, nor one on the way to it, and hints of the
	// kernel are not relied on: older kernels give none of what is written through an
	// overlay.
	Sealed bool
	// Hold has files of the folder found, opened and remembered, but not read.
	Hold bool
}

// SetFolders makes list the folders that are followed beside those of
// Config.Include. Files of one that is no longer listed are read as if they were
// deleted: to their end, while they are open. What could not be used of list is left
// out, and in the error. Safe for concurrent use, also before Run; list belongs to
// the tailer from then on.
func (t *Tailer) SetFolders(list []Folder) error {
	var wrong []error
	globs := folderGlobs{}
	for i := range list {
		if err := globs.add(&list[i]); err != nil {
			wrong = append(wrong, err)
		}
	}
	t.reportMu.Lock()
	t.folders = &globs
	t.reportMu.Unlock()
	select {
	case t.wake <- struct{}{}:
	default:
	}
	return errors.Join(wrong...)
}

// folderGlobs are the patterns of all folders.
type folderGlobs struct{ include, exclude []glob }

func (all *folderGlobs) add(f *Folder) error {
	if !filepath.IsAbs(f.Dir) || f.Dir != filepath.Clean(f.Dir) {
		return fmt.Errorf("cannot follow the folder %q: its path must be absolute and clean", f.Dir)
	}
	parse := func(patterns []string) (globs []glob, err error) {
		for _, p := range patterns {
			if !doublestar.ValidatePathPattern(p) || filepath.IsAbs(p) {
				return nil, fmt.Errorf("cannot use the pattern %q in %s: check its brackets and braces", p, f.Dir)
			}
			base, _ := doublestar.SplitPattern(filepath.ToSlash(p))
			g := glob{
				pattern: filepath.Join(f.Dir, p), dir: f.Dir, inner: p, base: filepath.Join(f.Dir, filepath.FromSlash(base)),
				key: f.Key, early: f.Early, sealed: f.Sealed, hold: f.Hold,
			}
			if !strings.ContainsAny(p, `{\`) {
				g.parts = strings.Split(p, string(filepath.Separator))
			}
			globs = append(globs, g)
		}
		return globs, nil
	}
	include, err := parse(f.Include)
	if err != nil {
		return err
	}
	exclude, err := parse(f.Exclude)
	if err != nil {
		return err
	}
	all.include, all.exclude = append(all.include, include...), append(all.exclude, exclude...)
	return nil
}

// settle ends the time of Start for those folders that were followed before.
func (all *folderGlobs) settle(before []glob) {
	known := map[string]bool{}
	for i := range before {
		known[before[i].pattern] = true
	}
	for i := range all.include {
		all.include[i].early = all.include[i].early && !known[all.include[i].pattern]
	}
}

// takeFolders goes over to the folders that were set last.
func (t *Tailer) takeFolders() {
	t.reportMu.Lock()
	set := t.folders
	t.folders = nil
	t.reportMu.Unlock()
	if set == nil {
		return
	}
	t.holding = slices.ContainsFunc(set.include, func(g glob) bool { return g.hold })
	set.settle(t.patterns.include[t.fixed.include:])
	fixed := t.patterns
	t.patterns.include = append(fixed.include[:t.fixed.include:t.fixed.include], set.include...)
	t.patterns.exclude = append(fixed.exclude[:t.fixed.exclude:t.fixed.exclude], set.exclude...)
	for path, d := range maps.Clone(t.dirs) {
		if len(d.targets) > 0 || t.reaches(path) {
			continue
		}
		d.root = false
		t.leave(d)
	}
	for i := range t.patterns.include {
		t.addDir(t.patterns.include[i].base, 0, true)
	}
}

// reaches reports whether a match can lie in dir.
func (t *Tailer) reaches(dir string) bool {
	for i := range t.patterns.include {
		g := &t.patterns.include[i]
		if dir == g.base || isBelow(dir, g.base) && g.below(dir) {
			return true
		}
	}
	return false
}

// seals reports whether path lies in a sealed folder.
func (p *Patterns) seals(path string) bool {
	for i := range p.include {
		if g := &p.include[i]; g.sealed && (path == g.dir || isBelow(path, g.dir)) {
			return true
		}
	}
	return false
}

// holds reports whether a file is not to be read yet.
func (t *Tailer) holds(g *generation) bool {
	return t.holding && slices.ContainsFunc(t.patterns.include, func(p glob) bool { return p.hold && p.match(g.family) })
}

// settled ends the time in which Start is for the files of early folders.
func (p *Patterns) settled() {
	for i := range p.include {
		p.include[i].early = false
	}
}

// early reports whether path lies in a folder that was there before the start, and
// is scanned for the first time.
func (p *Patterns) early(path string) bool {
	for i := range p.include {
		if g := &p.include[i]; g.early && g.match(path) {
			return true
		}
	}
	return false
}

// noteKey is what g is remembered by in the checkpoint.
func (g *glob) noteKey() string {
	if g.dir == "" {
		return g.pattern
	}
	return g.key
}

// open opens a file that was found at path.
func (t *Tailer) openPath(path string) (int, error) {
	if t.patterns.seals(path) {
		return openSealed(path)
	}
	return openFile(path)
}

// refuseLink remembers that a name that is included is a symbolic link in a sealed
// folder.
func (t *Tailer) refuseLink(d *directory, e *dirEntry, path string) {
	if !t.included(path) {
		return
	}
	f := failure{
		code: SealedLink, reason: "is a symbolic link, which could lead out of the container: it is not followed",
		fix: "let the program write to a file, or name the file that the link leads to", entry: e, dir: d,
	}
	if t.failed(path, f) {
		t.alarm("a name that is included "+f.reason, path, errors.New(f.fix))
	}
}

// isSealed reports whether no symbolic link is on the way to a directory of a sealed
// folder, and remembers it if there is one: then what lies behind is not even listed.
func (t *Tailer) isSealed(dir string) bool {
	fd, err := openSealedDir(dir)
	if err != nil {
		t.failEntry(dir, failure{
			code: SealedLink, reason: "a folder of a container can only be reached through a symbolic link, which is not followed", err: err,
			fix: "name the path that the link leads to",
		})
		return false
	}
	closeFile(fd)
	return true
}
