package durable

import (
	"bytes"
	"errors"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestWriteFile_CrashAtEveryStep(t *testing.T) {
	for step := 0; ; step++ {
		for survive := range 4 {
			fs := NewMem()
			require.NoError(t, WriteFile(fs, "/d/f", []byte("old content")))
			start := fs.Calls()
			fs.Fault = func(call int, _, _ string) error {
				if call >= start+step {
					return ErrCrashed
				}
				return nil
			}
			err := WriteFile(fs, "/d/f", []byte("new content"))
			fs.Restart(func(n int) int { return n * survive / 3 })
			data, readErr := fs.ReadFile("/d/f")
			require.NoError(t, readErr)
			if err == nil {
				require.Equal(t, "new content", string(data))
				if survive == 3 {
					return
				}
				continue
			}
			require.Contains(t, []string{"old content", "new content"}, string(data))
		}
	}
}

// TestWriteFile_LeavesNothingBehind when it fails: who tries again under another
// name would fill the disk.
func TestWriteFile_LeavesNothingBehind(t *testing.T) {
	for _, fails := range []string{"create", "write", "sync", "rename"} {
		fs, full := NewMem(), errors.New("no space left on device")
		fs.Fault = func(_ int, op, _ string) error {
			if op == fails {
				return full
			}
			return nil
		}
		require.ErrorIs(t, WriteFile(fs, "/d/f", []byte("content")), full)
		names, err := fs.List("/d")
		require.NoError(t, err)
		require.Empty(t, names, fails)
	}
}

func TestWriteFile_RealDisk(t *testing.T) {
	name := filepath.Join(t.TempDir(), "f")
	for _, text := range []string{"one", "two"} {
		require.NoError(t, WriteFile(OS{}, name, []byte(text)))
		data, err := OS{}.ReadFile(name)
		require.NoError(t, err)
		require.Equal(t, text, string(data))
	}
}

func FuzzScanFrames(f *testing.F) {
	f.Add([]byte("a"), []byte(""), uint16(3), byte(1))
	f.Add(bytes.Repeat([]byte("x"), 300), []byte("b"), uint16(310), byte(0))
	f.Fuzz(func(t *testing.T, a, b []byte, at uint16, change byte) {
		data := AppendFrame(AppendFrame(nil, a), b)
		var got [][]byte
		collect := func(p []byte) error { got = append(got, append([]byte{}, p...)); return nil }
		if len(a)+len(b) > 0 { // two empty frames look the same
			n, err := ScanFrames(data, collect)
			if err != nil || n != len(data) || len(got) != 2 || !bytes.Equal(got[0], a) || !bytes.Equal(got[1], b) {
				t.Fatalf("read back %q: %v", got, err)
			}
		}
		whole := len(AppendFrame(nil, a))
		got = nil
		cut := int(at) % len(data)
		if _, err := ScanFrames(data[:cut], collect); cut != whole && cut != 0 && !errors.Is(err, ErrTorn) {
			t.Fatalf("cut at %d of %d: %v", cut, len(data), err)
		}
		if change == 0 {
			return
		}
		got = nil
		data[cut] ^= change
		n, err := ScanFrames(data, collect)
		if err == nil || len(got) > 1 || cut < whole && n != 0 {
			t.Fatalf("a changed byte at %d was not noticed: %d frames, %v", cut, len(got), err)
		}
	})
}
