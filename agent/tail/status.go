package tail

import (
	"errors"
	"fmt"
	"io/fs"
	"os/user"
	"sort"
	"time"
)

// FileStatus is what is known about one generation of a file, or about a file or
// directory that cannot be read (then Generation is empty).
type FileStatus struct {
	Path       string
	Generation string
	Dev, Inode uint64
	// Size, Read and Acked are byte offsets, Lag what is not acknowledged of Size.
	Size, Read, Acked, Lag int64
	// UnreadSince is when the file was first seen with bytes that are still not
	// read; zero when there are none.
	UnreadSince time.Time
	// State is reading, idle, waiting (for the checkpoint, or an older
	// generation), rotated, deleted, finished or unreadable.
	State string
	// Reason says why, and Fix what to do about it, if the state is unreadable.
	Reason, Fix string
	// SkippedNULs counts the bytes passed over at the start of the file.
	SkippedNULs int64
	// Framed, FramedBytes count the records since this process reads the
	// generation.
	Framed, FramedBytes int64
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
		list = append(list, g.status())
	}
	for path, f := range t.failures {
		s := FileStatus{Path: path, State: "unreadable", Reason: f.reason, UnreadSince: time.Unix(0, f.since)}
		if f.err != nil {
			s.Reason += ": " + f.err.Error()
			if hint := hintFor(path, f.err); hint != nil {
				s.Fix = hint.Error()
			}
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
		Size: g.size, Read: g.read.Load(), Acked: g.acked(),
		Framed: g.origin.Ledger.Framed.Records.Load(), FramedBytes: g.origin.Ledger.Framed.Bytes.Load(),
	}
	s.Lag = max(0, s.Size-s.Acked)
	if g.unreadSince > 0 {
		s.UnreadSince = time.Unix(0, g.unreadSince)
	}
	if g.isIdle() {
		s.SkippedNULs = g.holes
	}
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

// hintFor says what a user can do about an error, nil if nothing comes to mind.
func hintFor(path string, err error) error {
	if !errors.Is(err, fs.ErrPermission) {
		return nil
	}
	name := "USER"
	if u, err := user.Current(); err == nil {
		name = u.Username
	}
	return fmt.Errorf("sudo setfacl -m u:%s:rX %q", name, path)
}
