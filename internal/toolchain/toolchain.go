// Package toolchain builds parser modules from their sources: it finds the
// compiler of a project's language, runs it with the settings that make a parser
// module, and says how to get what is missing.
//
// The same source gives the same bytes. The package starts only the processes of
// compilers, and waits for them; it keeps nothing.
package toolchain

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"

	"github.com/wasmtail/wasmtail/internal/durable"
)

// ProjectFile is the name of the file that describes a project.
const ProjectFile = "parser.yaml"

// Project is a parser module's source and how to build it.
type Project struct {
	// Name and Version are the module's.
	Name    string `yaml:"name"`
	Version string `yaml:"version"`
	// Language is c, cpp, rust, assemblyscript or go.
	Language string `yaml:"language"`
	// Source is the source file, or for go the folder of the package, relative to
	// the project file.
	Source string `yaml:"source"`
	// Output is the module, relative to the project file.
	Output string `yaml:"output"`

	dir string
}

// Options are what Build needs to know about its surroundings.
type Options struct {
	// SDKDir is a folder with the SDK in sub-folders, for projects that have no
	// copy of it beside their source; empty for none.
	SDKDir string
	// Output is where the module goes instead of the project's own place.
	Output string
	// Log gets what a compiler says though it succeeds, such as warnings; nil for
	// nobody.
	Log io.Writer
}

// Languages are those that Build knows.
var Languages = []string{"assemblyscript", "c", "cpp", "go", "rust"}

// projectBytesMax bounds a project file, and with it how deep it can be nested.
const projectBytesMax = 4 << 10

// Load reads the project file of a folder.
func Load(dir string) (Project, error) {
	path := filepath.Join(dir, ProjectFile)
	text, err := os.ReadFile(path)
	if err != nil {
		return Project{}, fmt.Errorf("cannot read the project: %w; `wasmtail parser init` makes one", err)
	}
	if len(text) > projectBytesMax {
		return Project{}, fmt.Errorf("cannot read %s: it has more than %d bytes", path, projectBytesMax)
	}
	p := Project{dir: dir}
	if err := decode(text, &p); err != nil {
		return Project{}, fmt.Errorf("cannot read %s: %w", path, err)
	}
	return p, p.check(path)
}

// decode runs the library; a panic in it is a fault of the file.
func decode(text []byte, p *Project) (err error) {
	defer func() {
		if recover() != nil {
			err = errors.New("it is not valid YAML (the parser gave up)")
		}
	}()
	return yaml.UnmarshalWithOptions(text, p, yaml.Strict())
}

func (p *Project) check(path string) error {
	var problems []error
	for key, value := range map[string]string{"name": p.Name, "source": p.Source, "output": p.Output} {
		if value == "" {
			problems = append(problems, fmt.Errorf("%s is missing", key))
		}
	}
	for key, value := range map[string]string{"source": p.Source, "output": p.Output} {
		if value != "" && value != "." && !filepath.IsLocal(value) {
			problems = append(problems, fmt.Errorf("%s must be a path below the project's folder", key))
		}
	}
	if !slices.Contains(Languages, p.Language) {
		problems = append(problems, fmt.Errorf("language is %q; it must be one of %s", p.Language, strings.Join(Languages, ", ")))
	}
	if len(problems) > 0 {
		return fmt.Errorf("cannot use %s: %w", path, errors.Join(problems...))
	}
	return nil
}

// Dir is the folder of the project.
func (p *Project) Dir() string { return p.dir }

// Module is the path of the built module.
func (p *Project) Module() string { return filepath.Join(p.dir, p.Output) }

// Build compiles the project. The error has what the compiler said, or names the
// tool that is missing and the command that gets it. The module appears whole or
// not at all.
func (p *Project) Build(ctx context.Context, o Options) error {
	if err := p.build(ctx, o); err != nil {
		return fmt.Errorf("cannot build %s: %w", p.Name, err)
	}
	return nil
}

func (p *Project) build(ctx context.Context, o Options) error {
	if o.Output == "" {
		o.Output = p.Module()
	}
	temp, err := os.MkdirTemp("", "wasmtail-build-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(temp) }()
	b := builder{p: p, temp: temp, out: filepath.Join(temp, "module.wasm"), log: o.Log}
	if b.dir, err = filepath.Abs(p.dir); err != nil {
		return err
	}
	if o.SDKDir != "" {
		if b.sdk, err = filepath.Abs(o.SDKDir); err != nil {
			return err
		}
	}
	lines, err := b.lines(ctx)
	if err != nil {
		return err
	}
	for i := range lines {
		if err := b.run(ctx, lines[i]); err != nil {
			return err
		}
	}
	return publish(b.out, o.Output)
}

// moduleMagic is what every WebAssembly file begins with.
const moduleMagic = "\x00asm"

// publish puts the module in its place.
func publish(from, to string) error {
	module, err := os.ReadFile(from)
	if err != nil {
		return fmt.Errorf("the compiler left no module: %w", err)
	}
	if !strings.HasPrefix(string(module), moduleMagic) {
		return errors.New("what the compiler left is no WebAssembly module")
	}
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil { //nolint:gosec // a module is no secret
		return err
	}
	if err := durable.WriteFile(durable.OS{}, to, module); err != nil {
		return err
	}
	return os.Chmod(to, 0o644) //nolint:gosec // a module is no secret
}

// builder makes and runs the command lines of one build.
type builder struct {
	p    *Project
	dir  string // of the project, absolute
	sdk  string // Options.SDKDir, absolute, or empty
	temp string // a folder for what lies between
	out  string // the module, in temp
	log  io.Writer
}

func (b *builder) lines(ctx context.Context) ([]commandLine, error) {
	switch b.p.Language {
	case "c", "cpp":
		return b.clang(ctx)
	case "rust":
		return b.rust(ctx)
	case "assemblyscript":
		return b.assemblyScript()
	}
	return b.golang()
}

// commandLine is a compiler's call.
type commandLine struct {
	name string
	args []string
	env  []string // beside this process's own
	dir  string   // empty for the project's
}

// saidBytesMax bounds what is kept of a compiler's words.
const saidBytesMax = 64 << 10

func (b *builder) run(ctx context.Context, c commandLine) error {
	cmd := exec.CommandContext(ctx, c.name, c.args...) //nolint:gosec // the compilers this package knows
	cmd.Dir = b.dir
	if c.dir != "" {
		cmd.Dir = c.dir
	}
	cmd.Env = append(os.Environ(), c.env...)
	said, err := cmd.CombinedOutput()
	if len(said) > saidBytesMax {
		said = append(said[:saidBytesMax], "…\n"...)
	}
	if err != nil {
		return fmt.Errorf("%s: %w\n%s", filepath.Base(c.name), err, said)
	}
	if b.log != nil {
		_, err = b.log.Write(said)
	}
	return err
}

// firstOf returns the first of some programs that is on the path.
func firstOf(names ...string) string {
	for _, name := range names {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	return ""
}

// sdkFolder is where the project finds a file of the SDK: in its own folder, else
// in the folder of the language below the SDK's.
func (b *builder) sdkFolder(file string) (string, error) {
	if exists(filepath.Join(b.dir, file)) {
		return b.dir, nil
	}
	if b.sdk == "" {
		return "", fmt.Errorf("%s is missing: copy it beside the source, or name the SDK's folder with --sdk", file)
	}
	dir := filepath.Join(b.sdk, b.p.Language)
	if _, err := os.Stat(filepath.Join(dir, file)); err != nil {
		return "", fmt.Errorf("cannot find the SDK: %w", err)
	}
	return dir, nil
}
