// Package telemetry sets up what the programs say about themselves:
// OpenTelemetry traces by the standard OTEL_* variables, metrics for a
// Prometheus scrape, and the log.
//
// It starts the goroutines of the OpenTelemetry SDK and nothing else; the
// function that Start returns ends them. Without an OTLP endpoint in the
// environment no tracer is installed and spans cost nothing measurable.
package telemetry

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	otelprom "go.opentelemetry.io/otel/exporters/prometheus"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/resource"
	"go.opentelemetry.io/otel/sdk/trace"
	semconv "go.opentelemetry.io/otel/semconv/v1.34.0"
)

// Options name the program.
type Options struct {
	// Service is the service.name unless OTEL_SERVICE_NAME says otherwise.
	Service string
	Version string
	// Instance is the service.instance.id, such as the agent's id; may be empty.
	Instance string
}

// Start installs the global tracer provider, propagator and meter provider.
// The returned function flushes and stops them. Obeyed: OTEL_SDK_DISABLED,
// OTEL_TRACES_EXPORTER (otlp, none), OTEL_EXPORTER_OTLP_* (http/protobuf),
// OTEL_TRACES_SAMPLER and _ARG, OTEL_SERVICE_NAME, OTEL_RESOURCE_ATTRIBUTES.
func Start(ctx context.Context, o Options) (stop func(context.Context) error, err error) {
	otel.SetTextMapPropagator(propagation.NewCompositeTextMapPropagator(propagation.TraceContext{}, propagation.Baggage{}))
	if strings.EqualFold(os.Getenv("OTEL_SDK_DISABLED"), "true") {
		return func(context.Context) error { return nil }, nil
	}
	res, err := resource.New(ctx,
		resource.WithAttributes(semconv.ServiceName(o.Service), semconv.ServiceVersion(o.Version), semconv.ServiceInstanceID(o.Instance)),
		resource.WithHost(), resource.WithFromEnv())
	if err != nil {
		return nil, fmt.Errorf("cannot describe this process for OpenTelemetry: check OTEL_RESOURCE_ATTRIBUTES: %w", err)
	}
	meters, err := startMetrics(res)
	if err != nil {
		return nil, err
	}
	traces, err := startTraces(ctx, res)
	if err != nil {
		return nil, errors.Join(err, meters(ctx))
	}
	return func(ctx context.Context) error { return errors.Join(traces(ctx), meters(ctx)) }, nil
}

func startTraces(ctx context.Context, res *resource.Resource) (func(context.Context) error, error) {
	exporter := os.Getenv("OTEL_TRACES_EXPORTER")
	endpoint := os.Getenv("OTEL_EXPORTER_OTLP_ENDPOINT") + os.Getenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
	switch {
	case exporter == "none", exporter == "" && endpoint == "":
		return func(context.Context) error { return nil }, nil
	case exporter != "" && exporter != "otlp":
		return nil, fmt.Errorf("cannot export traces by %q: OTEL_TRACES_EXPORTER takes otlp or none", exporter)
	}
	otlp, err := otlptracehttp.New(ctx)
	if err != nil {
		return nil, fmt.Errorf("cannot set up the trace exporter: check the OTEL_EXPORTER_OTLP_* variables: %w", err)
	}
	provider := trace.NewTracerProvider(trace.WithBatcher(otlp), trace.WithResource(res))
	otel.SetTracerProvider(provider)
	return provider.Shutdown, nil
}

func startMetrics(res *resource.Resource) (func(context.Context) error, error) {
	exporter, err := otelprom.New(otelprom.WithRegisterer(prometheus.DefaultRegisterer), otelprom.WithoutScopeInfo(), otelprom.WithoutTargetInfo())
	if err != nil {
		return nil, fmt.Errorf("cannot set up metrics: %w", err)
	}
	provider := metric.NewMeterProvider(metric.WithReader(exporter), metric.WithResource(res))
	otel.SetMeterProvider(provider)
	return provider.Shutdown, nil
}

// MetricsHandler serves the metrics of this process in Prometheus' format.
func MetricsHandler() http.Handler { return promhttp.Handler() }
