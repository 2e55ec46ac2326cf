package wasmbin

import (
	"fmt"
	"strings"
)

// Refusal is why Scan did not accept a module, and the only type of error Scan
// returns for its bytes.
type Refusal struct {
	// Section is the section of the binary with the fault, such as "code", or
	// empty where the fault lies in the whole.
	Section string
	// Function is the index of the function with the fault, imported functions
	// counted first, as disassemblers count them. It is -1 elsewhere.
	Function int
	// FunctionName is the name of that function by the name section, or else by
	// the exports. It is empty where neither knows it.
	FunctionName string
	// Offset is the place in the file, in bytes.
	Offset int
	// Problem says what is wrong, and for a limit how much there is and how much
	// may be.
	Problem string
	// Remedy says what to do about it.
	Remedy string
}

func (r *Refusal) Error() string {
	var b strings.Builder
	b.WriteString("cannot use the WebAssembly module: ")
	b.WriteString(r.Problem)
	switch {
	case r.Function >= 0 && r.FunctionName != "":
		fmt.Fprintf(&b, " (function %d %q, offset %#x)", r.Function, r.FunctionName, r.Offset)
	case r.Function >= 0:
		fmt.Fprintf(&b, " (function %d, offset %#x)", r.Function, r.Offset)
	case r.Section != "":
		fmt.Fprintf(&b, " (%s section, offset %#x)", r.Section, r.Offset)
	}
	b.WriteString("; ")
	b.WriteString(r.Remedy)
	return b.String()
}

// What to do about the kinds of problems that occur in several places.
const (
	remedyDamaged = "the file is damaged or was not written by a compiler: build it again"
	remedyFeature = "build it for the WebAssembly core specification 2.0, without this feature"
	remedyLimit   = "make the module smaller: build it with optimisation, and split functions made by generators"
)
