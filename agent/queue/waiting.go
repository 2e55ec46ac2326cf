package queue

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/wasmtail/wasmtail/internal/durable"
)

// Waiting returns the labels of what lies in the folder of a disk cache and is not
// delivered, in the order in which it was stored. It only reads, and may be called
// while an agent uses the folder: what is delivered meanwhile may still be among
// them. A folder that is not there has nothing. What cannot be read is left out.
func Waiting(fs durable.FS, dir string) ([]Label, error) {
	names, err := fs.List(dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("cannot read the folder of the disk cache %s: %w", dir, err)
	}
	slices.Sort(names)
	s := &spool{fs: fs, dir: dir}
	var labels []Label
	for _, name := range names {
		stem, ok := strings.CutSuffix(name, segmentSuffix)
		id, err := strconv.ParseUint(stem, 10, 64)
		if !ok || err != nil {
			continue
		}
		labels = append(labels, s.unfinished(&segment{id: id})...)
	}
	return labels, nil
}

// unfinished lists the records of a segment that are not finished.
func (s *spool) unfinished(seg *segment) (labels []Label) {
	r, err := s.fs.Open(s.path(seg, segmentSuffix))
	if err != nil {
		return nil // it was finished and deleted in this moment
	}
	defer func() { _ = r.Close() }()
	var found []foundRecord
	_, _ = scanSegment(r, func(f foundRecord) { found = append(found, f) }) // what was found before a fault counts
	finished := s.finishedPlaces(seg)
	for i := range found {
		if !finished[found[i].at] {
			labels = append(labels, found[i].Label)
		}
	}
	return labels
}
