package tail

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// quietRig has one file that has been quiet for long, and one that is rotated.
func quietRig(t *testing.T) *rig {
	r := newRig(t, dirOf(t), nil)
	r.write("app.log", lines(0, 1))
	for range 60 {
		r.step(time.Second)
	}
	r.wantLines(1)
	for _, d := range r.tailer.dirs {
		d.hinted = true // also where the tests run on a file system without
	}
	return r
}

func TestQuiet_AskedAtOnceAfterAHint(t *testing.T) {
	r := quietRig(t)
	defer func() { r.stop() }()
	r.write("app.log", lines(1, 2))
	r.step(0)
	r.wantLines(2)
	for n := 3; n < 10; n++ { // now it is active
		r.write("app.log", lines(n-1, n))
		r.step(200 * time.Millisecond)
		r.wantLines(n)
	}
}

func TestQuiet_AskedWithinTheLongestIntervalWhenHintsAreLost(t *testing.T) {
	r := quietRig(t)
	defer func() { r.stop() }()
	r.deaf = true
	r.write("app.log", lines(1, 2))
	for range quietLongest / int64(200*time.Millisecond) {
		r.step(200 * time.Millisecond)
	}
	r.wantLines(2)
}

func TestQuiet_AskedAtEachVisitWithoutHints(t *testing.T) {
	for name, lose := range map[string]func(*rig){
		"directory without hints": func(r *rig) { noHints(r.tailer) },
		"overflow":                func(r *rig) { r.tailer.hints.note("", true) },
		"hard link": func(r *rig) {
			require.NoError(r.t, os.Link(r.path("app.log"), r.path("other.log")))
			r.step(longest)
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := quietRig(t)
			defer func() { r.stop() }()
			r.deaf = true
			lose(r)
			r.write("app.log", lines(1, 2))
			r.step(0)
			r.wantLines(2)
		})
	}
}

const longest = time.Duration(quietLongest)

func TestQuiet_HintUnderAnotherName(t *testing.T) {
	dir := dirOf(t)
	require.NoError(t, os.Mkdir(filepath.Join(dir, "real"), 0o755))
	r := newRig(t, dir, nil)
	defer func() { r.stop() }()
	r.write("real/target", lines(0, 1))
	require.NoError(t, os.Symlink(r.path("real/target"), r.path("app.log")))
	for range 60 {
		r.step(time.Second)
	}
	r.wantLines(1)
	g := r.tailer.generationAt(r.path("real/target"))
	require.NotNil(t, g)
	require.Equal(t, g, r.tailer.generationAt(r.path("app.log")))
	require.False(t, g.hinted())
	require.Nil(t, r.tailer.generationAt(r.path("none")))
	require.Nil(t, r.tailer.generationAt("/none/none"))
}

// TestQuiet_HintOfTheKernel appends to a quiet file while only hints can tell of
// it: the tailer's clock stands still, so that no interval ever ends.
func TestQuiet_HintOfTheKernel(t *testing.T) {
	r := quietRig(t)
	if err := r.tailer.hints.failure; err != nil {
		t.Skip(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { r.tailer.hints.run(ctx); close(ended) }()
	defer func() { cancel(); <-ended; r.stop() }()
	r.deaf = true
	r.write("app.log", lines(1, 2))
	select {
	case <-r.tailer.wrote:
	case <-time.After(10 * time.Second):
		t.Skip("the system gives no hints of writes")
	}
	r.tailer.checkWritten(r.tailer.now())
	for r.tailer.readers[0].step(ctx, r.got) {
	}
	r.wantLines(2)
}

func TestHints_NameABusyFileOnceInAWhile(t *testing.T) {
	h := newHints(make(chan struct{}, 1), make(chan struct{}, 1))
	defer h.close()
	now := time.Now()
	require.True(t, h.wrote("/a", now))
	require.False(t, h.wrote("/a", now.Add(writePause-1)))
	require.True(t, h.wrote("/b", now))
	require.Len(t, h.takeWritten(map[string]bool{}), 2)
	require.Empty(t, h.takeWritten(map[string]bool{}))
	require.True(t, h.wrote("/a", now.Add(writePause)))
	require.Len(t, h.takeWritten(map[string]bool{}), 1)
}
