package wasmhost

import (
	"hash/crc32"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// mapping is what this machine takes at least to make the machine code in a cache
// ready to run: to read the file to fresh memory, go through it once, and let it be
// executed. The runtime can do no less.
func mapping(t *testing.T, cache string) time.Duration {
	t.Helper()
	var path string
	var size int64
	require.NoError(t, filepath.WalkDir(cache, func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err == nil && info.Size() > size {
			path, size = p, info.Size()
		}
		return err
	}))
	table := crc32.MakeTable(crc32.Castagnoli)
	return least(0, func() time.Duration {
		f, err := os.Open(path)
		require.NoError(t, err)
		defer func() { _ = f.Close() }()
		began := time.Now()
		code, err := unix.Mmap(-1, 0, int(size), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
		require.NoError(t, err)
		_, err = io.ReadFull(f, code)
		require.NoError(t, err)
		_ = crc32.Checksum(code, table)
		require.NoError(t, unix.Mprotect(code, unix.PROT_READ|unix.PROT_EXEC))
		took := time.Since(began)
		require.NoError(t, unix.Munmap(code))
		return took
	})
}
