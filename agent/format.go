package agent

import (
	"context"
	"fmt"

	"github.com/wasmtail/wasmtail/agent/pipeline"
	"github.com/wasmtail/wasmtail/internal/config"
	"github.com/wasmtail/wasmtail/internal/formats"
	"github.com/wasmtail/wasmtail/internal/record"
)

// formatted is the first stage of a pipeline with a format: it takes records apart
// with the processors of that format or, for config.FormatAuto, of the one that
// their file was found to have. Then it says which in the field record.Format. It
// belongs to one lane.
type formatted struct {
	plugins Plugins
	catalog config.Catalog
	env     ProcessorEnv
	name    string // config.FormatAuto, or the only format
	chains  map[string]chain
}

// chain are the processors of one format.
type chain struct {
	name       []byte
	processors []pipeline.Processor
}

// newFormatted returns the stage of a format. Those that files may have are built
// when they first do.
func (p Plugins) newFormatted(name string, env ProcessorEnv) (*formatted, error) {
	f := &formatted{plugins: p, catalog: p.Catalog(), env: env, name: name, chains: map[string]chain{}}
	if name == config.FormatAuto {
		return f, nil
	}
	_, err := f.chain(name)
	return f, err
}

// Process takes the records of b apart. One of no known format stays whole.
func (f *formatted) Process(ctx context.Context, b *record.Batch) error {
	name := f.name
	if name == config.FormatAuto {
		name = b.Format
	}
	c, err := f.chain(name)
	if err != nil {
		return err
	}
	if f.name == config.FormatAuto {
		c.tell(b)
	}
	for _, p := range c.processors {
		if err := p.Process(ctx, b); err != nil {
			return err
		}
	}
	return nil
}

// tell puts the name of the format into each record.
func (c chain) tell(b *record.Batch) {
	for i := range b.Records {
		r := &b.Records[i]
		fields := b.AllocFields(len(r.Fields) + 1)
		r.Fields = append(append(fields, r.Fields...), record.Field{Name: formatName, Value: c.name})
	}
}

var formatName = []byte(record.Format)

// chain returns the processors of a format, none for one that is not known.
func (f *formatted) chain(name string) (chain, error) {
	if c, ok := f.chains[name]; ok {
		return c, nil
	}
	format := formats.Find(name)
	c := chain{name: []byte(formats.Plain)}
	if format != nil {
		blocks, err := config.FormatProcessors(format, f.catalog)
		if err != nil {
			return chain{}, err
		}
		c.name = []byte(name)
		for i, b := range blocks {
			f.env.Stage = fmt.Sprintf("%s/%s#%d", name, b.Type, i+1)
			p, err := f.plugins.Processors[b.Type].Build(b.Config, f.env)
			if err != nil {
				return chain{}, fmt.Errorf("cannot build processor %d (%s) of format %s: %w", i+1, b.Type, name, err)
			}
			c.processors = append(c.processors, p)
		}
	}
	f.chains[name] = c
	return c, nil
}
