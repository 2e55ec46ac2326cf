package containers

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/wasmtail/wasmtail/internal/record"
)

// Metadata is what is known about a container.
type Metadata struct {
	// Docker is true for Docker's own layout; else the path has told the rest.
	Docker bool
	// Namespace, Pod, UID and Restarts are Kubernetes'.
	Namespace, Pod, UID, Restarts string
	ID, Name, Image               string
	Labels, Env                   map[string]string

	selected bool
	fields   []record.Field // of each record; immutable
}

// podOf reads the path of a log file below the pods folder:
// NAMESPACE_POD_UID/CONTAINER/RESTARTS.log.
func podOf(path string) (m Metadata, ok bool) {
	file := filepath.Base(path)
	dir := filepath.Dir(path)
	parts := strings.Split(filepath.Base(filepath.Dir(dir)), "_")
	restarts, _, _ := strings.Cut(file, ".") // also of 0.log.20260312-081502
	if len(parts) != 3 || restarts == "" {
		return m, false
	}
	return Metadata{Namespace: parts[0], Pod: parts[1], UID: parts[2], Name: filepath.Base(dir), Restarts: restarts}, true
}

// dockerConfig is the part of Docker's config.v2.json that is used.
type dockerConfig struct {
	ID     string
	Name   string
	Config struct {
		Image  string
		Env    []string
		Labels map[string]string
	}
}

// dockerOf reads what Docker keeps beside a container's log. Without that only the
// id is known.
func dockerOf(path string) (m Metadata, whole bool) {
	dir := filepath.Dir(path)
	m = Metadata{Docker: true, ID: filepath.Base(dir), Env: map[string]string{}}
	text, err := os.ReadFile(filepath.Join(dir, "config.v2.json"))
	if err != nil {
		return m, false
	}
	var c dockerConfig
	if err := json.Unmarshal(text, &c); err != nil {
		return m, false
	}
	m.Name, m.Image, m.Labels = strings.TrimPrefix(c.Name, "/"), c.Config.Image, c.Config.Labels
	for _, v := range c.Config.Env {
		name, value, _ := strings.Cut(v, "=")
		m.Env[name] = value
	}
	// A container of a pod, where the kubelet uses Docker.
	m.Namespace, m.Pod, m.UID = m.Labels["io.kubernetes.pod.namespace"], m.Labels["io.kubernetes.pod.name"], m.Labels["io.kubernetes.pod.uid"]
	if name := m.Labels["io.kubernetes.container.name"]; name != "" {
		m.Name = name
	}
	return m, true
}

// fieldsOf are the fields that each record of a container gets.
func fieldsOf(m *Metadata, labels []string) (fields []record.Field) {
	add := func(name, value string) {
		if value != "" {
			fields = append(fields, record.Field{Name: []byte(name), Value: []byte(value)})
		}
	}
	add("k8s.namespace.name", m.Namespace)
	add("k8s.pod.name", m.Pod)
	add("k8s.pod.uid", m.UID)
	if m.Namespace != "" {
		add("k8s.container.name", m.Name)
		add("k8s.container.restart_count", m.Restarts)
	} else {
		add("container.name", m.Name)
	}
	add("container.id", m.ID)
	add("container.image.name", m.Image)
	for _, label := range labels {
		add("container.label."+label, m.Labels[label])
	}
	return fields
}

// directory knows the containers by the folders of their logs. Safe for concurrent
// use.
type directory struct {
	config Config
	docker string // prefix of Docker's paths

	mu    sync.Mutex
	known map[string]*Metadata // by generation of the log file
}

// knownMax is from how many on what is known is forgotten: reading it again is
// cheap.
const knownMax = 10_000

// of returns what is known about the container of a log file, and nil if that is
// none's.
func (d *directory) of(origin *record.Origin) *Metadata {
	d.mu.Lock()
	m := d.known[origin.Generation]
	d.mu.Unlock()
	if m != nil {
		return m
	}
	var found Metadata
	var whole bool
	if d.docker != "" && strings.HasPrefix(origin.Path, d.docker) {
		found, whole = dockerOf(origin.Path)
	} else if found, whole = podOf(origin.Path); !whole {
		return nil
	}
	found.selected = d.config.selects(&found)
	found.fields = fieldsOf(&found, d.config.LabelFields)
	if whole { // else Docker may write it in this moment
		d.mu.Lock()
		if len(d.known) >= knownMax {
			clear(d.known)
		}
		d.known[origin.Generation] = &found
		d.mu.Unlock()
	}
	return &found
}
