package protofield

import (
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/encoding/protowire"
)

func TestFields(t *testing.T) {
	var m []byte
	m = AppendText(m, 1, []byte("a\xffb"))
	m = AppendBytes(m, 2, []byte("\xff"))
	m = AppendVarint(m, 3, 300)
	m = AppendVarint(m, 4, 0)
	m = AppendFixed64(m, 5, 7)
	m = AppendFixed64(m, 6, 0)
	m = protowire.AppendFixed32(protowire.AppendTag(m, 7, protowire.Fixed32Type), 9)
	var got []Field
	require.NoError(t, Each(m, func(f Field) error { got = append(got, f); return nil }))
	require.Equal(t, []Field{{1, []byte("a\ufffdb"), 0}, {2, []byte("\xff"), 0}, {3, nil, 300}, {5, nil, 7}, {7, nil, 9}}, got)
	require.Equal(t, []byte("\xff"), Find(m, 2))
	require.Nil(t, Find(m, 8))
	require.Nil(t, Find([]byte("\x0a\xff"), 1))
}

func FuzzText(f *testing.F) {
	f.Add([]byte("a\xff\xc3\x28ü"))
	f.Fuzz(func(t *testing.T, value []byte) {
		m := AppendText([]byte("x"), 4, value)[1:]
		require.Len(t, m, TextSize(4, value))
		require.Equal(t, string([]rune(string(value))), string(Find(m, 4)))
		_ = Each(value, func(Field) error { return nil })
	})
}
