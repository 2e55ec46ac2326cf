package history

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/wasmtail/wasmtail/internal/durable"
)

// Folder is the part of the state folder that has a folder for each pipeline that
// something was imported through.
const Folder = "import"

// SaveEvery is how often an import that runs says so.
const SaveEvery = time.Second

const (
	stateFile = "state.json"
	// silentAfter is after how long without a word an import is taken for killed: on a
	// busy machine it may be late.
	silentAfter = 20 * time.Second
	// failuresKept bounds the failures in a state.
	failuresKept = 20
)

// Phase is what an import does.
type Phase string

// The phases of an import.
const (
	// Running is one that says so every SaveEvery.
	Running Phase = "running"
	// Paused is one that was interrupted: the same command goes on.
	Paused Phase = "paused"
	// Killed is one that has ended without saying how: the same command goes on.
	Killed Phase = "killed"
	// Finished is one that has delivered everything that could be read.
	Finished Phase = "finished"
	// Failed is one that has ended, and left something out.
	Failed Phase = "failed"
)

// State is what an import says of itself while it runs, and leaves behind. One pipeline
// has that of its last import.
type State struct {
	Pipeline string `json:"pipeline"`
	// Patterns are what was asked for.
	Patterns []string `json:"patterns"`
	Phase    Phase    `json:"phase"`
	// Started is when this run began, and Updated when it said something last.
	Started time.Time `json:"started"`
	Updated time.Time `json:"updated"`
	// Files are to be imported, and FilesRead of them are read; File is the one that
	// is read now.
	Files     int    `json:"files"`
	FilesRead int    `json:"files_read"`
	File      string `json:"file,omitempty"`
	// AckedBytes are delivered, in all runs, of TotalBytes, unpacked; what compressed
	// files that were not read yet have is estimated.
	AckedBytes int64 `json:"acknowledged_bytes"`
	TotalBytes int64 `json:"total_bytes"`
	// Records are those of this run, and BytesSecond what it has delivered in a second.
	Records     int64   `json:"records"`
	BytesSecond float64 `json:"bytes_per_second"`
	// RateLimit is the most bytes that it may read in a second, 0: as many as it can.
	RateLimit int64 `json:"rate_limit,omitempty"`
	// Failed is how many files could not be read, and Failures what was wrong with the
	// first of them.
	Failed   int      `json:"failed,omitempty"`
	Failures []string `json:"failures,omitempty"`
}

// Fail adds a file that cannot be read.
func (s *State) Fail(path string, err error) {
	if s.Failed++; len(s.Failures) < failuresKept {
		s.Failures = append(s.Failures, fmt.Sprintf("%s: %v", path, err))
	}
}

// Save writes the state to the folder of the pipeline's imports.
func (s *State) Save(dir string) error {
	text, err := json.Marshal(s)
	if err != nil {
		return fmt.Errorf("cannot render the state of the import: %w", err)
	}
	if err := durable.WriteFile(durable.OS{}, filepath.Join(dir, stateFile), append(text, '\n')); err != nil {
		return fmt.Errorf("cannot save the state of the import: %w", err)
	}
	return nil
}

// States reads those of all imports, by the names of their pipelines, from an agent's
// state folder. It is safe while they run. What cannot be read is in err; the others
// are there all the same.
func States(dataDir string) (list []State, err error) {
	dirs, err := os.ReadDir(filepath.Join(dataDir, Folder))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("cannot look for imports: %w", err)
	}
	var faults []error
	for _, dir := range dirs {
		text, err := os.ReadFile(filepath.Join(dataDir, Folder, dir.Name(), stateFile))
		if errors.Is(err, fs.ErrNotExist) {
			continue // an import of an earlier version, or one that begins
		}
		var s State
		if err == nil {
			err = json.Unmarshal(text, &s)
		}
		if err != nil {
			faults = append(faults, fmt.Errorf("cannot read the state of the import through %s: %w", dir.Name(), err))
			continue
		}
		if s.Phase == Running && time.Since(s.Updated) > silentAfter {
			s.Phase = Killed
		}
		list = append(list, s)
	}
	return list, errors.Join(faults...)
}
