package wasmhost

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/wasmtail/wasmtail/sdk/abi"
)

// TestStart_TakesMillisecondsFromTheCache: a module that was compiled before
// serves soon, and does not compile again. A module in Go has 8 MB of machine
// code, of which each page is touched once, which is slow on some machines: it
// must take far less than compiling.
func TestStart_TakesMillisecondsFromTheCache(t *testing.T) {
	for project, most := range map[string]time.Duration{
		"nginx/c": 50 * time.Millisecond, "nginx/rust": 50 * time.Millisecond, "nginx/go": 0,
	} {
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
		if most == 0 {
			most = cold / 3
		}
		warm := least(most, start)
		t.Logf("%s: %s, from the cache %s", project, cold, warm)
		require.Less(t, warm, most*slowly, project)
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
