package wasmhost

import (
	"bytes"
	"context"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wasmtail/wasmtail/internal/record"
)

// handwrittenDir has the parser of wasm-examples/nginx in every language once more,
// without the SDK: what the SDK costs is the difference.
const handwrittenDir = "testdata/handwritten"

var handwrittenLanguages = []string{"c", "cpp", "rust", "assemblyscript", "go"}

func TestHandwritten_GivesTheGoldenRows(t *testing.T) {
	onlyInFull(t)
	alone(t)
	cases, err := Cases(examplesDir + "/nginx/testdata")
	require.NoError(t, err)
	for _, language := range handwrittenLanguages {
		t.Run(language, func(t *testing.T) {
			h, _ := open(t)
			path := module(t, handwrittenDir+"/"+language)
			for _, c := range cases {
				require.NoError(t, c.Test(context.Background(), h, path, false))
			}
		})
	}
}

// TestHandwritten_GivesTheRowsOfTheSDK compares the two on lines of which a third
// are damaged, and so with another tail behind each line of a batch.
func TestHandwritten_GivesTheRowsOfTheSDK(t *testing.T) {
	onlyInFull(t)
	alone(t)
	for _, language := range handwrittenLanguages {
		t.Run(language, func(t *testing.T) {
			patient := Limits{Time: 10 * time.Second} // than a busy machine
			sdk := newLane(t, Spec{Path: module(t, examplesDir+"/nginx/"+language), Limits: patient}, hourly)
			hand := newLane(t, Spec{Path: module(t, handwrittenDir+"/"+language), Limits: patient}, hourly)
			r := nginxLines{rand.New(rand.NewPCG(3, 1))}
			lines := make([]string, 1000)
			for range 10 {
				for i := range lines {
					lines[i] = string(r.line())
				}
				want, got := sdk.parse(lines...), hand.parse(lines...)
				require.Len(t, got, len(want))
				for i := range want {
					require.Equal(t, want[i], got[i])
				}
			}
			require.Empty(t, sdk.m.status().Lost)
			require.Empty(t, hand.m.status().Lost)
		})
	}
}

// stopwatch is a parser, or scanNative without one, with the least time that a batch has taken: in the module
// alone, and on the whole path. The least of many is steady on a busy machine.
type stopwatch struct {
	p            *Parser
	batch        *record.Batch
	in           *instance // the one whose calls are timed
	spent        time.Duration
	guest, whole time.Duration
}

func newStopwatch(b *testing.B, dir string) *stopwatch {
	h, _ := open(b)
	m, err := h.Module(context.Background(), Spec{Pipeline: "p", Stage: "wasm#1", Path: module(b, dir), Limits: Limits{Time: 10 * time.Second}})
	require.NoError(b, err)
	s := newNativeStopwatch()
	s.p = m.NewParser()
	b.Cleanup(s.p.Close)
	return s
}

func newNativeStopwatch() *stopwatch {
	batch := record.Get(&record.Origin{Path: "x", Ledger: &record.Ledger{}})
	return &stopwatch{batch: batch, guest: time.Hour, whole: time.Hour}
}

// run parses the lines once.
func (s *stopwatch) run(b *testing.B, all []byte, lines [][]byte) {
	if s.p != nil && s.p.in != nil && s.p.in != s.in {
		in := s.p.in
		s.in = in
		process := in.process
		in.process = func() error {
			began := time.Now()
			err := process()
			s.spent += time.Since(began)
			return err
		}
	}
	s.spent = 0
	began := time.Now()
	raw, at := s.batch.Copy(all), 0
	for _, l := range lines {
		s.batch.AddOwn(raw[at : at+len(l) : at+len(l)])
		at += len(l) + 1
	}
	if s.p == nil {
		scanNative(s.batch)
	} else if err := s.p.Process(context.Background(), s.batch); err != nil {
		b.Fatal(err)
	}
	if n := len(s.batch.Records[5].Fields); n != 10 {
		b.Fatalf("%d fields: %q", n, s.batch.Records[5].Fields)
	}
	s.batch.Reset()
	s.whole = min(s.whole, time.Since(began))
	if s.spent > 0 {
		s.guest = min(s.guest, s.spent)
	}
}

// BenchmarkHandwritten runs the two parsers of a language in turns of some hundred
// microseconds, metered as in a pipeline, and reports the best turn of each. The
// ratio of the two in the module alone is what the SDK promises: at most 1.2. The
// speed of scanNative is on the whole path, with the copies into and out of a module.
func BenchmarkHandwritten(b *testing.B) {
	lines := accessLog(1000)
	all := bytes.Join(lines, []byte("\n"))
	for _, language := range handwrittenLanguages {
		b.Run(language, func(b *testing.B) {
			sdk := newStopwatch(b, examplesDir+"/nginx/"+language)
			hand := newStopwatch(b, handwrittenDir+"/"+language)
			native := newNativeStopwatch()
			for b.Loop() {
				sdk.run(b, all, lines)
				hand.run(b, all, lines)
				native.run(b, all, lines)
			}
			each := func(d time.Duration) float64 { return float64(d.Nanoseconds()) / float64(len(lines)) }
			b.ReportMetric(each(sdk.guest), "sdk-ns/line")
			b.ReportMetric(each(hand.guest), "hand-ns/line")
			b.ReportMetric(float64(sdk.guest)/float64(hand.guest), "ratio")
			b.ReportMetric(each(sdk.whole), "sdk-whole-ns/line")
			b.ReportMetric(each(hand.whole), "hand-whole-ns/line")
			b.ReportMetric(100*float64(native.whole)/float64(sdk.whole), "%native")
			b.ReportMetric(0, "ns/op")
		})
	}
}
