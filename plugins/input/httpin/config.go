package httpin

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"os"
	"strings"
	"time"

	"github.com/wasmtail/wasmtail/internal/config"
)

// Config are the settings of the http input: an address at which other programs
// deliver records. It is answered only when they are delivered by the outputs of the
// pipeline, or safe on the disk.
type Config struct {
	// Listen is the address to listen on, host and port.
	Listen string `yaml:"listen" default:"127.0.0.1:8080" example:"0.0.0.0:8080"`
	// TLS makes it https.
	TLS TLS `yaml:"tls"`
	// TokensFile has the tokens that senders may show (`Authorization: Bearer TOKEN`),
	// one a line.
	TokensFile string `yaml:"tokens_file" path:"true" example:"/etc/wasmtail/http.tokens"`
	// User is the name for senders that use basic authentication.
	User string `yaml:"user" example:"shop"`
	// Password is that of the user.
	Password config.Secret `yaml:"password" example:"${env:WASMTAIL_HTTP_PASSWORD}"`
	// AccessKeyID is the key of senders of the Log Service protocol, which sign their
	// requests.
	AccessKeyID string `yaml:"access_key_id" example:"key1"`
	// AccessKeySecret is the secret of that key.
	AccessKeySecret config.Secret `yaml:"access_key_secret" example:"${env:WASMTAIL_HTTP_SECRET}"`
	// Anonymous lets everybody deliver who can reach the address. It is not needed on
	// the loopback interface.
	Anonymous bool `yaml:"anonymous" default:"false" example:"true"`
	// MaxBody is how large a request may be when it is inflated.
	MaxBody config.Size `yaml:"max_body" default:"10MiB" example:"20MiB"`
	// MaxMemory is for the requests that are under way. What comes beyond it is
	// answered with 429.
	MaxMemory config.Size `yaml:"max_memory" default:"64MiB" example:"128MiB"`
	// MaxConnections is how many senders may be connected; others wait.
	MaxConnections int `yaml:"max_connections" default:"1000" example:"200"`
	// BodyTimeout is how long a sender may take to send a request.
	BodyTimeout time.Duration `yaml:"body_timeout" default:"30s" example:"10s"`
	// IdleTimeout is how long a sender may keep a connection without a request.
	IdleTimeout time.Duration `yaml:"idle_timeout" default:"2m" example:"30s"`
	// BusyAfter is how long a request waits for room in the pipeline before it is
	// answered with 429.
	BusyAfter time.Duration `yaml:"busy_after" default:"1s" example:"5s"`
	// AckTimeout is how long a request waits until its records are delivered before it
	// is answered with 503. They may be delivered all the same.
	AckTimeout time.Duration `yaml:"ack_timeout" default:"30s" example:"10s"`
}

// TLS says how the input proves who it is, and whom it trusts.
type TLS struct {
	// CertFile is its certificate, PEM, with those between it and the authority.
	CertFile string `yaml:"cert_file" path:"true" example:"/etc/wasmtail/http.pem"`
	// KeyFile is the key of the certificate, PEM.
	KeyFile string `yaml:"key_file" path:"true" example:"/etc/wasmtail/http.key"`
	// ClientCAFile makes senders show a certificate of one of these authorities.
	ClientCAFile string `yaml:"client_ca_file" path:"true" example:"/etc/wasmtail/clients.pem"`
}

// Validate reports what is wrong with the settings.
func (c *Config) Validate(report func(key, problem string)) {
	host, _, err := net.SplitHostPort(c.Listen)
	switch ip := net.ParseIP(host); {
	case err != nil:
		report("listen", fmt.Sprintf("%q is not an address with host and port, such as 127.0.0.1:8080", c.Listen))
	case host == "localhost", ip != nil && ip.IsLoopback(), c.Anonymous, c.TokensFile != "", c.User != "", c.AccessKeyID != "", c.TLS.ClientCAFile != "":
	default:
		report("listen", "can be reached from elsewhere, and everybody could deliver: set tokens_file, user, access_key_id or tls.client_ca_file, or anonymous: true")
	}
	if (c.TLS.CertFile == "") != (c.TLS.KeyFile == "") {
		report("tls", "needs both cert_file and key_file")
	}
	if c.TLS.ClientCAFile != "" && c.TLS.CertFile == "" {
		report("tls.client_ca_file", "needs cert_file and key_file beside it")
	}
	if (c.User == "") != (c.Password == "") {
		report("user", "needs a password beside it, and a password a user")
	}
	if (c.AccessKeyID == "") != (c.AccessKeySecret == "") {
		report("access_key_id", "needs access_key_secret beside it, and that an id")
	}
	if c.MaxBody < config.KiB || c.MaxBody > 256*config.MiB {
		report("max_body", "must be between 1KiB and 256MiB")
	}
	if c.MaxMemory < 2*c.MaxBody {
		report("max_memory", "must be at least twice max_body: a request is held as it came and inflated")
	}
	if c.MaxConnections < 1 {
		report("max_connections", "must be at least 1")
	}
	for key, d := range map[string]time.Duration{"body_timeout": c.BodyTimeout, "idle_timeout": c.IdleTimeout, "busy_after": c.BusyAfter, "ack_timeout": c.AckTimeout} {
		if d < 10*time.Millisecond {
			report(key, "must be at least 10ms")
		}
	}
}

// load reads the files of the settings.
func (t *TLS) load() (*tls.Config, error) {
	if t.CertFile == "" {
		return nil, nil
	}
	pair, err := tls.LoadX509KeyPair(t.CertFile, t.KeyFile)
	if err != nil {
		return nil, fmt.Errorf("cannot read the certificate of the http input: %w", err)
	}
	c := &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{pair}, NextProtos: []string{"h2", "http/1.1"}}
	if t.ClientCAFile == "" {
		return c, nil
	}
	pem, err := os.ReadFile(t.ClientCAFile)
	if err != nil {
		return nil, fmt.Errorf("cannot read the authorities of the http input: %w", err)
	}
	c.ClientCAs, c.ClientAuth = x509.NewCertPool(), tls.RequireAndVerifyClientCert
	if !c.ClientCAs.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("cannot use %s: it has no certificate in PEM", t.ClientCAFile)
	}
	return c, nil
}

// loadTokens reads tokens, one a line; empty lines and those that begin with # are
// none.
func loadTokens(path string) (tokens []string, err error) {
	if path == "" {
		return nil, nil
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("cannot read the tokens of the http input: %w", err)
	}
	defer func() { _ = f.Close() }()
	in := bufio.NewScanner(f)
	for in.Scan() {
		if line := strings.TrimSpace(in.Text()); line != "" && line[0] != '#' {
			tokens = append(tokens, line)
		}
	}
	if err := in.Err(); err != nil {
		return nil, fmt.Errorf("cannot read the tokens of the http input: %w", err)
	}
	if len(tokens) == 0 {
		return nil, fmt.Errorf("cannot use %s: it has no token", path)
	}
	return tokens, nil
}
