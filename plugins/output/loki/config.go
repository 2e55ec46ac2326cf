package loki

import (
	"regexp"
	"strings"
	"time"

	"github.com/wasmtail/wasmtail/agent/dispatch"
	"github.com/wasmtail/wasmtail/agent/transport"
	"github.com/wasmtail/wasmtail/internal/config"
	"github.com/wasmtail/wasmtail/internal/placeholder"
)

// Config is the `loki` output: it pushes records to Grafana Loki, or to what takes
// its push requests.
type Config struct {
	// URL is where the receiver listens, with the path in front of
	// `/loki/api/v1/push` if there is one, or a whole path that ends in `/push`.
	// Without a scheme it is https.
	URL string `yaml:"url" required:"true" example:"https://loki.example:3100"`
	// Tenant is sent as `X-Scope-OrgID`. `{logstore}`, `{pipeline}` and `{host}` are
	// filled in. Empty sends none.
	Tenant string `yaml:"tenant" example:"'{logstore}'"`
	// Labels are those of all records, with `{logstore}`, `{pipeline}` and `{host}`
	// filled in. If not set they are `{host: "{host}", job: "{logstore}"}`; of the
	// job Loki makes `service_name`.
	Labels map[string]string `yaml:"labels" example:"{job: '{logstore}', env: prod}"`
	// LabelFields are fields of records that become labels too. Each new combination
	// of their values is a stream of its own, which is dear: take those with few
	// values, such as a level.
	LabelFields []string `yaml:"label_fields" example:"[level]"`
	// StreamsMax is how many combinations of the values of label_fields there may be,
	// until the agent is started again. The fields of further ones do not become
	// labels but structured metadata.
	StreamsMax int `yaml:"streams_max" default:"1000" example:"100"`
	// Line is what the line of an entry is: `auto` is the line of a record that no
	// processor has taken apart, and an object of the fields of others; `json` is
	// always that object; `raw` is the line as it was read, with all that processors
	// have removed.
	Line string `yaml:"line" default:"auto" enum:"auto,json,raw"`
	// MetadataFields are fields that are sent as structured metadata too.
	MetadataFields []string `yaml:"metadata_fields" example:"[trace_id]"`
	// StructuredMetadata adds the path of the file, as `filename`, and the marks of a
	// record to its entry, with metadata_fields. Loki before 3.0 must be told to take
	// it; without it, marks and metadata_fields are in no place but the line.
	StructuredMetadata bool `yaml:"structured_metadata" default:"true" example:"false"`
	// Auth is how the agent says who it is.
	Auth dispatch.Auth `yaml:"auth"`
	// Headers are sent with each request.
	Headers map[string]config.Secret `yaml:"headers" example:"{X-Zone: a}"`
	// TLS says how to know the receiver, for https.
	TLS transport.TLS `yaml:"tls"`
	// Timeout bounds one request, from connecting to the end of the answer.
	Timeout time.Duration `yaml:"timeout" default:"10s" example:"30s"`
	// RawBytesMax is the largest request, before compression, that is sent. A larger
	// batch is sent in parts.
	RawBytesMax config.Size `yaml:"raw_bytes_max" default:"3MiB" example:"1MiB"`
}

// labelRE is what Loki takes as the name of a label.
var labelRE = regexp.MustCompile(`^[a-zA-Z_][a-zA-Z0-9_]*$`)

// labelsMax is how many labels Loki takes.
const labelsMax = 15

// Validate reports what cannot work.
func (c *Config) Validate(report func(key, problem string)) {
	if c.URL != "" {
		if _, err := dispatch.ParseAddress(c.URL); err != nil {
			report("url", err.Error())
		}
	}
	if _, err := placeholder.Parse(c.Tenant, false); err != nil {
		report("tenant", err.Error())
	} else if strings.ContainsFunc(c.Tenant, func(r rune) bool { return r <= ' ' || r > '~' }) {
		report("tenant", "must be one word of ASCII characters")
	}
	for name, value := range c.Labels {
		if !labelRE.MatchString(name) || strings.HasPrefix(name, "__") {
			report("labels."+name, "is no name of a label: it must have letters, digits and _, no digit first and not two _")
		}
		if _, err := placeholder.Parse(value, false); err != nil {
			report("labels."+name, err.Error())
		}
	}
	if len(c.Labels)+len(c.LabelFields) > labelsMax {
		report("label_fields", "and labels are more than the 15 that Loki takes")
	}
	for _, name := range c.LabelFields {
		if _, set := c.Labels[labelName(name)]; set {
			report("label_fields", "has "+name+", and labels has it too: remove one")
		}
	}
	if c.StreamsMax < 1 || c.StreamsMax > 100_000 {
		report("streams_max", "must be from 1 to 100000")
	}
	if c.Timeout < 0 {
		report("timeout", "must not be negative")
	}
	if c.RawBytesMax < 64*config.KiB || c.RawBytesMax > 64*config.MiB {
		report("raw_bytes_max", "must be from 64KiB to 64MiB")
	}
	if len(c.MetadataFields) > 0 && !c.StructuredMetadata {
		report("metadata_fields", "are structured metadata, and structured_metadata is off")
	}
	dispatch.CheckHeaders(c.Headers, report)
}

// labelName is a name that Loki takes, for that of a field.
func labelName(name string) string {
	fit := strings.Map(func(r rune) rune {
		if r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' {
			return r
		}
		return '_'
	}, name)
	if fit == "" || fit[0] >= '0' && fit[0] <= '9' {
		fit = "_" + fit
	}
	if strings.HasPrefix(fit, "__") {
		fit = "f" + fit
	}
	return fit
}
