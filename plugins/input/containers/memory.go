package containers

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/wasmtail/wasmtail/agent/tail"
	"github.com/wasmtail/wasmtail/internal/durable"
	"github.com/wasmtail/wasmtail/internal/record"
)

// memory keeps over restarts of the agent in which folders the files of containers lie:
// once a container has ended, no mount table says so any more. It belongs to one
// goroutine.
type memory struct {
	file string // "" keeps nothing
	of   string // stands for the settings by which containers were selected
}

// remembered is a folder of a container that was selected, as it is kept.
type remembered struct {
	Dir     string      `json:"dir"`
	Include string      `json:"include"`
	Exclude []string    `json:"exclude,omitempty"`
	Inside  string      `json:"inside,omitempty"`
	Key     string      `json:"key"`
	Fields  [][2]string `json:"fields"`
}

type remembrance struct {
	Of      string       `json:"of"`
	Folders []remembered `json:"folders"`
}

// newMemory keeps what is remembered for a pipeline in a folder, "" for none.
func newMemory(dir, pipeline string, c *Config) memory {
	if dir == "" {
		return memory{}
	}
	text, _ := json.Marshal(c) // what it cannot write is not there
	sum := sha256.Sum256(text)
	return memory{file: filepath.Join(dir, "containers-"+url.PathEscape(pipeline)+".json"), of: hex.EncodeToString(sum[:])}
}

// recall returns the folders that are still there, and those that are gone, of which
// files may be open still. Those that were selected by other settings are forgotten.
func (m *memory) recall(now time.Time) (places, past []*place, err error) {
	if m.file == "" {
		return nil, nil, nil
	}
	text, err := os.ReadFile(m.file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil, nil
	}
	if err != nil {
		return nil, nil, fmt.Errorf("cannot read which folders containers had: %w", err)
	}
	all, err := m.parse(text)
	for _, p := range all {
		if _, err := os.Lstat(p.folder.Dir); err == nil {
			places = append(places, p)
			continue
		}
		p.gone = now
		past = append(past, p)
	}
	return places, past, err
}

func (m *memory) parse(text []byte) (places []*place, err error) {
	var kept remembrance
	if err := json.Unmarshal(text, &kept); err != nil {
		return nil, fmt.Errorf("cannot read which folders containers had: %w", err)
	}
	if kept.Of != m.of {
		return nil, nil
	}
	for _, f := range kept.Folders {
		owner := &Metadata{selected: true}
		for _, field := range f.Fields {
			owner.fields = append(owner.fields, record.Field{Name: []byte(field[0]), Value: []byte(field[1])})
		}
		places = append(places, &place{include: f.Include, inside: f.Inside, owner: owner, folder: tail.Folder{
			Dir: f.Dir, Include: []string{f.Include}, Exclude: slices.Concat(f.Exclude), Key: f.Key, Early: true, Sealed: true,
		}})
	}
	return places, nil
}

// keep replaces what is remembered.
func (m *memory) keep(places []*place) error {
	if m.file == "" {
		return nil
	}
	kept := remembrance{Of: m.of, Folders: []remembered{}}
	for _, p := range places {
		if !p.owner.selected || p.folder.Hold {
			continue
		}
		f := remembered{Dir: p.folder.Dir, Include: p.include, Exclude: p.folder.Exclude, Inside: p.inside, Key: p.folder.Key, Fields: [][2]string{}}
		for _, field := range p.owner.fields {
			f.Fields = append(f.Fields, [2]string{string(field.Name), string(field.Value)})
		}
		kept.Folders = append(kept.Folders, f)
	}
	text, err := json.Marshal(kept)
	if err != nil {
		return err
	}
	return durable.WriteFile(durable.OS{}, m.file, text)
}
