package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// filesConfig and the others stand for the settings of real plugins.
type filesConfig struct {
	// Include are the files to follow.
	Include []string `yaml:"include" required:"true" example:"[/var/log/*.log]"`
	Exclude []string `yaml:"exclude"`
	// StartAt says where a new file is begun.
	StartAt   string    `yaml:"start_at" default:"end" enum:"beginning,end"`
	Multiline multiline `yaml:"multiline"`
}

type multiline struct {
	Start string        `yaml:"start"`
	Flush time.Duration `yaml:"flush" default:"1s"`
}

type hubConfig struct {
	Endpoint string            `yaml:"endpoint" required:"true" example:"https://host:7070"`
	Key      Secret            `yaml:"access_key_secret"`
	Timeout  time.Duration     `yaml:"timeout" default:"10s"`
	Buffer   Size              `yaml:"buffer" default:"4MiB"`
	Retries  int               `yaml:"retries" default:"3"`
	Compress bool              `yaml:"compress" default:"true"`
	Ratio    float64           `yaml:"ratio" default:"0.5"`
	Port     uint16            `yaml:"port" default:"443"`
	Headers  map[string]Secret `yaml:"headers"`
	TLS      *tlsConfig        `yaml:"tls"`
	Params   map[string]any    `yaml:"params"`
}

type tlsConfig struct {
	CAFile string `yaml:"ca_file" path:"true"`
	Min    string `yaml:"min" default:"1.2" enum:"1.2,1.3"`
}

func (c *hubConfig) Validate(report func(key, problem string)) {
	if c.Endpoint != "" && !strings.HasPrefix(c.Endpoint, "http") {
		report("endpoint", "must start with http:// or https://")
	}
	if c.Key != "" && len(c.Key) < 3 {
		report("access_key_secret", "is too short: "+c.Key.Reveal())
	}
	if strings.HasPrefix(c.Key.Reveal(), "bad") {
		report("access_key_secret", "cannot be "+c.Key.Reveal())
	}
}

type regexConfig struct {
	Pattern string `yaml:"pattern" required:"true"`
}

type nothing struct{}

func testCatalog() Catalog {
	return Catalog{
		"input":     {"files": func() any { return new(filesConfig) }},
		"processor": {"regex": func() any { return new(regexConfig) }, "noop": func() any { return new(nothing) }},
		"output": {
			"logservice": func() any { return new(hubConfig) },
			"stdout":     func() any { return new(nothing) },
		},
	}
}

const whole = `version: 1
limits: {cpu: 0.4, memory: 256MiB, bandwidth: 20MiB, disk: 1GiB, open_files: 0}
admin: {listen: "127.0.0.1:7071"}
log: {level: debug}
outputs:
  hub:
    type: logservice
    endpoint: "http://127.0.0.1:7070"
    access_key_secret: "${file:./secret}"
    timeout: 2d
    tls: {ca_file: ca.pem}
    params: {a: 1, b: [true, x], c: "1"}
pipelines:
  nginx:
    input: {type: files, include: ["/var/log/nginx/*.log"], exclude: [], multiline: {start: '^\S+ \['}}
    processors:
      - {type: regex, pattern: '^(?P<ip>\S+) ${name} $1'}
      - {type: noop}
    outputs: [hub]
    logstore: nginx
    max_age: {after: 1h, action: keep}
`

func parse(t *testing.T, text string) (*File, error) {
	t.Helper()
	return Parse("agent.yaml", []byte(text), t.TempDir(), testCatalog())
}

func TestParse_WholeFile(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "secret"), []byte("s3cr3t-value\n"), 0o600))
	f, err := Parse("agent.yaml", []byte(whole), dir, testCatalog())
	require.NoError(t, err)
	require.Equal(t, 1, f.Version)
	require.Equal(t, filepath.Join(dir, "state"), f.DataDir)
	require.Equal(t, 256*MiB, f.Limits.Memory)
	require.Equal(t, "debug", f.Log.Level)
	require.Equal(t, "auto", f.Log.Format)
	hub := f.Outputs["hub"].Config.(*hubConfig)
	require.Equal(t, "s3cr3t-value", hub.Key.Reveal())
	require.Equal(t, 48*time.Hour, hub.Timeout)
	require.Equal(t, 4*MiB, hub.Buffer)
	require.True(t, hub.Compress)
	require.Equal(t, filepath.Join(dir, "ca.pem"), hub.TLS.CAFile)
	require.Equal(t, "1.2", hub.TLS.Min)
	require.Equal(t, map[string]any{"a": int64(1), "b": []any{true, "x"}, "c": "1"}, hub.Params)
	p := f.Pipelines["nginx"]
	require.Equal(t, "files", p.Input.Type)
	require.Equal(t, &filesConfig{
		Include: []string{"/var/log/nginx/*.log"}, Exclude: []string{}, StartAt: "end",
		Multiline: multiline{Start: `^\S+ \[`, Flush: time.Second},
	}, p.Input.Config)
	require.Equal(t, `^(?P<ip>\S+) ${name} $1`, p.Processors[0].Config.(*regexConfig).Pattern)
	require.Equal(t, MaxAge{After: time.Hour, Action: "keep"}, p.MaxAge)
	require.Equal(t, 1, p.Workers)
	require.Equal(t, 512*KiB, p.Batch.Size)
	require.Empty(t, f.Warnings)
}
