//go:build !linux

package tail

import (
	"io/fs"
	"os"
)

// openQuietly is nothing: reading a file changes its access time.
const openQuietly = 0

// openSearch is nothing: a directory must be readable to look names up in it.
const openSearch = 0

// localDir reports false: what hints there are about writes is not relied on.
func localDir(string) bool { return false }

// dirReader lists directories.
type dirReader struct{}

// read calls each for every entry; name is lent. Where the system does not tell
// the inode it is taken from the file itself.
func (r *dirReader) read(path string, each func(name []byte, ino uint64, kind entryKind)) error {
	entries, err := os.ReadDir(path)
	if err != nil {
		return err
	}
	var buf statBuffer
	for _, e := range entries {
		kind := kindOther
		switch {
		case e.IsDir():
			kind = kindDir
		case e.Type()&fs.ModeSymlink != 0:
			kind = kindLink
		case e.Type().IsRegular():
			kind = kindFile
		}
		var st stat
		if kind == kindFile || kind == kindDir {
			if err := buf.path(path+string(os.PathSeparator)+e.Name(), &st); err != nil {
				continue // gone again
			}
		}
		each([]byte(e.Name()), st.id.ino, kind)
	}
	return nil
}

// nextData returns off: holes are read as zeros.
func nextData(_ int, off int64) int64 { return off }

// pathOf returns "": an open file does not tell where it is.
func pathOf(int) string { return "" }
