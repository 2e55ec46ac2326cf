// Package formats knows the common shapes of log files: how to recognise one
// from its first lines, and which processors take it apart.
//
// Detection never guesses in silence: it says which share of the sampled lines
// fit, and answers with Plain where no format fits well enough. The package
// keeps no state and is safe for concurrent use.
package formats

import (
	"bytes"
	"regexp"
)

// Format is one known shape of a log file.
type Format struct {
	// Name is the name in tables and generated configurations.
	Name string
	// Line matches a line that begins a record of this format.
	Line *regexp.Regexp
	// Multiline is the pattern that starts a record where records may span
	// lines, "" where each line is one.
	Multiline string
	// Processors is the YAML list that takes a record apart, "" for none.
	Processors string
}

// Plain is what a file without a recognised format is: lines.
var plain = Format{Name: "plain"}

// Result is a recognised format and how sure it is.
type Result struct {
	Format
	// Confidence is the share of sampled lines that fit, 0 for plain.
	Confidence float64
}

const (
	// confidenceMin is the share of sampled lines that must fit: files begin
	// with banners and carry the odd stray line, but a format that misses one
	// line in four is the wrong one.
	confidenceMin = 0.75
	// linesMax bounds the work of one detection.
	linesMax = 200
)

// Detect recognises the format of a file from its first bytes. The last line
// of sample is ignored unless it ends in a newline or is the only one.
func Detect(sample []byte) Result {
	lines := split(sample)
	best := Result{Format: plain}
	for _, f := range Catalogue() {
		fit, starts := 0, 0
		for _, line := range lines {
			switch {
			case f.Line.Match(line):
				fit++
				starts++
			case f.Multiline != "" && starts > 0:
				fit++ // a continuation of the record that a line before began
			}
		}
		// A multi-line format needs enough starts: otherwise its first line
		// would claim any file.
		if starts == 0 || f.Multiline != "" && starts*20 < len(lines) {
			continue
		}
		if c := float64(fit) / float64(len(lines)); c >= confidenceMin && c > best.Confidence {
			best = Result{Format: f, Confidence: c}
		}
	}
	return best
}

func split(sample []byte) [][]byte {
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
