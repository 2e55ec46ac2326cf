package cell

import (
	"bytes"
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestParseQuote(t *testing.T) {
	for setting, want := range map[string]byte{"": '"', "none": 0, "'": '\'', `"`: '"', "~": '~', `\`: '\\'} {
		quote, ok := ParseQuote(setting)
		require.True(t, ok, setting)
		require.Equal(t, want, quote, setting)
	}
	for _, setting := range []string{"''", " ", "\t", "é", "\x7f\x7f", "\x80"} {
		_, ok := ParseQuote(setting)
		require.False(t, ok, setting)
	}
}

// FuzzUnicode compares with encoding/json.
func FuzzUnicode(f *testing.F) {
	for _, s := range []string{`\u00e9`, `\ud83d\ude00`, `\ud83dx`, `\ud83d\u0041`, `\u12g4`, `\u`, `\n`, "", `\uDEAD`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		r, size := Unicode([]byte(s))
		if size == 0 {
			require.False(t, len(s) >= 6 && s[:2] == `\u` && json.Valid([]byte(`"`+s[:6]+`"`)), "%q", s)
			return
		}
		var want string
		require.NoError(t, json.Unmarshal([]byte(`"`+s[:size]+`"`), &want))
		require.Equal(t, want, string(r), "%q", s)
	})
}

// FuzzTrim compares with the standard library.
func FuzzTrim(f *testing.F) {
	for _, s := range []string{"", " ", "\t \t", " a\tb ", "\na\n"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, s []byte) {
		require.True(t, bytes.Equal(bytes.Trim(s, " \t"), Trim(s)), "%q", s)
		require.True(t, bytes.Equal(bytes.TrimLeft(s, " \t"), TrimLeft(s)), "%q", s)
	})
}
