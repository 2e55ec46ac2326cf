package formats

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// mixture has three lines of a for two of b, 3 × run and 2 × run of them in a row,
// and 200 in all.
func mixture(a, b string, run int) []byte {
	of := [2][]string{strings.Split(strings.TrimSpace(a), "\n"), strings.Split(strings.TrimSpace(b), "\n")}
	var next [2]int
	var text []byte
	for n := range 200 {
		from := 0
		if n%(5*run) >= 3*run {
			from = 1
		}
		text = append(append(text, of[from][next[from]%len(of[from])]...), '\n')
		next[from]++
	}
	return text
}

// runs make mixtures line by line, in bursts, and of two blocks.
var runs = []int{1, 4, 40}

// includes says that a line of f may be one of general by design.
func includes(general string, f *Format) bool { return general == f.Name || f.refines[general] }

// mayMix are the mixtures that are one format all the same. A record of any format
// that has a Multiline.Start may end in a stack trace.
func mayMix(taken, a, b *Format) bool {
	other := a
	if includes(taken.Name, a) {
		other = b
	}
	// The error of Node.js reads like the last line of a traceback, and the lines of
	// its stack are indented as those of the next one.
	if taken.Name == "python_traceback" && other.Name == "node_exception" {
		return true
	}
	// Apache's combined format is nginx's, but for an identity and escaped quotes.
	return taken.start != nil && other.isTrace() || taken.Name == "nginx_access" && other.Name == "apache_combined"
}

func TestAMixtureOfTwoFormatsIsNeither(t *testing.T) {
	known := map[string]look{} // what all lines look like, so as to ask once
	for _, f := range Catalogue() {
		of := newLooks(split([]byte(f.Sample)))
		for i, line := range of.lines {
			known[string(line)] = of.at(i)
		}
	}
	for _, a := range Catalogue() {
		for _, b := range Catalogue() {
			suspects := map[string]bool{a.Name: true, b.Name: true}
			maps.Copy(suspects, a.refines)
			maps.Copy(suspects, b.refines)
			for _, run := range runs {
				of := newLooks(split(mixture(a.Sample, b.Sample, run)))
				for i, line := range of.lines {
					of.known[i] = known[string(line)]
				}
				for name := range suspects {
					f := Find(name)
					if c := f.confidence(of, confidenceMin); c > 0 && (!includes(name, a) || !includes(name, b)) && !mayMix(f, a, b) {
						t.Errorf("three lines of %s for two of %s, %d and %d in a row, are taken for %s with %.2f", a.Name, b.Name, 3*run, 2*run, name, c)
					}
				}
			}
		}
	}
}

func TestAMixtureWithOtherTextIsPlain(t *testing.T) {
	syslog, _, _ := strings.Cut(Find("syslog").Sample, "\n")
	for name, c := range map[string]struct {
		text string
		not  []string // that the text is a part of
	}{
		"sentences":   {text: "XMT: Solicit on eth0, interval 117950ms.\naudit: backlog limit exceeded\n"},
		"words":       {text: "started\nstopped\nall is well now\n"},
		"marks":       {text: "[ok] mounted /srv\n==> shop: building\nERROR no such unit\n"},
		"JSON":        {text: `{"event":"paid","n":1}`, not: []string{"json"}},
		"three kinds": {text: syslog + "\nand a plain line\nand one more\n" + `{"event":"paid","n":1}`, not: []string{"json", "syslog"}},
	} {
		for _, f := range Catalogue() {
			if slices.ContainsFunc(c.not, func(general string) bool { return includes(general, f) }) {
				continue
			}
			for _, run := range runs {
				got := Detect(mixture(f.Sample, c.text, run))
				require.Equal(t, Plain, got.Name, "three lines of %s for two of %s, %d in a row, with %.2f", f.Name, name, 3*run, got.Confidence)
			}
		}
	}
}

// TestTheJournalOfTwoProgramsIsNeither has 85 lines of klog and 57 of a client that
// writes to the same journal.
func TestTheJournalOfTwoProgramsIsNeither(t *testing.T) {
	var text strings.Builder
	for n := range 142 {
		if n*57/142 != (n+1)*57/142 {
			text.WriteString("XMT: Solicit on eth0, interval 117950ms.\n")
			continue
		}
		text.WriteString("I0312 08:15:02.123456    1234 controller.go:88] synced 12 items\n")
	}
	got := Detect([]byte(text.String()))
	require.Equal(t, Plain, got.Name)
	require.Equal(t, "60 % of its lines fit format klog, which is too few: do several programs write to it?", got.Remark)
}

// TestRecordsWithBodiesAreOneFormat has what is no mixture, though most lines begin
// no record.
func TestRecordsWithBodiesAreOneFormat(t *testing.T) {
	for name, text := range map[string]string{
		"klog": "I0312 08:15:02.123456    1234 controller.go:88] synced 12 items\n" +
			"E0312 08:15:03.000456    1234 runtime.go:77] Observed a panic\ngoroutine 1 [running]:\nmain.load(0x1)\n\t/srv/main.go:7 +0x1d\nmain.main()\n\t/srv/main.go:3 +0x1d\n",
		"application": "2026-03-12 08:15:03,456 [http-1] ERROR com.shop.Cart - cannot load\njava.lang.IllegalStateException: no stock\n" +
			strings.Repeat("\tat com.shop.Cart.load(Cart.java:42)\n", 15),
		"monolog":    "[2026-03-12T08:15:03+01:00] app.ERROR: no stock {\"exception\":\"x\n[stacktrace]\n" + strings.Repeat("#0 /srv/www/index.php(7): load()\n", 15) + "\"} []\n",
		"php_error":  "[12-Mar-2026 08:15:02 UTC] PHP Fatal error:  Uncaught X: no stock in /srv/www/cart.php:42\nStack trace:\n#0 {main}\n  thrown in /srv/www/cart.php on line 42\n",
		"mysql_slow": Find("mysql_slow").Sample,
		"postgresql": "2026-03-12 08:15:04.001 UTC [813] LOG:  statement: SELECT *\n" + strings.Repeat("\tAND x\n", 15),
	} {
		got := Detect([]byte(strings.Repeat(text, 3)))
		require.Equal(t, name, got.Name)
		require.InDelta(t, 1, got.Confidence, 0)
	}
}
