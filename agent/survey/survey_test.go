package survey

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

func write(t *testing.T, path, content string) string {
	t.Helper()
	require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o700))
	require.NoError(t, os.WriteFile(path, []byte(content), 0o600))
	return path
}

func TestFindTellsLogsFromTheRest(t *testing.T) {
	dir := t.TempDir()
	syslog := write(t, filepath.Join(dir, "syslog"), "Mar 12 08:15:02 web1 sshd[912]: Accepted publickey\n")
	deep := write(t, filepath.Join(dir, "app", "x", "app.log"), "hello\n")
	write(t, filepath.Join(dir, "wtmp"), "a\x00b")
	write(t, filepath.Join(dir, "empty.log"), "")
	write(t, filepath.Join(dir, "app.log.1"), "old\n")
	write(t, filepath.Join(dir, "app.log.2.gz"), "old\n")
	write(t, filepath.Join(dir, "journal", "system.log"), "x\n")
	write(t, filepath.Join(dir, "testdata", "case.log"), "x\n")
	write(t, filepath.Join(dir, "state", "own.log"), "x\n")
	write(t, filepath.Join(dir, "a", "b", "c", "too-deep.log"), "x\n")
	require.NoError(t, os.Symlink(syslog, filepath.Join(dir, "link")))
	require.NoError(t, os.Symlink(write(t, filepath.Join(t.TempDir(), "outside"), "x\n"), filepath.Join(dir, "way-out")))

	files := Find([]Root{{Dir: dir, DepthMax: 2}}, filepath.Join(dir, "state"))
	got := map[string]string{}
	for _, f := range files {
		require.Empty(t, f.Problem)
		got[f.Path] = f.Format.Name
	}
	require.Equal(t, map[string]string{syslog: "syslog", deep: "plain"}, got)
}

func TestSuffixesNarrowAFolder(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "notes.txt"), "x\n")
	log := write(t, filepath.Join(dir, "a.log"), "x\n")
	files := Find([]Root{{Dir: dir, Suffixes: []string{".log"}}}, "")
	require.Len(t, files, 1)
	require.Equal(t, log, files[0].Path)
}
