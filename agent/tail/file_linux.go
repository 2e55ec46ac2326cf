package tail

import (
	"bytes"
	"encoding/binary"
	"os"
	"strconv"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

// openQuietly leaves the access time of a file alone.
const openQuietly = unix.O_NOATIME

// openSearch opens a directory to look names up in it, which needs no right to list it.
const openSearch = unix.O_PATH

// nextData returns the first offset at or after off that is not in a hole.
func nextData(fd int, off int64) int64 {
	next, err := unix.Seek(fd, off, unix.SEEK_DATA)
	if err != nil || next < off {
		return off
	}
	return next
}

// pathOf returns where an open file is now, "" if it is nowhere.
func pathOf(fd int) string {
	path, err := os.Readlink("/proc/self/fd/" + strconv.Itoa(fd))
	if err != nil || !strings.HasPrefix(path, "/") || strings.HasSuffix(path, " (deleted)") {
		return ""
	}
	return path
}

// localDir reports whether dir is on a file system on which only this kernel
// writes, so that it knows of every write. All that are not known are not.
func localDir(dir string) bool {
	var st unix.Statfs_t
	for {
		err := unix.Statfs(dir, &st)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return false
		}
		break
	}
	const zfs, ntfs3 = 0x2fc12fc1, 0x7366746e
	switch uint32(st.Type) { // its type depends on the processor
	case unix.EXT4_SUPER_MAGIC, unix.XFS_SUPER_MAGIC, unix.BTRFS_SUPER_MAGIC, unix.F2FS_SUPER_MAGIC,
		unix.TMPFS_MAGIC, unix.RAMFS_MAGIC, unix.OVERLAYFS_SUPER_MAGIC,
		unix.MSDOS_SUPER_MAGIC, unix.EXFAT_SUPER_MAGIC, unix.REISERFS_SUPER_MAGIC, zfs, ntfs3:
		return true
	}
	return false
}

// dirReader lists directories with one buffer and no allocation for an entry.
type dirReader struct{ buf []byte }

// read calls each for every entry but . and ..; name is lent.
func (r *dirReader) read(path string, each func(name []byte, ino uint64, kind entryKind)) error {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return err
	}
	defer func() { _ = unix.Close(fd) }()
	if r.buf == nil {
		r.buf = make([]byte, 32<<10)
	}
	for {
		n, err := unix.ReadDirent(fd, r.buf)
		if err == unix.EINTR {
			continue
		}
		if err != nil || n <= 0 {
			return err
		}
		eachDirent(r.buf[:n], each)
	}
}

// direntNameOffset is where the name begins in a directory entry of the kernel:
// after inode (8), offset (8), record length (2) and type (1).
const direntNameOffset = int(unsafe.Offsetof(unix.Dirent{}.Name))

func eachDirent(buf []byte, each func(name []byte, ino uint64, kind entryKind)) {
	for len(buf) > direntNameOffset {
		size := int(binary.NativeEndian.Uint16(buf[16:]))
		if size <= direntNameOffset || size > len(buf) {
			return
		}
		name := buf[direntNameOffset:size]
		if i := bytes.IndexByte(name, 0); i >= 0 {
			name = name[:i]
		}
		ino := binary.NativeEndian.Uint64(buf)
		if ino != 0 && string(name) != "." && string(name) != ".." {
			each(name, ino, kindOf(buf[18]))
		}
		buf = buf[size:]
	}
}

func kindOf(t byte) entryKind {
	switch t {
	case unix.DT_REG:
		return kindFile
	case unix.DT_DIR:
		return kindDir
	case unix.DT_LNK:
		return kindLink
	case unix.DT_UNKNOWN:
		return kindUnknown
	}
	return kindOther
}
