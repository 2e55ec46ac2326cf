package telemetry

import (
	"context"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/metric"
)

// Kind is what Prometheus calls the type of a metric.
type Kind string

// The kinds of metrics.
const (
	Counter   Kind = "counter"
	Gauge     Kind = "gauge"
	Histogram Kind = "histogram"
)

// Label is a label of a metric.
type Label struct {
	Name string
	// Values says what its values are, in words.
	Values string
}

// Metric declares a metric: the programs make it from this, and the reference
// is written from it.
type Metric struct {
	// Name as a scrape shows it.
	Name string
	Kind Kind
	// Unit is empty where things are counted.
	Unit   string
	Labels []Label
	Help   string
	// Bounds of a histogram's buckets.
	Bounds []float64
}

const meterName = "wasmtail"

// Counter makes the counter of that declaration.
func (m *Metric) Counter() (metric.Int64Counter, error) {
	return otel.Meter(meterName).Int64Counter(m.Name, metric.WithDescription(m.Help))
}

// Histogram makes the histogram of that declaration.
func (m *Metric) Histogram() (metric.Float64Histogram, error) {
	return otel.Meter(meterName).Float64Histogram(m.Name, metric.WithDescription(m.Help), metric.WithExplicitBucketBoundaries(m.Bounds...))
}

// Observe makes the gauge of that declaration for one set of labels: each
// scrape asks for its value, until what is returned is unregistered.
func (m *Metric) Observe(value func() int64, labels metric.MeasurementOption) (metric.Registration, error) {
	meter := otel.Meter(meterName)
	gauge, err := meter.Int64ObservableGauge(m.Name, metric.WithDescription(m.Help))
	if err != nil {
		return nil, err
	}
	// A callback given with the instrument would be that of the first set only.
	return meter.RegisterCallback(func(_ context.Context, o metric.Observer) error {
		o.ObserveInt64(gauge, value(), labels)
		return nil
	}, gauge)
}

// ObserveCounter makes the counter of that declaration for one set of labels,
// for what is counted elsewhere: each scrape asks for its value.
func (m *Metric) ObserveCounter(value func() int64, labels metric.MeasurementOption) error {
	meter := otel.Meter(meterName)
	counter, err := meter.Int64ObservableCounter(m.Name, metric.WithDescription(m.Help))
	if err != nil {
		return err
	}
	_, err = meter.RegisterCallback(func(_ context.Context, o metric.Observer) error {
		o.ObserveInt64(counter, value(), labels)
		return nil
	}, counter)
	return err
}
