package httpout

import (
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/wasmtail/wasmtail/agent/dispatch"
	"github.com/wasmtail/wasmtail/agent/transport"
	"github.com/wasmtail/wasmtail/internal/config"
	"github.com/wasmtail/wasmtail/internal/jsonline"
	"github.com/wasmtail/wasmtail/internal/placeholder"
)

// Config is the `http` output: it posts records as JSON objects to any receiver that
// answers with a status of 2xx when it has them: ClickHouse, VictoriaLogs, or a
// program of your own.
type Config struct {
	// URL is where requests go. `{logstore}`, `{pipeline}` and `{host}` in its path
	// and query are filled in. Without a scheme it is https.
	URL string `yaml:"url" required:"true" example:"https://logs.example/ingest/{logstore}"`
	// Query has parameters that are added to the URL, escaped, with the same
	// placeholders.
	Query map[string]string `yaml:"query" example:"{query: 'INSERT INTO logs.{logstore} FORMAT JSONEachRow'}"`
	// Format is `json_lines`, an object on each line, which is also what ClickHouse
	// calls JSONEachRow, or `json_array`, one array of objects.
	Format string `yaml:"format" default:"json_lines" enum:"json_lines,json_array"`
	// ContentType is that of requests. If not set it is `application/x-ndjson`, or
	// `application/json` for arrays.
	ContentType string `yaml:"content_type" example:"text/plain"`
	// Keys are the names of what the agent knows of a record.
	Keys jsonline.Keys `yaml:"keys"`
	// Auth is how the agent says who it is.
	Auth dispatch.Auth `yaml:"auth"`
	// Headers are sent with each request, with the same placeholders.
	Headers map[string]config.Secret `yaml:"headers" example:"{X-Source: '{pipeline}'}"`
	// RefusedStatuses are those by which the receiver says that it will never take
	// some record of the request. The agent then looks for that record, by sending
	// parts, and puts it aside. After any other status the request is sent again,
	// but for 413, after which it is sent in parts.
	RefusedStatuses []int `yaml:"refused_statuses" default:"400,422" example:"[400, 422]"`
	// TLS says how to know the receiver, for https.
	TLS transport.TLS `yaml:"tls"`
	// Compression of request bodies.
	Compression string `yaml:"compression" default:"gzip" enum:"gzip,zstd,none"`
	// Timeout bounds one request, from connecting to the end of the answer.
	Timeout time.Duration `yaml:"timeout" default:"10s" example:"30s"`
	// RawBytesMax is the largest request, before compression, that is sent. A larger
	// batch is sent in parts.
	RawBytesMax config.Size `yaml:"raw_bytes_max" default:"4MiB" example:"1MiB"`
}

// Validate reports what cannot work.
func (c *Config) Validate(report func(key, problem string)) {
	if c.URL != "" {
		if _, err := newPlace(c); err != nil {
			report("url", err.Error())
		}
	}
	for name, value := range c.Query {
		if _, err := placeholder.Parse(value, false); err != nil {
			report("query."+name, err.Error())
		}
	}
	for name, value := range c.Headers {
		if _, err := placeholder.Parse(value.Reveal(), false); err != nil { // which would show a part of it
			report("headers."+name, "has braces that are no placeholder: there are {logstore}, {pipeline} and {host}")
		}
	}
	for _, status := range c.RefusedStatuses {
		if status < 400 || status > 599 || status == 401 || status == 403 || status == 429 {
			report("refused_statuses", fmt.Sprintf("cannot have %d: it must be from 400 to 599, and not about rights or rates (401, 403, 429)", status))
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

// place is where requests go, with placeholders.
type place struct {
	endpoint  string
	path, raw *placeholder.Template
	names     []string // of the parameters
	values    []*placeholder.Template
}

// newPlace reads the URL and the parameters.
func newPlace(c *Config) (*place, error) {
	// Braces are no part of a URL: they are marked while the rest is read, and must
	// not be in the host.
	start, rest := c.URL, ""
	if at := strings.IndexByte(c.URL, '{'); at >= 0 {
		start, rest = c.URL[:at], c.URL[at:]
	}
	after := start
	if _, host, found := strings.Cut(start, "://"); found {
		after = host
	}
	if rest != "" && !strings.ContainsAny(after, "/?") {
		return nil, fmt.Errorf("cannot use %q: placeholders can be in the path and the query only", c.URL)
	}
	hostEnd := strings.IndexAny(after, "/?")
	if hostEnd < 0 {
		hostEnd = len(after)
	}
	head := start[:len(start)-len(after)+hostEnd]
	address, err := dispatch.ParseAddress(head)
	if err != nil {
		return nil, err
	}
	tail := c.URL[len(head):]
	if strings.ContainsAny(tail, "# \t") {
		return nil, fmt.Errorf("cannot use %q: it must not hold spaces or a #; put parameters into query, where they are escaped", c.URL)
	}
	pathText, rawText, _ := strings.Cut(tail, "?")
	if !strings.HasPrefix(pathText, "/") {
		pathText = "/" + pathText
	}
	p := &place{endpoint: address.Endpoint}
	if p.path, err = placeholder.Parse(pathText, false); err != nil {
		return nil, fmt.Errorf("cannot use %q: it %w", c.URL, err)
	}
	if _, err := url.PathUnescape(p.path.Fill(placeholder.Values{}, time.Time{})); err != nil {
		return nil, fmt.Errorf("cannot use %q: %w", c.URL, err)
	}
	if p.raw, err = placeholder.Parse(rawText, false); err != nil {
		return nil, fmt.Errorf("cannot use %q: it %w", c.URL, err)
	}
	for _, name := range slices.Sorted(maps.Keys(c.Query)) {
		value, err := placeholder.Parse(c.Query[name], false)
		if err != nil {
			return nil, fmt.Errorf("cannot use the parameter %s: it %w", name, err)
		}
		p.names, p.values = append(p.names, name), append(p.values, value)
	}
	return p, nil
}

// fill returns path and query for values.
func (p *place) fill(v placeholder.Values) (path, query string) {
	escaped := placeholder.Values{Logstore: url.QueryEscape(v.Logstore), Pipeline: url.QueryEscape(v.Pipeline), Host: url.QueryEscape(v.Host)}
	query = p.raw.Fill(escaped, time.Time{})
	for i, name := range p.names {
		if query != "" {
			query += "&"
		}
		query += url.QueryEscape(name) + "=" + url.QueryEscape(p.values[i].Fill(v, time.Time{}))
	}
	return p.path.Fill(escaped, time.Time{}), query
}
