package toolchain

import (
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/wasmtail/wasmtail/internal/durable"
)

// templates has the files that all languages share in all, and those of a language
// in a folder of its name. In names and texts that end in .tmpl, words such as
// @NAME@ stand for what a project has of its own.
//
//go:embed templates
var templates embed.FS

// New says what project Init writes.
type New struct {
	// Dir is the folder: it must be missing or empty. Its last part is the name.
	Dir string
	// Language is one of Languages.
	Language string
	// SDK has the files of the SDKs, in a folder for each language.
	SDK fs.FS
	// Checkout is a local copy of this repository, which a Go project builds
	// against; empty for the published module.
	Checkout string
	// Version is the published version that a Go project names.
	Version string
}

// kit is what differs from one language to the next.
type kit struct {
	source string // in parser.yaml
	sdk    string // the SDK's file, empty for none
	needs  string // for the README
	ci     string // the command that gets the tools on Debian
}

// kitOf is the kit of a language.
func kitOf(language string) kit {
	switch language {
	case "c":
		return kit{"parser.c", "wt.h", "clang 14 or newer with its wasm-ld", "sudo apt-get update && sudo apt-get install -y clang lld"}
	case "cpp":
		return kit{
			"parser.cpp", "wt.hpp", "clang 14 or newer with its wasm-ld, wasi-libc and libc++ for WebAssembly",
			"sudo apt-get update && sudo apt-get install -y clang-18 lld-18 wasi-libc libc++-18-dev-wasm32 libc++abi-18-dev-wasm32 libclang-rt-18-dev-wasm32",
		}
	case "rust":
		return kit{"parser.rs", "wt.rs", "rustc with the target wasm32-unknown-unknown", "rustup target add wasm32-unknown-unknown"}
	case "assemblyscript":
		return kit{"parser.ts", "wt.ts", "Node, and the compiler that `npm install` gets", "npm install"}
	}
	return kit{".", "", "Go 1.26 or newer", "go mod tidy"}
}

// nameRE is what a parser may be called: it is a file's name, a Go module's, and
// stands in sources between quotes.
var nameRE = regexp.MustCompile(`^[a-z][a-z0-9_-]{0,62}$`)

// Init writes a new project, and returns the paths of its files below the folder.
// The error says what is wrong with the name, the language or the folder.
func Init(n New) ([]string, error) {
	name := filepath.Base(filepath.Clean(n.Dir))
	if !nameRE.MatchString(name) {
		return nil, fmt.Errorf("cannot call a parser %q: use a small letter, then at most 62 small letters, digits, - and _", name)
	}
	if !slices.Contains(Languages, n.Language) {
		return nil, fmt.Errorf("cannot begin a parser in %q: the language must be one of %s", n.Language, strings.Join(Languages, ", "))
	}
	there, err := os.ReadDir(n.Dir)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("cannot begin a parser in %s: %w", n.Dir, err)
	}
	if len(there) > 0 {
		return nil, fmt.Errorf("cannot begin a parser in %s: the folder is not empty; choose another name, or empty it", n.Dir)
	}
	files, err := n.files(name)
	if err != nil {
		return nil, fmt.Errorf("cannot begin a parser in %s: %w", n.Dir, err)
	}
	var written []string
	for file, text := range files {
		if err := writeNew(filepath.Join(n.Dir, filepath.FromSlash(file)), text); err != nil {
			return nil, fmt.Errorf("cannot begin a parser in %s: %w", n.Dir, err)
		}
		written = append(written, file)
	}
	slices.Sort(written)
	return written, nil
}

// files are the texts of a project by their path.
func (n *New) files(name string) (map[string][]byte, error) {
	k, replace := kitOf(n.Language), ""
	if n.Checkout != "" {
		root, err := filepath.Abs(n.Checkout)
		if err != nil {
			return nil, err
		}
		replace = fmt.Sprintf("replace github.com/wasmtail/wasmtail => %q\n", root)
	}
	words := strings.NewReplacer("@NAME@", name, "@LANGUAGE@", n.Language, "@SOURCE@", k.source,
		"@NEEDS@", k.needs, "@CI@", k.ci, "@SDKVERSION@", n.Version, "@REPLACE@", replace)
	files := map[string][]byte{}
	for _, dir := range []string{"all", n.Language} {
		if err := readTemplates(path.Join("templates", dir), words, files); err != nil {
			return nil, err
		}
	}
	if k.sdk == "" {
		return files, nil
	}
	text, err := fs.ReadFile(n.SDK, path.Join(n.Language, k.sdk))
	if err != nil {
		return nil, fmt.Errorf("cannot read the SDK: %w", err)
	}
	files[k.sdk] = text
	return files, nil
}

// readTemplates adds the files of a folder of templates.
func readTemplates(dir string, words *strings.Replacer, files map[string][]byte) error {
	return fs.WalkDir(templates, dir, func(file string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := templates.ReadFile(file)
		if err != nil {
			return err
		}
		name, changes := strings.CutSuffix(strings.TrimPrefix(file, dir+"/"), ".tmpl")
		if changes {
			text = []byte(words.Replace(string(text)))
		}
		switch name {
		case "gitignore":
			name = ".gitignore"
		case "parser.yml":
			name = ".github/workflows/parser.yml"
		}
		files[name] = text
		return nil
	})
}

// writeNew writes a file and the folders above it.
func writeNew(file string, text []byte) error {
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil { //nolint:gosec // sources are no secret
		return err
	}
	if err := durable.WriteFile(durable.OS{}, file, text); err != nil {
		return err
	}
	return os.Chmod(file, 0o644) //nolint:gosec // sources are no secret
}
