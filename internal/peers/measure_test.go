//go:build linux

package peers

import (
	"cmp"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"text/tabwriter"
	"time"

	"github.com/stretchr/testify/require"
)

// contender is one program with one configuration.
type contender struct {
	name string
	sink sinkKind
	// prepare writes the configuration into the site and says how to start.
	prepare func(t *testing.T, s site) command
	// profile, if set, starts to record where CPU time goes, and returns a
	// function that waits for the end of that.
	profile func(t *testing.T, s site) (wait func())
}

// site is where a contender works during one measurement.
type site struct {
	dir      string // its own files
	watch    string // the folder it watches
	sink     string // host:port
	workload workload
}

func (s site) write(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(s.dir, name)
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	return path
}

// sample is the outcome of one measurement.
type sample struct {
	cpu, wall time.Duration
	peak      int64 // bytes
}

// measurement is a contender on a workload, and what came out.
type measurement struct {
	corpus    corpus
	contender contender
	samples   []sample
}

func (m *measurement) name() string { return m.corpus.workload.name + "/" + m.contender.name }

// rate is in megabytes of input a CPU second.
func (m *measurement) rate(s sample) float64 { return float64(m.corpus.bytes) / 1e6 / s.cpu.Seconds() }

// rates are the slowest, the median and the fastest.
func (m *measurement) rates() (low, median, high float64) {
	rates := make([]float64, len(m.samples))
	for i, s := range m.samples {
		rates[i] = m.rate(s)
	}
	slices.Sort(rates)
	return rates[0], rates[len(rates)/2], rates[len(rates)-1]
}

// measureAll measures each in turn, and all of them again runs times, so that a
// slow spell of the machine does not fall on one contender.
func measureAll(t *testing.T, runs int, all []*measurement) []*measurement {
	t.Helper()
	if only := os.Getenv("PEERS_ONLY"); only != "" {
		re, err := regexp.Compile(only)
		require.NoError(t, err)
		all = slices.DeleteFunc(all, func(m *measurement) bool { return !re.MatchString(m.name()) })
	}
	for run := range runs {
		for _, m := range all {
			t.Run(fmt.Sprintf("%s/%d", m.name(), run+1), func(t *testing.T) {
				s := measure(t, m.contender, m.corpus)
				m.samples = append(m.samples, s)
				t.Logf("%.0f MB per CPU second (%.2f s CPU, %.2f s), at most %.0f MiB",
					m.rate(s), s.cpu.Seconds(), s.wall.Seconds(), float64(s.peak)/(1<<20))
			})
		}
	}
	return slices.DeleteFunc(all, func(m *measurement) bool { return len(m.samples) < runs })
}

// measure gives the file to a contender that waits for it, and waits until
// every record has arrived.
func measure(t *testing.T, c contender, file corpus) sample {
	t.Helper()
	root := filepath.Dir(file.path)
	dir, err := os.MkdirTemp(root, "site")
	require.NoError(t, err)
	s := site{dir: dir, watch: filepath.Join(dir, "watch"), workload: file.workload}
	require.NoError(t, os.Mkdir(s.watch, 0o700))
	there := filepath.Join(s.watch, "app.log")
	t.Cleanup(func() {
		_ = os.Rename(there, file.path) // it is not there if the contender did not start
		_ = os.RemoveAll(dir)
	})
	to := newSink(t, c.sink, file.workload, file.records)
	s.sink = to.address
	cmd := c.prepare(t, s)
	p := start(t, dir, cmd)
	require.NoError(t, p.idle(t.Context()), c.name)

	waitProfile := func() {}
	if c.profile != nil {
		waitProfile = c.profile(t, s)
	}
	before, err := p.cpu()
	require.NoError(t, err)
	began := time.Now()
	require.NoError(t, os.Rename(file.path, there))
	if cmd.trigger != nil {
		_, err := io.WriteString(cmd.trigger, there+"\n")
		require.NoError(t, err)
	}
	result := await(t, p, to, file)
	after, err := p.cpu()
	require.NoError(t, err)
	result.cpu, result.wall = after-before, time.Unix(0, to.last.Load()).Sub(began)
	result.peak, err = p.memory("VmHWM")
	require.NoError(t, err)
	// What arrives after the last record would be a repetition.
	require.NoError(t, p.wait(t.Context(), 300*time.Millisecond))
	require.NoError(t, to.check(file), "%s: %s", c.name, p.tail())
	waitProfile()
	return result
}

// await waits for the last record, and fails loudly when it does not come: at a
// rate of half a megabyte a second, or after half a minute without a record.
func await(t *testing.T, p *child, to *sink, file corpus) sample {
	t.Helper()
	deadline := time.After(30*time.Second + time.Duration(file.bytes/500)*time.Millisecond)
	look := time.NewTicker(30 * time.Second)
	defer look.Stop()
	seen := int64(0)
	for {
		select {
		case <-to.done:
			return sample{}
		case <-p.exited:
			require.FailNow(t, "the process has ended", p.tail())
		case <-deadline:
			require.FailNow(t, "too slow", "%d of %d records arrived: %s", to.records.Load(), file.records, p.tail())
		case <-look.C:
			n := to.records.Load()
			require.Greater(t, n, seen, "nothing has arrived for 30 s, %d of %d records did: %v %s", n, file.records, to.check(file), p.tail())
			seen = n
		}
	}
}

// table shows the measurements, the fastest first within each workload.
func table(all []*measurement) string {
	var text strings.Builder
	w := tabwriter.NewWriter(&text, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "workload\tcontender\tMB/CPU-s\tslowest\tfastest\tMB/s\tpeak MiB\t")
	sorted := slices.SortedStableFunc(slices.Values(all), func(a, b *measurement) int {
		if a.corpus.workload.name != b.corpus.workload.name {
			return 0
		}
		_, ra, _ := a.rates()
		_, rb, _ := b.rates()
		return cmp.Compare(rb, ra)
	})
	for _, m := range sorted {
		low, median, high := m.rates()
		var wall time.Duration
		var peak int64
		for _, s := range m.samples {
			wall += s.wall
			peak = max(peak, s.peak)
		}
		perSecond := float64(m.corpus.bytes) / 1e6 * float64(len(m.samples)) / wall.Seconds()
		fmt.Fprintf(w, "%s\t%s\t%.1f\t%.1f\t%.1f\t%.1f\t%.1f\t\n",
			m.corpus.workload.name, m.contender.name, median, low, high, perSecond, float64(peak)/(1<<20))
	}
	_ = w.Flush() // a strings.Builder takes everything
	return text.String()
}

// bar is a ratio that must be reached: the fastest of one measurement over the
// best of some others.
type bar struct {
	workload string
	ours     string
	others   *regexp.Regexp
	least    float64 // 0 when the ratio is only shown
}

// check says how far the ratio is from the bar; ok is false when a measurement
// is missing.
func (b bar) check(all []*measurement) (ratio float64, text string, ok bool) {
	ours, best, bestName := 0.0, 0.0, ""
	for _, m := range all {
		_, _, rate := m.rates() // what else the machine does only slows
		switch {
		case m.corpus.workload.name != b.workload:
		case m.contender.name == b.ours:
			ours = rate
		case b.others.MatchString(m.contender.name) && rate > best:
			best, bestName = rate, m.contender.name
		}
	}
	if ours == 0 || best == 0 {
		return 0, fmt.Sprintf("      %-9s %s over %s: not measured", b.workload, b.ours, b.others), false
	}
	ratio = ours / best
	if b.least == 0 {
		return ratio, fmt.Sprintf("      %-9s %s is %.2f times %s", b.workload, b.ours, ratio, bestName), true
	}
	verdict := "pass"
	if ratio < b.least {
		verdict = "FAIL"
	}
	return ratio, fmt.Sprintf("%s  %-9s %s is %.2f times %s, at least %.2f is required", verdict, b.workload, b.ours, ratio, bestName, b.least), true
}

// checkBars prints all bars and fails the test if one is missed. A bar that was
// not measured fails too, unless PEERS_ONLY picks measurements.
func checkBars(t *testing.T, all []*measurement, bars []bar) {
	t.Helper()
	var text strings.Builder
	for _, b := range bars {
		ratio, line, ok := b.check(all)
		if ok || b.least > 0 {
			fmt.Fprintln(&text, line)
		}
		if ok && ratio < b.least || !ok && b.least > 0 && os.Getenv("PEERS_ONLY") == "" {
			t.Fail()
		}
	}
	t.Logf("\n%s\n%s", table(all), text.String())
}
