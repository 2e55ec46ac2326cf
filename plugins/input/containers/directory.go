package containers

import (
	"strings"
	"sync"

	"github.com/wasmtail/wasmtail/internal/record"
)

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
	d.config.judge(&found)
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
