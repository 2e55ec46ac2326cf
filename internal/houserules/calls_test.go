package houserules

import (
	"fmt"
	"go/ast"
	"slices"
	"strconv"
	"strings"
)

// forbidden are names of other packages that may be used in few places.
var forbidden = []struct {
	pkg   string
	names []string
	dirs  []string // where they may; a name that ends in / stands for all below
	why   string
}{
	{"os", []string{"Exit"}, []string{"cmd/", "internal/realserver/collector"}, "return an error: only a command ends the process"},
	{"log", []string{"Fatal", "Fatalf", "Fatalln", "Panic", "Panicf", "Panicln", "Print", "Printf", "Println"}, nil, "return an error, or log with telemetry"},
	{"time", []string{"Sleep"}, nil, "wait for what you wait for"},
	{
		"net/http",
		[]string{"Client", "Transport", "DefaultClient", "DefaultTransport", "Get", "Post", "PostForm", "Head"},
		[]string{"agent/transport", "hub/store", "internal/realserver", "cmd/"},
		"requests leave through transport",
	},
	{"os", []string{"Create", "WriteFile", "Rename"}, []string{"internal/durable", "internal/demolog", "plugins/output/fileout", "internal/documents", "cmd/"}, "bytes reach the disk through durable"},
	{"io/ioutil", []string{"ReadAll", "ReadFile", "WriteFile", "ReadDir"}, nil, "use io and os"},
	{"math/rand", []string{"Int", "Intn", "Seed", "Read"}, nil, "use math/rand/v2, or crypto/rand for secrets"},
}

func callRules() []rule {
	return []rule{
		{
			name: "names that have one home", check: forbiddenNames,
			breaks: map[string]string{
				"agent/a.go":      "package agent\nimport \"os\"\nfunc f() { os.Exit(1) }",
				"agent/b.go":      "package agent\nimport \"log\"\nfunc f() { log.Fatal(1) }",
				"agent/c.go":      "package agent\nimport clock \"time\"\nfunc f() { clock.Sleep(1) }",
				"hub/a.go":        "package hub\nimport \"net/http\"\nvar c = &http.Client{}",
				"hub/b.go":        "package hub\nimport \"net/http\"\nfunc f() { http.Get(\"\") }",
				"hub/stream/c.go": "package stream\nimport \"os\"\nfunc f() { os.WriteFile(\"\", nil, 0) }",
			},
			keeps: map[string]string{
				"cmd/wasmtail/a.go":    "package main\nimport \"os\"\nfunc f() { os.Exit(1) }",
				"agent/transport/a.go": "package transport\nimport \"net/http\"\nvar c = &http.Client{}",
				"hub/a.go":             "package hub\nimport \"net/http\"\nfunc f(http.ResponseWriter, *http.Request) {}",
				"agent/a_test.go":      "package agent\nimport \"net/http\"\nvar c = http.DefaultClient",
			},
		},
		{
			name: "a log line does not end the process", check: fatalMethods,
			breaks: map[string]string{"agent/a.go": "package agent\nfunc f(l logger) { l.Fatalf(\"\") }"},
			keeps:  map[string]string{"agent/a.go": "package agent\nfunc f(l logger) { l.Errorf(\"\") }", "agent/a_test.go": "package agent\nfunc f(t T) { t.Fatal() }"},
		},
		{
			name: "nothing runs before main", check: initFunctions,
			breaks: map[string]string{"agent/a.go": "package agent\nfunc init() {}"},
			keeps:  map[string]string{"agent/a.go": "package agent\nfunc (t) init() {}"},
		},
		{
			name: "tests do not sleep on real time", check: sleepingTests,
			breaks: map[string]string{"agent/a_test.go": "package agent\nimport \"time\"\nfunc f() { time.Sleep(1) }"},
			keeps:  map[string]string{"agent/a_test.go": "package agent\nimport (\n\"testing/synctest\"\n\"time\"\n)\nfunc f() { synctest.Wait(); time.Sleep(1) }"},
		},
		{
			name: "a panic is our bug and says so", check: panics,
			breaks: map[string]string{"agent/a.go": "package agent\nfunc f(err error) { panic(err) }"},
			keeps:  map[string]string{"agent/a.go": "package agent\nfunc f(n int) { if n < 0 { panic(\"BUG: negative\") }; panic(fmt.Sprintf(\"BUG: %d\", n)) }"},
		},
	}
}

// importedAs is the name that a file gives a package, or "" when it does not
// import it.
func (g *goFile) importedAs(pkg string) string {
	for _, spec := range g.ast.Imports {
		name, err := strconv.Unquote(spec.Path.Value)
		if err != nil || name != pkg {
			continue
		}
		if spec.Name != nil {
			return spec.Name.Name
		}
		return name[strings.LastIndexByte(name, '/')+1:]
	}
	return ""
}

// isUse is true when n is pkg.name.
func isUse(n ast.Node, pkg string, names []string) bool {
	sel, ok := n.(*ast.SelectorExpr)
	if !ok || !slices.Contains(names, sel.Sel.Name) {
		return false
	}
	x, ok := sel.X.(*ast.Ident)
	return ok && x.Name == pkg
}

func isIn(dir string, dirs []string) bool {
	return slices.ContainsFunc(dirs, func(d string) bool {
		return dir == d || strings.HasSuffix(d, "/") && strings.HasPrefix(dir+"/", d)
	})
}

func forbiddenNames(t *tree) (broken []string) {
	for _, rule := range forbidden {
		for _, g := range t.files {
			as := g.importedAs(rule.pkg)
			if g.test || as == "" || isIn(g.dir, rule.dirs) || exempt(g.dir) || wingOf(g.dir) == "wasm-examples" {
				continue
			}
			types := fieldTypes(g.ast)
			ast.Inspect(g.ast, func(n ast.Node) bool {
				if n != nil && isUse(n, as, rule.names) && !types[n] {
					sel := n.(*ast.SelectorExpr).Sel.Name
					broken = append(broken, fmt.Sprintf("%s: %s.%s: %s", t.at(n), as, sel, rule.why))
				}
				return true
			})
		}
	}
	return broken
}

// fieldTypes are the expressions that only name the type of a field or a
// parameter: to hold a client that was given is not to make one.
func fieldTypes(file *ast.File) map[ast.Node]bool {
	types := map[ast.Node]bool{}
	ast.Inspect(file, func(n ast.Node) bool {
		if f, ok := n.(*ast.Field); ok {
			typ := f.Type
			if star, ok := typ.(*ast.StarExpr); ok {
				typ = star.X
			}
			types[typ] = true
		}
		return true
	})
	return types
}

func fatalMethods(t *tree) (broken []string) {
	t.inspect(false, func(g *goFile, n ast.Node) {
		call, ok := n.(*ast.CallExpr)
		if !ok || wingOf(g.dir) == "cmd" {
			return
		}
		sel, ok := call.Fun.(*ast.SelectorExpr)
		if ok && slices.Contains([]string{"Fatal", "Fatalf", "Fatalln"}, sel.Sel.Name) {
			broken = append(broken, fmt.Sprintf("%s: %s ends the process: return an error", t.at(n), sel.Sel.Name))
		}
	})
	return broken
}

func initFunctions(t *tree) (broken []string) {
	t.inspect(false, func(_ *goFile, n ast.Node) {
		if fn, ok := n.(*ast.FuncDecl); ok && fn.Recv == nil && fn.Name.Name == "init" {
			broken = append(broken, t.at(fn)+": init runs before anyone asked: use a constructor")
		}
	})
	return broken
}

func sleepingTests(t *tree) (broken []string) {
	for _, g := range t.files {
		as := g.importedAs("time")
		if !g.test || as == "" || g.importedAs("testing/synctest") != "" {
			continue
		}
		ast.Inspect(g.ast, func(n ast.Node) bool {
			if n != nil && isUse(n, as, []string{"Sleep"}) {
				broken = append(broken, t.at(n)+": a test waits for a condition, or uses testing/synctest")
			}
			return true
		})
	}
	return broken
}

func panics(t *tree) (broken []string) {
	t.inspect(false, func(g *goFile, n ast.Node) {
		call, ok := n.(*ast.CallExpr)
		if !ok || wingOf(g.dir) == "wasm-examples" {
			return
		}
		if fn, ok := call.Fun.(*ast.Ident); !ok || fn.Name != "panic" || len(call.Args) != 1 {
			return
		}
		if !startsWithBug(call.Args[0]) {
			broken = append(broken, t.at(n)+": a panic starts with \"BUG: \", everything else is an error")
		}
	})
	return broken
}

// startsWithBug is true for "BUG: …" and for calls and sums that start with it.
// http.ErrAbortHandler is the way net/http has for cutting an answer off.
func startsWithBug(e ast.Expr) bool {
	switch x := e.(type) {
	case *ast.BasicLit:
		return strings.HasPrefix(x.Value, `"BUG: `) || strings.HasPrefix(x.Value, "`BUG: ")
	case *ast.BinaryExpr:
		return startsWithBug(x.X)
	case *ast.SelectorExpr:
		return isUse(x, "http", []string{"ErrAbortHandler"})
	case *ast.CallExpr:
		return len(x.Args) > 0 && startsWithBug(x.Args[0])
	}
	return false
}
