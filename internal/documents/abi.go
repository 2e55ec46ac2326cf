package documents

import (
	"bytes"
	"errors"
	"fmt"
	"go/ast"
	"go/constant"
	"go/parser"
	"go/token"
	"go/types"
	"path/filepath"
	"strings"
)

// ABIPath is where the byte layouts of parser modules are described, below the
// root of the sources. abiSource is what they are made from.
const (
	ABIPath   = "docs/wasm/abi.md"
	abiSource = "sdk/abi/abi.go"
)

// abiTitles are the headings of the groups of constants, by the first of each.
var abiTitles = map[string]string{
	"Version":         "Version",
	"ExportMemory":    "Exports",
	"ImportModule":    "Imports",
	"LogDebug":        "Log levels",
	"BatchSize":       "Batch header",
	"FlagFinal":       "Flags of a batch",
	"EventSize":       "Event",
	"EventSplit":      "Flags of an event",
	"InfoSize":        "Info",
	"CapJoin":         "Capabilities",
	"CapsAll":         "All capabilities",
	"ResultSize":      "Result",
	"BatchOK":         "Status of a result",
	"RowSize":         "Row",
	"RowOK":           "Status of a row",
	"ActionKeep":      "Action of a row",
	"RowKeepRaw":      "Flags of a row",
	"FieldSize":       "Field",
	"KindString":      "Kind of a value",
	"IDColumns":       "Field ids that are no columns",
	"LogBytesMax":     "Bounds",
	"MetaSectionName": "Custom section",
}

const abiIntro = `# The interface of parser modules, ABI %d.%d

<!-- Made from %s: change that, then run make generate. -->

A parser module exports a few functions and one memory. The agent writes a batch of lines into a region of that memory, calls the module once, and reads rows back: 16 bytes for each, and 12 for each field, which refers to its value by address and length. [How a batch flows](README.md) has a picture. The SDKs do all of this; this page is for those who write one, or read a dump.

The module that says it needs minor version n runs in every agent that has n or more. A minor version only adds: fields at the end of structs that say their size, flags, ids, imports. Unused words are 0, a module ignores flags that it does not know, and one that sets flags the agent does not know breaks the contract.

`

// abi describes the constants of sdk/abi.
func abi(srcRoot string) ([]byte, error) {
	fset := token.NewFileSet()
	file, err := parser.ParseFile(fset, filepath.Join(srcRoot, filepath.FromSlash(abiSource)), nil, parser.ParseComments)
	if err != nil {
		return nil, fmt.Errorf("cannot read the interface of modules: %w", err)
	}
	info := &types.Info{Defs: map[*ast.Ident]types.Object{}}
	pkg, err := (&types.Config{}).Check(abiSource, fset, []*ast.File{file}, info)
	if err != nil {
		return nil, fmt.Errorf("cannot read the interface of modules: %w", err)
	}
	var b bytes.Buffer
	number := func(name string) int64 {
		v, _ := constant.Int64Val(pkg.Scope().Lookup(name).(*types.Const).Val())
		return v
	}
	fmt.Fprintf(&b, abiIntro, number("Version"), number("Minor"), abiSource)
	for _, d := range file.Decls {
		if g, ok := d.(*ast.GenDecl); ok && g.Tok == token.CONST {
			if err := abiGroup(&b, g, info); err != nil {
				return nil, err
			}
		}
	}
	return bytes.TrimRight(b.Bytes(), "\n"), nil
}

// abiConst is one constant of a group.
type abiConst struct {
	name, value, meaning string
	layout               bool // an offset in a struct
}

func abiGroup(b *bytes.Buffer, g *ast.GenDecl, info *types.Info) error {
	var list []abiConst
	for _, spec := range g.Specs {
		s := spec.(*ast.ValueSpec)
		if len(s.Names) != 1 {
			return errors.New("cannot describe the interface of modules: a line of sdk/abi declares several constants")
		}
		c := info.Defs[s.Names[0]].(*types.Const)
		text := commentText(s.Doc)
		if text == "" {
			text = commentText(s.Comment)
		}
		value := c.Val().ExactString()
		name := c.Name()
		if strings.HasPrefix(name, "ID") {
			n, _ := constant.Int64Val(c.Val())
			value = fmt.Sprintf("0x%04X", n)
		}
		text = strings.TrimLeft(strings.TrimPrefix(text, name), ",: ")
		list = append(list, abiConst{name, value, text, strings.Contains(name, "Off")})
	}
	title := abiTitles[list[0].name]
	if title == "" {
		return fmt.Errorf("cannot describe the interface of modules: the group of %s has no title; add one to abiTitles", list[0].name)
	}
	fmt.Fprintf(b, "## %s\n\n", title)
	if text := commentText(g.Doc); text != "" && text != title+"." {
		fmt.Fprintf(b, "%s\n\n", text)
	}
	abiTables(b, list)
	return nil
}

// abiTables writes the offsets of a struct as one table, what else there is as
// another.
func abiTables(b *bytes.Buffer, list []abiConst) {
	for _, layout := range []bool{false, true} {
		head := "| name | value | meaning |\n|---|---|---|\n"
		if layout {
			head = "| offset | what | name |\n|---|---|---|\n"
		}
		for _, c := range list {
			if c.layout != layout {
				continue
			}
			b.WriteString(head)
			head = ""
			meaning := strings.ReplaceAll(c.meaning, "|", "\\|")
			if layout {
				fmt.Fprintf(b, "| %s | %s | `%s` |\n", c.value, meaning, c.name)
			} else {
				fmt.Fprintf(b, "| `%s` | `%s` | %s |\n", c.name, strings.Trim(c.value, `"`), meaning)
			}
		}
		if head == "" {
			b.WriteByte('\n')
		}
	}
}

// commentText is a comment in one line.
func commentText(c *ast.CommentGroup) string {
	return strings.Join(strings.Fields(c.Text()), " ")
}
