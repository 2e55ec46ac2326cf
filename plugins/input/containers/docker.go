package containers

import (
	"encoding/json"
	"os"
	"path"
	"path/filepath"
	"strings"
)

// dockerConfig is what is read of Docker's config.v2.json.
type dockerConfig struct {
	ID, Name, Driver string
	State            struct{ Pid int }
	Config           struct {
		Image  string
		Env    []string
		Labels map[string]string
	}
	MountPoints map[string]dockerMount
}

type dockerMount struct {
	Source, Destination, Name, Driver, Type string
	Spec                                    struct {
		VolumeOptions struct{ Subpath string }
	}
}

// dockerOf reads what Docker keeps beside a container's log. Without that only the
// id is known.
func dockerOf(logFile string) (m Metadata, whole bool) {
	dir := filepath.Dir(logFile)
	m = Metadata{Docker: true, ID: filepath.Base(dir), Env: map[string]string{}}
	c, ok := readDocker(dir)
	if ok {
		m = c.metadata(m.ID)
	}
	return m, ok
}

func readDocker(dir string) (c dockerConfig, ok bool) {
	text, err := os.ReadFile(filepath.Join(dir, "config.v2.json"))
	return c, err == nil && json.Unmarshal(text, &c) == nil
}

func (c *dockerConfig) metadata(id string) Metadata {
	m := Metadata{
		Docker: true, ID: id, Name: strings.TrimPrefix(c.Name, "/"), Image: c.Config.Image,
		Labels: c.Config.Labels, Env: make(map[string]string, len(c.Config.Env)),
	}
	for _, v := range c.Config.Env {
		name, value, _ := strings.Cut(v, "=")
		m.Env[name] = value
	}
	// A container of a pod, where the kubelet uses Docker.
	m.Namespace, m.Pod, m.UID = m.Labels["io.kubernetes.pod.namespace"], m.Labels["io.kubernetes.pod.name"], m.Labels["io.kubernetes.pod.uid"]
	if name := m.Labels["io.kubernetes.container.name"]; name != "" {
		m.Name = name
	}
	return m
}

// upperOf is the folder on the host, as the host names it, that takes what a
// container writes; "" if that is not known. data is Docker's folder.
func (c *dockerConfig) upperOf(root, data, id string) string {
	if c.Driver != "overlay2" && c.Driver != "fuse-overlayfs" {
		return ""
	}
	text, err := os.ReadFile(filepath.Join(root, data, "image", c.Driver, "layerdb", "mounts", id, "mount-id"))
	layer := strings.TrimSpace(string(text))
	if err != nil || layer == "" || strings.ContainsAny(layer, "/") || layer == ".." {
		return ""
	}
	return path.Join(data, c.Driver, layer, "diff")
}

// mounts are the bind mounts and volumes of a container. One whose place on the host
// is not known has none.
func (c *dockerConfig) mounts(data string) (mounts []mount) {
	for at, m := range c.MountPoints {
		if m.Destination != "" {
			at = m.Destination
		}
		host := m.Source
		if host == "" && m.Name != "" && (m.Driver == "local" || m.Driver == "") {
			host = path.Join(data, "volumes", m.Name, "_data")
		}
		if sub := m.Spec.VolumeOptions.Subpath; sub != "" && host != "" {
			host = path.Join(host, path.Join("/", sub))
		}
		if !path.IsAbs(at) || m.Type == "npipe" {
			continue
		}
		if !path.IsAbs(host) || m.Type == "tmpfs" {
			host = ""
		}
		mounts = append(mounts, mount{inside: path.Clean(at), host: host})
	}
	return mounts
}
