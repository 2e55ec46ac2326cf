package config

import (
	"fmt"
	"reflect"
	"strings"

	"github.com/wasmtail/wasmtail/internal/formats"
)

// FormatAuto is the format of a pipeline that finds that of each file from its
// first lines.
const FormatAuto = "auto"

// Formatted is the settings of an input that frames records by the format of its
// pipeline, and finds the formats of its files if that is FormatAuto.
type Formatted interface {
	// UseFormat is told the format once, after the settings were checked.
	UseFormat(name string)
}

// checkFormat checks the format of a pipeline and tells it to the input.
func (d *decoder) checkFormat(root *node, path string, p *Pipeline) {
	at := join(path, "format")
	if p.Format == "" || d.faulted[at] {
		return
	}
	input, framed := p.Input.Config.(Formatted)
	switch {
	case p.Format == FormatAuto && p.Input.Config != nil && !framed:
		d.fault(d.placeOf(at, root.at), at, "cannot be auto with an input of type %s, which reads no files: name the format; `wasmtail formats` lists them", p.Input.Type)
	case p.Format != FormatAuto && formats.Find(p.Format) == nil:
		d.fault(d.placeOf(at, root.at), at, "there is no format %q%s; `wasmtail formats` lists them, and auto finds that of each file", p.Format, suggest(p.Format, append(formats.Names(), FormatAuto)))
	case framed:
		input.UseFormat(p.Format)
	}
}

// SuggestFormat is " (did you mean …?)" for a name that is no format, "" if none is
// near.
func SuggestFormat(name string) string { return suggest(name, formats.Names()) }

// FormatProcessors returns the processors of a format, of the plugins in cat. The
// error says which of its settings are wrong: then cat lacks what it needs.
func FormatProcessors(f *formats.Format, cat Catalog) ([]Block, error) {
	src := &source{name: "the processors of format " + f.Name}
	n, faults := parseTree(src, []byte(f.Processors))
	if len(faults) > 0 {
		return nil, faults
	}
	d := newDecoder(cat)
	var blocks []Block
	d.value(n, reflect.ValueOf(&blocks).Elem(), "processors", field{kind: "processor"})
	if len(d.faults) > 0 {
		return nil, fmt.Errorf("cannot use format %s: %s", f.Name, strings.TrimSpace(d.faults.Error()))
	}
	return blocks, nil
}
