package config

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
)

// Load reads the configuration at path: a file, or a folder whose *.yaml and
// *.yml files are read in the order of their names and put together. Faults of
// the contents are returned as Faults, all of them; other errors are about
// reading the files.
func Load(path string, cat Catalog) (*File, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("cannot read configuration: %w", err)
	}
	l := &loader{catalog: cat}
	if !info.IsDir() {
		data, err := readBounded(path)
		if err != nil {
			return nil, fmt.Errorf("cannot read configuration: %w", err)
		}
		return l.load([]input{{path, data}}, filepath.Dir(path))
	}
	inputs, err := readFolder(path)
	if err != nil {
		return nil, fmt.Errorf("cannot read configuration: %w", err)
	}
	return l.load(inputs, path)
}

// Parse reads one configuration from memory. name is how faults call it, and
// dir is where relative paths in it start. It reads what the configuration
// includes or substitutes.
func Parse(name string, data []byte, dir string, cat Catalog) (*File, error) {
	l := &loader{catalog: cat}
	return l.load([]input{{name, data}}, dir)
}

// input is a file that has been read.
type input struct {
	name string
	data []byte
}

// readBounded reads a file but not much more than a configuration may hold, so
// that a wrong path such as a log file does not fill memory.
func readBounded(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	return io.ReadAll(io.LimitReader(f, fileBytesMax+1))
}

func readFolder(dir string) ([]input, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var inputs []input
	for _, e := range entries {
		ext := filepath.Ext(e.Name())
		if e.IsDir() || ext != ".yaml" && ext != ".yml" || strings.HasPrefix(e.Name(), ".") {
			continue
		}
		path := filepath.Join(dir, e.Name())
		data, err := readBounded(path)
		if err != nil {
			return nil, err
		}
		inputs = append(inputs, input{path, data})
	}
	if len(inputs) == 0 {
		return nil, fmt.Errorf("%s holds no *.yaml file", dir)
	}
	return inputs, nil
}

// loader puts a configuration together from its files.
type loader struct {
	catalog Catalog
	files   []string // in the order they were read
	faults  Faults
}

// load parses the inputs, which are equal, and what they include.
func (l *loader) load(inputs []input, dir string) (*File, error) {
	var root *node
	for _, in := range inputs {
		n := l.parse(in, dir)
		if n == nil {
			continue
		}
		if root == nil {
			root = n
			continue
		}
		root = l.merge(root, n)
	}
	if root == nil {
		return nil, l.result(nil)
	}
	root = l.include(root)
	d := newDecoder(l.catalog)
	file := &File{}
	defaults(reflect.ValueOf(file).Elem())
	d.structure(root, reflect.ValueOf(file).Elem(), "")
	d.check(root, file)
	file.origins = d.origins
	return file, l.result(d)
}

// faultsMax is how many faults are listed: nobody reads more at once.
const faultsMax = 1000

// result is the error for all faults, sorted, or nil.
func (l *loader) result(d *decoder) error {
	faults := l.faults
	if d != nil {
		faults = append(faults, d.faults...)
	}
	if len(faults) == 0 {
		return nil
	}
	faults.sort(l.files)
	faults = slices.Compact(faults)
	if more := len(faults) - faultsMax; more > 0 {
		last := faults[faultsMax]
		last.Path, last.Problem = "", fmt.Sprintf("and %d more faults from here on", more)
		faults = append(faults[:faultsMax:faultsMax], last)
	}
	return faults
}

// parse returns the top-level mapping of a file, or nil.
func (l *loader) parse(in input, dir string) *node {
	l.files = append(l.files, in.name)
	n, faults := parseTree(&source{name: in.name, dir: dir}, in.data)
	l.faults = append(l.faults, faults...)
	if n == nil {
		return nil
	}
	if n.kind != kindMapping {
		l.fault(n.at, "", "expects keys such as `version: 1` at the top, not "+describe(n, true))
		return nil
	}
	return n
}

func (l *loader) fault(at place, path, problem string) {
	l.faults = append(l.faults, Fault{File: at.src.name, Line: at.line, Column: at.col, Path: path, Problem: problem})
}

// isShared is true for the keys that several files may set: the maps by name,
// and the version, which each file may state.
func isShared(key string) bool { return key == "outputs" || key == "pipelines" }

// merge adds the keys of from to a copy of into.
func (l *loader) merge(into, from *node) *node {
	c := *into
	c.pairs = slices.Clone(into.pairs)
	for _, p := range from.pairs {
		i := slices.IndexFunc(c.pairs, func(q pair) bool { return q.key == p.key })
		switch {
		case i < 0:
			c.pairs = append(c.pairs, p)
		case isShared(p.key) && isAbsent(c.pairs[i].value):
			c.pairs[i] = p
		case isShared(p.key):
			c.pairs[i].value = l.mergeNamed(p.key, c.pairs[i].value, p.value)
		case p.key == "version" && p.value.text == c.pairs[i].value.text:
		default:
			first := c.pairs[i].at
			l.fault(p.at, p.key, fmt.Sprintf("is already set in %s on line %d: remove one", first.src.name, first.line))
		}
	}
	return &c
}

// mergeNamed puts two maps of outputs or pipelines together.
func (l *loader) mergeNamed(path string, into, from *node) *node {
	if isAbsent(from) {
		return into
	}
	if into.kind != kindMapping || from.kind != kindMapping {
		l.fault(from.at, path, "cannot be put together with the same key of another file: expects a set of keys, not "+describe(from, true))
		return into
	}
	c := *into
	c.pairs = slices.Clone(into.pairs)
	for _, p := range from.pairs {
		i := slices.IndexFunc(c.pairs, func(q pair) bool { return q.key == p.key })
		if i >= 0 {
			first := c.pairs[i].at
			l.fault(p.at, join(path, p.key), fmt.Sprintf("is already set in %s on line %d: give one of them another name", first.src.name, first.line))
			continue
		}
		c.pairs = append(c.pairs, p)
	}
	return &c
}

// includesMax bounds the files that `include` brings in.
const includesMax = 1000

// include merges the files that root's `include` names. What is wrong with the
// type of the key itself is left to the decoder.
func (l *loader) include(root *node) *node {
	n := root.get("include")
	if n == nil || n.kind != kindSequence {
		return root
	}
	for i, item := range n.items {
		if item.kind != kindScalar {
			continue
		}
		path := fmt.Sprintf("include[%d]", i)
		s, problems := substitute(item, false)
		if len(problems) > 0 {
			continue // the decoder reports them
		}
		pattern := s.text
		if !filepath.IsAbs(pattern) {
			pattern = filepath.Join(item.at.src.dir, pattern)
		}
		found, err := filepath.Glob(pattern)
		if err != nil {
			l.fault(item.at, path, "is not a pattern that a shell would understand: check its brackets")
			continue
		}
		if len(found) == 0 && !strings.ContainsAny(pattern, "*?[") {
			l.fault(item.at, path, fmt.Sprintf("there is no file %s", pattern))
		}
		for _, name := range found {
			root = l.includeFile(root, name, place{item.at.src, item.at.line, item.at.col})
		}
	}
	return root
}

func (l *loader) includeFile(root *node, name string, at place) *node {
	if slices.Contains(l.files, name) {
		return root // it matches two patterns, or its own
	}
	if len(l.files) > includesMax {
		l.fault(at, "include", fmt.Sprintf("brings in more than %d files", includesMax))
		return root
	}
	data, err := readBounded(name)
	if err != nil {
		l.fault(at, "include", fmt.Sprintf("cannot read an included file: %v", err))
		return root
	}
	n := l.parse(input{name, data}, filepath.Dir(name))
	if n == nil {
		return root
	}
	c := *n
	c.pairs = nil
	for _, p := range n.pairs {
		if isShared(p.key) || p.key == "version" {
			c.pairs = append(c.pairs, p)
			continue
		}
		l.fault(p.at, p.key, "an included file may hold outputs and pipelines only: move this to "+root.at.src.name)
	}
	return l.merge(root, &c)
}
