package pattern

import (
	"regexp"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func FuzzPatternMatchesRegexp(f *testing.F) {
	for _, s := range samples {
		for _, line := range s.lines {
			f.Add(s.expr, []byte(line))
		}
	}
	for _, expr := range shapes {
		f.Add(expr, []byte("aab\nbé\xc3a"))
	}
	for _, h := range hostile {
		f.Add(h.expr, []byte(h.head+strings.Repeat(h.body, 20)+h.tail))
	}
	f.Fuzz(func(t *testing.T, expr string, in []byte) {
		if len(expr) > 200 || len(in) > 2000 {
			return
		}
		std, err := regexp.Compile(expr)
		re, ourErr := Compile(expr)
		if (err == nil) != (ourErr == nil) {
			t.Fatalf("pattern %q: error is %v, want %v", expr, ourErr, err)
		}
		if err == nil {
			agree(t, re, std, in)
		}
	})
}

// TestMadeUpLogPatternsMatchLikeRegexp puts patterns together from the parts
// that log patterns have, and lines from the parts that those match.
func TestMadeUpLogPatternsMatchLikeRegexp(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		expr, likely := drawPattern(t, 3)
		if rapid.Bool().Draw(t, "anchored") {
			expr = "^" + expr
		}
		if rapid.Bool().Draw(t, "to the end") {
			expr += "$"
		}
		expr = rapid.SampledFrom([]string{"", "", "", "(?i)", "(?s)", "(?m)", "(?U)"}).Draw(t, "flags") + expr
		std, err := regexp.Compile(expr)
		if err != nil {
			t.Skip(err)
		}
		re, err := Compile(expr)
		if err != nil {
			t.Fatalf("cannot compile %q: %v", expr, err)
		}
		agree(t, re, std, []byte(likely))
		for range 8 {
			agree(t, re, std, []byte(damage(t, likely)))
		}
	})
}

var parts = []struct {
	expr  string
	texts []string
}{
	{`\S+`, []string{"10.0.0.1", "-", "é\xffx", "a"}},
	{`\S*`, []string{"", "x"}},
	{`\d+`, []string{"1", "4711", "12345678901"}},
	{`\d{2}`, []string{"12"}},
	{`\d{1,3}`, []string{"1", "123"}},
	{`\w+`, []string{"info", "a_1"}},
	{`\w*?`, []string{"", "ab"}},
	{`\s+`, []string{" ", "\t ", "   "}},
	{`\s*`, []string{"", " "}},
	{`[^"]*`, []string{"", "GET / HTTP/1.1"}},
	{`[^\]]+`, []string{"10/Oct/2025:13:55:36 +0000", "x"}},
	{`[^ ,]+`, []string{"k=v", "ü"}},
	{`[^\s"]*`, []string{"ab", ""}},
	{`[a-z]+`, []string{"abc"}},
	{`[a-z.]*?`, []string{"a.b"}},
	{`[A-Z]{3,5}`, []string{"INFO", "ERROR"}},
	{`.*`, []string{"", "any text at all", "é\xe2\x82"}},
	{`.*?`, []string{"", "any text"}},
	{`.+`, []string{"x y", "\xff"}},
	{`.+?`, []string{"x", "x y z"}},
	{`.`, []string{"é", "-", "\xff"}},
	{`.{3}`, []string{"aéb", "123"}},
	{`.{0,4}`, []string{"", "ab"}},
	{`.{2,}?`, []string{"abc"}},
	{` `, []string{" "}},
	{`"`, []string{`"`}},
	{` \[`, []string{" ["}},
	{`\] "`, []string{`] "`}},
	{`: `, []string{": "}},
	{`=`, []string{"="}},
	{`, `, []string{", "}},
	{`level=`, []string{"level="}},
	{`-`, []string{"-"}},
	{`用户`, []string{"用户"}},
	{`é`, []string{"é"}},
	{`[à-ü]+`, []string{"éü"}},
	{`\pL*`, []string{"Maß"}},
	{`[^é]*`, []string{"abc", "用"}},
	{`\b`, []string{""}},
	{`\B`, []string{""}},
	{`(?:"[^"]*"|\S+)`, []string{`"a b"`, "ab"}},
	{`(?:[^"\\]|\\.)*`, []string{`a\"b`, ""}},
	{`(?:-|\d+)`, []string{"-", "12"}},
	{`(?:GET|POST|PUT)`, []string{"GET", "PUT"}},
}

// drawPattern returns a pattern and a text that is likely to match it.
func drawPattern(t *rapid.T, depth int) (expr, likely string) {
	var e, l strings.Builder
	for range rapid.IntRange(1, 5).Draw(t, "parts") {
		if depth > 0 && rapid.IntRange(0, 4).Draw(t, "nested") == 0 {
			inner, text := drawPattern(t, depth-1)
			form := rapid.SampledFrom([]string{"(%)", "(%)?", "(?:%)?", "(?:%)??", "(?:%)+", "(%)*", "(?:%|-)", "(?:x|(%))", "(%){2}", "(%){0,2}", "(?:%)+?"}).Draw(t, "form")
			e.WriteString(strings.Replace(form, "%", inner, 1))
			l.WriteString(strings.Repeat(text, rapid.IntRange(0, 2).Draw(t, "times")))
			continue
		}
		part := rapid.SampledFrom(parts).Draw(t, "part")
		if rapid.Bool().Draw(t, "group") {
			e.WriteString("(" + part.expr + ")")
		} else {
			e.WriteString(part.expr)
		}
		l.WriteString(rapid.SampledFrom(part.texts).Draw(t, "text"))
	}
	return e.String(), l.String()
}

// damage returns the line with a small change.
func damage(t *rapid.T, line string) string {
	at := rapid.IntRange(0, len(line)).Draw(t, "at")
	insert := rapid.SampledFrom([]string{"", " ", `"`, "]", "x", "7", "\n", "\t", "\xff", "\xc3", "é", "用户", `\"`, "a b c d e f g h i", "==="}).Draw(t, "insert")
	skip := rapid.IntRange(0, min(3, len(line)-at)).Draw(t, "skip")
	return line[:at] + insert + line[at+skip:]
}
