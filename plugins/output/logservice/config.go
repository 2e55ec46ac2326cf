package logservice

import (
	"net/netip"
	"net/url"
	"strings"
	"time"

	"github.com/wasmtail/wasmtail/agent/transport"
	"github.com/wasmtail/wasmtail/internal/config"
)

// Config is the `logservice` output: it sends records to the hub, or to Log
// Service, by the PutLogs call.
type Config struct {
	// Endpoint is where the receiver listens: scheme, host and port, without the
	// project and without a path. Without a scheme it is https.
	Endpoint string `yaml:"endpoint" required:"true" example:"https://cn-hangzhou.log.aliyuncs.com"`
	// Region is part of a version 4 signature. It must be the region of the
	// endpoint. For `<region>.log.aliyuncs.com` it need not be given; the hub
	// takes any.
	Region string `yaml:"region" example:"cn-hangzhou"`
	// Project holds the logstores that pipelines name.
	Project string `yaml:"project" required:"true" example:"my-project"`
	// AccessKeyID names the key that signs requests. It, or credentials_file, is
	// required.
	AccessKeyID string `yaml:"access_key_id" example:"${env:WASMTAIL_KEY_ID}"`
	// AccessKeySecret is the secret of the key. It is best taken from a file or
	// the environment.
	AccessKeySecret config.Secret `yaml:"access_key_secret" example:"${file:key.secret}"`
	// SecurityToken belongs to a temporary key. It is empty for others.
	SecurityToken config.Secret `yaml:"security_token" example:"${env:WASMTAIL_TOKEN}"`
	// CredentialsFile holds a key that is renewed while the agent runs: a JSON
	// object with AccessKeyId, AccessKeySecret and, for a temporary key,
	// SecurityToken, as the metadata service of a cloud host gives it. It is read
	// again when it changes.
	CredentialsFile string `yaml:"credentials_file" path:"true" example:"/run/wasmtail/key.json"`
	// Signature is the version of the signature: `v4`, or `v1` for receivers
	// that do not know it. `v1` stands on SHA-1 and does not cover the host.
	Signature string `yaml:"signature" default:"v4" enum:"v4,v1"`
	// Compression of request bodies. `snappy` takes the least CPU and is spoken
	// by the hub; `zstd` makes bodies smaller by another third for three times
	// the CPU; Log Service takes `lz4`, `zstd` and `deflate`. Towards a receiver
	// that does not know the one chosen here, the agent goes over to `lz4`.
	Compression string `yaml:"compression" default:"snappy" enum:"snappy,zstd,lz4,deflate,none"`
	// Timeout bounds one request, from connecting to the end of the answer.
	Timeout time.Duration `yaml:"timeout" default:"10s" example:"30s"`
	// TLS says how to know the receiver, for https.
	TLS transport.TLS `yaml:"tls"`
	// Topic is stored with every record as `__topic__`. It may be empty.
	Topic string `yaml:"topic" example:"checkout"`
	// Source is stored with every record as `__source__`. It may be empty; the
	// name of the host is always stored too, as the tag `__hostname__`.
	Source string `yaml:"source" example:"10.0.0.7"`
	// Ledger adds tags that say which bytes of which file a request holds. The
	// hub uses them to drop repeated records and to show that nothing is
	// missing. For other receivers they are more text to store.
	Ledger bool `yaml:"ledger" default:"true" example:"false"`
	// PathStyle sends the project in the header `x-log-project`, not as the
	// first part of the host name. It is always so when the endpoint is an IP
	// address or `localhost`.
	PathStyle bool `yaml:"path_style" default:"false" example:"true"`
	// RawBytesMax is the largest request, before compression, that is sent. A
	// larger batch is sent in parts. 3 MiB is what every Log Service takes.
	RawBytesMax config.Size `yaml:"raw_bytes_max" default:"3MiB" example:"8MiB"`
}

// Validate reports what cannot work.
func (c *Config) Validate(report func(key, problem string)) {
	if c.Endpoint != "" {
		if _, err := transport.ParseEndpoint(c.Endpoint); err != nil {
			report("endpoint", err.Error())
		}
	}
	if strings.ContainsAny(c.Project, "./: ") {
		report("project", "must be a name without dots, slashes, colons or spaces")
	}
	if strings.ContainsAny(c.AccessKeyID, ":/, ") {
		report("access_key_id", "must not hold colons, slashes, commas or spaces")
	}
	switch {
	case c.CredentialsFile != "" && (c.AccessKeyID != "" || c.AccessKeySecret != "" || c.SecurityToken != ""):
		report("credentials_file", "stands in place of access_key_id, access_key_secret and security_token: give either")
	case c.CredentialsFile == "" && c.AccessKeyID == "":
		report("access_key_id", "is required, unless credentials_file is set")
	case c.CredentialsFile == "" && c.AccessKeySecret == "":
		report("access_key_secret", "is required, unless credentials_file is set")
	}
	if c.Timeout < 0 {
		report("timeout", "must not be negative")
	}
	if c.RawBytesMax < 64*config.KiB || c.RawBytesMax > 64*config.MiB {
		report("raw_bytes_max", "must be from 64KiB to 64MiB")
	}
}

// publicDomain is the domain of Log Service's own endpoints.
const publicDomain = ".log.aliyuncs.com"

// region returns the configured region, or that of a public endpoint.
func (c *Config) region(endpoint *url.URL) string {
	if c.Region != "" {
		return c.Region
	}
	name, public := strings.CutSuffix(endpoint.Hostname(), publicDomain)
	if !public {
		return "local"
	}
	for _, network := range []string{"-intranet", "-internal", "-share"} {
		name = strings.TrimSuffix(name, network)
	}
	return name
}

// isPathStyle is true when the project cannot be a part of the host name.
func (c *Config) isPathStyle(endpoint *url.URL) bool {
	host := endpoint.Hostname()
	_, err := netip.ParseAddr(host)
	return c.PathStyle || err == nil || host == "localhost"
}
