package jsonscan

import (
	"encoding/json"
	"strings"
	"testing"
)

// FuzzValue compares with encoding/json: what is valid, and what a text says.
func FuzzValue(f *testing.F) {
	for _, text := range []string{`{"a":[1,-0.5e+3,true,null,"\ud83d\ude00\n"]}`, `[]`, ` {} `, `"a\u12"`, `01`, `[1,]`, "\"\x01\"", `{"a":1}}`} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if strings.Count(text, "{")+strings.Count(text, "[") >= NestingMax {
			return
		}
		s := []byte(text)
		at := Value(s, Space(s, 0), 0)
		fine := at >= 0 && Space(s, at) == len(s)
		if valid := json.Valid(s); fine != valid {
			t.Fatalf("%q is valid: %t, to encoding/json: %t", text, fine, valid)
		}
		var want string
		if start := Space(s, 0); fine && s[start] == '"' && json.Unmarshal(s, &want) == nil {
			dst := make([]byte, len(s))
			got := string([]rune(string(dst[:Unescape(dst, s[start+1:at-1])]))) // invalid UTF-8 as encoding/json has it
			if got != want {
				t.Fatalf("%q says %q, to encoding/json %q", text, got, want)
			}
		}
	})
}

func TestValue_KnowsHowDeepItMayGo(t *testing.T) {
	for depth, want := range map[int]int{NestingMax: 2 * NestingMax, NestingMax + 1: BadDepth} {
		text := strings.Repeat("[", depth) + strings.Repeat("]", depth)
		if got := Value([]byte(text), 0, 0); got != want {
			t.Errorf("%d levels: %d, want %d", depth, got, want)
		}
	}
}
