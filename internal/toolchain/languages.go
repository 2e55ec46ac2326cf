package toolchain

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
)

// The newest versions of clang first: the older ones work too.
const (
	clangNewest = 30
	clangOldest = 14
)

// clang compiles C without a library, and C++ with libc++, of which a module has
// only what it uses. Both use the linker of the compiler's own version.
func (b *builder) clang(ctx context.Context) ([]commandLine, error) {
	program, sdkFile := "clang", "wt.h"
	own := []string{"-std=c11", "--target=wasm32-unknown-unknown", "-ffreestanding", "-nostdlib", "-Wl,--no-entry"}
	if b.p.Language == "cpp" {
		program, sdkFile = "clang++", "wt.hpp"
		own = []string{"-std=c++17", "--target=wasm32-wasi", "-Wno-deprecated", "-mexec-model=reactor", "-fno-exceptions", "-fno-rtti"}
	}
	c, err := findClang(program)
	if err != nil {
		return nil, err
	}
	if b.p.Language == "cpp" && !c.hasLibrary(ctx) {
		return nil, fmt.Errorf("the C++ library for WebAssembly is missing; on Debian `apt-get install wasi-libc libc++%[1]s-dev-wasm32 libc++abi%[1]s-dev-wasm32 libclang-rt%[1]s-dev-wasm32` gets it", c.suffix)
	}
	sdk, err := b.sdkFolder(sdkFile)
	if err != nil {
		return nil, err
	}
	args := append(own, "-O2", "-msimd128", "-mbulk-memory", "-Wall", "-Wextra", "-I.", "-I"+sdk,
		"-fuse-ld="+c.linker, "-Wl,--strip-all", "-Wl,-z,stack-size=65536", "-o", b.out, b.p.Source)
	// Without a path, clang finds no wasm-opt, which it would run where there is
	// one: the same source would give other bytes there.
	return []commandLine{{name: c.path, args: args, env: []string{"PATH="}}}, nil
}

// clangFound is a compiler with the linker of its version.
type clangFound struct {
	path, linker string
	suffix       string // such as -22, empty for an unversioned one
}

func findClang(program string) (clangFound, error) {
	suffixes := []string{}
	for v := clangNewest; v >= clangOldest; v-- {
		suffixes = append(suffixes, "-"+strconv.Itoa(v))
	}
	missing := errors.New("clang is missing; on Debian `apt-get install clang-22 lld-22` gets it (or clang lld)")
	for _, suffix := range append(suffixes, "") {
		c := clangFound{path: firstOf(program + suffix), linker: firstOf("wasm-ld" + suffix), suffix: suffix}
		if c.path != "" && c.linker != "" {
			return c, nil
		}
		if c.path != "" {
			missing = fmt.Errorf("the linker of %s is missing; on Debian `apt-get install lld%s` gets it", c.path, suffix)
		}
	}
	return clangFound{}, missing
}

// hasLibrary asks the compiler for its library: it answers with a path when it
// has one, and with the bare name when it has none.
func (c clangFound) hasLibrary(ctx context.Context) bool {
	path, err := exec.CommandContext(ctx, c.path, "--target=wasm32-wasi", "-Wno-deprecated", "-print-file-name=libc++.a").Output() //nolint:gosec // a compiler's question about itself
	return err == nil && filepath.IsAbs(strings.TrimSpace(string(path)))
}

// rustTarget has no operating system: such a module imports nothing.
const rustTarget = "wasm32-unknown-unknown"

// rust compiles the SDK's crate, then the parser against it.
func (b *builder) rust(ctx context.Context) ([]commandLine, error) {
	compiler, err := findRust(ctx, append(filepath.SplitList(os.Getenv("PATH")), "/usr/bin"))
	if err != nil {
		return nil, err
	}
	linker, err := compiler.linker(ctx)
	if err != nil {
		return nil, err
	}
	sdk, err := b.sdkFolder("wt.rs")
	if err != nil {
		return nil, err
	}
	both := []string{
		"--edition=2021", "--target=" + rustTarget, "-Copt-level=3", "-Cpanic=abort", "-Ccodegen-units=1",
		"-Cembed-bitcode=yes", "-Ctarget-feature=+simd128,+bulk-memory", "--remap-path-prefix=" + sdk + "=sdk", "--remap-path-prefix=" + b.temp + "=temp",
	}
	library := filepath.Join(b.temp, "libwt.rlib")
	first := append([]string{"--crate-type=rlib", "--crate-name=wt", "-o", library, filepath.Join(sdk, "wt.rs")}, both...)
	second := append([]string{
		"--crate-type=cdylib", "--crate-name=parser", "-Clto", "-Cstrip=debuginfo", "-Clink-arg=-zstack-size=65536",
		"--extern", "wt=" + library, "-o", b.out, b.p.Source,
	}, both...)
	return []commandLine{{name: compiler.path, args: first}, {name: compiler.path, args: append(second, linker...)}}, nil
}

// rustFound is a compiler that has the target.
type rustFound struct{ path, root string }

// findRust returns the first of the compilers in some folders that has the target.
func findRust(ctx context.Context, dirs []string) (rustFound, error) {
	for _, dir := range dirs {
		c := rustFound{path: filepath.Join(dir, "rustc")}
		if !exists(c.path) {
			continue
		}
		root, err := exec.CommandContext(ctx, c.path, "--print", "sysroot").Output() //nolint:gosec // a compiler's question about itself
		if err != nil {
			continue
		}
		c.root = strings.TrimSpace(string(root))
		found, err := filepath.Glob(filepath.Join(c.root, "lib", "rustlib", rustTarget, "lib", "libcore-*.rlib"))
		if err == nil && len(found) > 0 {
			return c, nil
		}
	}
	return rustFound{}, fmt.Errorf("no rustc has the target %[1]s; `rustup target add %[1]s`, or on Debian `apt-get install rustc libstd-rust-dev-wasm32 lld-14`, gets it", rustTarget)
}

var llvmRE = regexp.MustCompile(`(?m)^LLVM version: (\d+)`)

// linker returns the settings that name the linker, none when the compiler brings
// its own. Debian's does not, and its archives are read only by the linker of the
// LLVM that the compiler was made with.
func (c rustFound) linker(ctx context.Context) ([]string, error) {
	own, err := filepath.Glob(filepath.Join(c.root, "lib", "rustlib", "*", "bin", "rust-lld"))
	if err == nil && len(own) > 0 {
		return nil, nil
	}
	said, err := exec.CommandContext(ctx, c.path, "-vV").Output() //nolint:gosec // a compiler's question about itself
	if err != nil {
		return nil, fmt.Errorf("cannot ask %s for its version: %w", c.path, err)
	}
	m := llvmRE.FindSubmatch(said)
	if m == nil {
		return nil, fmt.Errorf("cannot tell which linker %s needs: it does not say which LLVM it has", c.path)
	}
	name := "wasm-ld-" + string(m[1])
	path := firstOf(name)
	if path == "" {
		return nil, fmt.Errorf("the linker %s of %s is missing; on Debian `apt-get install lld-%s` gets it", name, c.path, m[1])
	}
	return []string{"-Clinker=" + path}, nil
}

// assemblyScript compiles in a folder of links, because a source names the SDK's
// file as if it lay beside it.
func (b *builder) assemblyScript() ([]commandLine, error) {
	node := firstOf("node")
	if node == "" {
		return nil, errors.New("Node is missing; on Debian `apt-get install nodejs npm` gets it") //nolint:staticcheck // a name
	}
	compiler, err := b.findAsc()
	if err != nil {
		return nil, err
	}
	sdk, err := b.sdkFolder("wt.ts")
	if err != nil {
		return nil, err
	}
	stage := filepath.Join(b.temp, "stage")
	if err := linkAll(stage, b.dir, sdk); err != nil {
		return nil, err
	}
	args := []string{
		compiler, b.p.Source, "--runtime", "stub", "--use", "abort=", "-O3", "--noAssert", "--enable", "simd",
		"--exportStart", "_initialize", "-o", b.out,
	}
	return []commandLine{{name: node, args: args, dir: stage}}, nil
}

// linkAll makes a folder with links to what is in others; of two of one name, the
// first counts.
func linkAll(to string, from ...string) error {
	if err := os.Mkdir(to, 0o700); err != nil {
		return fmt.Errorf("cannot make a folder to compile in: %w", err)
	}
	for _, dir := range from {
		entries, err := os.ReadDir(dir)
		if err != nil {
			return fmt.Errorf("cannot list the sources: %w", err)
		}
		for _, e := range entries {
			err := os.Symlink(filepath.Join(dir, e.Name()), filepath.Join(to, e.Name()))
			if err != nil && !errors.Is(err, os.ErrExist) {
				return fmt.Errorf("cannot make a link to the source: %w", err)
			}
		}
	}
	return nil
}

// findAsc looks for the compiler in the npm modules of the project, of a folder
// above it, of the examples beside the SDK, and on the path.
func (b *builder) findAsc() (string, error) {
	dirs := []string{}
	for dir := b.dir; ; dir = filepath.Dir(dir) {
		dirs = append(dirs, dir)
		if filepath.Dir(dir) == dir {
			break
		}
	}
	if b.sdk != "" {
		dirs = append(dirs, filepath.Join(filepath.Dir(b.sdk), "wasm-examples"))
	}
	for _, dir := range dirs {
		if c := filepath.Join(dir, "node_modules", "assemblyscript", "bin", "asc.js"); exists(c) {
			return c, nil
		}
	}
	if c := firstOf("asc"); c != "" {
		return c, nil
	}
	return "", errors.New("the AssemblyScript compiler is missing; `npm install assemblyscript@0.28` in the project's folder gets it, for the examples `npm ci` in wasm-examples")
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

func (b *builder) golang() ([]commandLine, error) {
	compiler := firstOf("go")
	if compiler == "" {
		return nil, errors.New("go is missing; get version 1.24 or newer from https://go.dev/dl, or `apt-get install golang`")
	}
	source := b.p.Source
	if source != "." && !strings.HasPrefix(source, "./") {
		source = "./" + source
	}
	return []commandLine{{
		name: compiler,
		args: []string{"build", "-buildmode=c-shared", "-trimpath", "-buildvcs=false", "-ldflags=-s -w", "-o", b.out, source},
		env:  []string{"GOOS=wasip1", "GOARCH=wasm", "CGO_ENABLED=0", "GOFLAGS="},
	}}, nil
}
