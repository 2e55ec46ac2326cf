// Package access says why this user may not read a file or folder, and which
// command lets it.
//
// It asks the file system about the path and the folders above it, and the user
// database about names. It changes nothing, keeps no state and starts no
// goroutines.
package access

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
)

// Problem is what keeps this user from reading.
type Problem struct {
	// Reason says what is wrong, in a few words.
	Reason string
	// Fix is the command that mends it, "" if there is none.
	Fix string
}

// Explain says what the error err, met when path was opened or listed, is about.
// A fix is the smallest change that lets this user read: joining the group that
// may read, else an entry in an access list.
func Explain(path string, err error) Problem {
	if !errors.Is(err, fs.ErrPermission) {
		return Problem{Reason: err.Error()}
	}
	name := userName()
	if dir := closedFolder(path); dir != "" {
		return Problem{
			Reason: fmt.Sprintf("this user may not look into the folder %s", dir),
			Fix:    grant(name, "x", dir),
		}
	}
	info, err := os.Stat(path)
	if err != nil {
		return Problem{Reason: "no permission", Fix: grant(name, "rX", path)}
	}
	if info.IsDir() {
		return Problem{Reason: "this user may not look into the folder", Fix: grant(name, "rx", path)}
	}
	p := Problem{Reason: fmt.Sprintf("no permission (%s)", info.Mode().Perm()), Fix: grant(name, "rX", path)}
	if group := groupOf(info); group != "" && info.Mode().Perm()&0o040 != 0 {
		p.Fix = fmt.Sprintf("sudo usermod -aG %s %s   # then log in again", group, name)
	}
	return p
}

// closedFolder is the topmost folder above path that this user may not pass
// through, "" if there is none.
func closedFolder(path string) string {
	dir := filepath.Dir(path)
	if dir == path {
		return ""
	}
	if above := closedFolder(dir); above != "" {
		return above
	}
	if _, err := os.Lstat(path); errors.Is(err, fs.ErrPermission) {
		return dir
	}
	return ""
}

func userName() string {
	if u, err := user.Current(); err == nil {
		return u.Username
	}
	return "USER"
}
