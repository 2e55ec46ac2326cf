package httppoll

import (
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"time"

	"github.com/wasmtail/wasmtail/agent/transport"
	"github.com/wasmtail/wasmtail/internal/config"
)

// Config are the settings of the http_poll input: it asks addresses at an interval,
// and each answer, or the lack of one, is a record.
type Config struct {
	// URLs are asked, each by itself.
	URLs []string `yaml:"urls" required:"true" example:"[http://127.0.0.1:8080/healthz]"`
	// Method of the requests.
	Method string `yaml:"method" default:"GET" enum:"GET,HEAD,POST,PUT"`
	// Headers are sent with each request.
	Headers map[string]config.Secret `yaml:"headers" example:"{Accept: application/json}"`
	// RequestBody is sent with each request.
	RequestBody string `yaml:"request_body" example:"'{\"query\":\"up\"}'"`
	// User is the name for basic authentication.
	User string `yaml:"user" example:"monitor"`
	// Password is that of the user.
	Password config.Secret `yaml:"password" example:"${env:WASMTAIL_POLL_PASSWORD}"`
	// Interval is the time from one request to an address to the next. A request that
	// takes longer delays the next.
	Interval time.Duration `yaml:"interval" default:"30s" example:"1m"`
	// Timeout is how long an answer may take, with its body.
	Timeout time.Duration `yaml:"timeout" default:"10s" example:"3s"`
	// Body says whether the body of an answer is in the record, as its content.
	Body bool `yaml:"body" default:"true" example:"false"`
	// MaxBody is how much of a body is read; the record says if it is longer.
	MaxBody config.Size `yaml:"max_body" default:"64KiB" example:"1MiB"`
	// Match is a regular expression in RE2 syntax. The field `match` says whether the
	// part of the body that was read has it.
	Match string `yaml:"match" example:"'\"status\":\\s*\"up\"'"`
	// TLS says how the addresses prove who they are. Their certificates are verified.
	TLS transport.TLS `yaml:"tls"`
}

// Validate reports what is wrong with the settings.
func (c *Config) Validate(report func(key, problem string)) {
	if len(c.URLs) == 0 {
		report("urls", "must not be empty")
	}
	seen := map[string]bool{}
	for i, text := range c.URLs {
		at := fmt.Sprintf("urls[%d]", i)
		u, err := url.Parse(text)
		switch {
		case err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "":
			report(at, fmt.Sprintf("%q is not an address such as http://host:port/path", text))
		case u.User != nil:
			report(at, "must not have a password in it: set user and password")
		case seen[text]:
			report(at, "is there twice")
		}
		seen[text] = true
	}
	if c.Interval < 100*time.Millisecond {
		report("interval", "must be at least 100ms")
	}
	if c.Timeout < 10*time.Millisecond {
		report("timeout", "must be at least 10ms")
	}
	if c.MaxBody < 1 || c.MaxBody > 16*config.MiB {
		report("max_body", "must be between 1B and 16MiB")
	}
	if _, err := regexp.Compile(c.Match); err != nil {
		report("match", err.Error())
	}
	if c.RequestBody != "" && (c.Method == http.MethodGet || c.Method == http.MethodHead) {
		report("request_body", "cannot be sent with "+c.Method+"; use POST or PUT")
	}
	if (c.User == "") != (c.Password == "") {
		report("user", "needs a password beside it, and a password a user")
	}
	c.TLS.Validate(func(key, problem string) { report("tls."+key, problem) })
}
