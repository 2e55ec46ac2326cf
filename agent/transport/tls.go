package transport

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
)

// TLS says how the receiver proves who it is, and how the agent does.
type TLS struct {
	// CAFile is a file of certificates in PEM form. With it, only receivers with
	// a certificate from one of these authorities are trusted; without it, those
	// the system trusts.
	CAFile string `yaml:"ca_file" path:"true" example:"/etc/wasmtail/ca.pem"`
	// CertFile is the agent's own certificate in PEM form, for receivers that
	// ask for one. It needs `key_file` too.
	CertFile string `yaml:"cert_file" path:"true" example:"/etc/wasmtail/agent.pem"`
	// KeyFile is the private key of `cert_file` in PEM form. Only the agent
	// should be able to read it.
	KeyFile string `yaml:"key_file" path:"true" example:"/etc/wasmtail/agent.key"`
	// InsecureSkipVerify accepts any certificate. Whoever is between the agent
	// and the receiver can then read and change everything: for tests only.
	InsecureSkipVerify bool `yaml:"insecure_skip_verify" default:"false" example:"false"`
}

// Validate reports settings that contradict each other.
func (t *TLS) Validate(report func(key, problem string)) {
	if t.CertFile != "" && t.KeyFile == "" {
		report("key_file", "is missing: cert_file needs its private key")
	}
	if t.KeyFile != "" && t.CertFile == "" {
		report("cert_file", "is missing: key_file needs its certificate")
	}
	if t.InsecureSkipVerify && t.CAFile != "" {
		report("insecure_skip_verify", "makes ca_file useless: leave out one of them")
	}
}

// Load reads the files, and returns what a connection needs.
func (t *TLS) Load() (*tls.Config, error) {
	c := &tls.Config{MinVersion: tls.VersionTLS12, InsecureSkipVerify: t.InsecureSkipVerify} //nolint:gosec // By the user's explicit setting.
	if t.CAFile != "" {
		pem, err := os.ReadFile(t.CAFile)
		if err != nil {
			return nil, fmt.Errorf("cannot read the CA file: %w", err)
		}
		c.RootCAs = x509.NewCertPool()
		if !c.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("cannot use the CA file %s: it holds no certificate in PEM form", t.CAFile)
		}
	}
	if t.CertFile != "" || t.KeyFile != "" {
		pair, err := tls.LoadX509KeyPair(t.CertFile, t.KeyFile)
		if err != nil {
			return nil, fmt.Errorf("cannot load the client certificate: %w", err)
		}
		c.Certificates = []tls.Certificate{pair}
	}
	return c, nil
}

// isCertificate is true for failures that only a change of settings heals.
func isCertificate(err error) bool {
	var verification *tls.CertificateVerificationError
	return errors.As(err, &verification)
}
