package houserules

import (
	"fmt"
	"go/ast"
	"path"
	"slices"
	"strings"
)

func pluginRules() []rule {
	doc := "// Package p is a plugin.\npackage p\n"
	return []rule{
		{
			name: "every plugin has settings with a comment on each key", check: pluginSettings,
			breaks: map[string]string{
				"plugins/input/p/a.go":     doc,
				"plugins/input/p/b.go":     doc + "type Config struct{}",
				"plugins/processor/p/a.go": doc + "// Config is set.\ntype Config struct {\nKey string `yaml:\"key\"`\n}",
				"plugins/processor/p/b.go": doc + "// Config is set.\ntype Config struct {\n// Key is a key.\nKey string\n}",
			},
			keeps: map[string]string{"plugins/output/p/a.go": doc + "// Config is set.\ntype Config struct {\n// Key is a key.\nKey string `yaml:\"key\"`\nhidden int\n}"},
		},
		{
			name: "every plugin has a fuzz or golden test", check: pluginTests,
			breaks: map[string]string{
				"plugins/input/p/a.go":      doc,
				"plugins/input/p/a_test.go": "package p\nfunc TestP(t *testing.T) {}",
			},
			keeps: map[string]string{
				"plugins/input/p/a_test.go":         "package p\nfunc FuzzP(f *testing.F) {}",
				"plugins/input/p/testdata/a.golden": "x",
			},
		},
		{
			name: "every plugin is in the table", check: pluginTable,
			breaks: map[string]string{"plugins/input/p/a.go": doc},
			keeps:  map[string]string{"plugins/plugins.go": "package plugins\nimport _ \"" + module + "/plugins/input/p\""},
		},
	}
}

// pluginDirs are the folders of plugins, with their files.
func (t *tree) pluginDirs() map[string][]*goFile {
	dirs := map[string][]*goFile{}
	for _, g := range t.files {
		if parts := strings.Split(g.dir, "/"); len(parts) == 3 && parts[0] == "plugins" {
			dirs[g.dir] = append(dirs[g.dir], g)
		}
	}
	return dirs
}

func pluginSettings(t *tree) (broken []string) {
	for dir, files := range t.pluginDirs() {
		found := false
		for _, g := range files {
			if g.test {
				continue
			}
			for _, decl := range g.ast.Decls {
				gen, ok := decl.(*ast.GenDecl)
				if !ok {
					continue
				}
				for _, spec := range gen.Specs {
					ts, ok := spec.(*ast.TypeSpec)
					if !ok || ts.Name.Name != "Config" {
						continue
					}
					found = true
					if gen.Doc == nil && ts.Doc == nil {
						broken = append(broken, t.at(ts)+": Config has no comment")
					}
					broken = append(broken, undocumentedKeys(t, ts)...)
				}
			}
		}
		if !found && !strings.HasPrefix(path.Base(dir), "internal") {
			broken = append(broken, dir+": has no Config")
		}
	}
	return broken
}

func undocumentedKeys(t *tree, ts *ast.TypeSpec) (broken []string) {
	st, ok := ts.Type.(*ast.StructType)
	if !ok {
		return nil // another name for the settings of a plugin that has them
	}
	for _, f := range st.Fields.List {
		if len(f.Names) == 0 || !f.Names[0].IsExported() {
			continue
		}
		if f.Doc == nil {
			broken = append(broken, fmt.Sprintf("%s: %s has no comment", t.at(f), f.Names[0].Name))
		}
		if f.Tag == nil || !strings.Contains(f.Tag.Value, "yaml:") {
			broken = append(broken, fmt.Sprintf("%s: %s has no yaml tag", t.at(f), f.Names[0].Name))
		}
	}
	return broken
}

func pluginTests(t *tree) (broken []string) {
	for dir, files := range t.pluginDirs() {
		fuzzed := slices.ContainsFunc(files, func(g *goFile) bool {
			return slices.ContainsFunc(g.ast.Decls, func(d ast.Decl) bool {
				fn, ok := d.(*ast.FuncDecl)
				return ok && g.test && strings.HasPrefix(fn.Name.Name, "Fuzz")
			})
		})
		golden := false
		for name := range t.paths {
			golden = golden || strings.HasPrefix(name, dir+"/testdata/") && strings.Contains(path.Base(name), "golden")
		}
		if !fuzzed && !golden {
			broken = append(broken, dir+": has neither a fuzz test nor golden files")
		}
	}
	return broken
}

func pluginTable(t *tree) (broken []string) {
	listed := map[string]bool{}
	t.imports(func(g *goFile, _, name string, own bool) {
		if own && g.dir == "plugins" && !g.test {
			listed[name] = true
		}
	})
	for dir := range t.pluginDirs() {
		if !listed[dir] {
			broken = append(broken, dir+": is not in the table of plugins")
		}
	}
	return broken
}
