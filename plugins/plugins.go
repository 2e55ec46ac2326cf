// Package plugins is the table of everything a configuration can name.
package plugins

import (
	"io"
	"os"

	"github.com/wasmtail/wasmtail/agent"
	"github.com/wasmtail/wasmtail/agent/dispatch"
	"github.com/wasmtail/wasmtail/agent/pipeline"
	"github.com/wasmtail/wasmtail/internal/record"
	"github.com/wasmtail/wasmtail/plugins/input/binlog"
	"github.com/wasmtail/wasmtail/plugins/input/containers"
	"github.com/wasmtail/wasmtail/plugins/input/filelog"
	"github.com/wasmtail/wasmtail/plugins/input/httpin"
	"github.com/wasmtail/wasmtail/plugins/input/httppoll"
	"github.com/wasmtail/wasmtail/plugins/input/journald"
	"github.com/wasmtail/wasmtail/plugins/input/mysqlquery"
	"github.com/wasmtail/wasmtail/plugins/input/stdin"
	"github.com/wasmtail/wasmtail/plugins/input/syslog"
	"github.com/wasmtail/wasmtail/plugins/output/elasticsearch"
	"github.com/wasmtail/wasmtail/plugins/output/fileout"
	"github.com/wasmtail/wasmtail/plugins/output/httpout"
	"github.com/wasmtail/wasmtail/plugins/output/kafka"
	"github.com/wasmtail/wasmtail/plugins/output/logservice"
	"github.com/wasmtail/wasmtail/plugins/output/loki"
	"github.com/wasmtail/wasmtail/plugins/output/otlp"
	"github.com/wasmtail/wasmtail/plugins/processor/delimiter"
	"github.com/wasmtail/wasmtail/plugins/processor/fieldedit"
	"github.com/wasmtail/wasmtail/plugins/processor/filter"
	"github.com/wasmtail/wasmtail/plugins/processor/jsonfields"
	"github.com/wasmtail/wasmtail/plugins/processor/keyvalue"
	"github.com/wasmtail/wasmtail/plugins/processor/regex"
	"github.com/wasmtail/wasmtail/plugins/processor/timestamp"
	"github.com/wasmtail/wasmtail/plugins/processor/w3c"
	"github.com/wasmtail/wasmtail/plugins/processor/wasm"
)

// Standard returns the plugins of this program, by the names they have in a
// configuration.
func Standard() agent.Plugins {
	return agent.Plugins{
		Inputs: map[string]agent.InputPlugin{
			"containers":   {Config: func() any { return new(containers.Config) }, Build: containerLogs, Once: containersOnce},
			"http":         {Config: func() any { return new(httpin.Config) }, Build: requests},
			"http_poll":    {Config: func() any { return new(httppoll.Config) }, Build: polls},
			"files":        {Config: func() any { return new(filelog.Config) }, Build: files, Once: once},
			"journald":     {Config: func() any { return new(journald.Config) }, Build: journal},
			"mysql":        {Config: func() any { return new(mysqlquery.Config) }, Build: mysql},
			"mysql_binlog": {Config: func() any { return new(binlog.Config) }, Build: mysqlBinlog},
			"stdin":        {Config: func() any { return new(stdin.Config) }, Build: standardInput, Once: onceStandardInput},
			"syslog":       {Config: func() any { return new(syslog.Config) }, Build: syslogMessages},
		},
		Processors: map[string]agent.ProcessorPlugin{
			"delimiter": processor(delimiter.New),
			"fields":    processor(fieldedit.New),
			"filter":    processor(filter.New),
			"json":      processor(jsonfields.New),
			"keyvalue":  processor(keyvalue.New),
			"logfmt":    processor(keyvalue.New),
			"regex":     processor(regex.New),
			"time":      processor(timestamp.New),
			"w3c":       processor(w3c.New),
			"wasm":      {Config: func() any { return new(wasm.Config) }, Build: module},
		},
		Outputs: map[string]agent.OutputPlugin{
			"elasticsearch": {Config: func() any { return new(elasticsearch.Config) }, Build: output(elasticsearch.New)},
			"file":          {Config: func() any { return new(fileout.Config) }, Build: file},
			"http":          {Config: func() any { return new(httpout.Config) }, Build: output(httpout.New)},
			"kafka":         {Config: func() any { return new(kafka.Config) }, Build: output(kafka.New)},
			"logservice":    {Config: func() any { return new(logservice.Config) }, Build: logService},
			"loki":          {Config: func() any { return new(loki.Config) }, Build: output(loki.New)},
			"otlp":          {Config: func() any { return new(otlp.Config) }, Build: output(otlp.New)},
			"stdout":        {Config: func() any { return new(fileout.Config) }, Build: file},
		},
	}
}

// output makes a table entry's function of a constructor.
func output[C any, O pipeline.Output](build func(C, dispatch.Env) (O, error)) func(any, agent.OutputEnv) (pipeline.Output, error) {
	return func(settings any, env agent.OutputEnv) (pipeline.Output, error) {
		return build(*settings.(*C), dispatch.Env{AgentID: env.AgentID, Hostname: env.Hostname, Version: env.Version, Wire: env.Wire})
	}
}

// processor makes a table entry of a constructor, whatever its settings are.
func processor[C any](build func(C) (pipeline.Processor, error)) agent.ProcessorPlugin {
	return agent.ProcessorPlugin{
		Config: func() any { return new(C) },
		Build: func(settings any, _ agent.ProcessorEnv) (pipeline.Processor, error) {
			return build(*settings.(*C))
		},
	}
}

func module(settings any, env agent.ProcessorEnv) (pipeline.Processor, error) {
	return wasm.New(*settings.(*wasm.Config), wasm.Env{Context: env.Context, Host: env.Modules, Pipeline: env.Pipeline, Stage: env.Stage, Routes: env.Routes})
}

func files(settings any, env agent.InputEnv) (pipeline.Input, error) {
	return filelog.New(*settings.(*filelog.Config), filelog.Env{
		Checkpoints: env.Checkpoints, Pipeline: env.Pipeline, Readers: env.Readers, OpenFilesMax: env.OpenFilesMax, BatchBytes: int(env.Batch.Size), Linger: env.Batch.Wait, SpoolDir: env.SpoolDir, Estate: env.Estate, Lost: env.Lost, Log: env.Log,
	})
}

func mysql(settings any, env agent.InputEnv) (pipeline.Input, error) {
	return mysqlquery.New(*settings.(*mysqlquery.Config), mysqlquery.Env{
		Pipeline: env.Pipeline, Checkpoints: env.Checkpoints, BatchBytes: int(env.Batch.Size), Log: env.Log,
	})
}

func mysqlBinlog(settings any, env agent.InputEnv) (pipeline.Input, error) {
	return binlog.New(*settings.(*binlog.Config), binlog.Env{
		Pipeline: env.Pipeline, Checkpoints: env.Checkpoints, BatchBytes: int(env.Batch.Size), Linger: env.Batch.Wait, Lost: env.Lost, Log: env.Log,
	})
}

func containerLogs(settings any, env agent.InputEnv) (pipeline.Input, error) {
	return containers.New(*settings.(*containers.Config), containers.Env{
		Checkpoints: env.Checkpoints, Pipeline: env.Pipeline, Readers: env.Readers, OpenFilesMax: env.OpenFilesMax, BatchBytes: int(env.Batch.Size), Linger: env.Batch.Wait, SpoolDir: env.SpoolDir, Estate: env.Estate, Lost: env.Lost, Log: env.Log,
	})
}

func requests(settings any, env agent.InputEnv) (pipeline.Input, error) {
	return httpin.New(*settings.(*httpin.Config), httpin.Env{Pipeline: env.Pipeline, BatchBytes: int(env.Batch.Size), Log: env.Log})
}

func polls(settings any, env agent.InputEnv) (pipeline.Input, error) {
	return httppoll.New(*settings.(*httppoll.Config), httppoll.Env{Pipeline: env.Pipeline, BatchBytes: int(env.Batch.Size), Log: env.Log})
}

func syslogMessages(settings any, env agent.InputEnv) (pipeline.Input, error) {
	return syslog.New(*settings.(*syslog.Config), syslog.Env{
		Pipeline: env.Pipeline, Lanes: env.Readers, BatchBytes: int(env.Batch.Size), Linger: env.Batch.Wait, Log: env.Log,
	})
}

func journal(settings any, env agent.InputEnv) (pipeline.Input, error) {
	return journald.New(*settings.(*journald.Config), journald.Env{
		Pipeline: env.Pipeline, Checkpoints: env.Checkpoints, BatchBytes: int(env.Batch.Size), Linger: env.Batch.Wait, Log: env.Log,
	}), nil
}

func standardInput(settings any, env agent.InputEnv) (pipeline.Input, error) {
	return stdin.New(*settings.(*stdin.Config), stdin.Env{
		Pipeline: env.Pipeline, BatchBytes: int(env.Batch.Size), Linger: env.Batch.Wait, Log: env.Log, File: os.Stdin,
	}), nil
}

func file(settings any, env agent.OutputEnv) (pipeline.Output, error) {
	return fileout.New(*settings.(*fileout.Config), env.Hostname)
}

func logService(settings any, env agent.OutputEnv) (pipeline.Output, error) {
	return logservice.New(*settings.(*logservice.Config), logservice.Env{AgentID: env.AgentID, Hostname: env.Hostname, Version: env.Version, Wire: env.Wire})
}

func onceStandardInput(settings any, r io.Reader, emit func(*record.Batch) error) error {
	return filelog.Once(filelog.Config{MaxRecordSize: settings.(*stdin.Config).MaxRecordSize}, r, emit)
}

func once(settings any, r io.Reader, emit func(*record.Batch) error) error {
	return filelog.Once(*settings.(*filelog.Config), r, emit)
}

func containersOnce(settings any, r io.Reader, emit func(*record.Batch) error) error {
	return containers.Once(*settings.(*containers.Config), r, emit)
}
