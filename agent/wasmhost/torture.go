package wasmhost

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"time"
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
	// Kind is fault for a trap, a deadline or a broken contract, and unsteady when
	// the same lines gave other rows.
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
	MemoryBefore int64          `json:"memory_before"`
	MemoryAfter  int64          `json:"memory_after"`

	round [][]byte // its lines
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

// Torture gives a module hostile lines: the same ones to one instance in batches
// of random sizes, and to another one by one. The error is for a module that
// cannot be tried at all; what it does wrong is in the report.
func (h *Host) Torture(ctx context.Context, o Torture) (*TortureReport, error) {
	if len(o.Lines) == 0 {
		o.Lines = builtinLines
	}
	random := rand.New(rand.NewPCG(o.Seed, 0)) //nolint:gosec // the same lines each time
	report, began := &TortureReport{Faults: []TortureFault{}}, time.Now()
	for report.Rounds == 0 || time.Since(began) < o.Time && len(report.Faults) < tortureFaultsMax {
		if err := ctx.Err(); err != nil {
			return report, fmt.Errorf("cannot go on with the trial: %w", err)
		}
		lines := hostileLines(random, o.Lines, o.Spec.Limits.orDefault().Line)
		if err := h.tortureRound(ctx, &o, random, report.add(lines)); err != nil {
			return report, err
		}
	}
	return report, nil
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

// add begins a round with some lines.
func (r *TortureReport) add(lines [][]byte) *TortureReport {
	r.Rounds, r.Lines, r.round = r.Rounds+1, r.Lines+len(lines), lines
	return r
}

// fault notes what went wrong.
func (r *TortureReport) fault(kind string, err error, lines [][]byte) {
	r.Faults = append(r.Faults, TortureFault{Kind: kind, Error: err.Error(), Lines: lines})
}

// tortureRound runs the lines of a round in two instances.
func (h *Host) tortureRound(ctx context.Context, o *Torture, random *rand.Rand, r *TortureReport) error {
	parts, err := h.Try(ctx, o.Spec)
	if err != nil {
		return err
	}
	defer parts.Close()
	single, err := h.Try(ctx, o.Spec)
	if err != nil {
		return err
	}
	defer single.Close()
	if _, err := single.Rows([][]byte{{}}, func(int) int { return 1 }); err == nil {
		r.MemoryBefore = max(r.MemoryBefore, single.memory())
	}
	want, err := parts.Rows(r.round, func(left int) int { return 1 + random.IntN(left) })
	if err != nil {
		return h.blame(ctx, o, r, err)
	}
	r.MemoryAfter = max(r.MemoryAfter, parts.memory())
	got, err := single.Rows(r.round, func(int) int { return 1 })
	if err != nil {
		return h.blame(ctx, o, r, err)
	}
	if err := sameRows(want, got); err != nil {
		r.fault("unsteady", fmt.Errorf("one line a batch gives other rows: %w", err), r.round)
	}
	for _, line := range r.round {
		if err := r.clock(single, line); err != nil {
			return h.blame(ctx, o, r, err)
		}
	}
	return nil
}

// clock takes the time of a line, the best of three so that a pause of the machine
// does not count. What is shorter than a word of text says nothing.
func (r *TortureReport) clock(t *Trial, line []byte) error {
	best := time.Duration(1<<63 - 1)
	for range 3 {
		began := time.Now()
		if _, err := t.Rows([][]byte{line}, func(int) int { return 1 }); err != nil {
			return err
		}
		best = min(best, time.Since(began))
	}
	if cost := float64(best.Nanoseconds()) / float64(len(line)+1); len(line) > 16 && cost > r.SlowestNanos {
		r.SlowestNanos, r.Slowest = cost, line
	}
	return nil
}

// blame looks for the one line that fails by itself.
func (h *Host) blame(ctx context.Context, o *Torture, r *TortureReport, why error) error {
	for _, line := range r.round {
		t, err := h.Try(ctx, o.Spec)
		if err != nil {
			return err
		}
		_, err = t.Rows([][]byte{line}, func(int) int { return 1 })
		t.Close()
		if err != nil {
			r.fault("fault", err, [][]byte{line})
			return nil
		}
	}
	r.fault("fault", why, r.round)
	return nil
}

// memory is how large the linear memory is, 0 when no instance runs.
func (t *Trial) memory() int64 {
	if t.parser.in == nil {
		return 0
	}
	return int64(t.parser.in.mem.Size())
}
