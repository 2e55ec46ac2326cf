package pipeline

import (
	"context"
	"errors"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
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
	meter := otel.Meter("wasmtail/pipeline")
	var errs [4]error
	m.events, errs[0] = meter.Int64Counter("wasmtail_component_received_events_total",
		metric.WithDescription("Records framed by a pipeline's input, by what became of them: outcome parsed or failed."))
	m.bytes, errs[1] = meter.Int64Counter("wasmtail_component_received_bytes_total",
		metric.WithDescription("Source bytes of the records framed by a pipeline's input."))
	m.discarded, errs[2] = meter.Int64Counter("wasmtail_component_discarded_events_total",
		metric.WithDescription("Records removed, by reason; intentional says whether a configured rule asked for it."))
	m.errors, errs[3] = meter.Int64Counter("wasmtail_component_errors_total",
		metric.WithDescription("Errors of a component: a processor that is broken, or an attempt to send that failed."))
	set := func(kv ...attribute.KeyValue) metric.MeasurementOption {
		return metric.WithAttributeSet(attribute.NewSet(append(kv, m.label)...))
	}
	m.unlabelled = set()
	m.parsed = set(attribute.String("outcome", "parsed"))
	m.failed = set(attribute.String("outcome", "failed"))
	m.intentional = set(attribute.String("reason", "rule"), attribute.Bool("intentional", true))
	return m, errors.Join(errs[:]...)
}

func (m *pipelineMetrics) batch(parsed, failed, filtered int, bytes int64) {
	ctx := context.Background()
	m.bytes.Add(ctx, bytes, m.unlabelled)
	m.events.Add(ctx, int64(parsed), m.parsed)
	if failed > 0 {
		m.events.Add(ctx, int64(failed), m.failed)
	}
	if filtered > 0 {
		m.discarded.Add(ctx, int64(filtered), m.intentional)
	}
}

func (m *pipelineMetrics) stageError(ctx context.Context, stage string) {
	m.errors.Add(ctx, 1, metric.WithAttributes(m.label, attribute.String("component_id", stage), attribute.String("component_kind", "processor")))
}

// outletMetrics are the counters of one outlet.
type outletMetrics struct {
	sent, refused   metric.Int64Counter
	seconds         metric.Float64Histogram
	ok, failed, all metric.MeasurementOption
}

func newOutletMetrics(name string, queued func() int64) (*outletMetrics, error) {
	m := &outletMetrics{}
	meter := otel.Meter("wasmtail/pipeline")
	var errs [4]error
	m.sent, errs[0] = meter.Int64Counter("wasmtail_component_sent_bytes_total",
		metric.WithDescription("Payload bytes given to an output's receiver, by outcome success or failure."))
	m.refused, errs[1] = meter.Int64Counter("wasmtail_component_rejected_bytes_total",
		metric.WithDescription("Payload bytes that a receiver refused for good and that were put aside."))
	m.seconds, errs[2] = meter.Float64Histogram("wasmtail_ack_latency_seconds", metric.WithUnit("s"),
		metric.WithDescription("Time from the start of an attempt to its answer."),
		metric.WithExplicitBucketBoundaries(.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10))
	label := attribute.String("output", name)
	m.all = metric.WithAttributeSet(attribute.NewSet(label))
	m.ok = metric.WithAttributeSet(attribute.NewSet(label, attribute.String("outcome", "success")))
	m.failed = metric.WithAttributeSet(attribute.NewSet(label, attribute.String("outcome", "failure")))
	buffer, err := meter.Int64ObservableGauge("wasmtail_buffer_bytes",
		metric.WithDescription("Payload bytes that wait for an output or are under way."))
	// A callback given with the instrument would be that of the first output only.
	_, errs[3] = meter.RegisterCallback(func(_ context.Context, o metric.Observer) error {
		o.ObserveInt64(buffer, queued(), m.all)
		return nil
	}, buffer)
	return m, errors.Join(append(errs[:], err)...)
}

func (m *outletMetrics) attempt(ctx context.Context, bytes int, took time.Duration, err error) {
	outcome := m.ok
	if err != nil {
		outcome = m.failed
	}
	m.sent.Add(ctx, int64(bytes), outcome)
	m.seconds.Record(ctx, took.Seconds(), outcome)
}

func (m *outletMetrics) rejected(ctx context.Context, bytes int) {
	m.refused.Add(ctx, int64(bytes), m.all)
}
