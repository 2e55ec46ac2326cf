package wasmhost

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/wasmtail/wasmtail/sdk/abi"
)

// TestStart_TakesMillisecondsFromTheCache: a module that was compiled before serves
// within 50 ms, beyond what the machine takes to map its machine code, and does not
// compile again. For C and Rust that is next to nothing; a module in Go has 7.5 MB,
// 1,850 pages, and where a page fault is dear, as on some virtual machines, they alone
// take that long. Beside other work it must take a sixth of what compiling takes there.
func TestStart_TakesMillisecondsFromTheCache(t *testing.T) {
	onlyInFull(t)
	const most = 50 * time.Millisecond
	for _, project := range []string{"nginx/c", "nginx/rust", "nginx/go"} {
		path := module(t, examplesDir+"/"+project)
		dir := t.TempDir()
		start := func() time.Duration {
			h, _ := open(t, func(o *Options) { o.Dir = dir })
			began := time.Now()
			l := laneOf(t, h, Spec{Path: path})
			require.Len(t, l.parse("x"), 1)
			took := time.Since(began)
			require.Equal(t, Serving, l.m.status().State, l.m.status().Reason)
			return took
		}
		cold := start()
		limit := mapping(t, dir)
		warm := least(most, start)
		t.Logf("%s: %s, from the cache %s, of which %s are for mapping its code", project, cold, warm, limit)
		require.Less(t, warm, max(most+limit, cold/6)*slowly, project)
	}
}

// TestSpan_HasWhatTheModuleSays: attributes end up on the span of the batch that
// is parsed, bounded in number and size, and cost nothing without one.
func TestSpan_HasWhatTheModuleSays(t *testing.T) {
	spans := tracetest.NewSpanRecorder()
	provider := trace.NewTracerProvider(trace.WithSpanProcessor(spans))
	defer func() { require.NoError(t, provider.Shutdown(context.Background())) }()
	l := newLane(t, Spec{Path: guest(t)})
	l.parse("!attr nobody looks")

	long := make([]byte, 2*abi.SpanValueBytes)
	for i := range long {
		long[i] = 'x'
	}
	ctx, span := provider.Tracer("test").Start(context.Background(), "batch")
	b := l.batch("!attr one", "!attr "+string(long), "plain")
	require.NoError(t, l.p.Process(ctx, b))
	b.Release()
	span.End()

	got := map[string]attribute.Value{}
	for _, kv := range spans.Ended()[0].Attributes() {
		got[string(kv.Key)] = kv.Value
	}
	require.Equal(t, string(long[:abi.SpanValueBytes]), got["wasm.asked"].AsString())
	require.EqualValues(t, 3, got["wasm.events"].AsInt64())
}

// TestStart_HandsOnAnInstanceThatSawNoLine: the instance that a program is tried
// with serves the first lane, one that parsed samples serves nobody, and what
// nobody took is freed.
func TestStart_HandsOnAnInstanceThatSawNoLine(t *testing.T) {
	h, _ := open(t)
	l := laneOf(t, h, Spec{Path: guest(t)})
	p := l.m.program
	require.Len(t, p.spare, 1)
	first := <-p.spare
	p.spare <- first
	require.Equal(t, []string{"text=a"}, l.parse("a"))
	require.Same(t, first, l.p.in)
	require.Empty(t, p.spare)

	other := laneOf(t, h, Spec{Path: guest(t)})
	require.Equal(t, []string{"text=b"}, other.parse("b"))
	require.Same(t, p, other.p.program)
	require.NotSame(t, first, other.p.in)

	tried := laneOf(t, h, Spec{Stage: "wasm#2", Path: guest(t), Samples: []Sample{{Line: "a"}}})
	require.Equal(t, Serving, tried.m.status().State, tried.m.status().Reason)
	require.Empty(t, tried.m.program.spare)

	unused := laneOf(t, h, Spec{Stage: "wasm#3", Path: guest(t)})
	left := <-unused.m.program.spare
	unused.m.program.spare <- left
	unused.p.Close()
	require.Nil(t, left.module, "it is closed")
	unused.p = unused.m.NewParser() // for the clean-up
}

// TestCompile_TakesNoCodeOfAnotherModule: sound machine code that was made from
// something else, by another version of the agent or for another module, is
// compiled anew.
func TestCompile_TakesNoCodeOfAnotherModule(t *testing.T) {
	dir := t.TempDir()
	serve := func(path string, lines ...string) []string {
		h, _ := open(t, func(o *Options) { o.Dir = dir })
		l := laneOf(t, h, Spec{Path: path})
		require.Equal(t, Serving, l.m.status().State, l.m.status().Reason)
		return l.parse(lines...)
	}
	folders := func() []string {
		found, err := filepath.Glob(filepath.Join(dir, "*"))
		require.NoError(t, err)
		return found
	}
	require.Equal(t, []string{"text=a"}, serve(guest(t), "a"))
	mine := folders()[0]
	want, err := checkCompiled(mine)
	require.NoError(t, err)
	nginx := module(t, examplesDir+"/nginx/c")
	require.Equal(t, []string{raw("a", "wasm nginx: no match")}, serve(nginx, "a"))
	other := slices.DeleteFunc(folders(), func(f string) bool { return f == mine })[0]

	require.NoError(t, os.RemoveAll(mine))
	require.NoError(t, os.Rename(other, mine))
	is, err := checkCompiled(mine)
	require.NoError(t, err, "what lies there is sound")
	require.NotEqual(t, want, is)
	require.Equal(t, []string{"text=a"}, serve(guest(t), "a"))
	is, err = checkCompiled(mine)
	require.NoError(t, err)
	require.Equal(t, want, is)
	code, err := filepath.Glob(filepath.Join(mine, "wazero-*", "*"))
	require.NoError(t, err)
	require.Len(t, code, 1, "the other code is gone")
}

// TestOpen_KeepsTheModulesUsedLast: what was compiled of others is removed, and
// nothing else that lies there.
func TestOpen_KeepsTheModulesUsedLast(t *testing.T) {
	dir := t.TempDir()
	day := time.Now()
	h, _ := open(t, func(o *Options) { o.Dir, o.Now = dir, func() time.Time { return day } })
	laneOf(t, h, Spec{Path: guest(t)})
	mine, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Len(t, mine, 1)
	for i := range compiledMax + 5 {
		folder := filepath.Join(dir, digest([]byte{byte(i)}))
		require.NoError(t, os.Mkdir(folder, 0o700))
		at := day.Add(-time.Duration(i+1) * time.Hour)
		require.NoError(t, os.Chtimes(folder, at, at))
	}
	require.NoError(t, os.Mkdir(filepath.Join(dir, "else"), 0o700))
	open(t, func(o *Options) { o.Dir = dir })
	left, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Len(t, left, compiledMax+1)
	require.DirExists(t, filepath.Join(dir, mine[0].Name()))
	require.DirExists(t, filepath.Join(dir, "else"))
	require.DirExists(t, filepath.Join(dir, digest([]byte{compiledMax - 2})))
	require.NoDirExists(t, filepath.Join(dir, digest([]byte{compiledMax - 1})))
}
