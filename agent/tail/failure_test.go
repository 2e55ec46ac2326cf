package tail

import (
	"context"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestFailure_OfANameOutlivesTheOldFileOfThatName: a deleted file that its writer
// still has open is read under its old name. The new file of that name, which
// could not be opened, must be tried again all the same.
func TestFailure_OfANameOutlivesTheOldFileOfThatName(t *testing.T) {
	for name, fails := range map[string]bool{"the old one is read": false, "the old one cannot be read": true} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, dirOf(t), func(c *Config) { c.FilesMax = 1 })
			defer func() { r.stop() }()
			f, err := os.Create(r.path("app.log"))
			require.NoError(t, err)
			defer func() { _ = f.Close() }()
			_, err = f.WriteString(lines(0, 1))
			require.NoError(t, err)
			r.step(0)
			r.remove("app.log")
			r.write("app.log", lines(2, 3))
			r.step(time.Second)
			require.Contains(t, r.tailer.failures, r.path("app.log"))
			if fails {
				r.tailer.fail(r.path("app.log"), "cannot read the file", errTest)
			}
			_, err = f.WriteString(lines(1, 2))
			require.NoError(t, err)
			for range 30 {
				r.step(time.Second)
			}
			r.wantLines(3)
			require.Empty(t, r.tailer.failures)
		})
	}
}

// TestFailure_SinceTheFirst: each attempt to read a file that cannot be read is
// the same failure, until one succeeds.
func TestFailure_SinceTheFirst(t *testing.T) {
	r := newRig(t, dirOf(t), nil)
	defer func() { r.stop() }()
	r.step(0)
	r.write("app.log", lines(0, 1))
	attempts := 0
	sink := sinkFunc{r.got, func() error { attempts++; return errTest }}
	failing := func() (found []FileStatus) {
		for _, s := range r.tailer.status() {
			if s.State == "unreadable" {
				found = append(found, s)
			}
		}
		return found
	}
	var since time.Time
	for range 100 {
		r.now = r.now.Add(time.Second)
		r.tailer.tick()
		for attempts > 0 && r.tailer.readers[0].step(context.Background(), sink) {
			require.Len(t, failing(), 1)
		}
		if attempts == 0 {
			r.tailer.readers[0].step(context.Background(), sink)
			continue
		}
		r.tailer.tick()
		require.Len(t, failing(), 1)
		if since.IsZero() {
			since = failing()[0].BehindSince
		}
		require.Equal(t, since, failing()[0].BehindSince)
	}
	require.Greater(t, attempts, 10)
	r.settle()
	r.settle()
	require.Empty(t, failing())
	r.wantLines(1)
}
