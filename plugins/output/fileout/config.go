package fileout

import "github.com/wasmtail/wasmtail/internal/config"

// Config is the `file` output, and the `stdout` output too: it writes records
// to a file or to standard output, one a line.
type Config struct {
	// Path is the file that records are appended to; folders above it are made.
	// `-` is the standard output of the agent. No other program should write to
	// the file.
	Path string `yaml:"path" default:"-" path:"true" example:"/var/log/collected.jsonl"`
	// Format is `json`, one object for each record with all it is known about
	// it, or `text`, the line as it was read.
	Format string `yaml:"format" default:"json" enum:"json,text"`
	// Rotate starts a new file when this one is large. Without it the file grows
	// without limit, unless some other program moves it away: the agent then
	// makes a new one.
	Rotate Rotate `yaml:"rotate"`
}

// Rotate bounds the space of a file.
type Rotate struct {
	// Size is how large the file may become. It is renamed to `<path>.1` before
	// the batch that would make it larger; a batch is never divided. 0 turns
	// rotation off.
	Size config.Size `yaml:"size" default:"0" example:"100MiB"`
	// Keep is how many renamed files stay: `<path>.1` is the youngest.
	Keep int `yaml:"keep" default:"5" example:"10"`
}

// stdoutPath means standard output.
const stdoutPath = "-"

// Validate reports what cannot work.
func (c *Config) Validate(report func(key, problem string)) {
	if c.Rotate.Size > 0 && c.Path == stdoutPath {
		report("rotate.size", "cannot rotate standard output: give a path")
	}
	if c.Rotate.Size < 0 {
		report("rotate.size", "must not be negative; 0 turns rotation off")
	}
	if c.Rotate.Keep < 1 {
		report("rotate.keep", "must be at least 1")
	}
}
