package httpin

import (
	"bytes"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/wasmtail/wasmtail/internal/jsonscan"
	"github.com/wasmtail/wasmtail/internal/record"
)

func TestJSON_WhatIsNotStrictIsTakenAllTheSame(t *testing.T) {
	s := listen(t, nil)
	for body, want := range map[string]string{
		"{\"a\":\"tab\there\"}":                  "a=tab\there",
		`{"a":NaN}`:                              "a=NaN",
		`[{"a":"tab` + "\t" + `"}]`:              "a=tab\t",
		"[{\n\"a\": {\"b\" : 1}\n}]":             `a={"b":1}`,
		`{"a\n":"\u00e9\ud83d\ude00"}`:           "a\n=é😀",
		` { "a" : { "b" : [ 1 , 2 ] } } ` + "\r": `a={ "b" : [ 1 , 2 ] }`,
		`{"a":1,"a":2}`:                          "a=1|a=2",
		`{"a":` + strings.Repeat("[", 200) + strings.Repeat("]", 200) + "}": "a=" + strings.Repeat("[", 200) + strings.Repeat("]", 200),
	} {
		status, text := s.post("/", body)
		require.Equal(t, 200, status, "%s: %s", body, text)
		require.Equal(t, []string{want}, s.take())
	}
	for _, body := range []string{`[{"a":1},]`, `[{"a":1}`, `[{"a":1}] x`, `{"a":1}}`, `{"a":1} {"b":2}`, `{"a":1,}`, `{"a"}`, `{`, `[{"a":1},[]]`} {
		status, text := s.post("/", body)
		require.Equal(t, 400, status, "%s: %s", body, text)
		require.Empty(t, s.take())
	}
}

// TestLinesDoNotAllocate: what a request costs in allocations does not depend on how
// many lines it has.
func TestLinesDoNotAllocate(t *testing.T) {
	handler := offline(t).handler()
	of := func(body []byte) float64 {
		return testing.AllocsPerRun(20, func() {
			req, _ := http.NewRequest(http.MethodPost, "/", bytes.NewReader(body))
			handler.ServeHTTP(&answerOf{header: http.Header{}}, req)
		})
	}
	line := []byte(`{"a":"b","time":"2026-03-12T08:15:02Z","e\n":"\t"}` + "\n")
	few, many := of(bytes.Repeat(line, 10)), of(bytes.Repeat(line, 2000))
	require.Less(t, many, few+20, "with the race detector pools forget some of what they are given")
}

// FuzzObject compares with encoding/json: what is an object, and what its members say.
func FuzzObject(f *testing.F) {
	f.Add(`{"@timestamp":"2026-03-12T08:15:02.123Z","a":{"b":[1,2,{"c":"\ud83d\ude00\ud800"}]},"a":"x\u0000y","n":null}`)
	f.Add(`{"ts":-0.5e+10,"b":[],"c":{}, "date" : [[[]]] }`)
	f.Add(`{}`)
	f.Add(`{"a":1}}`)
	s := newScratch()
	f.Fuzz(func(t *testing.T, text string) {
		if strings.Count(text, "{")+strings.Count(text, "[") >= jsonscan.NestingMax || !utf8.ValidString(text) {
			return
		}
		batch := record.Get(&record.Origin{})
		defer batch.Release()
		o := &s.object
		o.batch, o.text, o.fields, o.has = batch, batch.Copy([]byte(text)), o.fields[:0], 0
		fine := o.read()
		plain := strings.HasPrefix(text, "{") && strings.HasSuffix(text, "}")
		if valid := plain && json.Valid([]byte(text)); fine != valid {
			t.Fatalf("%q is taken: %t, by encoding/json: %t", text, fine, valid)
		}
		if !fine {
			return
		}
		_ = s.objectTime()
		dec := json.NewDecoder(strings.NewReader(text))
		_, _ = dec.Token()
		fields := o.fields
		for dec.More() {
			name, _ := dec.Token()
			var value json.RawMessage
			require.NoError(t, dec.Decode(&value))
			if string(value) == "null" {
				continue
			}
			want := string(value)
			if want[0] == '"' {
				require.NoError(t, json.Unmarshal(value, &want))
			}
			require.Equal(t, name, string(fields[0].Name))
			require.Equal(t, want, string(fields[0].Value))
			fields = fields[1:]
		}
		require.Empty(t, fields)
	})
}
