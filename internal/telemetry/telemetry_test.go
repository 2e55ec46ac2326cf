package telemetry

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/sirupsen/logrus"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/trace"
)

func TestSpansReachTheEndpointOfTheEnvironment(t *testing.T) {
	posted := make(chan string, 1)
	collector := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { posted <- r.URL.Path }))
	defer collector.Close()
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.URL)
	stop, err := Start(t.Context(), Options{Service: "test", Version: "1"})
	require.NoError(t, err)
	defer otel.SetTracerProvider(trace.NewNoopTracerProvider()) //nolint:staticcheck // the test restores the default
	_, span := otel.Tracer("t").Start(t.Context(), "work")
	span.End()
	require.NoError(t, stop(t.Context()))
	require.Equal(t, "/v1/traces", <-posted)
}

func TestWithoutAnEndpointNoSpanIsRecorded(t *testing.T) {
	stop, err := Start(t.Context(), Options{Service: "test"})
	require.NoError(t, err)
	_, span := otel.Tracer("t").Start(t.Context(), "work")
	require.False(t, span.IsRecording())
	require.NoError(t, stop(t.Context()))
}

func TestAnUnknownExporterIsRefusedWithAdvice(t *testing.T) {
	t.Setenv("OTEL_TRACES_EXPORTER", "zipkin")
	_, err := Start(t.Context(), Options{Service: "test"})
	require.ErrorContains(t, err, "takes otlp or none")
}

func TestMetricsAreScraped(t *testing.T) {
	stop, err := Start(t.Context(), Options{Service: "test"})
	require.NoError(t, err)
	defer func() { require.NoError(t, stop(t.Context())) }()
	c, err := otel.Meter("t").Int64Counter("wasmtail_test_total")
	require.NoError(t, err)
	c.Add(t.Context(), 3)
	w := httptest.NewRecorder()
	MetricsHandler().ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", http.NoBody))
	require.Contains(t, w.Body.String(), "wasmtail_test_total 3")
}

func TestAMessageThatComesTooOftenIsHeldBackAndCounted(t *testing.T) {
	var out bytes.Buffer
	log, err := NewLogger(LogOptions{Out: &out})
	require.NoError(t, err)
	start := time.Now()
	for i := range 100 {
		log.WithTime(start.Add(time.Duration(i) * time.Millisecond)).Warn("cannot deliver")
	}
	log.WithTime(start).Warn("something else")
	log.WithTime(start.Add(time.Minute)).Warn("cannot deliver")
	text := strings.TrimSpace(out.String())
	require.Equal(t, burstMax+2, strings.Count(text, "\n")+1)
	last := map[string]any{}
	require.NoError(t, json.Unmarshal([]byte(text[strings.LastIndexByte(text, '\n')+1:]), &last))
	require.EqualValues(t, 100-burstMax, last["held_back"])
}

func TestLogOptionsAreChecked(t *testing.T) {
	_, err := NewLogger(LogOptions{Level: "loud"})
	require.ErrorContains(t, err, "debug, info, warn or error")
	_, err = NewLogger(LogOptions{Format: "xml"})
	require.ErrorContains(t, err, "auto, text or json")
	log, err := NewLogger(LogOptions{Level: "debug", Format: "text"})
	require.NoError(t, err)
	require.Equal(t, logrus.DebugLevel, log.Level)
}
