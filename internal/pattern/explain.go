package pattern

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// explain describes the steps in the order of the pattern.
func (p *program) explain(names []string) string {
	var s strings.Builder
	s.WriteString("byte scanner")
	switch {
	case p.anchored:
		s.WriteString(", from the start")
	case p.prefix != "":
		s.WriteString(", from literal " + quote(p.prefix))
	}
	if p.frames == 0 {
		s.WriteString(", never goes back")
	}
	s.WriteString(": ")
	for i := range p.insts {
		if i > 0 {
			s.WriteString(", ")
		}
		p.insts[i].describe(&s, names)
	}
	return s.String()
}

func quantifier(least, most int32, greedy bool) string {
	s := ""
	switch {
	case least == 0 && most < 0:
		s = "*"
	case least == 1 && most < 0:
		s = "+"
	case most < 0:
		s = fmt.Sprintf("{%d,}", least)
	case least == most:
		return fmt.Sprintf("{%d}", least)
	default:
		s = fmt.Sprintf("{%d,%d}", least, most)
	}
	if !greedy {
		s += "?"
	}
	return s
}

func quote(s string) string {
	if !utf8.ValidString(s) {
		return strconv.Quote(s)
	}
	return strconv.QuoteToGraphic(s)
}

// describe writes one step for people.
func (in *inst) describe(s *strings.Builder, names []string) {
	if in.op == opCap {
		s.WriteString(positionText(in.slot, names))
		return
	}
	if in.open >= 0 {
		s.WriteString(groupName(names, int(in.open)/2) + "=")
	}
	s.WriteString(in.info.text)
	if in.close >= 0 && in.close != in.open+1 {
		s.WriteString(", " + positionText(in.close, names))
	}
	if in.litLen > 0 {
		if in.info.text != "" {
			s.WriteByte(' ')
		}
		s.WriteString(in.litText())
	}
	if in.op == opBack {
		s.WriteString(" (goes back)")
	}
}

// litText writes the literal of a step, quoted, or its ranges as in a pattern.
func (in *inst) litText() string {
	if !in.ranged {
		return quote(in.info.lit)
	}
	var s strings.Builder
	for i := range int(in.litLen) {
		lo, certain := in.litByte(i)
		switch hi := 0x7f - byte(in.above>>(8*i)); {
		case certain:
			s.WriteString(regexp.QuoteMeta(string(rune(lo))))
		default:
			s.WriteString(classText([]rune{rune(lo), rune(hi)}))
		}
	}
	return s.String()
}

func positionText(slot int16, names []string) string {
	text := "group " + groupName(names, int(slot)/2)
	if slot%2 == 1 {
		text = "end of " + text
	}
	return text
}

func groupName(names []string, i int) string {
	if names[i] != "" {
		return names[i]
	}
	return strconv.Itoa(i)
}

var namedClasses = []struct {
	text  string
	runes []rune
}{
	{`.`, []rune{0, '\n' - 1, '\n' + 1, unicode.MaxRune}},
	{`(?s:.)`, []rune{0, unicode.MaxRune}},
	{`\d`, []rune{'0', '9'}},
	{`\D`, []rune{0, '0' - 1, '9' + 1, unicode.MaxRune}},
	{`\s`, []rune{'\t', '\n', '\f', '\r', ' ', ' '}},
	{`\S`, []rune{0, '\t' - 1, '\n' + 1, '\f' - 1, '\r' + 1, ' ' - 1, ' ' + 1, unicode.MaxRune}},
	{`\w`, []rune{'0', '9', 'A', 'Z', '_', '_', 'a', 'z'}},
	{`\W`, []rune{0, '0' - 1, '9' + 1, 'A' - 1, 'Z' + 1, '_' - 1, '_' + 1, 'a' - 1, 'z' + 1, unicode.MaxRune}},
}

// classRangesMax ranges of a class are shown: \pL has hundreds.
const classRangesMax = 10

// classText writes a class of sorted pairs of runes as in a pattern.
func classText(runes []rune) string {
	for _, named := range namedClasses {
		if slices.Equal(named.runes, runes) {
			return named.text
		}
	}
	var s strings.Builder
	s.WriteByte('[')
	if n := len(runes); n > 2 && runes[0] == 0 && runes[n-1] == unicode.MaxRune {
		s.WriteByte('^')
		outside := make([]rune, 0, n)
		for i := 1; i < n-1; i += 2 {
			outside = append(outside, runes[i]+1, runes[i+1]-1) //nolint:gosec // ranges are pairs, so i+1 < n
		}
		runes = outside
	}
	for i := 0; i < len(runes); i += 2 {
		if i == 2*classRangesMax {
			s.WriteString("...")
			break
		}
		s.WriteString(runeText(runes[i]))
		if runes[i+1] > runes[i]+1 {
			s.WriteByte('-')
		}
		if runes[i+1] > runes[i] {
			s.WriteString(runeText(runes[i+1]))
		}
	}
	s.WriteByte(']')
	return s.String()
}

func runeText(r rune) string {
	if r < utf8.RuneSelf && strings.IndexByte(`]^-\[`, byte(r)) >= 0 {
		return `\` + string(r)
	}
	quoted := strconv.QuoteRune(r)
	if r == '\'' {
		return "'"
	}
	return quoted[1 : len(quoted)-1]
}
