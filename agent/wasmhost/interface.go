package wasmhost

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/wasmtail/wasmtail/internal/wasmbin"
	"github.com/wasmtail/wasmtail/sdk/abi"
)

// signatures of the exports that a module must or may have.
var signatures = []struct {
	name     string
	required bool
	params   int // all i32
	results  int // all i32
}{
	{abi.ExportABI, true, 0, 1},
	{abi.ExportAlloc, true, 1, 1},
	{abi.ExportInit, true, 2, 1},
	{abi.ExportProcess, true, 2, 1},
	{abi.ExportInitialize, false, 0, 0},
	{abi.ExportClose, false, 0, 0},
}

// checkInterface reports what a scanned module lacks to be a parser, or wants
// that the host does not offer.
func checkInterface(m *wasmbin.Module) error {
	if err := checkMajor(m); err != nil {
		return err
	}
	var problems []string
	for _, s := range signatures {
		e, ok := m.Export(s.name)
		if !ok {
			if s.required {
				problems = append(problems, fmt.Sprintf("it does not export %s", s.name))
			}
			continue
		}
		if e.Kind != wasmbin.KindFunction || !onlyI32(e.Signature.Params, s.params) || !onlyI32(e.Signature.Results, s.results) {
			problems = append(problems, fmt.Sprintf("its export %s is not a function of %d i32 with %d results", s.name, s.params, s.results))
		}
	}
	for _, imp := range m.Imports {
		if err := checkImport(imp); err != nil {
			problems = append(problems, err.Error())
		}
	}
	if len(problems) > 0 {
		return errors.New(strings.Join(problems, "; "))
	}
	return nil
}

// checkMajor looks for the version of the interface in the exports' names.
func checkMajor(m *wasmbin.Module) error {
	if _, ok := m.Export(abi.ExportABI); ok {
		return nil
	}
	prefix := strings.TrimSuffix(abi.ExportABI, strconv.Itoa(abi.Version))
	for _, e := range m.Exports {
		if major, ok := strings.CutPrefix(e.Name, prefix); ok {
			return fmt.Errorf("it needs ABI %s, this agent has ABI %d; update the agent, or build the module with an older SDK", major, abi.Version)
		}
	}
	return fmt.Errorf("it is no parser module: it does not export %s; build it with the SDK, see `wasmtail parser init`", abi.ExportABI)
}

func onlyI32(types []wasmbin.ValueType, n int) bool {
	return len(types) == n && !slices.ContainsFunc(types, func(t wasmbin.ValueType) bool { return t != wasmbin.I32 })
}

func checkImport(imp wasmbin.Import) error {
	where := imp.Module + "." + imp.Name
	if imp.Kind != wasmbin.KindFunction {
		return fmt.Errorf("it imports the %s %s; only functions can be imported", imp.Kind, where)
	}
	for i := range hostFunctions {
		f := &hostFunctions[i]
		if f.module != imp.Module || f.name != imp.Name {
			continue
		}
		if want := f.signature(); imp.Signature.String() != want.String() {
			return fmt.Errorf("it imports %s as %s; it is %s", where, imp.Signature, want)
		}
		return nil
	}
	return fmt.Errorf("it imports %s, which parsers do not have: they have no files, network, clock or environment", where)
}
