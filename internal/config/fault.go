package config

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Fault is one thing that is wrong with a configuration: where, and what to do
// about it. Line and Column are 1-based and 0 when there is no place to show.
// Neither Path nor Problem holds the value of a secret.
type Fault struct {
	File    string
	Line    int
	Column  int
	Path    string
	Problem string
}

// Error is the fault on one line: `file:line:col: path: problem`.
func (f Fault) Error() string {
	var b strings.Builder
	b.WriteString(f.File)
	if f.Line > 0 {
		fmt.Fprintf(&b, ":%d:%d", f.Line, f.Column)
	}
	if f.Path != "" {
		b.WriteString(": ")
		b.WriteString(f.Path)
	}
	b.WriteString(": ")
	b.WriteString(f.Problem)
	return b.String()
}

// FirstFault is the first fault that validate, a method of settings, reports:
// nil if there is none.
func FirstFault(validate func(report func(key, problem string))) (err error) {
	validate(func(key, problem string) {
		if err == nil {
			err = fmt.Errorf("%s %s", key, problem)
		}
	})
	return err
}

// Faults is every fault of a configuration, by file and line. It is the type
// of the error that Load and Parse return for faults of the contents.
type Faults []Fault

// Error lists the faults, one to a line.
func (f Faults) Error() string {
	lines := make([]string, len(f))
	for i := range f {
		lines[i] = f[i].Error()
	}
	return strings.Join(lines, "\n")
}

// sort orders faults by file, in the order of files, then by line and column.
func (f Faults) sort(files []string) {
	slices.SortStableFunc(f, func(a, b Fault) int {
		return cmp.Or(
			cmp.Compare(slices.Index(files, a.File), slices.Index(files, b.File)),
			cmp.Compare(a.Line, b.Line),
			cmp.Compare(a.Column, b.Column),
			cmp.Compare(a.Path, b.Path),
		)
	})
}

// suggest returns ` (did you mean "x"?)` for the candidate nearest to word, or
// nothing when none is near enough to be a slip of the keyboard.
func suggest(word string, candidates []string) string {
	if len(word) > 64 {
		return ""
	}
	best, bestDistance := "", 1+max(1, len(word)/3)
	for _, c := range candidates {
		d := distance(strings.ToLower(word), c)
		if strings.Contains(c, word) && len(word) >= 3 || strings.Contains(word, c) && len(c) >= 3 {
			d = min(d, 1)
		}
		if d < bestDistance || d == bestDistance && best != "" && c < best {
			best, bestDistance = c, d
		}
	}
	if best == "" {
		return ""
	}
	return fmt.Sprintf(" (did you mean %q?)", best)
}

// distance is the number of letters to add, drop, change or swap with the
// neighbour to turn a into b.
func distance(a, b string) int {
	before := make([]int, len(b)+1)
	last := make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row := make([]int, len(b)+1)
		row[0] = i
		for j := 1; j <= len(b); j++ {
			change := 1
			if a[i-1] == b[j-1] {
				change = 0
			}
			row[j] = min(last[j]+1, row[j-1]+1, last[j-1]+change)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, last = last, row
	}
	return last[len(b)]
}
