package access

import (
	"fmt"
	"io/fs"
)

// grant is the command that lets a user read a path, whatever the rights are
// called elsewhere.
func grant(name, _, path string) string {
	return fmt.Sprintf("icacls %q /grant %q", path, name+":(RX)")
}

// groupOf is "": rights come from access lists.
func groupOf(fs.FileInfo) string { return "" }
