package tail

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
	"time"

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
	// Header matches the lines that say how those after them are to be read; nil where
	// there are none. See Config.
	Header Matcher
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

const (
	// linesSure is how many lines of a file are enough to decide what it is.
	linesSure = 20
	// linesFew are enough of a known format where no more have come for holdFor:
	// with fewer, the next ones are looked at too. A banner is mostly shorter.
	linesFew = 5
	// holdFor is how long the first lines of a file wait for others, so that all go
	// out in one format: no longer than a record may wait for its next line.
	holdFor = int64(3 * time.Second)
	// heldBytesMax bounds what waits, of all files of a tailer (ADR 19). Beyond it no
	// line waits: the format is then decided from what is there.
	heldBytesMax = 4 << 20
)

// held are the first lines of a file, which wait until there are enough of them to
// tell its format, or holdFor is over. They are kept in memory as well, because the
// file can be truncated meanwhile. Of the owner of its generation.
type held struct {
	until int64  // Unix nanoseconds; 0 when they do not wait
	once  bool   // they did: it is done only once
	bytes []byte // what is there from offset at on, at most DetectBytes
	at    int64
}

// keep holds the first lines of g, data at offset pos, if they are still to wait.
func (r *reader) keep(g *generation, data []byte, pos int64) bool {
	h, now := &g.held, r.t.now()
	if !h.once {
		h.once, h.until = true, now+holdFor
	}
	grown := int64(len(data) - len(h.bytes))
	if now >= h.until || r.t.heldBytes.Add(grown) > heldBytesMax {
		if now < h.until {
			r.t.heldBytes.Add(-grown)
		}
		return false
	}
	h.bytes, h.at = append(h.bytes[:0], data...), pos
	return true
}

// end lets the lines wait no longer, if they do: what comes after them must not wait
// for that, since it is in no memory yet.
func (h *held) end() {
	if h.until > 0 {
		h.until = 1
	}
}

// recover makes p what is held of g from its position on, for a file that has it no
// longer. It reports whether that is anything.
func (r *reader) recover(g *generation, p *fetched) bool {
	h := &g.held
	if p.pos < h.at || p.pos >= h.at+int64(len(h.bytes)) {
		return false
	}
	if p.pos-int64(p.before) < h.at {
		p.before = 0
	}
	n := copy(r.buf, h.bytes[p.pos-int64(p.before)-h.at:])
	p.data, p.kept = r.buf[p.before:n], true
	return true
}

// release forgets what was held of g.
func (t *Tailer) release(g *generation) {
	t.heldBytes.Add(-int64(len(g.held.bytes)))
	g.held.bytes, g.held.until = nil, 0
}

// found is what is known about the format of a generation; Name is "" while that is
// nothing.
type found struct {
	Format
	decided bool // it stays
}

// shape makes the framer fit the format of g, and decides on that as far as it is
// not decided; p is what was read. ready is false while the first lines wait for
// others to tell.
func (r *reader) shape(g *generation, p *fetched) (ready bool, err error) {
	if r.t.config.Detector != nil && !g.found.decided && !(p.kept && g.read.Load() > 0) {
		if ready, err = r.decide(g, p); !ready {
			return false, err
		}
	}
	r.frame.multiline = r.t.config.multiline(&g.found)
	return true, nil
}

// decide says what g is: for good if that is sure, and else for the lines that have
// waited long enough; then the next ones are looked at again, with all before them.
// What was delivered in one format stays so.
func (r *reader) decide(g *generation, p *fetched) (ready bool, err error) {
	sample := p.data[:min(len(p.data), DetectBytes)]
	if g.read.Load() > 0 {
		if sample, err = r.beginning(g); err != nil {
			return false, err
		}
	}
	head, lines := wholeLines(sample)
	if lines == 0 && len(sample) < DetectBytes {
		return true, nil // it has not begun
	}
	sure := lines >= linesSure || len(sample) == DetectBytes
	if !sure && !p.kept && g.read.Load() == 0 && r.keep(g, p.data, p.pos) {
		return false, nil
	}
	g.held.until = 0
	f := found{Format: r.t.config.Detector.Detect(head)}
	f.decided = sure || lines >= linesFew && f.Confidence > 0
	if f.Name != g.found.Name {
		r.t.tellFormat(g, f.Format, lines)
	}
	g.mu.Lock()
	g.found = f
	g.mu.Unlock()
	if f.decided {
		g.source.Edit(func(e *checkpoint.Entry) { e.Format = g.note() })
	}
	return true, nil
}

// beginning reads the first bytes of the file of g.
func (r *reader) beginning(g *generation) ([]byte, error) {
	if r.sample == nil {
		r.sample = make([]byte, DetectBytes)
	}
	n, err := readAt(g.fd, r.sample, 0)
	return r.sample[:n], err
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

// recall takes the format and headers over that were noted of g in an earlier run.
func (t *Tailer) recall(g *generation, note string) {
	share, name, ok := strings.Cut(note, " ")
	name, places, _ := strings.Cut(name, " ")
	g.headers.recall(places)
	if t.config.Detector == nil {
		return
	}
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
