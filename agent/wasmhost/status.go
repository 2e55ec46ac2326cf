package wasmhost

import (
	"cmp"
	"slices"
	"time"
)

// Status is what there is to say about a module.
type Status struct {
	Pipeline string `json:"pipeline"`
	Stage    string `json:"stage"`
	Path     string `json:"path"`
	State    State  `json:"state"`
	// Reason says why it does not serve, or why its newest version does not.
	Reason string    `json:"reason,omitempty"`
	Since  time.Time `json:"since"`
	// RetryAt is when a broken module is tried next.
	RetryAt time.Time `json:"retry_at,omitzero"`
	// What serves: empty when nothing does.
	Name    string `json:"name,omitempty"`
	Version string `json:"version,omitempty"`
	SHA256  string `json:"sha256,omitempty"`
	// Loads counts the versions that have served.
	Loads int `json:"loads"`
	// Lines given to the module, and what became of them.
	Lines    int64 `json:"lines"`
	Parsed   int64 `json:"parsed"`
	NoMatch  int64 `json:"no_match"`
	Errors   int64 `json:"errors"`
	Dropped  int64 `json:"dropped"`
	Failed   int64 `json:"failed"`
	Bypassed int64 `json:"bypassed"`
	// Lost counts instances by the way they were lost.
	Lost map[string]int64 `json:"lost,omitempty"`
	// Metrics are the module's own.
	Metrics map[string]int64 `json:"metrics,omitempty"`
	// Nanoseconds that its batches took.
	Nanoseconds int64 `json:"nanoseconds"`
}

func statusOf(modules []*Module) []Status {
	out := make([]Status, 0, len(modules))
	for _, m := range modules {
		out = append(out, m.status())
	}
	slices.SortFunc(out, func(a, b Status) int {
		return cmp.Or(cmp.Compare(a.Pipeline, b.Pipeline), cmp.Compare(a.Stage, b.Stage))
	})
	return out
}

func (m *Module) status() Status {
	m.mu.Lock()
	defer m.mu.Unlock()
	c := m.spec.counters
	s := Status{
		Pipeline: m.spec.Pipeline, Stage: m.spec.Stage, Path: m.spec.Path, State: Serving, Since: m.since, Loads: m.loads,
		Lines: c.events.Load() + c.bypassed.Load(), Parsed: c.parsed.Load(), NoMatch: c.noMatch.Load(), Errors: c.erroneous.Load(),
		Dropped: c.dropped.Load(), Failed: c.failed.Load(), Bypassed: c.bypassed.Load(), Nanoseconds: c.nanos.Load(),
	}
	if m.reason != nil {
		s.Reason = m.reason.Error()
	}
	switch {
	case m.program == nil:
		s.State = Refused
		return s
	case m.open != nil:
		s.State, s.Reason, s.RetryAt = Broken, m.open.Error(), m.probeAt
	}
	s.Name, s.Version, s.SHA256 = m.program.Schema.Name, m.program.Schema.Version, m.program.SHA256
	for k := range faultKinds {
		if n := c.lost[k].Load(); n > 0 {
			if s.Lost == nil {
				s.Lost = map[string]int64{}
			}
			s.Lost[k.String()] = n
		}
	}
	for i, name := range m.program.Schema.Metrics {
		if s.Metrics == nil {
			s.Metrics = map[string]int64{}
		}
		s.Metrics[name] = c.own[i].Load()
	}
	return s
}

// serving is 1 while lines are parsed, for the gauge.
func (m *Module) serving() int64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.program != nil && m.open == nil {
		return 1
	}
	return 0
}
