package stream

import (
	"context"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"github.com/wasmtail/wasmtail/internal/record"
)

const fieldError = record.Error

// traceStore begins the span "hub.store" of a message under the request that
// brought it, and returns its end. Without a parent it does nothing.
func traceStore(ctx context.Context, parent string, id *Identity, logs int) func(error) {
	if parent == "" {
		return func(error) {}
	}
	ctx = propagation.TraceContext{}.Extract(ctx, propagation.MapCarrier{"traceparent": parent})
	_, span := otel.Tracer("wasmtail/hub/stream").Start(ctx, "hub.store", trace.WithAttributes(
		attribute.String("wasmtail.project", id.Project),
		attribute.String("wasmtail.logstore", id.Logstore),
		attribute.String("wasmtail.batch", id.BatchID()),
		attribute.Int("wasmtail.records", logs),
	))
	return func(err error) {
		if err != nil {
			span.SetStatus(codes.Error, err.Error())
		}
		span.End()
	}
}
