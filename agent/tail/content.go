package tail

import (
	"errors"
	"fmt"
	"io"

	"github.com/wasmtail/wasmtail/agent/checkpoint"
)

// Identity returns the device and inode of the file that a path leads to, by
// which a generation is known.
func Identity(path string) (dev, inode uint64, err error) {
	var st stat
	var buf statBuffer
	if err := buf.path(path, &st); err != nil {
		return 0, 0, fmt.Errorf("cannot look at %s: %w", path, err)
	}
	return st.id.dev, st.id.ino, nil
}

// Content is the content of a file as it was before it was compressed, if its
// name says that it is. Not safe for concurrent use; Close it.
type Content struct {
	io.Reader
	fd     int
	unpack io.Closer // nil if the file is not compressed
}

// OpenContent opens a regular file without any effect on it. Offsets in what is
// read are those that the agent counts in. The error says what could not be
// opened, or that the compression is not supported.
func OpenContent(path string) (*Content, error) {
	fd, err := openFile(path)
	if err != nil {
		return nil, fmt.Errorf("cannot open %s: %w", path, err)
	}
	var st stat
	var buf statBuffer
	if err := buf.open(fd, &st); err != nil {
		closeFile(fd)
		return nil, fmt.Errorf("cannot look at %s: %w", path, err)
	}
	c := &Content{fd: fd, Reader: io.NewSectionReader(fdReader(fd), 0, st.size)}
	if !IsCompressed(path) {
		return c, nil
	}
	r, err := unpacker(&newcomer{fd: fd, st: st, path: path})
	if err != nil {
		closeFile(fd)
		return nil, fmt.Errorf("cannot unpack %s: %w", path, err)
	}
	c.Reader, c.unpack = r, r
	return c, nil
}

// Close closes the file.
func (c *Content) Close() error {
	var err error
	if c.unpack != nil {
		err = c.unpack.Close()
	}
	closeFile(c.fd)
	return err
}

// sameBuffer is the position up to which Same keeps what it reads.
const sameBuffer = 64 << 10

// Same reports whether what r gives begins with the bytes that a checkpoint
// stands for: the head has its digest, and so have the bytes before the
// acknowledged position. It reads up to there. An empty generation is like no
// other.
func Same(r io.Reader, e *checkpoint.Entry) (bool, error) {
	if e.HeadLen == 0 && e.Acked == 0 {
		return false, nil
	}
	kept := int64(e.HeadLen)
	if e.Acked <= sameBuffer {
		kept = max(kept, e.Acked)
	}
	data := make([]byte, kept)
	if _, err := io.ReadFull(r, data); err != nil {
		return false, unlessShort(err)
	}
	if e.HeadLen > 0 && checkpoint.Sum(data[:e.HeadLen]) != e.Head {
		return false, nil
	}
	before := min(e.Acked, checkpoint.MarkerBytesMax)
	if before == 0 {
		return true, nil
	}
	if e.Acked <= kept {
		return checkpoint.Sum(data[e.Acked-before:e.Acked]) == e.Marker, nil
	}
	if _, err := io.CopyN(io.Discard, r, e.Acked-before-kept); err != nil {
		return false, unlessShort(err)
	}
	marker := make([]byte, before)
	if _, err := io.ReadFull(r, marker); err != nil {
		return false, unlessShort(err)
	}
	return checkpoint.Sum(marker) == e.Marker, nil
}

// unlessShort is nil for the end of a file: then it is another one.
func unlessShort(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return nil
	}
	return fmt.Errorf("cannot compare the content: %w", err)
}
