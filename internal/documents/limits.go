package documents

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
)

// LimitsPath is where the limits of parser modules are described, below the root of
// the sources. The others are what it is made from.
const (
	LimitsPath    = "docs/wasm/limits.md"
	limitsConfig  = "plugins/processor/wasm/wasm.go"
	limitsOfScan  = "internal/wasmbin/limits.go"
	limitsOfCalls = "agent/wasmhost/limits.go"
)

const (
	limitsIntro = `# Limits of parser modules

<!-- Made from %s, %s and %s: change those, then run make generate. -->

*wasmtail parser inspect* shows how near a module is to them, and [errors.md](errors.md) what is said when one is reached.

## In the configuration

Raise one in the pipeline's processor:

` + "```yaml\n    processors:\n      - type: wasm\n        module: /etc/wasmtail/modules/nginx.wasm\n        limits: {memory: 128MiB, time: 500ms}\n```" + `

| key | default | least | most | meaning |
|---|---|---|---|---|
`
	limitsCalls = `
An instance sets aside room for its input when it starts: 208 KiB for the table of lines and what is known of their source, and the larger of ` + "`batch` and `line`" + `. A module that keeps the defaults so needs 1.3 MB beside its own.

## Fixed, for each call

They hold for every module. The [bounds of the interface](abi.md#bounds) come on top.

| name | value | meaning |
|---|---|---|
`
	limitsScan = `
## Of the file

They are checked before a module is compiled, so that compiling it cannot cost much. ` + "`limits.module` raises the first and `limits.memory` the last" + `; the others are far above what compilers write for parsers. A module that reaches one has been made by a generator: split its functions.

| limit | meaning |
|---|---|
`
)

// rangeRE finds the range of a limit in the processor's checks, which have it in
// one of two forms.
var (
	rangeRE = regexp.MustCompile(`within\("(\w+)", [\w.]+, ([^,]+), ([^)]+)\)`)
	mostRE  = regexp.MustCompile(` At most \w+\.$`) // has a column of its own
	textRE  = regexp.MustCompile(`report\("limits\.(\w+)", "must be between (\S+) and (\S+)"\)`)
)

// limits describes the limits of modules.
func limits(srcRoot string) ([]byte, error) {
	var b bytes.Buffer
	fmt.Fprintf(&b, limitsIntro, limitsConfig, limitsOfCalls, limitsOfScan)
	for _, part := range []struct {
		intro, source string
		write         func(*bytes.Buffer, *ast.File, []byte) error
	}{
		{"", limitsConfig, configLimits},
		{limitsCalls, limitsOfCalls, callLimits},
		{limitsScan, limitsOfScan, scanLimits},
	} {
		text, err := os.ReadFile(filepath.Join(srcRoot, filepath.FromSlash(part.source)))
		if err != nil {
			return nil, fmt.Errorf("cannot read the limits of modules: %w", err)
		}
		file, err := parser.ParseFile(token.NewFileSet(), part.source, text, parser.ParseComments)
		if err != nil {
			return nil, fmt.Errorf("cannot read the limits of modules: %w", err)
		}
		b.WriteString(part.intro)
		if err := part.write(&b, file, text); err != nil {
			return nil, err
		}
	}
	return b.Bytes(), nil
}

// limitsStruct is the struct of the limits in a file.
func limitsStruct(file *ast.File) (fields []*ast.Field) {
	ast.Inspect(file, func(n ast.Node) bool {
		if t, ok := n.(*ast.TypeSpec); ok && t.Name.Name == "Limits" {
			if s, ok := t.Type.(*ast.StructType); ok {
				fields = s.Fields.List
			}
		}
		return true
	})
	return fields
}

// configLimits writes the limits that a pipeline can set.
func configLimits(b *bytes.Buffer, file *ast.File, text []byte) error {
	ranges := map[string][2]string{}
	size := strings.NewReplacer("*config.", "", "config.", "1", "11", "1")
	for _, m := range rangeRE.FindAllSubmatch(text, -1) {
		ranges[string(m[1])] = [2]string{size.Replace(string(m[2])), size.Replace(string(m[3]))}
	}
	for _, m := range textRE.FindAllSubmatch(text, -1) {
		ranges[string(m[1])] = [2]string{string(m[2]), string(m[3])}
	}
	for _, f := range limitsStruct(file) {
		tag := reflect.StructTag(strings.Trim(f.Tag.Value, "`"))
		key := tag.Get("yaml")
		r, ok := ranges[key]
		if !ok {
			return fmt.Errorf("cannot describe the limit %s: %s does not check it as the others", key, limitsConfig)
		}
		fmt.Fprintf(b, "| `limits.%s` | %s | %s | %s | %s |\n", key, tag.Get("default"), r[0], r[1], mostRE.ReplaceAllString(sentence(f.Names[0].Name, f.Doc), ""))
	}
	return nil
}

// callLimits writes the constants.
func callLimits(b *bytes.Buffer, file *ast.File, text []byte) error {
	for _, d := range file.Decls {
		g, ok := d.(*ast.GenDecl)
		if !ok || g.Tok != token.CONST {
			continue
		}
		for _, spec := range g.Specs {
			s := spec.(*ast.ValueSpec)
			if s.Doc == nil {
				continue
			}
			value := string(text[s.Values[0].Pos()-file.FileStart : s.Values[0].End()-file.FileStart])
			fmt.Fprintf(b, "| `%s` | %s | %s |\n", s.Names[0].Name, value, sentence(s.Names[0].Name, s.Doc))
		}
	}
	return nil
}

// scanLimits writes what the scan bounds.
func scanLimits(b *bytes.Buffer, file *ast.File, _ []byte) error {
	for _, f := range limitsStruct(file) {
		fmt.Fprintf(b, "| `%s` | %s |\n", f.Names[0].Name, sentence(f.Names[0].Name, f.Doc))
	}
	return nil
}

// sentence is a comment without the name that it begins with.
func sentence(name string, doc *ast.CommentGroup) string {
	text := strings.TrimPrefix(commentText(doc), name+" ")
	for _, verb := range []string{"is ", "bounds "} {
		text = strings.TrimPrefix(text, verb)
	}
	return strings.ReplaceAll(text, "|", "\\|")
}
