//go:build unix && !linux

package tail

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

func (s *stat) from(st *unix.Stat_t) {
	s.id = identity{uint64(st.Dev), uint64(st.Ino)}
	s.size = st.Size
	s.mtime = st.Mtim.Nano()
	s.links = uint64(st.Nlink)
	s.regular = st.Mode&unix.S_IFMT == unix.S_IFREG
	s.dir = st.Mode&unix.S_IFMT == unix.S_IFDIR
}

// statBuffer is reused, so that a stat allocates nothing.
type statBuffer struct{ st unix.Stat_t }

func (b *statBuffer) open(fd int, to *stat) error {
	if err := unix.Fstat(fd, &b.st); err != nil {
		return err
	}
	to.from(&b.st)
	return nil
}

func (b *statBuffer) path(path string, to *stat) error {
	if err := unix.Stat(path, &b.st); err != nil {
		return err
	}
	to.from(&b.st)
	return nil
}

// openFile opens a regular file without any effect on it: it never waits for a
// writer of a FIFO and never becomes a controlling terminal.
func openFile(path string) (int, error) {
	for {
		fd, err := unix.Open(path, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
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
		if err != nil || n == 0 {
			return total, err
		}
		total += n
	}
	return total, nil
}

func stale(err error) bool { return errors.Is(err, unix.ESTALE) || errors.Is(err, unix.EBADF) }

// openFilesDefault is 80 % of what the process may open.
func openFilesDefault() int {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil || uint64(limit.Cur) > 1<<20 {
		return 1 << 19
	}
	return max(64, int(limit.Cur/10*8))
}

// duplicate returns a descriptor of f that lives on after f is closed.
func duplicate(f *os.File) (int, error) {
	fd, err := unix.Dup(int(f.Fd()))
	if err == nil {
		unix.CloseOnExec(fd)
	}
	return fd, err
}
