package receiver

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"

	"github.com/goccy/go-yaml"

	"github.com/wasmtail/wasmtail/internal/durable"
)

// AllProjects in a key's projects means every project.
const AllProjects = "*"

// Key is an access key.
type Key struct {
	// ID names the key.
	ID string `yaml:"id"`
	// Secret signs requests.
	Secret string `yaml:"secret"`
	// Projects the key may use; "*" means all of them.
	Projects []string `yaml:"projects"`
}

// Allows reports whether the key may use a project.
func (k *Key) Allows(project string) bool {
	return slices.Contains(k.Projects, AllProjects) || slices.Contains(k.Projects, project)
}

// Keys are the access keys, by id. They do not change, so they are safe for
// concurrent use.
type Keys map[string]*Key

// Secret returns the secret of a key.
func (ks Keys) Secret(id string) (string, bool) {
	k := ks[id]
	if k == nil {
		return "", false
	}
	return k.Secret, true
}

// keyFile is the form of the file.
type keyFile struct {
	Version int   `yaml:"version"`
	Keys    []Key `yaml:"keys"`
}

// LoadKeys reads the access keys of a file. If there is no file and extra has
// no key, it makes a random one and writes the file, with mode 0600: made is
// that key. extra is added to what the file has; a key of extra wins.
func LoadKeys(name string, extra ...Key) (keys Keys, made *Key, err error) {
	file, err := readKeys(name)
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
		if len(extra) == 0 {
			made, err = makeKey(name)
			if err == nil {
				file.Keys = []Key{*made}
			}
		}
	}
	if err != nil {
		return nil, nil, err
	}
	keys = make(Keys)
	for _, k := range slices.Concat(file.Keys, extra) {
		if k.ID == "" || k.Secret == "" {
			return nil, nil, fmt.Errorf("cannot use the access keys of %s: each needs an id and a secret", name)
		}
		if len(k.Projects) == 0 {
			return nil, nil, fmt.Errorf("cannot use the access key %q: it names no projects; write projects: [\"*\"] for all", k.ID)
		}
		keys[k.ID] = &k
	}
	return keys, made, nil
}

func readKeys(name string) (f keyFile, err error) {
	info, err := os.Stat(name)
	if err != nil {
		return f, fmt.Errorf("cannot read the access keys: %w", err)
	}
	if runtime.GOOS != "windows" && info.Mode().Perm()&0o077 != 0 {
		return f, fmt.Errorf("cannot use the access keys of %s: others can read it; run chmod 600 %s", name, name)
	}
	data, err := os.ReadFile(name)
	if err != nil {
		return f, fmt.Errorf("cannot read the access keys: %w", err)
	}
	if err := yaml.UnmarshalWithOptions(data, &f, yaml.Strict()); err != nil {
		return f, fmt.Errorf("cannot read the access keys of %s: %w", name, err)
	}
	if f.Version != 1 {
		return f, fmt.Errorf("cannot read the access keys of %s: version must be 1", name)
	}
	return f, nil
}

func makeKey(name string) (*Key, error) {
	k := &Key{ID: "wt" + rand.Text()[:18], Secret: rand.Text() + rand.Text()[:14], Projects: []string{AllProjects}}
	data, err := yaml.Marshal(keyFile{Version: 1, Keys: []Key{*k}})
	if err != nil {
		return nil, fmt.Errorf("cannot write the access keys: %w", err)
	}
	if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
		return nil, fmt.Errorf("cannot write the access keys: %w", err)
	}
	if err := durable.WriteFile(durable.OS{}, name, data); err != nil {
		return nil, fmt.Errorf("cannot write the access keys: %w", err)
	}
	return k, nil
}
