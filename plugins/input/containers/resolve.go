package containers

import (
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"strings"
)

// linksMax is how many symbolic links a path may have, as in the kernel.
const linksMax = 40

// resolveIn returns the path without symbolic links that p, a path of the host, has
// where the host's root is mounted: a link leads where it does on the host, and never
// out of root.
func resolveIn(root, p string) (string, error) {
	at, rest, links := "/", elements(path.Clean(p)), 0
	for len(rest) > 0 {
		name := rest[0]
		rest = rest[1:]
		if name == ".." {
			at = path.Dir(at)
			continue
		}
		next := path.Join(at, name)
		info, err := os.Lstat(filepath.Join(root, next))
		if err != nil {
			return "", fmt.Errorf("cannot find %s on the host: %w", p, err)
		}
		if info.Mode()&os.ModeSymlink == 0 {
			at = next
			continue
		}
		target, err := os.Readlink(filepath.Join(root, next))
		if err != nil {
			return "", fmt.Errorf("cannot follow the link %s of the host: %w", next, err)
		}
		if links++; links > linksMax {
			return "", fmt.Errorf("cannot find %s on the host: %w", p, errors.New("its links lead in a circle"))
		}
		if path.IsAbs(target) {
			at = "/"
		}
		var names []string
		for _, n := range strings.Split(target, "/") {
			if n != "" && n != "." {
				names = append(names, n)
			}
		}
		rest = append(names, rest...)
	}
	return filepath.Join(root, at), nil
}
