package houserules

import (
	"bytes"
	"fmt"
	"path"
	"regexp"
	"strings"
)

// strays are texts that do not belong in the sources: places of one machine,
// hosts that a mirror may replace, and remarks about who or what typed a line.
// They are written in pieces so that this file has none of them.
var strays = regexp.MustCompile(`(?i)(` + strings.Join([]string{
	`/wo` + `rk/`,
	`\.\./sha` + `red`,
	`shared/des` + `ign`,
	`contra` + `cts\.md`,
	`hou` + `se\.md`,
	`proxy\.gol` + `ang\.org`,
	`sum\.gol` + `ang\.org`,
	`registry\.npm` + `js\.org`,
	`registry\.yarn` + `pkg\.com`,
	`index\.cra` + `tes\.io`,
	`static\.cra` + `tes\.io`,
	`files\.python` + `hosted\.org`,
	`pypi\.o` + `rg`,
	`\bcla` + `ude\b`,
	`anthro` + `pic`,
	`chat` + `gpt`,
	`open` + `ai\b`,
	`\bcopi` + `lot\b`,
	`\bll` + `ms?\b`,
	`language mod` + `el`,
	`\bA` + `I[- ](assist|generat|written|agent|model)`,
	`\bsub` + `agents?\b`,
	`co-auth` + `ored-by`,
	`as an A` + `I\b`,
}, "|") + `)`)

func wordRules() []rule {
	return []rule{
		{
			name: "sources name no machine and no maker", check: strayWords,
			breaks: map[string]string{
				"docs/a.md":         "see /wo" + "rk/x",
				"agent/a.go":        "package agent // https://proxy.gol" + "ang.org",
				"package-lock.json": "https://registry.npm" + "js.org/x",
			},
			keeps: map[string]string{"docs/a.md": "The network/works/as expected; an agent is a program."},
		},
		{
			name: "texts end with a line break and have no odd characters", check: oddCharacters,
			breaks: map[string]string{"docs/a.md": "no end", "agent/a.go": "package agent\r\n", "docs/b.md": "zero\u200bwidth\n"},
			keeps:  map[string]string{"docs/a.md": "an end\n"},
		},
	}
}

func strayWords(t *tree) (broken []string) {
	for name, text := range t.texts {
		for i, line := range bytes.Split(text, []byte("\n")) {
			if word := strays.Find(line); word != nil {
				broken = append(broken, fmt.Sprintf("%s:%d: %q does not belong here", name, i+1, word))
			}
		}
	}
	return broken
}

// oddRE matches characters that are not seen: zero width, and those that turn
// the direction of text around.
var oddRE = regexp.MustCompile("[\u200b-\u200f\u202a-\u202e\u2066-\u2069\ufeff]")

// isSource is true for files that people write, and false for data of tests.
func isSource(name string) bool {
	switch path.Ext(name) {
	case ".go", ".md", ".yaml", ".yml", ".ts", ".tsx", ".css", ".html", ".sh", ".mod", ".json":
		return !strings.Contains(name, "testdata/")
	}
	return path.Base(name) == "Makefile"
}

func oddCharacters(t *tree) (broken []string) {
	for name, text := range t.texts {
		if !isSource(name) || len(text) == 0 {
			continue
		}
		if text[len(text)-1] != '\n' {
			broken = append(broken, name+": does not end with a line break")
		}
		if bytes.IndexByte(text, '\r') >= 0 {
			broken = append(broken, name+": has carriage returns")
		}
		if oddRE.Match(text) {
			broken = append(broken, name+": has characters that cannot be seen: write them as escapes")
		}
	}
	return broken
}
