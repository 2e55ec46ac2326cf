package pipeline

import (
	"context"
	"errors"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"github.com/wasmtail/wasmtail/agent/queue"
	"github.com/wasmtail/wasmtail/internal/telemetry"
)

// pipelineMetrics are the counters of one pipeline, with their attributes made
// once: the data path looks nothing up.
type pipelineMetrics struct {
	label                                   attribute.KeyValue
	events, bytes, discarded, errors        metric.Int64Counter
	unlabelled, parsed, failed, intentional metric.MeasurementOption
}

func newPipelineMetrics(name string) (*pipelineMetrics, error) {
	m := &pipelineMetrics{label: attribute.String("pipeline", name)}
	var errs [4]error
	m.events, errs[0] = telemetry.ReceivedEvents.Counter()
	m.bytes, errs[1] = telemetry.ReceivedBytes.Counter()
	m.discarded, errs[2] = telemetry.DiscardedEvents.Counter()
	m.errors, errs[3] = telemetry.Errors.Counter()
	if err := errors.Join(errs[:]...); err != nil {
		return nil, err
	}
	set := func(kv ...attribute.KeyValue) metric.MeasurementOption {
		return metric.WithAttributeSet(attribute.NewSet(append(kv, m.label)...))
	}
	m.unlabelled = set()
	m.parsed = set(attribute.String("outcome", "parsed"))
	m.failed = set(attribute.String("outcome", "failed"))
	m.intentional = set(attribute.String("reason", "rule"), attribute.Bool("intentional", true))
	// A counter that appears with its first event has no rate for that event.
	m.batch(0, 0, 0, 0)
	return m, nil
}

func (m *pipelineMetrics) batch(parsed, failed, filtered int, bytes int64) {
	ctx := context.Background()
	m.bytes.Add(ctx, bytes, m.unlabelled)
	m.events.Add(ctx, int64(parsed), m.parsed)
	m.events.Add(ctx, int64(failed), m.failed)
	m.discarded.Add(ctx, int64(filtered), m.intentional)
}

// stageErrors counts n more batches that a processor could not work on.
func (m *pipelineMetrics) stageErrors(ctx context.Context, stage string, n int64) {
	m.errors.Add(ctx, n, metric.WithAttributes(m.label, attribute.String("component_id", stage), attribute.String("component_kind", "processor")))
}

// outletMetrics are the counters of one outlet.
type outletMetrics struct {
	sent, refused, errors      metric.Int64Counter
	gone, onWire               metric.Int64Counter
	seconds                    metric.Float64Histogram
	ok, failed, all, component metric.MeasurementOption
	label                      attribute.KeyValue
}

func newOutletMetrics(name string) (*outletMetrics, error) {
	label := attribute.String("output", name)
	m := &outletMetrics{label: label}
	m.all = metric.WithAttributeSet(attribute.NewSet(label))
	m.ok = metric.WithAttributeSet(attribute.NewSet(label, attribute.String("outcome", "success")))
	m.failed = metric.WithAttributeSet(attribute.NewSet(label, attribute.String("outcome", "failure")))
	m.component = metric.WithAttributeSet(attribute.NewSet(attribute.String("component_id", name), attribute.String("component_kind", "output")))
	var errs [6]error
	m.onWire, errs[5] = telemetry.PipelineWireBytes.Counter()
	m.gone, errs[4] = telemetry.BufferLost.Counter()
	m.sent, errs[0] = telemetry.SentBytes.Counter()
	m.refused, errs[1] = telemetry.RejectedBytes.Counter()
	m.errors, errs[2] = telemetry.Errors.Counter()
	m.seconds, errs[3] = telemetry.AckLatency.Histogram()
	if err := errors.Join(errs[:]...); err != nil {
		return nil, err
	}
	ctx := context.Background()
	m.sent.Add(ctx, 0, m.ok)
	m.sent.Add(ctx, 0, m.failed)
	m.refused.Add(ctx, 0, m.all)
	for _, reason := range []queue.LossReason{queue.Expired, queue.Damaged, queue.SetAside} {
		m.lost(queue.Loss{Reason: reason})
	}
	m.errors.Add(ctx, 0, m.component)
	return m, nil
}

func (m *outletMetrics) attempt(ctx context.Context, bytes int, took time.Duration, err error) {
	outcome := m.ok
	if err != nil {
		outcome = m.failed
		m.errors.Add(ctx, 1, m.component)
	}
	m.sent.Add(ctx, int64(bytes), outcome)
	m.seconds.Record(ctx, took.Seconds(), outcome)
}

// wire counts the bytes on the wire of an attempt for a pipeline.
func (m *outletMetrics) wire(ctx context.Context, pipeline string, bytes int64) {
	m.onWire.Add(ctx, bytes, metric.WithAttributes(m.label, attribute.String("pipeline", pipeline)))
}

func (m *outletMetrics) rejected(ctx context.Context, bytes int) {
	m.refused.Add(ctx, int64(bytes), m.all)
}

func (m *outletMetrics) lost(l queue.Loss) {
	m.gone.Add(context.Background(), int64(l.Records), metric.WithAttributes(m.label, attribute.String("reason", string(l.Reason))))
}
