// Package wasmhost runs parser modules: WebAssembly that takes the lines of a
// pipeline apart.
//
// It promises that no module, however wrong or hostile, costs the agent more
// than a mark on a line: time, memory, output and log are bounded; a module
// that traps, lies or does not end is stopped and replaced; and every line comes
// out exactly once and in order, parsed by the module, or whole with the reason
// why not. It does not promise that a module's fields are right.
//
// A Host owns the compiled modules. A Module is one place in a pipeline that is
// served by a module file; it changes to a new file by itself. A Parser belongs
// to one lane of the pipeline and has an instance of its own, so that nothing is
// shared on the way of a batch. Modules get copies of lines; what comes back are
// references into the host's own bytes, which live in the batch's arena.
//
// Host.Run is the only work that goes on by itself. Each instance is called on a
// goroutine of its own, and loading a module has a second one while it lasts.
package wasmhost

import (
	"crypto/ed25519"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/sirupsen/logrus"
)

// Options are what a Host is made of.
type Options struct {
	// Dir keeps compiled modules. It must be this user's alone: what lies there
	// is run as machine code.
	Dir string
	// Compiler is the command line of a program that calls CompileChild, such as
	// this program with a hidden command: modules are compiled in a process that
	// can be killed. Without it they are compiled in this one, which is for tests
	// and for trying one's own modules.
	Compiler []string
	// SignedBy, if not empty, refuses modules without a signature by one of these
	// keys.
	SignedBy []ed25519.PublicKey
	// Now is the clock, time.Now if nil.
	Now func() time.Time
	Log logrus.FieldLogger
}

// Host owns the modules of all pipelines. Safe for concurrent use.
type Host struct {
	o Options

	mu      sync.Mutex
	modules []*Module            // in use, two of one place while it changes over
	counts  map[string]*counters // by place: they outlive its modules
	changed chan struct{}        // holds 1: modules was changed since Run looked
}

// Open returns a host that keeps compiled modules in o.Dir, which it creates: of the
// 64 that were used last.
func Open(o Options) (*Host, error) {
	if err := os.MkdirAll(o.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("cannot create the folder of compiled modules: %w", err)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if err := dropCompiled(o.Dir); err != nil {
		o.Log.WithError(err).Warn("the folder of compiled modules grows")
	}
	return &Host{o: o, counts: map[string]*counters{}, changed: make(chan struct{}, 1)}, nil
}

// Close frees all modules. Their parsers must have been closed.
func (h *Host) Close() {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, m := range h.modules {
		m.close()
	}
	h.modules = nil
}

// Status is the state of every module, by place.
func (h *Host) Status() []Status { return statusOf(h.list()) }
