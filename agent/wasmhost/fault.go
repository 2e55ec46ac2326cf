package wasmhost

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// faultKind is a way in which a module fails a batch.
type faultKind uint8

const (
	faultTrap     faultKind = iota // it trapped or ended itself
	faultDeadline                  // it took too long
	faultStack                     // its calls did not end
	faultContract                  // it broke the contract
	faultGivenUp                   // it said it cannot
	faultFatal                     // it said it must not be called again
	faultStart                     // it could not be started again
	faultKinds
)

var faultNames = [faultKinds]string{"trap", "deadline", "stack", "contract", "given_up", "fatal", "start"}

func (k faultKind) String() string { return faultNames[k] }

// fault is the failure of a call. A module's lines never are one: those have a
// row that says so.
type fault struct {
	kind faultKind
	err  error
	// progress is the event the module says it was at.
	progress int
}

func (f *fault) Error() string { return f.err.Error() }
func (f *fault) Unwrap() error { return f.err }

// oneLine reports whether a single line can be to blame, so that the others are
// worth another try.
func (f *fault) oneLine() bool {
	return f.kind == faultTrap || f.kind == faultDeadline || f.kind == faultStack
}

func contract(format string, args ...any) *fault {
	return &fault{kind: faultContract, err: fmt.Errorf("it broke the contract: "+format, args...)}
}

// printable is what a module wrote, fit for a log and for a field: control
// characters and what is not UTF-8 are replaced.
func printable(p []byte) string {
	clean := func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}
	if utf8.Valid(p) {
		return strings.Map(clean, string(p))
	}
	return strings.Map(clean, strings.ToValidUTF8(string(p), "\uFFFD"))
}
