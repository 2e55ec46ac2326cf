package tail

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestJudge_NamesTheRule(t *testing.T) {
	p, err := ParsePatterns(
		[]string{"/var/log/app.log", "/srv/**/*.log", "/opt/*/x.log", "/srv/keep/*.log", "/srv/cache/keep/*.log"},
		[]string{"/srv/**/debug*.log", "/srv/cache", "/opt/b"},
	)
	require.NoError(t, err)
	for _, c := range []struct {
		path    string
		why     Reason
		pattern string
	}{
		{"/var/log/app.log", "", "/var/log/app.log"},
		{"/var/log/other.log", NoInclude, ""},
		{"/srv/a.log", "", "/srv/**/*.log"},
		{"/srv/a/b/c.log", "", "/srv/**/*.log"},
		{"/srv/a/b/c/d.log", TooDeep, "/srv/**/*.log"},
		{"/srv/a/debug1.log", Excluded, "/srv/**/debug*.log"},
		{"/srv/cache/a.log", Excluded, "/srv/cache"},
		{"/srv/cache/keep/a.log", "", "/srv/**/*.log"},
		{"/opt/a/x.log", "", "/opt/*/x.log"},
		{"/opt/b/x.log", Excluded, "/opt/b"},
		{"/srv/keep/a.log", "", "/srv/**/*.log"},
	} {
		why, pattern := p.Judge(c.path, 2)
		require.Equal(t, c.why, why, c.path)
		require.Equal(t, c.pattern, pattern, c.path)
	}
	_, err = ParsePatterns([]string{"relative"}, nil)
	require.ErrorContains(t, err, "include")
	_, err = ParsePatterns(nil, []string{"relative"})
	require.ErrorContains(t, err, "exclude")
}

// TestJudge_IsWhatTheTailerDoes compares the words with what is read.
func TestJudge_IsWhatTheTailerDoes(t *testing.T) {
	dir := dirOf(t)
	r := newRig(t, dir, func(c *Config) {
		c.Include = []string{filepath.Join(dir, "**", "*.log"), filepath.Join(dir, "one", "x.txt")}
		c.Exclude = []string{filepath.Join(dir, "**", "no*.log"), filepath.Join(dir, "cache")}
		c.DirDepthMax = 2
	})
	defer func() { r.stop() }()
	names := []string{
		"a.log", "a.txt", "no.log", "one/a.log", "one/x.txt", "one/no.log", "one/two/a.log",
		"one/two/three/a.log", "cache/a.log", "cache/two/a.log", "one/cache/a.log",
	}
	for _, name := range names {
		require.NoError(t, os.MkdirAll(filepath.Dir(r.path(name)), 0o755))
		r.write(name, "line\n")
	}
	r.settle()
	read := map[string]bool{}
	for _, s := range r.tailer.status() {
		read[s.Path] = s.Acked == 5
	}
	for _, name := range names {
		why, _ := r.tailer.patterns.Judge(r.path(name), r.config.DirDepthMax)
		require.Equal(t, why == "", read[r.path(name)], "%s: %s", name, why)
	}
}

func statusOf(r *rig, path string) (s FileStatus) {
	r.t.Helper()
	for _, s = range r.tailer.status() {
		if s.Path == path {
			return s
		}
	}
	r.t.Fatalf("no status of %s", path)
	return s
}

func TestStatus_KnowsWhereReadingBegan(t *testing.T) {
	r := newRig(t, dirOf(t), func(c *Config) { c.Start = Start{Kind: StartEnd} })
	defer func() { r.stop() }()
	path := r.path("app.log")
	require.NoError(t, os.WriteFile(path, []byte(lines(0, 3)), 0o600))
	size := int64(len(lines(0, 3)))
	r.settle()
	s := statusOf(r, path)
	require.Equal(t, size, s.Start)
	require.Equal(t, BeforeStart, s.Code)

	r.restart()
	r.settle()
	s = statusOf(r, path)
	require.Equal(t, size, s.Start, "known while nothing was read")
	require.Equal(t, BeforeStart, s.Code)

	r.write("app.log", lines(3, 4))
	r.settle()
	s = statusOf(r, path)
	require.Equal(t, size, s.Start)
	require.Empty(t, s.Code)

	r.restart()
	r.settle()
	s = statusOf(r, path)
	require.EqualValues(t, -1, s.Start)
	require.Empty(t, s.Code)
	require.Equal(t, size, Began(r.store, "p", s.Generation, 0, 7, size))
	require.EqualValues(t, -1, Began(r.store, "p", s.Generation, 0, 7))
	require.Zero(t, Began(r.store, "p", "another", size))
}

func TestStatus_CodesSayWhyAFileIsNotRead(t *testing.T) {
	dir := dirOf(t)
	r := newRig(t, dir, func(c *Config) {
		c.Include, c.FilesMax, c.DirsMax = []string{filepath.Join(dir, "**", "*.log")}, 2, 2
	})
	defer func() { r.stop() }()
	r.write("a.log", lines(0, 1))
	r.step(time.Second)
	require.NoError(t, os.MkdirAll(r.path("one"), 0o755))
	r.settle()
	require.NoError(t, os.MkdirAll(r.path("two"), 0o755))
	require.NoError(t, os.WriteFile(r.path("two/y.log"), []byte("y\n"), 0o600))
	r.settle()
	folder := statusOf(r, r.path("two"))
	require.Equal(t, TooManyFolders, folder.Code)
	require.Contains(t, folder.Fix, "include")
	require.NoError(t, os.Remove(r.path("one"))) // now there is room
	r.settle()
	r.step(10 * time.Second)
	r.settle()
	require.EqualValues(t, 2, statusOf(r, r.path("two/y.log")).Acked)
	require.NoError(t, os.Symlink("/dev/null", r.path("null.log")))
	r.settle()
	require.Equal(t, NotRegular, statusOf(r, r.path("null.log")).Code)
	r.write("c.log", lines(2, 3))
	r.settle()
	c := statusOf(r, r.path("c.log"))
	require.Equal(t, TooManyFiles, c.Code)
	require.Contains(t, c.Fix, "max_files")
}

func TestStatus_ACopyIsOne(t *testing.T) {
	dir := dirOf(t)
	r := newRig(t, dir, func(c *Config) { c.Include = []string{filepath.Join(dir, "app.log*")} })
	defer func() { r.stop() }()
	r.write("app.log", lines(0, 500))
	r.settle()
	r.copy("app.log", "app.log.1")
	r.settle()
	r.wantLines(500)
	require.Equal(t, Copied, statusOf(r, r.path("app.log.1")).Code)
	require.Empty(t, statusOf(r, r.path("app.log")).Code)
	r.restart()
	r.settle()
	require.Equal(t, Copied, statusOf(r, r.path("app.log.1")).Code)
}

func TestLoopOf_NamesTheLink(t *testing.T) {
	dir := dirOf(t)
	require.NoError(t, os.MkdirAll(filepath.Join(dir, "a", "b"), 0o755))
	require.NoError(t, os.Symlink(filepath.Join(dir, "a"), filepath.Join(dir, "a", "b", "back")))
	require.NoError(t, os.MkdirAll(filepath.Join(dir, "other"), 0o755))
	require.NoError(t, os.Symlink(filepath.Join(dir, "other"), filepath.Join(dir, "a", "b", "side")))
	r := newRig(t, dir, func(c *Config) { c.Include = []string{filepath.Join(dir, "a", "**", "*.log")} })
	defer func() { r.stop() }()
	for path, loop := range map[string]string{
		"a/b/back/x.log": "a/b/back", "a/b/side/x.log": "", "a/x.log": "", "a/b/back/b/x.log": "a/b/back",
	} {
		if loop != "" {
			loop = filepath.Join(dir, loop)
		}
		require.Equal(t, loop, r.tailer.patterns.LoopOf(filepath.Join(dir, path)), path)
	}
	require.NoError(t, os.WriteFile(filepath.Join(dir, "a", "x.log"), []byte("x\n"), 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "other", "x.log"), []byte("x\n"), 0o600))
	r.settle()
	for _, s := range r.tailer.status() { // the tailer thinks the same
		require.NotContains(t, s.Path, "back")
	}
	require.EqualValues(t, 2, statusOf(r, filepath.Join(dir, "a", "b", "side", "x.log")).Acked)
}

func TestRotatedFrom_FindsTheNameThatIsRead(t *testing.T) {
	p, err := ParsePatterns([]string{"/var/log/app.log"}, nil)
	require.NoError(t, err)
	for path, want := range map[string]string{
		"/var/log/app.log.1": "/var/log/app.log", "/var/log/app.log.2.gz": "/var/log/app.log", "/var/log/app.log.gz": "/var/log/app.log",
		"/var/log/app-20260304.log": "/var/log/app.log", "/var/log/app.log": "", "/var/log/other.log.1": "", "/srv/app.log.1": "",
	} {
		require.Equal(t, want, p.RotatedFrom(path), path)
	}
}
