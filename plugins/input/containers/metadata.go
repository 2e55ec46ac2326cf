package containers

import (
	"path/filepath"
	"strings"

	"github.com/wasmtail/wasmtail/internal/record"
)

// Metadata is what is known about a container.
type Metadata struct {
	// Docker is true for Docker's own layout; else the path has told the rest.
	Docker bool
	// Namespace, Pod, UID and Restarts are Kubernetes'.
	Namespace, Pod, UID, Restarts string
	ID, Name, Image               string
	// Labels are Docker's, or those of the pod.
	Labels, Env map[string]string

	object   *podObject // of the pod, nil if the API server has not told
	selected bool
	fields   []record.Field // of each record; immutable
}

// podFolder reads the name of a folder with the logs of a pod: NAMESPACE_POD_UID.
func podFolder(name string) (m Metadata, ok bool) {
	parts := strings.Split(name, "_")
	if len(parts) != 3 {
		return m, false
	}
	return Metadata{Namespace: parts[0], Pod: parts[1], UID: parts[2]}, true
}

// podOf reads the path of a log file below the pods folder:
// NAMESPACE_POD_UID/CONTAINER/RESTARTS.log.
func podOf(path string) (m Metadata, ok bool) {
	file := filepath.Base(path)
	dir := filepath.Dir(path)
	m, ok = podFolder(filepath.Base(filepath.Dir(dir)))
	m.Name = filepath.Base(dir)
	m.Restarts, _, _ = strings.Cut(file, ".") // also of 0.log.20260312-081502
	return m, ok && m.Restarts != ""
}

// withPod returns m with what the API server has told of its pod, which is nil if it
// has told nothing.
func (m Metadata) withPod(p *podObject) *Metadata {
	if m.object = p; p != nil {
		m.Labels, m.Image = p.Metadata.Labels, p.image(m.Name)
	}
	return &m
}

// fieldsOf are the fields that each record of a container gets.
func fieldsOf(m *Metadata, c *Config) (fields []record.Field) {
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
	prefix := "container.label."
	if !m.Docker {
		prefix = "k8s.pod.label."
	}
	for _, label := range c.LabelFields {
		add(prefix+label, m.Labels[label])
	}
	if m.object != nil {
		add("k8s.node.name", c.Kubernetes.Node)
		for _, name := range c.Kubernetes.AnnotationFields {
			add("k8s.pod.annotation."+name, m.object.Metadata.Annotations[name])
		}
	}
	for _, name := range c.EnvFields {
		add("container.env."+name, m.Env[name])
	}
	return fields
}
