package toolchain

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
)

// The newest versions of clang first: the older ones work too.
const (
	clangNewest = 30
	clangOldest = 14
)

// clang compiles C and C++ without a library.
func (b *builder) clang() ([]commandLine, error) {
	file, program, language := "wt.h", "clang", []string{"-std=c11"}
	if b.p.Language == "cpp" {
		file, program, language = "wt.hpp", "clang++", []string{"-std=c++17", "-fno-exceptions", "-fno-rtti"}
	}
	compiler, version, err := findClang(program)
	if err != nil {
		return nil, err
	}
	linker := firstOf("wasm-ld"+version, "wasm-ld")
	if linker == "" {
		return nil, fmt.Errorf("the linker wasm-ld is missing; `apt-get install lld%s` gets it", version)
	}
	sdk, err := b.sdkFolder(b.p.Language, file)
	if err != nil {
		return nil, err
	}
	args := append(language, "--target=wasm32", "-O3", "-msimd128", "-mbulk-memory", "-ffreestanding", "-nostdlib", "-Wall", "-Wextra", "-Werror",
		"-I", sdk, "-fuse-ld="+linker, "-Wl,--no-entry", "-Wl,-z,stack-size=65536", "-Wl,--strip-debug", "-o", b.out, b.p.Source)
	return []commandLine{{name: compiler, args: args}}, nil
}

// findClang returns a compiler that can make WebAssembly, and its version as
// part of a name, such as -22.
func findClang(program string) (path, version string, err error) {
	for v := clangNewest; v >= clangOldest; v-- {
		suffix := "-" + strconv.Itoa(v)
		if path := firstOf(program + suffix); path != "" {
			return path, suffix, nil
		}
	}
	if path := firstOf(program); path != "" {
		return path, "", nil
	}
	return "", "", errors.New("clang is missing; on Debian `apt-get install clang-22 lld-22` gets it (or clang lld)")
}

// rustTarget has no operating system: such a module imports nothing.
const rustTarget = "wasm32-unknown-unknown"

// rust compiles the SDK's crate, then the parser against it.
func (b *builder) rust() ([]commandLine, error) {
	compiler, err := findRust()
	if err != nil {
		return nil, err
	}
	sdk, err := b.sdkFolder("rust", "wt.rs")
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
	// Debian's Rust has no linker of its own, and archives that only the linker of
	// its time reads.
	if old := firstOf("wasm-ld-14"); old != "" && strings.HasPrefix(compiler, "/usr/bin/") {
		second = append(second, "-Clinker="+old)
	}
	return []commandLine{{name: compiler, args: first}, {name: compiler, args: second}}, nil
}

// findRust returns the first compiler that has the target.
func findRust() (string, error) {
	var candidates []string
	for _, dir := range append(filepath.SplitList(os.Getenv("PATH")), "/usr/bin") {
		candidates = append(candidates, filepath.Join(dir, "rustc"))
	}
	for _, c := range candidates {
		if _, err := os.Stat(c); err != nil {
			continue
		}
		root, err := exec.Command(c, "--print", "sysroot").Output() //nolint:gosec,noctx // a compiler's question about itself
		if err != nil {
			continue
		}
		found, err := filepath.Glob(filepath.Join(strings.TrimSpace(string(root)), "lib", "rustlib", rustTarget, "lib", "libcore-*.rlib"))
		if err == nil && len(found) > 0 {
			return c, nil
		}
	}
	return "", fmt.Errorf("no rustc has the target %s; `rustup target add %s`, or on Debian `apt-get install rustc libstd-rust-dev-wasm32 lld-14`, gets it", rustTarget, rustTarget)
}

func (b *builder) assemblyScript() ([]commandLine, error) {
	compiler := findAsc(b.p.dir)
	if compiler == "" {
		return nil, errors.New("the AssemblyScript compiler is missing; `npm install assemblyscript@0.28` in the project's folder gets it")
	}
	sdk, err := b.sdkFolder("assemblyscript", "wt.ts")
	if err != nil {
		return nil, err
	}
	args := []string{
		b.p.Source, "--runtime", "stub", "--use", "abort=", "-O3", "--noAssert", "--enable", "simd", "--enable", "bulk-memory",
		"--lib", sdk, "-o", b.out,
	}
	return []commandLine{{name: compiler, args: args}}, nil
}

// findAsc looks for the compiler in the project's modules, in those of a folder
// above it, and on the path.
func findAsc(dir string) string {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return ""
	}
	for {
		if c := filepath.Join(dir, "node_modules", ".bin", "asc"); exists(c) {
			return c
		}
		if filepath.Dir(dir) == dir {
			return firstOf("asc")
		}
		dir = filepath.Dir(dir)
	}
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
