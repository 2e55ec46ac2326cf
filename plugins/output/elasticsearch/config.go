package elasticsearch

import (
	"strings"
	"time"

	"github.com/wasmtail/wasmtail/agent/dispatch"
	"github.com/wasmtail/wasmtail/agent/transport"
	"github.com/wasmtail/wasmtail/internal/config"
	"github.com/wasmtail/wasmtail/internal/placeholder"
)

// Config is the `elasticsearch` output: it sends records to Elasticsearch,
// OpenSearch, or another receiver of `_bulk` requests. Each record has an `_id` that
// depends only on where it was read, so that one that is sent twice is stored once:
// within an index, or the index of a data stream that is written to.
type Config struct {
	// URL is where the receiver listens, with the path in front of `/_bulk` if there
	// is one. Without a scheme it is https.
	URL string `yaml:"url" required:"true" example:"https://elasticsearch.example:9200"`
	// Index is the name of the index or data stream. `{logstore}`, `{pipeline}` and
	// `{host}` are filled in, and so is a date such as `{%Y.%m.%d}`: that of the
	// record, in UTC, or of when it was read if it has no time. A data stream has no
	// date in its name.
	Index string `yaml:"index" default:"wasmtail-{logstore}-{%Y.%m.%d}" example:"logs-{logstore}-default"`
	// IngestPipeline is run by the receiver over each record; empty for its default.
	IngestPipeline string `yaml:"ingest_pipeline" example:"geoip"`
	// Auth is how the agent says who it is.
	Auth dispatch.Auth `yaml:"auth"`
	// Headers are sent with each request.
	Headers map[string]config.Secret `yaml:"headers" example:"{X-Tenant: web}"`
	// TLS says how to know the receiver, for https.
	TLS transport.TLS `yaml:"tls"`
	// Compression of request bodies.
	Compression string `yaml:"compression" default:"gzip" enum:"gzip,none"`
	// Timeout bounds one request, from connecting to the end of the answer.
	Timeout time.Duration `yaml:"timeout" default:"30s" example:"60s"`
	// RawBytesMax is the largest request, before compression, that is sent. A larger
	// batch is sent in parts. Receivers take 100 MB, or 10 MiB on small machines of
	// cloud services.
	RawBytesMax config.Size `yaml:"raw_bytes_max" default:"10MiB" example:"50MiB"`
}

// indexBytesMax is what Elasticsearch allows.
const indexBytesMax = 255

// Validate reports what cannot work.
func (c *Config) Validate(report func(key, problem string)) {
	if c.URL != "" {
		if a, err := dispatch.ParseAddress(c.URL); err != nil {
			report("url", err.Error())
		} else if a.Query != "" {
			report("url", "must not have a query")
		}
	}
	if index, err := placeholder.Parse(c.Index, true); err != nil {
		report("index", err.Error())
	} else if problem := indexProblem(index.Fill(placeholder.Values{Logstore: "x", Pipeline: "x", Host: "x"}, time.Unix(0, 0))); problem != "" {
		report("index", problem)
	}
	if c.Timeout < 0 {
		report("timeout", "must not be negative")
	}
	if c.RawBytesMax < 64*config.KiB || c.RawBytesMax > 100*config.MiB {
		report("raw_bytes_max", "must be from 64KiB to 100MiB")
	}
	dispatch.CheckHeaders(c.Headers, report)
}

// indexProblem says why a receiver would not take a name.
func indexProblem(name string) string {
	switch {
	case name == "" || name == "." || name == "..":
		return "is no name"
	case name != strings.ToLower(name):
		return "must be in lower case"
	case strings.ContainsAny(name, `\/*?"<>| ,#:`):
		return "must not hold spaces or one of \\ / * ? \" < > | , # :"
	case strings.ContainsAny(name[:1], "-_+"):
		return "must not begin with -, _ or +"
	case len(name) > indexBytesMax-80: // what placeholders may add
		return "is too long"
	}
	return ""
}
