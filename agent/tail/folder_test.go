package tail

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

const testKey = "inside *.log"

// folderRig is a rig without patterns of its own. Its folders are set by the test.
func folderRig(t *testing.T, start StartKind, folders ...Folder) *rig {
	return newRig(t, t.TempDir(), func(c *Config) {
		c.Include, c.Keys, c.Start = nil, []string{testKey}, Start{Kind: start}
	}).set(folders...)
}

func (r *rig) set(folders ...Folder) *rig {
	r.t.Helper()
	for i := range folders {
		folders[i].Key, folders[i].Sealed = testKey, true
	}
	require.NoError(r.t, r.tailer.SetFolders(folders))
	return r
}

func (r *rig) folder(name string, include ...string) Folder {
	r.t.Helper()
	require.NoError(r.t, os.MkdirAll(r.path(name), 0o755))
	return Folder{Dir: r.path(name), Include: include}
}

func (r *rig) code(name string) Reason {
	for _, s := range r.tailer.status() {
		if s.Path == r.path(name) {
			return s.Code
		}
	}
	return "none"
}

func TestFolders_ComeAndGo(t *testing.T) {
	r := folderRig(t, StartEnd)
	a, b := r.folder("a", "log/*.log"), r.folder("b [x]", "log/**/*.log")
	b.Exclude = []string{"log/no"}
	for _, dir := range []string{"a/log", "b [x]/log/deep/er", "b [x]/log/no"} {
		require.NoError(t, os.MkdirAll(r.path(dir), 0o755))
	}
	r.write("a/log/1.log", "a1\n")
	r.write("a/log/1.txt", "not meant\n")
	r.write("a/other.log", "not meant\n")
	r.settle()
	require.Empty(t, r.got.order)

	r.set(a)
	r.settle()
	require.False(t, r.tailer.dirs[r.path("a/log")].hinted, "older kernels give no hints of what is written through an overlay")
	require.Equal(t, []string{"a1"}, r.got.order, "a folder that comes later is read from its beginning")
	r.set(a, b)
	r.write("b [x]/log/2.log", "b2\n")
	r.write("b [x]/log/deep/er/3.log", "b3\n")
	r.write("b [x]/log/no/4.log", "excluded\n")
	r.settle()
	require.ElementsMatch(t, []string{"a1", "b2", "b3"}, r.got.order)

	// One that is gone with lines that are not read yet.
	r.write("a/log/1.log", "a4\n")
	require.NoError(t, os.RemoveAll(r.path("a")))
	r.set(b)
	r.settle()
	require.ElementsMatch(t, []string{"a1", "b2", "b3", "a4"}, r.got.order)
	for path := range r.tailer.dirs {
		require.Contains(t, path, "b [x]")
	}
	require.Zero(t, r.tailer.Counters().LostBytes)

	// What was read stays known over a restart, also while its folder is not named.
	r.stop()
	r.begin()
	r.step(time.Minute)
	r.settle()
	r.set(b)
	r.write("b [x]/log/2.log", "b5\n")
	r.settle()
	require.ElementsMatch(t, []string{"a1", "b2", "b3", "a4", "b5"}, r.got.order)
	require.Zero(t, r.tailer.Counters().LostBytes)
}

func TestFolders_StartIsForThoseThatWereThere(t *testing.T) {
	r := newRig(t, t.TempDir(), func(c *Config) { c.Include, c.Keys, c.Start = nil, []string{testKey}, Start{Kind: StartEnd} })
	a, b := r.folder("a", "*.log"), r.folder("b", "*.log")
	a.Early = true
	r.write("a/1.log", "old\n")
	r.write("b/1.log", "new\n")
	r.settle()
	r.set(a, b) // as when its labels took a while to be known
	r.settle()
	require.Equal(t, []string{"new"}, r.got.order)
	r.write("a/2.log", "later\n")
	r.write("a/1.log", "more\n")
	r.settle()
	require.ElementsMatch(t, []string{"new", "later", "more"}, r.got.order)
	r.set(a, b, r.folder("c", "*.log")) // another comes, and a file at the same time
	r.write("a/4.log", "at the same time\n")
	r.settle()
	require.ElementsMatch(t, []string{"new", "later", "more", "at the same time"}, r.got.order)

	// At the next start the key is known: what has appeared since is all read.
	r.stop()
	r.write("a/3.log", "while it was away\n")
	r.begin()
	r.set(a, b)
	r.settle()
	require.ElementsMatch(t, []string{"new", "later", "more", "at the same time", "while it was away"}, r.got.order)
}

// TestFolders_LinksLeadNowhere: whoever writes into a sealed folder cannot make the
// agent read what lies outside, by a link instead of a file, of a folder, or of one
// that was read before.
func TestFolders_LinksLeadNowhere(t *testing.T) {
	r := folderRig(t, StartBeginning)
	secret := filepath.Join(t.TempDir(), "secret.log")
	require.NoError(t, os.WriteFile(secret, []byte("secret\n"), 0o600))
	a := r.folder("a", "**/*.log")
	require.NoError(t, os.Symlink(secret, r.path("a/link.log")))
	require.NoError(t, os.Symlink(filepath.Dir(secret), r.path("a/dir")))
	require.NoError(t, os.Symlink("real.log", r.path("a/inside.log")))
	r.write("a/real.log", "mine\n")
	require.NoError(t, os.Mkdir(r.path("a/sub"), 0o755))
	r.write("a/sub/secret.log", "sub\n")
	r.set(a)
	r.settle()
	require.ElementsMatch(t, []string{"mine", "sub"}, r.got.order)
	require.Equal(t, SealedLink, r.code("a/link.log"))
	require.Equal(t, SealedLink, r.code("a/inside.log"))

	// A folder that was scanned is replaced by a link: what is found in it now cannot
	// be opened, and what was is not opened again.
	require.NoError(t, os.RemoveAll(r.path("a/sub")))
	require.NoError(t, os.Symlink(filepath.Dir(secret), r.path("a/sub")))
	r.settle()
	_, err := openSealed(r.path("a/sub/secret.log"))
	require.Error(t, err)
	_, err = openSealed(r.path("a/link.log"))
	require.Error(t, err)
	fd, err := openSealed(r.path("a/real.log"))
	require.NoError(t, err)
	closeFile(fd)
	// The folder itself, and one above it.
	require.NoError(t, os.Rename(r.path("a"), r.path("a2")))
	require.NoError(t, os.Symlink(filepath.Dir(secret), r.path("a")))
	r.settle()
	require.ElementsMatch(t, []string{"mine", "sub"}, r.got.order)
	require.NotContains(t, strings.Join(r.got.order, ""), "secret")
	for _, f := range r.tailer.status() {
		require.NotContains(t, f.Path, "secret", "what lies outside is not even listed")
	}
	require.Equal(t, SealedLink, r.code("a"))
}

// TestFolders_HeldFilesAreThereWhenTheyAreLetGo, from where they were found on, and
// also if they were deleted meanwhile.
func TestFolders_HeldFilesAreThereWhenTheyAreLetGo(t *testing.T) {
	r := folderRig(t, StartEnd)
	a := r.folder("a", "*.log")
	a.Early, a.Hold = true, true
	r.write("a/1.log", "before\n")
	r.set(a)
	r.settle()
	r.write("a/1.log", "one\n")
	r.write("a/2.log", "two\n")
	r.settle()
	r.rename("a/1.log", "a/1.log.1")
	r.write("a/1.log", "three\n")
	r.settle()
	require.NoError(t, os.Remove(r.path("a/2.log")))
	r.step(time.Minute)
	require.Empty(t, r.got.order)
	a.Hold = false
	r.set(a)
	r.settle()
	require.ElementsMatch(t, []string{"one", "two", "three"}, r.got.order)
	require.Zero(t, r.tailer.Counters().LostBytes)

	// Longer than deleted files are held open is not waited.
	a.Hold = true
	r.set(a)
	r.write("a/4.log", "four\n")
	r.settle()
	require.NoError(t, os.Remove(r.path("a/4.log")))
	r.step(2 * time.Second)
	r.step(2 * time.Hour)
	r.settle()
	require.EqualValues(t, len("four\n"), r.tailer.Counters().LostBytes)
}

func TestFolders_Faults(t *testing.T) {
	r := folderRig(t, StartBeginning)
	for _, f := range []Folder{{Dir: "a", Include: []string{"*"}}, {Dir: "/a/", Include: []string{"*"}}, {Dir: "/a", Include: []string{"["}}, {Dir: "/a", Exclude: []string{"/x"}}} {
		require.Error(t, r.tailer.SetFolders([]Folder{f}), f)
	}
}

func TestFolders_BelowAndMatch(t *testing.T) {
	all := folderGlobs{}
	require.NoError(t, all.add(&Folder{Dir: "/v/a*", Include: []string{"log/*/x.log"}}))
	g := &all.include[0]
	require.Equal(t, "/v/a*/log", filepath.ToSlash(g.base))
	for path, want := range map[string]bool{"/v/a*/log/1/x.log": true, "/v/ab/log/1/x.log": false, "/v/a*/log/x.log": false, "/v/a*": false} {
		require.Equal(t, want, g.match(path), path)
	}
	for dir, want := range map[string]bool{"/v/a*/log": true, "/v/a*/log/1": true, "/v/a*/log/1/2": false, "/v/a*/no": false, "/v/ab/log": false} {
		require.Equal(t, want, g.below(dir), dir)
	}
}

// TestFolders_DeletedFilesOutliveAChangeOfTheInput, also while their folder is not
// named again: it is gone.
func TestFolders_DeletedFilesOutliveAChangeOfTheInput(t *testing.T) {
	estate := &Estate{}
	r := newRig(t, t.TempDir(), func(c *Config) {
		c.Include, c.Keys, c.Start, c.Estate = nil, []string{testKey}, Start{Kind: StartBeginning}, estate
	})
	a := r.folder("a", "*.log")
	r.set(a)
	r.write("a/1.log", "one\n")
	r.settle()
	r.write("a/1.log", "two\n")
	require.NoError(t, os.RemoveAll(r.path("a")))
	r.restart() // before it was seen
	r.set()
	r.settle()
	require.Equal(t, []string{"one", "two"}, r.got.order)
	r.step(time.Minute)
	r.settle()
	require.Zero(t, r.tailer.Counters().LostBytes)
}
