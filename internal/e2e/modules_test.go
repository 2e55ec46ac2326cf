package e2e

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wasmtail/wasmtail/agent/tail"
	"github.com/wasmtail/wasmtail/agent/wasmhost"
)

// modulePipeline is a pipeline from a file through a module to a log store of the
// same name. settings are more keys of the processor, each with a comma before it.
func modulePipeline(name, path, module, settings string) string {
	return fmt.Sprintf(`  %s:
    input: {type: files, include: [%q], start_at: beginning}
    processors: [{type: wasm, module: %q%s}]
    outputs: [hub]
    logstore: %s
`, name, path, module, settings, name)
}

// development lets modules change that are not pinned.
const development = "modules: {development: true}\n"

// guestProject is a parser that does the harm that a line asks for.
var guestProject = filepath.Join("..", "..", "agent", "wasmhost", "testdata", "guest")

// module is the status of the module of a pipeline.
func (a *agentProcess) module(pipeline string) wasmhost.Status {
	a.t.Helper()
	s, err := a.status()
	require.NoError(a.t, err)
	for _, m := range s.Modules {
		if m.Pipeline == pipeline {
			return m
		}
	}
	require.Fail(a.t, "no module in pipeline "+pipeline)
	return wasmhost.Status{}
}

// files are what a pipeline follows.
func (a *agentProcess) files(pipeline string) []tail.FileStatus {
	a.t.Helper()
	s, err := a.status()
	require.NoError(a.t, err)
	for _, p := range s.Pipelines {
		if p.Name == pipeline {
			return p.Files
		}
	}
	require.Fail(a.t, "no pipeline "+pipeline)
	return nil
}

// sent is true when the one file of a pipeline has n lines acknowledged.
func (a *agentProcess) sent(pipeline string, n int) func() bool {
	return func() bool {
		a.t.Helper()
		files := a.files(pipeline)
		return len(files) == 1 && files[0].Acknowledged >= int64(n)
	}
}

var numberRE = regexp.MustCompile(`\b\d{8}\b`)

// number is the number of the line that a record was made of, -1 for none. It is
// in one of these fields.
func number(r map[string]string) int {
	for _, name := range []string{"message", "text", "uri", "__raw_log__", "_msg"} {
		if n, err := strconv.Atoi(numberRE.FindString(r[name])); err == nil {
			return n
		}
	}
	return -1
}

// inOrder waits until a log store has n records, and returns them in the order
// of their numbers. It requires each number once, and that the places in the file
// have the same order; of several generations each has a run of the numbers.
func (a *agentProcess) inOrder(h *hub, logstore string, n int) []map[string]string {
	t := a.t
	t.Helper()
	var records []map[string]string
	a.eventually(fmt.Sprintf("%s has %d records", logstore, n), func() bool {
		records = h.records(t, logstore)
		return len(records) >= n
	})
	byOffset(records)
	sorted := make([]map[string]string, n)
	for i, r := range records {
		at := number(r)
		require.True(t, at >= 0 && at < n, "a strange record: %v", r)
		require.Nil(t, sorted[at], "%d is there twice: %v and %v", at, sorted[at], r)
		sorted[at] = r
		if i > 0 && records[i-1]["__wt_generation__"] == r["__wt_generation__"] {
			require.Equal(t, number(records[i-1])+1, at, "out of order: %v", r)
		}
	}
	return sorted
}

// tracer is a program in Java that logs stack traces.
type tracer struct {
	*writer
	random  *rand.Rand
	pending string   // of the last trace, not written yet
	stacks  []string // of each record
}

// put writes some bytes, wherever in a line or a trace they end.
func (w *tracer) put() {
	w.t.Helper()
	for size := 1 + w.random.IntN(8<<10); len(w.pending) < size; {
		w.trace()
	}
	n := 1 + w.random.IntN(len(w.pending))
	_, err := w.f.WriteString(w.pending[:n])
	require.NoError(w.t, err)
	w.pending = w.pending[n:]
}

// finish writes the last trace to its end.
func (w *tracer) finish() {
	w.t.Helper()
	_, err := w.f.WriteString(w.pending)
	require.NoError(w.t, err)
	w.pending = ""
}

// trace is a record: a line, and for most of them the lines of a trace, each with
// the number of the record.
func (w *tracer) trace() {
	var stack []string
	if n := w.random.IntN(60); n >= 15 {
		stack = append(stack, fmt.Sprintf("com.example.OrderException: no %d", w.lines))
		for i := range n {
			stack = append(stack, fmt.Sprintf("\tat com.example.Order%d.total(Order.java:%d)", w.lines, i))
			if i%20 == 19 {
				stack = append(stack, fmt.Sprintf("Caused by: java.io.IOException: of %d", w.lines))
			}
		}
	}
	lines := append([]string{fmt.Sprintf("%s ERROR [main] com.example.Shop - order %08d", time.Now().UTC().Format("2006-01-02 15:04:05.000"), w.lines)}, stack...)
	w.pending += strings.Join(lines, "\n") + "\n"
	w.stacks = append(w.stacks, strings.Join(stack, "\n"))
	w.lines++
}

// rotate renames the file. The program notices at the end of a trace.
func (w *tracer) rotate() {
	w.t.Helper()
	w.put()
	w.shift()
	w.rename(w.path, w.path+".1")
	w.finish()
	w.open(w.path)
}

// saveTime is how long it may take until an acknowledged position is saved: the
// agent does so once a second.
const saveTime = 1200 * time.Millisecond

// delivers is true when the agent is ready, and has delivered lines in this life.
func (a *agentProcess) delivers() bool {
	s, err := a.status()
	if err != nil {
		return false
	}
	return slices.ContainsFunc(s.Pipelines[0].Files, func(f tail.FileStatus) bool { return f.Acknowledged > 0 })
}

// TestAModuleThatJoinsLinesIsKilled follows stack traces while the agent is killed
// at random, and the file is renamed beside a running and a dead one. A killed
// agent has lines that its joiner was waiting for more of.
func TestAModuleThatJoinsLinesIsKilled(t *testing.T) {
	t.Parallel()
	const lives = 10
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	h := startHub(t)
	module := filepath.Join(t.TempDir(), "javatrace.wasm")
	sum := buildParser(t, "javatrace/cpp", module)
	w := &tracer{writer: newWriter(t), random: rand.New(rand.NewPCG(seed, 0))}
	a := newAgent(t, h, modulePipeline("traces", w.path, module, ", sha256: "+sum))
	inside := 0
	for life := range lives {
		a.process = launch(t, program(a.env, "wasmtail", "run", "-c", a.config))
		ends, saves := time.Now().Add(time.Duration(w.random.IntN(300))*time.Millisecond), life%4 == 0
		a.eventually("the agent has lived long enough", func() bool {
			w.put()
			if saves && a.delivers() { // then it lives until it has saved positions
				ends, saves = time.Now().Add(saveTime), false
			}
			return !saves && time.Now().After(ends)
		})
		if life%4 == 1 {
			w.rotate()
		}
		if w.put(); w.pending != "" {
			inside++
		}
		a.kill()
		w.put()
		if life%4 == 3 {
			w.rotate()
		}
	}
	require.Greater(t, inside, lives/2, "the agent was killed inside of traces")
	a.start(t)
	w.put()
	w.finish() // and the file goes quiet
	records := a.inOrder(h, "traces", w.lines)
	for i, r := range records {
		require.Equal(t, w.stacks[i], r["stack"], "record %d", i)
		require.Empty(t, r["__error__"])
	}
	a.eventually("everything is acknowledged", func() bool {
		for _, f := range a.files("traces") {
			if f.Lag > 0 {
				return false
			}
		}
		return true
	})
	require.Len(t, h.records(t, "traces"), w.lines, "something came late")
	t.Logf("%d records with %d lines of traces", w.lines, strings.Count(strings.Join(w.stacks, "\n"), "\n"))
	a.stop()
}

// TestAModuleThatIsMissing holds the lines of one pipeline and lets those of
// another pass, until the module is there.
func TestAModuleThatIsMissing(t *testing.T) {
	t.Parallel()
	h := startHub(t)
	dir := t.TempDir()
	built, module := filepath.Join(dir, "built.wasm"), filepath.Join(dir, "module.wasm")
	sum := buildProject(t, guestProject, built)
	held, passing := newWriter(t), newWriter(t)
	a := newAgent(t, h, modulePipeline("held", held.path, module, ", on_module_error: hold, sha256: "+sum)+
		modulePipeline("passing", passing.path, module, ", on_module_error: bypass, sha256: "+sum))
	// What passes proves that the agent had the time to read what it must not.
	write := func(reason string) {
		t.Helper()
		held.write(300)
		passing.write(300)
		a.inOrder(h, "passing", passing.lines)
		a.eventually("the status says why", func() bool {
			s, p := a.module("held"), a.module("passing")
			return strings.Contains(s.Reason, reason) && strings.Contains(p.Reason, reason) &&
				s.State == wasmhost.Refused && p.State == wasmhost.Refused
		})
		a.eventually("what passes is acknowledged", func() bool { return a.files("passing")[0].Lag == 0 })
		files := a.files("held")
		require.Len(t, files, 1)
		require.Zero(t, files[0].Acked)
		require.Empty(t, h.records(t, "held"))
	}
	a.start(t)
	write("no such file")
	a.stop()
	a.start(t)
	write("no such file")
	require.NoError(t, os.WriteFile(module, []byte("not the module"), 0o600))
	write("its sha256 is ")
	a.kill()
	a.start(t)
	write("its sha256 is ")
	raw := passing.lines

	require.NoError(t, os.Rename(built, module))
	a.eventually("the module serves", func() bool {
		return a.module("held").State == wasmhost.Serving && a.module("passing").State == wasmhost.Serving
	})
	held.write(300)
	passing.write(300)
	for i, r := range a.inOrder(h, "held", held.lines) {
		require.Equal(t, i, number(map[string]string{"text": r["text"]}), "it was not parsed: %v", r)
		require.Empty(t, r["__error__"])
	}
	for i, r := range a.inOrder(h, "passing", passing.lines) {
		parsed, how := "__raw_log__", "it was not marked: %v"
		if i >= raw {
			parsed, how = "text", "it was not parsed: %v"
		}
		require.Equal(t, i, number(map[string]string{"text": r[parsed]}), how, r)
		require.Equal(t, i < raw, strings.Contains(r["__error__"], ": bypassed: "), how, r)
	}
	a.eventually("everything is acknowledged", func() bool { return a.files("held")[0].Lag == 0 && a.files("passing")[0].Lag == 0 })
	a.stop()
}

// poisons are lines that the guest is harmed by, or answers in an odd way.
var poisons = []string{
	"!trap", "!loop", "!deep", "!grow", "!wild", "!fill", "!tree", "!json {", "!leak", "!none", "!error", "!nan", "!now", "!trace",
	"!log", "!flags", "!float", "!bool", "!raw", "!attr", "!body",
}

// highWater is the most memory that a process has had, in bytes.
func highWater(t *testing.T, pid int) int64 {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	require.NoError(t, err)
	_, after, ok := strings.Cut(string(text), "VmHWM:")
	require.True(t, ok)
	n, err := strconv.ParseInt(strings.Fields(after)[0], 10, 64)
	require.NoError(t, err)
	return n << 10
}

// mixed are n lines from a number on, with all poisons among them, the one with
// the number first before the others.
func mixed(from, n, first int) []string {
	lines := make([]string, n)
	every := n / len(poisons)
	for i := range lines {
		lines[i] = fmt.Sprintf("harmless %08d", from+i)
		if i%every == every/2 {
			lines[i] = fmt.Sprintf("%s %08d", poisons[(first+i/every)%len(poisons)], from+i)
		}
	}
	return lines
}

// TestAModuleThatDoesHarm puts a hostile module beside an innocent one. In each
// round it does harm until it is shut out, its lines pass, and it is put in anew.
func TestAModuleThatDoesHarm(t *testing.T) {
	t.Parallel()
	const rounds, perHalf, memoryMax = 5, 500, 256 << 20
	h := startHub(t)
	dir := t.TempDir()
	hostile, innocent := filepath.Join(dir, "guest.wasm"), filepath.Join(dir, "nginx.wasm")
	buildProject(t, guestProject, hostile)
	buildParser(t, "nginx/c", innocent)
	hostileLog, innocentLog := writeFile(t, "hostile.log", ""), writeFile(t, "innocent.log", "")
	a := newAgent(t, h, modulePipeline("hostile", hostileLog, hostile, "")+modulePipeline("innocent", innocentLog, innocent, "")+development)
	a.start(t)
	var lines []string
	write := func(more []string) {
		t.Helper()
		var good strings.Builder
		for i := range more {
			fmt.Fprintf(&good, "192.0.2.1 - - [10/Oct/2023:13:55:36 +0000] \"GET /%08d HTTP/1.1\" 200 5316 \"-\" \"curl/8.4.0\"\n", len(lines)+i)
		}
		appendLines(t, hostileLog, strings.Join(more, "\n")+"\n")
		appendLines(t, innocentLog, good.String())
		lines = append(lines, more...)
		for _, name := range []string{"innocent", "hostile"} {
			a.eventually("the lines are delivered", a.sent(name, len(lines)))
		}
		require.EqualValues(t, len(lines), a.module("innocent").Parsed)
	}
	for round := range rounds {
		for tries := 0; a.module("hostile").State == wasmhost.Serving; tries++ {
			require.Less(t, tries, 10, "it is not shut out")
			more := mixed(len(lines), perHalf, 3*round)
			if round == rounds-1 {
				more[0] = fmt.Sprintf("!fatal %08d", len(lines))
			}
			write(more)
		}
		write(mixed(len(lines), perHalf, 0))
		require.Equal(t, wasmhost.Serving, a.module("innocent").State)
		now := time.Now() // another time of the file is another version
		require.NoError(t, os.Chtimes(hostile, now, now))
		a.eventually("the hostile module serves again", func() bool { return a.module("hostile").Loads == round+2 })
	}
	for i, r := range a.inOrder(h, "innocent", len(lines)) {
		require.Equal(t, fmt.Sprintf("/%08d", i), r["uri"])
		require.Equal(t, "200", r["status"])
		require.Empty(t, r["__error__"])
	}
	for i, r := range a.inOrder(h, "hostile", len(lines)) {
		if r["__error__"] != "" {
			require.Equal(t, lines[i], r["__raw_log__"])
		} else {
			require.NotEmpty(t, r["text"], "%q became %v", lines[i], r)
			require.True(t, strings.HasSuffix(lines[i], r["text"]), "%q became %v", lines[i], r)
		}
	}
	s := a.module("innocent")
	require.Zero(t, s.Bypassed+s.Failed)
	require.Empty(t, s.Lost)
	s = a.module("hostile")
	require.Greater(t, s.Parsed, int64(perHalf/10), "lines beside the bad ones are parsed")
	require.GreaterOrEqual(t, s.Bypassed, int64(perHalf))
	for _, how := range []string{"trap", "deadline", "stack", "contract", "fatal"} {
		require.NotZero(t, s.Lost[how], "%s: %v", how, s.Lost)
	}
	peak := highWater(t, a.worker())
	t.Logf("lost %v, parsed %d, failed %d, bypassed %d, at most %d MiB resident", s.Lost, s.Parsed, s.Failed, s.Bypassed, peak>>20)
	require.Less(t, peak, int64(memoryMax))
	a.stop()
}

// lineParser is a parser that gives the line back.
const lineParser = `#include "wt.h"
static void setup(wt_setup *s) {
  wt_name(s, "line", "1.0.0");
  wt_field(s, "text", WT_STRING, "the line");
}
static wt_status parse(wt_row *r, wt_str line) {
  wt_put_str(r, 0, line);
  return WT_OK;
}
WT_PARSER(setup, parse)
`

// lengthParser is its next version, with a field more.
var lengthParser = strings.NewReplacer(
	"1.0.0", "2.0.0",
	"\n}\nstatic", "\n  wt_field(s, \"length\", WT_INT, \"its bytes\");\n}\nstatic",
	"  return", "  wt_put_int(r, 1, wt_len(line));\n  return",
).Replace(lineParser)

// buildSource builds a parser of C.
func buildSource(t *testing.T, source, out string) {
	t.Helper()
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "line.c"), []byte(source), 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "parser.yaml"),
		[]byte("name: line\nversion: 1.0.0\nlanguage: c\nsource: line.c\noutput: line.wasm\n"), 0o600))
	buildProject(t, dir, out)
}

// TestAModuleChangesUnderLoad puts a new version in the place of a module in the
// middle of a steady stream, and then files that are no module.
func TestAModuleChangesUnderLoad(t *testing.T) {
	t.Parallel()
	h := startHub(t)
	dir := t.TempDir()
	module, next := filepath.Join(dir, "line.wasm"), filepath.Join(dir, "next.wasm")
	buildSource(t, lineParser, module)
	buildSource(t, lengthParser, next)
	text, err := os.ReadFile(next)
	require.NoError(t, err)
	w := newWriter(t)
	a := newAgent(t, h, modulePipeline("lines", w.path, module, ", samples: [{line: a, fields: {text: a}}]")+development)
	a.start(t)
	stream := func(until string, condition func() bool) {
		t.Helper()
		a.eventually(until, func() bool { w.write(20); return condition() })
	}
	w.write(100)
	first := w.lines // up to here the old version serves
	stream("lines are delivered", a.sent("lines", first))
	require.Equal(t, "1.0.0", a.module("lines").Version)
	renamed := w.lines
	require.NoError(t, os.Rename(next, module))
	stream("the next version serves", func() bool { return a.module("lines").Version == "2.0.0" })
	last := w.lines // from here on the next one does
	stream("its lines are delivered", a.sent("lines", last+1))
	for _, broken := range []string{"no module", string(text[:len(text)/2])} {
		require.NoError(t, os.WriteFile(module, []byte(broken), 0o600))
		before := a.module("lines").Reason
		stream("the broken file is refused", func() bool { s := a.module("lines"); return s.Reason != "" && s.Reason != before })
		s := a.module("lines")
		t.Logf("refused: %s", s.Reason)
		require.Equal(t, wasmhost.Serving, s.State)
		require.Equal(t, "2.0.0", s.Version)
		require.Equal(t, 2, s.Loads)
		stream("lines are delivered all the same", a.sent("lines", w.lines+1))
	}
	records := a.inOrder(h, "lines", w.lines)
	changed := 0
	for ; changed < len(records) && records[changed]["length"] == ""; changed++ {
	}
	t.Logf("%d lines; the file was renamed at line %d, the next version serves from line %d on", w.lines, renamed, changed)
	require.GreaterOrEqual(t, changed, first)
	require.LessOrEqual(t, changed, last)
	for i, r := range records {
		require.Equal(t, i, number(map[string]string{"text": r["text"]}), "%v", r)
		require.Empty(t, r["__error__"])
		if i >= changed {
			require.Equal(t, strconv.Itoa(len(r["text"])), r["length"], "%v", r)
		}
	}
	s := a.module("lines")
	require.EqualValues(t, w.lines, s.Parsed)
	require.Zero(t, s.Failed+s.Bypassed)
	a.stop()
}
