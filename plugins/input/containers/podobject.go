package containers

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
)

// podObject is what is read of a pod of the Kubernetes API.
type podObject struct {
	Metadata struct {
		Name, Namespace, UID, ResourceVersion string
		Labels, Annotations                   map[string]string
	}
	Spec struct {
		Containers, InitContainers, EphemeralContainers []struct{ Name, Image string }
	}
}

// configHash is the annotation by which the kubelet names the folders of pods that it
// has from a file: the API knows these pods by another uid.
const configHash = "kubernetes.io/config.hash"

// uids are those by which the folders of a pod can be named.
func (p *podObject) uids() []string {
	if hash := p.Metadata.Annotations[configHash]; hash != "" {
		return []string{p.Metadata.UID, hash}
	}
	return []string{p.Metadata.UID}
}

// image is that of a container, "" if the pod has none of that name.
func (p *podObject) image(container string) string {
	for _, list := range [][]struct{ Name, Image string }{p.Spec.Containers, p.Spec.InitContainers, p.Spec.EphemeralContainers} {
		for _, c := range list {
			if c.Name == container {
				return c.Image
			}
		}
	}
	return ""
}

// podList is a page of pods.
type podList struct {
	Metadata struct{ ResourceVersion, Continue string }
	Items    []podObject
}

// podEvent is a change that a watch tells of.
type podEvent struct {
	Type   string
	Object json.RawMessage
}

// errExpired says that the API has forgotten the version from which on it was asked
// for changes: all pods must be listed anew.
var errExpired = errors.New("the version is too old")

const (
	// eventBytesMax bounds an event: an object of the API has at most 1.5 MiB as the
	// cluster stores it.
	eventBytesMax = 16 << 20
	// pageBytesMax bounds a page of pageSize pods.
	pageBytesMax, pageSize = 256 << 20, 100
)

// bounded stops a reader that has given too much since the count was last set to 0.
type bounded struct {
	r io.Reader
	n int
}

// Read implements io.Reader.
func (b *bounded) Read(p []byte) (int, error) {
	if b.n >= eventBytesMax {
		return 0, fmt.Errorf("an event has more than %d bytes", eventBytesMax)
	}
	n, err := b.r.Read(p)
	b.n += n
	return n, err
}

// readEvents calls each with the changes that a watch tells of, and with a version
// alone for its bookmarks. It returns io.EOF at the end of the watch, errExpired if
// the pods must be listed anew, or what is wrong.
func readEvents(r io.Reader, each func(kind string, p *podObject)) error {
	in := &bounded{r: r}
	d := json.NewDecoder(in)
	for {
		in.n = 0
		var e podEvent
		if err := d.Decode(&e); err != nil {
			return err
		}
		switch e.Type {
		case "ADDED", "MODIFIED", "DELETED", "BOOKMARK":
			p := new(podObject)
			if err := json.Unmarshal(e.Object, p); err != nil {
				return fmt.Errorf("cannot read a pod: %w", err)
			}
			each(e.Type, p)
		case "ERROR":
			var status struct {
				Code    int
				Message string
			}
			_ = json.Unmarshal(e.Object, &status) // then it is an error without a text
			if status.Code == http.StatusGone {
				return errExpired
			}
			return fmt.Errorf("the API server ended the watch: %d %s", status.Code, status.Message)
		}
	}
}
