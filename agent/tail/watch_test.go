package tail

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// sinkFunc is a Sink that does something first.
type sinkFunc struct {
	*collector
	before func() error
}

func (s sinkFunc) Lines(ctx context.Context, l *Lines, done func(bool)) error {
	if err := s.before(); err != nil {
		return err
	}
	return s.collector.Lines(ctx, l, done)
}

// TestReader_DoesNotTakeWhatIsIdle: only the watch takes a generation out of
// idle. Else a reader could read a file in the moment in which it is closed.
func TestReader_DoesNotTakeWhatIsIdle(t *testing.T) {
	r := newRig(t, dirOf(t), nil)
	defer func() { r.stop() }()
	r.write("app.log", lines(0, 1))
	r.rename("app.log", "app.log.1")
	r.write("app.log", lines(1, 2))
	r.settle()
	older, younger := r.tailer.generationAt(r.path("app.log.1")), r.tailer.generationAt(r.path("app.log"))
	older.drained.Store(false)
	younger.older.Store(older)
	younger.reader.schedule(younger)
	younger.reader.step(context.Background(), r.got)
	require.Equal(t, idle, older.state)
	require.Equal(t, idle, younger.state, "it does not go round in the queue meanwhile")
	r.write("app.log", lines(2, 3))
	r.settle()
	r.wantLines(3)
}

func TestReader_RestsWhileTheOlderCannotBeRead(t *testing.T) {
	r := newRig(t, dirOf(t), nil)
	defer func() { r.stop() }()
	r.write("app.log", lines(0, 1))
	r.settle()
	older := r.tailer.generationAt(r.path("app.log"))
	r.rename("app.log", "app.log.1")
	r.write("app.log", lines(1, 2))
	older.drained.Store(false)
	older.setState(unborn) // the checkpoint cannot be saved
	r.tailer.dirs[r.dir].dirty = true
	for range 20 {
		r.now = r.now.Add(10 * time.Millisecond)
		r.tailer.tick()
		for turns := 0; r.tailer.readers[0].step(context.Background(), r.got); turns++ {
			require.Less(t, turns, 10, "the reader goes round in circles")
		}
	}
	r.wantLines(1)
	older.setState(idle)
	r.settle()
	r.wantLines(2)
}

// TestReader_GrownWhileItWasRead: the watch sees the growth while the reader is
// about to say that the file is at its end.
func TestReader_GrownWhileItWasRead(t *testing.T) {
	r := newRig(t, dirOf(t), nil)
	defer func() { r.stop() }()
	r.write("app.log", lines(0, 1))
	r.settle()
	g := r.tailer.generationAt(r.path("app.log"))
	g.setState(running)
	r.write("app.log", lines(1, 2))
	r.tailer.check(g, r.tailer.now())
	require.EqualValues(t, len(lines(0, 2)), g.size)
	g.setState(idle)
	r.step(0)
	r.wantLines(2)
}

func TestReader_ErrorDelaysNoLine(t *testing.T) {
	r := newRig(t, dirOf(t), nil)
	defer func() { r.stop() }()
	r.write("app.log", lines(0, 1))
	r.tailer.tick()
	for r.tailer.readers[0].step(context.Background(), sinkFunc{r.got, func() error { return errTest }}) {
	}
	r.step(0)
	require.Empty(t, r.got.order)
	r.config.PartialTimeout = time.Hour
	r.tailer.config.PartialTimeout = time.Hour // it is a whole line, and not waited for
	r.step(time.Duration(retryInterval))
	r.step(0)
	r.wantLines(1)
}

func TestStop_ClosesWhatIsNotSettled(t *testing.T) {
	r := newRig(t, dirOf(t), nil)
	r.step(0)
	r.write("app.log", lines(0, 1))
	r.tailer.scan(r.tailer.dirs[r.dir], r.tailer.now())
	require.NotEmpty(t, r.tailer.newcomers)
	require.Equal(t, 1, r.tailer.open)
	r.stop()
	require.Zero(t, r.tailer.open)
}

func TestScan_FailureHalfWay(t *testing.T) {
	r := newRig(t, dirOf(t), func(c *Config) { c.Include = []string{filepath.Join(filepath.Dir(c.Include[0]), "*.log")} })
	defer func() { r.stop() }()
	r.step(0)
	r.write("app.log", lines(0, 1))
	read, fails := r.tailer.readDir, true
	r.tailer.readDir = func(path string, each func([]byte, uint64, entryKind)) error {
		err := read(path, each)
		if fails {
			err = errTest
		}
		return err
	}
	r.step(0)
	require.Empty(t, r.got.order)
	fails = false
	r.settle()
	r.wantLines(1)
	require.Len(t, r.tailer.status(), 1)
}

func TestLose_BeforeItHasACheckpoint(t *testing.T) {
	r := newRig(t, dirOf(t), nil)
	r.step(0)
	r.write("app.log", lines(0, 1))
	r.fs.Fault = func(int, string, string) error { return errTest }
	r.step(0)
	g := r.tailer.generationAt(r.path("app.log"))
	require.Equal(t, unborn, g.state)
	r.tailer.lose(g, os.ErrInvalid)
	r.fs.Fault = nil
	r.settle()
	r.wantLines(1)
	r.stop()
	require.Zero(t, r.tailer.open)
}

func TestLose_LetsTheYoungerGoOn(t *testing.T) {
	r := newRig(t, dirOf(t), nil)
	defer func() { r.stop() }()
	r.write("app.log", lines(0, 1))
	r.settle()
	older := r.tailer.generationAt(r.path("app.log"))
	r.rename("app.log", "app.log.1")
	r.write("app.log", lines(1, 2))
	r.tailer.dirs[r.dir].dirty = true
	older.drained.Store(false)
	r.tailer.tick()
	younger := r.tailer.generationAt(r.path("app.log"))
	require.True(t, younger.waitsFor(older))
	older.setState(stuck)
	r.tailer.lose(older, os.ErrInvalid)
	r.settle()
	r.wantLines(2)
}

// TestDeleted_LastLookBeforeItIsClosed: the writer of a deleted file still has it
// open, and writes after it was asked for its size last.
func TestDeleted_LastLookBeforeItIsClosed(t *testing.T) {
	r := newRig(t, dirOf(t), nil)
	defer func() { r.stop() }()
	f, err := os.Create(r.path("app.log"))
	require.NoError(t, err)
	defer func() { _ = f.Close() }()
	_, _ = f.WriteString(lines(0, 1))
	r.step(0)
	r.remove("app.log")
	r.step(time.Second)
	r.now = r.now.Add(2 * time.Duration(deletedClose))
	_, _ = f.WriteString(lines(1, 2))
	r.tailer.sweep(r.tailer.now())
	r.settle()
	r.wantLines(2)
}

// TestClosed_FoundLaterInAnotherFolder: a closed file is moved, and the folder
// where it is now is looked at only after the one where it was.
func TestClosed_FoundLaterInAnotherFolder(t *testing.T) {
	dir := dirOf(t)
	for _, name := range []string{"a", "b"} {
		require.NoError(t, os.Mkdir(filepath.Join(dir, name), 0o755))
	}
	r := newRig(t, dir, func(c *Config) { c.Include = []string{filepath.Join(dir, "*", "app.log")} })
	defer func() { r.stop() }()
	r.write("a/app.log", lines(0, 1))
	r.settle()
	r.tailer.closeFD(r.tailer.generationAt(r.path("a/app.log")))
	r.rename("a/app.log", "b/app.log")
	r.tailer.scan(r.tailer.dirs[r.path("a")], r.tailer.now())
	r.tailer.sweep(r.tailer.now())
	r.settle()
	r.wantLines(1)
}

func TestClosed_DeletedBeforeItCouldBeReadIsALoss(t *testing.T) {
	r := newRig(t, dirOf(t), nil)
	defer func() { r.stop() }()
	r.write("app.log", lines(0, 1))
	r.settle()
	g := r.tailer.generationAt(r.path("app.log"))
	r.tailer.closeFD(g)
	r.tailer.config.OpenFilesMax = -1 // there is no room to open it again
	r.write("app.log", lines(1, 2))
	r.step(time.Second)
	r.remove("app.log")
	r.settle()
	require.EqualValues(t, 1, r.tailer.counters.LostGenerations)
	require.EqualValues(t, len(lines(1, 2)), r.tailer.counters.LostBytes)
	require.NotContains(t, r.tailer.byID, g.id)
}

func TestSweep_AnEmptyRotatedFileHoldsNothingUp(t *testing.T) {
	r := newRig(t, dirOf(t), nil)
	defer func() { r.stop() }()
	r.write("app.log", lines(0, 1))
	r.settle()
	r.stop()
	r.write("app.log", lines(1, 2))
	r.write("app.log.1", "")
	r.remove("app.log")
	r.begin()
	for range 60 {
		r.step(time.Second)
	}
	require.Len(t, r.tailer.waiting, 1)
	require.Empty(t, r.tailer.orphans)
}

// TestSweep_ForgetsWhatIsGone: names and inodes of files that are gone are not
// remembered for ever.
func TestSweep_ForgetsWhatIsGone(t *testing.T) {
	r := newRig(t, dirOf(t), nil)
	defer func() { r.stop() }()
	r.write("app.log.1.xz", "not ours")
	r.step(0)
	r.step(time.Minute)
	require.Len(t, r.tailer.ignored, 1)
	d := r.tailer.dirs[r.dir]
	for i := range 3 * forgetFrom {
		r.tailer.ignored[identity{0, uint64(i)}] = version{}
		r.tailer.target(r.path(lines(i, i+1)), r.path("link"))
	}
	r.step(time.Minute)
	require.Len(t, r.tailer.ignored, 1)
	require.LessOrEqual(t, len(d.targets), forgetFrom)
}

// TestRotated_BackUnderItsFirstName: what has the name of the live file is not
// closed like a rotated one, which nobody writes to. It would be lost if it grew
// and was deleted between two looks.
func TestRotated_BackUnderItsFirstName(t *testing.T) {
	for name, between := range map[string]func(*rig){
		"while it is followed": func(r *rig) {
			r.rename("app.log.1", "app.log")
			r.step(time.Second)
		},
		"while nothing looks": func(r *rig) {
			r.stop()
			r.rename("app.log.1", "app.log")
			r.begin()
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, dirOf(t), nil)
			defer func() { r.stop() }()
			r.write("app.log", lines(0, 1))
			r.settle()
			r.rename("app.log", "app.log.1")
			r.settle()
			between(r)
			r.settle()
			r.step(time.Hour)
			r.write("app.log", lines(1, 2))
			r.remove("app.log")
			r.settle()
			r.wantLines(2)
		})
	}
}
