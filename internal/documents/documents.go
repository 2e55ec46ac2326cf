// Package documents makes the documents that are written from the code: the
// reference of the configuration, those of the metrics and of the log formats, and
// those of the interface and of the limits of parser modules.
//
// It promises that the same sources give the same bytes. It needs the source
// files, so it is a tool for developers; the programs do not use it when they
// run. It starts no goroutines.
package documents

import (
	"bytes"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"github.com/wasmtail/wasmtail/internal/config"
	"github.com/wasmtail/wasmtail/internal/config/configdoc"
)

// Generate returns the documents by their paths below srcRoot, the root of the
// module's sources.
func Generate(cat config.Catalog, srcRoot string) (map[string][]byte, error) {
	markdown, schema, err := configdoc.Generate(cat, srcRoot)
	if err != nil {
		return nil, err
	}
	modules, err := abi(srcRoot)
	if err != nil {
		return nil, err
	}
	bounds, err := limits(srcRoot)
	if err != nil {
		return nil, err
	}
	kinds, err := formatsPage(srcRoot)
	if err != nil {
		return nil, err
	}
	return map[string][]byte{
		FormatsPath:            kinds,
		LimitsPath:             bounds,
		ABIPath:                append(modules, '\n'),
		configdoc.MarkdownPath: markdown,
		configdoc.SchemaPath:   schema,
		MetricsPath:            metrics(),
	}, nil
}

// Write generates the documents and puts them in their files.
func Write(cat config.Catalog, srcRoot string) error {
	documents, err := Generate(cat, srcRoot)
	if err != nil {
		return err
	}
	for name, text := range documents {
		path := filepath.Join(srcRoot, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
			return fmt.Errorf("cannot write %s: %w", name, err)
		}
		if err := os.WriteFile(path, text, 0o644); err != nil { //nolint:gosec // Documentation is for everyone to read.
			return fmt.Errorf("cannot write %s: %w", name, err)
		}
	}
	return nil
}

// Check is an error when the files are not what Generate returns now.
func Check(cat config.Catalog, srcRoot string) error {
	documents, err := Generate(cat, srcRoot)
	if err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(documents)) {
		got, err := os.ReadFile(filepath.Join(srcRoot, filepath.FromSlash(name)))
		if err != nil {
			return fmt.Errorf("cannot compare the documents: %w", err)
		}
		if !bytes.Equal(got, documents[name]) {
			return fmt.Errorf("%s is not what the sources say: run `make generate`", name)
		}
	}
	return nil
}
