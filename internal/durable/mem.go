package durable

import (
	"errors"
	"io"
	iofs "io/fs"
	"path/filepath"
	"sync"
)

// ErrCrashed is returned by every call on a Mem that has crashed.
var ErrCrashed = errors.New("the file system has crashed")

// Mem is a file system in memory for tests. It knows what would survive a power
// loss: bytes that were synced, and directory changes that were synced. Safe
// for concurrent use.
type Mem struct {
	// Fault, if set, is asked before each call that changes something, with the
	// number of such calls before. An error makes the call fail; ErrCrashed
	// ends the life of the file system, until Restart. A failing Write has
	// written half of its bytes.
	Fault func(call int, op, name string) error

	mu      sync.Mutex
	calls   int
	crashed bool
	names   map[string]*memFile
	durable map[string]*memFile
	undone  []func(map[string]*memFile) // directory changes not yet synced, in order
}

type memFile struct {
	data   []byte
	synced int
}

// NewMem returns an empty file system.
func NewMem() *Mem {
	return &Mem{names: map[string]*memFile{}, durable: map[string]*memFile{}}
}

// Calls returns how many changing calls there were.
func (m *Mem) Calls() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.calls
}

// Restart is a power loss and the start after it. pick(n) returns a number in
// [0, n]: how many of n unsynced bytes, or directory changes, have survived.
func (m *Mem) Restart(pick func(n int) int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, change := range m.undone[:pick(len(m.undone))] {
		change(m.durable)
	}
	names, durable := map[string]*memFile{}, map[string]*memFile{}
	for name, f := range m.durable {
		keep := f.synced + pick(len(f.data)-f.synced)
		survivor := &memFile{data: append([]byte(nil), f.data[:keep]...), synced: keep}
		names[name], durable[name] = survivor, survivor
	}
	m.names, m.durable, m.undone, m.crashed = names, durable, nil, false
}

// Edit replaces the content of name, as a failing disk would.
func (m *Mem) Edit(name string, edit func([]byte) []byte) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if f := m.names[name]; f != nil {
		f.data = edit(f.data)
		f.synced = len(f.data)
	}
}

func (m *Mem) changeLocked(op, name string) error {
	if m.crashed {
		return ErrCrashed
	}
	call := m.calls
	m.calls++
	if m.Fault == nil {
		return nil
	}
	err := m.Fault(call, op, name)
	m.crashed = errors.Is(err, ErrCrashed)
	return err
}

func (m *Mem) renameLocked(change func(map[string]*memFile)) {
	change(m.names)
	m.undone = append(m.undone, change)
}

// MkdirAll implements FS.
func (m *Mem) MkdirAll(string) error { return nil }

// Create implements FS.
func (m *Mem) Create(name string) (File, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.changeLocked("create", name); err != nil {
		return nil, err
	}
	f := &memFile{}
	m.renameLocked(func(names map[string]*memFile) { names[name] = f })
	return &memHandle{m, f, name}, nil
}

// Append implements FS.
func (m *Mem) Append(name string) (File, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.crashed {
		return nil, ErrCrashed
	}
	f := m.names[name]
	if f == nil {
		return nil, iofs.ErrNotExist
	}
	return &memHandle{m, f, name}, nil
}

// ReadFile implements FS.
func (m *Mem) ReadFile(name string) ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.crashed {
		return nil, ErrCrashed
	}
	f := m.names[name]
	if f == nil {
		return nil, iofs.ErrNotExist
	}
	return append([]byte(nil), f.data...), nil
}

// Open implements FS.
func (m *Mem) Open(name string) (Reader, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.crashed {
		return nil, ErrCrashed
	}
	f := m.names[name]
	if f == nil {
		return nil, iofs.ErrNotExist
	}
	return &memReader{m, f}, nil
}

type memReader struct {
	m *Mem
	f *memFile
}

func (r *memReader) ReadAt(p []byte, at int64) (int, error) {
	r.m.mu.Lock()
	defer r.m.mu.Unlock()
	if r.m.crashed {
		return 0, ErrCrashed
	}
	if at >= int64(len(r.f.data)) {
		return 0, io.EOF
	}
	n := copy(p, r.f.data[at:])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

func (r *memReader) Size() (int64, error) {
	r.m.mu.Lock()
	defer r.m.mu.Unlock()
	return int64(len(r.f.data)), nil
}

func (r *memReader) Close() error { return nil }

// List implements FS.
func (m *Mem) List(dir string) ([]string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.crashed {
		return nil, ErrCrashed
	}
	var names []string
	for name := range m.names {
		if filepath.Dir(name) == dir {
			names = append(names, filepath.Base(name))
		}
	}
	return names, nil
}

// Rename implements FS.
func (m *Mem) Rename(oldName, newName string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.changeLocked("rename", newName); err != nil {
		return err
	}
	f := m.names[oldName]
	if f == nil {
		return iofs.ErrNotExist
	}
	m.renameLocked(func(names map[string]*memFile) {
		delete(names, oldName)
		names[newName] = f
	})
	return nil
}

// Remove implements FS.
func (m *Mem) Remove(name string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.changeLocked("remove", name); err != nil {
		return err
	}
	if m.names[name] == nil {
		return iofs.ErrNotExist
	}
	m.renameLocked(func(names map[string]*memFile) { delete(names, name) })
	return nil
}

// Truncate implements FS.
func (m *Mem) Truncate(name string, size int64) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.changeLocked("truncate", name); err != nil {
		return err
	}
	f := m.names[name]
	if f == nil || size > int64(len(f.data)) {
		return iofs.ErrNotExist
	}
	f.data = f.data[:size:size]
	f.synced = min(f.synced, int(size))
	return nil
}

// SyncDir implements FS.
func (m *Mem) SyncDir(dir string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.changeLocked("syncdir", dir); err != nil {
		return err
	}
	for _, change := range m.undone {
		change(m.durable)
	}
	m.undone = nil
	return nil
}

type memHandle struct {
	m    *Mem
	f    *memFile
	name string
}

func (h *memHandle) Write(p []byte) (int, error) {
	h.m.mu.Lock()
	defer h.m.mu.Unlock()
	if h.m.crashed {
		return 0, ErrCrashed
	}
	if err := h.m.changeLocked("write", h.name); err != nil {
		h.f.data = append(h.f.data, p[:len(p)/2]...)
		return len(p) / 2, err
	}
	h.f.data = append(h.f.data, p...)
	return len(p), nil
}

func (h *memHandle) Sync() error {
	h.m.mu.Lock()
	defer h.m.mu.Unlock()
	if err := h.m.changeLocked("sync", h.name); err != nil {
		return err
	}
	h.f.synced = len(h.f.data)
	return nil
}

func (h *memHandle) Close() error { return nil }
