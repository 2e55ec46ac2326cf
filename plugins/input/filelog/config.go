package filelog

import (
	"fmt"
	"path/filepath"
	"time"

	"github.com/bmatcuk/doublestar/v4"

	"github.com/wasmtail/wasmtail/agent/tail"
	"github.com/wasmtail/wasmtail/internal/config"
	"github.com/wasmtail/wasmtail/internal/pattern"
)

// Config are the settings of the files input.
type Config struct {
	// Include lists the files to read, as absolute paths. * stands for any part of
	// a name, ? for one character, [a-z] for one of a class, {a,b} for one of
	// several, and ** for any number of directories. Name the file that is being
	// written, such as /var/log/app.log: what it is renamed to when it is rotated
	// (app.log.1, app.log-20060102, app-2006-01-02.log) is followed by itself, and
	// is read only once even if a pattern includes it.
	Include []string `yaml:"include" required:"true" path:"true" example:"[/var/log/app/*.log]"`
	// Exclude lists files and directories to leave out, in the same form.
	Exclude []string `yaml:"exclude" path:"true" example:"[/var/log/app/debug*.log]"`
	// StartAt says where to begin with files that are already there when their
	// pattern is used for the first time: end; beginning; last with a size, such
	// as last 1MiB, from the next line on; or since with a time or a duration,
	// such as since 2h: files that were last written before it are skipped, others
	// are read from their beginning. Files that appear later are always read from
	// their beginning, and after a restart reading goes on where it was.
	StartAt string `yaml:"start_at" default:"end" example:"last 1MiB"`
	// Multiline joins lines to records, such as stack traces.
	Multiline Multiline `yaml:"multiline"`
	// Header matches lines that say how those after them are to be read: a regular
	// expression in RE2 syntax. The last one, of at most 4 KiB, goes along with each
	// batch of what follows it, over restarts too, for a processor such as w3c.
	Header string `yaml:"header" example:"'^#Fields: '"`
	// Encoding of the files: utf-8, or gbk (with GB18030), which is turned into
	// UTF-8. Bytes that are not valid UTF-8 are kept as they are, and the record
	// is marked invalid_utf8.
	Encoding string `yaml:"encoding" default:"utf-8" enum:"utf-8,gbk"`
	// MaxRecordSize is the longest record. A longer one is delivered in pieces,
	// between characters, each marked split.
	MaxRecordSize config.Size `yaml:"max_record_size" default:"1MiB" example:"256KiB"`
	// PartialTimeout is how long the end of a file may be without a line end
	// before it is delivered as it is, marked partial. If the line goes on later,
	// the rest is a record of its own, also marked partial.
	PartialTimeout time.Duration `yaml:"partial_timeout" default:"5s" example:"30s"`
	// MaxDepth is how many levels of directories ** descends into.
	MaxDepth int `yaml:"max_depth" default:"32" example:"3"`
	// MaxFiles bounds how many files are followed, so that a wrong pattern does no
	// harm. Files beyond it are reported and not read.
	MaxFiles int `yaml:"max_files" default:"100000" example:"1000"`
	// RotatedCloseAfter is how long a renamed file is held open after it last
	// grew, in case its writer has not noticed yet. It is never closed before it
	// is read and delivered.
	RotatedCloseAfter time.Duration `yaml:"rotated_close_after" default:"1m" example:"10s"`
	// DeletedReleaseAfter is how long a deleted file is held open, and takes space
	// on the disk, while it has bytes that are not delivered. Then they are given
	// up, and the range is reported.
	DeletedReleaseAfter time.Duration `yaml:"deleted_release_after" default:"1h" example:"10m"`

	format string // of the pipeline, see UseFormat
}

// UseFormat makes the format of the pipeline frame the records, where Multiline
// does not: that of each file, if it is config.FormatAuto.
func (c *Config) UseFormat(name string) { c.format = name }

// Multiline are the settings for records of several lines. The patterns are
// regular expressions in RE2 syntax and are matched against single lines, before
// decoding. Set one or more of them.
type Multiline struct {
	// Start matches the first line of a record, such as ^\d{4}-\d\d-\d\d. Lines
	// that do not match belong to the record before them.
	Start string `yaml:"start" example:"'^\\d{4}-\\d\\d-\\d\\d '"`
	// Continue matches lines that belong to the record before them, such as ^\s.
	// Other lines begin a record.
	Continue string `yaml:"continue" example:"'^\\s'"`
	// End matches the last line of a record.
	End string `yaml:"end" example:"'^}$'"`
	// Head matches a first line that is not enough for a record: the lines after it
	// belong to it up to the first that Start matches, that one included, but 8 of
	// them at most. So ^# Time: goes with the ^# User@Host: behind it in MySQL's
	// slow query log, where the first is often left out. It needs start.
	Head string `yaml:"head" example:"'^# Time: '"`
	// Timeout is how long to wait for further lines before a record at the end of
	// a file is delivered.
	Timeout time.Duration `yaml:"timeout" default:"3s" example:"10s"`
	// MaxLines is the largest number of lines in a record. A longer one is
	// delivered in pieces, each marked split.
	MaxLines int `yaml:"max_lines" default:"1000" example:"200"`
}

// Validate reports what is wrong with the settings.
func (c *Config) Validate(report func(key, problem string)) {
	for i, p := range c.Include {
		checkPath(fmt.Sprintf("include[%d]", i), p, report)
	}
	for i, p := range c.Exclude {
		checkPath(fmt.Sprintf("exclude[%d]", i), p, report)
	}
	if _, err := tail.ParseStart(c.StartAt, time.Now()); err != nil {
		report("start_at", err.Error())
	}
	c.Multiline.Check(report)
	if _, err := pattern.Compile(c.Header); c.Header != "" && err != nil {
		report("header", err.Error())
	}
	if c.MaxRecordSize < 256 || c.MaxRecordSize > 64*config.MiB {
		report("max_record_size", "must be between 256B and 64MiB")
	}
	for key, n := range map[string]int{"max_depth": c.MaxDepth, "max_files": c.MaxFiles, "multiline.max_lines": c.Multiline.MaxLines} {
		if n < 1 {
			report(key, "must be at least 1")
		}
	}
	shortest := map[string]struct{ have, least time.Duration }{
		"partial_timeout":       {c.PartialTimeout, 100 * time.Millisecond},
		"rotated_close_after":   {c.RotatedCloseAfter, time.Second},
		"deleted_release_after": {c.DeletedReleaseAfter, time.Second},
		"multiline.timeout":     {c.Multiline.Timeout, 100 * time.Millisecond},
	}
	for key, d := range shortest {
		if d.have < d.least {
			report(key, fmt.Sprintf("must be at least %s", d.least))
		}
	}
}

func checkPath(key, path string, report func(key, problem string)) {
	switch {
	case !filepath.IsAbs(path):
		report(key, fmt.Sprintf("is not an absolute path; write for example /var/log/%s", path))
	case !doublestar.ValidatePathPattern(path):
		report(key, "is not a valid pattern; check its brackets and braces")
	}
}

// Check reports which of the patterns cannot be used, as keys of multiline.
func (m *Multiline) Check(report func(key, problem string)) {
	for key, expr := range map[string]string{"start": m.Start, "continue": m.Continue, "end": m.End, "head": m.Head} {
		if expr == "" {
			continue
		}
		if _, err := pattern.Compile(expr); err != nil {
			report("multiline."+key, err.Error())
		}
	}
	if m.Head != "" && m.Start == "" {
		report("multiline.head", "needs multiline.start, which says where the record behind it begins")
	}
}

// isSet reports whether m joins lines.
func (m *Multiline) isSet() bool { return m.Start != "" || m.Continue != "" || m.End != "" }

// Build returns the tailer's form of m, nil for single lines. The error names the
// pattern that cannot be used.
func (m *Multiline) Build() (*tail.Multiline, error) {
	if !m.isSet() {
		return nil, nil
	}
	built := &tail.Multiline{Timeout: m.Timeout, LinesMax: m.MaxLines}
	for expr, to := range map[*string]*tail.Matcher{
		&m.Start: &built.Start, &m.Continue: &built.Continue, &m.End: &built.End, &m.Head: &built.Head,
	} {
		if *expr == "" {
			continue
		}
		re, err := pattern.Compile(*expr)
		if err != nil {
			return nil, fmt.Errorf("cannot use multiline pattern %q: %w", *expr, err)
		}
		*to = re
	}
	return built, nil
}
