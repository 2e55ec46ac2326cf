// Package specimen makes what tests work on: the records that processors change,
// of which it shows what became and measures the work, and the groups that an
// agent sends to a hub.
//
// It is for tests only. It starts no goroutines.
package specimen

import (
	"context"
	"strings"
	"testing"

	"github.com/wasmtail/wasmtail/internal/config"
	"github.com/wasmtail/wasmtail/internal/record"
)

// Process is a processor's method of that name.
type Process func(ctx context.Context, b *record.Batch) error

// Add adds a record to b: the line, and its fields, each a name and a value.
func Add(b *record.Batch, line string, pairs ...string) *record.Record {
	r := b.Add([]byte(line))
	r.Size = int64(len(line)) + 1
	r.Fields = b.AllocFields(len(pairs) / 2)
	for i := 0; i < len(pairs); i += 2 {
		r.Fields = append(r.Fields, Field(pairs[i], pairs[i+1]))
	}
	return r
}

// Field returns a field.
func Field(name, value string) record.Field {
	return record.Field{Name: []byte(name), Value: []byte(value)}
}

// Show returns the fields of r as name=value|name=value.
func Show(r *record.Record) string {
	var s []string
	for _, f := range r.Fields {
		s = append(s, string(f.Name)+"="+string(f.Value))
	}
	return strings.Join(s, "|")
}

// Failed is what Show returns for a line that could not be parsed.
func Failed(line, reason string) string {
	return record.RawLog + "=" + line + "|" + record.Error + "=" + reason
}

// Settings reads the settings of a processor as a configuration file would hold
// them.
func Settings[C any](text string) (C, error) {
	file := "version: 1\noutputs: {out: {type: none}}\npipelines:\n  pipe:\n    input: {type: none}\n    outputs: [out]\n    processors:\n      - type: it\n" +
		"        " + strings.ReplaceAll(text, "\n", "\n        ") + "\n"
	none := func() any { return &struct{}{} }
	f, err := config.Parse("test.yaml", []byte(file), ".", config.Catalog{
		"input": {"none": none}, "output": {"none": none}, "processor": {"it": func() any { return new(C) }},
	})
	if err != nil {
		var none C
		return none, err
	}
	return *f.Pipelines["pipe"].Processors[0].Config.(*C), nil
}

// Make returns the processor that build, the New of its package, makes of the
// settings, where what is zero has its default.
func Make[P, C, I any](tb testing.TB, build func(C) (I, error), c C) P {
	tb.Helper()
	config.Defaults(&c)
	return made[P](tb, build, c)
}

// MakeOf is Make for settings as in a configuration file.
func MakeOf[P, C, I any](tb testing.TB, build func(C) (I, error), text string) P {
	tb.Helper()
	c, err := Settings[C](text)
	must(tb, err)
	return made[P](tb, build, c)
}

func made[P, C, I any](tb testing.TB, build func(C) (I, error), c C) P {
	tb.Helper()
	p, err := build(c)
	must(tb, err)
	return any(p).(P)
}

func must(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Error(err)
		tb.FailNow()
	}
}

// KeepsLine fails the test if r, a record made of the line, has failed and does
// not hold the line. It reports whether r has failed.
func KeepsLine(tb testing.TB, r *record.Record, line string) (failed bool) {
	tb.Helper()
	if r.Marks&record.Failed == 0 {
		return false
	}
	if v, _ := r.Field(record.RawLog); string(v) != line {
		tb.Errorf("a record that failed holds %q, want the line %q", v, line)
	}
	return true
}

// DoesNotAllocate fails the test if the work on batches that fill makes
// allocates once it is steady.
func DoesNotAllocate(t *testing.T, process Process, fill func(b *record.Batch)) {
	t.Helper()
	b := record.Get(&record.Origin{})
	defer b.Release()
	var err error
	run := func() {
		fill(b)
		err = process(t.Context(), b)
		b.Reset()
	}
	run()
	n := testing.AllocsPerRun(50, run)
	for range 4 { // what the runtime does meanwhile counts, too
		n = min(n, testing.AllocsPerRun(50, run))
	}
	if n != 0 {
		t.Errorf("processing a batch allocates %v times, want 0", n)
	}
	if err != nil {
		t.Error(err)
	}
}

// Measure runs the benchmark of a processor, on batches that fill makes.
func Measure(b *testing.B, process Process, fill func(b *record.Batch)) {
	b.Helper()
	batch := record.Get(&record.Origin{})
	defer batch.Release()
	fill(batch)
	size := 0
	for i := range batch.Records {
		size += len(batch.Records[i].Raw)
	}
	b.SetBytes(int64(size))
	b.ReportAllocs()
	for b.Loop() {
		b.StopTimer()
		batch.Reset()
		fill(batch)
		b.StartTimer()
		if err := process(b.Context(), batch); err != nil {
			b.Error(err)
		}
	}
}
