package wasmhost

import (
	"errors"
	"fmt"
	"reflect"
	"slices"

	"github.com/sirupsen/logrus"

	"github.com/wasmtail/wasmtail/internal/record"
)

// Spec describes the module of one place in a pipeline.
type Spec struct {
	// Pipeline and Stage name the place, such as "nginx" and "wasm#1".
	Pipeline, Stage string
	// Path is the module file. When it changes, the new version takes over.
	Path string
	// SHA256 is what the file must hash to, in hex digits; empty for any content.
	SHA256 string
	// Config is the module's configuration, a JSON value; empty for {}.
	Config []byte
	Limits Limits
	// Field is the name of the field that is handed to the module, and KeepSource
	// keeps it beside what the module makes of it.
	Field      string
	KeepSource bool
	// Routes are the log stores that the module may send records to, with their
	// record.Record.Route.
	Routes map[string]uint8
	// DeadLetter is the route of lines that were not parsed, 0 to leave them in
	// their place. KeepFailed sends them to both.
	DeadLetter uint8
	KeepFailed bool
	// Tables are what the module may look up, in the order of its numbers.
	Tables []*Table
	// Samples are lines that a version must parse before it may serve.
	Samples []Sample
	// Hold stops the source when the module cannot serve, instead of letting lines
	// pass raw.
	Hold bool

	log      logrus.FieldLogger
	logger   *guestLog
	counters *counters
}

// same reports whether two specs ask for the same.
func (s *Spec) same(other *Spec) bool {
	a, b := *s, *other
	if !slices.EqualFunc(a.Tables, b.Tables, func(x, y *Table) bool { return x.Name == y.Name && x.Path == y.Path }) {
		return false
	}
	for _, c := range []*Spec{&a, &b} {
		c.Tables, c.log, c.logger, c.counters = nil, nil, nil, nil
	}
	return reflect.DeepEqual(a, b)
}

// Sample is a line and what the module must make of it.
type Sample struct {
	Line string
	// Fields must be there with these values; others may be there too.
	Fields map[string]string
}

// checkSamples lets an instance parse the samples. What it costs is not counted.
func (h *Host) checkSamples(p *Program, in *instance) error {
	trial := *p.spec
	trial.counters, trial.DeadLetter = &counters{}, 0
	m := h.trial(p, &trial)
	parser := &Parser{m: m, in: in, program: p}
	defer func() { parser.in = nil }()
	for i, s := range p.spec.Samples {
		b := record.Get(&record.Origin{Path: "sample", Source: ^uint64(0), Ledger: &record.Ledger{}})
		b.Add([]byte(s.Line)).Size = int64(len(s.Line))
		parser.try(b)
		err := s.compare(b)
		b.Release()
		if err != nil {
			return fmt.Errorf("sample %d of the configuration does not come out as it says: %w", i+1, err)
		}
		if parser.in != in {
			return fmt.Errorf("sample %d of the configuration makes it fail: %w", i+1, m.lastLoss)
		}
	}
	return nil
}

// compare reports how a parsed sample differs from what it should be.
func (s *Sample) compare(b *record.Batch) error {
	if len(b.Records) == 0 {
		if len(s.Fields) == 0 {
			return nil // dropped, as one may want
		}
		return errors.New("the line was dropped")
	}
	r := &b.Records[0]
	if r.Marks&record.Failed != 0 && len(s.Fields) > 0 {
		reason, _ := r.Field(record.Error)
		return fmt.Errorf("the line was not parsed: %s", reason)
	}
	for name, want := range s.Fields {
		if got, at := r.Field(name); at < 0 {
			return fmt.Errorf("field %s is missing, want %q", name, want)
		} else if string(got) != want {
			return fmt.Errorf("field %s is %q, want %q", name, got, want)
		}
	}
	return nil
}
