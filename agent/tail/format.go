package tail

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"

	"github.com/sirupsen/logrus"

	"github.com/wasmtail/wasmtail/agent/checkpoint"
)

// Format is what a file was found to be.
type Format struct {
	// Name goes along with the records.
	Name string
	// Confidence is the share of the lines looked at that fit, 0 to 1; 0 where no
	// known format fits well enough.
	Confidence float64
	// Remark is what else the log should say of such a file, "" for nothing.
	Remark string
	// Multiline frames the records where the Config has none; nil for one a line.
	Multiline *Multiline
}

// Detector finds the formats of files. It is safe for concurrent use and keeps
// nothing it is given.
type Detector interface {
	// Detect returns the format of a file that begins with head, whole lines, at
	// most DetectBytes.
	Detect(head []byte) Format
	// Named returns a format that was found earlier, by its name. ok is false when
	// there is none of that name any more.
	Named(name string) (f Format, ok bool)
}

// DetectBytes are looked at, at most, to find the format of a file.
const DetectBytes = 32 << 10

// linesSure is how many lines of a file are enough to decide what it is. Until then
// each look at it decides anew: nothing is held back for that, since a file that
// waits can be truncated.
const linesSure = 20

// found is what is known about the format of a generation; Name is "" while that is
// nothing.
type found struct {
	Format
	decided bool // it stays
}

// shape makes the framer fit the format of g, and decides on that as far as it is
// not decided. What was delivered in one format stays so when more lines show
// another.
func (r *reader) shape(g *generation) error {
	if r.t.config.Detector != nil && !g.found.decided {
		if err := r.decide(g); err != nil {
			return err
		}
	}
	r.frame.multiline = r.t.config.multiline(&g.found)
	return nil
}

func (r *reader) decide(g *generation) error {
	if r.sample == nil {
		r.sample = make([]byte, DetectBytes)
	}
	n, err := readAt(g.fd, r.sample, 0)
	if err != nil {
		return err
	}
	head, lines := wholeLines(r.sample[:n])
	if lines == 0 && n < len(r.sample) {
		return nil // it has not begun
	}
	f := found{Format: r.t.config.Detector.Detect(head), decided: lines >= linesSure || n == len(r.sample)}
	if f.decided {
		g.source.Edit(func(e *checkpoint.Entry) { e.Format = f.note() })
	}
	if f.Name != g.found.Name {
		r.t.tellFormat(g, f.Format, lines)
	}
	g.mu.Lock()
	g.found = f
	g.mu.Unlock()
	return nil
}

// wholeLines returns the whole lines of the first bytes of a file, and how many
// they are. NUL bytes before them were left by a writer that does not know of a
// truncation; those behind are of no log, or of a copy that has only the ends.
func wholeLines(head []byte) (lines []byte, n int) {
	head = bytes.TrimLeft(head, "\x00")
	if nul := bytes.IndexByte(head, 0); nul >= 0 {
		head = head[:nul]
	}
	head = head[:bytes.LastIndexByte(head, '\n')+1]
	return head, bytes.Count(head, []byte("\n"))
}

// tellFormat logs what a file was found to be.
func (t *Tailer) tellFormat(g *generation, f Format, lines int) {
	log := t.log.WithFields(logrus.Fields{
		"path": g.origin.Path, "format": f.Name, "confidence": fmt.Sprintf("%.0f %%", 100*f.Confidence), "lines": lines,
	})
	if f.Remark != "" {
		log = log.WithField("remark", f.Remark)
	}
	if f.Confidence == 0 {
		log.Info("the file is of no known format: its lines stay whole")
		return
	}
	log.Info("the format of the file was found")
}

// note is f as the checkpoint keeps it.
func (f *found) note() string {
	return strconv.FormatFloat(f.Confidence, 'f', 4, 64) + " " + f.Name
}

// recall takes the format over that was decided for g in an earlier run.
func (t *Tailer) recall(g *generation, note string) {
	if t.config.Detector == nil {
		return
	}
	share, name, ok := strings.Cut(note, " ")
	confidence, err := strconv.ParseFloat(share, 64)
	if !ok || err != nil || confidence < 0 || confidence > 1 {
		return
	}
	if f, ok := t.config.Detector.Named(name); ok {
		f.Confidence = confidence
		g.found = found{Format: f, decided: true}
	}
}

// multiline is how the lines of a file of that format are joined.
func (c *Config) multiline(f *found) *Multiline {
	if c.Multiline != nil {
		return c.Multiline
	}
	return f.Multiline
}

// restFor is how long a file must not have grown before what it has is delivered
// as it is: a line without its end, or a record that could go on. It belongs to
// the owner of g.
func (c *Config) restFor(g *generation) int64 {
	timeout := c.PartialTimeout
	if m := c.multiline(&g.found); m != nil {
		timeout = m.Timeout
	}
	return int64(timeout)
}
