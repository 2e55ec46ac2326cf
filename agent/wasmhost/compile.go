package wasmhost

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"golang.org/x/sys/cpu"

	"github.com/wasmtail/wasmtail/internal/durable"
)

// The limits of the process that compiles. The address space is larger than
// what is used: a Go process reserves a lot of it.
const (
	compileCPU      = 20 * time.Second
	compileWall     = 60 * time.Second
	compileAddress  = 4 << 30
	compileResident = 1 << 30
	compileErrorMax = 4 << 10
)

// compiled says which file of a module's folder holds its machine code, and what
// the file must hash to: what is run must be what the compiler wrote. Metered is
// the hash of what was compiled, which another version of the agent meters in
// another way.
type compiled struct {
	File    string `json:"file"`
	SHA256  string `json:"sha256"`
	Metered string `json:"metered"`
}

// digest is the sha256 hash of b, in hex digits.
func digest(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// lookCompiled checks what the folder of a module holds while the caller does
// something else, and returns where the caller must wait for the hash of what was
// compiled. It is "" when there is nothing that may be run.
func lookCompiled(dir string) <-chan string {
	ready := make(chan string, 1)
	go func() {
		metered, _ := checkCompiled(dir) // what is wrong there is made anew
		ready <- metered
	}()
	return ready
}

// compile makes the folder of a module anew, with the machine code of what it
// became by metering, for this processor.
func (h *Host) compile(ctx context.Context, metered []byte, dir string) error {
	// What lies there is damaged, of another program version, or was never
	// finished.
	if err := os.RemoveAll(dir); err != nil {
		return fmt.Errorf("cannot clear the folder of a compiled module: %w", err)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("cannot make the folder of a compiled module: %w", err)
	}
	if len(h.o.Compiler) == 0 {
		if err := compileInto(ctx, metered, dir); err != nil {
			return err
		}
	} else if err := h.compileApart(ctx, metered, dir); err != nil {
		return err
	}
	switch is, err := checkCompiled(dir); {
	case err != nil:
		return err
	case is != digest(metered):
		return errors.New("cannot use the compiled module: it is of another module")
	}
	return nil
}

// compileApart compiles in another process, and ends it when it takes too much.
func (h *Host) compileApart(ctx context.Context, metered []byte, dir string) error {
	ctx, cancel := context.WithTimeoutCause(ctx, compileWall, fmt.Errorf("it took more than %s", compileWall))
	defer cancel()
	cmd := exec.CommandContext(ctx, h.o.Compiler[0], append(h.o.Compiler[1:], dir)...) //nolint:gosec // this program itself
	cmd.Stdin = bytes.NewReader(metered)
	cmd.Env = append(os.Environ(), "GOMAXPROCS=1", fmt.Sprintf("GOMEMLIMIT=%d", compileResident*3/4))
	said := &tailBuffer{}
	cmd.Stderr = said
	lowPriority(cmd)
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("cannot start the process that compiles modules: %w", err)
	}
	grown := make(chan struct{})
	ended := make(chan struct{})
	go func() {
		defer close(grown)
		if watchResident(cmd.Process.Pid, ended) {
			_ = cmd.Process.Kill()
		}
	}()
	err := cmd.Wait()
	close(ended)
	<-grown
	if err == nil {
		return nil
	}
	if reason := strings.TrimSpace(said.String()); reason != "" {
		return fmt.Errorf("cannot compile the module: %s", reason)
	}
	if cause := context.Cause(ctx); cause != nil {
		return fmt.Errorf("cannot compile the module: %w", cause)
	}
	return fmt.Errorf("cannot compile the module: its compilation took too much time or memory and was ended (%w); make its functions smaller", err)
}

// CompileChild compiles the module on in into dir, under the limits of a process
// that does nothing else. It is what Options.Compiler calls.
func CompileChild(in io.Reader, dir string) error {
	if err := limitThisProcess(); err != nil {
		return fmt.Errorf("cannot limit the compiling process: %w", err)
	}
	metered, err := io.ReadAll(in)
	if err != nil {
		return fmt.Errorf("cannot read the module: %w", err)
	}
	return compileInto(context.Background(), metered, dir)
}

// compileInto compiles a metered module and leaves its machine code in dir.
func compileInto(ctx context.Context, metered []byte, dir string) (err error) {
	cache, err := wazero.NewCompilationCacheWithDir(dir)
	if err != nil {
		return fmt.Errorf("cannot open the cache of compiled modules: %w", err)
	}
	defer func() { err = errors.Join(err, cache.Close(ctx)) }()
	rt := wazero.NewRuntimeWithConfig(ctx, runtimeConfig(0).WithCompilationCache(cache))
	defer func() { err = errors.Join(err, rt.Close(ctx)) }()
	if _, err := rt.CompileModule(ctx, metered); err != nil {
		return fmt.Errorf("it is no valid module: %w", err)
	}
	return markCompiled(dir, digest(metered))
}

// runtimeConfig are the settings that both the compiling process and the agent
// use.
func runtimeConfig(pagesMax uint32) wazero.RuntimeConfig {
	c := wazero.NewRuntimeConfig().WithCoreFeatures(api.CoreFeaturesV2).WithCustomSections(false).
		WithDebugInfoEnabled(false).WithCloseOnContextDone(false)
	if pagesMax > 0 {
		c = c.WithMemoryLimitPages(pagesMax)
	}
	return c
}

// markCompiled notes the file of machine code that lies in dir, and the hash of
// what it was made from.
func markCompiled(dir, metered string) error {
	found, err := filepath.Glob(filepath.Join(dir, "*", "*"))
	if err != nil || len(found) != 1 {
		return fmt.Errorf("cannot find the compiled module: %d files in its folder, want 1", len(found))
	}
	sum, err := HashFile(found[0])
	if err != nil {
		return err
	}
	rel, err := filepath.Rel(dir, found[0])
	if err != nil {
		return fmt.Errorf("cannot name the compiled module: %w", err)
	}
	note, err := json.Marshal(compiled{File: rel, SHA256: sum, Metered: metered})
	if err != nil {
		return fmt.Errorf("cannot note the compiled module: %w", err)
	}
	if err := durable.WriteFile(durable.OS{}, filepath.Join(dir, markName()), note); err != nil {
		return fmt.Errorf("cannot note the compiled module: %w", err)
	}
	return nil
}

// checkCompiled returns the hash of what was compiled into dir. It fails unless
// dir holds machine code for this processor that is as the compiler left it.
func checkCompiled(dir string) (metered string, err error) {
	text, err := os.ReadFile(filepath.Join(dir, markName()))
	if err != nil {
		return "", fmt.Errorf("cannot read what was compiled: %w", err)
	}
	var c compiled
	if err := json.Unmarshal(text, &c); err != nil || !filepath.IsLocal(c.File) {
		return "", fmt.Errorf("cannot read what was compiled: its note is damaged")
	}
	sum, err := HashFile(filepath.Join(dir, c.File))
	if err != nil {
		return "", err
	}
	if sum != c.SHA256 {
		return "", fmt.Errorf("cannot use the compiled module: it was changed since it was compiled")
	}
	return c.Metered, nil
}

// markName names the note of what was compiled, for this kind of processor and this
// compiler: code for another one must not be taken for it.
func markName() string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%s %s %v %v", compilerVersion(), runtime.GOARCH, cpu.X86, cpu.ARM64))
	return "compiled-" + hex.EncodeToString(sum[:8]) + ".json"
}

// compilerVersion is the version of wazero in this program.
var compilerVersion = sync.OnceValue(func() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return ""
	}
	for _, dep := range info.Deps {
		if dep.Path == "github.com/tetratelabs/wazero" {
			return dep.Version
		}
	}
	return ""
})

// compiledMax is how many modules' machine code is kept: a version of a module that
// is not used any more leaves its own behind.
const compiledMax = 64

// dropCompiled removes the folders in dir of all modules but those used last.
func dropCompiled(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("cannot look for old compiled modules: %w", err)
	}
	used := map[string]time.Time{}
	entries = slices.DeleteFunc(entries, func(e os.DirEntry) bool {
		info, err := e.Info()
		if err == nil {
			used[e.Name()] = info.ModTime()
		}
		return err != nil || !e.IsDir() || len(e.Name()) != hex.EncodedLen(sha256.Size)
	})
	slices.SortFunc(entries, func(a, b os.DirEntry) int { return used[b.Name()].Compare(used[a.Name()]) })
	var failed []error
	for _, e := range entries[min(compiledMax, len(entries)):] {
		failed = append(failed, os.RemoveAll(filepath.Join(dir, e.Name())))
	}
	if err := errors.Join(failed...); err != nil {
		return fmt.Errorf("cannot remove old compiled modules: %w", err)
	}
	return nil
}

// HashFile returns the sha256 hash of a file, in hex digits.
func HashFile(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", fmt.Errorf("cannot hash %s: %w", path, err)
	}
	sum := sha256.New()
	_, err = io.Copy(sum, f)
	if err := errors.Join(err, f.Close()); err != nil {
		return "", fmt.Errorf("cannot hash %s: %w", path, err)
	}
	return hex.EncodeToString(sum.Sum(nil)), nil
}

// tailBuffer keeps the last bytes written to it.
type tailBuffer struct{ b []byte }

// Write implements io.Writer.
func (t *tailBuffer) Write(p []byte) (int, error) {
	t.b = append(t.b, p...)
	if n := len(t.b) - compileErrorMax; n > 0 {
		t.b = append(t.b[:0], t.b[n:]...)
	}
	return len(p), nil
}

func (t *tailBuffer) String() string { return string(t.b) }
