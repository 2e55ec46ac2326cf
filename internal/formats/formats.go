// Package formats knows the common shapes of log files: how to recognise one
// from its first lines, how records are framed, and which processors take them
// apart. To add one, add a file to the folder catalogue; entry says what it holds.
//
// Detection never guesses in silence: it says which share of the sampled lines
// fit, and answers with Plain where no format fits well enough. The package
// keeps no state and is safe for concurrent use.
package formats

import (
	"bytes"
	"fmt"
	"slices"

	"github.com/wasmtail/wasmtail/internal/pattern"
)

// Plain is the name of no format: the lines of such a file stay whole.
const Plain = "plain"

// Format is one known shape of a log file. It is immutable.
type Format struct {
	// Name is the name in tables and configurations.
	Name string
	// Description says what it is, in one sentence without a full stop, and URL is
	// where its makers describe it.
	Description, URL string
	// Multiline says how lines are joined to records; zero where each is one.
	Multiline Multiline
	// Header matches the lines that name the columns of those after them, behind a
	// first word; "" where there are none.
	Header string
	// Processors is the YAML list that takes a record apart.
	Processors string
	// Sample are lines of this format, each with its line end.
	Sample string

	line          *pattern.Regexp // matches a line that begins a record
	start, goesOn *pattern.Regexp // those of Multiline, nil for none
	body          *pattern.Regexp // see entry, nil for none
	header        *pattern.Regexp // likewise
	refines       map[string]bool // the formats that this one is to be preferred to
}

// HeaderPattern is Header, compiled; nil where there is none.
func (f *Format) HeaderPattern() *pattern.Regexp { return f.header }

// Multiline are the patterns that frame records of several lines, with the
// meaning they have in the files input; "" for those that are not set.
type Multiline struct {
	Start    string `yaml:"start" json:"start,omitempty"`
	Continue string `yaml:"continue" json:"continue,omitempty"`
	Head     string `yaml:"head" json:"head,omitempty"`
}

// plain is what a file without a recognised format is: lines.
var plain = Format{Name: Plain, Description: "Lines of no known format"}

// Result is a format and how well it fits.
type Result struct {
	Format
	// Confidence is the share of the sampled lines that fit, 0 for Plain.
	Confidence float64
	// Lines is how many lines were looked at.
	Lines int
	// Remark says what else was seen in a file that is Plain, "" for nothing.
	Remark string
}

const (
	// SampleBytes of a file are enough to recognise its format.
	SampleBytes = 32 << 10
	// confidenceMin is the share of sampled lines that must fit: files begin
	// with banners and carry the odd stray line, but a format that misses one
	// line in four is the wrong one.
	confidenceMin = 0.75
	// nearMin is the share from which on a format that does not fit is worth a word.
	nearMin = 0.4
	// refineMargin is by how much worse a format may fit than one that it refines
	// and still be preferred: a few lines of another kind must not cost all others
	// their time.
	refineMargin = 0.1
	// linesMax bounds the work of one detection.
	linesMax = 200
	// startsMin is the least share of lines that begin a record, one in so many,
	// where all that does not begin one goes on with it: otherwise the first line
	// would claim any file.
	startsMin = 20
)

// Detect recognises the format of a file from its first bytes: the best of Rank,
// or Plain. The last line of sample is ignored unless it ends in a newline or is
// the only one.
func Detect(sample []byte) Result {
	if ranked := Rank(sample); len(ranked) > 0 {
		return ranked[0]
	}
	r := Result{Format: plain, Lines: len(split(sample))}
	if near := rank(split(sample), nearMin); len(near) > 0 {
		r.Remark = fmt.Sprintf("%.0f %% of its lines fit format %s, which is too few: do several programs write to it?", 100*near[0].Confidence, near[0].Name)
	}
	return r
}

// Rank returns the formats that fit well enough, the best first: those that fit
// more lines, but one that says more of a line before those it refines.
func Rank(sample []byte) []Result { return rank(split(sample), confidenceMin) }

// rank returns the formats that at least that share of the lines fit.
func rank(lines [][]byte, share float64) []Result {
	looked := newLooks(lines)
	var fits []Result
	for _, f := range Catalogue() {
		if c := f.confidence(looked, share); c > 0 {
			fits = append(fits, Result{Format: *f, Confidence: c, Lines: len(lines)})
		}
	}
	slices.SortStableFunc(fits, func(a, b Result) int {
		switch {
		case a.Confidence > b.Confidence:
			return -1
		case a.Confidence < b.Confidence:
			return 1
		}
		return 0
	})
	for i := range fits { // a short list: each goes before the first that it refines
		for j := range i {
			if fits[i].refines[fits[j].Name] && fits[i].Confidence >= fits[j].Confidence-refineMargin {
				particular := fits[i]
				copy(fits[j+1:i+1], fits[j:i])
				fits[j] = particular
				break
			}
		}
	}
	return fits
}

// confidence is the share of lines that fit, 0 where that is less than the least
// share asked for, or where too few begin a record. A line
// that would go on with a record only because nothing of it says otherwise does not
// fit: as often as not it is of another program that writes to the same place. And
// what goes on after the first line of some other format is not of this one either,
// nor is one line more for each of those, since lines of two programs can alternate.
func (f *Format) confidence(of *looks, least float64) float64 {
	missedMax := int((1 - least) * float64(len(of.lines)))
	starts, bodies, missed, strangers, foreign := 0, 0, 0, 0, false
	var named columns // by the last header
	for i, line := range of.lines {
		switch {
		case f.header != nil && f.header.Match(line):
			named = columnsOf(line)
			starts++
			foreign = false
		case f.line.Match(line), named.fit(line):
			starts++
			foreign = false
		case starts > 0 && !foreign && f.continues(line) && (f.isTrace() || f.hasBody(line) || of.at(i)&ofTrace != 0):
			bodies++
		default:
			missed++
			if of.at(i)&beginsRecord != 0 || f.isTrace() && of.at(i)&beginsTrace != 0 {
				strangers++
				foreign = true
			}
		}
		if missed > missedMax {
			return 0
		}
	}
	if starts == 0 || f.start != nil && !f.isTrace() && starts*startsMin < len(of.lines) {
		return 0
	}
	fit := float64(starts+max(0, bodies-strangers)) / float64(len(of.lines))
	if fit < least {
		return 0
	}
	return fit
}

// isTrace reports whether f is stack traces and nothing else: those are the formats
// with a Multiline.Continue, and the records of others may have some in them.
func (f *Format) isTrace() bool { return f.goesOn != nil }

// continues reports whether a line that does not look like the first of a record
// is framed with the one before it.
func (f *Format) continues(line []byte) bool {
	switch {
	case f.goesOn != nil:
		return f.goesOn.Match(line)
	case f.start != nil:
		return !f.start.Match(line)
	}
	return false
}

// hasBody reports whether a line has the look of a record's further lines.
func (f *Format) hasBody(line []byte) bool {
	return line[0] == ' ' || line[0] == '\t' || f.body != nil && f.body.Match(line)
}

// looks are the lines of a sample, and what each looks like as far as that was
// asked.
type looks struct {
	lines [][]byte
	known []look // of the same length
}

func newLooks(lines [][]byte) *looks { return &looks{lines: lines, known: make([]look, len(lines))} }

// look is what a line looks like, whatever format is asked for.
type look uint8

const (
	asked        look = 1 << iota
	ofTrace           // of a stack trace, in any of its lines
	beginsTrace       // its first line
	beginsRecord      // the first line of a record of some other kind
)

// at returns what line i looks like.
func (l *looks) at(i int) look {
	if l.known[i] != 0 {
		return l.known[i]
	}
	is := asked
	for _, f := range Catalogue() {
		switch begins := f.line.Match(l.lines[i]); {
		case begins && f.isTrace():
			is |= ofTrace | beginsTrace
		case begins:
			is |= beginsRecord
		case f.isTrace() && f.goesOn.Match(l.lines[i]):
			is |= ofTrace
		}
	}
	l.known[i] = is
	return is
}

// split returns the lines of sample that are not empty.
func split(sample []byte) [][]byte {
	sample = bytes.TrimPrefix(sample, []byte("\xef\xbb\xbf"))
	if i := bytes.LastIndexByte(sample, '\n'); i >= 0 {
		sample = sample[:i]
	}
	var lines [][]byte
	for len(sample) > 0 && len(lines) < linesMax {
		line, rest, _ := bytes.Cut(sample, []byte("\n"))
		sample = rest
		if line = bytes.TrimSuffix(line, []byte("\r")); len(line) > 0 {
			lines = append(lines, line)
		}
	}
	return lines
}
