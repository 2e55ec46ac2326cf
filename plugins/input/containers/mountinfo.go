package containers

import (
	"path"
	"regexp"
	"strings"
)

// mountLine is a line of a process's mountinfo, as proc(5) describes it.
type mountLine struct {
	dev    string // the numbers of the file system
	root   string // the path in that file system that is mounted
	point  string // where, as the process sees it
	kind   string // of the file system
	source string
	upper  string // of an overlay, the folder that takes what is written
}

// parseMounts reads a mountinfo. Lines that are none are passed over.
func parseMounts(text string) (lines []mountLine) {
	for line := range strings.Lines(text) {
		before, after, ok := strings.Cut(strings.TrimSuffix(line, "\n"), " - ")
		fields, more := strings.Split(before, " "), strings.Split(after, " ")
		if !ok || len(fields) < 6 || len(more) < 3 {
			continue
		}
		m := mountLine{dev: fields[2], root: unescape(fields[3]), point: unescape(fields[4]), kind: more[0], source: unescape(more[1])}
		if m.kind == "overlay" {
			for option := range strings.SplitSeq(more[2], ",") {
				if dir, ok := strings.CutPrefix(option, "upperdir="); ok {
					m.upper = unescape(dir)
				}
			}
		}
		lines = append(lines, m)
	}
	return lines
}

// unescape replaces \ooo, as the kernel writes what would end a field.
func unescape(s string) string {
	if !strings.Contains(s, `\`) {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+3 < len(s) && isOctal(s[i+1:i+4]) {
			b.WriteByte(s[i+1]&3<<6 | s[i+2]&7<<3 | s[i+3]&7)
			i += 3
			continue
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

func isOctal(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '7' {
			return false
		}
	}
	return true
}

// below reports whether p is dir or lies in it, and what is left of it then.
func below(p, dir string) (rest string, ok bool) {
	rest, ok = strings.CutPrefix(p, strings.TrimSuffix(dir, "/"))
	return rest, ok && (rest == "" || rest[0] == '/')
}

// deleted ends the root of a mount whose source was removed.
const deleted = "//deleted"

// hostOf is where on the host lies what m mounts: host are the host's own mounts. It
// is "" if the host has that file system nowhere.
func hostOf(m *mountLine, host []mountLine) string {
	found, depth := "", -1
	for i := range host {
		h := &host[i]
		rest, ok := below(m.root, h.root)
		if h.dev != m.dev || !ok || len(h.root) <= depth || strings.HasSuffix(m.root, deleted) {
			continue
		}
		found, depth = path.Join(h.point, rest), len(h.root)
	}
	return found
}

// mountsOf are the mounts of a container by its own mountinfo and the host's. ok is
// false while the container has not left the host's root: it is being started.
func mountsOf(own, host []mountLine) (mounts []mount, ok bool) {
	var root, hostRoot *mountLine
	for i := range own {
		if own[i].point == "/" {
			root = &own[i]
		}
	}
	for i := range host {
		if host[i].point == "/" {
			hostRoot = &host[i]
		}
	}
	if root == nil || hostRoot == nil || root.dev == hostRoot.dev && root.root == hostRoot.root {
		return nil, false
	}
	mounts = append(mounts, mount{inside: "/", host: root.upper})
	for i := range own {
		if m := &own[i]; m != root && m.point != "/" {
			mounts = append(mounts, mount{inside: path.Clean(m.point), host: hostOf(m, host)})
		}
	}
	return mounts, true
}

var (
	containerID = regexp.MustCompile(`[0-9a-f]{64}`)
	podUID      = regexp.MustCompile(`pod([0-9a-f]{8}[-_][0-9a-f]{4}[-_][0-9a-f]{4}[-_][0-9a-f]{4}[-_][0-9a-f]{12}|[0-9a-f]{32})`)
	// ofContainer matches the folder that the kubelet keeps of each container, and of
	// which it mounts a file into it.
	ofContainer = regexp.MustCompile(`/pods/([0-9a-f-]+)/containers/([^/]+)/[^/]+$`)
)

// parseCgroup reads of a process's cgroup file which container of which pod it is
// in. Both are "" for one that is in none.
func parseCgroup(text string) (pod, id string) {
	for line := range strings.Lines(text) {
		uids, ids := podUID.FindAllStringSubmatch(line, -1), containerID.FindAllString(line, -1)
		if len(ids) == 0 {
			continue
		}
		id = ids[len(ids)-1]
		if len(uids) > 0 {
			return strings.ReplaceAll(uids[len(uids)-1][1], "_", "-"), id
		}
	}
	return "", id
}

// nameOf is the name of the container of a pod, by what the kubelet mounts into it;
// "" if nothing says so.
func nameOf(own []mountLine, pod string) string {
	for i := range own {
		if m := ofContainer.FindStringSubmatch(own[i].root); m != nil && m[1] == pod {
			return m[2]
		}
	}
	return ""
}
