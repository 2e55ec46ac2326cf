package houserules

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/format"
	"path"
	"regexp"
	"slices"
	"strings"
)

const (
	functionLinesMax    = 70
	fileLinesMax        = 600
	parametersMax       = 4
	interfaceMethodsMax = 3
)

// vagueNames say nothing about what a package is for.
var vagueNames = []string{"base", "common", "core", "helper", "helpers", "lib", "manager", "misc", "model", "models", "shared", "tools", "types", "util", "utils"}

// wideInterfaces may have more methods than others: the seam through which
// durable reaches a disk, which tests replace.
var wideInterfaces = []string{"internal/durable.FS", "internal/durable.File"}

// knownMethods mean the same on every type, so they need no comment.
var knownMethods = []string{"Error", "Unwrap", "Is", "String", "Len", "Less", "Swap", "ServeHTTP"}

func styleRules() []rule {
	pkg := "// Package p is documented.\npackage p\n"
	return []rule{
		{
			name: "every package says what it promises", check: packageComments,
			breaks: map[string]string{"agent/p/a.go": "package p", "agent/q/a.go": "// Something else.\npackage q"},
			keeps:  map[string]string{"agent/p/a.go": pkg, "cmd/p/a.go": "// Command p runs.\npackage main", "agent/p/a_test.go": "package p"},
		},
		{
			name: "functions are short", check: functionLengths,
			breaks: map[string]string{"agent/p/a.go": pkg + "func f() {" + strings.Repeat("\n", 71) + "}"},
			keeps:  map[string]string{"agent/p/a.go": pkg + "func f() {" + strings.Repeat("\n", 69) + "}"},
		},
		{
			name: "files are short", check: fileLengths,
			breaks: map[string]string{"agent/p/a.go": pkg + strings.Repeat("\n", 600)},
			keeps:  map[string]string{"agent/p/a_test.go": pkg + strings.Repeat("\n", 600)},
		},
		{
			name: "functions take few parameters", check: parameterCounts,
			breaks: map[string]string{"agent/p/a.go": pkg + "func f(a, b, c int, d string, e bool) {}"},
			keeps:  map[string]string{"agent/p/a.go": pkg + "func f(a, b, c int, d string) {}"},
		},
		{
			name: "interfaces are narrow", check: interfaceSizes,
			breaks: map[string]string{"agent/p/a.go": pkg + "type I interface { A(); B(); C(); D() }"},
			keeps:  map[string]string{"agent/p/a.go": pkg + "type I interface { A(); B(); C() }"},
		},
		{
			name: "packages have telling names", check: packageNames,
			breaks: map[string]string{"internal/util/a.go": "package util", "internal/x/types/a.go": "package types", "internal/x_y/a.go": "package x_y"},
			keeps:  map[string]string{"internal/record/a.go": "package record", "internal/record/a_test.go": "package record_test"},
		},
		{
			name: "a package name is used once", check: uniqueNames,
			breaks: map[string]string{"agent/tail/a.go": "package pipeline"},
			keeps:  map[string]string{"agent/tail/a.go": "package tail", "cmd/wasmtail/a.go": "package main"},
		},
		{
			name: "exported names have comments", check: exportedComments,
			breaks: map[string]string{
				"agent/p/a.go": pkg + "func F() {}", "agent/p/b.go": pkg + "type T struct{}",
				"agent/p/c.go": pkg + "// T is a type.\ntype T struct{}\nfunc (T) M() {}", "agent/p/d.go": pkg + "var V = 1",
			},
			keeps: map[string]string{"agent/p/a.go": pkg + "func f() {}\ntype t struct{}\nfunc (t) M() {}\n// Units.\nconst (\nA = 1\nB = 2\n)"},
		},
		{
			name: "files are formatted", check: formatting,
			breaks: map[string]string{"agent/p/a.go": "package p\nfunc f( ) { }\n"},
			keeps:  map[string]string{"agent/p/a.go": "package p\n\nfunc f() {}\n"},
		},
		{
			name: "nothing is left for later", check: leftovers,
			breaks: map[string]string{
				"agent/p/a.go": pkg + "// TO" + "DO: finish.\n", "docs/a.md": "FIX" + "ME", "hub/console/web/src/a.ts": "// XX" + "X",
			},
			keeps: map[string]string{"agent/p/a.go": pkg + "// To do: nothing.\n"},
		},
	}
}

func packageComments(t *tree) (broken []string) {
	documented, seen := map[string]bool{}, map[string]string{}
	for _, g := range t.files {
		if g.test {
			continue
		}
		name := g.ast.Name.Name
		seen[g.dir] = name
		start := "Package " + name + " "
		if name == "main" {
			start = "Command " + path.Base(g.dir) + " "
		}
		if strings.HasPrefix(strings.ReplaceAll(g.ast.Doc.Text(), "\n", " "), start) {
			documented[g.dir] = true
		}
	}
	for dir, name := range seen {
		if !documented[dir] && !strings.HasPrefix(dir, "wasm-examples/") {
			broken = append(broken, fmt.Sprintf("%s: package %s has no package comment (Package %s … or, for commands, Command %s …)", dir, name, name, path.Base(dir)))
		}
	}
	return broken
}

func functionLengths(t *tree) (broken []string) {
	for _, g := range t.files {
		if g.test {
			continue
		}
		for _, decl := range g.ast.Decls {
			fn, ok := decl.(*ast.FuncDecl)
			if !ok {
				continue
			}
			lines := t.fset.Position(fn.End()).Line - t.fset.Position(fn.Pos()).Line + 1
			if lines > functionLinesMax {
				broken = append(broken, fmt.Sprintf("%s: %s has %d lines, the limit is %d", t.at(fn), fn.Name.Name, lines, functionLinesMax))
			}
		}
	}
	return broken
}

func fileLengths(t *tree) (broken []string) {
	for _, g := range t.files {
		if lines := bytes.Count(g.src, []byte("\n")); !g.test && lines > fileLinesMax && !ast.IsGenerated(g.ast) {
			broken = append(broken, fmt.Sprintf("%s: has %d lines, the limit is %d", g.path, lines, fileLinesMax))
		}
	}
	return broken
}

func parameterCounts(t *tree) (broken []string) {
	t.inspect(false, func(_ *goFile, n ast.Node) {
		if fn, ok := n.(*ast.FuncDecl); ok && fn.Type.Params.NumFields() > parametersMax {
			broken = append(broken, fmt.Sprintf("%s: %s takes %d parameters, the limit is %d: use a struct", t.at(fn), fn.Name.Name, fn.Type.Params.NumFields(), parametersMax))
		}
	})
	return broken
}

func interfaceSizes(t *tree) (broken []string) {
	t.inspect(false, func(g *goFile, n ast.Node) {
		spec, ok := n.(*ast.TypeSpec)
		if !ok || slices.Contains(wideInterfaces, g.dir+"."+spec.Name.Name) {
			return
		}
		i, ok := spec.Type.(*ast.InterfaceType)
		if ok && i.Methods.NumFields() > interfaceMethodsMax {
			broken = append(broken, fmt.Sprintf("%s: %s has %d methods, the limit is %d", t.at(spec), spec.Name.Name, i.Methods.NumFields(), interfaceMethodsMax))
		}
	})
	return broken
}

// inspect calls f for each node of the files that are tests, or are not.
func (t *tree) inspect(tests bool, f func(g *goFile, n ast.Node)) {
	for _, g := range t.files {
		if g.test != tests {
			continue
		}
		ast.Inspect(g.ast, func(n ast.Node) bool {
			if n != nil {
				f(g, n)
			}
			return true
		})
	}
}

func packageNames(t *tree) (broken []string) {
	for _, g := range t.files {
		name := strings.TrimSuffix(g.ast.Name.Name, "_test")
		if slices.Contains(vagueNames, name) {
			broken = append(broken, fmt.Sprintf("%s: the package name %s says nothing", g.path, name))
		}
		if strings.ToLower(name) != name || strings.Contains(name, "_") {
			broken = append(broken, fmt.Sprintf("%s: the package name %s is not one lower-case word", g.path, name))
		}
	}
	return broken
}

func uniqueNames(t *tree) (broken []string) {
	dirs := map[string]string{}
	for _, g := range t.files {
		name := strings.TrimSuffix(g.ast.Name.Name, "_test")
		if name == "main" || strings.HasPrefix(g.dir, "wasm-examples") {
			continue
		}
		if first, ok := dirs[name]; ok && first != g.dir {
			broken = append(broken, fmt.Sprintf("%s: package %s exists in %s too", g.path, name, first))
		}
		dirs[name] = g.dir
		if base := path.Base(g.dir); base != name && g.dir != "." {
			broken = append(broken, fmt.Sprintf("%s: package %s lies in a folder called %s", g.path, name, base))
		}
	}
	return broken
}

func exportedComments(t *tree) (broken []string) {
	for _, g := range t.files {
		if g.test || g.ast.Name.Name == "main" {
			continue
		}
		for _, decl := range g.ast.Decls {
			switch d := decl.(type) {
			case *ast.FuncDecl:
				known := d.Recv != nil && slices.Contains(knownMethods, d.Name.Name)
				if d.Doc == nil && d.Name.IsExported() && isExportedReceiver(d) && !known {
					broken = append(broken, fmt.Sprintf("%s: %s has no comment", t.at(d), d.Name.Name))
				}
			case *ast.GenDecl:
				broken = append(broken, undocumentedSpecs(t, d)...)
			}
		}
	}
	return broken
}

func isExportedReceiver(fn *ast.FuncDecl) bool {
	if fn.Recv == nil || len(fn.Recv.List) == 0 {
		return true
	}
	typ := fn.Recv.List[0].Type
	for {
		switch x := typ.(type) {
		case *ast.StarExpr:
			typ = x.X
		case *ast.IndexExpr:
			typ = x.X
		case *ast.Ident:
			return x.IsExported()
		default:
			return false
		}
	}
}

func undocumentedSpecs(t *tree, d *ast.GenDecl) (broken []string) {
	for _, spec := range d.Specs {
		switch s := spec.(type) {
		case *ast.TypeSpec:
			if s.Name.IsExported() && s.Doc == nil && d.Doc == nil {
				broken = append(broken, fmt.Sprintf("%s: %s has no comment", t.at(s), s.Name.Name))
			}
		case *ast.ValueSpec:
			if s.Names[0].IsExported() && s.Doc == nil && d.Doc == nil && s.Comment == nil {
				broken = append(broken, fmt.Sprintf("%s: %s has no comment", t.at(s), s.Names[0].Name))
			}
		}
	}
	return broken
}

func formatting(t *tree) (broken []string) {
	for _, g := range t.files {
		want, err := format.Source(g.src)
		if err != nil || !bytes.Equal(want, g.src) {
			broken = append(broken, g.path+": is not formatted: run `make fmt`")
		}
	}
	return broken
}

// leftoverRE is split so that it does not find itself.
var leftoverRE = regexp.MustCompile(`\b(TO` + `DO|FIX` + `ME|XX` + `X|HA` + `CK)\b`)

func leftovers(t *tree) (broken []string) {
	for name, text := range t.texts {
		if strings.Contains(name, "testdata/") || path.Base(name) == "package-lock.json" {
			continue
		}
		for i, line := range bytes.Split(text, []byte("\n")) {
			if word := leftoverRE.Find(line); word != nil {
				broken = append(broken, fmt.Sprintf("%s:%d: %s: finish it or write an issue", name, i+1, word))
			}
		}
	}
	return broken
}
