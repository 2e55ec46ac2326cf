package pattern

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// agree compares the two engines on one input.
func agree(t interface{ Fatalf(string, ...any) }, re *Regexp, std *regexp.Regexp, in []byte) {
	want := std.FindSubmatchIndex(in)
	got := re.FindSubmatchIndex(nil, in)
	if !slices.Equal(got, want) {
		t.Fatalf("pattern %q\ninput   %q\ngot  %v\nwant %v\n%s", std, in, got, want, re.Explain())
	}
	if got := re.Match(in); got != (want != nil) {
		t.Fatalf("pattern %q\ninput %q\nMatch is %v, want %v\n%s", std, in, got, want != nil, re.match.explain(re.names))
	}
}

func TestSamplesMatchLikeRegexp(t *testing.T) {
	for _, s := range samples {
		t.Run(s.name, func(t *testing.T) {
			re, err := Compile(s.expr)
			if err != nil {
				t.Fatal(err)
			}
			t.Log(re.Explain())
			std := regexp.MustCompile(s.expr)
			for _, line := range s.lines {
				for _, in := range variations(line) {
					agree(t, re, std, []byte(in))
				}
			}
			agree(t, re, std, nil)
			if re.NumSubexp() != std.NumSubexp() || !slices.Equal(re.SubexpNames(), std.SubexpNames()) || re.String() != s.expr {
				t.Errorf("groups are %q, want %q", re.SubexpNames(), std.SubexpNames())
			}
		})
	}
}

// variations returns the line, and lines that nearly are it.
func variations(line string) []string {
	all := []string{line, line + "\n", "\n" + line, line + line, strings.ToUpper(line), strings.ReplaceAll(line, " ", "  ")}
	for i := 0; i < len(line); i += 1 + len(line)/20 {
		all = append(all, line[:i], line[i:], line[:i]+line[i+1:], line[:i]+"\xff"+line[i:], line[:i]+"é"+line[i:], line[:i]+"\""+line[i+1:], line[:i]+"\t"+line[i:])
	}
	return all
}

// shapes are small patterns, each tried on every input of a small alphabet.
var shapes = []string{
	``, `a`, `ab`, `a*`, `a+`, `a?`, `a*?`, `a+?`, `a??`, `.*`, `.*?`, `.+`, `.+?`, `(?s).*`, `(?s).+?b`,
	`a*b`, `a*?b`, `[ab]*b`, `[ab]*?b`, `[ab]+ba`, `(a*)(b*)`, `(a*?)(b*?)$`, `(.*)b`, `(.*)ab`, `(.*?)ab`, `^(.*)b(.*)$`,
	`^(.*?)b(.*?)$`, `(.+)b(.+)`, `(a|b)b`, `(a|ab)(b|)`, `(a|ab)(c|bb?)$`, `(?:a|b)*b`, `(a|b)*?b`, `(ab)*`, `(ab)+?`, `(?:ab|a)+b`,
	`(a(b)?)+`, `((a)|(b))+`, `(?:(a)|b)*$`, `(?:a(b)?)?`, `(a)?(b)?`, `(a)??b`, `^`, `$`, `^$`, `^a`, `a$`, `(?m)^a`, `(?m)a$`, `(?m)^`, `(?m)$`, `(?m)a$\nb`,
	`\b`, `\Ba`, `a\b`, `\ba`, `\w+\b`, `[^a]*a`, `[^a]+`, `[^a]*?b`, `[^é]+`, `[^é]*a`, `é`, `é*`, `.é`, `(.*)é`, `(.*?)é`, `é.`, `(.*)(.)`, `(.*?)(.)$`, `(.*)[^a]`,
	`[aé]+`, `[aé]*b`, `\x{fffd}`, `[^\x{fffd}]`, `[^\x{fffd}]*b`, `.{2}`, `.{2,}b`, `.{0,2}b`, `(.{1,2}?)b`, `.{2}?b`, `a{2}`, `a{1,2}b`, `(a|b){2}`, `(a|b){1,2}$`,
	`(a){0}b`, `(?i)a`, `(?i)AB`, `(?i)[^a]b`, `(?i)k`, `(?:a|)b`, `(?:|a)b`, `(|a)$`, `(a*)*`, `(a*)+`, `(a|b*)*`, `(?:a?){2,}`, `(?:a?){0,3}b`,
	`a*(?:b)$`, `(a*)a`, `(a*)(?:ab)?`, `(?:.*\n)*b`, `\n`, `(?s).\n`, `a.b`, `(?:^a|b$)`, `(?:^|b)a`, `(?:a|^)b`, `[^\n]*$`, `(?U)a*b`, `(?U)(a+)(a?)`, `((((a))))`, `()a`, `a()`, `(?:)`, `(a)(?:b|(é))`,
	`[^ab]`, `[a-b]*[^b]`, `(?:[^a]*a)+`, `(?:[^a]*a)*b`, `(a*?)*?b`, `a*a*b`, `(a*)(a*)b`, `(a+)(a+)b`, `a*?a*?$`, `\z`, `\A`, `a\z`, `\Aa|b`, `[^\x00-\x{10FFFF}]`, `a|[^\x00-\x{10FFFF}]`,
	`\b(?:a|b)+\b`, `\w*\b\w`, `\B(.*)\B`, `(.*)\b(.*)`, `(?m)(^a|b)+$`, `(?m)^(.*)$\n^(.*)$`,
}

func TestShapesMatchLikeRegexp(t *testing.T) {
	alphabet := []string{"a", "b", "\n", "é", "\xc3", "\xa9"}
	inputs := []string{""}
	for from, n := 0, 0; n < 4; n++ {
		end := len(inputs)
		for _, in := range inputs[from:end] {
			for _, letter := range alphabet {
				inputs = append(inputs, in+letter)
			}
		}
		from = end
	}
	for _, expr := range shapes {
		re, err := Compile(expr)
		if err != nil {
			t.Fatal(err)
		}
		std := regexp.MustCompile(expr)
		for _, in := range inputs {
			agree(t, re, std, []byte(in))
		}
	}
}

func TestCommonPatternsAreScanned(t *testing.T) {
	for _, s := range samples {
		re, err := Compile(s.expr)
		if err != nil {
			t.Fatal(err)
		}
		if want := s.name != "nullable loop"; re.Scanned() != want {
			t.Errorf("%s: scanned is %v, want %v: %s", s.name, re.Scanned(), want, re.Explain())
		}
		for _, line := range s.lines {
			if _, _, v := verdictOf(re, line); v == exhausted {
				t.Errorf("%s: steps ran out on %q", s.name, line)
			}
		}
	}
}

func verdictOf(re *Regexp, line string) (start, end int, v verdict) {
	if re.find == nil {
		return 0, 0, failed
	}
	return re.find.exec([]byte(line), make([]int, 2*len(re.names)))
}

func TestMatchingDoesNotAllocate(t *testing.T) {
	for _, s := range samples {
		re, err := Compile(s.expr)
		if err != nil {
			t.Fatal(err)
		}
		if !re.Scanned() {
			continue
		}
		dst := make([]int, 0, 2*(re.NumSubexp()+1))
		for _, line := range s.lines {
			b := []byte(line)
			n := testing.AllocsPerRun(20, func() {
				re.FindSubmatchIndex(dst, b)
				re.Match(b)
			})
			if n != 0 {
				t.Errorf("%s: allocates %v times on %q", s.name, n, line)
			}
		}
	}
}

func TestResultUsesTheMemoryOfDst(t *testing.T) {
	re, err := Compile(`(a)(b)?`)
	if err != nil {
		t.Fatal(err)
	}
	dst := make([]int, 1, 16)
	got := re.FindSubmatchIndex(dst, []byte("xa"))
	if want := []int{1, 2, 1, 2, -1, -1}; !slices.Equal(got, want) || &got[0] != &dst[0] {
		t.Fatalf("got %v, want %v in the memory of dst", got, want)
	}
}

// hostile patterns make a backtracking matcher take exponential time.
var hostile = []struct{ expr, head, body, tail string }{
	{`^(a+)+$`, "", "a", "b"},
	{`^(a|a)*$`, "", "a", "b"},
	{`^(a|aa)+$`, "", "a", "b"},
	{`(x+x+)+y`, "", "x", ""},
	{`(.*)(.*)(.*)(.*)(.*)z`, "", "ab ", ""},
	{`(.*?,){11}P`, "", "1,", ""},
	{`^(([a-z])+.)+[A-Z]([a-z])+$`, "", "a", ""},
	{`(\w+\s?)*!`, "", "word ", ""},
	{`(?:.*?){0,8}#`, "", "a", ""},
	{`".*".*".*".*"x`, "", `"`, ""},
	{`\s+$`, "", " ", "x"},
	{`(a?){20}a{20}`, "", "a", ""},
	{`^(?:.*:)*.*=$`, "", "k:v ", ""},
	{`[^,]*,[^,]*;x`, "", "a", ""},
	{`.*.*=.*`, "", "x", ""},
	{`(?:\S+\s+)+(\d+)$`, "", "ab ", "x"},
	{`a.{999}b`, "", "a", ""},
	{`(?s)a(.{900,})b`, "", "a", ""},
	{`^(?:[^\n]*x)*y`, "", "x", ""},
	{`(?i)(e+rr?or)+s`, "", "ERR", ""},
	{`(.+)-(.+)-(.+)-(.+)=`, "", "a-", ""},
}

func TestHostilePatternsMatchLikeRegexp(t *testing.T) {
	for _, h := range hostile {
		re, err := Compile(h.expr)
		if err != nil {
			t.Fatal(err)
		}
		std := regexp.MustCompile(h.expr)
		for _, n := range []int{1, 10, 100, 1000} {
			agree(t, re, std, []byte(h.head+strings.Repeat(h.body, n)+h.tail))
		}
	}
}

// TestHostilePatternsTakeLinearTime runs the steps alone. In linear time they
// need milliseconds for these inputs, in quadratic time minutes.
func TestHostilePatternsTakeLinearTime(t *testing.T) {
	for _, h := range hostile {
		re, err := Compile(h.expr)
		if err != nil {
			t.Fatal(err)
		}
		if re.find == nil {
			continue
		}
		in := []byte(h.head + strings.Repeat(h.body, 30_000) + h.tail)
		began := time.Now()
		_, _, v := re.find.exec(in, make([]int, 2*len(re.names)))
		if took := time.Since(began); took > 20*time.Second {
			t.Errorf("%s: took %v on %d bytes", h.expr, took, len(in))
		}
		t.Logf("%-40s verdict %d in %v", h.expr, v, time.Since(began))
	}
}

func TestCompileErrorsSayWhatToDo(t *testing.T) {
	for _, c := range []struct{ expr, want string }{
		{`a(?=b)`, "at byte 2"},
		{`a(?=b)`, "look-ahead"},
		{`(?<=a)b`, "look-behind"},
		{`(?<!a)b`, "look-behind"},
		{`a(?!b)`, "RE2"},
		{`(a)\1`, "backreferences"},
		{`(?>a)`, "atomic"},
		{`a++`, "possessive"},
		{`*a`, "backslash"},
		{`a(b`, "at byte 2"},
		{`a[(](b`, "at byte 5"},
		{`a)b`, "at byte 2"},
		{`[a`, "close the class"},
		{`a{1001}`, "at most 1000"},
		{`\y`, "backslash"},
		{"\xff", "UTF-8"},
		{`(?P<a b>x)`, "invalid named capture"},
	} {
		_, err := Compile(c.expr)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error is %v, want one that says %q", c.expr, err, c.want)
		}
	}
}

func TestExplainIsOneLine(t *testing.T) {
	for _, c := range []struct{ expr, want string }{
		{`^(?P<ip>\S+) \[`, `byte scanner, from the start, never goes back: \A, ip=\S+ " [", match`},
		{`a[^\]x]*?(b|\d{2})(?i)ü`, `byte scanner, from literal "a": "a", [^\]x]*?, group 1, choice, "b", end of group 1, [Üü], match, \d\d`},
		{`(a*)*`, "standard engine: a repeated part can be empty: (a*)*"},
	} {
		re, err := Compile(c.expr)
		if err != nil {
			t.Fatal(err)
		}
		if got := re.Explain(); got != c.want {
			t.Errorf("got  %s\nwant %s", got, c.want)
		}
	}
}

func ExampleRegexp_FindSubmatchIndex() {
	re, err := Compile(`^(?P<ip>\S+) .* \[(?P<time>[^\]]+)\]`)
	if err != nil {
		fmt.Println(err)
		return
	}
	line := []byte(`10.0.0.1 - - [10/Oct/2025:13:55:36 +0000] "GET / HTTP/1.1"`)
	at := re.FindSubmatchIndex(make([]int, 0, 6), line)
	for i, name := range re.SubexpNames()[1:] {
		fmt.Printf("%s: %s\n", name, line[at[2*i+2]:at[2*i+3]])
	}
	// Output:
	// ip: 10.0.0.1
	// time: 10/Oct/2025:13:55:36 +0000
}

func TestRegexpIsSafeForConcurrentUse(t *testing.T) {
	s := sampleNamed("syslog rfc5424") // has a loop, and so pooled frames
	re, err := Compile(s.expr)
	if err != nil {
		t.Fatal(err)
	}
	want := re.FindSubmatchIndex(nil, []byte(s.lines[0]))
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			var at []int
			for range 200 {
				if at = re.FindSubmatchIndex(at, []byte(s.lines[0])); !slices.Equal(at, want) {
					t.Errorf("got %v, want %v", at, want)
					return
				}
			}
		})
	}
	all.Wait()
}

func TestAnchored_LikeRegexpAndOnlyAtTheStart(t *testing.T) {
	for _, expr := range []string{
		`^a`, `^`, `^$`, `\A`, `^\s*$`, `^(a|b)c`, `^a|^b`, `(^\d{2}|^[A-Z]+) `, `(?i)^é|^k`, `^\b`, `^\B`, `\b^x`, `^[^a]`, `^(?m:$)`, `^(?:)x*`, `^\z|^\n`, `^用|^\x{fffd}`, `^.`, `(?s)^.b`, `^^a`, `(^)+a`,
	} {
		re, err := Compile(expr)
		require.NoError(t, err)
		std := regexp.MustCompile(expr)
		if re.Scanned() && expr != `(^)+a` {
			require.True(t, re.find.anchored && re.match.anchored, expr)
		}
		agree(t, re, std, nil)
		for c := range 256 {
			for _, rest := range []string{"", "c", "\n", "a\nb", "2 ", " x"} {
				agree(t, re, std, append([]byte{byte(c)}, rest...))
			}
		}
		for _, in := range []string{"用x", "é", "K", "\u212a", "ab", "AB ", "x\na", "12 a"} {
			agree(t, re, std, []byte(in))
		}
	}
}
