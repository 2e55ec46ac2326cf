package containers

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/wasmtail/wasmtail/agent/tail"
)

// podFiles are the log files in the folder of a pod.
const podFiles = "*/*.log"

// podKey is what the log files of pods are remembered by: as the pattern that finds
// them where the API server is not asked.
func (r *roster) podKey() string {
	c := r.config.onHost()
	return c.podPattern()
}

// podFolders are the folders with the logs of pods, each as one container.
func (r *roster) podFolders(now time.Time) (list []*container) {
	dir := filepath.Join(r.root, r.config.Pods)
	entries, err := os.ReadDir(dir)
	r.fail(dir, err)
	there := map[string]*container{}
	for _, e := range entries {
		m, ok := podFolder(e.Name())
		if !ok {
			continue
		}
		c := r.podded[e.Name()]
		if c == nil {
			m.selected = r.config.maySelect(&m)
			c = &container{meta: &m, dir: filepath.Join(dir, e.Name()), early: !r.looked, seen: now}
		}
		there[e.Name()] = c
		list = append(list, c)
	}
	list = append(list, r.retain(there, now)...)
	r.podded = there
	return list
}

// ready completes those of pods by what the API server tells of them. The files of
// those that wait for it are held: they are found and opened, but not read.
func (r *roster) ready(all []*container, now time.Time) []*container {
	if r.kube == nil {
		return all
	}
	waiting := map[string]tail.FileStatus{}
	for _, c := range all {
		if c.meta.Docker {
			continue
		}
		if c.hold = !r.complete(c, now); !c.hold || !c.meta.selected {
			continue
		}
		file := c.dir
		if file == "" {
			file = c.meta.Namespace + "/" + c.meta.Pod + "/" + c.meta.Name
		}
		waiting[file] = tail.FileStatus{
			Path: file, State: "waiting", Code: tail.LabelsUnknown, Reason: "waits for the labels of its pod", BehindSince: c.seen,
			Fix: "see what is said of the API server of Kubernetes, if this does not end by itself",
		}
	}
	r.mu.Lock()
	r.waiting = waiting
	r.mu.Unlock()
	return all
}

// retain keeps those of the last look that are gone and wait for labels, as long as
// their files are held open.
func (r *roster) retain(there map[string]*container, now time.Time) (list []*container) {
	for name, c := range r.podded {
		if there[name] != nil || !c.hold {
			continue
		}
		if c.ended.IsZero() {
			c.ended = now
		}
		if now.Sub(c.ended) < r.config.DeletedReleaseAfter+pastFor {
			there[name] = c
			list = append(list, c)
		}
	}
	return list
}

// complete reports whether a container of a pod need not wait any longer.
func (r *roster) complete(c *container, now time.Time) bool {
	object := r.kube.pod(c.meta.UID)
	switch {
	case object == nil && (c.meta.object != nil || c.bare):
		return true // its pod is long gone
	case object == nil:
		if r.config.byLabel() || now.Sub(c.seen) < r.config.Kubernetes.Wait {
			return false
		}
		c.bare = true
		r.bare()
		r.log.WithField("pod", fmt.Sprintf("%s/%s", c.meta.Namespace, c.meta.Pod)).Warn("the labels of a pod are not known in time: its lines go without them")
		return true
	case object != c.meta.object:
		m := c.meta.withPod(object)
		if c.dir != "" {
			m.selected = r.config.selectsPod(m)
		} else {
			r.config.judge(m)
		}
		c.meta = m
	}
	return true
}

// podContainers are the containers of pods that run, but those.
func (r *roster) podContainers(but map[string]bool, now time.Time) (list []*container) {
	if r.config.Pods == "" || r.config.Proc == "" {
		return nil
	}
	found, err := r.processes.scan()
	r.fail(r.processes.dir, err)
	asked, there := false, map[string]*container{}
	defer func() {
		list = append(list, r.retain(there, now)...)
		r.podded = there
	}()
	for id, p := range found {
		if but[id] || p.name == "" {
			continue // its pod's sandbox
		}
		if c := r.podded[id]; c != nil {
			there[id] = c
			list = append(list, c)
			continue
		}
		if _, ok := r.pods[p.uid]; !ok && !asked {
			asked = true
			r.readPods()
		}
		names, ok := r.pods[p.uid]
		if !ok {
			continue // its folder is not made yet
		}
		m := Metadata{Namespace: names[0], Pod: names[1], UID: p.uid, Name: p.name, ID: id}
		m.Restarts = r.restarts(&m)
		r.config.judge(&m)
		m.selected = m.selected || r.kube != nil && r.config.maySelect(&m)
		there[id] = &container{meta: &m, mounts: p.mounts, early: !r.looked, seen: now, found: map[string]string{}}
		list = append(list, there[id])
	}
	return list
}

// readPods finds the names of pods by the folders of their logs.
func (r *roster) readPods() {
	dir := filepath.Join(r.root, r.config.Pods)
	entries, err := os.ReadDir(dir)
	r.fail(dir, err)
	r.pods = map[string][2]string{}
	for _, e := range entries {
		if m, ok := podFolder(e.Name()); ok {
			r.pods[m.UID] = [2]string{m.Namespace, m.Pod}
		}
	}
}

// restarts is the number of the newest log file of a container.
func (r *roster) restarts(m *Metadata) string {
	entries, err := os.ReadDir(filepath.Join(r.root, r.config.Pods, m.Namespace+"_"+m.Pod+"_"+m.UID, m.Name))
	if err != nil {
		return ""
	}
	newest := ""
	for _, e := range entries {
		n, _, _ := strings.Cut(e.Name(), ".")
		if len(n) > len(newest) || len(n) == len(newest) && n > newest {
			newest = n
		}
	}
	return newest
}
