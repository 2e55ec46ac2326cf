package filelog

import (
	"bytes"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/require"

	"github.com/wasmtail/wasmtail/agent/tail"
	"github.com/wasmtail/wasmtail/internal/config"
	"github.com/wasmtail/wasmtail/internal/record"
)

func defaults(t testing.TB) Config {
	t.Helper()
	c := Config{Include: []string{"/x"}}
	config.Defaults(&c)
	return c
}

func TestOnceReadsAStreamAsTheAgentReadsAFile(t *testing.T) {
	c := defaults(t)
	c.Multiline.Start = `^\S`
	in := "one\n  more\n  of it\r\ntwo\nthree without an end"
	var got []string
	err := Once(c, iotest.OneByteReader(strings.NewReader(in)), func(b *record.Batch) error {
		defer b.Release()
		for i := range b.Records {
			got = append(got, string(b.Records[i].Raw)+"|"+string(b.Records[i].Marks.AppendText(nil)))
		}
		return nil
	})
	require.NoError(t, err)
	require.Equal(t, []string{"one\n  more\n  of it|", "two|", "three without an end|partial"}, got)
}

// FuzzOnce checks that records cover their stream without gap or overlap, and
// that each is the bytes it says it is.
func FuzzOnce(f *testing.F) {
	f.Add([]byte("a\nb\r\nc"), uint16(10), false)
	f.Add([]byte("\xef\xbb\xbfa\x00\xff\n\n\n"), uint16(2), false)
	f.Add([]byte("\xc4\xe3\xba\xc3\n"), uint16(3), true)
	f.Fuzz(func(t *testing.T, data []byte, recordMax uint16, gbk bool) {
		c := defaults(t)
		c.MaxRecordSize = config.Size(recordMax%100) + 4
		if gbk {
			c.Encoding = "gbk"
		}
		var end, offset int64
		err := Once(c, bytes.NewReader(data), func(b *record.Batch) error {
			defer b.Release()
			require.Equal(t, end, b.Start)
			end = b.End
			for i := range b.Records {
				r := &b.Records[i]
				require.GreaterOrEqual(t, r.Offset, offset)
				offset = r.Offset + r.Size
				require.LessOrEqual(t, offset, b.End)
				source := bytes.TrimSuffix(data[r.Offset:offset], []byte("\n"))
				source = bytes.TrimSuffix(source, []byte("\r"))
				if !gbk && r.Offset > 0 {
					require.Equal(t, string(source), strings.TrimSuffix(string(r.Raw), "\r"))
				}
			}
			return nil
		})
		require.NoError(t, err)
		require.EqualValues(t, len(data), end)
	})
}

// TestLinesAreTakenFromTheirPlaceInTheChunk covers a chunk that begins with
// bytes of no record: the late end of a line that was delivered before.
func TestLinesAreTakenFromTheirPlaceInTheChunk(t *testing.T) {
	raw := []byte("\none\r\ntwo\n")
	l := tail.Lines{
		Origin: &record.Origin{Ledger: &record.Ledger{}}, Raw: raw, RawOffset: 100, Start: 90, End: 110,
		Lines: []tail.Line{{Bytes: raw[1:4], Offset: 101, Size: 5}, {Bytes: raw[6:9], Offset: 106, Size: 4}},
	}
	b := record.Get(l.Origin)
	defer b.Release()
	require.EqualValues(t, 9, AddLines(b, &l))
	require.Equal(t, "one", string(b.Records[0].Raw))
	require.Equal(t, "two", string(b.Records[1].Raw))
}
