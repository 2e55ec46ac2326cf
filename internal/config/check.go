package config

import (
	"fmt"
	"maps"
	"net"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

var (
	nameRE     = regexp.MustCompile(`^[a-z0-9_-]{1,63}$`)
	logstoreRE = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]{1,61}[a-z0-9]$`)
)

const (
	nameRule     = "a name has 1 to 63 lower-case letters, digits, _ and -"
	logstoreRule = "has 3 to 63 lower-case letters, digits, _ and -, and starts and ends with a letter or digit"
)

// check reports what only shows when the parts are seen together, and fills in
// what one part takes from another.
func (d *decoder) check(root *node, file *File) {
	if !d.faulted["version"] && file.Version != 1 {
		d.fault(d.placeOf("version", root.at), "version", "is %d, and this program reads version 1", file.Version)
	}
	d.checkSocket(root, file)
	d.checkNames(root, "outputs")
	d.checkNames(root, "pipelines")
	used := map[string]bool{}
	known := d.outputNames(root)
	for _, name := range slices.Sorted(maps.Keys(file.Limits.OutputBandwidth)) {
		if path := join("limits.output_bandwidth", name); !d.faulted[path] && !slices.Contains(known, name) {
			d.fault(d.placeOf(path, root.at), path, "there is no output %q%s; there are: %s", name, suggest(name, known), strings.Join(known, ", "))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(file.Pipelines)) {
		p := file.Pipelines[name]
		d.checkPipeline(root, name, &p, known)
		d.checkTogether(root, name, file)
		file.Pipelines[name] = p
		for _, out := range p.Outputs {
			used[out] = true
		}
	}
	for _, name := range known {
		if !used[name] {
			path := join("outputs", name)
			at := d.placeOf(path, root.at)
			file.Warnings = append(file.Warnings, Fault{
				File: at.src.name, Line: at.line, Column: at.col, Path: path,
				Problem: "no pipeline uses this output",
			})
		}
	}
}

// outputNames are the outputs the files set, faulty ones included, so that one
// fault does not bring others with it.
func (d *decoder) outputNames(root *node) []string {
	var list []string
	if n := root.get("outputs"); n != nil {
		for _, p := range n.pairs {
			list = append(list, p.key)
		}
	}
	slices.Sort(list)
	return list
}

func (d *decoder) checkNames(root *node, key string) {
	n := root.get(key)
	if n == nil {
		return
	}
	for _, p := range n.pairs {
		if !nameRE.MatchString(p.key) {
			d.fault(p.at, join(key, p.key), "%s%s", nameRule, nameHint(p.key))
		}
	}
}

// nameHint is the nearest good name.
func nameHint(name string) string {
	good := strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9', r == '_', r == '-':
			return r
		case r >= 'A' && r <= 'Z':
			return r + 'a' - 'A'
		}
		return '-'
	}, name)
	if !nameRE.MatchString(good) {
		return ""
	}
	return fmt.Sprintf(" (did you mean %q?)", good)
}

// LogstoreProblem says what is wrong with the name of a logstore, "" if nothing is.
func LogstoreProblem(name string) string {
	if logstoreRE.MatchString(name) {
		return ""
	}
	return "a logstore " + logstoreRule + nameHint(name)
}

func (d *decoder) checkPipeline(root *node, name string, p *Pipeline, known []string) {
	path := join("pipelines", name)
	outputs := join(path, "outputs")
	for i, out := range p.Outputs {
		at := fmt.Sprintf("%s[%d]", outputs, i)
		switch {
		case d.faulted[at]:
		case !slices.Contains(known, out):
			d.fault(d.placeOf(at, root.at), at, "there is no output %q%s; there are: %s", out, suggest(out, known), strings.Join(known, ", "))
		case slices.Index(p.Outputs, out) != i:
			d.fault(d.placeOf(at, root.at), at, "the output %q is named twice: remove one", out)
		}
	}
	d.checkFormat(root, path, p)
	logstore := join(path, "logstore")
	if d.faulted[logstore] {
		return
	}
	if p.Logstore == "" {
		p.Logstore = name
		if nameRE.MatchString(name) && !logstoreRE.MatchString(name) {
			d.fault(d.placeOf(path, root.at), logstore, "is required, because the name of the pipeline cannot be one: a logstore %s", logstoreRule)
		}
		return
	}
	if problem := LogstoreProblem(p.Logstore); problem != "" {
		d.fault(d.placeOf(logstore, root.at), logstore, "%s", problem)
	}
}

// checkTogether lets plugins check their settings beside the rest of the file.
func (d *decoder) checkTogether(root *node, name string, file *File) {
	blocks := map[string]Block{fmt.Sprintf("pipelines.%s.input", name): file.Pipelines[name].Input}
	for i, block := range file.Pipelines[name].Processors {
		blocks[fmt.Sprintf("pipelines.%s.processors[%d]", name, i)] = block
	}
	for _, path := range slices.Sorted(maps.Keys(blocks)) {
		v, ok := blocks[path].Config.(FileValidator)
		if !ok {
			continue
		}
		v.ValidateIn(file, func(key, problem string) {
			if at := join(path, key); !d.faulted[at] {
				d.fault(d.placeOf(at, root.at), at, "%s", problem)
			}
		})
	}
}

// checkSocket makes the path of a unix socket relative to its file's folder.
func (d *decoder) checkSocket(root *node, file *File) {
	path, ok := strings.CutPrefix(file.Admin.Listen, "unix:")
	if ok && path != "" && !filepath.IsAbs(path) {
		file.Admin.Listen = "unix:" + filepath.Join(d.placeOf("admin.listen", root.at).src.dir, path)
	}
}

// listenProblem says what is wrong with an address to listen on.
func listenProblem(listen string) string {
	if listen == "" {
		return ""
	}
	if path, ok := strings.CutPrefix(listen, "unix:"); ok {
		if path == "" {
			return "expects a path after `unix:`, such as unix:./agent.sock"
		}
		return ""
	}
	_, port, err := net.SplitHostPort(listen)
	if err != nil {
		return "expects an address such as 127.0.0.1:7071 or unix:./agent.sock"
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || strconv.FormatUint(n, 10) != port {
		return "expects a port between 0 and 65535 after the last colon"
	}
	return ""
}
