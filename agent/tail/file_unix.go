//go:build unix

package tail

import (
	"errors"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

func (s *stat) from(st *unix.Stat_t) {
	s.id = identity{uint64(st.Dev), uint64(st.Ino)} // their types depend on the system
	s.size = st.Size
	s.mtime = st.Mtim.Nano()
	s.links = uint64(st.Nlink)
	s.regular = st.Mode&unix.S_IFMT == unix.S_IFREG
	s.dir = st.Mode&unix.S_IFMT == unix.S_IFDIR
}

// statBuffer is reused, so that a stat allocates nothing.
type statBuffer struct{ st unix.Stat_t }

func (b *statBuffer) open(fd int, to *stat) error {
	for {
		err := unix.Fstat(fd, &b.st)
		if err == unix.EINTR {
			continue
		}
		if err == nil {
			to.from(&b.st)
		}
		return err
	}
}

func (b *statBuffer) path(path string, to *stat) error {
	for {
		err := unix.Stat(path, &b.st)
		if err == unix.EINTR {
			continue
		}
		if err == nil {
			to.from(&b.st)
		}
		return err
	}
}

// openFile opens a regular file without any effect on it: it never waits for a
// writer of a FIFO, never becomes a controlling terminal, and leaves the access
// time alone where the agent may.
func openFile(path string) (int, error) {
	const flags = unix.O_RDONLY | unix.O_NONBLOCK | unix.O_NOCTTY | unix.O_CLOEXEC
	for noatime := openQuietly; ; {
		fd, err := unix.Open(path, flags|noatime, 0)
		switch {
		case err == unix.EINTR:
		case err == unix.EPERM && noatime != 0:
			noatime = 0
		default:
			return fd, err
		}
	}
}

// openSealed is openFile for an absolute path of which no element may be a symbolic
// link. It goes from folder to folder, so that one that is put in their place in the
// meantime is not followed either.
func openSealed(path string) (int, error) {
	dir, err := openSealedDir(filepath.Dir(path))
	if err != nil {
		return -1, err
	}
	defer closeFile(dir)
	const flags = unix.O_RDONLY | unix.O_NONBLOCK | unix.O_NOCTTY | unix.O_NOFOLLOW | unix.O_CLOEXEC
	name := filepath.Base(path)
	fd, err := openAt(dir, name, flags|openQuietly)
	if errors.Is(err, unix.EPERM) && openQuietly != 0 {
		return openAt(dir, name, flags)
	}
	return fd, err
}

// openSealedDir opens a directory in that way, to look names up in it.
func openSealedDir(path string) (int, error) {
	const flags = unix.O_RDONLY | unix.O_DIRECTORY | unix.O_NOFOLLOW | unix.O_CLOEXEC | openSearch
	dir, err := openAt(unix.AT_FDCWD, "/", flags)
	for name := range strings.SplitSeq(strings.Trim(path, "/"), "/") {
		if err != nil || name == "" {
			break
		}
		next, failed := openAt(dir, name, flags)
		closeFile(dir)
		dir, err = next, failed
	}
	return dir, err
}

func openAt(dir int, name string, flags int) (int, error) {
	for {
		fd, err := unix.Openat(dir, name, flags, 0)
		if err != unix.EINTR {
			return fd, err
		}
	}
}

func closeFile(fd int) { _ = unix.Close(fd) } // read only: nothing can be lost

func readAt(fd int, p []byte, off int64) (int, error) {
	total := 0
	for total < len(p) {
		n, err := unix.Pread(fd, p[total:], off+int64(total))
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return total, err
		}
		if n == 0 {
			break
		}
		total += n
	}
	return total, nil
}

// stale reports whether an error means that the open file can no longer be used,
// as on a network file system that was mounted again.
func stale(err error) bool { return errors.Is(err, unix.ESTALE) || errors.Is(err, unix.EBADF) }

// openFilesDefault is 80 % of what the process may open: the rest is for sockets
// and the cache.
func openFilesDefault() int {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil || uint64(limit.Cur) > 1<<20 {
		return 1 << 19
	}
	return max(64, int(limit.Cur/10*8))
}

// duplicate returns a descriptor of f that lives on after f is closed.
func duplicate(f *os.File) (int, error) {
	raw, err := f.SyscallConn()
	if err != nil {
		return -1, err
	}
	fd := -1
	var dupErr error
	err = raw.Control(func(old uintptr) { fd, dupErr = unix.FcntlInt(old, unix.F_DUPFD_CLOEXEC, 0) })
	return fd, errors.Join(err, dupErr)
}
