package houserules

import (
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"
	"unicode"
)

func documentRules() []rule {
	return []rule{{
		name: "links in documents lead somewhere", check: deadLinks,
		breaks: map[string]string{
			"docs/a.md": "See [b](b.md).\n",
			"docs/b.md": "See [x](#no-such-heading).\n",
			"docs/c.md": "See [x](/README.md).\n",
			"docs/d.md": "See [x][ref].\n\n[ref]: gone.md\n",
		},
		keeps: map[string]string{
			"docs/a.md": "# Some `code`, and *more*!\n\n[a](a.md) [b](#some-code-and-more) [c](https://example.com) [d](../docs)\n\n```\n[x](gone.md)\n```\n\n`[y](gone.md)`\n",
		},
	}}
}

var (
	linkRE      = regexp.MustCompile(`\]\(<?([^)\s>]+)>?(?:\s+"[^"]*")?\)`)
	referenceRE = regexp.MustCompile(`^\[[^\]]+\]:\s*(\S+)`)
	fenceRE     = regexp.MustCompile("^\\s*(```|~~~)")
	codeRE      = regexp.MustCompile("`[^`]*`")
	headingRE   = regexp.MustCompile(`^#{1,6}\s+(.*?)\s*#*$`)
	anchorRE    = regexp.MustCompile(`<a (?:id|name)="([^"]+)"`)
)

func deadLinks(t *tree) (broken []string) {
	for name, text := range t.texts {
		if path.Ext(name) != ".md" || strings.Contains(name, "testdata/") {
			continue
		}
		prose(string(text), func(number int, line string) {
			line = codeRE.ReplaceAllString(line, "")
			for _, m := range append(linkRE.FindAllStringSubmatch(line, -1), referenceRE.FindAllStringSubmatch(line, -1)...) {
				if problem := t.linkProblem(name, m[1]); problem != "" {
					broken = append(broken, fmt.Sprintf("%s:%d: %s", name, number, problem))
				}
			}
		})
	}
	return broken
}

// prose calls f for the lines of a document that are not code.
func prose(text string, f func(number int, line string)) {
	fenced := false
	for i, line := range strings.Split(text, "\n") {
		if fenceRE.MatchString(line) {
			fenced = !fenced
			continue
		}
		if !fenced {
			f(i+1, line)
		}
	}
}

// linkProblem is what is wrong with a link in a document. Addresses on the net
// are not tried.
func (t *tree) linkProblem(from, link string) string {
	if strings.Contains(link, "://") || strings.HasPrefix(link, "mailto:") {
		return ""
	}
	if strings.HasPrefix(link, "/") {
		return link + " starts at the root of a host: link from this document"
	}
	file, anchor, _ := strings.Cut(link, "#")
	target := from
	if file != "" {
		target = path.Join(path.Dir(from), file)
	}
	if !t.paths[target] {
		return "there is no " + target
	}
	if anchor == "" || path.Ext(target) != ".md" {
		return ""
	}
	if !anchors(string(t.texts[target]))[anchor] {
		return fmt.Sprintf("%s has no heading #%s", target, anchor)
	}
	return ""
}

// anchors are the names that the headings of a document get.
func anchors(text string) map[string]bool {
	found := map[string]bool{}
	prose(text, func(_ int, line string) {
		if m := anchorRE.FindStringSubmatch(line); m != nil {
			found[m[1]] = true
		}
		m := headingRE.FindStringSubmatch(line)
		if m == nil {
			return
		}
		slug := strings.Map(func(r rune) rune {
			switch {
			case r == ' ':
				return '-'
			case r == '-' || r == '_' || unicode.IsLetter(r) || unicode.IsDigit(r):
				return unicode.ToLower(r)
			}
			return -1
		}, m[1])
		name := slug
		for i := 1; found[name]; i++ {
			name = fmt.Sprintf("%s-%d", slug, i)
		}
		found[name] = true
	})
	return found
}

var (
	yamlBlockRE    = regexp.MustCompile("(?ms)^```ya?ml\n(.*?)^```")
	substitutionRE = regexp.MustCompile(`\$\{(env|file|cred):([^}:]+)[^}]*\}`)
	topKeyRE       = regexp.MustCompile(`(?m)^(outputs|pipelines):`)
)

// examples are the whole configurations of the agent in a file: blocks of a
// document, and YAML files, that state a version and have pipelines.
func examples(name, text string) []string {
	var list []string
	switch path.Ext(name) {
	case ".md":
		for _, m := range yamlBlockRE.FindAllStringSubmatch(text, -1) {
			list = append(list, m[1])
		}
	case ".yaml", ".yml":
		list = append(list, text)
	}
	return slices.DeleteFunc(list, func(text string) bool {
		return !strings.Contains("\n"+text, "\nversion: 1\n") || !topKeyRE.MatchString(text)
	})
}
