//go:build unix

package access

import (
	"fmt"
	"io/fs"
	"os/user"
	"strconv"
	"syscall"
)

// grant is the command that gives a user rights on a path.
func grant(name, rights, path string) string {
	return fmt.Sprintf("sudo setfacl -m u:%s:%s %q", name, rights, path)
}

// groupOf is the group of a file that one may join, "" if there is none: nobody
// should become a member of root's.
func groupOf(info fs.FileInfo) string {
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return ""
	}
	g, err := user.LookupGroupId(strconv.FormatUint(uint64(st.Gid), 10))
	if err != nil || g.Name == "root" {
		return ""
	}
	return g.Name
}
