package tail

import (
	"bytes"
	"compress/gzip"
	"io"
	"os"
	"path/filepath"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/require"

	"github.com/wasmtail/wasmtail/agent/checkpoint"
)

func TestSame_KnowsTheContentOfACheckpoint(t *testing.T) {
	data := []byte(lines(0, 20_000))
	size := int64(len(data))
	require.Greater(t, size, int64(3*sameBuffer))
	entry := func(acked int64) *checkpoint.Entry {
		e := &checkpoint.Entry{HeadLen: int(min(size, checkpoint.HeadBytesMax)), Acked: acked}
		e.Head = checkpoint.Sum(data[:e.HeadLen])
		e.Marker = checkpoint.Sum(data[acked-min(acked, checkpoint.MarkerBytesMax) : acked])
		return e
	}
	same := func(data []byte, e *checkpoint.Entry) bool {
		ok, err := Same(bytes.NewReader(data), e)
		require.NoError(t, err)
		return ok
	}
	for _, acked := range []int64{0, 1, 255, 256, 1023, 1024, 1025, 5000, sameBuffer - 1, sameBuffer, sameBuffer + 1, sameBuffer + 300, size} {
		e := entry(acked)
		require.True(t, same(data, e), acked)
		if acked > 0 {
			require.False(t, same(data[:acked-1], e), "shorter than %d", acked)
			other := bytes.Clone(data)
			other[acked-1]++
			require.False(t, same(other, e), "another byte before %d", acked)
		}
		other := bytes.Clone(data)
		other[0]++
		require.False(t, same(other, e), "another head at %d", acked)
	}
	require.False(t, same(data, &checkpoint.Entry{}), "an empty file is like no other")
	_, err := Same(iotest.ErrReader(errTest), entry(5))
	require.ErrorIs(t, err, errTest)
}

func TestOpenContent_Unpacks(t *testing.T) {
	dir := t.TempDir()
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	_, err := z.Write([]byte("a\nb\n"))
	require.NoError(t, err)
	require.NoError(t, z.Close())
	for name, data := range map[string][]byte{"a.log": []byte("a\nb\n"), "a.log.1.gz": packed.Bytes()} {
		path := filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(path, data, 0o600))
		c, err := OpenContent(path)
		require.NoError(t, err)
		got, err := io.ReadAll(c)
		require.NoError(t, err)
		require.Equal(t, "a\nb\n", string(got))
		require.NoError(t, c.Close())
	}
	_, err = OpenContent(filepath.Join(dir, "none"))
	require.ErrorIs(t, err, os.ErrNotExist)
	bad := filepath.Join(dir, "a.lz4")
	require.NoError(t, os.WriteFile(bad, nil, 0o600))
	_, err = OpenContent(bad)
	require.ErrorContains(t, err, bad)
}
