//go:build unix

package access

import (
	"errors"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"
)

func file(t *testing.T, mode fs.FileMode) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "a b.log")
	require.NoError(t, os.WriteFile(path, nil, 0o600))
	require.NoError(t, os.Chmod(path, mode))
	return path
}

func TestTheFixIsTheSmallestChange(t *testing.T) {
	denied := &fs.PathError{Op: "open", Path: "x", Err: fs.ErrPermission}
	private := file(t, 0o600)
	p := Explain(private, denied)
	require.Equal(t, "no permission (-rw-------)", p.Reason)
	require.Equal(t, "sudo setfacl -m u:"+userName()+`:rX "`+private+`"`, p.Fix)

	folder := filepath.Dir(private)
	p = Explain(folder, denied)
	require.Equal(t, "this user may not look into the folder", p.Reason)
	require.Equal(t, "sudo setfacl -m u:"+userName()+`:rx "`+folder+`"`, p.Fix)

	gone := filepath.Join(folder, "gone")
	require.Equal(t, Problem{"no permission", "sudo setfacl -m u:" + userName() + `:rX "` + gone + `"`}, Explain(gone, denied))
	require.Equal(t, Problem{Reason: "broken"}, Explain(private, errors.New("broken")))
}

func TestTheFixNamesTheGroupThatMayRead(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root gives files away")
	}
	adm, err := user.LookupGroup("adm")
	if err != nil {
		t.Skip(err)
	}
	gid, err := strconv.Atoi(adm.Gid)
	require.NoError(t, err)
	shared := file(t, 0o640)
	require.NoError(t, os.Chown(shared, 0, gid))
	require.Contains(t, Explain(shared, fs.ErrPermission).Fix, "usermod -aG adm "+userName())
	require.NoError(t, os.Chown(shared, 0, 0))
	require.Contains(t, Explain(shared, fs.ErrPermission).Fix, "setfacl", "nobody should join root's group")
	require.NoError(t, os.Chown(shared, 0, gid))
	require.NoError(t, os.Chmod(shared, 0o600))
	require.Contains(t, Explain(shared, fs.ErrPermission).Fix, "setfacl", "the group may not read either")
}

func TestTheFolderThatIsClosedIsNamed(t *testing.T) {
	dir := t.TempDir()
	outer := filepath.Join(dir, "outer")
	path := filepath.Join(outer, "inner", "a.log")
	require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o700))
	require.NoError(t, os.WriteFile(path, nil, 0o600))
	require.NoError(t, os.Chmod(outer, 0o600))
	t.Cleanup(func() { _ = os.Chmod(outer, 0o700) })
	var err error
	var got Problem
	look := func() {
		_, err = os.Open(path)
		got = Explain(path, err)
	}
	if os.Getuid() == 0 { // no folder is closed to root
		require.NoError(t, os.Chmod(dir, 0o755))
		require.NoError(t, os.Chmod(filepath.Dir(dir), 0o755))
		asNobody(t, look)
	} else {
		look()
	}
	require.ErrorIs(t, err, fs.ErrPermission)
	require.Equal(t, Problem{
		"this user may not look into the folder " + outer,
		"sudo setfacl -m u:" + userName() + `:x "` + outer + `"`,
	}, got)
}
