package mysqlserver

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wasmtail/wasmtail/internal/config"
)

func TestAccount_ReportsWhatCannotWork(t *testing.T) {
	a := Account{User: "u", Password: "x", PasswordFile: "/f", TLS: TLS{CAFile: "/ca", CertFile: "/c", InsecureSkipVerify: true}}
	var keys []string
	a.Validate(func(key, problem string) { keys = append(keys, key); require.NotEmpty(t, problem) })
	require.Equal(t, []string{"password_file", "timeout", "tls.enabled", "tls.key_file", "tls.insecure_skip_verify"}, keys)
	for address, fine := range map[string]bool{"db:3306": true, "/run/s": true, "[::1]:3306": true, "db": false, ":3306": false, "": false} {
		require.Equal(t, fine, CheckAddress(address) == nil, address)
	}
}

func TestSecret_IsReadAgainFromItsFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "p")
	a := Account{PasswordFile: path}
	_, err := a.Secret()
	require.ErrorContains(t, err, "password_file")
	require.NoError(t, os.WriteFile(path, []byte("one\n"), 0o600))
	first, err := a.Secret()
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(path, []byte("two"), 0o600))
	second, err := a.Secret()
	require.NoError(t, err)
	require.Equal(t, []string{"one", "two"}, []string{first, second})
	plain := Account{Password: config.Secret("three")}
	third, err := plain.Secret()
	require.NoError(t, err)
	require.Equal(t, "three", third)
}

func TestBackoff_GrowsToABound(t *testing.T) {
	var b Backoff
	require.LessOrEqual(t, b.Next(), pauseMin)
	for range 100 {
		d := b.Next()
		require.Positive(t, d)
		require.LessOrEqual(t, d, pauseMax)
	}
	require.GreaterOrEqual(t, b.Next(), pauseMax/2)
	b.Reset()
	require.Less(t, b.Next(), time.Second)
}

func TestAppendValue(t *testing.T) {
	f := func(value string, kind Kind, want string) {
		t.Helper()
		got := AppendValue(nil, AppendText(nil, []byte(value)), kind)
		require.Equal(t, want, string(got))
		require.True(t, json.Valid(got))
	}
	f("12", Number, "12")
	f("-0.50", Number, "-0.50")
	f("1e+20", Number, "1e+20")
	f("0042", Number, `"0042"`)
	f(".5", Number, `".5"`)
	f("", Number, `""`)
	f("1.", Number, `"1."`)
	f("12", Text, `"12"`)
	f(`{"a": [1]}`, JSON, `{"a": [1]}`)
	f(`{"a"`, JSON, `"{\"a\""`)
	f("{\n}", JSON, `"{\n}"`)
	f("a\x00\"\\\n\r\té", Text, `"a\u0000\"\\\n\r\té"`)
	f("\xff\x00", Text, `"base64:/wA="`)
}

func FuzzAppendValue(f *testing.F) {
	f.Add([]byte("1e5"), uint8(1))
	f.Add([]byte("{\"a\":1}"), uint8(2))
	f.Add([]byte("\xf0\x9f"), uint8(0))
	f.Fuzz(func(t *testing.T, value []byte, kind uint8) {
		text := AppendText(nil, value)
		got := AppendValue(AppendKey([]byte("{"), string(value)), text, Kind(kind%3))
		got = append(got, '}')
		var back map[string]any
		require.NoError(t, json.Unmarshal(got, &back), "%s", got)
		require.Len(t, back, 1)
		for _, v := range back {
			if s, ok := v.(string); ok && kind%3 == 0 {
				require.Equal(t, string(text), s)
			}
		}
		require.False(t, strings.ContainsAny(string(got), "\r\n"))
	})
}
