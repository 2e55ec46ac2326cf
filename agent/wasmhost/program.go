package wasmhost

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/tetratelabs/wazero"

	"github.com/wasmtail/wasmtail/internal/wasmbin"
	"github.com/wasmtail/wasmtail/sdk/abi"
)

// Column is one field of a module's schema.
type Column struct {
	Name string `json:"name"`
	// Type is string, int, float, bool, bytes or json: what a reader may expect.
	Type string `json:"type"`
	Doc  string `json:"doc,omitempty"`
}

// Schema is what a module says about itself when it starts.
type Schema struct {
	Name    string   `json:"name"`
	Version string   `json:"version"`
	Fields  []Column `json:"fields"`
	Metrics []string `json:"metrics,omitempty"`
}

// Program is one version of a module, compiled and ready to be instantiated. It
// is immutable and safe for concurrent use until close.
type Program struct {
	// SHA256 of the module file, in hex digits.
	SHA256 string
	// Caps are the capabilities it declares, Schema what it says about itself.
	Caps   uint32
	Schema Schema

	spec    *Spec
	now     func() int64
	text    []byte // the schema as the module gave it: all instances must say the same
	columns [][]byte
	wanted  int // bytes of a batch the module asks for, 0 for any
	rt      wazero.Runtime
	cache   wazero.CompilationCache
	code    wazero.CompiledModule
	spare   chan *instance // holds the first instance until somebody needs one
	config  []byte
	source  string // "nginx 1.0.0 (1a2b3c4d)": how messages name it
}

// readModule reads a module file and checks who vouches for it.
func (h *Host) readModule(s *Spec) (bin []byte, sum string, err error) {
	f, err := os.Open(s.Path)
	if err != nil {
		return nil, "", fmt.Errorf("cannot open the module: %w", err)
	}
	bin, err = readAtMost(f, s.Limits.Module+1)
	if err := errors.Join(err, f.Close()); err != nil {
		return nil, "", fmt.Errorf("cannot read the module: %w", err)
	}
	if int64(len(bin)) > s.Limits.Module {
		return nil, "", fmt.Errorf("cannot use module %s: it is larger than %d bytes; raise limits.module if it must be", s.Path, s.Limits.Module)
	}
	raw := sha256.Sum256(bin)
	sum = hex.EncodeToString(raw[:])
	if s.SHA256 != "" && !strings.EqualFold(s.SHA256, sum) {
		return nil, sum, fmt.Errorf("cannot use module %s: its sha256 is %s, the configuration wants %s; deploy the module that was meant, or change sha256 when this one is", s.Path, sum, s.SHA256)
	}
	if err := h.checkSignature(s.Path, raw[:]); err != nil {
		return nil, sum, err
	}
	return bin, sum, nil
}

// readAtMost reads a file, at most limit bytes of it, into memory of its size.
func readAtMost(f *os.File, limit int64) ([]byte, error) {
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	b := bytes.NewBuffer(make([]byte, 0, min(info.Size(), limit)+bytes.MinRead))
	_, err = b.ReadFrom(io.LimitReader(f, limit))
	return b.Bytes(), err
}

// checkSignature looks for a signature of the module's hash, in the file beside
// it, by one of the trusted keys.
func (h *Host) checkSignature(path string, sum []byte) error {
	if len(h.o.SignedBy) == 0 {
		return nil
	}
	text, err := os.ReadFile(path + SignatureSuffix)
	if err != nil {
		return fmt.Errorf("cannot use module %s: only signed modules are allowed, and its signature cannot be read: %w; sign it with `wasmtail parser sign`", path, err)
	}
	signature, err := ParseSignature(text)
	if err != nil {
		return fmt.Errorf("cannot use module %s: %w", path, err)
	}
	for _, key := range h.o.SignedBy {
		if ed25519.Verify(key, signedText(sum), signature) {
			return nil
		}
	}
	return fmt.Errorf("cannot use module %s: none of the trusted keys signed this content; sign this version, or deploy the one that is signed", path)
}

// load reads, checks, compiles and tries the module of a spec.
func (h *Host) load(ctx context.Context, s *Spec) (*Program, error) {
	bin, sum, err := h.readModule(s)
	if err != nil {
		return nil, err
	}
	dir := filepath.Join(h.o.Dir, sum)
	ready := lookCompiled(dir) // beside the scan: nothing reads the code before both are done
	metered, err := prepare(bin, s.Limits)
	want := digest(metered)
	found := <-ready
	if err != nil {
		return nil, fmt.Errorf("cannot use module %s: %w", s.Path, err)
	}
	if found != want {
		if err := h.compile(ctx, metered, dir); err != nil {
			return nil, fmt.Errorf("cannot use module %s: %w", s.Path, err)
		}
	}
	_ = os.Chtimes(dir, time.Time{}, h.o.Now()) // else it may be made anew one day
	p := &Program{
		SHA256: sum, spec: s, now: func() int64 { return h.o.Now().UnixNano() }, config: s.Config,
		spare: make(chan *instance, 1),
	}
	if len(p.config) == 0 {
		p.config = []byte("{}")
	}
	p.source = fmt.Sprintf("%s (%.8s)", s.Path, sum)
	if err := p.build(ctx, metered, dir); err != nil {
		p.close()
		return nil, fmt.Errorf("cannot use module %s: %w", s.Path, err)
	}
	if err := h.prove(p); err != nil {
		p.close()
		return nil, fmt.Errorf("cannot use module %s: %w", s.Path, err)
	}
	return p, nil
}

// prepare checks a module's binary and adds the meter to it.
func prepare(bin []byte, l Limits) ([]byte, error) {
	m, err := wasmbin.Scan(bin, scanLimits(l))
	if err != nil {
		return nil, err
	}
	if err := checkInterface(m); err != nil {
		return nil, err
	}
	return m.Meter(wasmbin.MeterOptions{Slice: slice})
}

func scanLimits(l Limits) wasmbin.Limits {
	s := wasmbin.DefaultLimits()
	s.FileBytes = int(l.Module)
	s.MemoryPages = int(l.Memory / pageBytes)
	return s
}

// build makes the runtime of the program from what was compiled.
func (p *Program) build(ctx context.Context, metered []byte, dir string) (err error) {
	if p.cache, err = wazero.NewCompilationCacheWithDir(dir); err != nil {
		return fmt.Errorf("cannot open the cache of compiled modules: %w", err)
	}
	config := runtimeConfig(uint32(p.spec.Limits.Memory / pageBytes)).WithCompilationCache(p.cache)
	p.rt = wazero.NewRuntimeWithConfig(ctx, config)
	if err := addImports(ctx, p.rt); err != nil {
		return err
	}
	if p.code, err = p.rt.CompileModule(ctx, metered); err != nil {
		return fmt.Errorf("cannot load its machine code: %w", err)
	}
	return nil
}

// prove makes one instance, takes the schema from it, and lets it parse the
// samples. One that has seen no line is as good as new, and kept.
func (h *Host) prove(p *Program) error {
	in, err := p.instantiate()
	if err != nil {
		return err
	}
	if len(p.spec.Samples) == 0 {
		p.spare <- in
		return nil
	}
	defer in.close()
	return h.checkSamples(p, in)
}

// instance returns an instance that has seen no line.
func (p *Program) instance() (*instance, error) {
	select {
	case in := <-p.spare:
		return in, nil
	default:
		return p.instantiate()
	}
}

// learn takes what the first instance says about itself, and compares later ones
// with it.
func (p *Program) learn(caps uint32, wanted int, text []byte) error {
	if p.text != nil {
		if string(p.text) != string(text) || p.Caps != caps {
			return errors.New("its instances do not all have the same schema; a schema may depend on the configuration only")
		}
		return nil
	}
	if caps&^abi.CapsAll != 0 {
		return fmt.Errorf("it declares capabilities %#x that this agent does not know", caps&^abi.CapsAll)
	}
	if err := json.Unmarshal(text, &p.Schema); err != nil {
		return fmt.Errorf("its schema is no valid JSON: %w", err)
	}
	if err := p.Schema.check(); err != nil {
		return err
	}
	for _, c := range p.Schema.Fields {
		p.columns = append(p.columns, []byte(c.Name))
	}
	p.text, p.Caps, p.wanted = append([]byte{}, text...), caps, wanted
	p.source = fmt.Sprintf("%s %s (%.8s)", p.Schema.Name, p.Schema.Version, p.SHA256)
	return nil
}

func (s *Schema) check() error {
	if s.Name == "" || len(s.Name) > abi.NameBytesMax || !utf8.ValidString(s.Name) {
		return errors.New("its schema has no name")
	}
	if len(s.Fields) > abi.ColumnsMax {
		return fmt.Errorf("its schema has %d fields, at most %d are allowed; use dynamic keys for names that come from the data", len(s.Fields), abi.ColumnsMax)
	}
	if len(s.Metrics) > abi.MetricsMax {
		return fmt.Errorf("its schema has %d metrics, at most %d are allowed", len(s.Metrics), abi.MetricsMax)
	}
	seen := map[string]bool{}
	for _, c := range s.Fields {
		if err := checkName(c.Name); err != nil {
			return fmt.Errorf("field %q of its schema %w", c.Name, err)
		}
		if seen[c.Name] {
			return fmt.Errorf("its schema names field %q twice", c.Name)
		}
		seen[c.Name] = true
		switch c.Type {
		case "string", "int", "float", "bool", "bytes", "json":
		default:
			return fmt.Errorf("field %q of its schema has type %q; types are string, int, float, bool, bytes, json", c.Name, c.Type)
		}
	}
	return nil
}

// checkName says what is wrong with the name of a field that a module makes.
func checkName(name string) error {
	switch {
	case name == "":
		return errors.New("has no name")
	case len(name) > abi.NameBytesMax:
		return fmt.Errorf("has a name of more than %d bytes", abi.NameBytesMax)
	case strings.HasPrefix(name, "_"):
		return errors.New("begins with _, which is reserved")
	case !utf8.ValidString(name):
		return errors.New("has a name that is not UTF-8")
	}
	return nil
}

func (p *Program) close() {
	ctx := context.Background()
	select {
	case in := <-p.spare:
		in.close()
	default:
	}
	if p.rt != nil {
		_ = p.rt.Close(ctx) // frees the instances; there is nothing to say about it
	}
	if p.cache != nil {
		_ = p.cache.Close(ctx)
	}
}
