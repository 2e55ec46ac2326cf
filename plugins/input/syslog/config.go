package syslog

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/wasmtail/wasmtail/internal/config"
)

// Config are the settings of the syslog input: it listens for messages as RFC 5424
// and RFC 3164 describe them, and makes a record of each.
type Config struct {
	// Listen lists where to listen: udp://HOST:PORT, tcp://HOST:PORT, tls://HOST:PORT,
	// unix:///PATH for connections and unixgram:///PATH for datagrams.
	Listen []string `yaml:"listen" required:"true" example:"['udp://0.0.0.0:514', 'tcp://0.0.0.0:514']"`
	// TimeZone is that of times without one, as RFC 3164 has them: Local, UTC, or a
	// name such as Europe/Berlin.
	TimeZone string `yaml:"time_zone" default:"Local" example:"Europe/Berlin"`
	// MaxMessageSize is the longest message. A longer one is delivered in pieces, each
	// marked split.
	MaxMessageSize config.Size `yaml:"max_message_size" default:"64KiB" example:"1MiB"`
	// MaxConnections is how many may be open at once, over all addresses. One more is
	// closed as soon as it is made, and counted.
	MaxConnections int `yaml:"max_connections" default:"256" example:"1000"`
	// IdleTimeout is how long a connection may be without a whole message before it is
	// closed. It does not run while the pipeline has no room.
	IdleTimeout time.Duration `yaml:"idle_timeout" default:"10m" example:"1h"`
	// ReceiveBuffer is how many bytes the system is asked to keep of datagrams that
	// wait. What it grants is in the log; more than net.core.rmem_max needs
	// CAP_NET_ADMIN.
	ReceiveBuffer config.Size `yaml:"receive_buffer" default:"4MiB" example:"16MiB"`
	// SocketMode are the permissions of unix sockets, in octal digits.
	SocketMode string `yaml:"socket_mode" default:"0666" example:"'0660'"`
	// TLS is for addresses that begin with tls.
	TLS TLS `yaml:"tls"`
}

// TLS says how the agent proves who it is to senders, and how they do.
type TLS struct {
	// CertFile is the agent's certificate in PEM form, with those that lead to its
	// authority. It is read at each connection, so that it can be renewed.
	CertFile string `yaml:"cert_file" path:"true" example:"/etc/wasmtail/syslog.pem"`
	// KeyFile is the private key of `cert_file` in PEM form. Only the agent should be
	// able to read it.
	KeyFile string `yaml:"key_file" path:"true" example:"/etc/wasmtail/syslog.key"`
	// ClientCAFile is a file of certificates in PEM form. With it, only senders with a
	// certificate from one of these authorities are taken.
	ClientCAFile string `yaml:"client_ca_file" path:"true" example:"/etc/wasmtail/senders-ca.pem"`
	// MinVersion is the oldest version of TLS that is spoken.
	MinVersion string `yaml:"min_version" default:"1.2" enum:"1.2,1.3"`
}

// The bounds of max_message_size. Below, RFC 5424's least does not fit; above, a
// connection would take too much memory.
const (
	messageBytesMin = 480
	messageBytesMax = 16 << 20
)

// Validate reports settings that cannot work.
func (c *Config) Validate(report func(key, problem string)) {
	encrypted := false
	for i, text := range c.Listen {
		a, err := parseAddress(text)
		if err != nil {
			report(fmt.Sprintf("listen[%d]", i), err.Error())
		}
		encrypted = encrypted || a.scheme == "tls"
	}
	if encrypted && (c.TLS.CertFile == "" || c.TLS.KeyFile == "") {
		report("tls.cert_file", "and tls.key_file are needed to listen with tls")
	}
	if _, err := time.LoadLocation(c.TimeZone); err != nil {
		report("time_zone", "must be Local, UTC, or a name that this system knows, such as Europe/Berlin")
	}
	if c.MaxMessageSize < messageBytesMin || c.MaxMessageSize > messageBytesMax {
		report("max_message_size", "must be from 480 bytes to 16MiB")
	}
	if c.MaxConnections < 1 {
		report("max_connections", "must be at least 1")
	}
	if c.IdleTimeout < time.Second {
		report("idle_timeout", "must be at least 1s")
	}
	if c.ReceiveBuffer < 4096 || c.ReceiveBuffer > config.GiB {
		report("receive_buffer", "must be from 4KiB to 1GiB")
	}
	if _, err := c.socketMode(); err != nil {
		report("socket_mode", "must be octal digits, such as 0660")
	}
}

func (c *Config) socketMode() (os.FileMode, error) {
	mode, err := strconv.ParseUint(c.SocketMode, 8, 9)
	return os.FileMode(mode), err
}

// address is where a listener listens.
type address struct {
	scheme string // udp, tcp, tls, unix or unixgram
	place  string // host:port, or a path
}

func (a address) String() string { return a.scheme + "://" + a.place }

// datagrams is true where messages come one by one, and not over connections.
func (a address) datagrams() bool { return a.scheme == "udp" || a.scheme == "unixgram" }

func (a address) unix() bool { return a.scheme == "unix" || a.scheme == "unixgram" }

func (a address) network() string {
	if a.scheme == "tls" {
		return "tcp"
	}
	return a.scheme
}

func parseAddress(text string) (address, error) {
	scheme, place, ok := strings.Cut(text, "://")
	a := address{scheme, place}
	switch {
	case !ok:
		return a, errors.New("must be as in udp://0.0.0.0:514, or begin with tcp, tls, unix or unixgram")
	case a.unix():
		if !filepath.IsAbs(place) {
			return a, errors.New("must have an absolute path, as in unix:///run/wasmtail/syslog.sock")
		}
		return a, nil
	case scheme != "udp" && scheme != "tcp" && scheme != "tls":
		return a, errors.New("must begin with udp, tcp, tls, unix or unixgram")
	}
	_, port, err := net.SplitHostPort(place)
	if n, failed := strconv.ParseUint(port, 10, 16); err != nil || failed != nil || n > 65535 {
		return a, errors.New("must have a host and a port, as in tcp://0.0.0.0:514")
	}
	return a, nil
}
