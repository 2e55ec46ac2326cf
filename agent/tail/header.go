package tail

import (
	"bytes"
	"errors"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/wasmtail/wasmtail/agent/checkpoint"
)

const (
	// headerBytesMax is the longest header line that is remembered.
	headerBytesMax = 4 << 10
	// headersMax is how many different ones are, of one file: as many as can change
	// between what is read and what is acknowledged without looking for them.
	headersMax = 4
	// headerScan is how much of a file is looked at in one step for a header that is
	// not remembered, backwards from the position, and headerScanMax in all. After
	// that its first headerScan bytes are.
	headerScan    = 64 << 10
	headerScanMax = 16 << 20
)

// header is a line that says how the lines after it are to be read. text is
// immutable.
type header struct {
	at   int64
	text []byte
}

// headers are what is known of the headers of a generation. Of its owner.
type headers struct {
	list []header // by position; only those that differ from the one before
	// from is the position from which on list is complete, -1 if nothing is known.
	from  int64
	noted []int64 // where some were in an earlier run
}

// before returns the header that is in force at a position. ok is false if it is not
// known whether there is one.
func (h *headers) before(position int64) (text []byte, ok bool) {
	for _, known := range slices.Backward(h.list) {
		if known.at < position {
			return known.text, true
		}
	}
	return nil, position == 0 || h.from >= 0 && h.from <= position
}

// add notes a header and reports whether it differs from the one before. What was
// noted behind it, before it was read again, stays.
func (h *headers) add(at int64, text []byte) bool {
	if n := len(h.list); len(text) > headerBytesMax || n > 0 && (h.list[n-1].at >= at || bytes.Equal(h.list[n-1].text, text)) {
		return false
	}
	h.list = append(h.list, header{at, bytes.Clone(text)})
	if len(h.list) > headersMax {
		h.list = slices.Delete(h.list, 0, 1)
		h.from = h.list[0].at + 1
	}
	return true
}

// headerOf returns what matches the headers of g, nil if it has none.
func (c *Config) headerOf(f *found) Matcher {
	if c.Header != nil {
		return c.Header
	}
	return f.Header
}

// header returns the header that is in force at the position of g. It looks for it
// in the file where it is not known.
func (r *reader) header(g *generation) ([]byte, error) {
	m := r.t.config.headerOf(&g.found)
	if m == nil {
		return nil, nil
	}
	h, position := &g.headers, g.read.Load()
	if text, ok := h.before(position); ok {
		if position == 0 {
			h.from = 0
		}
		return text, nil
	}
	for _, at := range slices.Backward(h.noted) {
		if at >= position {
			continue
		}
		if found, ok, err := lastHeader(g.fd, m, at, at+1); err != nil {
			return nil, err
		} else if ok {
			return h.found(found, position), nil
		}
	}
	found, err := findHeader(g.fd, m, position)
	if err != nil {
		return nil, err
	}
	return h.found(found, position), nil
}

// found makes what was found in the file all that is known up to a position.
func (h *headers) found(one header, position int64) []byte {
	h.list, h.from = nil, position
	if one.text != nil {
		h.list = append(h.list, one)
	}
	return one.text
}

// findHeader returns the last header before a position; its text is nil if there is
// none where it is looked for.
func findHeader(fd int, m Matcher, position int64) (header, error) {
	for end := position; end > 0 && position-end < headerScanMax; end -= headerScan {
		if found, ok, err := lastHeader(fd, m, max(0, end-headerScan), end); ok || err != nil {
			return found, err
		}
	}
	found, _, err := lastHeader(fd, m, 0, min(position, headerScan))
	return found, err
}

// lastHeader returns the last header that begins in a range of the file.
func lastHeader(fd int, m Matcher, from, to int64) (last header, ok bool, err error) {
	base := max(0, from-1)
	buf := make([]byte, to-base+headerBytesMax+1)
	n, err := readAt(fd, buf, base)
	if err != nil && !errors.Is(err, io.EOF) {
		return last, false, err
	}
	at := int64(0)
	for line := range bytes.Lines(buf[:n]) {
		start := base + at
		at += int64(len(line))
		if text, whole := bytes.CutSuffix(line, []byte("\n")); whole && start >= from && start < to {
			if text = trimCR(text); len(text) <= headerBytesMax && m.Match(text) {
				last, ok = header{start, bytes.Clone(text)}, true
			}
		}
	}
	return last, ok, nil
}

// noteHeaders remembers the headers among the records that were just framed, and lets the checkpoint know where they are.
func (r *reader) noteHeaders(g *generation) {
	m := r.t.config.headerOf(&g.found)
	if m == nil {
		return
	}
	changed := false
	for i := range r.frame.lines {
		if l := &r.frame.lines[i]; m.Match(l.Bytes) {
			changed = g.headers.add(l.Offset, l.Bytes) || changed
		}
	}
	if changed && (g.found.decided || r.t.config.Detector == nil) {
		g.source.Edit(func(e *checkpoint.Entry) { e.Format = g.note() })
	}
}

// noFormat stands for the name of a format in the checkpoint where none is looked for.
const noFormat = "-"

// note is what the checkpoint keeps of the format of g and of its headers: how sure it
// is, its name, and where the headers are.
func (g *generation) note() string {
	note := strconv.FormatFloat(g.found.Confidence, 'f', 4, 64) + " "
	if g.found.Name == "" {
		note += noFormat
	} else {
		note += g.found.Name
	}
	kept := ""
	for _, h := range slices.Backward(g.headers.list) {
		at := " " + strconv.FormatInt(h.at, 10)
		if len(note)+len(at)+len(kept) > checkpoint.FormatBytesMax {
			break
		}
		kept = at + kept
	}
	return note + kept
}

// recallHeaders reads where headers are from what note has written, behind the name.
func (h *headers) recall(places string) {
	for _, place := range strings.Fields(places) {
		if at, err := strconv.ParseInt(place, 10, 64); err == nil && at >= 0 {
			h.noted = append(h.noted, at)
		}
	}
}
