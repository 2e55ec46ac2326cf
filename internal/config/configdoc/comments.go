package configdoc

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"unicode/utf8"

	"github.com/wasmtail/wasmtail/internal/config"
)

// comments finds the comments on structs and their fields in source files.
type comments struct {
	root     string
	module   string
	packages map[string]map[string]typeComment // import path → type name
	missing  map[string]bool
	problems []error
}

type typeComment struct {
	text   string
	fields map[string]string
}

func newComments(root string) *comments {
	// The module path is what the config package is called, less its place.
	self := reflect.TypeFor[config.File]().PkgPath()
	return &comments{
		root:     root,
		module:   strings.TrimSuffix(self, "/internal/config"),
		packages: map[string]map[string]typeComment{},
		missing:  map[string]bool{},
	}
}

// ofType is the comment on a struct, without line breaks inside paragraphs.
func (c *comments) ofType(t reflect.Type) string {
	text := c.types(t.PkgPath())[t.Name()].text
	if text == "" {
		c.miss(fmt.Sprintf("%s.%s has no comment", t.PkgPath(), t.Name()))
	}
	return sentence(text, t.Name(), "")
}

// sentence turns a comment that starts with the name of what it is on into one
// that stands beside that name: "X is the age" becomes "The age". Other verbs
// keep subject in front of them.
func sentence(text, name, subject string) string {
	rest, ok := strings.CutPrefix(text, name+" ")
	if !ok {
		return text
	}
	for _, verb := range []string{"is ", "are "} {
		if after, ok := strings.CutPrefix(rest, verb); ok {
			return capital(after)
		}
	}
	if subject == "" {
		return capital(rest)
	}
	return subject + " " + rest
}

func capital(text string) string {
	if text == "" || text[0] >= utf8.RuneSelf {
		return text
	}
	return strings.ToUpper(text[:1]) + text[1:]
}

// ofKey is the comment on the field of a key. The field's name at its start
// becomes the key.
func (c *comments) ofKey(k config.Key) string {
	text := c.types(k.Owner.PkgPath())[k.Owner.Name()].fields[k.GoName]
	if text == "" {
		c.miss(fmt.Sprintf("%s.%s.%s (key %s) has no comment", k.Owner.PkgPath(), k.Owner.Name(), k.GoName, k.Name))
		return ""
	}
	return sentence(text, k.GoName, "`"+k.Name+"`")
}

func (c *comments) miss(problem string) {
	if !c.missing[problem] {
		c.missing[problem] = true
		c.problems = append(c.problems, fmt.Errorf("%s", problem))
	}
}

// types returns the comments of a package, which it reads once.
func (c *comments) types(pkg string) map[string]typeComment {
	if types, ok := c.packages[pkg]; ok {
		return types
	}
	types := map[string]typeComment{}
	c.packages[pkg] = types
	inside, ok := strings.CutPrefix(pkg, c.module+"/")
	if !ok {
		return types
	}
	dir := filepath.Join(c.root, filepath.FromSlash(inside))
	entries, err := os.ReadDir(dir)
	if err != nil {
		c.problems = append(c.problems, fmt.Errorf("cannot read the sources of %s: %w", pkg, err))
		return types
	}
	for _, e := range entries {
		if e.IsDir() || filepath.Ext(e.Name()) != ".go" {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), filepath.Join(dir, e.Name()), nil, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			c.problems = append(c.problems, fmt.Errorf("cannot read the sources of %s: %w", pkg, err))
			continue
		}
		addTypes(types, file)
	}
	return types
}

func addTypes(types map[string]typeComment, file *ast.File) {
	for _, decl := range file.Decls {
		gen, ok := decl.(*ast.GenDecl)
		if !ok || gen.Tok != token.TYPE {
			continue
		}
		for _, spec := range gen.Specs {
			ts := spec.(*ast.TypeSpec)
			st, ok := ts.Type.(*ast.StructType)
			if !ok {
				continue
			}
			doc := ts.Doc
			if doc == nil {
				doc = gen.Doc
			}
			tc := typeComment{text: flow(doc.Text()), fields: map[string]string{}}
			for _, f := range st.Fields.List {
				text := f.Doc.Text()
				if text == "" {
					text = f.Comment.Text()
				}
				for _, name := range f.Names {
					tc.fields[name.Name] = flow(text)
				}
			}
			types[ts.Name.Name] = tc
		}
	}
}

// flow joins the lines of each paragraph: comments are broken for the width of
// source code.
func flow(text string) string {
	var out []string
	for paragraph := range strings.SplitSeq(strings.TrimSpace(text), "\n\n") {
		out = append(out, strings.Join(strings.Fields(paragraph), " "))
	}
	return strings.Join(out, "\n\n")
}
