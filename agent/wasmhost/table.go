package wasmhost

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"os"
	"sync/atomic"
	"time"
)

// tableBytesMax bounds the file of a table.
const tableBytesMax = 256 << 20

// Table is a set of keys and values that modules may look up, from a CSV file of
// two columns: key, value. All instances share one copy, which is replaced when
// the file changes. Safe for concurrent use.
type Table struct {
	Name, Path string

	content atomic.Pointer[map[string][]byte]
	stamp   fileStamp
	failure string // what was said of the file last, "" when it could be read
}

// fileStamp tells whether a file has changed since it was read.
type fileStamp struct {
	size    int64
	changed time.Time
}

// OpenTable reads a table.
func OpenTable(name, path string) (*Table, error) {
	t := &Table{Name: name, Path: path}
	if err := t.read(); err != nil {
		return nil, err
	}
	return t, nil
}

// refresh reads the file again if it has changed, and reports whether it did. A
// file that cannot be read leaves the old content in use; the error is returned
// once.
func (t *Table) refresh() (changed bool, err error) {
	info, err := os.Stat(t.Path)
	switch {
	case err != nil:
		err = fmt.Errorf("cannot look at table %s: %w", t.Name, err)
	case (fileStamp{info.Size(), info.ModTime()}) != t.stamp:
		changed, err = true, t.read()
	default:
		return false, nil
	}
	if err == nil {
		t.failure = ""
		return changed, nil
	}
	if t.failure == err.Error() {
		return false, nil
	}
	t.failure = err.Error()
	return false, err
}

func (t *Table) read() error {
	f, err := os.Open(t.Path)
	if err != nil {
		return fmt.Errorf("cannot open table %s: %w", t.Name, err)
	}
	info, err := f.Stat()
	if err == nil && info.Size() > tableBytesMax {
		err = fmt.Errorf("it is larger than %d bytes", tableBytesMax)
	}
	var content map[string][]byte
	if err == nil {
		t.stamp = fileStamp{info.Size(), info.ModTime()}
		content, err = readTable(f)
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("cannot read table %s from %s: %w", t.Name, t.Path, err)
	}
	t.content.Store(&content)
	return nil
}

func readTable(r io.Reader) (map[string][]byte, error) {
	in := csv.NewReader(r)
	in.FieldsPerRecord, in.ReuseRecord, in.Comment = 2, true, '#'
	content := map[string][]byte{}
	for {
		pair, err := in.Read()
		if errors.Is(err, io.EOF) {
			return content, nil
		}
		if err != nil {
			return nil, fmt.Errorf("it is no CSV of two columns: %w", err)
		}
		content[pair[0]] = bytes.Clone([]byte(pair[1]))
	}
}

// find returns the value of a key, which must not be changed.
func (t *Table) find(key []byte) ([]byte, bool) {
	value, ok := (*t.content.Load())[string(key)]
	return value, ok
}
