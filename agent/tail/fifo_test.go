//go:build unix

package tail

import (
	"net"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestDiscovery_NeverOpensFIFOs(t *testing.T) {
	r := newRig(t, dirOf(t), nil)
	defer func() { r.stop() }()
	require.NoError(t, syscall.Mkfifo(r.path("app.log"), 0o644))
	r.settle()
	require.Empty(t, r.tailer.byID)
}

// TestStatus_NamesWhatIsIncludedAndNotAFile also lets each be replaced by a file:
// then nothing is said of it any more.
func TestStatus_NamesWhatIsIncludedAndNotAFile(t *testing.T) {
	pipe := func(t *testing.T, path string) { require.NoError(t, syscall.Mkfifo(path, 0o644)) }
	folder := func(t *testing.T, path string) { require.NoError(t, os.Mkdir(path, 0o755)) }
	for name, c := range map[string]struct {
		include     string
		make        func(t *testing.T, path string)
		reason, fix string
	}{
		"pipe":                           {"app.log", pipe, "is a named pipe, not a file: what is read from it is gone and cannot be read again", "let the program write to a file, or add the path to exclude"},
		"folder":                         {"app.log", folder, "is a folder, not a file: only files have lines", "write DIR/app.log/* to follow the files in it"},
		"folder by a pattern for files":  {"*.log", folder, "is a folder, not a file: only files have lines", "write DIR/app.log/* to follow the files in it"},
		"folder by a pattern for all":    {"*", folder, "", ""},
		"folder by a pattern in folders": {"**", folder, "", ""},
		"link to a pipe": {"app.log", func(t *testing.T, path string) {
			other := filepath.Join(t.TempDir(), "pipe")
			pipe(t, other)
			require.NoError(t, os.Symlink(other, path))
		}, "is a named pipe, not a file: what is read from it is gone and cannot be read again", "let the program write to a file, or add the path to exclude"},
		"link to a device": {"app.log", func(t *testing.T, path string) {
			require.NoError(t, os.Symlink("/dev/null", path))
		}, "is a device, not a file: it has no end and no positions", "add the path to exclude"},
		"socket": {"app.log", func(t *testing.T, path string) {
			t.Chdir(filepath.Dir(path)) // the path of a socket is short
			l, err := net.Listen("unix", "app.log")
			require.NoError(t, err)
			t.Cleanup(func() { _ = l.Close() })
		}, "is a socket, not a file: it cannot be read", "let the program write to a file, or add the path to exclude"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := dirOf(t)
			r := newRig(t, dir, func(cfg *Config) { cfg.Include = []string{filepath.Join(dir, c.include)} })
			defer func() { r.stop() }()
			c.make(t, r.path("app.log"))
			r.settle()
			if c.reason == "" {
				require.Empty(t, r.tailer.status())
				return
			}
			list := r.tailer.status()
			require.Len(t, list, 1)
			require.Equal(t, r.path("app.log"), list[0].Path)
			require.Equal(t, "unreadable", list[0].State)
			require.Equal(t, c.reason, list[0].Reason)
			if c.fix == "write DIR/app.log/* to follow the files in it" {
				c.fix = "write " + r.path("app.log") + "/* to follow the files in it"
			}
			require.Equal(t, c.fix, list[0].Fix)
			since := list[0].BehindSince
			r.settle()
			require.Equal(t, since, r.tailer.status()[0].BehindSince, "since it is known, not since it was tried last")

			r.remove("app.log")
			r.step(0)
			require.Empty(t, r.tailer.status())
			c.make(t, r.path("app.log"))
			r.settle()
			require.Len(t, r.tailer.status(), 1)
			r.remove("app.log")
			r.write("app.log", lines(0, 3))
			r.settle()
			require.Len(t, r.tailer.status(), 1)
			require.Empty(t, r.tailer.status()[0].Reason)
			r.wantLines(3)
		})
	}
}
