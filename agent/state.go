package agent

import (
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/wasmtail/wasmtail/agent/pipeline"
	"github.com/wasmtail/wasmtail/internal/durable"
)

// state is the agent's folder: identity, lock, and what was refused for good.
type state struct {
	dir     string
	agentID string
	lock    *os.File

	mu       sync.Mutex
	rejected int // payloads put aside by this process, for their file names
}

// rejectedBytesMax bounds the folder of refused payloads. Above it a refused
// payload is tried again instead of put aside: nothing is thrown away.
const rejectedBytesMax = 256 << 20

// openState creates or opens dir with mode 0700, and holds its lock until
// close: two agents on one folder would acknowledge each other's positions.
func openState(dir string, wait time.Duration) (*state, error) {
	lock, err := Lock(dir, "lock", wait)
	if err != nil {
		return nil, err
	}
	s := &state{dir: dir, lock: lock}
	if s.agentID, err = loadAgentID(filepath.Join(dir, "agent-id")); err != nil {
		_ = lock.Close()
		return nil, err
	}
	return s, nil
}

// lockPause is the time between two attempts to get a lock.
const lockPause = 20 * time.Millisecond

// ErrBusy is in the errors of Lock and Run when another agent has the state folder.
var ErrBusy = errors.New("another agent runs on it")

// Lock takes the lock of that name in a state folder, which it makes if need be,
// until the file is closed or the process ends. While another process has it, it
// waits, as long as wait, and then fails with ErrBusy.
func Lock(dir, name string, wait time.Duration) (*os.File, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("cannot create data_dir %s: %w", dir, err)
	}
	lock, err := os.OpenFile(filepath.Join(dir, name), os.O_CREATE|os.O_RDWR|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return nil, fmt.Errorf("cannot open data_dir %s: %w; it must be writable by this user", dir, err)
	}
	tick := time.NewTicker(lockPause)
	defer tick.Stop()
	for until := time.Now().Add(wait); ; <-tick.C {
		err := unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		switch {
		case err == nil:
			return lock, nil
		case !errors.Is(err, unix.EWOULDBLOCK):
			_ = lock.Close()
			return nil, fmt.Errorf("cannot lock data_dir %s: %w", dir, err)
		case time.Now().After(until):
			_ = lock.Close()
			return nil, fmt.Errorf("cannot use data_dir %s: %w; stop it, or give this one a folder of its own", dir, ErrBusy)
		}
	}
}

func (s *state) close() error { return s.lock.Close() }

// loadAgentID reads the agent's id, 32 hex digits, and makes one the first time.
func loadAgentID(path string) (string, error) {
	data, err := os.ReadFile(path)
	if id := strings.TrimSpace(string(data)); err == nil && len(id) == 32 {
		if _, err := hex.DecodeString(id); err == nil {
			return id, nil
		}
	}
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return "", fmt.Errorf("cannot read the agent's identity: %w", err)
	}
	var raw [16]byte
	_, _ = rand.Read(raw[:]) // never fails
	id := hex.EncodeToString(raw[:])
	if err := durable.WriteFile(durable.OS{}, path, []byte(id+"\n")); err != nil {
		return "", fmt.Errorf("cannot save the agent's identity: %w", err)
	}
	return id, nil
}

// putAside keeps what an output's receiver refused for good: the refused records
// with their reasons, as lines of JSON, or else the payload, with the reason
// beside it.
func (s *state) putAside(output string, payload []byte, reason error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	dir := filepath.Join(s.dir, "rejected")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	var rejected *pipeline.RejectedError
	lines := errors.As(reason, &rejected) && len(rejected.Records) > 0
	if lines {
		payload = rejected.Records
	}
	if used := folderBytes(dir); used+int64(len(payload)) > rejectedBytesMax {
		return fmt.Errorf("%s holds %d bytes: look into it and empty it", dir, used)
	}
	s.rejected++
	base := filepath.Join(dir, fmt.Sprintf("%s-%d-%d", output, time.Now().UnixNano(), s.rejected))
	if lines {
		return durable.WriteFile(durable.OS{}, base+".jsonl", payload)
	}
	note, err := json.Marshal(map[string]any{"output": output, "reason": reason.Error(), "time": time.Now().UTC(), "bytes": len(payload)})
	if err != nil {
		return err
	}
	return errors.Join(durable.WriteFile(durable.OS{}, base+".payload", payload), durable.WriteFile(durable.OS{}, base+".json", note))
}

func folderBytes(dir string) int64 {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return 0
	}
	var sum int64
	for _, e := range entries {
		if info, err := e.Info(); err == nil {
			sum += info.Size()
		}
	}
	return sum
}
