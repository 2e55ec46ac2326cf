package containers

import (
	"path"
	"slices"
	"strings"

	"github.com/bmatcuk/doublestar/v4"
)

// mount is a folder, or a file, inside a container and where it lies on the host.
type mount struct {
	inside string // an absolute, clean path in the container
	host   string // an absolute path on the host, "" if it is in no folder of it
}

// spot is what of a pattern inside a container lies in one of its mounts.
type spot struct {
	mount
	include string   // a glob relative to host
	exclude []string // likewise: what other mounts hide
}

// spotsOf finds where on the host the files of a pattern lie. The longest mount that
// holds a path has it. hidden is true if one of the mounts that can have files of it
// is in no folder of the host.
func spotsOf(pattern string, mounts []mount) (spots []spot, hidden bool) {
	parts := elements(pattern)
	fixed := parts[:fixedOf(parts)]
	for _, m := range mounts {
		at := elements(m.inside)
		rests := restsOf(parts, at)
		if len(rests) == 0 || slices.ContainsFunc(mounts, func(o mount) bool {
			below := elements(o.inside)
			return len(below) > len(at) && begins(below, at) && begins(fixed, below)
		}) {
			continue
		}
		if m.host == "" {
			hidden = true
			continue
		}
		for _, rest := range rests {
			s := spot{mount: m, include: path.Join(rest...)}
			if len(rest) == 0 { // the mount is the file
				s.host, s.include = path.Dir(m.host), escape(path.Base(m.host))
				s.inside = path.Dir(m.inside)
				if path.Base(m.inside) != path.Base(m.host) {
					s.inside = "" // it has another name inside
				}
			}
			for _, o := range mounts {
				below := elements(o.inside)
				if len(below) > len(at) && begins(below, at) && len(restsOf(parts, below)) > 0 {
					s.exclude = append(s.exclude, escape(path.Join(below[len(at):]...)))
				}
			}
			spots = append(spots, s)
		}
	}
	return spots, hidden
}

// elements are the names of an absolute path.
func elements(p string) []string {
	p = strings.Trim(p, "/")
	if p == "" {
		return nil
	}
	return strings.Split(p, "/")
}

// fixedOf is how many elements of a pattern before its last have no wildcard.
func fixedOf(parts []string) int {
	n := 0
	for n < len(parts)-1 && !strings.ContainsAny(parts[n], `*?[{\`) {
		n++
	}
	return n
}

func begins(p, with []string) bool {
	return len(p) >= len(with) && slices.Equal(p[:len(with)], with)
}

// restsOf are the parts of a pattern that are left for what lies in dir; several,
// where ** stands for more or fewer folders, and none, if nothing in dir matches. An
// empty one says that dir itself does.
func restsOf(parts, dir []string) (rests [][]string) {
	if len(dir) == 0 {
		return [][]string{parts}
	}
	if len(parts) == 0 {
		return nil
	}
	if parts[0] == "**" {
		rests = restsOf(parts, dir[1:])
		for _, rest := range restsOf(parts[1:], dir) {
			if !slices.ContainsFunc(rests, func(r []string) bool { return slices.Equal(r, rest) }) {
				rests = append(rests, rest)
			}
		}
		return rests
	}
	if ok, err := doublestar.Match(parts[0], dir[0]); !ok || err != nil {
		return nil
	}
	return restsOf(parts[1:], dir[1:])
}

// escape makes a pattern that only name matches.
func escape(name string) string {
	if !strings.ContainsAny(name, `*?[]{}\`) {
		return name
	}
	var b strings.Builder
	for i := range len(name) {
		if strings.IndexByte(`*?[]{}\`, name[i]) >= 0 {
			b.WriteByte('\\')
		}
		b.WriteByte(name[i])
	}
	return b.String()
}

// starsMax is how many ** a pattern may have: with more, the ways to match it grow
// too many.
const starsMax = 2

// patternFault says what is wrong with a pattern for paths in containers, "" if
// nothing is.
func patternFault(pattern string) string {
	if !path.IsAbs(pattern) || path.Clean(pattern) != pattern || pattern == "/" {
		return "is not an absolute path of files; write for example /var/log/app/*.log"
	}
	stars := 0
	for _, part := range elements(pattern) {
		if part == "**" {
			stars++
		}
		if !doublestar.ValidatePattern(part) {
			return "is not a valid pattern; close its brackets and braces before the next /"
		}
	}
	if stars > starsMax {
		return "has more than two **; write a pattern that begins further down"
	}
	return ""
}
