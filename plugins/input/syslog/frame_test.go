package syslog

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/require"
)

// cutAll cuts what comes from r; pieces have a "+" behind them if the message goes on.
func cutAll(r io.Reader, longest int) (got []string, err error) {
	f := framer{max: longest}
	add := func(one frame) {
		text := string(one.bytes)
		if one.more {
			text = "+" + text
		}
		if one.split {
			text = "~" + text
		}
		got = append(got, text)
	}
	for {
		_, failed := f.fill(r)
		for {
			one, err := f.next()
			if errors.Is(err, errMore) {
				break
			}
			if err != nil {
				return got, err
			}
			add(one)
		}
		if failed != nil {
			if rest := f.rest(); len(rest.bytes) > 0 {
				add(rest)
			}
			return got, nil
		}
	}
}

func TestFramer_CutsMessages(t *testing.T) {
	for _, c := range []struct {
		in   string
		want []string
	}{
		{"<1>a\n<1>b\r\n\n<1>c", []string{"<1>a", "<1>b", "<1>c"}},
		{"4 <1>a5 <1>b\n3 abc", []string{"<1>a", "<1>b", "abc"}},
		{"4 <1>a\n4 <1>b\n", []string{"<1>a", "<1>b"}},
		{"2026-01-01\nb", []string{"2026-01-01", "b"}},
		{"0123456789\n\n1234567890\n", []string{"0123456789", "1234567890"}},
		{"<123456789abcdefghijklmn\nx\n", []string{"~<123456789", "~+abcdefghij", "~+klmn", "x"}},
		{"24 <123456789abcdefghijklmn4 <1>b", []string{"~<123456789", "~+abcdefghij", "~+klmn", "<1>b"}},
		{"<12345678é9\n", []string{"~<12345678", "~+é9"}},
	} {
		for name, r := range map[string]io.Reader{
			"at once": strings.NewReader(c.in), "by bytes": iotest.OneByteReader(strings.NewReader(c.in)),
		} {
			got, err := cutAll(r, 10)
			require.NoError(t, err)
			require.Equal(t, c.want, got, "%s: %q", name, c.in)
		}
	}
	got, err := cutAll(strings.NewReader("3 abcdef"), 10)
	require.ErrorIs(t, err, errLength)
	require.Equal(t, []string{"abc"}, got)
}

// FuzzFramer holds that no byte of a line is lost, however the bytes come.
func FuzzFramer(f *testing.F) {
	f.Add([]byte("<1>a\n<1>b\r\n\n<1>c"), 3)
	f.Add([]byte("4 <1>a5 <1>b\n3 abc"), 7)
	f.Add([]byte("24 <123456789abcdefghijklmn4 <1>b"), 10)
	f.Add([]byte("24 000000000000000000000000000000000 "), 51) // a length that a read cuts
	f.Fuzz(func(t *testing.T, in []byte, longest int) {
		longest = 8 + max(longest, -longest)%100
		if longest < 8 {
			return
		}
		once, err := cutAll(bytes.NewReader(in), longest)
		slow, slowErr := cutAll(iotest.OneByteReader(bytes.NewReader(in)), longest)
		require.Equal(t, err, slowErr)
		if err == nil && (detect(in) != counted) {
			require.Equal(t, strings.Join(once, ""), strings.Join(slow, ""))
		}
		if detect(in) != lines {
			return
		}
		var kept int
		for _, one := range once {
			kept += len(strings.TrimLeft(one, "~+"))
		}
		require.LessOrEqual(t, kept, len(in))
		require.GreaterOrEqual(t, kept+bytes.Count(in, []byte("\n"))+bytes.Count(in, []byte("\r"))+bytes.Count(in, []byte{0})+bytes.Count(in, []byte("~"))+bytes.Count(in, []byte("+")), len(in))
	})
}

func TestFramer_TakesMessagesLongerThanItsFirstBuffer(t *testing.T) {
	long := strings.Repeat("x", 200_000)
	for _, in := range []string{"<1>" + long + "\n<1>b\n", fmt.Sprintf("%d <1>%s4 <1>b", len(long)+3, long)} {
		got, err := cutAll(strings.NewReader(in), 300_000)
		require.NoError(t, err)
		require.Equal(t, []string{"<1>" + long, "<1>b"}, got)
	}
}
