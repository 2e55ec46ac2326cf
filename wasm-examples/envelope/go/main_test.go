//go:build !wasip1

package main

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wasmtail/wasmtail/sdk/wt"
)

const roomy = 1 << 20

func TestEnvelope_SplitsAndNamesAccounts(t *testing.T) {
	wt.TryTables(map[string]string{"123": "shop"})
	defer wt.TryTables()
	rows := wt.Try(`{"accounts":true}`, roomy, `{"messageType":"DATA_MESSAGE","owner":"123","logGroup":"g","logStream":"s","logEvents":[{"id":"1","timestamp":5,"message":"a\n"},{"message":"","timestamp":6,"id":"2"}]}`)
	fields := func(id, message string, ms int64) map[string]any {
		return map[string]any{
			"log_group": []byte("g"), "log_stream": []byte("s"), "owner": []byte("123"), "account": []byte("shop"),
			"id": []byte(id), "message": []byte(message), "$time": ms * 1e6,
		}
	}
	require.Equal(t, []wt.Tried{
		{Events: 1, Fields: fields("1", "a\n", 5)},
		{Events: 1, Fields: fields("2", "", 6)},
	}, rows)
}

func TestEnvelope_DoesNotAllocate(t *testing.T) {
	l, text := &line{}, []byte(`{"messageType":"DATA_MESSAGE","owner":"123","logGroup":"g","logStream":"s","logEvents":[{"id":"1","timestamp":5,"message":"plain"},{"id":"2","timestamp":6,"message":"{\"a\":[1.5e3]}"}]}`)
	require.True(t, l.read(text))
	require.Zero(t, testing.AllocsPerRun(100, func() { l.read(text) }))
	require.Len(t, l.events, 2)
}

// FuzzRead compares with encoding/json, which also refuses control characters and
// unknown escapes, and nests deeper.
func FuzzRead(f *testing.F) {
	for _, s := range []string{
		`{"messageType":"DATA_MESSAGE","logGroup":"g","logStream":"s","logEvents":[{"id":"1","timestamp":-0,"message":"\ud83d\ude00\ud800"}]}`,
		`{"logEvents":[],"logEvents":[{"id":"","timestamp":1.5,"message":""}],"messageType":"DATA_MESSAGE"}`,
		`{"message\u0054ype":"CONTROL_MESSAGE","logEvents":{"a":[{}, [], null, true,false,-1.5E+3]}}`,
		`{"messageType":1,}`, `{"messageType":"x"`, `{"messageType":"x"}}`, `{"messageType":[1 2]}`, `{"messageType":[,]}`, `{"logGroup":01}`,
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		wt.Try("", roomy, "") // empties the arena
		var l line
		known := l.read([]byte(s))
		bad := l.code == codeJSON || l.code == codeDeep
		var top map[string]json.RawMessage
		if err := json.Unmarshal([]byte(s), &top); err != nil {
			require.True(t, !known || bad || strings.ContainsFunc(s, func(c rune) bool { return c < ' ' || c == '\\' }), s)
			return
		}
		if !strings.HasPrefix(strings.Trim(s, " \t\r\n"), "{") {
			require.False(t, known)
			return
		}
		require.False(t, l.code == codeJSON, s)
		var list []map[string]json.RawMessage
		if !known || l.code != 0 || json.Unmarshal(top["logEvents"], &list) != nil || !l.is("DATA_MESSAGE") {
			return
		}
		require.Len(t, l.events, len(list))
		for i, v := range list {
			var want string
			require.NoError(t, json.Unmarshal(v["message"], &want))
			got := bytes.ToValidUTF8(l.events[i].message.decoded(), []byte("\ufffd"))
			if strings.ToValidUTF8(s, "") == s {
				require.Equal(t, want, string(got), s)
			}
		}
	})
}
