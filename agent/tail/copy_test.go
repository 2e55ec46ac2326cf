package tail

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestCopy_RecognisedAfterARestart copies and truncates a file while nothing
// looks. What the checkpoint says of the original decides: its first bytes, and
// up to 256 before the position. Less than that is taken for a copy while the
// truncated original is there to say that one was made.
func TestCopy_RecognisedAfterARestart(t *testing.T) {
	for name, c := range map[string]struct {
		lines  int
		remove bool // the original, after it was truncated
		times  int
	}{
		"tiny, and the original is there": {1, false, 1},
		"tiny, and the original is gone":  {1, true, 2},
		"a marker long, and gone":         {256/len(lines(0, 1)) + 1, true, 1},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, dirOf(t), nil)
			defer func() { r.stop() }()
			r.write("app.log", lines(0, c.lines))
			r.settle()
			r.copy("app.log", "app.log.1")
			r.truncate("app.log")
			if c.remove {
				r.remove("app.log")
			}
			r.restart()
			r.settle()
			require.Len(t, r.all(), c.times*c.lines)
			require.NotEmpty(t, r.got.order)
		})
	}
}

// TestCopy_ShorterThanWhatWasReadBeforeARestart: the bytes before the position
// are nowhere, so nothing proves that the copy is one.
func TestCopy_ShorterThanWhatWasReadBeforeARestart(t *testing.T) {
	for _, restart := range []bool{false, true} {
		r := newRig(t, dirOf(t), nil)
		r.write("app.log", lines(0, 3))
		r.step(200 * time.Millisecond)
		r.copy("app.log", "app.log.1")
		r.write("app.log", lines(3, 4))
		r.step(200 * time.Millisecond)
		r.truncate("app.log")
		want := strings.Split(strings.TrimSpace(lines(0, 4)), "\n")
		if restart {
			r.stop()
			r.begin()
			want = append(want, strings.Split(strings.TrimSpace(lines(0, 3)), "\n")...)
		}
		r.settle()
		require.Equal(t, want, r.got.order)
		r.restart() // what was found to be a copy stays one
		r.settle()
		require.Equal(t, want, r.got.order)
		r.stop()
	}
}

// TestCopy_EqualBeginningIsNotACopy: a file with the same first line as
// another, rotated and gone while the agent was stopped, is not taken for its copy.
func TestCopy_EqualBeginningIsNotACopy(t *testing.T) {
	r := newRig(t, dirOf(t), func(c *Config) { c.Include = []string{filepath.Join(filepath.Dir(c.Include[0]), "app.log*")} })
	defer func() { r.stop() }()
	const banner = "the same first line\n"
	r.write("app.log", banner)
	r.settle()
	r.stop()
	r.write("app.log.1", banner+"the second life\n") // before the other is gone: it has an inode of its own
	r.remove("app.log")
	r.begin()
	r.settle()
	require.Contains(t, strings.Join(r.got.order, "\n"), "the same first line\nthe same first line\nthe second life")
}

// TestCopy_TheLongestIsTheCopy: a rotated file that has only the first line of
// all of them is also the beginning of every one.
func TestCopy_TheLongestIsTheCopy(t *testing.T) {
	r := newRig(t, dirOf(t), nil)
	defer func() { r.stop() }()
	r.step(0)
	r.write("app.log", lines(0, 1))
	r.rename("app.log", "app.log.2") // is not seen under its first name
	r.write("app.log", lines(0, 2))
	r.step(200 * time.Millisecond)
	r.copy("app.log", "app.log.1")
	r.step(200 * time.Millisecond)
	r.write("app.log", lines(2, 3))
	r.step(200 * time.Millisecond)
	r.truncate("app.log")
	r.settle()
	got := strings.Join(r.got.order, "\n")
	require.Equal(t, 1, strings.Count(got, "line 000001"), got)
	require.Equal(t, 1, strings.Count(got, "line 000002"), got)
}

// TestCopy_OfAFileThatBeginsLikeOneThatIsGone: the copy has the head and the
// marker of the file that is gone, and the bytes of the one that is there.
func TestCopy_OfAFileThatBeginsLikeOneThatIsGone(t *testing.T) {
	r := newRig(t, dirOf(t), nil)
	defer func() { r.stop() }()
	banner := strings.Repeat("the same in every file\n", 100)
	r.write("app.log", banner)
	r.settle()
	r.write("next", banner+lines(0, 3)) // before the other is gone: it has an inode of its own
	r.remove("app.log")
	r.restart()
	r.rename("next", "app.log")
	r.copy("app.log", "app.log.1")
	r.settle()
	require.Equal(t, 1, strings.Count(strings.Join(r.got.order, "\n"), "line 000001"))
}

// TestCopy_OfTheOneOfWhichMostWasRead: after a restart two files of the
// checkpoint begin like the copy, and nothing is left of either but the copy.
func TestCopy_OfTheOneOfWhichMostWasRead(t *testing.T) {
	for range 8 { // they are found in any order
		r := newRig(t, dirOf(t), nil)
		banner := strings.Repeat("the same in every file\n", 100)
		r.write("app.log", banner)
		r.settle()
		r.write("next", banner+lines(0, 3)) // before the other is gone: it has an inode of its own
		r.remove("app.log")
		r.rename("next", "app.log")
		r.settle()
		r.copy("app.log", "app.log.1")
		r.truncate("app.log")
		r.restart()
		r.settle()
		require.Equal(t, 1, strings.Count(strings.Join(r.got.order, "\n"), "line 000001"))
		r.stop()
	}
}

// TestCopy_ThatGrowsIsRead: what was found to be a copy is written to after all.
func TestCopy_ThatGrowsIsRead(t *testing.T) {
	for _, restart := range []bool{false, true} {
		r := newRig(t, dirOf(t), nil)
		r.write("app.log", lines(0, 500))
		r.settle()
		r.copy("app.log", "app.log.1")
		r.settle()
		r.wantLines(500)
		if restart {
			r.restart()
			r.settle()
		}
		r.write("app.log.1", lines(500, 510))
		r.settle()
		r.wantLines(510)
		r.stop()
	}
}

// TestCopy_WithTheInodeOfAFileThatIsGone: the checkpoint knows the inode of the
// copy as that of a file that began alike.
func TestCopy_WithTheInodeOfAFileThatIsGone(t *testing.T) {
	r := newRig(t, dirOf(t), nil)
	defer func() { r.stop() }()
	const banner = "the same in every file\n"
	r.write("app.log", banner)
	r.settle()
	r.stop()
	r.rename("app.log", "app.log.1") // and is written over, as the copy
	r.begin()
	f, err := os.OpenFile(r.path("app.log.1"), os.O_WRONLY|os.O_APPEND, 0)
	require.NoError(t, err)
	_, err = f.WriteString(lines(0, 3))
	require.NoError(t, err)
	require.NoError(t, f.Close())
	r.write("app.log", banner+lines(0, 3))
	r.step(0)
	r.truncate("app.log")
	r.write("app.log", banner+"the next\n")
	r.settle()
	require.Equal(t, 1, strings.Count(strings.Join(r.got.order, "\n"), "line 000001"))
}

// TestCopy_TruncatedBeforeTheFirstLookAtIt: as before, but the copy is first seen
// when its original is already truncated.
func TestCopy_TruncatedBeforeTheFirstLookAtIt(t *testing.T) {
	r := newRig(t, dirOf(t), nil)
	defer func() { r.stop() }()
	const banner = "the same in every file\n"
	r.write("app.log", banner)
	r.settle()
	r.stop()
	r.rename("app.log", "kept") // for its inode
	r.begin()
	r.write("app.log", banner+lines(0, 30))
	r.step(0)
	r.write("kept", lines(0, 30))
	r.rename("kept", "app.log.1")
	r.truncate("app.log")
	r.write("app.log", banner+"the next\n")
	r.settle()
	got := strings.Join(r.got.order, "\n")
	require.Equal(t, 1, strings.Count(got, "line 000001"), got)
	require.Contains(t, got, "the next")
}

// TestCopy_IsKeptOpenWhereAProgramWrites: a copy that is moved to the name of its
// original is a log file like any other. What is written to it is read even if it is
// truncated before, and deleted right after.
func TestCopy_IsKeptOpenWhereAProgramWrites(t *testing.T) {
	for _, restart := range []bool{false, true} {
		r := newRig(t, dirOf(t), nil)
		r.write("app.log", lines(0, 20))
		r.settle()
		r.copy("app.log", "app.log.1")
		r.settle()
		r.remove("app.log")
		r.rename("app.log.1", "app.log")
		if restart {
			r.restart()
		}
		r.settle()
		r.wantLines(20)
		r.truncate("app.log")
		r.write("app.log", lines(20, 25))
		r.remove("app.log")
		r.settle()
		r.wantLines(25)
		r.stop()
	}
}
