package containers

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/wasmtail/wasmtail/agent/tail"
	"github.com/wasmtail/wasmtail/internal/config"
	"github.com/wasmtail/wasmtail/plugins/input/filelog"
)

// Config are the settings of the containers input. It reads the log files that the
// container runtime writes, or with files_inside those that programs write in
// containers, and needs no socket of the runtime. What is selected must fit all the
// lists that are set.
type Config struct {
	// HostRoot is where the root folder of the host is mounted, if the agent runs in a
	// container. The other paths are those of the host, and lie below it.
	HostRoot string `yaml:"host_root" default:"/" example:"/host"`
	// Pods is the folder of Kubernetes' logs, with a folder for each pod, as the
	// kubelet makes it for containerd and CRI-O. Empty reads none.
	Pods string `yaml:"pods" default:"/var/log/pods" example:"/data/log/pods"`
	// Docker is Docker's folder of containers, for its json-file driver; what else
	// Docker keeps lies beside it. Empty reads none.
	Docker string `yaml:"docker" default:"/var/lib/docker/containers" example:"/data/docker/containers"`
	// Proc is where the processes of the host are listed. With files_inside, their
	// mount tables say where the folders of pods lie.
	Proc string `yaml:"proc" default:"/proc" example:"/proc"`
	// FilesInside are files inside the containers, as the programs in them name them.
	// They are read instead of the containers' output, from where they lie on the host:
	// in a volume, a mounted folder, or what the container has written over its image.
	// *, ?, [a-z], {a,b} and ** are as in the files input, and rotation is followed.
	// Symbolic links in containers are not followed.
	FilesInside []string `yaml:"files_inside" example:"[/var/log/app/*.log]"`
	// Multiline joins lines of these files to records, such as stack traces.
	Multiline filelog.Multiline `yaml:"multiline"`
	// Namespaces are those of the pods to read; * stands for any part of a name.
	// Without it all are read, and Docker's containers, which have none.
	Namespaces []string `yaml:"namespaces" example:"[shop, 'team-*']"`
	// ExcludeNamespaces are not read.
	ExcludeNamespaces []string `yaml:"exclude_namespaces" example:"[kube-system]"`
	// PodNames are those of the pods to read, with *.
	PodNames []string `yaml:"pod_names" example:"['cart-*']"`
	// Names are those of the containers to read, with *: of Docker's, the name that
	// docker ps shows.
	Names []string `yaml:"names" example:"[nginx]"`
	// ExcludeNames are not read.
	ExcludeNames []string `yaml:"exclude_names" example:"[istio-proxy]"`
	// Labels select containers by Docker's labels, or those of their pod if kubernetes
	// is asked: each must be there, with a value that fits.
	Labels map[string]string `yaml:"labels" example:"{com.docker.compose.project: shop}"`
	// ExcludeLabels leave out the containers that have one of them, with a value that
	// fits.
	ExcludeLabels map[string]string `yaml:"exclude_labels" example:"{logging: 'off'}"`
	// Env selects Docker's containers by their environment variables, as labels does.
	Env map[string]string `yaml:"env" example:"{STAGE: 'prod*'}"`
	// ExcludeEnv leaves out those that have one of the variables, with a value that
	// fits.
	ExcludeEnv map[string]string `yaml:"exclude_env" example:"{STAGE: test}"`
	// Stream is which output of the containers is read.
	Stream string `yaml:"stream" default:"all" enum:"all,stdout,stderr"`
	// LabelFields are labels that become fields of each record: `container.label.NAME`
	// of Docker's containers, `k8s.pod.label.NAME` of pods.
	LabelFields []string `yaml:"label_fields" example:"[com.docker.compose.service]"`
	// EnvFields are environment variables of Docker's containers that become fields
	// `container.env.NAME` of each record.
	EnvFields []string `yaml:"env_fields" example:"[STAGE]"`
	// Kubernetes asks the API server for the labels of pods.
	Kubernetes Kubernetes `yaml:"kubernetes"`
	// StartAt says where to begin with containers that run when the input is used
	// for the first time, as that of the files input. Those that are started later
	// are always read from their first line.
	StartAt string `yaml:"start_at" default:"end" example:"beginning"`
	// MaxRecordSize is the longest line, put together of what the runtime has cut. A
	// longer one is delivered in pieces, each marked split.
	MaxRecordSize config.Size `yaml:"max_record_size" default:"1MiB" example:"256KiB"`
	// DeletedReleaseAfter is how long the files of a container that was removed are
	// held open while they have lines that are not delivered.
	DeletedReleaseAfter time.Duration `yaml:"deleted_release_after" default:"1h" example:"10m"`
}

// Validate reports what is wrong with the settings.
func (c *Config) Validate(report func(key, problem string)) {
	if c.Pods == "" && c.Docker == "" {
		report("pods", "is empty, and so is docker: name one of the folders")
	}
	if c.HostRoot == "" {
		report("host_root", "is empty; the root folder is /")
	}
	for key, dir := range map[string]string{"pods": c.Pods, "docker": c.Docker, "proc": c.Proc, "host_root": c.HostRoot} {
		if dir != "" && !filepath.IsAbs(dir) {
			report(key, fmt.Sprintf("%q is not an absolute path", dir))
		}
		if strings.ContainsAny(dir, "*?[{") {
			report(key, "must be a plain path, without * or the like")
		}
	}
	for key, list := range map[string][]string{
		"namespaces": c.Namespaces, "exclude_namespaces": c.ExcludeNamespaces, "pod_names": c.PodNames, "names": c.Names, "exclude_names": c.ExcludeNames,
	} {
		for i, name := range list {
			if name == "" || strings.ContainsAny(name, "/_") && key != "names" && key != "exclude_names" {
				report(fmt.Sprintf("%s[%d]", key, i), fmt.Sprintf("%q is no name; * stands for any part of one", name))
			}
		}
	}
	for i, p := range c.FilesInside {
		if fault := patternFault(p); fault != "" {
			report(fmt.Sprintf("files_inside[%d]", i), fault)
		}
	}
	c.Multiline.Check(report)
	if len(c.FilesInside) == 0 && (c.Multiline.Start != "" || c.Multiline.Continue != "" || c.Multiline.End != "") {
		report("multiline", "is for files_inside: the lines of a container's output are records")
	}
	if _, err := tail.ParseStart(c.StartAt, time.Now()); err != nil {
		report("start_at", err.Error())
	}
	if c.MaxRecordSize < 256 || c.MaxRecordSize > 32*config.MiB {
		report("max_record_size", "must be between 256B and 32MiB")
	}
	if c.DeletedReleaseAfter < time.Second {
		report("deleted_release_after", "must be at least 1s")
	}
}

// include are the files to read.
func (c *Config) include() (patterns []string) {
	if c.Pods != "" && !c.Kubernetes.API { // else each pod has a folder of its own
		patterns = append(patterns, c.podPattern())
	}
	if c.Docker != "" {
		patterns = append(patterns, filepath.Join(c.Docker, "*", "*-json.log"))
	}
	return patterns
}

// podPattern is for the log files of all pods.
func (c *Config) podPattern() string { return filepath.Join(c.Pods, "*_*_*", "*", "*.log") }

// byLabel reports whether labels select.
func (c *Config) byLabel() bool { return len(c.Labels)+len(c.ExcludeLabels) > 0 }

// selects reports whether a container is to be read.
func (c *Config) selects(m *Metadata) bool {
	if len(c.Namespaces) > 0 && !fitsAny(c.Namespaces, m.Namespace) || m.Namespace != "" && fitsAny(c.ExcludeNamespaces, m.Namespace) ||
		len(c.PodNames) > 0 && !fitsAny(c.PodNames, m.Pod) || len(c.Names) > 0 && !fitsAny(c.Names, m.Name) || fitsAny(c.ExcludeNames, m.Name) {
		return false
	}
	return hasAll(c.Labels, m.Labels) && hasAll(c.Env, m.Env) && !hasAny(c.ExcludeLabels, m.Labels) && !hasAny(c.ExcludeEnv, m.Env)
}

// onHost returns the settings with the folders as this process sees them.
func (c Config) onHost() Config {
	for _, dir := range []*string{&c.Pods, &c.Docker} {
		if *dir != "" {
			*dir = filepath.Join(c.HostRoot, *dir)
		}
	}
	return c
}

// selectsPod reports whether containers of a pod can be to be read.
func (c *Config) selectsPod(m *Metadata) bool {
	pod := *c
	pod.Names, pod.ExcludeNames = nil, nil
	return pod.selects(m)
}

// maySelect reports whether containers of a pod can be to be read, whatever its labels
// are.
func (c *Config) maySelect(m *Metadata) bool {
	pod := *c
	pod.Labels, pod.ExcludeLabels = nil, nil
	if m.Name == "" {
		return pod.selectsPod(m)
	}
	return pod.selects(m)
}

// judge completes what is known of a container by what the settings say about it.
func (c *Config) judge(m *Metadata) {
	m.selected = c.selects(m)
	m.fields = fieldsOf(m, c)
}

// hasAll reports whether have has a fitting value for each of want.
func hasAll(want, have map[string]string) bool {
	for name, value := range want {
		got, ok := have[name]
		if !ok || !fits(value, got) {
			return false
		}
	}
	return true
}

// hasAny reports whether have has a fitting value for one of those.
func hasAny(those, have map[string]string) bool {
	for name, value := range those {
		if got, ok := have[name]; ok && fits(value, got) {
			return true
		}
	}
	return false
}

func fitsAny(patterns []string, name string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool { return fits(p, name) })
}

// fits matches a name with a pattern in which * stands for any part.
func fits(pattern, name string) bool {
	first, rest, wild := strings.Cut(pattern, "*")
	name, ok := strings.CutPrefix(name, first)
	if !ok || !wild {
		return ok && name == ""
	}
	for {
		part, next, more := strings.Cut(rest, "*")
		if !more {
			return strings.HasSuffix(name, part)
		}
		at := strings.Index(name, part)
		if at < 0 {
			return false
		}
		name, rest = name[at+len(part):], next
	}
}
