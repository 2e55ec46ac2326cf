package tail

// stat is what the tailer asks about a file.
type stat struct {
	id      identity
	size    int64
	mtime   int64 // Unix nanoseconds
	links   uint64
	regular bool
	dir     bool
}

// entryKind is the kind of a directory entry.
type entryKind uint8

const (
	kindOther entryKind = iota
	kindFile
	kindDir
	kindLink
	kindUnknown
)
