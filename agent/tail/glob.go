package tail

import (
	"fmt"
	"path/filepath"
	"strings"

	"github.com/bmatcuk/doublestar/v4"
)

// glob is one include pattern.
type glob struct {
	pattern string
	base    string   // the part without wildcards, a directory
	parts   []string // the path elements of the pattern, nil if they cannot be told apart

	// Of a pattern in a Folder:
	dir, inner    string // its path, and the pattern below it; parts are those of inner
	key           string // what it is remembered by
	early, sealed bool
	hold          bool
}

func parseGlobs(patterns []string) ([]glob, error) {
	var globs []glob
	for _, p := range patterns {
		p = filepath.Clean(p)
		if !filepath.IsAbs(p) || !doublestar.ValidatePathPattern(p) {
			return nil, fmt.Errorf("cannot use the pattern %q: write an absolute path, with *, ?, ** and [a-z] as wildcards", p)
		}
		base, _ := doublestar.SplitPattern(filepath.ToSlash(p))
		g := glob{pattern: p, base: filepath.FromSlash(base)}
		if !strings.ContainsAny(p, `{\`) {
			g.parts = strings.Split(p, string(filepath.Separator))
		}
		globs = append(globs, g)
	}
	return globs, nil
}

func (g *glob) match(path string) bool {
	pattern := g.pattern
	if g.dir != "" {
		if !isBelow(path, g.dir) {
			return false
		}
		pattern, path = g.inner, path[len(strings.TrimSuffix(g.dir, string(filepath.Separator)))+1:]
	}
	ok, err := doublestar.PathMatch(pattern, path)
	return ok && err == nil
}

// below reports whether a match can lie in dir or below it.
func (g *glob) below(dir string) bool {
	if g.dir != "" {
		if !isBelow(dir, g.dir) {
			return dir == g.dir || isBelow(g.dir, dir)
		}
		dir = dir[len(strings.TrimSuffix(g.dir, string(filepath.Separator)))+1:]
	}
	if g.parts == nil {
		return true
	}
	elements := strings.Split(dir, string(filepath.Separator))
	for i, e := range elements {
		if i >= len(g.parts)-1 {
			return false
		}
		if g.parts[i] == "**" {
			return true
		}
		if ok, err := doublestar.PathMatch(g.parts[i], e); !ok || err != nil {
			return false
		}
	}
	return true
}

// compressions are the ends of names of compressed files.
var compressions = []string{".gz", ".zst", ".bz2", ".xz", ".lz4", ".zip", ".lzma", ".Z"}

// uncompressed returns name without the end that tells its compression.
func uncompressed(name string) (string, bool) {
	for _, end := range compressions {
		if base, ok := strings.CutSuffix(name, end); ok && base != "" {
			return base, true
		}
	}
	return name, false
}

// rotationBases calls each with the names that a file called name could have had
// before it was rotated: app.log for app.log.1, app.log-20060102, app.log.old,
// app.1.log or app-2006-01-02.log.
func rotationBases(name string, each func(base string) bool) {
	for _, end := range []string{".old", ".prev", ".bak", "~"} {
		if base, ok := strings.CutSuffix(name, end); ok && base != "" && each(base) {
			return
		}
	}
	if base := withoutStamp(name); base != "" && each(base) {
		return
	}
	ext := filepath.Ext(name)
	if stem := name[:len(name)-len(ext)]; ext != "" && stem != "" {
		if base := withoutStamp(stem); base != "" {
			each(base + ext)
		}
	}
}

// withoutStamp cuts a number or a time, and the separator before it, off the end
// of s. It returns "" if there is none.
func withoutStamp(s string) string {
	cut := len(s)
	for i := len(s) - 1; i > 0; i-- {
		c := s[i]
		digit := c >= '0' && c <= '9'
		if !digit && !strings.ContainsRune(".-_:TZ@+", rune(c)) {
			break
		}
		if (c == '.' || c == '-' || c == '_') && i+1 < len(s) && s[i+1] >= '0' && s[i+1] <= '9' {
			cut = i
		}
	}
	if cut == len(s) {
		return ""
	}
	return s[:cut]
}
