// Package toolchain builds parser modules from their sources: it finds the
// compiler of a project's language, runs it with the settings that make a parser
// module, and says how to get what is missing.
//
// The same source gives the same bytes. The package starts only the processes of
// compilers, and waits for them; it keeps nothing.
package toolchain

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"
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
}

// Languages are those that Build knows.
var Languages = []string{"assemblyscript", "c", "cpp", "go", "rust"}

// Load reads the project file of a folder.
func Load(dir string) (Project, error) {
	path := filepath.Join(dir, ProjectFile)
	text, err := os.ReadFile(path)
	if err != nil {
		return Project{}, fmt.Errorf("cannot read the project: %w; `wasmtail parser init` makes one", err)
	}
	var p Project
	if err := yaml.UnmarshalWithOptions(text, &p, yaml.Strict()); err != nil {
		return Project{}, fmt.Errorf("cannot read %s: %w", path, err)
	}
	p.dir = dir
	return p, p.check(path)
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
// tool that is missing and the command that gets it.
func (p *Project) Build(ctx context.Context, o Options) error {
	out := o.Output
	if out == "" {
		out = p.Module()
	}
	out, err := filepath.Abs(out)
	if err != nil {
		return fmt.Errorf("cannot build %s: %w", p.Name, err)
	}
	if err := os.MkdirAll(filepath.Dir(out), 0o755); err != nil {
		return fmt.Errorf("cannot build %s: %w", p.Name, err)
	}
	temp, err := os.MkdirTemp("", "wasmtail-build-")
	if err != nil {
		return fmt.Errorf("cannot build %s: %w", p.Name, err)
	}
	defer func() { _ = os.RemoveAll(temp) }()
	b := builder{p: p, sdk: o.SDKDir, out: out, temp: temp}
	lines, err := b.lines()
	if err != nil {
		return fmt.Errorf("cannot build %s: %w", p.Name, err)
	}
	for i := range lines {
		if err := lines[i].run(ctx, p); err != nil {
			return err
		}
	}
	return nil
}

// builder makes the command lines of one build.
type builder struct {
	p              *Project
	sdk, out, temp string // temp is a folder for what lies between
}

func (b *builder) lines() ([]commandLine, error) {
	switch b.p.Language {
	case "c", "cpp":
		return b.clang()
	case "rust":
		return b.rust()
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
}

func (c *commandLine) run(ctx context.Context, p *Project) error {
	cmd := exec.CommandContext(ctx, c.name, c.args...) //nolint:gosec // the compilers this package knows
	cmd.Dir = p.dir
	cmd.Env = append(os.Environ(), c.env...)
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("cannot build %s: %s: %w\n%s", p.Name, filepath.Base(c.name), err, said.String())
	}
	return nil
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

// sdkFolder is where the project finds a file of the SDK: beside its source, else
// in the folder of the language below the SDK's.
func (b *builder) sdkFolder(language, file string) (string, error) {
	if exists(filepath.Join(b.p.dir, file)) {
		return ".", nil
	}
	if b.sdk == "" {
		return "", fmt.Errorf("%s is missing: copy it beside the source, or name the SDK's folder with --sdk", file)
	}
	dir, err := filepath.Abs(filepath.Join(b.sdk, language))
	if err != nil {
		return "", fmt.Errorf("cannot find the SDK: %w", err)
	}
	if _, err := os.Stat(filepath.Join(dir, file)); err != nil {
		return "", fmt.Errorf("cannot find the SDK: %w", err)
	}
	return dir, nil
}
