package tail

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// Matcher decides whether a line matches. It keeps nothing of it.
type Matcher interface{ Match(line []byte) bool }

// Multiline joins lines to records. At least one pattern is set.
//
// With Start, a record begins at a line that matches. With Continue, lines that
// match belong to the record before them and others begin one. With End, the
// line that matches is the last of its record. A record is also complete when
// the file has not grown for Timeout.
//
// With Head, which needs Start, a first line that matches it is not enough for a
// record: the lines after it belong to it, whatever they are, up to the first that
// matches Start, that one included; headLines of them at most.
type Multiline struct {
	Start, Continue, End, Head Matcher

	Timeout  time.Duration
	LinesMax int
}

// StartKind says where reading of a file begins that existed before the first
// start.
type StartKind uint8

// The kinds of start.
const (
	StartEnd StartKind = iota
	StartBeginning
	StartLast
	StartSince
)

// Start is a policy for files that existed before the first start. Files that
// appear later are read from their first byte.
type Start struct {
	Kind StartKind
	// Bytes is how much of the end to read, for StartLast; reading begins at the
	// next line.
	Bytes int64
	// Since, for StartSince: a file last changed before it is skipped, any other
	// is read from its first byte.
	Since time.Time
}

var lastSize = regexp.MustCompile(`^(\d+)\s*([KMGT]?)(i?)B?$`)

// ParseStart understands end, beginning, last SIZE, and since with a time
// (RFC 3339 or a date) or a duration before now.
func ParseStart(text string, now time.Time) (Start, error) {
	word, rest, _ := strings.Cut(strings.TrimSpace(text), " ")
	rest = strings.TrimSpace(rest)
	switch {
	case word == "end" && rest == "":
		return Start{Kind: StartEnd}, nil
	case word == "beginning" && rest == "":
		return Start{Kind: StartBeginning}, nil
	case word == "last":
		n, err := parseBytes(rest)
		return Start{Kind: StartLast, Bytes: n}, err
	case word == "since":
		t, err := parseSince(rest, now)
		return Start{Kind: StartSince, Since: t}, err
	}
	return Start{}, fmt.Errorf("cannot understand start_at %q: write end, beginning, last 1MiB, since 2h or since 2006-01-02T15:04:05Z", text)
}

func parseBytes(text string) (int64, error) {
	m := lastSize.FindStringSubmatch(text)
	if m == nil {
		return 0, fmt.Errorf("cannot understand the size %q: write for example 512KiB or 1MiB", text)
	}
	n, err := strconv.ParseInt(m[1], 10, 40)
	if err != nil {
		return 0, fmt.Errorf("cannot understand the size %q: %w", text, err)
	}
	unit := int64(1000)
	if m[3] != "" {
		unit = 1024
	}
	for range strings.Index("KMGT", m[2]) + 1 {
		if m[2] == "" {
			break
		}
		n *= unit
	}
	return n, nil
}

func parseSince(text string, now time.Time) (time.Time, error) {
	if d, err := time.ParseDuration(text); err == nil && d >= 0 {
		return now.Add(-d), nil
	}
	for _, layout := range []string{time.RFC3339, "2006-01-02T15:04:05", time.DateTime, time.DateOnly} {
		if t, err := time.ParseInLocation(layout, text, time.Local); err == nil {
			return t, nil
		}
	}
	return time.Time{}, fmt.Errorf("cannot understand the time %q: write a duration such as 2h or a time such as 2006-01-02T15:04:05Z", text)
}

// Config of a Tailer. The zero value of a number or duration is its default.
type Config struct {
	// Pipeline is the key of the checkpoints.
	Pipeline string
	// Include and Exclude are globs of absolute paths, with **.
	Include, Exclude []string
	// Keys are those of the folders that SetFolders will give.
	Keys []string
	// DirDepthMax bounds how deep ** descends. Default 32.
	DirDepthMax int
	// DirsMax bounds how many directories are watched. Default 20,000.
	DirsMax int
	// FilesMax bounds how many files are followed. Default 100,000.
	FilesMax int
	// OpenFilesMax bounds how many of them are held open; beyond it, quiet files
	// that are read to their end and safe are closed. Default 80 % of what the
	// process may open.
	OpenFilesMax int
	// Readers is the number of goroutines that read. Default 1.
	Readers int
	Start   Start
	// Multiline is nil for one record a line.
	Multiline *Multiline
	// Header, if set, matches single lines that say how those after them are to be
	// read, such as names of columns. The last one before the records of Lines goes
	// along with them, over restarts too. It is of files with one record a line, and
	// such a line is at most 4 KiB long.
	Header Matcher
	// Detector, if set, finds the format of each file from its first lines.
	Detector Detector
	// GBK says that the files are in GBK or GB18030, for cutting long lines
	// between characters. Lines are delivered as they are.
	GBK bool
	// RecordBytesMax is the longest record; longer ones are split. Default 1 MiB.
	RecordBytesMax int
	// BatchBytesMax bounds the bytes given to the Sink at once, but for one
	// record that is longer. Default 512 KiB.
	BatchBytesMax int
	// Linger is how often an active file is read. Default 200 ms.
	Linger time.Duration
	// PartialTimeout is how long a last line without its end may rest before it
	// is delivered as it is. Default 5 s.
	PartialTimeout time.Duration
	// RotatedCloseAfter is how long a file that was renamed is held open after it
	// last grew. Default 1 min.
	RotatedCloseAfter time.Duration
	// DeletedReleaseAfter is how long a deleted file is held open while it has
	// unread bytes. Then they are lost, with an alarm. Default 1 h.
	DeletedReleaseAfter time.Duration
	// SpoolDir takes the unlinked temporary files into which compressed rotated
	// files are unpacked. Default: the system's.
	SpoolDir string
	// Estate keeps what is open at the end for the next tailer of the pipeline; nil:
	// it is closed.
	Estate *Estate
	// Lost is told of each range that is lost. It must not block for long. Default:
	// nobody is.
	Lost func(Loss)
	// Now is the clock, for tests.
	Now func() time.Time
}

func (c *Config) setDefaults() {
	ints := []struct {
		v *int
		d int
	}{
		{&c.DirDepthMax, 32},
		{&c.DirsMax, 20_000},
		{&c.FilesMax, 100_000},
		{&c.OpenFilesMax, openFilesDefault()},
		{&c.Readers, 1},
		{&c.RecordBytesMax, 1 << 20},
		{&c.BatchBytesMax, 512 << 10},
	}
	for _, i := range ints {
		if *i.v <= 0 {
			*i.v = i.d
		}
	}
	durations := []struct {
		v *time.Duration
		d time.Duration
	}{
		{&c.Linger, 200 * time.Millisecond},
		{&c.PartialTimeout, 5 * time.Second},
		{&c.RotatedCloseAfter, time.Minute},
		{&c.DeletedReleaseAfter, time.Hour},
	}
	for _, i := range durations {
		if *i.v <= 0 {
			*i.v = i.d
		}
	}
	if c.Lost == nil {
		c.Lost = func(Loss) {}
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Multiline != nil {
		m := *c.Multiline
		if m.Timeout <= 0 {
			m.Timeout = 3 * time.Second
		}
		if m.LinesMax <= 0 {
			m.LinesMax = 1000
		}
		c.Multiline = &m
	}
}
