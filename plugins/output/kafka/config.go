package kafka

import (
	"net"
	"regexp"
	"strconv"
	"time"

	"github.com/wasmtail/wasmtail/agent/dispatch"
	"github.com/wasmtail/wasmtail/agent/transport"
	"github.com/wasmtail/wasmtail/internal/config"
	"github.com/wasmtail/wasmtail/internal/jsonline"
	"github.com/wasmtail/wasmtail/internal/placeholder"
)

// Config is the `kafka` output: it produces records to Kafka 0.11 or newer, or to
// what speaks its protocol, with the idempotent producer and the word of all
// replicas that are in sync.
type Config struct {
	// Brokers are where the cluster is first asked, as host:port. The others are
	// learnt from them.
	Brokers []string `yaml:"brokers" required:"true" example:"[kafka-1:9092, kafka-2:9092]"`
	// Topic is where records go. `{logstore}`, `{pipeline}` and `{host}` are filled
	// in.
	Topic string `yaml:"topic" default:"{logstore}" example:"logs.{logstore}"`
	// CreateTopics asks the cluster for topics that are not there, where it is set up
	// to make them. Without it their records wait.
	CreateTopics bool `yaml:"create_topics" default:"false" example:"true"`
	// Key is what picks the partition: `file`, the host and the path, so that the
	// records of a file stay in order, or `none`.
	Key string `yaml:"key" default:"file" enum:"file,none"`
	// KeyField is a field whose value is the key. Records without it have the key
	// that `key` says.
	KeyField string `yaml:"key_field" example:"user_id"`
	// Format of values is `json`, an object, or `raw`, the line as it was read, with
	// all that processors have removed.
	Format string `yaml:"format" default:"json" enum:"json,raw"`
	// Keys are the names in the object of what the agent knows of a record.
	Keys jsonline.Keys `yaml:"keys"`
	// Compression of the batches that are produced.
	Compression string `yaml:"compression" default:"zstd" enum:"zstd,lz4,snappy,gzip,none"`
	// BatchBytesMax is how large a batch may be before compression, and so a record.
	// It must not be more than the `max.message.bytes` of the topics. Records that
	// are larger are put aside.
	BatchBytesMax config.Size `yaml:"batch_bytes_max" default:"1000000" example:"4MiB"`
	// SASL is how the agent says who it is.
	SASL SASL `yaml:"sasl"`
	// UseTLS encrypts connections.
	UseTLS bool `yaml:"use_tls" default:"false" example:"true"`
	// TLS says how to know the brokers, if use_tls is set.
	TLS transport.TLS `yaml:"tls"`
	// Timeout bounds one attempt for records that have not been sent yet. The outcome
	// of those that have been sent is waited for, so that they are not produced twice.
	Timeout time.Duration `yaml:"timeout" default:"30s" example:"10s"`
}

// SASL is a name and a password, and how they are shown to the brokers.
type SASL struct {
	// Mechanism is `scram-sha-256` or `scram-sha-512`, which do not show the
	// password, or `plain`, which should be used with TLS only. Empty is without
	// SASL.
	Mechanism string `yaml:"mechanism" enum:"plain,scram-sha-256,scram-sha-512" example:"scram-sha-512"`
	// Username is the name.
	Username string `yaml:"username" example:"wasmtail"`
	// Password belongs to the username.
	Password config.Secret `yaml:"password" example:"${env:KAFKA_PASSWORD}"`
	// PasswordFile holds the password, in its first line. It is read again for each
	// new connection.
	PasswordFile string `yaml:"password_file" path:"true" example:"/etc/wasmtail/kafka.password"`
}

// Validate reports settings that contradict each other.
func (s *SASL) Validate(report func(key, problem string)) {
	if s.Mechanism == "" {
		if s.Username != "" || s.Password != "" || s.PasswordFile != "" {
			report("mechanism", "is missing: there is a username or a password without it")
		}
		return
	}
	if s.Username == "" {
		report("username", "is missing")
	}
	switch {
	case s.Password != "" && s.PasswordFile != "":
		report("password_file", "stands in place of password: give either")
	case s.Password == "" && s.PasswordFile == "":
		report("password", "is missing, and password_file too")
	}
}

func (s *SASL) keys() *dispatch.Keys {
	return dispatch.NewKeys(dispatch.Auth{Username: s.Username, Password: s.Password, PasswordFile: s.PasswordFile})
}

// topicRE is what Kafka takes as the name of a topic.
var topicRE = regexp.MustCompile(`^[a-zA-Z0-9._-]{1,249}$`)

// Validate reports what cannot work.
func (c *Config) Validate(report func(key, problem string)) {
	for i, b := range c.Brokers {
		host, port, err := net.SplitHostPort(b)
		if n, errPort := strconv.Atoi(port); err != nil || host == "" || errPort != nil || n < 1 || n > 65535 {
			report("brokers["+strconv.Itoa(i)+"]", "expects host:port, such as kafka-1:9092")
		}
	}
	if t, err := placeholder.Parse(c.Topic, false); err != nil {
		report("topic", err.Error())
	} else if name := t.Fill(placeholder.Values{Logstore: "x", Pipeline: "x", Host: "x"}, time.Time{}); !topicRE.MatchString(name) || name == "." || name == ".." {
		report("topic", "is no name of a topic: it has 1 to 249 letters, digits, `.`, `_` and `-`")
	}
	if c.BatchBytesMax < 16*config.KiB || c.BatchBytesMax > 64*config.MiB {
		report("batch_bytes_max", "must be from 16KiB to 64MiB")
	}
	if c.Timeout < time.Second {
		report("timeout", "must be at least 1s")
	}
	if t := c.TLS; !c.UseTLS && (t.CAFile != "" || t.CertFile != "" || t.InsecureSkipVerify) {
		report("use_tls", "is not set, and tls is: connections would not be encrypted")
	}
}
