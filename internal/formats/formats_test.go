package formats

import (
	"bytes"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestEveryFormatIsRecognisedFromItsOwnLines(t *testing.T) {
	for _, f := range Catalogue() {
		for _, sample := range []string{f.Sample, strings.ReplaceAll(f.Sample, "\n", "\r\n"), "\xef\xbb\xbf" + f.Sample} {
			got := Detect([]byte(sample))
			require.Equal(t, f.Name, got.Name)
			require.InDelta(t, 1, got.Confidence, 0)
			require.Positive(t, got.Lines)
		}
		require.True(t, f.line.Scanned(), "detecting %s needs the slow engine", f.Name)
	}
}

// TestWhatFitsTwiceIsDecided keeps chance out: where a sample fits another format
// as well as its own, one of the two says that it is the more particular.
func TestWhatFitsTwiceIsDecided(t *testing.T) {
	for _, f := range Catalogue() {
		for _, r := range Rank([]byte(f.Sample)) {
			require.True(t, r.Name == f.Name || f.refines[r.Name], "%s and %s fit the same lines: one must refine the other", f.Name, r.Name)
		}
	}
}

func TestTheMoreParticularWins(t *testing.T) {
	zap, other := Find("zap_json").Sample, Find("json").Sample
	zap = strings.Repeat(zap, 10)
	require.Equal(t, "zap_json", Detect([]byte(zap)).Name)
	few := Rank([]byte(zap + strings.Split(other, "\n")[0] + "\n"))
	require.Equal(t, "zap_json", few[0].Name, "a line of another kind does not cost all others their time")
	require.Less(t, few[0].Confidence, few[1].Confidence)
	require.Equal(t, "json", few[1].Name)
	many := Detect([]byte(zap + strings.Repeat(other, 3)))
	require.Equal(t, "json", many.Name)
}

func TestWhatIsNoLogIsPlain(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	noise := make([]byte, 20_000)
	for i := range noise {
		noise[i] = byte(rnd.IntN(256))
	}
	printable := make([]byte, 20_000)
	for i := range printable {
		printable[i] = " \n\t0123456789abcdefghijABC[]{}\":,=/-"[rnd.IntN(36)]
	}
	for name, text := range map[string]string{
		"noise": string(noise), "printable noise": string(printable), "nothing": "", "empty lines": "\n\n\n", "one line": "one line",
		"prose":       strings.Repeat("The gate was shut, and nobody had a key: we went home by the river.\nError: none of us could say why.\n", 50),
		"shell":       "#!/bin/sh\nset -e\nexport A=1 B=2\necho done\n",
		"go":          "package main\n\nimport \"fmt\"\n\nfunc main() {\n\tfmt.Println(\"x\")\n\tpanic(\"y\")\n}\n",
		"python":      "import sys\n\ndef main():\n    try:\n        run()\n    except ValueError as e:\n        raise SystemExit(1)\n",
		"c":           "#include <stdio.h>\nint main(void)\n{\n\treturn 0; /* Error: */\n}\n",
		"javascript":  "const a = { b: 1 };\nclass E extends Error {}\nthrow new TypeError('x');\n",
		"csv":         "id,name,price\n1,tea,2.50\n2,\"green, tea\",3.00\n3,rum,12\n",
		"csv of time": "time,host,cpu\n2026-03-12 08:15:02,web1,0.4\n2026-03-12 08:15:03,web1,0.5\n2026-03-12T08:15:04Z,web1,0.5\n",
		"tab table":   "1\ttea\t2\n2\trum\t3\n",
		"yaml":        "a: 1\nb:\n  - c\n  - {d: e}\n",
		"json file":   "{\n  \"a\": 1,\n  \"b\": [\n    2\n  ]\n}\n",
		"ini":         "[server]\nport=80\nname=web\n",
		"xml":         "<?xml version=\"1.0\"?>\n<a><b>1</b></a>\n",
		"numbers":     "1 2 3 4 5 6 7\n8 9 10 11 12 13 14\n",
		"diff":        "--- a/x\n+++ b/x\n@@ -1 +1 @@\n-a\n+b\n",
		"a mixture": strings.Repeat("I0312 08:15:02.123456    1234 controller.go:88] synced 12 items\nXMT: Solicit on eth0, interval 117950ms.\n"+
			"time=\"2026-03-12T08:15:02Z\" level=info msg=started\naudit: backlog limit exceeded\n", 20),
		"mail":     "From: a@shop.example\nTo: b@shop.example\nSubject: Error: no stock\n\nHello,\n",
		"one date": "2026-03-12 08:15:02,123 [main] INFO  started\n" + strings.Repeat("and then much that is of no kind\n", 100),
	} {
		got := Detect([]byte(text))
		require.Equal(t, Plain, got.Name, name)
		require.Zero(t, got.Confidence, name)
	}
}

func TestAStrayLineDoesNotHideTheFormat(t *testing.T) {
	got := Detect([]byte(strings.Repeat(Find("syslog").Sample, 5) + "-- rotated --\nMar 12 08:1"))
	require.Equal(t, "syslog", got.Name)
	require.Less(t, got.Confidence, 1.0)
	require.Equal(t, 26, got.Lines)
}

func TestAHeaderSaysWhichLinesFit(t *testing.T) {
	head := "#Version: 1.0\n#Fields: date time cs-uri-stem\n"
	lines := "2026-03-12 08:15:02 /\n2026-03-12 08:15:03 /\n2026-03-12 08:15:04 /\n"
	got := Detect([]byte(head + lines))
	require.Equal(t, "iis", got.Name)
	require.InDelta(t, 1, got.Confidence, 0)
	got = Detect([]byte(head + lines + "#Fields: date time s-ip sc-status\n" + strings.Repeat("2026-03-12 08:15:05 ::1 200\n", 5)))
	require.Equal(t, "iis", got.Name)
	require.InDelta(t, 1, got.Confidence, 0)
	require.Equal(t, "iis", Detect([]byte("#Version: 1.0\n#Fields: date time x\n"+strings.Repeat("2026-03-12\t08:15:05\ttwo words\n", 9))).Name)
	require.Equal(t, Plain, Detect([]byte("#Version: 1.0\n#Fields: a b\n"+strings.Repeat("two words\n", 9))).Name, "no column says when")
	require.Equal(t, Plain, Detect([]byte("#Version: 1.0\n#Fields:  \n"+strings.Repeat("two words\n", 9))).Name)
	require.Equal(t, Plain, Detect([]byte(lines)).Name)
	require.Equal(t, Plain, Detect([]byte(head+strings.Repeat("2026-03-12 08:15:05 ::1 200\n", 9))).Name)
}

func TestFindKnowsTheNames(t *testing.T) {
	require.Equal(t, "nginx_access", Find("nginx_access").Name)
	require.Nil(t, Find("nginx"))
	require.Nil(t, Find(Plain))
	require.True(t, slices.IsSorted(Names()))
	require.NotContains(t, Names(), Plain)
	require.NotContains(t, Names(), "auto")
}

func TestAFaultyFormatIsRefused(t *testing.T) {
	good := "description: d\nurl: u\ndetect: '^x'\nprocessors: '- {type: json}'\nsample: x\n"
	_, _, err := parse([]byte(good))
	require.NoError(t, err)
	for _, bad := range []string{
		"", good + "detekt: x\n", strings.Replace(good, "'^x'", "'('", 1), strings.Replace(good, "'^x'", "''", 1),
		strings.Replace(good, "sample: x", "sample:", 1), good + "multiline: {start: '('}\n", good + "multiline: {stop: x}\n",
	} {
		_, _, err := parse([]byte(bad))
		require.Error(t, err, bad)
	}
	f := &Format{Name: "a", refines: map[string]bool{}}
	require.ErrorContains(t, f.inherit(map[string][]string{"a": {"b"}, "b": {"a"}}, "a"), "refines itself")
	require.ErrorContains(t, f.inherit(map[string][]string{"a": {"c"}}, "a"), "no format")
}

// FuzzDetect checks that detection ends, says how sure it is, and depends on the
// lines alone.
func FuzzDetect(f *testing.F) {
	for _, format := range Catalogue() {
		f.Add([]byte(format.Sample))
	}
	f.Add([]byte("\xef\xbb\xbf\r\n\x00{\"a\":1}"))
	f.Fuzz(func(t *testing.T, sample []byte) {
		ranked := Rank(sample)
		got := Detect(sample)
		if (got.Confidence == 0) != (got.Name == Plain) || got.Confidence > 1 || got.Lines > linesMax {
			t.Fatalf("%s with confidence %v from %d lines", got.Name, got.Confidence, got.Lines)
		}
		for _, r := range ranked {
			if r.Confidence < confidenceMin || r.Confidence > 1 {
				t.Fatalf("%s is ranked with confidence %v", r.Name, r.Confidence)
			}
		}
		if bytes.IndexByte(sample, '\n') >= 0 {
			cut := append(bytes.Clone(sample[:bytes.LastIndexByte(sample, '\n')+1]), "the last line, not whole"...)
			if again := Detect(cut); again.Name != got.Name || again.Confidence != got.Confidence {
				t.Fatalf("%s becomes %s by a line that is not whole", got.Name, again.Name)
			}
		}
	})
}

// BenchmarkLine measures the rule of each format on a line of its own, and on one
// of another's, which is what it mostly sees.
func BenchmarkLine(b *testing.B) {
	other := []byte(`192.0.2.7 - - [12/Mar/2026:08:15:02 +0000] "GET /cart?id=7 HTTP/1.1" 200 5120 "https://shop.example/" "Mozilla/5.0 (X11; Linux x86_64)"`)
	for _, f := range Catalogue() {
		own := split([]byte(f.Sample))[0]
		b.Run(f.Name+"/own", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				f.line.Match(own)
			}
		})
		b.Run(f.Name+"/other", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				f.line.Match(other)
			}
		})
	}
}

// BenchmarkDetect measures what it costs to find the format of a file.
func BenchmarkDetect(b *testing.B) {
	for _, name := range []string{"nginx_access", "zap_json", "application"} {
		sample := []byte(strings.Repeat(Find(name).Sample, 400))[:SampleBytes]
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				Detect(sample)
			}
		})
	}
}
