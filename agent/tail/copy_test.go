package tail

import (
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
