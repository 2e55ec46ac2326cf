// Package fileout is the output that writes records to a file or to standard
// output, as JSON objects or as the lines they were.
//
// It promises that a payload is in the file whole or not at all: what a failed
// write has left is cut off again before the next one. It does not promise that
// the bytes are on the disk when Send returns: if the host loses power, those
// the system had not yet written are lost. Standard output cannot be cut off:
// after a failed write the next payload starts on a new line, and what the
// failed one had written stands there twice.
//
// It starts no goroutines. An encoder belongs to one lane; Output is safe for
// concurrent use.
package fileout

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"

	"github.com/wasmtail/wasmtail/agent/pipeline"
	"github.com/wasmtail/wasmtail/internal/jsonline"
)

// Output appends payloads to one file.
type Output struct {
	config   Config
	hostname string

	// turn holds one token: who has it may use what is below. It is a channel,
	// not a mutex, because a write may take long and its caller may give up.
	turn chan struct{}
	file file // nil when it must be opened
	size int64
	torn bool // a failed write has left bytes that must go first
}

// file is the part of *os.File that is used.
type file interface {
	io.WriteCloser
	Truncate(size int64) error
	Stat() (os.FileInfo, error)
}

// Permissions of what is made: logs are not for everyone.
const (
	fileMode   = 0o640
	folderMode = 0o750
)

// New returns an output. The file is opened by the first Send.
func New(c Config, hostname string) (*Output, error) {
	if c.Path == "" {
		c.Path = stdoutPath
	}
	return &Output{config: c, hostname: hostname, turn: make(chan struct{}, 1)}, nil
}

// NewEncoder returns an encoder for one lane.
func (o *Output) NewEncoder(pipelineName, logstore string) pipeline.Encoder {
	if o.config.Format == "text" {
		return textEncoder{}
	}
	return newJSONEncoder(jsonline.Source{Host: o.hostname, Pipeline: pipelineName, Logstore: logstore})
}

// Send appends the payload. Every error can be tried again.
func (o *Output) Send(ctx context.Context, payload []byte) error {
	if len(payload) == 0 {
		return nil
	}
	select {
	case o.turn <- struct{}{}:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	defer func() { <-o.turn }()
	if o.config.Path == stdoutPath {
		return o.print(payload)
	}
	if err := o.ready(int64(len(payload))); err != nil {
		return err
	}
	return o.append(payload)
}

// Close closes the file. A Send after it opens the file again.
func (o *Output) Close() error {
	o.turn <- struct{}{}
	defer func() { <-o.turn }()
	return o.closeFile()
}

func (o *Output) closeFile() error {
	if o.file == nil || o.config.Path == stdoutPath {
		return nil
	}
	f := o.file
	o.file = nil
	return f.Close()
}

// print writes to standard output.
func (o *Output) print(payload []byte) error {
	if o.file == nil {
		o.file = os.Stdout
	}
	if o.torn {
		if _, err := o.file.Write([]byte{'\n'}); err != nil {
			return fmt.Errorf("cannot write to standard output: %w", err)
		}
		o.torn = false
	}
	n, err := o.file.Write(payload)
	if err != nil || n < len(payload) {
		o.torn = n > 0
		return fmt.Errorf("cannot write to standard output: %w", errors.Join(err, io.ErrShortWrite))
	}
	return nil
}

// ready opens the file if it must, cuts off what a failed write has left, and
// rotates if n more bytes are too many.
func (o *Output) ready(n int64) error {
	if o.file != nil && o.torn {
		if err := o.file.Truncate(o.size); err != nil {
			return fmt.Errorf("cannot cut off what a failed write has left in %s: %w", o.config.Path, err)
		}
		o.torn = false
	}
	if o.file != nil && o.isMoved() {
		if err := o.closeFile(); err != nil {
			return fmt.Errorf("cannot close %s, which was moved away: %w", o.config.Path, err)
		}
	}
	if err := o.open(); err != nil {
		return err
	}
	if limit := int64(o.config.Rotate.Size); limit <= 0 || o.size == 0 || o.size+n <= limit {
		return nil
	}
	if err := o.rotate(); err != nil {
		return err
	}
	return o.open()
}

// isMoved is true when another program has moved or removed the file.
func (o *Output) isMoved() bool {
	open, err := o.file.Stat()
	if err != nil {
		return false
	}
	named, err := os.Stat(o.config.Path)
	return errors.Is(err, os.ErrNotExist) || err == nil && !os.SameFile(open, named)
}

func (o *Output) open() error {
	if o.file != nil {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(o.config.Path), folderMode); err != nil {
		return fmt.Errorf("cannot make the folder of the output file: %w", err)
	}
	f, err := os.OpenFile(o.config.Path, os.O_CREATE|os.O_RDWR|os.O_APPEND, fileMode)
	if err != nil {
		return fmt.Errorf("cannot open the output file: %w", err)
	}
	size, err := endLine(f)
	if err != nil {
		_ = f.Close()
		return fmt.Errorf("cannot open the output file: %w", err)
	}
	o.file, o.size, o.torn = f, size, false
	return nil
}

// endLine returns the size of f, after it has ended a last line that has no
// end: the agent was stopped in the middle of a write, and the next record must
// not become part of that one. Files that cannot be read backwards, such as
// devices, are taken as they are.
func endLine(f *os.File) (size int64, err error) {
	info, err := f.Stat()
	if err != nil || !info.Mode().IsRegular() || info.Size() == 0 {
		return 0, err
	}
	var last [1]byte
	if _, err := f.ReadAt(last[:], info.Size()-1); err != nil || last[0] == '\n' {
		return info.Size(), err
	}
	_, err = f.Write([]byte{'\n'})
	return info.Size() + 1, err
}

// append writes the payload with one write.
func (o *Output) append(payload []byte) error {
	n, err := o.file.Write(payload)
	if err == nil && n == len(payload) {
		o.size += int64(n)
		return nil
	}
	if err == nil {
		err = io.ErrShortWrite
	}
	o.torn = true
	if o.file.Truncate(o.size) == nil {
		o.torn = false
	}
	return fmt.Errorf("cannot append to %s: %w", o.config.Path, err)
}

// rotate renames the file to path.1, that to path.2, and so on; the oldest is
// overwritten.
func (o *Output) rotate() error {
	if err := o.closeFile(); err != nil {
		return fmt.Errorf("cannot close %s to rotate it: %w", o.config.Path, err)
	}
	for i := o.config.Rotate.Keep - 1; i >= 0; i-- {
		err := os.Rename(o.rotated(i), o.rotated(i+1))
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("cannot rotate the output file: %w", err)
		}
	}
	return nil
}

// rotated is the path of the i-th youngest file; 0 is the one in use.
func (o *Output) rotated(i int) string {
	if i == 0 {
		return o.config.Path
	}
	return o.config.Path + "." + strconv.Itoa(i)
}
