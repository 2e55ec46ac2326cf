package wasmhost

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/wasmtail/wasmtail/internal/wasmbin"
)

// Verdict is what became of a check.
type Verdict string

// The verdicts. A note is for the author: the agent runs the module all the same.
const (
	RuleKept    Verdict = "ok"
	RuleBroken  Verdict = "FAIL"
	RuleNoted   Verdict = "note"
	RuleSkipped Verdict = "not applicable"
)

// Check is one rule of the contract and how a module keeps it.
type Check struct {
	Rule    string  `json:"rule"`  // a short name that stays the same
	About   string  `json:"about"` // what is to be so
	Verdict Verdict `json:"verdict"`
	Reason  string  `json:"reason,omitempty"`
}

// rule is a check that needs no running module, or one. The error is nil when the
// module keeps it, a *remark when there is more to say, and else what is broken.
type rule struct {
	name, about string
	check       func(*candidate) error
}

// remark is a verdict that is no break of the rule, with a reason.
type remark struct {
	verdict Verdict
	reason  string
}

func (r *remark) Error() string { return r.reason }

func skip(reason string) error { return &remark{RuleSkipped, reason} }

func note(format string, args ...any) error { return &remark{RuleNoted, fmt.Sprintf(format, args...)} }

// candidate is the module that is checked.
type candidate struct {
	*Trial
	h       *Host
	spec    Spec
	lines   [][]byte
	scanned *wasmbin.Module
	fileErr error    // why it could not be scanned
	loadErr error    // why it could not be started
	want    [][]byte // the rows of all lines at once, nil when there are none
}

// conformanceTime is how long a call may take here. How fast a module is says
// bench: a busy machine must not make it break a rule.
const conformanceTime = 5 * time.Second

// conformanceLines bounds what the rules work with: each runs all lines, and most
// do it twice.
const conformanceLines = 2000

// rules are all checks in their order: each may use what the ones before found.
var rules = []rule{
	{"file", "the file is a WebAssembly module within the limits", (*candidate).checkFile},
	{"imports", "it imports only functions that parsers are offered", (*candidate).checkImports},
	{"exports", "it exports the functions of the interface, with their types", (*candidate).checkExports},
	{"start", "it starts, gives room for the input and takes its configuration", (*candidate).checkStart},
	{"schema", "its schema has a name, a version, and fields with known types", (*candidate).checkSchema},
	{"whole", "it makes valid rows of all lines at once", (*candidate).checkWhole},
	{"lines", "one line a call gives the same rows", (*candidate).checkLines},
	{"splits", "batches of random sizes give the same rows", (*candidate).checkSplits},
	{"instance", "a second instance, line by line from its start, gives the same rows", (*candidate).checkInstance},
	{"retry", "the flag RETRY changes no row", (*candidate).checkRetry},
	{"flags", "flags of a batch that it does not know change no row", (*candidate).checkFlags},
	{"final", "with FINAL it takes every line in one call", (*candidate).checkFinal},
	{"progress", "it writes which line it is at", (*candidate).checkProgress},
	{"room", "with little room for values it gives lines back", (*candidate).checkRoom},
	{"many", "as many short lines as a call can have give the same rows", (*candidate).checkMany},
	{"config", "a nonsense configuration does not make it fail", (*candidate).checkConfig},
	{"empty", "empty lines do not make it fail", (*candidate).checkEmpty},
	{"long", "lines of the largest size do not make it fail", (*candidate).checkLong},
	{"bytes", "NUL and invalid UTF-8 do not make it fail", (*candidate).checkBytes},
	{"memory", "its memory is steady", (*candidate).checkMemory},
	{"capabilities", "it uses the capabilities that it declares", (*candidate).checkCapabilities},
}

// Conformance checks a module against the contract, with some lines that it is
// made for; without any, with a few built-in ones. There is one Check for each
// rule. A module that is refused has those that need it running not applicable.
func (h *Host) Conformance(ctx context.Context, s Spec, lines [][]byte) []Check {
	if len(lines) == 0 {
		lines = builtinLines
	}
	if s.Limits.Time == 0 {
		s.Limits.Time = conformanceTime
	}
	c := &candidate{h: h, spec: s, lines: lines[:min(len(lines), conformanceLines)]}
	c.load(ctx)
	if c.Trial != nil {
		defer c.Close()
	}
	checks := make([]Check, 0, len(rules))
	for i := range rules {
		r := &rules[i]
		check := Check{Rule: r.name, About: r.about, Verdict: RuleKept}
		err := ctx.Err()
		if err == nil {
			err = c.run(r)
		}
		var said *remark
		switch {
		case errors.As(err, &said):
			check.Verdict, check.Reason = said.verdict, said.reason
		case err != nil:
			check.Verdict, check.Reason = RuleBroken, err.Error()
		}
		checks = append(checks, check)
	}
	return checks
}

// load scans the module, and starts it if it can be.
func (c *candidate) load(ctx context.Context) {
	s := c.spec
	s.Limits = s.Limits.orDefault()
	bin, _, err := c.h.readModule(&s)
	if err == nil {
		c.scanned, err = wasmbin.Scan(bin, scanLimits(s.Limits))
	}
	if c.fileErr = err; err != nil || checkInterface(c.scanned) != nil {
		return
	}
	c.Trial, c.loadErr = c.h.tryRoomy(ctx, c.spec)
	if c.Trial != nil {
		c.stopClock()
	}
}

// run runs a rule, unless it needs what the module could not do.
func (c *candidate) run(r *rule) error {
	switch r.name {
	case "file":
	case "imports", "exports":
		if c.scanned == nil {
			return skip("the file cannot be read as a module")
		}
	case "start":
		if c.Trial == nil && c.loadErr == nil {
			return skip("the module is refused before it is started")
		}
	case "schema":
		if c.Trial == nil && !c.schemaIsWrong() {
			return skip("the module did not start")
		}
	default:
		if c.Trial == nil {
			return skip("the module did not start")
		}
	}
	return r.check(c)
}

func (c *candidate) checkFile() error { return c.fileErr }

func (c *candidate) checkImports() error {
	var problems []error
	for _, i := range c.scanned.Imports {
		if err := checkImport(i); err != nil {
			problems = append(problems, err)
		}
	}
	return errors.Join(problems...)
}

func (c *candidate) checkExports() error {
	m := *c.scanned
	m.Imports = nil
	return checkInterface(&m)
}

// schemaIsWrong reports whether the schema is why the module did not start.
func (c *candidate) schemaIsWrong() bool {
	return c.loadErr != nil && strings.Contains(c.loadErr.Error(), "its schema")
}

func (c *candidate) checkStart() error {
	if c.schemaIsWrong() {
		return nil // the next rule says so
	}
	return c.loadErr
}

func (c *candidate) checkSchema() error {
	if c.Trial == nil {
		return c.loadErr
	}
	if c.Schema.Version == "" {
		return errors.New("its schema has no version; operators tell modules apart by it")
	}
	var silent []string
	for _, f := range c.Schema.Fields {
		if f.Doc == "" {
			silent = append(silent, f.Name)
		}
	}
	if len(silent) > 0 {
		return note("its schema says nothing about the fields %s", strings.Join(silent, ", "))
	}
	return nil
}
