// Package durable is the way small state reaches a disk: files replaced
// atomically, and logs of checksummed frames.
//
// It promises that what was synced before a crash is found again, and that
// what is found again was written: a frame cut by a crash, filled with zeros or
// changed by the disk is told from a whole one. It does not promise to repair
// frames. It starts no goroutines and keeps nothing it is given. The file
// system stands behind FS, so that tests can inject faults and crashes (Mem).
package durable

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// File is an open file that is being written.
type File interface {
	io.Writer
	Sync() error
	Close() error
}

// Reader is an open file that is read. Safe for concurrent use but for Close.
type Reader interface {
	io.ReaderAt
	// Size is how many bytes the file has now.
	Size() (int64, error)
	Close() error
}

// FS is the part of a file system that durable state needs. Names are paths.
// Implementations are safe for concurrent use on different names.
type FS interface {
	// MkdirAll makes dir and its parents, for the owner only.
	MkdirAll(dir string) error
	// Create opens name for writing, empty, for the owner only.
	Create(name string) (File, error)
	// Append opens the existing name for writing at its end.
	Append(name string) (File, error)
	// ReadFile returns the content of name.
	ReadFile(name string) ([]byte, error)
	// Open opens name for reading at any place.
	Open(name string) (Reader, error)
	// List returns the names in dir, without its path, in any order.
	List(dir string) ([]string, error)
	// Rename replaces newName by oldName.
	Rename(oldName, newName string) error
	// Remove deletes name.
	Remove(name string) error
	// Truncate cuts name to size bytes.
	Truncate(name string, size int64) error
	// SyncDir makes creations, renames and removals in dir durable.
	SyncDir(dir string) error
}

// OS is the file system of the operating system.
type OS struct{}

// MkdirAll implements FS.
func (OS) MkdirAll(dir string) error { return os.MkdirAll(dir, 0o700) }

// Create implements FS.
func (OS) Create(name string) (File, error) {
	return os.OpenFile(name, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
}

// Append implements FS.
func (OS) Append(name string) (File, error) {
	return os.OpenFile(name, os.O_WRONLY|os.O_APPEND, 0o600)
}

// ReadFile implements FS.
func (OS) ReadFile(name string) ([]byte, error) { return os.ReadFile(name) }

// Open implements FS.
func (OS) Open(name string) (Reader, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	return osReader{f}, nil
}

type osReader struct{ *os.File }

func (r osReader) Size() (int64, error) {
	info, err := r.Stat()
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

// List implements FS.
func (OS) List(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	names := make([]string, 0, len(entries))
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names, err
}

// Rename implements FS.
func (OS) Rename(oldName, newName string) error { return os.Rename(oldName, newName) }

// Remove implements FS.
func (OS) Remove(name string) error { return os.Remove(name) }

// Truncate implements FS.
func (OS) Truncate(name string, size int64) error { return os.Truncate(name, size) }

// SyncDir implements FS. Windows has no such call: renames are durable there
// when the file system's journal is.
func (OS) SyncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	err = d.Sync()
	if errors.Is(err, os.ErrInvalid) || errors.Is(err, os.ErrPermission) {
		err = nil
	}
	return errors.Join(err, d.Close())
}

// TempSuffix marks a file that is being written. Whoever finds one at start may
// remove it.
const TempSuffix = ".tmp"

// WriteFile replaces name by data so that a crash at any moment leaves either
// the old content or the new one, whole. The new content is durable when it
// returns nil.
func WriteFile(fs FS, name string, data []byte) error {
	f, err := Replace(fs, name, data)
	if err != nil {
		return err
	}
	return f.Close()
}

// Replace is WriteFile that leaves the file open, for appending to it.
func Replace(fs FS, name string, data []byte) (File, error) {
	temp := name + TempSuffix
	f, err := fs.Create(temp)
	if err != nil {
		return nil, fmt.Errorf("cannot create %s: %w", temp, err)
	}
	if _, err = f.Write(data); err != nil {
		err = fmt.Errorf("cannot write %s: %w", temp, err)
	} else if err = f.Sync(); err != nil {
		err = fmt.Errorf("cannot sync %s: %w", temp, err)
	} else {
		err = rename(fs, temp, name)
	}
	if err != nil {
		err = errors.Join(err, f.Close())
		_ = fs.Remove(temp) // it may fill the disk
		return nil, err
	}
	return f, nil
}

// rename replaces name by temp, durably.
func rename(fs FS, temp, name string) error {
	if err := fs.Rename(temp, name); err != nil {
		return fmt.Errorf("cannot rename %s to %s: %w", temp, name, err)
	}
	if err := fs.SyncDir(filepath.Dir(name)); err != nil {
		return fmt.Errorf("cannot sync the directory of %s: %w", name, err)
	}
	return nil
}
