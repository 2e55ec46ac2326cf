package tail

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wasmtail/wasmtail/internal/record"
)

func TestStart_PolicyForFilesThatWereThere(t *testing.T) {
	for _, c := range []struct {
		start string
		want  int // first line delivered
	}{
		{"end", 100},
		{"beginning", 0},
		{"last 60B", 95},
		{"last 61B", 95},
		{"last 1MiB", 0},
		{"since 2h", 0},
		{"since 1ms", 100},
	} {
		t.Run(c.start, func(t *testing.T) {
			dir := dirOf(t)
			start, err := ParseStart(c.start, time.Now().Add(time.Second))
			require.NoError(t, err)
			require.NoError(t, os.WriteFile(filepath.Join(dir, "app.log"), []byte(lines(0, 100)), 0o644))
			require.NoError(t, os.WriteFile(filepath.Join(dir, "app.log.1"), []byte("history\n"), 0o644))
			past := time.Now().Add(-48 * time.Hour)
			require.NoError(t, os.Chtimes(filepath.Join(dir, "app.log.1"), past, past))
			r := newRig(t, dir, func(cfg *Config) { cfg.Start = start })
			defer func() { r.stop() }()
			r.settle()
			r.write("app.log", lines(100, 105))
			r.settle()
			require.Equal(t, strings.Split(strings.TrimSpace(lines(c.want, 105)), "\n"), r.all())
			r.stop()
			r.write("app.log", lines(105, 106))
			r.begin() // the checkpoint wins over the policy, history stays history
			r.rename("app.log.1", "app.log.2")
			r.settle()
			require.Equal(t, strings.Split(strings.TrimSpace(lines(c.want, 106)), "\n"), r.all())
		})
	}
}

func TestParseStart_Faults(t *testing.T) {
	for _, text := range []string{"", "middle", "last", "last x", "since", "since yesterday", "end now", "since -2h"} {
		_, err := ParseStart(text, time.Now())
		require.Error(t, err, text)
	}
	s, err := ParseStart("since 2026-01-02T03:04:05Z", time.Now())
	require.NoError(t, err)
	require.Equal(t, "2026-01-02T03:04:05Z", s.Since.UTC().Format(time.RFC3339))
}

func TestStart_NewPatternOnAKnownPipeline(t *testing.T) {
	r := newRig(t, dirOf(t), func(c *Config) { c.Start = Start{Kind: StartEnd} })
	r.settle()
	r.stop()
	r.write("other.log", "history\n")
	r.write("app.log", "appeared\n")
	r.config.Include = append(r.config.Include, r.path("other.log"))
	r.begin()
	defer func() { r.stop() }()
	r.settle()
	require.Equal(t, []string{"appeared"}, r.all())
}

// A file can be made and rotated while the agent is away that knew the pattern, but
// no file of it: the rotated one is not history.
func TestStart_MadeAndRotatedWhileStopped(t *testing.T) {
	r := newRig(t, dirOf(t), nil)
	at := func(name string, when time.Time) { require.NoError(t, os.Chtimes(r.path(name), when, when)) }
	r.write("app.log.2", "history\n")
	at("app.log.2", r.now.Add(-time.Hour))
	require.False(t, r.tailer.Ready())
	r.settle()
	require.True(t, r.tailer.Ready())
	r.stop()
	r.now = r.now.Add(time.Hour)
	r.write("app.log", lines(0, 5))
	at("app.log", r.now)
	r.rename("app.log", "app.log.1")
	r.write("app.log", lines(5, 10))
	r.now = r.now.Add(time.Hour)
	r.begin()
	defer func() { r.stop() }()
	r.settle()
	r.wantLines(10)
}

func TestPartial_DeliveredAfterTimeoutAndContinued(t *testing.T) {
	r := newRig(t, dirOf(t), nil)
	defer func() { r.stop() }()
	r.write("app.log", "whole\nfirst")
	r.step(time.Second)
	require.Equal(t, []string{"whole"}, r.got.order)
	r.step(6 * time.Second)
	require.Equal(t, []string{"whole", "first"}, r.got.order)
	r.restart()
	r.write("app.log", " second\nnext\n")
	r.settle()
	require.Equal(t, []string{"whole", "first", " second", "next"}, r.got.order)
	for _, records := range r.got.records {
		require.Equal(t, []record.Mark{0, record.Partial, record.Partial, 0},
			[]record.Mark{records[0].marks, records[1].marks, records[2].marks, records[3].marks})
	}
}

func TestPartial_LineEndAloneIsNoRecord(t *testing.T) {
	r := newRig(t, dirOf(t), nil)
	defer func() { r.stop() }()
	r.write("app.log", "first")
	r.settle()
	r.write("app.log", "\n")
	r.settle()
	require.Equal(t, []string{"first"}, r.got.order)
	require.EqualValues(t, 0, r.tailer.status()[0].Lag)
}

func TestTruncate_RegrownBeyondThePosition(t *testing.T) {
	r := newRig(t, dirOf(t), nil)
	defer func() { r.stop() }()
	r.write("app.log", lines(0, 10))
	r.settle()
	r.truncate("app.log")
	r.write("app.log", lines(10, 50))
	r.settle()
	r.wantLines(50)
	require.EqualValues(t, 1, r.tailer.counters.Truncated)
}

func TestTruncate_SameSize(t *testing.T) {
	r := newRig(t, dirOf(t), nil)
	defer func() { r.stop() }()
	r.write("app.log", lines(0, 10))
	r.settle()
	r.truncate("app.log")
	r.write("app.log", lines(10, 20))
	r.settle()
	r.wantLines(20)
}

func TestTruncate_HoleIsPassedOver(t *testing.T) {
	r := newRig(t, dirOf(t), nil)
	defer func() { r.stop() }()
	f, err := os.Create(r.path("app.log")) // a writer without O_APPEND
	require.NoError(t, err)
	defer func() { _ = f.Close() }()
	_, _ = f.WriteString(lines(0, 100_000))
	r.settle()
	r.copy("app.log", "app.log.1")
	r.truncate("app.log")
	_, _ = f.WriteString(lines(100_000, 100_010))
	r.settle()
	r.wantLines(100_010)
	for _, s := range r.tailer.status() {
		if s.Path == r.path("app.log") {
			require.EqualValues(t, 1_200_000, s.SkippedNULs)
		}
	}
	require.Zero(t, r.tailer.counters.LostBytes)
}

func TestIdentity_SameHead(t *testing.T) {
	head := strings.Repeat("the same first line in both files\n", 100)
	r := newRig(t, dirOf(t), func(c *Config) { c.Include = []string{filepath.Join(filepath.Dir(c.Include[0]), "*.log")} })
	defer func() { r.stop() }()
	r.write("syslog.log", head)
	r.write("messages.log", head)
	r.settle()
	require.Len(t, r.got.order, 200)
	r.restart()
	r.settle()
	r.remove("syslog.log")
	r.write("syslog.log", head+"new\n")
	r.settle()
	require.Len(t, r.got.order, 301)
}

func TestIdentity_InodeReusedWhileStopped(t *testing.T) {
	r := newRig(t, dirOf(t), nil)
	defer func() { r.stop() }()
	r.write("app.log", lines(0, 10))
	r.settle()
	r.stop()
	r.remove("app.log")
	r.write("app.log", lines(10, 40))
	r.begin()
	r.settle()
	r.wantLines(40)
}

func TestIdentity_HardLinkIsReadOnce(t *testing.T) {
	r := newRig(t, dirOf(t), func(c *Config) { c.Include = []string{filepath.Join(filepath.Dir(c.Include[0]), "*.log")} })
	defer func() { r.stop() }()
	r.write("app.log", lines(0, 10))
	require.NoError(t, os.Link(r.path("app.log"), r.path("link.log")))
	r.settle()
	r.write("link.log", lines(10, 20))
	r.settle()
	r.remove("app.log")
	r.settle()
	r.write("link.log", lines(20, 30))
	r.settle()
	r.wantLines(30)
}

func TestSymlink_SwitchedAndLooping(t *testing.T) {
	r := newRig(t, dirOf(t), func(c *Config) {
		c.Include = []string{filepath.Join(filepath.Dir(c.Include[0]), "links/**/*.log")}
	})
	defer func() { r.stop() }()
	require.NoError(t, os.MkdirAll(r.path("links/sub"), 0o755))
	require.NoError(t, os.MkdirAll(r.path("data"), 0o755))
	require.NoError(t, os.Symlink(r.path("links"), r.path("links/sub/loop")))
	require.NoError(t, os.Symlink("..", r.path("links/sub/up")))
	n := 0
	for i := range 30 {
		target := fmt.Sprintf("data/%d", i)
		r.write(target, lines(n, n+5))
		require.NoError(t, os.Symlink(r.path(target), r.path("links/new")))
		r.rename("links/new", "links/app.log")
		r.step(1100 * time.Millisecond)
		r.write(target, lines(n+5, n+8)) // to the old one, after the switch
		n += 8
	}
	r.settle()
	r.wantLines(n)
}

func TestSymlink_TargetIsRotated(t *testing.T) {
	r := newRig(t, dirOf(t), func(c *Config) {
		c.Include = []string{filepath.Join(filepath.Dir(c.Include[0]), "containers/*.log")}
	})
	defer func() { r.stop() }()
	require.NoError(t, os.MkdirAll(r.path("containers"), 0o755))
	require.NoError(t, os.MkdirAll(r.path("pods"), 0o755))
	r.write("pods/0.log", lines(0, 5))
	require.NoError(t, os.Symlink(r.path("pods/0.log"), r.path("containers/c.log")))
	r.settle()
	n := 5
	for i := range 5 {
		r.write("pods/0.log", lines(n, n+5))
		r.rename("pods/0.log", fmt.Sprintf("pods/0.log.2026112%d", i)) // two between looks
		r.write("pods/0.log", lines(n+5, n+10))
		r.rename("pods/0.log", fmt.Sprintf("pods/0.log.2026122%d", i))
		r.write("pods/0.log", lines(n+10, n+15))
		n += 15
		r.step(1100 * time.Millisecond)
	}
	r.settle()
	r.wantLines(n)
}

func TestDiscovery_NewDirectoriesDepthAndExclude(t *testing.T) {
	r := newRig(t, dirOf(t), func(c *Config) {
		dir := filepath.Dir(c.Include[0])
		c.Include = []string{filepath.Join(dir, "**/*.log")}
		c.Exclude = []string{filepath.Join(dir, "**/debug.log"), filepath.Join(dir, "private")}
		c.DirDepthMax = 3
	})
	defer func() { r.stop() }()
	r.settle()
	for _, dir := range []string{"a/b", "a/b/c/d", "private"} {
		require.NoError(t, os.MkdirAll(r.path(dir), 0o755))
	}
	r.write("a/b/app.log", "found\n")
	r.write("a/b/debug.log", "excluded\n")
	r.write("private/app.log", "excluded\n")
	r.write("a/b/c/d/app.log", "too deep\n")
	r.step(time.Second)
	r.step(time.Second)
	require.Equal(t, []string{"found"}, r.got.order)
	require.Contains(t, r.logged.String(), "max_depth")
}

func TestLimits_MaxFilesAndOpenFiles(t *testing.T) {
	r := newRig(t, dirOf(t), func(c *Config) {
		c.Include = []string{filepath.Join(filepath.Dir(c.Include[0]), "*.log")}
		c.OpenFilesMax = 5
	})
	defer func() { r.stop() }()
	for round := range 3 {
		for i := range 20 {
			r.write(fmt.Sprintf("%d.log", i), fmt.Sprintf("file %d round %d\n", i, round))
		}
		for range 12 {
			r.step(6 * time.Second)
			require.LessOrEqual(t, r.tailer.open, 5)
		}
		require.Len(t, r.got.order, 20*(round+1))
	}
}

func TestRotation_ThousandFilesAtOnce(t *testing.T) {
	r := newRig(t, dirOf(t), func(c *Config) { c.Include = []string{filepath.Join(filepath.Dir(c.Include[0]), "*.log")} })
	defer func() { r.stop() }()
	want := 0
	for round := range 3 {
		for i := range 1000 {
			name := fmt.Sprintf("f%d.log", i)
			r.write(name, fmt.Sprintf("file %d round %d\n", i, round))
			if round > 0 {
				r.rename(name, fmt.Sprintf("%s.%d", name, 9-round))
				r.write(name, fmt.Sprintf("file %d round %d again\n", i, round))
				want++
			}
			want++
		}
		r.settle()
		require.Len(t, r.got.order, want)
	}
	saves := r.fs.Calls()
	require.Less(t, saves, 100, "new files are saved in groups")
}

func TestRotation_FastChainKeepFive(t *testing.T) {
	for _, looksEvery := range []int{1, 2, 4} {
		r := newRig(t, dirOf(t), nil)
		n := 0
		for i := range 200 {
			r.write("app.log", lines(n, n+3))
			n += 3
			for k := 4; k > 0; k-- {
				if _, err := os.Lstat(r.path(fmt.Sprintf("app.log.%d", k))); err == nil {
					r.rename(fmt.Sprintf("app.log.%d", k), fmt.Sprintf("app.log.%d", k+1))
				}
			}
			r.rename("app.log", "app.log.1")
			if i%looksEvery == 0 {
				r.step(50 * time.Millisecond)
			}
		}
		r.settle()
		r.wantLines(n)
		r.stop()
	}
}

func TestDeleted_HeldUntilDeliveredOrReleased(t *testing.T) {
	r := newRig(t, dirOf(t), nil)
	defer func() { r.stop() }()
	r.write("app.log", lines(0, 10))
	r.got.hold = true
	r.settle()
	r.remove("app.log")
	for range 30 {
		r.step(time.Minute)
	}
	require.Equal(t, 1, r.tailer.open)
	for range 40 {
		r.step(time.Minute)
	}
	require.Equal(t, 0, r.tailer.open)
	require.EqualValues(t, 120, r.tailer.counters.LostBytes)
	require.Contains(t, r.logged.String(), "bytes 0 to 120")
}

func TestEstate_DeletedFilesAreReadByTheNextTailer(t *testing.T) {
	r := newRig(t, dirOf(t), func(c *Config) { c.Estate = &Estate{} })
	r.write("app.log", lines(0, 5))
	r.settle()
	r.got.hold = true
	r.write("app.log", lines(5, 8)) // is read, and not acknowledged
	r.step(time.Second)
	r.rename("app.log", "app.log.1")
	r.write("app.log", lines(8, 10))
	r.step(time.Second)
	r.got.release(false)
	r.got.order = r.got.order[:5]
	r.got.hold = false
	r.remove("app.log.1")
	r.remove("app.log")
	r.restart()
	r.write("app.log", lines(10, 12))
	r.settle()
	r.wantLines(12)
	require.Zero(t, r.tailer.Counters().LostBytes)

	r.write("app.log", lines(12, 13))
	r.remove("app.log")
	r.config.Include = []string{r.path("other.log")} // nobody comes for it
	r.restart()
	r.settle()
	require.Zero(t, r.tailer.open)
	r.stop()
	require.Empty(t, r.config.Estate.files)
}

func TestForgets_FilesThatAreGone(t *testing.T) {
	r := newRig(t, dirOf(t), nil)
	defer func() { r.stop() }()
	for range 50 {
		r.write("app.log", lines(0, 1))
		r.step(time.Second)
		r.remove("app.log")
		r.step(10 * time.Second)
	}
	r.step(2 * time.Minute)
	r.step(2 * time.Minute)
	require.Empty(t, r.store.Sources("p"))
	require.Empty(t, r.tailer.byID)
	require.Empty(t, r.tailer.families)
	require.Empty(t, r.tailer.closed)
	require.Zero(t, r.tailer.open)
}

func TestLostCheckpoint_ReadsAgainFromTheStart(t *testing.T) {
	r := newRig(t, dirOf(t), func(c *Config) { c.Start = Start{Kind: StartEnd} })
	r.write("app.log", lines(0, 5))
	r.settle()
	r.stop()
	names, err := r.fs.List("/state")
	require.NoError(t, err)
	for _, name := range names {
		r.fs.Edit("/state/"+name, func(p []byte) []byte { clear(p); return p })
	}
	r.begin()
	defer func() { r.stop() }()
	r.settle()
	require.NotEmpty(t, r.got.order)
}

func TestFullDisk_NewFilesWaitAndNothingIsLost(t *testing.T) {
	r := newRig(t, dirOf(t), nil)
	defer func() { r.stop() }()
	r.write("app.log", lines(0, 5))
	r.settle()
	r.fs.Fault = func(int, string, string) error { return errTest }
	n := 5
	for range 4 {
		r.rename("app.log", fmt.Sprintf("app.log.%d", n))
		r.write("app.log", lines(n, n+5))
		n += 5
		r.step(200 * time.Millisecond)
	}
	require.Len(t, r.got.order, 5)
	r.fs.Fault = nil
	r.settle()
	r.wantLines(n)
}

func TestLongLine_IsSplitAndTheFileGoesOn(t *testing.T) {
	r := newRig(t, dirOf(t), func(c *Config) { c.RecordBytesMax = 1 << 20; c.BatchBytesMax = 64 << 10 })
	defer func() { r.stop() }()
	r.write("app.log", "before\n"+strings.Repeat("x", 5<<20)+"\nafter\n")
	r.settle()
	require.Len(t, r.got.order, 7)
	require.Equal(t, "after", r.got.order[6])
	require.Len(t, r.got.order[1], 1<<20)
}

// TestLongLine_BehindAShortOneInOneRead: the buffer grows for the long line while
// the position behind the short one is marked.
func TestLongLine_BehindAShortOneInOneRead(t *testing.T) {
	r := newRig(t, dirOf(t), nil)
	defer func() { r.stop() }()
	r.write("app.log", strings.Repeat("a line before\n", 50))
	r.settle()
	long := strings.Repeat("x", readBytes+1000)
	r.write("app.log", "short\n"+long)
	r.step(time.Second)
	r.write("app.log", "\nafter\n")
	r.settle()
	require.Len(t, r.got.order, 53)
	require.Equal(t, []string{"short", long, "after"}, r.got.order[50:])
}

func TestSameContentTwice_IsTwoFiles(t *testing.T) {
	r := newRig(t, dirOf(t), func(c *Config) { c.Include = []string{filepath.Join(filepath.Dir(c.Include[0]), "*")} })
	defer func() { r.stop() }()
	for _, name := range []string{"a", "b", "app-1.log", "app-2.log"} {
		r.write(name, "same\n")
	}
	r.settle()
	r.settle()
	require.Equal(t, "same same same same", strings.Join(r.got.order, " "))
}

func TestForgets_FilesGoneWhileStopped(t *testing.T) {
	r := newRig(t, dirOf(t), func(c *Config) {
		c.Include = []string{filepath.Join(filepath.Dir(c.Include[0]), "*/app.log")}
	})
	for _, dir := range []string{"a", "b"} {
		require.NoError(t, os.Mkdir(r.path(dir), 0o755))
		r.write(dir+"/app.log", lines(0, 5))
	}
	r.settle()
	r.got.hold = true
	r.write("a/app.log", lines(5, 10))
	r.settle()
	r.stop()
	require.NoError(t, os.RemoveAll(r.path("a")))
	r.remove("b/app.log")
	r.begin()
	defer func() { r.stop() }()
	r.step(time.Second)
	require.Len(t, r.store.Sources("p"), 2)
	r.step(time.Minute)
	require.Empty(t, r.store.Sources("p"))
	require.EqualValues(t, 60, r.tailer.counters.LostBytes)
}
