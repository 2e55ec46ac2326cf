package tail

import (
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/windows"
)

// statBuffer is there for the systems that need one.
type statBuffer struct {
	info windows.ByHandleFileInformation
}

func (b *statBuffer) open(fd int, to *stat) error {
	if err := windows.GetFileInformationByHandle(windows.Handle(fd), &b.info); err != nil {
		return err
	}
	i := &b.info
	to.id = identity{uint64(i.VolumeSerialNumber), uint64(i.FileIndexHigh)<<32 | uint64(i.FileIndexLow)}
	to.size = int64(i.FileSizeHigh)<<32 | int64(i.FileSizeLow)
	to.mtime = i.LastWriteTime.Nanoseconds()
	to.links = uint64(i.NumberOfLinks)
	to.dir = i.FileAttributes&windows.FILE_ATTRIBUTE_DIRECTORY != 0
	to.regular = !to.dir && i.FileAttributes&windows.FILE_ATTRIBUTE_DEVICE == 0
	return nil
}

func (b *statBuffer) path(path string, to *stat) error {
	fd, err := openHandle(path, 0, windows.FILE_FLAG_BACKUP_SEMANTICS)
	if err != nil {
		return err
	}
	defer closeFile(fd)
	return b.open(fd, to)
}

// openFile opens a file so that others may go on writing, renaming and deleting
// it.
func openFile(path string) (int, error) { return openHandle(path, windows.GENERIC_READ, 0) }

// openSealed refuses: there are no sealed folders on this system.
func openSealed(path string) (int, error) {
	return -1, fmt.Errorf("cannot open %s without following links on this system", path)
}

// openSealedDir refuses likewise.
func openSealedDir(path string) (int, error) { return openSealed(path) }

func openHandle(path string, access, flags uint32) (int, error) {
	name, err := windows.UTF16PtrFromString(path)
	if err != nil {
		return -1, err
	}
	const share = windows.FILE_SHARE_READ | windows.FILE_SHARE_WRITE | windows.FILE_SHARE_DELETE
	h, err := windows.CreateFile(name, access, share, nil, windows.OPEN_EXISTING, flags, 0)
	if err != nil {
		return -1, err
	}
	return int(h), nil
}

func closeFile(fd int) { _ = windows.CloseHandle(windows.Handle(fd)) } // read only: nothing can be lost

func readAt(fd int, p []byte, off int64) (int, error) {
	total := 0
	for total < len(p) {
		at := off + int64(total)
		o := windows.Overlapped{Offset: uint32(at), OffsetHigh: uint32(at >> 32)}
		var n uint32
		err := windows.ReadFile(windows.Handle(fd), p[total:], &n, &o)
		if errors.Is(err, windows.ERROR_HANDLE_EOF) || errors.Is(err, io.EOF) || err == nil && n == 0 {
			break
		}
		if err != nil {
			return total, err
		}
		total += int(n)
	}
	return total, nil
}

func stale(err error) bool { return errors.Is(err, windows.ERROR_INVALID_HANDLE) }

func openFilesDefault() int { return 1 << 16 }

// duplicate returns a handle of f that lives on after f is closed.
func duplicate(f *os.File) (int, error) {
	self := windows.CurrentProcess()
	var h windows.Handle
	err := windows.DuplicateHandle(self, windows.Handle(f.Fd()), self, &h, 0, false, windows.DUPLICATE_SAME_ACCESS)
	return int(h), err
}
