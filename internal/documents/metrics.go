package documents

import (
	"bytes"
	"fmt"
	"strings"

	"github.com/wasmtail/wasmtail/internal/telemetry"
)

// MetricsPath is where the reference of the metrics lies.
const MetricsPath = "docs/metrics.md"

const (
	metricsIntro = "# Metrics\n\n" +
		"Both programs answer `GET /metrics` in Prometheus' text format. A histogram shows as `_bucket`, `_sum` and `_count` with the same labels.\n"
	agentIntro = "\n## The agent\n\n" +
		"At the address of `admin.listen` in the [configuration](configuration.md#admin). " +
		"Beside these it shows the Go runtime and the process, as `go_` and `process_`.\n\n"
	hubIntro = "\n## The hub\n\n" +
		"At the address of `--listen`, without a key. Counters begin at 0 when the hub starts.\n\n"
)

// metrics writes the reference of the metrics from their declarations.
func metrics() []byte {
	var b bytes.Buffer
	b.WriteString(metricsIntro)
	b.WriteString(agentIntro)
	metricsTable(&b, telemetry.Agent)
	b.WriteString(hubIntro)
	metricsTable(&b, telemetry.Hub)
	return b.Bytes()
}

func metricsTable(b *bytes.Buffer, list []*telemetry.Metric) {
	b.WriteString("| Name | Kind | Unit | Labels | Meaning |\n| --- | --- | --- | --- | --- |\n")
	for _, m := range list {
		unit := m.Unit
		if unit == "" {
			unit = "–"
		}
		labels := make([]string, 0, len(m.Labels))
		for _, l := range m.Labels {
			labels = append(labels, fmt.Sprintf("`%s`: %s", l.Name, l.Values))
		}
		if len(labels) == 0 {
			labels = append(labels, "–")
		}
		fmt.Fprintf(b, "| `%s` | %s | %s | %s | %s |\n", m.Name, m.Kind, unit, strings.Join(labels, "<br>"), m.Help)
	}
}
