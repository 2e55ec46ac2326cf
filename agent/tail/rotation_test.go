package tail

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"
	"github.com/stretchr/testify/require"
)

// rotations are ways to bring a file out of the way. Each leaves app.log absent
// or empty.
var rotations = map[string]func(r *rig){
	"rename to a number":    func(r *rig) { shift(r, "app.log"); r.rename("app.log", "app.log.1") },
	"rename to a date":      func(r *rig) { r.rename("app.log", fmt.Sprintf("app.log-20261123%03d", r.unique())) },
	"rename date in middle": func(r *rig) { r.rename("app.log", fmt.Sprintf("app-2026-11-23T10-00-00.%03d.log", r.unique())) },
	"rename and create":     func(r *rig) { shift(r, "app.log"); r.rename("app.log", "app.log.1"); r.write("app.log", "") },
	"copy and truncate":     func(r *rig) { shift(r, "app.log"); r.copy("app.log", "app.log.1"); r.truncate("app.log") },
	"delete":                func(r *rig) { r.remove("app.log") },
	"move to other directory": func(r *rig) {
		require.NoError(r.t, os.MkdirAll(r.path("old"), 0o755))
		r.rename("app.log", fmt.Sprintf("old/app.log.%d", r.unique()))
	},
}

var uniqueNumber int

func (r *rig) unique() int { uniqueNumber++; return uniqueNumber }

// shift renames app.log.1 to app.log.2 and so on.
func shift(r *rig, name string) {
	for i := 30; i > 0; i-- {
		if _, err := os.Lstat(r.path(fmt.Sprintf("%s.%d", name, i))); err == nil {
			r.rename(fmt.Sprintf("%s.%d", name, i), fmt.Sprintf("%s.%d", name, i+1))
		}
	}
}

func TestRotation_EveryLineOnce(t *testing.T) {
	for name, rotate := range rotations {
		for _, include := range []string{"app.log", "app*"} {
			t.Run(name+"/"+include, func(t *testing.T) {
				r := newRig(t, dirOf(t), func(c *Config) { c.Include = []string{filepath.Join(filepath.Dir(c.Include[0]), include)} })
				defer r.stop()
				n := 0
				add := func(k int) { r.write("app.log", lines(n, n+k)); n += k }
				for round := range 6 {
					add(5)
					r.step(200 * time.Millisecond)
					add(5) // is not read before the rotation
					if name == "delete" || round%2 == 1 {
						r.step(200 * time.Millisecond)
					}
					rotate(r)
					if round%3 == 0 {
						add(3)
					}
					r.step(200 * time.Millisecond)
				}
				r.settle()
				r.step(time.Minute)
				r.settle()
				r.wantLines(n)
			})
		}
	}
}

func TestRotation_WhileStopped(t *testing.T) {
	for name, rotate := range rotations {
		if name == "delete" || name == "move to other directory" {
			continue
		}
		for _, rounds := range []int{1, 3} {
			t.Run(fmt.Sprintf("%s/%d times", name, rounds), func(t *testing.T) {
				r := newRig(t, dirOf(t), nil)
				defer func() { r.stop() }()
				n := 0
				add := func(k int) { r.write("app.log", lines(n, n+k)); n += k }
				add(50)
				r.settle()
				r.stop()
				for range rounds {
					add(20)
					rotate(r)
				}
				add(10)
				r.begin()
				r.settle()
				r.wantLines(n)
				r.restart()
				r.settle()
				r.wantLines(n)
			})
		}
	}
}

func TestRotation_Compressed(t *testing.T) {
	pack := map[string]func([]byte) []byte{
		".gz": func(p []byte) []byte {
			var b bytes.Buffer
			w := gzip.NewWriter(&b)
			_, _ = w.Write(p)
			_ = w.Close()
			return b.Bytes()
		},
		".zst": func(p []byte) []byte {
			w, _ := zstd.NewWriter(nil)
			return w.EncodeAll(p, nil)
		},
	}
	for ext, pack := range pack {
		for _, stopped := range []bool{false, true} {
			for _, include := range []string{"app.log", "app*"} {
				t.Run(fmt.Sprintf("%s/stopped=%v/%s", ext, stopped, include), func(t *testing.T) {
					r := newRig(t, dirOf(t), func(c *Config) { c.Include = []string{filepath.Join(filepath.Dir(c.Include[0]), include)} })
					defer func() { r.stop() }()
					r.write("app.log", lines(0, 50))
					r.settle()
					if stopped {
						r.stop()
					}
					compress := func(from, to int) {
						r.write("app.log", lines(from, to))
						shift(r, "app.log")
						if _, err := os.Stat(r.path("app.log.1.gz")); err == nil {
							r.rename("app.log.1.gz", "app.log.2.gz")
						}
						data, err := os.ReadFile(r.path("app.log"))
						require.NoError(t, err)
						require.NoError(t, os.WriteFile(r.path("app.log.1"+ext), pack(data), 0o644))
						r.remove("app.log")
					}
					compress(50, 60)
					if ext == ".gz" {
						compress(60, 80) // comes and goes unseen, but for the copy
					} else {
						r.write("app.log", lines(60, 80))
					}
					r.write("app.log", lines(80, 90))
					if stopped {
						r.begin()
					}
					r.settle()
					r.wantLines(90)
					r.restart()
					r.settle()
					r.wantLines(90)
				})
			}
		}
	}
}

// TestRotation_OldestFirst: what was rotated while nothing looked is read before
// the file that has its name now.
func TestRotation_OldestFirst(t *testing.T) {
	r := newRig(t, dirOf(t), nil)
	defer func() { r.stop() }()
	r.step(0)
	const rounds = 4
	for i := range rounds {
		shift(r, "app.log")
		r.write("app.log", lines(i, i+1))
		written := time.Now().Add(time.Duration(i-rounds) * time.Millisecond)
		require.NoError(t, os.Chtimes(r.path("app.log"), written, written))
		if i < rounds-1 {
			r.rename("app.log", "app.log.1")
		}
	}
	r.tailer.dirs[r.dir].dirty = true
	r.tailer.tick()
	g := r.tailer.generationAt(r.path("app.log"))
	for i := 2; i <= rounds; i++ { // the last were renamed once more
		older := r.tailer.generationAt(r.path(fmt.Sprintf("app.log.%d", i)))
		require.NotNil(t, older)
		require.True(t, g.waitsFor(older), "%s waits for %s", g.path, older.path)
		g = older
	}
	r.settle()
	r.wantLines(rounds)
	require.True(t, slices.IsSorted(r.got.order), r.got.order)
}

func gzipped(t *testing.T, text string) []byte {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, err := w.Write([]byte(text))
	require.NoError(t, err)
	require.NoError(t, w.Close())
	return b.Bytes()
}

// TestRotation_CompressedWithTheHeadOfAnother: a generation that came and went is
// left in its compressed copy, and begins with the same 1024 bytes as the file
// that is followed.
func TestRotation_CompressedWithTheHeadOfAnother(t *testing.T) {
	banner := strings.Repeat("the same in every file\n", 100)
	for name, missed := range map[string]string{"longer": banner + lines(10, 30), "shorter": banner + lines(10, 12), "as long": banner + lines(10, 13)} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, dirOf(t), nil)
			defer func() { r.stop() }()
			r.write("app.log", banner+lines(0, 3))
			r.settle()
			require.NoError(t, os.WriteFile(r.path("app.log.1.gz"), gzipped(t, missed), 0o644))
			r.settle()
			require.Contains(t, r.got.order, "line 000011")
			n := len(r.got.order)
			require.NoError(t, os.WriteFile(r.path("app.log.2.gz"), gzipped(t, banner+lines(0, 3)), 0o644))
			r.settle()
			require.Len(t, r.got.order, n, "this one is a copy")
		})
	}
}

// TestRotation_CompressedWaitsForRoom: that a file cannot be unpacked now says
// nothing about it.
func TestRotation_CompressedWaitsForRoom(t *testing.T) {
	for name, late := range map[string]func(r *rig, data []byte){
		"no room to unpack": func(r *rig, data []byte) {
			r.tailer.config.SpoolDir = r.path("absent")
			require.NoError(r.t, os.WriteFile(r.path("app.log.1.gz"), data, 0o644))
			for range 3 {
				r.settle()
			}
			r.step(2 * time.Minute)
			require.Empty(r.t, r.got.order)
			r.tailer.config.SpoolDir = os.TempDir()
		},
		"still being written": func(r *rig, data []byte) {
			require.NoError(r.t, os.WriteFile(r.path("app.log.1.gz"), data[:len(data)/2], 0o644))
			for range 3 {
				r.settle()
			}
			require.Empty(r.t, r.got.order)
			require.NoError(r.t, os.WriteFile(r.path("app.log.1.gz"), data, 0o644))
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, dirOf(t), nil)
			defer func() { r.stop() }()
			r.step(0)
			late(r, gzipped(t, lines(0, 100)))
			for range 3 {
				r.settle()
			}
			r.wantLines(100)
		})
	}
}

func TestRotation_DamagedCompressedIsLeftAlone(t *testing.T) {
	r := newRig(t, dirOf(t), nil)
	r.step(0)
	require.NoError(t, os.WriteFile(r.path("app.log.1.gz"), []byte("no gzip at all"), 0o644))
	for range 10 {
		r.settle()
	}
	require.Empty(t, r.tailer.waiting)
	require.Zero(t, r.tailer.open)
	require.Contains(t, r.logged.String(), "cannot be unpacked")
	r.stop()
}
