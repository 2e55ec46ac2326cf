package containers

import (
	"os"
	"path/filepath"
	"slices"
	"strconv"
)

// processes finds the containers of pods by the processes of the host: each says in
// which cgroup it is, and what it sees mounted where. It belongs to one goroutine.
type processes struct {
	dir   string         // /proc, as this process sees it
	known map[int]string // by process: the container that it is in, "" for none
	found map[string]*pod
	age   int // rounds since known was begun anew
}

// pod is a container of a pod by one of its processes.
type pod struct {
	id, uid, name string
	mounts        []mount
}

// knownRounds is for how many rounds it is believed that a process has not ended, and
// another come with its number, between two of them.
const knownRounds = 60

// scan looks at the processes that have come since the last scan, and returns the
// containers that are there, by their ids.
func (p *processes) scan() (map[string]*pod, error) {
	entries, err := os.ReadDir(p.dir)
	if err != nil {
		return p.found, err
	}
	if p.age++; p.age >= knownRounds || p.known == nil {
		p.age, p.known = 0, map[int]string{}
	}
	var pids []int
	for _, e := range entries {
		if pid, err := strconv.Atoi(e.Name()); err == nil {
			pids = append(pids, pid)
		}
	}
	slices.Sort(pids) // the first process of a container is the one that sees what it does
	known, found := make(map[int]string, len(pids)), map[string]*pod{}
	var host []mountLine
	for _, pid := range pids {
		id, ok := p.known[pid]
		c := p.found[id]
		if !ok || id != "" && c == nil {
			if host == nil {
				host = parseMounts(p.read(1, "mountinfo"))
			}
			id, c = p.look(pid, host)
		}
		if id == "" || c != nil {
			known[pid] = id // else it is looked at again: it is being started
		}
		if c != nil && found[id] == nil {
			found[id] = c
		}
	}
	p.known, p.found = known, found
	return found, nil
}

// look finds the container of a process; nil while it is being started.
func (p *processes) look(pid int, host []mountLine) (id string, c *pod) {
	uid, id := parseCgroup(p.read(pid, "cgroup"))
	if uid == "" || id == "" {
		return "", nil
	}
	if c := p.found[id]; c != nil {
		return id, c
	}
	own := parseMounts(p.read(pid, "mountinfo"))
	mounts, ok := mountsOf(own, host)
	if !ok {
		return id, nil
	}
	return id, &pod{id: id, uid: uid, name: nameOf(own, uid), mounts: mounts}
}

// upper is the folder on the host that takes what the container of a process writes,
// if that process is in the container.
func (p *processes) upper(pid int, id string) string {
	if _, got := parseCgroup(p.read(pid, "cgroup")); got != id {
		return ""
	}
	mounts, ok := mountsOf(parseMounts(p.read(pid, "mountinfo")), parseMounts(p.read(1, "mountinfo")))
	if !ok {
		return ""
	}
	return mounts[0].host
}

// read is the content of a file of a process, "" if it has ended.
func (p *processes) read(pid int, file string) string {
	text, err := os.ReadFile(filepath.Join(p.dir, strconv.Itoa(pid), file))
	if err != nil {
		return ""
	}
	return string(text)
}
