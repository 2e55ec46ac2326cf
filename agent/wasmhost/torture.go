package wasmhost

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/wasmtail/wasmtail/sdk/abi"
)

// Torture says how a module is to be tried with hostile lines.
type Torture struct {
	Spec  Spec
	Lines [][]byte      // what lines are made from; nil for a few built-in ones
	Seed  uint64        // the same seed gives the same lines
	Time  time.Duration // rounds begin until then; one is always run
}

// TortureFault is something that a module must not do.
type TortureFault struct {
	// Kind is fault for a trap, a deadline or a broken contract, unsteady when the
	// same lines gave other rows, and memory when it grows without end.
	Kind  string   `json:"kind"`
	Error string   `json:"error"`
	Lines [][]byte `json:"lines"` // one when it alone is to blame
}

// TortureReport is what came of it.
type TortureReport struct {
	Rounds       int            `json:"rounds"`
	Lines        int            `json:"lines"`
	Faults       []TortureFault `json:"faults"`
	SlowestNanos float64        `json:"slowest_ns_per_byte"`
	Slowest      []byte         `json:"slowest"`
	// MemoryBefore is what an instance has after an empty line, MemoryAfter the most
	// of one that ran a round, and MemoryLong what the one has that ran all rounds.
	MemoryBefore int64 `json:"memory_before"`
	MemoryAfter  int64 `json:"memory_after"`
	MemoryLong   int64 `json:"memory_long"`

	round [][]byte // its lines
}

// torturer is a trial that goes on.
type torturer struct {
	*TortureReport
	random *rand.Rand
	trial  *Trial // has a new instance for each way of a round
	long   *Trial // keeps its instance
	sizes  []int64
	top    int64 // of memory: then an agent replaces the instance
}

const (
	tortureLines     = 32 // of a round
	tortureFaultsMax = 8  // then it ends: the rest is more of the same
)

// builtinLines are made lines from when there are none.
var builtinLines = [][]byte{
	[]byte(`2026-01-02T03:04:05Z INFO the shop is open`),
	[]byte(`{"time":"2026-01-02T03:04:05Z","level":"info","msg":"a \"quote\"","n":[1,2.5e3,null]}`),
	[]byte(`203.0.113.7 - - [10/Oct/2023:13:55:36 +0000] "GET / HTTP/1.1" 200 5316 "-" "curl/8.4.0"`),
	[]byte(`time=2026-01-02T03:04:05Z level=warn msg="two words" n=42`),
}

// Torture gives a module hostile lines: the same ones to two instances in batches
// of the same random sizes, with the flag RETRY, one by one, and to an instance
// that runs all rounds. The error is for a module that cannot be tried at all;
// what it does wrong is in the report.
func (h *Host) Torture(ctx context.Context, o Torture) (*TortureReport, error) {
	if len(o.Lines) == 0 {
		o.Lines = builtinLines
	}
	report, began := &TortureReport{Faults: []TortureFault{}}, time.Now()
	trial, err := h.tryRoomy(ctx, o.Spec)
	if err != nil {
		return report, err
	}
	defer trial.Close()
	trial.stopClock()
	limits := o.Spec.Limits.orDefault()
	t := &torturer{TortureReport: report, trial: trial, long: trial.twin(), top: limits.Memory / 4 * 3}
	defer t.long.restart()
	t.random = rand.New(rand.NewPCG(o.Seed, 0)) //nolint:gosec // the same lines each time
	for t.Rounds == 0 || time.Since(began) < o.Time && len(t.Faults) < tortureFaultsMax {
		if err := ctx.Err(); err != nil {
			return report, fmt.Errorf("cannot go on with the trial: %w", err)
		}
		t.round = hostileLines(t.random, o.Lines, limits.Line)
		t.Rounds, t.Lines = t.Rounds+1, t.Lines+len(t.round)
		t.runRound()
	}
	if growsWithoutEnd(t.sizes) {
		t.fault("memory", fmt.Errorf("the memory of an instance grew from %d to %d bytes in %d rounds, and did not stop; set aside what a batch needs once, and use it again", t.sizes[0], t.MemoryLong, t.Rounds), t.round)
	}
	return report, nil
}

// roundBytes holds the lines of a round.
const roundBytes = 4 << 20

// tryRoomy is Try with calls that can have a whole round, if the module joins
// lines: what it joins would else end where a call does, and so depend on how the
// lines are cut into batches.
func (h *Host) tryRoomy(ctx context.Context, s Spec) (*Trial, error) {
	t, err := h.Try(ctx, s)
	if err != nil || t.program.Caps&abi.CapJoin == 0 || s.Limits.Batch != 0 {
		return t, err
	}
	t.Close()
	s.Limits.Batch = roundBytes
	return h.Try(ctx, s)
}

// hostileLines makes the lines of a round.
func hostileLines(random *rand.Rand, from [][]byte, lineMax int) [][]byte {
	lines := [][]byte{{}, {0}, {0xff, 0xfe, 0xc0, 0x80}, bytes.Repeat([]byte{' '}, 4096)}
	if random.IntN(4) == 0 {
		seed := append(bytes.Clone(from[random.IntN(len(from))]), ' ')
		lines = append(lines, bytes.Repeat(seed, lineMax/len(seed)+1)[:lineMax])
	}
	for len(lines) < tortureLines {
		lines = append(lines, mutate(random, from))
	}
	random.Shuffle(len(lines), func(i, j int) { lines[i], lines[j] = lines[j], lines[i] })
	return lines
}

// mutate makes a line of others. No line has a line break.
func mutate(random *rand.Rand, from [][]byte) []byte {
	line := bytes.Clone(from[random.IntN(len(from))])
	line = line[:min(len(line), 64<<10)]
	for range random.IntN(4) {
		if len(line) == 0 {
			break
		}
		at := random.IntN(len(line))
		switch random.IntN(5) {
		case 0:
			line = line[:at]
		case 1:
			line[at] = byte(random.IntN(256))
		case 2:
			line = append(line[:at:at], line[at+1:]...)
		case 3:
			line = append(line[:at:at], append([]byte{line[at]}, line[at:]...)...)
		case 4:
			other := from[random.IntN(len(from))]
			line = append(line[:at:at], other[random.IntN(len(other)+1):]...)
		}
	}
	return bytes.ReplaceAll(line, []byte("\n"), []byte(" "))
}

// fault notes what went wrong.
func (r *TortureReport) fault(kind string, err error, lines [][]byte) {
	r.Faults = append(r.Faults, TortureFault{Kind: kind, Error: err.Error(), Lines: lines})
}

// runRound runs the lines of a round in each way.
func (t *torturer) runRound() {
	t.trial.restart()
	if _, err := t.trial.Rows([][]byte{{}}, single); err == nil {
		t.MemoryBefore = max(t.MemoryBefore, t.trial.memory())
	}
	seed := t.random.Uint64()
	splits := func() func(int) int {
		random := rand.New(rand.NewPCG(seed, 0)) //nolint:gosec // the same sizes each time
		return func(left int) int { return 1 + random.IntN(left) }
	}
	t.trial.restart()
	want, err := t.trial.Rows(t.round, splits())
	if err != nil {
		t.blame(err)
		return
	}
	t.MemoryAfter = max(t.MemoryAfter, t.trial.memory())
	t.runLong(want, splits())
	t.trial.restart()
	t.compare("a second instance", want, splits(), 0)
	t.compare("the flag RETRY", want, splits(), abi.FlagRetry)
	t.trial.restart()
	t.compare("one line a batch", want, single, 0)
	for _, line := range t.round {
		if err := t.clock(line); err != nil {
			t.blame(err)
			return
		}
	}
}

// compare runs the lines of the round in another way.
func (t *torturer) compare(way string, want [][]byte, sizes func(int) int, flags uint32) {
	t.trial.flags = flags
	got, err := t.trial.Rows(t.round, sizes)
	t.trial.flags = 0
	if err != nil {
		t.blame(fmt.Errorf("%s: %w", way, err))
		return
	}
	if err := sameRows(want, got); err != nil {
		t.fault("unsteady", fmt.Errorf("%s gives other rows: %w", way, err), t.round)
	}
}

// runLong lets the instance that runs all rounds have the lines, and looks at its
// memory. One that an agent would replace is replaced here too.
func (t *torturer) runLong(want [][]byte, sizes func(int) int) {
	got, err := t.long.Rows(t.round, sizes)
	if err != nil {
		t.blame(fmt.Errorf("in round %d of one instance: %w", t.Rounds, err))
		return
	}
	if err := sameRows(want, got); err != nil {
		t.fault("unsteady", fmt.Errorf("an instance that has run %d rounds gives other rows: %w", t.Rounds, err), t.round)
	}
	t.MemoryLong = t.long.memory()
	t.sizes = append(t.sizes, t.MemoryLong)
	if t.MemoryLong > t.top {
		t.fault("memory", fmt.Errorf("the memory of an instance has %d bytes after %d rounds, and an agent replaces it at %d; set aside what a batch needs once, and use it again", t.MemoryLong, t.Rounds, t.top), t.round)
		t.long.restart()
	}
}

// growsWithoutEnd reports whether sizes of memory go up in each of their quarters
// after the first. A few sizes say nothing.
func growsWithoutEnd(sizes []int64) bool {
	n := len(sizes) / 4
	if n < 4 {
		return false
	}
	return sizes[n-1] < sizes[2*n-1] && sizes[2*n-1] < sizes[3*n-1] && sizes[3*n-1] < sizes[4*n-1]
}

// clock takes the time of a line, the best of three so that a pause of the machine
// does not count. What is shorter than a word of text says nothing.
func (t *torturer) clock(line []byte) error {
	best := time.Duration(1<<63 - 1)
	for range 3 {
		began := time.Now()
		if _, err := t.trial.Rows([][]byte{line}, single); err != nil {
			return err
		}
		best = min(best, time.Since(began))
	}
	if cost := float64(best.Nanoseconds()) / float64(len(line)+1); len(line) > 16 && cost > t.SlowestNanos {
		t.SlowestNanos, t.Slowest = cost, line
	}
	return nil
}

// blame looks for the one line that fails by itself, in a new instance.
func (t *torturer) blame(why error) {
	for _, line := range t.round {
		t.trial.restart()
		if _, err := t.trial.Rows([][]byte{line}, single); err != nil {
			t.fault("fault", err, [][]byte{line})
			return
		}
	}
	t.fault("fault", why, t.round)
}

// memory is how large the linear memory is, 0 when no instance runs.
func (t *Trial) memory() int64 {
	if t.parser.in == nil {
		return 0
	}
	return int64(t.parser.in.mem.Size())
}
