package tail

import (
	"sort"
	"time"
)

// FileStatus is what is known about one generation of a file, or about a name that
// cannot be read or is no file (then Generation is empty).
type FileStatus struct {
	Path       string `json:"path"`
	Generation string `json:"generation,omitempty"`
	Dev        uint64 `json:"dev"`
	Inode      uint64 `json:"inode"`
	// Links is how many names the file has.
	Links uint64 `json:"links,omitempty"`
	// Start is where reading began: 0 unless start_at passed over what was there;
	// -1 if it did and an earlier run of the agent knew where.
	Start int64 `json:"start"`
	// Size, Read and Acked are byte offsets, Lag what is not acknowledged of Size.
	Size  int64 `json:"size"`
	Read  int64 `json:"read"`
	Acked int64 `json:"acked"`
	Lag   int64 `json:"lag_bytes"`
	// BehindSince is when the oldest bytes that are not acknowledged were first
	// seen, or a little before; zero when there are none.
	BehindSince time.Time `json:"behind_since,omitzero"`
	// State is reading, idle, waiting (for the checkpoint, or an older
	// generation), rotated, deleted, finished or unreadable.
	State string `json:"state"`
	// Code says in one word why the file is not read, or nothing of it is: it is
	// there for every unreadable one, and BeforeStart or Copied for others.
	Code Reason `json:"code,omitempty"`
	// Reason says why, and Fix what to do about it, if the state is unreadable.
	Reason string `json:"reason,omitempty"`
	Fix    string `json:"fix,omitempty"`
	// Format is what the file was found to be, "" if nobody has looked (yet), and
	// FormatConfidence the share of its first lines that fit: 0 for plain, which is
	// no known format.
	Format           string  `json:"format,omitempty"`
	FormatConfidence float64 `json:"format_confidence,omitempty"`
	// SkippedNULs counts the bytes passed over at the start of the file.
	SkippedNULs int64 `json:"skipped_nuls,omitempty"`
	// Records by outcome, since this process reads the generation, and their bytes
	// in the file. Those of Parsed include bytes that no record holds. Sent ones were
	// given to all outputs; acknowledged ones were delivered, or are safe on the disk.
	Framed            int64 `json:"framed"`
	Parsed            int64 `json:"parsed"`
	Failed            int64 `json:"failed"`
	Filtered          int64 `json:"filtered"`
	Sent              int64 `json:"sent"`
	Acknowledged      int64 `json:"acknowledged"`
	FramedBytes       int64 `json:"framed_bytes"`
	ParsedBytes       int64 `json:"parsed_bytes"`
	FailedBytes       int64 `json:"failed_bytes"`
	FilteredBytes     int64 `json:"filtered_bytes"`
	SentBytes         int64 `json:"sent_bytes"`
	AcknowledgedBytes int64 `json:"acknowledged_bytes"`
	// Reshaped is how many records modules have added by splitting, less those
	// that they joined: Framed and Reshaped are Parsed, Failed and Filtered.
	Reshaped int64 `json:"reshaped,omitempty"`
	// Mismatch says which of these sums do not agree, "" while all do: it is a
	// fault of the agent.
	Mismatch string `json:"mismatch,omitempty"`
}

// Status returns the state of every file, as of now; nil before Run. Safe for
// concurrent use; after Run has ended, it returns the last state.
func (t *Tailer) Status() []FileStatus {
	if !t.running.Load() {
		return nil
	}
	reply := make(chan []FileStatus, 1) // the watch goroutine never waits for it
	select {
	case t.requests <- reply:
		return <-reply
	case <-t.done:
		return t.final
	}
}

// Ready reports whether the files that were there at the start have been found, and
// that is durable: whatever happens to them from now on, the next start knows what
// it has missed. Safe for concurrent use.
func (t *Tailer) Ready() bool { return t.looked.Load() }

// Counters returns what was met so far. Safe for concurrent use.
func (t *Tailer) Counters() Counters {
	c := t.published.Load()
	if c == nil {
		return Counters{}
	}
	return *c
}

func (t *Tailer) status() []FileStatus {
	list := make([]FileStatus, 0, len(t.byID)+len(t.failures))
	for _, g := range t.byID {
		t.balance(g)
		list = append(list, g.status())
	}
	for path, f := range t.failures {
		s := FileStatus{Path: path, State: "unreadable", Code: f.code, Reason: f.reason, Fix: f.fix, BehindSince: time.Unix(0, f.since)}
		if f.err != nil {
			s.Reason += ": " + f.err.Error()
		}
		list = append(list, s)
	}
	sort.Slice(list, func(i, j int) bool {
		if list[i].Path != list[j].Path {
			return list[i].Path < list[j].Path
		}
		return list[i].Generation < list[j].Generation
	})
	return list
}

func (g *generation) status() FileStatus {
	s := FileStatus{
		Path: g.path, Generation: g.origin.Generation, Dev: g.id.dev, Inode: g.id.ino,
		Size: g.size, Read: g.read.Load(), Acked: g.acked(), Links: g.links, Start: g.start, Mismatch: g.mismatch,
	}
	if l := g.origin.Ledger; l != nil {
		s.Framed, s.Parsed = l.Framed.Records.Load(), l.Parsed.Records.Load()
		s.Failed, s.Filtered = l.Failed.Records.Load(), l.Filtered.Records.Load()
		s.Sent, s.Acknowledged = l.Sent.Records.Load(), l.Acked.Records.Load()
		s.FramedBytes, s.ParsedBytes = l.Framed.Bytes.Load(), l.Parsed.Bytes.Load()
		s.FailedBytes, s.FilteredBytes = l.Failed.Bytes.Load(), l.Filtered.Bytes.Load()
		s.SentBytes, s.AcknowledgedBytes = l.Sent.Bytes.Load(), l.Acked.Bytes.Load()
		s.Reshaped = l.Reshaped.Load()
	}
	g.mu.Lock()
	s.Format, s.FormatConfidence = g.found.Name, g.found.Confidence
	g.mu.Unlock()
	s.Lag = max(0, s.Size-s.Acked)
	if s.Lag > 0 && s.Acked < g.lagSize {
		s.BehindSince = time.Unix(0, g.lagSince)
	}
	if g.isIdle() {
		s.SkippedNULs = g.holes
	}
	s.Code = g.skipped(&s)
	switch {
	case g.finished:
		s.State, s.Lag = "finished", 0
	case g.source == nil || g.older.Load() != nil:
		s.State = "waiting"
	case g.links == 0:
		s.State = "deleted"
	case g.rotatedAt > 0:
		s.State = "rotated"
	case s.Lag > 0 || g.active:
		s.State = "reading"
	default:
		s.State = "idle"
	}
	return s
}

// skipped is the reason for which nothing of g is read, "" if something is.
func (g *generation) skipped(s *FileStatus) Reason {
	switch {
	case g.copied && g.finished:
		return Copied
	case s.Start > 0 && s.Read == s.Start && s.Size <= s.Start:
		return BeforeStart
	}
	return ""
}
