package wasmhost

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/wasmtail/wasmtail/internal/record"
)

// ErrHeld is returned by Parser.Process when the source must wait for the module
// and the agent is being stopped: the batch must be read again.
var ErrHeld = errors.New("held for a module that cannot serve")

// The breaker opens when a module costs too much, and lets one batch pass to see
// whether it has healed, at first after breakerMin, then each time after twice
// as long.
const (
	breakerLosses = 5
	breakerWindow = time.Minute
	breakerLines  = 1000
	breakerShare  = 5 // one in so many lines failed
	breakerMin    = 10 * time.Second
	breakerMax    = 5 * time.Minute
)

// State is what a module does at the moment.
type State string

const (
	// Serving means that lines are parsed.
	Serving State = "serving"
	// Refused means that no version may serve. The reason says why.
	Refused State = "refused"
	// Broken means that it failed too often. One batch is tried now and then.
	Broken State = "broken"
)

// Module is the place in a pipeline that a module file serves. Safe for
// concurrent use.
type Module struct {
	h    *Host
	spec *Spec

	mu      sync.Mutex
	program *Program // nil when there is none
	refs    map[*Program]int
	reason  error // why there is none, or why the newest version was refused
	since   time.Time
	loads   int          // versions that have served
	stamps  [2]fileStamp // the files when they were last read

	// The breaker.
	losses   []time.Time // the last of them
	lines    int64       // since the window of lines began
	failed   int64
	open     error     // why it is open, nil while it is closed
	probeAt  time.Time // when one batch may pass
	pause    time.Duration
	probing  bool
	lastLoss error
	trial    bool          // only its samples are tried: it has no breaker
	changed  chan struct{} // closed and renewed when the state changes
	closed   bool
	parsers  atomic.Int64 // that are not closed
}

// Module returns the module of a place, which all lanes share, and loads it the
// first time, or when s is not what it was: then both are in use until the
// parsers of the old one are closed. A module that cannot be loaded is no error:
// its lines pass raw, or are held, and a changed file is tried again. The error is
// that of making its metrics. A module whose last parser is closed is freed.
func (h *Host) Module(ctx context.Context, s Spec) (*Module, error) {
	s.Limits = s.Limits.orDefault()
	if s.Field == "" {
		s.Field = record.Content
	}
	h.mu.Lock()
	for _, m := range h.modules {
		if m.spec.same(&s) {
			h.mu.Unlock()
			return m, nil
		}
	}
	place := s.Pipeline + "/" + s.Stage
	c := h.counts[place]
	h.mu.Unlock()
	s.log = h.o.Log.WithField("pipeline", s.Pipeline).WithField("processor", s.Stage)
	s.logger = newGuestLog(s.log, h.o.Now)
	if c == nil {
		c = &counters{}
		if err := c.register(s.Pipeline, s.Stage, func() int64 { return h.serving(s.Pipeline, s.Stage) }); err != nil {
			return nil, fmt.Errorf("cannot make metrics of module %s: %w", s.Path, err)
		}
	}
	s.counters = c
	m := &Module{h: h, spec: &s, refs: map[*Program]int{}, changed: make(chan struct{}), since: h.o.Now()}
	m.reload(ctx)
	h.mu.Lock()
	h.counts[place] = c
	h.modules = append(h.modules, m)
	h.mu.Unlock()
	select {
	case h.changed <- struct{}{}:
	default:
	}
	return m, nil
}

// serving is 1 while a place's newest module parses lines, for the gauge.
func (h *Host) serving(pipeline, stage string) int64 {
	for _, m := range slices.Backward(h.list()) {
		if m.spec.Pipeline == pipeline && m.spec.Stage == stage {
			return m.serving()
		}
	}
	return 0
}

// drop frees a module whose last parser was closed.
func (h *Host) drop(m *Module) {
	h.mu.Lock()
	h.modules = slices.DeleteFunc(h.modules, func(other *Module) bool { return other == m })
	h.mu.Unlock()
	m.close()
}

// RefusedChange is the reason why the newest module of a place may not serve while
// one before it does; nil when there is no such place.
func (h *Host) RefusedChange() error {
	serves := map[string]bool{}
	for _, m := range h.list() {
		place := m.spec.Pipeline + "/" + m.spec.Stage
		if err := m.Refusal(); err == nil {
			serves[place] = true
		} else if serves[place] {
			return fmt.Errorf("%s of pipeline %s: %w", m.spec.Stage, m.spec.Pipeline, err)
		}
	}
	return nil
}

// Refusal says why the module has no version that may serve, nil when it has one.
func (m *Module) Refusal() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.program != nil {
		return nil
	}
	return m.reason
}

// trial is a module for a program that is only tried: it has no breaker, and does
// not own the program.
func (h *Host) trial(p *Program, s *Spec) *Module {
	return &Module{h: h, spec: s, program: p, changed: make(chan struct{}), trial: true}
}

// NewParser returns a parser for one lane. The lane closes it.
func (m *Module) NewParser() *Parser {
	m.parsers.Add(1)
	return &Parser{m: m}
}

// name is how messages call the module: as it calls itself, or by its file.
func (m *Module) name() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.program != nil {
		return m.program.Schema.Name
	}
	return filepath.Base(m.spec.Path)
}

// reload tries the module file. A version that fails leaves the old one serving.
func (m *Module) reload(ctx context.Context) {
	began, stamps := time.Now(), m.spec.stamps()
	p, err := m.h.load(ctx, m.spec)
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		if err == nil {
			p.close()
		}
		return
	}
	m.stamps = stamps
	m.since = m.h.o.Now()
	if err != nil {
		m.reason = err
		m.spec.counters.refused.Add(1)
		log := m.spec.log.WithError(err)
		if m.program != nil {
			log.Error("a new version of a module is refused; the old one goes on serving")
			return
		}
		log.Error("a module cannot serve; its lines " + m.fate())
		return
	}
	old := m.program
	m.program, m.reason, m.open = p, nil, nil
	m.refs[p]++
	m.losses, m.lines, m.failed, m.pause = nil, 0, 0, 0
	m.loads++
	m.dropRef(old)
	m.announce()
	m.spec.log.WithField("module", p.source).Infof("a module serves, loaded in %s", time.Since(began).Round(time.Millisecond))
}

// changedOnDisk reports whether the files are others than those last read.
func (m *Module) changedOnDisk() bool {
	now := m.spec.stamps()
	m.mu.Lock()
	defer m.mu.Unlock()
	return now != m.stamps
}

// fate says what happens to lines meanwhile.
func (m *Module) fate() string {
	if m.spec.Hold {
		return "wait in their files (on_module_error: hold)"
	}
	return "are kept raw (on_module_error: bypass)"
}

// announce wakes who waits for another state. m.mu is held.
func (m *Module) announce() {
	close(m.changed)
	m.changed = make(chan struct{})
}

// retain keeps a program from being freed until release.
func (m *Module) retain(p *Program) *Program {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.refs[p]++
	return p
}

func (m *Module) release(p *Program) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.dropRef(p)
}

// dropRef frees a program that nobody uses. m.mu is held.
func (m *Module) dropRef(p *Program) {
	if p == nil || m.trial {
		return
	}
	if m.refs[p]--; m.refs[p] <= 0 {
		delete(m.refs, p)
		p.close()
	}
}

func (m *Module) close() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.dropRef(m.program)
	m.program, m.closed = nil, true
	m.reason = errors.New("the agent is being stopped")
}

// verdict says what to do with a batch: give it to the program, or let it pass
// with a reason.
type verdict struct {
	program *Program
	bypass  error
}

// admit decides about a batch. With Hold it waits until the module serves, and
// returns ErrHeld when ctx ends before.
func (m *Module) admit(ctx context.Context) (verdict, error) {
	for {
		v, changed, wait := m.decide()
		if v.bypass == nil || !m.spec.Hold {
			return v, nil
		}
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return v, fmt.Errorf("%w: %w", ErrHeld, v.bypass)
		case <-changed:
		case <-timer.C:
		}
		timer.Stop()
	}
}

// decide returns the verdict of this moment, and when to ask again.
func (m *Module) decide() (v verdict, changed <-chan struct{}, wait time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	switch now := m.h.o.Now(); {
	case m.program == nil:
		return verdict{bypass: m.reason}, m.changed, time.Minute
	case m.open == nil:
		return verdict{program: m.program}, nil, 0
	case !m.probing && !now.Before(m.probeAt):
		m.probing = true
		return verdict{program: m.program}, nil, 0
	default:
		return verdict{bypass: m.open}, m.changed, max(time.Millisecond, m.probeAt.Sub(now))
	}
}

// lose counts an instance that was lost.
func (m *Module) lose(kind faultKind, why error) {
	m.spec.counters.lost[kind].Add(1)
	m.mu.Lock()
	defer m.mu.Unlock()
	now := m.h.o.Now()
	m.lastLoss = why
	m.losses = append(m.losses, now)
	if n := len(m.losses) - breakerLosses; n > 0 {
		m.losses = append(m.losses[:0], m.losses[n:]...)
	}
	if m.open == nil {
		m.spec.logger.fault(kind, why)
	}
	if len(m.losses) == breakerLosses && now.Sub(m.losses[0]) < breakerWindow {
		m.trip(fmt.Errorf("it failed %d times within %s, the last time because %w", breakerLosses, breakerWindow, why))
	}
}

// trip opens the breaker. m.mu is held.
func (m *Module) trip(why error) {
	if m.trial {
		return
	}
	m.pause = min(max(2*m.pause, breakerMin), breakerMax)
	m.probeAt = m.h.o.Now().Add(m.pause)
	m.probing = false
	m.losses = m.losses[:0]
	if m.open == nil {
		m.spec.log.WithError(why).Error("a module fails too often; its lines " + m.fate() + ", and it is tried now and then")
	}
	m.open, m.since = why, m.h.o.Now()
}

// settle counts a batch that was served. well says that it cost no instance.
func (m *Module) settle(lines int, well bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.open != nil && m.probing {
		m.probing = false
		if !well {
			m.trip(m.open)
			return
		}
		m.open, m.pause, m.since = nil, 0, m.h.o.Now()
		m.losses, m.lines, m.failed = m.losses[:0], 0, 0
		m.announce()
		m.spec.log.Info("a module has healed and serves again")
		return
	}
	failed := m.spec.counters.failed.Load()
	m.lines += int64(lines)
	if m.lines < breakerLines {
		return
	}
	if share := failed - m.failed; share*breakerShare > m.lines && m.open == nil {
		m.trip(fmt.Errorf("it failed %d of %d lines, the last time because %w", share, m.lines, m.lastLoss))
	}
	m.lines, m.failed = 0, failed
}

// retireFatal gives up a program that said it must not be called again.
func (m *Module) retireFatal(p *Program, why error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.program != p {
		return
	}
	m.program, m.since = nil, m.h.o.Now()
	m.reason = fmt.Errorf("module %s must not be called again: %w", p.source, why)
	m.spec.log.WithError(why).Error("a module asks not to be called again; its lines " + m.fate())
	m.dropRef(p)
}
