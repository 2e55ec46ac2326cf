package config

import (
	"errors"
	"io"
	"testing"
)

// FuzzParse: whatever a file holds, Parse returns a File that can be dumped or
// faults that have a place, and never panics.
func FuzzParse(f *testing.F) {
	for _, seed := range []string{
		minimal, whole, "a: *a", "a: &a [*a]", "<<: {a: 1}", "? [a]\n: b", "- - -", "{", "a: !!str", "%YAML 1.2\n---\na", "&a a: *a",
		"version: ${env:X:-1}", "a: |\n  x\n b", "\"a\": 'b", "a:\n\t- b", "!!binary x: y", "<<: [*a, {b: c}]", "a: >-\n", "? \n", "pipelines: {a: {processors: [{type: noop}]}}",
	} {
		f.Add([]byte(seed))
	}
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, data []byte) {
		file, err := Parse("f.yaml", data, dir, testCatalog())
		if err == nil {
			if err := file.Dump(io.Discard); err != nil {
				t.Fatalf("cannot dump a valid file: %v", err)
			}
			for _, p := range file.Pipelines {
				_ = p.Hash()
			}
			return
		}
		var faults Faults
		if !errors.As(err, &faults) || len(faults) == 0 {
			t.Fatalf("the error is no list of faults: %v", err)
		}
		for _, fault := range faults {
			if fault.File == "" || fault.Problem == "" || fault.Line < 0 {
				t.Fatalf("a fault has no place or problem: %+v", fault)
			}
		}
	})
}
