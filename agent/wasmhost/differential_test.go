package wasmhost

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wasmtail/wasmtail/internal/pattern"
	"github.com/wasmtail/wasmtail/internal/record"
)

// nginxExpr says what the nginx examples take. Parts of a request end at a space,
// a text in quotes at a quote without a backslash before it.
const nginxExpr = `^(?P<remote_addr>[^ ]+) - (?P<remote_user>[^ ]+) \[(?P<time_local>[^\]]+)\] ` +
	`"(?P<method>(?:[^"\\ ]|\\[^ ])+\\?|\\) (?P<uri>(?:[^"\\ ]|\\[^ ])+\\?|\\) (?P<protocol>(?:[^"\\ ]|\\[^ ])+)" ` +
	`(?P<status>[^ ]*) (?P<body_bytes_sent>[^ ]*) "(?P<referer>(?:[^"\\]|\\.)*)" "(?P<user_agent>(?:[^"\\]|\\.)*)"\r?$`

// nginxLines makes lines of the format, and such as nearly are.
type nginxLines struct{ *rand.Rand }

func (r nginxLines) pick(list ...string) string { return list[r.IntN(len(list))] }

func (r nginxLines) line() []byte {
	b := fmt.Appendf(nil, `%d.%d.%d.%d - %s [%02d/Oct/2024:13:%02d:%02d +0000] "%s %s %s" %s %s "%s" "%s"`,
		r.IntN(256), r.IntN(256), r.IntN(256), r.IntN(256), r.pick("-", "anna", "jörg"), 1+r.IntN(28), r.IntN(60), r.IntN(60),
		r.pick("GET", "POST", "HEAD", `G\"T`), r.pick("/", "/a/b?c=d", `/q?\"x\\`, "/%20", "/ü", "/"+strconv.Itoa(r.IntN(1e9))), r.pick("HTTP/1.1", "HTTP/2.0"),
		r.pick("200", "404", "499", "0", "007", "-0", "1000", "-1", "2x0", ""), r.pick("0", "12", "987654", "123456789012345678", "-", "-0", "-7", "x"),
		r.pick("-", "https://example.com/", `a \"quoted\" one`, `\\`, ""), r.pick("-", "curl/8.0", `Mozilla/5.0 (X11; Linux) \x22`, "日本"))
	for range []int{0, 0, 0, 0, 1, 3}[r.IntN(6)] {
		at := r.IntN(len(b))
		switch r.IntN(4) {
		case 0: // lose one
			b = append(b[:at], b[at+1:]...)
		case 1: // one more
			b = append(b[:at], append([]byte(r.pick(` `, `"`, `\`, `]`, `[`, "\x00", "\xff", "\r")), b[at:]...)...)
		case 2: // another
			b[at] = r.pick(` `, `"`, `\`, `-`, "\xc3", "9")[0]
		default: // cut
			b = b[:at]
		}
		if len(b) == 0 {
			return []byte("x")
		}
	}
	return b
}

// expectNginx is what the expression makes of a line: the ten values, or nil. The
// size that was sent is absent where the line has a dash.
func expectNginx(re *pattern.Regexp, at []int, line []byte) map[string]string {
	found := re.FindSubmatchIndex(at, line)
	if found == nil {
		return nil
	}
	want := map[string]string{}
	for i, name := range re.SubexpNames() {
		if name == "" {
			continue
		}
		value := string(line[found[2*i]:found[2*i+1]])
		if name == "body_bytes_sent" && value == "-" {
			continue
		}
		if name == "status" || name == "body_bytes_sent" {
			n, err := strconv.ParseInt(value, 10, 64)
			if err != nil || value[0] == '+' || n < 0 || name == "status" && n > 999 {
				return nil
			}
			value = strconv.FormatInt(n, 10)
		}
		want[name] = value
	}
	return want
}

// TestNginx_ComesOutAsTheBuiltInRegexSays compares the examples with the built-in
// matcher on lines of which a third are damaged.
func TestNginx_ComesOutAsTheBuiltInRegexSays(t *testing.T) {
	onlyInFull(t)
	re, err := pattern.Compile(nginxExpr)
	require.NoError(t, err)
	at := make([]int, 0, 2*(re.NumSubexp()+1))
	for language, n := range map[string]int{"c": 1_000_000, "cpp": 100_000, "rust": 100_000, "assemblyscript": 100_000, "go": 100_000} {
		l := newLane(t, Spec{Path: module(t, examplesDir+"/nginx/"+language)}, hourly)
		r := nginxLines{rand.New(rand.NewPCG(uint64(n), 7))}
		matched, lines := 0, make([][]byte, 1000)
		for done := 0; done < n/slowly; done += len(lines) {
			for i := range lines {
				lines[i] = r.line()
			}
			b := record.Get(l.origin)
			raw, from := b.Copy(append(bytes.Join(lines, []byte("\n")), '\n')), 0
			for _, line := range lines {
				b.AddOwn(raw[from : from+len(line) : from+len(line)]).Size = int64(len(line)) + 1
				from += len(line) + 1
			}
			require.NoError(t, l.p.Process(context.Background(), b))
			require.Len(t, b.Records, len(lines))
			for i := range b.Records {
				want := expectNginx(re, at, lines[i])
				if want != nil {
					matched++
				}
				if diff := differs(&b.Records[i], want, lines[i]); diff != "" {
					t.Fatalf("%s: %q: %s", language, lines[i], diff)
				}
			}
			b.Release()
		}
		require.Empty(t, l.m.status().Lost)
		t.Logf("%s: %d lines, %d of the format", language, n/slowly, matched)
		require.Greater(t, matched, n/slowly/10)
	}
}

// differs says how a record is not as wanted, nil standing for a line that is kept
// raw.
func differs(r *record.Record, want map[string]string, line []byte) string {
	if want == nil {
		if got, _ := r.Field(record.RawLog); r.Marks&record.Failed == 0 || !bytes.Equal(got, line) {
			return "it is parsed, and should not be: " + text(r)
		}
		return ""
	}
	if r.Marks&record.Failed != 0 || len(r.Fields) != len(want) {
		return "it comes out as " + text(r)
	}
	for _, f := range r.Fields {
		if want[string(f.Name)] != string(f.Value) {
			return fmt.Sprintf("%s is %q, want %q", f.Name, f.Value, want[string(f.Name)])
		}
	}
	return ""
}
