package documents

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// verbRE is what a message has in the place of a value.
var verbRE = regexp.MustCompile(`%[-+# 0-9.\[\]]*[a-zA-Z]`)

// messageOf is the text of a message as the catalogue has it: … for values, and no
// remedy. It is empty for an expression that is no text of its own.
func messageOf(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.BasicLit:
		text, err := strconv.Unquote(e.Value)
		if err != nil || e.Kind != token.STRING {
			return ""
		}
		text, _, _ = strings.Cut(text, "; ")
		return verbRE.ReplaceAllString(text, "…")
	case *ast.BinaryExpr:
		left, right := messageOf(e.X), messageOf(e.Y)
		if left == "" {
			left = "…"
		}
		if right == "" {
			right = "…"
		}
		return left + right
	case *ast.CallExpr:
		if s, ok := e.Fun.(*ast.SelectorExpr); ok && s.Sel.Name == "Sprintf" {
			return messageOf(e.Args[0])
		}
	}
	return ""
}

// messages are the texts that some functions are given in the sources of a
// folder, by the place of the text among their arguments.
func messages(t *testing.T, pattern string, functions map[string]int) (texts []string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(root, pattern))
	require.NoError(t, err)
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
		require.NoError(t, err)
		ast.Inspect(file, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok {
				return true
			}
			name := ""
			switch f := call.Fun.(type) {
			case *ast.Ident:
				name = f.Name
			case *ast.SelectorExpr:
				name = f.Sel.Name
			}
			if at, ok := functions[name]; ok && at < len(call.Args) {
				if text := messageOf(call.Args[at]); text != "" && text != "cannot use module …: …" {
					texts = append(texts, text)
				}
			}
			return true
		})
	}
	return texts
}

// TestErrors_HasEveryTextThatAModuleCanMeet holds the catalogue to the sources.
func TestErrors_HasEveryTextThatAModuleCanMeet(t *testing.T) {
	page, err := os.ReadFile(filepath.Join(root, "docs/wasm/errors.md"))
	require.NoError(t, err)
	texts := messages(t, "internal/wasmbin/*.go", map[string]int{"refuse": 1})
	require.Greater(t, len(texts), 25)
	contracts := messages(t, "agent/wasmhost/*.go", map[string]int{"contract": 0})
	require.Greater(t, len(contracts), 35)
	texts = append(texts, contracts...)
	for _, file := range []string{"instance", "interface", "program"} {
		texts = append(texts, messages(t, "agent/wasmhost/"+file+".go", map[string]int{"Errorf": 0, "New": 0})...)
	}
	for _, text := range texts {
		if !strings.Contains(string(page), "`"+strings.ReplaceAll(text, "`", "'")+"`") {
			t.Errorf("docs/wasm/errors.md does not explain %q; add a row with its cause and its remedy", text)
		}
	}
}

// TestErrors_HasEveryRuleOfConformance looks for the names in the table of rules.
func TestErrors_HasEveryRuleOfConformance(t *testing.T) {
	page, err := os.ReadFile(filepath.Join(root, "docs/wasm/errors.md"))
	require.NoError(t, err)
	file, err := parser.ParseFile(token.NewFileSet(), filepath.Join(root, "agent/wasmhost/conformance.go"), nil, 0)
	require.NoError(t, err)
	list, ok := file.Scope.Lookup("rules").Decl.(*ast.ValueSpec)
	require.True(t, ok)
	rules := list.Values[0].(*ast.CompositeLit).Elts
	require.Greater(t, len(rules), 20)
	for _, r := range rules {
		name := messageOf(r.(*ast.CompositeLit).Elts[0])
		require.NotEmpty(t, name)
		require.Contains(t, string(page), "`"+name+"`")
	}
}
