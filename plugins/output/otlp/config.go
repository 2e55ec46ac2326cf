package otlp

import (
	"strings"
	"time"

	"github.com/wasmtail/wasmtail/agent/dispatch"
	"github.com/wasmtail/wasmtail/agent/transport"
	"github.com/wasmtail/wasmtail/internal/config"
	"github.com/wasmtail/wasmtail/internal/placeholder"
)

// Config is the `otlp` output: it sends records by the OpenTelemetry protocol, to a
// Collector or to any other receiver of it.
type Config struct {
	// URL is where the receiver listens. For `http`, `/v1/logs` is added to it,
	// unless its path ends so already. Without a scheme it is https; `http://` is
	// without TLS, for `grpc` too.
	URL string `yaml:"url" required:"true" example:"https://collector.example:4318"`
	// Protocol is `http`, protobuf in requests of HTTP, usually at port 4318, or
	// `grpc`, usually at port 4317.
	Protocol string `yaml:"protocol" default:"http" enum:"http,grpc"`
	// ServiceName is the attribute `service.name` of the resource. `{logstore}`,
	// `{pipeline}` and `{host}` are filled in.
	ServiceName string `yaml:"service_name" default:"{logstore}" example:"shop"`
	// Resource has further attributes of the resource, with the same placeholders.
	Resource map[string]string `yaml:"resource" example:"{deployment.environment.name: prod}"`
	// MessageFields are the fields that hold the message of a record: the first that
	// it has becomes the body, and the other fields attributes. The body of a record
	// without any is the line, if no processor has taken it apart, or a map of its
	// fields.
	MessageFields []string `yaml:"message_fields" default:"message,msg" example:"[text]"`
	// SeverityFields are the fields that hold the level of a record: the first that
	// it has becomes the severity. Words such as `warning`, the numbers of syslog (0
	// to 7) and those of pino (10 to 60) are understood; others are sent as text.
	SeverityFields []string `yaml:"severity_fields" default:"level,severity" example:"[lvl]"`
	// Auth is how the agent says who it is.
	Auth dispatch.Auth `yaml:"auth"`
	// Headers are sent with each request; for `grpc` as metadata.
	Headers map[string]config.Secret `yaml:"headers" example:"{X-Scope-OrgID: web}"`
	// TLS says how to know the receiver, for https.
	TLS transport.TLS `yaml:"tls"`
	// Compression of requests.
	Compression string `yaml:"compression" default:"gzip" enum:"gzip,none"`
	// Timeout bounds one request, from connecting to the end of the answer.
	Timeout time.Duration `yaml:"timeout" default:"10s" example:"30s"`
	// RawBytesMax is the largest request, before compression, that is sent. A larger
	// batch is sent in parts. A Collector takes 4 MiB by gRPC.
	RawBytesMax config.Size `yaml:"raw_bytes_max" default:"3MiB" example:"10MiB"`
}

// reservedResource are attributes that the output sets itself.
var reservedResource = []string{"service.name", "host.name", "wasmtail.pipeline", "wasmtail.logstore"}

// Validate reports what cannot work.
func (c *Config) Validate(report func(key, problem string)) {
	if c.URL != "" {
		address, err := dispatch.ParseAddress(c.URL)
		switch {
		case err != nil:
			report("url", err.Error())
		case c.Protocol == "grpc" && (address.Path != "" || address.Query != ""):
			report("url", "must not have a path for grpc")
		}
	}
	if _, err := placeholder.Parse(c.ServiceName, false); err != nil {
		report("service_name", err.Error())
	}
	for name, value := range c.Resource {
		if _, err := placeholder.Parse(value, false); err != nil {
			report("resource."+name, err.Error())
		}
		for _, reserved := range reservedResource {
			if name == reserved {
				report("resource."+name, "is set by the agent itself; see service_name")
			}
		}
	}
	if c.Protocol == "grpc" {
		for name := range c.Headers {
			if lower := strings.ToLower(name); strings.HasPrefix(lower, "grpc-") || strings.HasSuffix(lower, "-bin") {
				report("headers."+name, "cannot be metadata of gRPC")
			}
		}
	}
	if c.Timeout < 0 {
		report("timeout", "must not be negative")
	}
	if c.RawBytesMax < 64*config.KiB || c.RawBytesMax > 64*config.MiB {
		report("raw_bytes_max", "must be from 64KiB to 64MiB")
	}
	dispatch.CheckHeaders(c.Headers, report)
}
