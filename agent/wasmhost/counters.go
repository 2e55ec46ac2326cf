package wasmhost

import (
	"errors"
	"sync/atomic"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"github.com/wasmtail/wasmtail/internal/telemetry"
	"github.com/wasmtail/wasmtail/sdk/abi"
)

// counters are what is counted of one module, since the agent started. They
// outlive its versions. Safe for concurrent use.
type counters struct {
	calls, events                  atomic.Int64
	parsed, noMatch, erroneous     atomic.Int64 // rows by their status
	dropped                        atomic.Int64 // rows dropped by the module's own rule
	failed, bypassed               atomic.Int64 // lines kept raw, for the module's faults
	units, nanos, copied, badTimes atomic.Int64
	recycled, refused              atomic.Int64
	lost                           [faultKinds]atomic.Int64
	own                            [abi.MetricsMax]atomic.Int64
}

// rows counts the rows of a call.
func (c *counters) rows(rows []row) {
	var status [abi.RowError + 1]int64
	dropped := int64(0)
	for i := range rows {
		status[rows[i].status]++
		if rows[i].drop {
			dropped++
		}
	}
	for n, to := range []*atomic.Int64{&c.parsed, &c.noMatch, &c.erroneous} {
		if status[n] > 0 {
			to.Add(status[n])
		}
	}
	if dropped > 0 {
		c.dropped.Add(dropped)
	}
}

// register lets scrapes read the counters.
func (c *counters) register(pipeline, stage string, serving func() int64) error {
	labels := func(more ...attribute.KeyValue) metric.MeasurementOption {
		return metric.WithAttributeSet(attribute.NewSet(append(more, attribute.String("pipeline", pipeline), attribute.String("component_id", stage))...))
	}
	outcome := func(v string) metric.MeasurementOption { return labels(attribute.String("outcome", v)) }
	errs := []error{
		telemetry.WasmRows.ObserveCounter(c.parsed.Load, outcome("parsed")),
		telemetry.WasmRows.ObserveCounter(c.noMatch.Load, outcome("no_match")),
		telemetry.WasmRows.ObserveCounter(c.erroneous.Load, outcome("error")),
		telemetry.WasmRows.ObserveCounter(c.dropped.Load, outcome("dropped")),
		telemetry.WasmRows.ObserveCounter(c.failed.Load, outcome("failed")),
		telemetry.WasmRows.ObserveCounter(c.bypassed.Load, outcome("bypassed")),
		telemetry.WasmEvents.ObserveCounter(c.events.Load, labels()),
		telemetry.WasmUnits.ObserveCounter(c.units.Load, labels()),
		telemetry.WasmNanos.ObserveCounter(c.nanos.Load, labels()),
		telemetry.WasmCopied.ObserveCounter(c.copied.Load, labels()),
		telemetry.WasmRefused.ObserveCounter(c.refused.Load, labels()),
	}
	_, err := telemetry.WasmServing.Observe(serving, labels()) // for as long as the host lives
	errs = append(errs, err)
	for k := range faultKinds {
		errs = append(errs, telemetry.WasmLost.ObserveCounter(c.lost[k].Load, labels(attribute.String("reason", k.String()))))
	}
	errs = append(errs, telemetry.WasmLost.ObserveCounter(c.recycled.Load, labels(attribute.String("reason", "recycled"))))
	return errors.Join(errs...)
}
