package filelog

import (
	"fmt"
	"sync"

	"github.com/wasmtail/wasmtail/agent/tail"
	"github.com/wasmtail/wasmtail/internal/config"
	"github.com/wasmtail/wasmtail/internal/formats"
	"github.com/wasmtail/wasmtail/internal/pattern"
)

// framing is how the tailer finds records: joined in one way, or each file as the
// format wants that it is found to have.
type framing struct {
	multiline *tail.Multiline
	header    tail.Matcher  // nil if no lines say how others are to be read
	detector  tail.Detector // nil if nothing is to be found
}

// framing returns what the settings and the format of the pipeline ask for.
func (c *Config) framing() (f framing, err error) {
	if c.Header != "" {
		re, err := pattern.Compile(c.Header)
		if err != nil {
			return f, fmt.Errorf("cannot use header pattern %q: %w", c.Header, err)
		}
		f.header = re
	}
	if f.multiline, err = c.Multiline.Build(); err != nil || c.format == "" {
		return f, err
	}
	d := &detector{config: c.Multiline, built: map[string]*tail.Multiline{}}
	if c.format == config.FormatAuto {
		f.detector = d
		return f, nil
	}
	if format := formats.Find(c.format); format != nil {
		if f.multiline == nil {
			f.multiline = d.multiline(format)
		}
		if f.header == nil {
			f.header = header(format)
		}
	}
	return f, nil
}

// detector finds formats for a tailer. It is safe for concurrent use.
type detector struct {
	config Multiline // with the bounds of records

	mu    sync.Mutex
	built map[string]*tail.Multiline // by the name of the format
}

// Detect implements tail.Detector.
func (d *detector) Detect(head []byte) tail.Format {
	r := formats.Detect(head)
	return tail.Format{Name: r.Name, Confidence: r.Confidence, Remark: r.Remark, Header: header(&r.Format), Multiline: d.multiline(&r.Format)}
}

// Named implements tail.Detector.
func (d *detector) Named(name string) (f tail.Format, ok bool) {
	if name == formats.Plain {
		return tail.Format{Name: name}, true
	}
	format := formats.Find(name)
	if format == nil {
		return f, false
	}
	return tail.Format{Name: name, Header: header(format), Multiline: d.multiline(format)}, true
}

// header returns what matches the headers of a format, nil if it has none.
func header(of *formats.Format) tail.Matcher {
	if re := of.HeaderPattern(); re != nil {
		return re
	}
	return nil
}

// multiline returns the framing of a format, nil for single lines.
func (d *detector) multiline(of *formats.Format) *tail.Multiline {
	d.mu.Lock()
	defer d.mu.Unlock()
	if m, ok := d.built[of.Name]; ok {
		return m
	}
	settings := d.config
	settings.Start, settings.Continue, settings.Head, settings.End = of.Multiline.Start, of.Multiline.Continue, of.Multiline.Head, ""
	m, err := settings.Build()
	if err != nil {
		panic("BUG: " + err.Error()) // the catalogue compiles its patterns
	}
	d.built[of.Name] = m
	return m
}
