package stdin

import (
	"github.com/wasmtail/wasmtail/internal/config"
)

// Config are the settings of the stdin input: it reads the standard input of the agent,
// line by line, to its end. When the inputs of all pipelines have ended, the agent
// delivers what was read and ends.
type Config struct {
	// MaxRecordSize is the longest record. A longer line is delivered in pieces, each
	// marked split.
	MaxRecordSize config.Size `yaml:"max_record_size" default:"1MiB" example:"256KiB"`
}

// The bounds of max_record_size.
const (
	recordBytesMin = 64
	recordBytesMax = 64 << 20
)

// Validate reports settings that cannot work.
func (c *Config) Validate(report func(key, problem string)) {
	if c.MaxRecordSize < recordBytesMin || c.MaxRecordSize > recordBytesMax {
		report("max_record_size", "must be from 64 bytes to 64MiB")
	}
}

// ValidateIn reports a second pipeline that reads the same: each would get a part.
func (c *Config) ValidateIn(f *config.File, report func(key, problem string)) {
	readers := 0
	for _, p := range f.Pipelines {
		if _, same := p.Input.Config.(*Config); same {
			readers++
		}
	}
	if readers > 1 {
		report("type", "is stdin in another pipeline, too: only one can read it")
	}
}
