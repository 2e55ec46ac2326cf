package plugins

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wasmtail/wasmtail/agent"
	"github.com/wasmtail/wasmtail/agent/pipeline"
	"github.com/wasmtail/wasmtail/internal/config"
	"github.com/wasmtail/wasmtail/internal/formats"
	"github.com/wasmtail/wasmtail/internal/record"
	"github.com/wasmtail/wasmtail/internal/specimen"
)

var costs = flag.Bool("costs", false, "write anew what a record of each format costs, as BenchmarkFormats measures it")

var update = flag.Bool("update", false, "write the golden records anew: read them before you keep them")

func TestMain(m *testing.M) {
	flag.Parse()
	time.Local = time.UTC // samples without a zone mean the same everywhere
	os.Exit(m.Run())
}

// readTime is when the samples are read: the year of those without one.
var readTime = time.Date(2026, 3, 12, 18, 0, 0, 0, time.UTC)

// trial is a format with its input and processors, as a pipeline has them.
type trial struct {
	input  any
	stages []pipeline.Stage
}

func newTrial(t testing.TB, name string) trial {
	t.Helper()
	text := "version: 1\noutputs: {out: {type: stdout}}\npipelines:\n  main: {input: {type: files, include: [/x]}, outputs: [out], format: " + name + "}\n"
	file, err := config.Parse(name, []byte(text), "/", Standard().Catalog())
	require.NoError(t, err)
	p := file.Pipelines["main"]
	stages, err := Standard().Stages(&p, agent.ProcessorEnv{Context: t.Context()})
	require.NoError(t, err)
	return trial{p.Input.Config, stages}
}

// each makes the records of text and lends them to f, one after another.
func (tr trial) each(t testing.TB, text string, f func(*record.Record)) {
	t.Helper()
	require.NoError(t, Standard().Inputs["files"].Once(tr.input, strings.NewReader(text), func(b *record.Batch) error {
		defer b.Release()
		b.ReadTime = readTime.UnixNano()
		require.NoError(t, tr.process(t.Context(), b))
		for i := range b.Records {
			f(&b.Records[i])
		}
		return nil
	}))
}

// golden is a record in a golden file: its fields stay in their order.
func golden(r *record.Record) string {
	var b strings.Builder
	quote := func(text []byte) {
		var q bytes.Buffer
		e := json.NewEncoder(&q)
		e.SetEscapeHTML(false)
		_ = e.Encode(string(text)) // a text always has a JSON form
		b.Write(bytes.TrimSuffix(q.Bytes(), []byte("\n")))
	}
	b.WriteString("{\n")
	if r.Time != 0 {
		fmt.Fprintf(&b, "  \"(time)\": %q,\n", time.Unix(0, r.Time).UTC().Format(time.RFC3339Nano))
	}
	for i, f := range r.Fields {
		b.WriteString("  ")
		quote(f.Name)
		b.WriteString(": ")
		quote(f.Value)
		if i < len(r.Fields)-1 {
			b.WriteByte(',')
		}
		b.WriteByte('\n')
	}
	b.WriteString("}\n")
	return b.String()
}

// untimed are the formats whose lines have no time that can be relied on.
var untimed = []string{"json", "logfmt", "java_exception", "python_traceback", "go_panic", "node_exception", "dotnet_exception", "python_basic"}

// TestFormats_MakeTheirGoldenRecords runs the sample of each format through the
// processors that it names.
func TestFormats_MakeTheirGoldenRecords(t *testing.T) {
	for _, f := range formats.Catalogue() {
		t.Run(f.Name, func(t *testing.T) {
			var got strings.Builder
			timed := 0
			newTrial(t, f.Name).each(t, f.Sample, func(r *record.Record) {
				require.Zero(t, r.Marks&record.Failed, "%s", golden(r))
				got.WriteString(golden(r))
				if r.Time != 0 {
					timed++
				}
			})
			require.Equal(t, !slices.Contains(untimed, f.Name), timed > 0, "whether the records have a time")
			path := filepath.Join("testdata", "formats", f.Name+".golden")
			if *update {
				require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
				require.NoError(t, os.WriteFile(path, []byte(got.String()), 0o644))
			}
			want, err := os.ReadFile(path)
			require.NoError(t, err)
			require.Equal(t, string(want), got.String())
		})
	}
}

// TestFormats_FailWhatIsAnothers has lines that a format must not take apart, and
// say why.
func TestFormats_FailWhatIsAnothers(t *testing.T) {
	for _, c := range []struct{ format, line, reason string }{
		{"iis", "2026-03-12 08:15:02 /cart", "w3c: no #Fields line before this one names its columns"},
		{"leef", "LEEF:2.0|Example|Wall|1.2|login|^^|src=192.0.2.7^^cat=auth", "leef: not a LEEF line, or its delimiter is neither one character nor the hexadecimal number of one"},
		{"nginx_access", "hello", "regex: no match"},
		{"postgresql", "2026-03-12 08:15:02.123 XYZ [812] LOG:  ready", "time: does not have the format"},
	} {
		newTrial(t, c.format).each(t, c.line+"\n", func(r *record.Record) {
			reason, _ := r.Field(record.Error)
			require.Equal(t, c.reason, string(reason))
			raw, _ := r.Field(record.RawLog)
			require.Equal(t, c.line, string(raw))
		})
	}
}

// BenchmarkFormats measures what the processors of each format cost: with a batch
// of its sample, again and again. With -costs it writes the numbers of the table in
// docs/formats.md.
func BenchmarkFormats(b *testing.B) {
	measured := map[string]float64{}
	defer writeCosts(b, measured)
	for _, f := range formats.Catalogue() {
		b.Run(f.Name, func(b *testing.B) {
			tr := newTrial(b, f.Name)
			var lines [][]byte
			tr.each(b, f.Sample, func(r *record.Record) { lines = append(lines, bytes.Clone(r.Raw)) })
			if f.Header != "" { // the lines that name columns are no records in the end
				lines = bytes.Split(bytes.TrimSuffix([]byte(f.Sample), []byte("\n")), []byte("\n"))
			}
			best := time.Duration(math.MaxInt64) // of a batch: others may be on this machine
			timed := func(ctx context.Context, batch *record.Batch) error {
				start := time.Now()
				err := tr.process(ctx, batch)
				best = min(best, time.Since(start))
				for i := range batch.Records {
					if batch.Records[i].Marks&record.Failed != 0 {
						b.Fatalf("what is measured fails: %s", golden(&batch.Records[i]))
					}
				}
				return err
			}
			specimen.Measure(b, timed, func(batch *record.Batch) {
				for i := range 1000 {
					batch.Add(lines[i%len(lines)])
				}
			})
			measured[f.Name] = float64(best.Nanoseconds()) / 1000
			b.ReportMetric(measured[f.Name], "ns/record")
		})
	}
}

// writeCosts writes what a record of each format costs, in nanoseconds to two digits.
func writeCosts(b *testing.B, measured map[string]float64) {
	if !*costs {
		return
	}
	var text strings.Builder
	for _, f := range formats.Catalogue() {
		ns, ok := measured[f.Name]
		if !ok {
			b.Fatalf("%s was not measured: leave -bench Formats without a name", f.Name)
		}
		step := 10.0
		if ns >= 1000 {
			step = 100
		}
		fmt.Fprintf(&text, "%s\t%.0f\n", f.Name, math.Round(ns/step)*step)
	}
	require.NoError(b, os.WriteFile(filepath.Join("testdata", "formats", "costs.tsv"), []byte(text.String()), 0o644))
}

// process runs the stages on a batch.
func (tr trial) process(ctx context.Context, b *record.Batch) error {
	for _, s := range tr.stages {
		if err := s.Processor.Process(ctx, b); err != nil {
			return err
		}
	}
	return nil
}

// TestFormats_AreFoundByThemselves runs each sample with `format: auto`: the
// records are those of its format, and say so.
func TestFormats_AreFoundByThemselves(t *testing.T) {
	auto := newTrial(t, config.FormatAuto)
	for _, f := range append(formats.Catalogue(), &formats.Format{Name: formats.Plain, Sample: "one line\n  and another\nand no end"}) {
		var want, got []string
		keep := func(to *[]string) func(*record.Record) {
			return func(r *record.Record) {
				r.Fields = slices.DeleteFunc(r.Fields, func(field record.Field) bool {
					if string(field.Name) != record.Format {
						return false
					}
					require.Equal(t, f.Name, string(field.Value))
					return true
				})
				*to = append(*to, golden(r))
			}
		}
		auto.each(t, f.Sample, keep(&got))
		if f.Name == formats.Plain {
			require.Equal(t, []string{"{\n  \"content\": \"one line\"\n}\n", "{\n  \"content\": \"  and another\"\n}\n", "{\n  \"content\": \"and no end\"\n}\n"}, got)
			continue
		}
		newTrial(t, f.Name).each(t, f.Sample, keep(&want))
		require.Equal(t, want, got, f.Name)
	}
}

// TestFormats_DoNotAllocate is about the stage of a format, for files of several.
func TestFormats_DoNotAllocate(t *testing.T) {
	auto := newTrial(t, config.FormatAuto)
	kinds := []string{"nginx_access", "zap_json", "syslog", formats.Plain}
	lines := map[string][]byte{formats.Plain: []byte("a line")}
	for _, name := range kinds[:3] {
		line, _, _ := strings.Cut(formats.Find(name).Sample, "\n")
		lines[name] = []byte(line)
	}
	turn := 0
	specimen.DoesNotAllocate(t, auto.process, func(b *record.Batch) {
		b.Format = kinds[turn%len(kinds)]
		turn++
		for range 50 {
			b.Add(lines[b.Format])
		}
	})
}
