package houserules

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

const module = "github.com/wasmtail/wasmtail"

// tree is the source tree, read once.
type tree struct {
	fset  *token.FileSet
	texts map[string][]byte // every text file, by path
	files []*goFile
	paths map[string]bool // every file and folder
}

// goFile is a parsed Go file.
type goFile struct {
	path string
	dir  string
	test bool
	ast  *ast.File
	src  []byte
}

// skippedDirs are never part of the sources.
var skippedDirs = []string{".git", "node_modules", "bin", "dist", "state"}

// textBytesMax is the largest file that is searched for words.
const textBytesMax = 4 << 20

func readTree(fsys fs.FS) (*tree, error) {
	t := &tree{fset: token.NewFileSet(), texts: map[string][]byte{}, paths: map[string]bool{".": true}}
	err := fs.WalkDir(fsys, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if name != "." && slices.Contains(skippedDirs, d.Name()) {
				return fs.SkipDir
			}
			t.paths[name] = true
			return nil
		}
		t.paths[name] = true
		return t.add(fsys, name, d)
	})
	return t, err
}

func (t *tree) add(fsys fs.FS, name string, d fs.DirEntry) error {
	if info, err := d.Info(); err != nil || !info.Mode().IsRegular() || info.Size() > textBytesMax {
		return err
	}
	if ext := path.Ext(name); ext == ".test" || ext == ".prof" {
		return nil
	}
	data, err := fs.ReadFile(fsys, name)
	if err != nil {
		return err
	}
	if bytes.IndexByte(data, 0) >= 0 {
		return nil
	}
	t.texts[name] = data
	if path.Ext(name) != ".go" || strings.Contains(name, "testdata/") {
		return nil
	}
	file, err := parser.ParseFile(t.fset, name, data, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return err
	}
	t.files = append(t.files, &goFile{path: name, dir: path.Dir(name), test: strings.HasSuffix(name, "_test.go"), ast: file, src: data})
	return nil
}

// at is `path:line` of a node.
func (t *tree) at(n ast.Node) string {
	p := t.fset.Position(n.Pos())
	return fmt.Sprintf("%s:%d", p.Filename, p.Line)
}

// rule returns one line for each thing in the tree that breaks it.
type rule struct {
	name  string
	check func(t *tree) []string
	// breaks are files of a small tree that break the rule, and keeps files of
	// one that does not: a rule that finds nothing anywhere is worth nothing.
	breaks, keeps map[string]string
}

func allRules() []rule {
	return slices.Concat(importRules(), styleRules(), callRules(), wordRules(), documentRules(), pluginRules())
}

// source is the tree of this repository.
var source = sync.OnceValues(func() (*tree, error) { return readTree(os.DirFS("../..")) })

func TestHouseRules(t *testing.T) {
	tr, err := source()
	require.NoError(t, err)
	require.NotEmpty(t, tr.files)
	for _, r := range allRules() {
		t.Run(r.name, func(t *testing.T) {
			broken := r.check(tr)
			slices.Sort(broken)
			for _, line := range broken {
				t.Error(line)
			}
		})
	}
}

func TestEveryRuleBites(t *testing.T) {
	for _, r := range allRules() {
		t.Run(r.name, func(t *testing.T) {
			require.NotEmpty(t, r.breaks, "a rule needs an example of what breaks it")
			for name, text := range r.breaks {
				require.NotEmpty(t, r.check(smallTree(t, map[string]string{name: text})), "%s:\n%s", name, text)
			}
			for name, text := range r.keeps {
				require.Empty(t, r.check(smallTree(t, map[string]string{name: text})), "%s:\n%s", name, text)
			}
		})
	}
}
