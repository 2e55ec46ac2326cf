package formats

import (
	"bytes"
	"embed"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
	"sync"

	"github.com/goccy/go-yaml"

	"github.com/wasmtail/wasmtail/internal/pattern"
)

// files are the formats as they are written down, one each: the name of the
// file is the name of the format, its keys are those of entry.
//
//go:embed catalogue/*.yaml
var files embed.FS

// entry is a format as it is written down.
type entry struct {
	// Description is what the format is, in one sentence without a full stop.
	Description string `yaml:"description"`
	// URL is where its makers describe it.
	URL string `yaml:"url"`
	// Detect matches a line that begins a record, and as few others as it can.
	Detect string `yaml:"detect"`
	// Refines names formats that fit some of the same lines and say less of them.
	Refines []string `yaml:"refines"`
	// Multiline is there where records may have several lines.
	Multiline Multiline `yaml:"multiline"`
	// Header matches the lines that name the columns of those after them: see Format.
	Header string `yaml:"header"`
	// Body matches further lines of a record, where Multiline has a start, that are
	// neither indented nor of a stack trace: what else follows a start is taken for
	// another program's, though it goes on with the record.
	Body string `yaml:"body"`
	// Processors is the YAML list that takes a record apart.
	Processors string `yaml:"processors"`
	// Sample are lines of this format, none of them anybody's.
	Sample string `yaml:"sample"`
}

// Catalogue returns all known formats in the order of their names. It is shared:
// callers do not change it.
func Catalogue() []*Format { return catalogue() }

// catalogue reads the formats once, when they are first asked for: most agents
// never do.
var catalogue = sync.OnceValue(func() []*Format {
	all, err := load(files)
	if err != nil {
		panic("BUG: " + err.Error()) // a test reads all of them
	}
	return all
})

// Names returns the names of all formats in their order.
func Names() []string {
	var names []string
	for _, f := range Catalogue() {
		names = append(names, f.Name)
	}
	return names
}

// Find returns the format of that name, nil if there is none.
func Find(name string) *Format {
	i, ok := slices.BinarySearchFunc(Catalogue(), name, func(f *Format, name string) int { return strings.Compare(f.Name, name) })
	if !ok {
		return nil
	}
	return Catalogue()[i]
}

func load(from embed.FS) ([]*Format, error) {
	names, err := from.ReadDir("catalogue")
	if err != nil {
		return nil, fmt.Errorf("cannot list the formats: %w", err)
	}
	byName := map[string]*Format{}
	refines := map[string][]string{}
	for _, file := range names {
		text, err := from.ReadFile(path.Join("catalogue", file.Name()))
		if err != nil {
			return nil, fmt.Errorf("cannot read a format: %w", err)
		}
		f, of, err := parse(text)
		if err != nil {
			return nil, fmt.Errorf("cannot use the format in %s: %w", file.Name(), err)
		}
		f.Name = strings.TrimSuffix(file.Name(), ".yaml")
		byName[f.Name], refines[f.Name] = f, of
	}
	for name, f := range byName {
		f.refines = map[string]bool{}
		if err := f.inherit(refines, name); err != nil {
			return nil, fmt.Errorf("cannot use the format %s: %w", name, err)
		}
	}
	all := make([]*Format, 0, len(byName))
	for _, name := range slices.Sorted(maps.Keys(byName)) {
		all = append(all, byName[name])
	}
	return all, nil
}

// inherit notes what name refines, and what those refine.
func (f *Format) inherit(refines map[string][]string, name string) error {
	for _, other := range refines[name] {
		if _, known := refines[other]; !known {
			return fmt.Errorf("it refines %q, which is no format", other)
		}
		if other == f.Name {
			return fmt.Errorf("it refines itself, by way of %s", name)
		}
		if f.refines[other] {
			continue
		}
		f.refines[other] = true
		if err := f.inherit(refines, other); err != nil {
			return err
		}
	}
	return nil
}

func parse(text []byte) (f *Format, refines []string, err error) {
	var e entry
	if err := yaml.NewDecoder(bytes.NewReader(text), yaml.Strict()).Decode(&e); err != nil {
		return nil, nil, err
	}
	if e.Description == "" || e.URL == "" || e.Processors == "" || e.Sample == "" {
		return nil, nil, fmt.Errorf("description, url, processors and sample are required")
	}
	f = &Format{Description: e.Description, URL: e.URL, Multiline: e.Multiline, Header: e.Header, Processors: e.Processors, Sample: e.Sample}
	if f.line, err = pattern.Compile(e.Detect); err != nil || e.Detect == "" {
		return nil, nil, fmt.Errorf("detect %q: %w", e.Detect, err)
	}
	if e.Multiline.Head != "" {
		if _, err := pattern.Compile(e.Multiline.Head); err != nil || e.Multiline.Start == "" {
			return nil, nil, fmt.Errorf("multiline.head %q: it needs a start: %w", e.Multiline.Head, err)
		}
	}
	for _, p := range []struct {
		key, expr string
		to        **pattern.Regexp
	}{{"multiline.start", e.Multiline.Start, &f.start}, {"multiline.continue", e.Multiline.Continue, &f.goesOn}, {"body", e.Body, &f.body}, {"header", e.Header, &f.header}} {
		if p.expr == "" {
			continue
		}
		if *p.to, err = pattern.Compile(p.expr); err != nil {
			return nil, nil, fmt.Errorf("%s %q: %w", p.key, p.expr, err)
		}
	}
	return f, e.Refines, nil
}
